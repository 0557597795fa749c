"""What the tables of studies share: cells of several seeds, and how they are printed."""

import csv
import json
import re
import statistics


def read(runs, pattern, figures):
    """The cells below `runs`: what `figures` makes of the rounds and the record of each seed's run, by
    the groups of `pattern` but the last, which is the seed."""
    cells = {}
    for folder in sorted(runs.iterdir()):
        named = re.fullmatch(pattern, folder.name)
        if not named or not (folder / "run.json").exists():
            continue
        with open(folder / "rounds.csv") as file:
            rows = list(csv.DictReader(file))
        record = json.loads((folder / "run.json").read_text())
        assert record["status"] in ("completed", "no_round_completed"), folder
        cells.setdefault(named.groups()[:-1], []).append(figures(rows, record))
    return cells


def reached(rows, goal):
    """When the accuracy was first there, in virtual seconds."""
    there = (float(r["ended_s"]) for r in rows if r["accuracy"] and float(r["accuracy"]) >= goal)
    return next(there, None)


def spread(values, digits):
    """Mean and deviation; of times that some never reach, how many do and their median."""
    if None in values:
        there = [v for v in values if v is not None]
        return f"{len(there)} of {len(values)}" + (f", {statistics.median(there):.0f}" if there else "")
    deviation = statistics.stdev(values) if len(values) > 1 else 0
    return f"{statistics.mean(values):.{digits}f} ± {deviation:.{digits}f}"


def table(title, corner, columns, rows, digits):
    """`rows` are a name and a list of values for each column."""
    print(f"\n{title}\n")
    print(f"| {corner} | " + " | ".join(columns) + " |")
    print("|---|" + "---|" * len(columns))
    for name, cells in rows:
        print(f"| {name} | " + " | ".join(spread(c, digits) if c else "" for c in cells) + " |")
