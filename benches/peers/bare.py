"""Client updates a second of a bare PyTorch loop on one thread: `bare.py learn/small-mlp 8000`.

The same training steps as the bare loop of benches/learn.rs: parameters set back to the global
model, then one epoch of plain SGD in batches of ten. Nothing is aggregated or recorded.
"""

import sys
import time

import torch
from torch import nn
from torch.nn import functional


class PflCifar10(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 32, 3)
        self.conv2 = nn.Conv2d(32, 64, 3)
        self.dense1 = nn.Linear(64 * 14 * 14, 128)
        self.dense2 = nn.Linear(128, 10)

    def forward(self, x):
        x = functional.relu(self.conv2(functional.relu(self.conv1(x))))
        x = functional.dropout(functional.max_pool2d(x, 2), 0.25, self.training)
        x = functional.relu(self.dense1(x.flatten(1)))
        return self.dense2(functional.dropout(x, 0.5, self.training))


def small_mlp():
    return nn.Sequential(nn.Flatten(), nn.Linear(784, 64), nn.ReLU(), nn.Linear(64, 10))


CASES = {
    "learn/pfl-slice": (PflCifar10, 50, (3, 32, 32)),
    "learn/small-mlp": (small_mlp, 20, (1, 28, 28)),
}


def main():
    make, samples, shape = CASES[sys.argv[1]]
    updates = int(sys.argv[2])
    torch.set_num_threads(1)
    torch.manual_seed(1)
    clients = 100
    images = torch.randn(clients * samples, *shape)
    labels = torch.randint(10, (clients * samples,))
    model = make()
    start = [p.detach().clone() for p in model.parameters()]
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)

    def update(number):
        with torch.no_grad():
            for own, initial in zip(model.parameters(), start):
                own.copy_(initial)
        first = number % clients * samples
        order = torch.randperm(samples) + first
        for batch in order.split(10):
            optimizer.zero_grad()
            loss = functional.cross_entropy(model(images[batch]), labels[batch])
            loss.backward()
            optimizer.step()

    for number in range(3):
        update(number)
    began = time.perf_counter()
    for number in range(updates):
        update(number)
    print(updates / (time.perf_counter() - began))


if __name__ == "__main__":
    main()
