#!/usr/bin/env python3
"""The tables of docs/studies/async.md, from the runs of async.sh: async_table.py [RUNS]"""

import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent))
import study

GOAL = 0.9
HOWS = ["rounds", "deadline", "over", "fedbuff", "fedbuff-constant", "fedasync-constant",
        "fedasync-polynomial", "fedasync-hinge"]


def figures(rows, record):
    ages = {int(tau): n for tau, n in record.get("staleness", {}).items()}
    return {
        "accuracy": 100 * float([r["accuracy"] for r in rows if r["accuracy"]][-1]),
        "time": study.reached(rows, GOAL),
        "rate": sum(int(r["reported"]) for r in rows) / float(rows[-1]["ended_s"]),
        "age": sum(tau * n for tau, n in ages.items()) / max(sum(ages.values()), 1),
        "oldest": max(ages, default=0),
    }


runs = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else "runs/async")
cells = study.read(runs, r"(.*)-slow(.*)-(\d+)", figures)
slows = sorted({slow for _, slow in cells}, key=float)
n = max(len(runs) for runs in cells.values())
for what, title, digits in [
    ("time", f"virtual seconds to {GOAL:.0%} (of those that reach it)", 0),
    ("accuracy", "accuracy after the last report in %", 1),
    ("rate", "reports used a virtual second", 1),
    ("age", "mean staleness in server steps", 1),
    ("oldest", "largest staleness in server steps", 0),
]:
    rows = [(how, [[run[what] for run in cells.get((how, slow), [])] for slow in slows]) for how in HOWS]
    columns = [f"{float(slow):.0%} stragglers" for slow in slows]
    study.table(f"{title} ({n} seeds, mean ± standard deviation)", "server", columns, rows, digits)
