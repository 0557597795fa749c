#!/usr/bin/env python3
"""The tables of docs/studies/faults.md, from the runs of study.sh: table.py [RUNS]"""

import csv
import json
import pathlib
import re
import statistics
import sys

runs = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else "runs/faults")
GOAL = 0.9
cells = {}
for folder in sorted(runs.iterdir()):
    named = re.fullmatch(r"(.*)-loss(.*)-slow(.*)-(\d+)", folder.name)
    if not named or not (folder / "run.json").exists():
        continue
    rows = list(csv.DictReader(open(folder / "rounds.csv")))
    record = json.load(open(folder / "run.json"))
    assert record["status"] == "completed", folder
    reached = [float(r["ended_s"]) for r in rows if r["accuracy"] and float(r["accuracy"]) >= GOAL]
    cells.setdefault(named.groups()[:3], []).append({
        "accuracy": 100 * float(rows[-1]["accuracy"]),
        "time": reached[0] if reached else None,
        "reports": sum(int(r["reported"]) for r in rows) / len(rows),
        "round": float(rows[-1]["ended_s"]) / len(rows),
    })


def spread(values, digits):
    if None in values:
        reached = [v for v in values if v is not None]
        return f"{len(reached)} of {len(values)}" + (f", {statistics.median(reached):.0f}" if reached else "")
    deviation = statistics.stdev(values) if len(values) > 1 else 0
    return f"{statistics.mean(values):.{digits}f} ± {deviation:.{digits}f}"


losses = sorted({k[1] for k in cells}, key=float)
slows = sorted({k[2] for k in cells}, key=float)
for transport in sorted({k[0] for k in cells}, reverse=True):
    n = max(len(v) for k, v in cells.items() if k[0] == transport)
    for what, title, digits in [
        ("accuracy", "accuracy after the last round in %", 1),
        ("time", f"virtual seconds to {GOAL:.0%} (of those that reach it)", 0),
        ("reports", "reports a round", 1),
        ("round", "virtual seconds a round", 2),
    ]:
        print(f"\n{transport}, {title} ({n} seeds, mean ± standard deviation)\n")
        print("| packets lost | " + " | ".join(f"{float(s):.0%} stragglers" for s in slows) + " |")
        print("|---|" + "---|" * len(slows))
        for loss in losses:
            cell = [[run[what] for run in cells.get((transport, loss, slow), [])] for slow in slows]
            print(f"| {float(loss):.0%} | " + " | ".join(spread(c, digits) if c else "" for c in cell) + " |")
