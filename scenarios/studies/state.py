"""What is there of a study: which runs are done, stale or missing, and how long the rest will take."""

from __future__ import annotations

import statistics
from dataclasses import dataclass

from . import provenance


@dataclass(frozen=True)
class State:
    """A run: `record` is its cell.json. `declared` and `program` say why it is stale, if it is."""

    cell: object
    seed: int
    folder: object
    record: dict | None = None
    declared: str | None = None
    program: str | None = None

    @property
    def is_missing(self):
        return self.record is None

    @property
    def why_stale(self):
        return self.declared or self.program

    @property
    def name(self):
        return f"{self.cell.name} seed {self.seed}"


def folder_of(runs, cell, seed):
    return runs.joinpath(*cell.key, f"seed-{seed}")


def look(runs, cells, seeds, program):
    """The states of all runs, first seed first."""
    states = []
    for seed in seeds:
        for cell in cells:
            folder = folder_of(runs, cell, seed)
            record = provenance.read(folder)
            why = record and (provenance.differs(record, cell), provenance.other_program(record, program))
            states.append(State(cell, seed, folder, record, *(why or ())))
    return states


def expected(states, all_states):
    """Seconds that runs of these cells take one after the other, from those that are done: of the cell, else
    of cells that share most words with it. None while nothing is done."""
    known = {}
    for state in all_states:
        if state.record:
            known.setdefault(state.cell.key, []).append(state.record["wall_s"])
    if not known:
        return None
    means = {key: statistics.fmean(walls) for key, walls in known.items()}

    def of(key):
        if key in means:
            return means[key]
        shared = {other: sum(a == b for a, b in zip(key, other)) for other in means}
        most = max(shared.values())
        return statistics.fmean(means[other] for other, n in shared.items() if n == most)

    guesses = {}
    return sum(guesses.setdefault(s.cell.key, of(s.cell.key)) for s in states)


def duration(seconds):
    """Such as "40 s", "12 min", "3.4 h"."""
    if seconds < 1:
        return "under a second"
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
