#!/usr/bin/env python3
"""Tables from the runs of async.sh: async_table.py [RUNS]"""

import csv
import json
import pathlib
import re
import statistics
import sys

runs = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else "runs/async")
GOAL = 0.9
cells = {}
for folder in sorted(runs.iterdir()):
    named = re.fullmatch(r"(.*)-slow(.*)-(\d+)", folder.name)
    if not named or not (folder / "run.json").exists():
        continue
    rows = list(csv.DictReader(open(folder / "rounds.csv")))
    record = json.load(open(folder / "run.json"))
    assert record["status"] == "completed", folder
    scored = [r for r in rows if r["accuracy"]]
    reached = [float(r["ended_s"]) for r in scored if float(r["accuracy"]) >= GOAL]
    ages = {int(tau): n for tau, n in record.get("staleness", {}).items()}
    reports = sum(int(r["reported"]) for r in rows)
    cells.setdefault(named.groups()[:2], []).append({
        "accuracy": 100 * float(scored[-1]["accuracy"]),
        "time": reached[0] if reached else None,
        "rate": reports / float(rows[-1]["ended_s"]),
        "age": sum(tau * n for tau, n in ages.items()) / max(sum(ages.values()), 1),
        "oldest": max(ages, default=0),
    })


def spread(values, digits):
    if None in values:
        reached = [v for v in values if v is not None]
        return f"{len(reached)} of {len(values)}" + (f", {statistics.median(reached):.0f}" if reached else "")
    deviation = statistics.stdev(values) if len(values) > 1 else 0
    return f"{statistics.mean(values):.{digits}f} ± {deviation:.{digits}f}"


hows = ["rounds", "deadline", "over", "fedbuff", "fedbuff-constant", "fedasync-constant",
        "fedasync-polynomial", "fedasync-hinge"]
slows = sorted({k[1] for k in cells}, key=float)
n = max(len(v) for v in cells.values())
for what, title, digits in [
    ("time", f"virtual seconds to {GOAL:.0%} (of those that reach it)", 0),
    ("accuracy", "accuracy after the last report in %", 1),
    ("rate", "reports used a virtual second", 1),
    ("age", "mean staleness in server steps", 1),
    ("oldest", "largest staleness in server steps", 0),
]:
    print(f"\n{title} ({n} seeds, mean ± standard deviation)\n")
    print("| server | " + " | ".join(f"{float(s):.0%} stragglers" for s in slows) + " |")
    print("|---|" + "---|" * len(slows))
    for how in hows:
        cell = [[run[what] for run in cells.get((how, slow), [])] for slow in slows]
        print(f"| {how} | " + " | ".join(spread(c, digits) if c else "" for c in cell) + " |")
