#!/usr/bin/env python3
"""The tables of docs/studies/faults.md, from the runs of study.sh: table.py [RUNS]"""

import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent))
import study

GOAL = 0.9


def figures(rows, record):
    return {
        "accuracy": 100 * float(rows[-1]["accuracy"]),
        "time": study.reached(rows, GOAL),
        "reports": sum(int(r["reported"]) for r in rows) / len(rows),
        "round": float(rows[-1]["ended_s"]) / len(rows),
    }


runs = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else "runs/faults")
cells = study.read(runs, r"(.*)-loss(.*)-slow(.*)-(\d+)", figures)
losses = sorted({loss for _, loss, _ in cells}, key=float)
slows = sorted({slow for _, _, slow in cells}, key=float)
for transport in sorted({transport for transport, _, _ in cells}, reverse=True):
    n = max(len(runs) for key, runs in cells.items() if key[0] == transport)
    for what, title, digits in [
        ("accuracy", "accuracy after the last round in %", 1),
        ("time", f"virtual seconds to {GOAL:.0%} (of those that reach it)", 0),
        ("reports", "reports a round", 1),
        ("round", "virtual seconds a round", 2),
    ]:
        def of(loss):
            return [[run[what] for run in cells.get((transport, loss, slow), [])] for slow in slows]

        study.table(
            f"{transport}, {title} ({n} seeds, mean ± standard deviation)",
            "packets lost",
            [f"{float(slow):.0%} stragglers" for slow in slows],
            [(f"{float(loss):.0%}", of(loss)) for loss in losses],
            digits,
        )
