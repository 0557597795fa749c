#!/usr/bin/env python3
"""The study of docs/studies/stragglers.md: FedProx's own setting, in which half of the clients are too slow."""

import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from studies import FIGURES, Cell, Study, Table, product

METHODS = {"fedavg": "FedAvg", "fedprox": "FedProx(mu: 1)"}
DEADLINES = {"drop": "Drop", "partial": 'ReportPartial(reserve: "100 ms")'}
# The control: the slow group is as fast as the other one, so nobody is cut short.
SPEEDS = {"half-slow": "700 kFLOP/s", "all-fast": "15 GFLOP/s"}
NAMES = {
    "fedavg": "FedAvg",
    "fedprox": "FedProx, μ = 1",
    "drop": "stragglers are dropped",
    "partial": "stragglers report partial work",
}


def cell(speed, method, deadline):
    return Cell(
        (speed, method, deadline),
        "scenarios/methods/fedprox_stragglers.ron",
        (
            f"method={METHODS[method]}",
            f"schedule.on_deadline={DEADLINES[deadline]}",
            f"population[1].device.speed={SPEEDS[speed]}",
        ),
    )


COLUMNS = [f"{NAMES[m]}, {NAMES[d]}" for m, d in product(METHODS, DEADLINES)]
ROWS = {"half-slow": "half of the clients too slow", "all-fast": "nobody too slow"}


def tables(view):
    for title, text in [
        ("accuracy on test data after the last round in %", lambda key: view.spread(key, "accuracy")),
        ("mean over clients on own samples, model handed out, in %", lambda key: view.spread(key, "personal")),
        ("reports a round", lambda key: view.spread(key, "reports_a_round", 1)),
        ("of these partial", lambda key: view.spread(key, "partial_a_round", 1)),
        ("operations of clients that changed no model, %", lambda key: view.spread(key, "wasted")),
        ("clients' joules, thousands", lambda key: view.spread(key, "client_j", 1e-3, 2)),
        ("clients' GFLOP", lambda key: view.spread(key, "client_flops", 1e-9, 2)),
        ("MB both ways", lambda key: view.spread(key, "bytes", 1e-6, 2)),
        ("virtual seconds of the run", lambda key: view.spread(key, "virtual_s", 1, 0)),
    ]:
        yield Table(
            f"{title} (mean ± standard deviation)",
            ["", *COLUMNS],
            [[ROWS[s], *(text((s, m, d)) for m, d in product(METHODS, DEADLINES))] for s in SPEEDS],
        )


def differences(view):
    """Each ingredient by itself, under the other's two values."""
    pairs = [
        ("partial work instead of dropping, FedAvg", ("fedavg", "partial"), ("fedavg", "drop")),
        ("partial work instead of dropping, FedProx", ("fedprox", "partial"), ("fedprox", "drop")),
        ("the proximal term, stragglers dropped", ("fedprox", "drop"), ("fedavg", "drop")),
        ("the proximal term, with partial work", ("fedprox", "partial"), ("fedavg", "partial")),
    ]
    yield Table(
        "Accuracy on test data after the last round: what an ingredient adds, points",
        ["ingredient", *ROWS.values()],
        [[name, *(view.difference((s, *a), (s, *b), "accuracy") for s in SPEEDS)] for name, a, b in pairs],
    )


def loss(view):
    """What being too slow costs."""
    yield Table(
        "Accuracy on test data after the last round: half of the clients too slow, less nobody too slow, points",
        COLUMNS,
        [
            [
                view.difference(("half-slow", m, d), ("all-fast", m, d), "accuracy")
                for m, d in product(METHODS, DEADLINES)
            ]
        ],
    )


STUDY = Study(
    file=__file__,
    name="stragglers",
    question="Does FedProx's gain with stragglers come from their partial work or from the proximal term?",
    page="docs/studies/stragglers.md",
    words=("speed", "method", "on_deadline"),
    cells=[cell(*words) for words in product(SPEEDS, METHODS, DEADLINES)],
    figures={
        **FIGURES,
        "reports_a_round": lambda run: run.total("reported") / len(run.rounds),
        "partial_a_round": lambda run: run.total("partial") / len(run.rounds),
    },
    tables=[tables, differences, loss],
)

if __name__ == "__main__":
    STUDY.main()
