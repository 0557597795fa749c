"""The figures of all runs: read from their folders, or from the table that was published."""

from __future__ import annotations

import csv
import os
from dataclasses import dataclass

from . import provenance
from .cells import Mistake
from .reading import Run


@dataclass
class Result:
    """A run's figures, and where they come from."""

    key: tuple
    seed: int
    figures: dict
    info: dict
    # Why the program that made it is not the present one.
    other_program: str | None = None
    status: str = ""
    trace_hash: str = ""


class Results:
    """`runs` by key and seed; `left_out`: runs of what the study no longer declares, with the reason."""

    def __init__(self, study, runs, left_out=(), source=None):
        self.study = study
        self.runs = {}
        for run in runs:
            self.runs.setdefault(run.key, {})[run.seed] = run
        self.left_out = list(left_out)
        # The file, where the figures were not read from the runs themselves.
        self.source = source

    @property
    def all(self):
        return [run for seeds in self.runs.values() for run in seeds.values()]


def from_runs(study, states):
    """Runs whose scenario or overrides the study no longer declares answer another question: left out."""
    found, left_out = [], []
    for state in states:
        if state.is_missing:
            continue
        if state.declared:
            left_out.append((state.name, state.declared))
            continue
        run = Run(state.folder)
        figures = {}
        for name, figure in study.figures.items():
            try:
                figures[name] = figure(run)
            except (KeyError, IndexError, ValueError, TypeError, ZeroDivisionError) as error:
                raise Mistake(f"{state.folder}: no figure {name}: {error!r}") from error
        record = run.record
        found.append(
            Result(
                state.cell.key,
                state.seed,
                figures,
                provenance.info(state.record),
                state.program,
                record["status"],
                record.get("trace_hash") or "",
            )
        )
    return Results(study, found, left_out)


def columns(study):
    return [*study.words, "seed", *study.figures, "status", "trace_hash", *provenance.INFO]


def write(results, path):
    """One line a run."""
    study = results.study
    part = path.with_name(path.name + ".part")
    with open(part, "w", newline="") as file:
        writer = csv.DictWriter(file, columns(study), lineterminator="\n")
        writer.writeheader()
        for run in sorted(results.all, key=lambda run: (run.key, run.seed)):
            row = {**dict(zip(study.words, run.key)), "seed": run.seed, **run.figures, **run.info}
            row.update(status=run.status, trace_hash=run.trace_hash)
            writer.writerow({name: "" if value is None else value for name, value in row.items()})
    os.replace(part, path)


def from_csv(study, path, keys, seeds):
    """The published figures. A column that an older table does not have is empty."""
    found = []
    with open(path, newline="") as file:
        for row in csv.DictReader(file):
            try:
                key, seed = tuple(row[word] for word in study.words), int(row["seed"])
                figures = {name: float(row[name]) if row.get(name) else None for name in study.figures}
                info = {name: row.get(name) or None for name in provenance.INFO}
                for name in ("wall_s", "cpu_s"):
                    info[name] = float(info[name]) if info[name] else None
            except (KeyError, TypeError, ValueError) as error:
                raise Mistake(f"{path}: a line is not one of this study: {error!r}") from None
            if key in keys and seed in seeds:
                found.append(Result(key, seed, figures, info, None, row.get("status") or "", row.get("trace_hash") or ""))
    return Results(study, found, source=path)
