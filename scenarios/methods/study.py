#!/usr/bin/env python3
"""The runs behind the tables of docs/methods.md: methods on the digits, and what clients have of them."""

import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from studies import FIGURES, Cell, Study, Table, last, reached

# Name of the cell: how tables call it, scenario, overrides.
ARMS = {
    name: (f"`methods/{name}.ron`", f"scenarios/methods/{name}.ron")
    for name in "fedavg fedsgd fedprox scaffold fednova fedavgm fedadagrad fedadam fedyogi lotteryfl".split()
}
ARMS["lotteryfl_unpruned"] = (
    "`methods/lotteryfl.ron` with `target: 0`",
    "scenarios/methods/lotteryfl.ron",
    "method=LotteryFL(prune_rate: 0.2, target: 0.0)",
)
ARMS["hermes"] = ("`methods/hermes.ron`", "scenarios/methods/hermes.ron")
ARMS["tailorfl"] = ("`methods/tailorfl.ron` (three widths)", "scenarios/methods/tailorfl.ron")
ARMS["local_only"] = ("`baselines/local_only.ron`", "scenarios/baselines/local_only.ron")
ARMS["centralised"] = ("`baselines/centralised.ron`", "scenarios/baselines/centralised.ron")
ARMS["fedmd"] = ("`methods/fedmd.ron`", "scenarios/methods/fedmd.ron")
ARMS["fedmd_alone"] = (
    "`methods/fedmd.ron` with `LocalOnly()`",
    "scenarios/methods/fedmd.ron",
    "method=LocalOnly()",
)
# A setting of its own (other clients, other rounds), and its control.
OF_FEDMD = ["fedmd", "fedmd_alone"]

# Columns of rounds.csv, as tables call them.
PERSONAL = {
    "client_mean": "handed out now: mean client, %",
    "client_worst10": "worst tenth, %",
    "received_mean": "before training: mean client, %",
    "received_worst10": "worst tenth, %",
    "trained_mean": "after training: mean client, %",
    "trained_worst10": "worst tenth, %",
}
STANDS_ON = {
    "trained_clients": "clients measured",
    "trained_worst10_clients": "clients in the worst tenth",
    "received_worst10_samples": "their held-out samples before training",
    "trained_worst10_samples": "after training",
    "client_worst10_clients": "clients in the worst tenth of those handed out now",
    "client_worst10_samples": "their held-out samples",
}


def there(view):
    return [name for name in ARMS if view.has((name,))]


def accuracy(view):
    yield Table(
        "What they reach",
        [
            "scenario",
            "rounds",
            "final accuracy, % (± deviation over seeds)",
            "rounds to 90 % (median)",
            *PERSONAL.values(),
            "MB sent",
        ],
        [
            [
                ARMS[name][0],
                view.means((name,), "rounds", 1, 0),
                view.spread((name,), "accuracy"),
                view.median((name,), "rounds_to_90"),
                *(view.means((name,), column, 100) for column in PERSONAL),
                view.means((name,), "bytes", 1e-6),
            ]
            for name in there(view)
        ],
    )


def rounds(view):
    yield Table(
        "Accuracy in % of the global model on test data: of the last round, of the round that clients' own held-out "
        "samples choose, and of the round that test data would choose, which is no claim (mean ± standard deviation)",
        ["scenario", "last", "chosen on clients", "best on test data"],
        [
            [ARMS[name][0], *(view.spread((name,), f) for f in ("accuracy", "chosen_on_clients", "best_on_test"))]
            for name in there(view)
        ],
    )


def differences(view):
    names = there(view)
    for against, of in [
        ("fedavg", [n for n in names if n not in [*OF_FEDMD, "fedavg"]]),
        ("fedmd_alone", [n for n in names if n == "fedmd"]),
    ]:
        if not of or against not in names:
            continue
        columns = ["received_mean", "received_worst10", "trained_mean", "trained_worst10"]
        # Of each a model before and after training; the centralised baseline has none.
        rows = [[ARMS[n][0], *(view.difference((n,), (against,), f) for f in columns)] for n in of if n != "centralised"]
        yield Table(
            f"Personal accuracy less that of {ARMS[against][0]}, points",
            ["scenario", "before training: mean", "worst tenth", "after training: mean", "worst tenth"],
            rows,
        )


def stands_on(view):
    yield Table(
        "On how many clients and held-out samples the figures stand (mean over seeds)",
        ["scenario", *STANDS_ON.values()],
        [[ARMS[name][0], *(view.means((name,), column) for column in STANDS_ON)] for name in there(view)],
    )


def costs(view):
    yield Table(
        "Costs of a whole run (mean over seeds)",
        ["scenario", "client GFLOP", "server GFLOP", "client J", "server J", "MB both ways", "virtual s"],
        [
            [
                ARMS[name][0],
                view.means((name,), "client_flops", 1e-9),
                view.means((name,), "server_flops", 1e-9, 3),
                view.means((name,), "client_j", 1, 0),
                view.means((name,), "server_j", 1, 3),
                view.means((name,), "bytes", 1e-6),
                view.means((name,), "virtual_s", 1),
            ]
            for name in there(view)
        ],
    )


STUDY = Study(
    file=__file__,
    name="methods",
    question="What do methods reach on the digits with skewed labels, for the server and for the clients?",
    page="docs/methods.md",
    words=("arm",),
    cells=[Cell((name,), arm[1], arm[2:]) for name, arm in ARMS.items()],
    seeds=tuple(range(1, 11)),
    figures={
        **FIGURES,
        "rounds_to_90": reached(0.9, "round"),
        **{column: last(column) for column in [*PERSONAL, *STANDS_ON]},
    },
    tables=[accuracy, rounds, differences, stands_on, costs],
)

if __name__ == "__main__":
    STUDY.main()
