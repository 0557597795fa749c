#!/usr/bin/env python3
"""The study of docs/studies/faults.md: FedAvg under loss and stragglers."""

import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from studies import FIGURES, Cell, Study, Table, product, reached

TRANSPORTS = {"Tcp": "Tcp(Cubic)", "Reliable": "Reliable()", "Datagram": "Datagram"}
LOSSES = ["0", "0.05", "0.2", "0.4"]
SLOW = ["0", "0.1", "0.3"]


def cell(transport, loss, slow):
    """Loss is a share of packets; stragglers, a share of the clients, are ten times as slow."""
    faults = []
    if loss != "0":
        faults.append(f"(fault: Loss({loss}))")
    if slow != "0":
        faults.append(f"(fault: Slow(10.0), who: Share({slow}))")
    return Cell(
        (transport, loss, slow),
        "scenarios/faults/study.ron",
        (f"faults=[{', '.join(faults)}]", f"population[0].link.transport={TRANSPORTS[transport]}"),
    )


def percent(share):
    return f"{float(share):.0%}"


def tables(view):
    columns = [f"{percent(slow)} stragglers" for slow in SLOW]
    for transport in TRANSPORTS:
        for title, text in [
            ("accuracy after the last round in %", lambda key: view.spread(key, "accuracy")),
            ("virtual seconds to 90% (of those that reach it)", lambda key: view.when(key, "s_to_90")),
            ("reports a round", lambda key: view.spread(key, "reports_a_round", 1)),
            ("virtual seconds a round", lambda key: view.spread(key, "s_a_round", 1, 2)),
            ("clients' joules, thousands", lambda key: view.spread(key, "client_j", 1e-3, 2)),
            ("MB both ways", lambda key: view.spread(key, "bytes", 1e-6, 2)),
        ]:
            yield Table(
                f"{transport}, {title} (mean ± standard deviation)",
                ["packets lost", *columns],
                [[percent(loss), *(text((transport, loss, slow)) for slow in SLOW)] for loss in LOSSES],
            )


def differences(view):
    """The control of each cell: the same transport without loss and stragglers."""
    for transport in TRANSPORTS:
        perfect = (transport, "0", "0")
        for what, figure, scale in [
            ("accuracy after the last round, points", "accuracy", 100),
            ("virtual seconds to 90%", "s_to_90", 1),
        ]:
            rows = [
                [percent(loss)]
                + [
                    "" if (loss, slow) == ("0", "0") else view.difference((transport, loss, slow), perfect, figure, scale)
                    for slow in SLOW
                ]
                for loss in LOSSES
            ]
            yield Table(
                f"{transport}, {what}, less that without loss and stragglers",
                ["packets lost", *(f"{percent(slow)} stragglers" for slow in SLOW)],
                rows,
            )


STUDY = Study(
    file=__file__,
    name="faults",
    question="Do lost packets and slow devices cost FedAvg accuracy, or time?",
    page="docs/studies/faults.md",
    words=("transport", "loss", "slow"),
    cells=[cell(*words) for words in product(TRANSPORTS, LOSSES, SLOW)],
    figures={
        **FIGURES,
        "s_to_90": reached(0.9),
        "reports_a_round": lambda run: run.total("reported") / len(run.rounds),
        "s_a_round": lambda run: run.column("ended_s")[-1] / len(run.rounds),
    },
    tables=[tables, differences],
)

if __name__ == "__main__":
    STUDY.main()
