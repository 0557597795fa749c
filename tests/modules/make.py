"""Makes the TorchScript modules that the tests run: python3 tests/modules/make.py

Every module takes digits, [batch, 1, 8, 8], and gives ten scores. PyTorch 2.11 made those that are here.
"""
import sys
from pathlib import Path

import torch
from torch import nn

HERE = Path(sys.argv[1] if len(sys.argv) > 1 else Path(__file__).parent)


class Linear(nn.Module):
    """The same network as [Flatten, Dense(10)]."""

    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))

    def forward(self, x):
        return self.layers(x)


class Block(nn.Module):
    """A basic block of ResNet-18 (He et al. 2016), with group normalisation."""

    def __init__(self, inputs, outputs, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.norm1 = nn.GroupNorm(2, outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.norm2 = nn.GroupNorm(2, outputs)
        self.shortcut = nn.Sequential()
        if stride != 1 or inputs != outputs:
            self.shortcut = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.GroupNorm(2, outputs))

    def forward(self, x):
        y = torch.relu(self.norm1(self.conv1(x)))
        return torch.relu(self.norm2(self.conv2(y)) + self.shortcut(x))


class ResNet18(nn.Module):
    """ResNet-18 with `width` channels in its first stage instead of 64."""

    def __init__(self, width):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(1, width, 3, 1, 1, bias=False), nn.GroupNorm(2, width), nn.ReLU())
        blocks, inputs = [], width
        for stage in range(4):
            for block in range(2):
                outputs = width * 2 ** min(stage, 1)
                blocks.append(Block(inputs, outputs, 2 if stage and not block else 1))
                inputs = outputs
        self.blocks = nn.Sequential(*blocks)
        self.fc = nn.Linear(inputs, 10)

    def forward(self, x):
        return self.fc(self.blocks(self.stem(x)).mean((2, 3)))


class Lstm(nn.Module):
    """Two layers that read an image row by row."""

    def __init__(self):
        super().__init__()
        self.lstm = nn.LSTM(8, 12, num_layers=2, batch_first=True)
        self.fc = nn.Linear(12, 10)

    def forward(self, x):
        y, _ = self.lstm(x.flatten(0, 1))
        return self.fc(y[:, -1])


class Transformer(nn.Module):
    """One encoder layer over the rows of an image, with a learned place for each."""

    def __init__(self):
        super().__init__()
        self.place = nn.Parameter(torch.randn(8, 8) * 0.1)
        self.encoder = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0, batch_first=True)
        self.fc = nn.Linear(8, 10)

    def forward(self, x):
        return self.fc(self.encoder(x.flatten(0, 1) + self.place).mean(1))


class Unused(nn.Module):
    """A parameter that no score depends on."""

    def __init__(self):
        super().__init__()
        self.idle = nn.Parameter(torch.ones(3))
        self.fc = nn.Linear(64, 10)

    def forward(self, x):
        return self.fc(x.flatten(1))


class Tied(nn.Module):
    """Two layers with one weight."""

    def __init__(self):
        super().__init__()
        self.a, self.b, self.fc = nn.Linear(64, 64), nn.Linear(64, 64), nn.Linear(64, 10)
        self.b.weight = self.a.weight

    def forward(self, x):
        return self.fc(self.b(self.a(x.flatten(1))))



def save(name, module):
    module(torch.zeros(2, 1, 8, 8))
    torch.jit.script(module).save(str(HERE / f"{name}.pt"))


torch.manual_seed(7)
save("linear", Linear())
save("resnet18", ResNet18(4))
save("lstm", Lstm())
save("transformer", Transformer())
save("unused", Unused())
save("tied", Tied())
save("dropout", nn.Sequential(nn.Flatten(), nn.Dropout(0.5), nn.Linear(64, 10)))
save("batchnorm", nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Flatten(), nn.Linear(72, 10)))
save("nine", nn.Sequential(nn.Flatten(), nn.Linear(64, 9)))
