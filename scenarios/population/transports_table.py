#!/usr/bin/env python3
"""The tables of docs/studies/network.md on what TCP does to results, from the runs of transports.sh:
transports_table.py [RUNS]. Seeds are paired: a difference is that of two runs with one seed."""

import pathlib
import statistics
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent))
import study

GOAL = 0.9
PATHS = {"4g-small": "10 kB over 4G", "4g": "154 kB over 4G", "geo": "154 kB by satellite"}
HOWS = ["rounds", "deadline", "over", "fedbuff"]


def figures(rows, record):
    invited = sum(int(r["invited"]) for r in rows)
    return {
        "time": study.reached(rows, GOAL),
        "used": 100 * sum(int(r["reported"]) for r in rows) / max(invited, 1),
        "accuracy": 100 * float(([r["accuracy"] for r in rows if r["accuracy"]] or ["nan"])[-1]),
    }


def cell(values):
    """The mean and two standard errors."""
    if any(v != v for v in values):
        return "–"
    if any(v is None for v in values):
        there = [v for v in values if v is not None]
        return f"{len(there)} of {len(values)}" + (f", {statistics.median(there):.1f}" if there else "")
    error = 2 * statistics.stdev(values) / len(values) ** 0.5 if len(values) > 1 else 0
    return f"{statistics.mean(values):.1f} ± {error:.1f}"


runs = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else "runs/transports")
cells = study.read(runs, r"(4g-small|4g|geo)-(\w+)-(Reliable|Tcp)-(\d+)", figures)
seeds = min(len(runs) for runs in cells.values())
for what, title in [
    ("time", f"virtual seconds to {GOAL:.0%}; where some never reach it: how many do, and their median"),
    ("used", "reports used, of those asked, in %"),
    ("accuracy", "accuracy after the last round in %"),
]:
    print(f"\n{title} ({seeds} seeds, mean ± two standard errors)\n")
    print("| | server | Reliable | Tcp | Tcp less Reliable |\n|---|---|---|---|---|")
    for path, name in PATHS.items():
        for how in HOWS:
            plain, tcp = (
                [run[what] for run in cells.get((path, how, transport), [])]
                for transport in ("Reliable", "Tcp")
            )
            both = [(a, b) for a, b in zip(plain, tcp) if a is not None and b is not None]
            more = cell([b - a for a, b in both]) if len(both) > 1 else ""
            print(f"| {name} | {how} | {cell(plain)} | {cell(tcp)} | {more} |")

print(f"\nhow much later than FedBuff the others reach {GOAL:.0%}, in virtual seconds ({seeds} seeds, paired, ± two standard errors)\n")
print("| | server | Reliable | Tcp |\n|---|---|---|---|")
for path, name in PATHS.items():
    for how in ("rounds", "over"):
        later = []
        for transport in ("Reliable", "Tcp"):
            both = zip(cells.get((path, how, transport), []), cells.get((path, "fedbuff", transport), []))
            later.append(cell([a["time"] - b["time"] for a, b in both if None not in (a["time"], b["time"])]))
        print(f"| {name} | {how} | {later[0]} | {later[1]} |")
