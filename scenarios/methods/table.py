#!/usr/bin/env python3
"""The tables of docs/methods.md, from the runs of study.sh: table.py [RUNS]"""

import csv
import json
import pathlib
import re
import statistics
import sys

GOAL = 0.9
NAMES = {
    "fedavg": "`methods/fedavg.ron`",
    "fedsgd": "`methods/fedsgd.ron`",
    "fedprox": "`methods/fedprox.ron`",
    "scaffold": "`methods/scaffold.ron`",
    "fednova": "`methods/fednova.ron`",
    "fedavgm": "`methods/fedavgm.ron`",
    "fedadagrad": "`methods/fedadagrad.ron`",
    "fedadam": "`methods/fedadam.ron`",
    "fedyogi": "`methods/fedyogi.ron`",
    "lotteryfl": "`methods/lotteryfl.ron`",
    "lotteryfl_unpruned": "the same with `target: 0`",
    "hermes": "`methods/hermes.ron`",
    "tailorfl": "`methods/tailorfl.ron` (three widths)",
    "local_only": "`baselines/local_only.ron`",
    "centralised": "`baselines/centralised.ron`",
    "fedmd": "`methods/fedmd.ron`",
    "fedmd_alone": "the same with `LocalOnly()`",
}
# A setting of its own: other clients, other rounds.
OF_FEDMD = ["fedmd", "fedmd_alone"]
FIGURES = {
    "client_mean": "handed out now: mean",
    "client_worst10": "worst tenth",
    "received_mean": "before training: mean",
    "received_worst10": "worst tenth",
    "trained_mean": "after training: mean",
    "trained_worst10": "worst tenth",
}


def read(folder):
    record = json.loads((folder / "run.json").read_text())
    assert record["status"] == "completed", folder
    with open(folder / "rounds.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    last = rows[-1]
    there = (int(r["round"]) for r in rows if r["accuracy"] and float(r["accuracy"]) >= GOAL)
    number = lambda name, scale=100: float(last[name]) * scale if last[name] else None
    return {
        "rounds": len(rows),
        "accuracy": number("accuracy"),
        "goal": next(there, None),
        "mb": sum(int(r["bytes_down"]) + int(r["bytes_up"]) for r in rows) / 1e6,
        "stands_on": tuple(
            number(name, 1)
            for name in (
                "trained_clients",
                "trained_worst10_clients",
                "received_worst10_samples",
                "trained_worst10_samples",
                "client_worst10_clients",
                "client_worst10_samples",
            )
        ),
        **{name: number(name) for name in FIGURES},
    }


runs = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else "runs/methods")
cells = {}
for folder in sorted(runs.iterdir()):
    named = re.fullmatch(r"(\w+)-(\d+)", folder.name)
    if named and (folder / "run.json").exists():
        cells.setdefault(named[1], {})[int(named[2])] = read(folder)


def mean(name, figure):
    values = [run[figure] for run in cells[name].values()]
    return None if None in values else statistics.mean(values)


def shown(value):
    return "–" if value is None else f"{value:.1f}"


def spread(name, figure):
    values = [run[figure] for run in cells[name].values()]
    if None in values:
        return "–"
    return f"{statistics.mean(values):.1f} ± {statistics.stdev(values):.1f}"


def median_goal(name):
    goals = [run["goal"] for run in cells[name].values()]
    there = sorted(goal for goal in goals if goal is not None)
    # Of those that do not come there it is later than all that do.
    return f"{statistics.median(there + [10**9] * (len(goals) - len(there))):.0f}" if len(there) > len(goals) / 2 else "–"


def paired(name, figure, against="fedavg"):
    """The mean difference over the seeds that both have; nothing within two standard errors."""
    seeds = sorted(cells[name].keys() & cells[against].keys())
    values = [(cells[name][s][figure], cells[against][s][figure]) for s in seeds]
    if any(a is None or b is None for a, b in values):
        return "–"
    differences = [a - b for a, b in values]
    error = statistics.stdev(differences) / len(differences) ** 0.5
    found = statistics.mean(differences)
    return f"{found:+.1f} ± {2 * error:.1f}" if abs(found) > 2 * error else "no effect seen"


names = [name for name in NAMES if name in cells]
seeds = {name: len(cells[name]) for name in names}
print(f"seeds: {sorted(set(seeds.values()))}\n")
print("| scenario | rounds | final accuracy, % (± deviation over seeds) | rounds to 90 % (median) | "
      + " | ".join(FIGURES.values()) + " | MB sent |")
print("|---" * (5 + len(FIGURES)) + "|")
for name in names:
    rounds = {run["rounds"] for run in cells[name].values()}
    figures = " | ".join(shown(mean(name, figure)) for figure in FIGURES)
    print(f"| {NAMES[name]} | {max(rounds)} | {spread(name, 'accuracy')} | {median_goal(name)} | "
          f"{figures} | {mean(name, 'mb'):.1f} |")

for against, of in [
    ("fedavg", [n for n in names if n not in OF_FEDMD + ["fedavg"]]),
    ("fedmd_alone", [n for n in names if n == "fedmd"]),
]:
    if not of or against not in cells:
        continue
    print(f"\ndifference to {NAMES[against]}, points (paired over seeds, ± two standard errors)\n")
    figures = ["received_mean", "received_worst10", "trained_mean", "trained_worst10"]
    print("| scenario | before training: mean | worst tenth | after training: mean | worst tenth |")
    print("|---" * 5 + "|")
    for name in of:
        print(f"| {NAMES[name]} | " + " | ".join(paired(name, f, against) for f in figures) + " |")

print("\nclients measured; in the worst tenth; held-out samples of those before and after training, "
      "and of those handed out now (mean over seeds)\n")
for name in names:
    all_of = [run["stands_on"] for run in cells[name].values()]
    columns = ([v for v in column if v is not None] for column in zip(*all_of))
    print(name, *(f"{statistics.mean(c):.1f}" if c else "–" for c in columns))
