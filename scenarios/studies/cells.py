"""What a study is made of: cells, and the runs of each cell under several seeds.

A *cell* is one combination of what is compared, such as ("mnist-iid-10", "fedavg"): a scenario and its
overrides. A *run* is a cell under one seed. A run's folder is RUNS/WORD/.../seed-N.
"""

from __future__ import annotations

import difflib
import fnmatch
import itertools
import pathlib
import re
from dataclasses import dataclass, field

ROOT = pathlib.Path(__file__).resolve().parents[2]
# Words are names of folders and of rows of tables.
WORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+-]*")


class Mistake(Exception):
    """What a user can put right; the command line prints it without a traceback."""


@dataclass(frozen=True)
class Cell:
    """`key`: a word for each of the study's `words`. `scenario`: a file, relative to the repository.
    `sets`: overrides `path=value`, in order."""

    key: tuple
    scenario: str
    sets: tuple = ()

    @property
    def name(self):
        return "/".join(self.key)

    def arguments(self, seed):
        """What `shoal` is told, without the folder to write to."""
        sets = (word for value in self.sets for word in ("--set", value))
        return ["run", self.scenario, "--seed", str(seed), *sets, "--workers", "1", "--quiet"]


def product(*columns):
    """All combinations, the first column changing slowest."""
    return list(itertools.product(*columns))


@dataclass
class Study:
    """`figures`: functions of a `reading.Run` by name; a figure is a number, or None where the run has none.
    `tables`: functions that take a `tables.View` and yield tables. `page`: where the results are told.
    `needed`: of a study in which some runs choose others, a function that takes the results so far and returns
    whether a run is wanted, from its cell's key and its seed. Example: seeds 1 to 5 tune, and under the others
    only the chosen settings run."""

    file: str
    name: str
    question: str
    page: str
    words: tuple
    cells: list
    figures: dict
    tables: list
    seeds: tuple = (1, 2, 3, 4, 5)
    needed: object = None
    by_key: dict = field(init=False, repr=False)

    def __post_init__(self):
        self.by_key = {}
        for cell in self.cells:
            if len(cell.key) != len(self.words) or not all(WORD.fullmatch(word) for word in cell.key):
                raise ValueError(f"{self.name}: the key {cell.key} does not have the words {self.words}")
            if cell.key in self.by_key:
                raise ValueError(f"{self.name}: two cells have the key {cell.name}")
            if not (ROOT / cell.scenario).is_file():
                raise ValueError(f"{self.name}: {cell.name} has no scenario {cell.scenario}")
            self.by_key[cell.key] = cell
        taken = {*self.words, "seed", "status", "trace_hash"} & set(self.figures)
        if taken:
            raise ValueError(f"{self.name}: figures have the names of other columns: {sorted(taken)}")

    @property
    def path(self):
        """The study's own file, relative to the repository where it is in it."""
        file = pathlib.Path(self.file).resolve()
        return str(file.relative_to(ROOT)) if ROOT in file.parents else str(file)

    @property
    def csv(self):
        """Where the figures of all runs are published, beside the page."""
        return (ROOT / self.page).parent / f"{self.name}.csv"

    def chosen(self, patterns):
        """The cells that the patterns name: of the whole name, or of one of its words."""
        if not patterns:
            return list(self.cells)
        for pattern in patterns:
            if not any(matches(cell, pattern) for cell in self.cells):
                raise Mistake(self.unknown(pattern))
        return [cell for cell in self.cells if any(matches(cell, pattern) for pattern in patterns)]

    def unknown(self, pattern):
        names = [cell.name for cell in self.cells]
        words = sorted({word for cell in self.cells for word in cell.key})
        near = difflib.get_close_matches(pattern, names + words, n=3, cutoff=0.5)
        near = f"; near: {', '.join(near)}" if near else ""
        return (
            f"no cell of {self.name} is named {pattern!r}{near}. A cell is named by "
            f"{'/'.join(word.upper() for word in self.words)}, such as {names[0]}, or by one of the words; "
            f"* and ? are allowed. All of them: {self.path} list"
        )

    def main(self):
        from . import command

        command.main(self)


def matches(cell, pattern):
    return fnmatch.fnmatchcase(cell.name, pattern) or (
        "/" not in pattern and any(fnmatch.fnmatchcase(word, pattern) for word in cell.key)
    )


def seeds_of(text):
    """The seeds of a text such as "1-5" or "1,3,7-9"."""
    seeds = []
    for part in text.split(","):
        found = re.fullmatch(r"\s*(\d+)\s*(?:(?:-|\.\.)\s*(\d+)\s*)?", part)
        if not found:
            raise Mistake(f"--seeds {text}: expected numbers and ranges, such as 1-5 or 1,3,7-9")
        first, last = int(found[1]), int(found[2] or found[1])
        if last < first:
            raise Mistake(f"--seeds {text}: {first} is above {last}")
        if last - first >= 1000:
            raise Mistake(f"--seeds {text}: more than a thousand seeds")
        seeds += [seed for seed in range(first, last + 1) if seed not in seeds]
    return tuple(seeds)


def seeds_text(seeds):
    """The other way round: "1-5,7"."""
    parts = []
    for seed in sorted(set(seeds)):
        if parts and parts[-1][1] == seed - 1:
            parts[-1][1] = seed
        else:
            parts.append([seed, seed])
    return ",".join(str(a) if a == b else f"{a}-{b}" for a, b in parts)
