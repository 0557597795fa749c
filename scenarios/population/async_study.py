#!/usr/bin/env python3
"""The study of docs/studies/async.md: servers that hold rounds and servers that do not."""

import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from studies import FIGURES, Cell, Study, Table, product, reached


def fedasync(staleness):
    return f"rounds: 1200, waiting: FedAsync(concurrency: 20, alpha: 0.6, staleness: {staleness})"


# How the server waits, and after how many of its steps the model is measured. All take in 1,200 reports.
SERVERS = {
    "rounds": ('rounds: 60, cohort: 20, deadline: "30 s"', 1),
    "deadline": ('rounds: 60, cohort: 20, deadline: "4 s"', 1),
    "over": ('rounds: 60, cohort: 20, over_selection: 1.5, deadline: "30 s"', 1),
    "fedbuff": ("rounds: 240, waiting: FedBuff(concurrency: 20, buffer: 5)", 2),
    "fedbuff-constant": ("rounds: 240, waiting: FedBuff(concurrency: 20, buffer: 5, staleness: Constant)", 2),
    "fedasync-constant": (fedasync("Constant"), 10),
    "fedasync-polynomial": (fedasync("Polynomial(a: 0.5)"), 10),
    "fedasync-hinge": (fedasync("Hinge(a: 10.0, b: 4.0)"), 10),
}
SLOW = ["0", "0.3"]


def cell(server, slow):
    """Stragglers, a share of the clients, are ten times as slow."""
    schedule, every = SERVERS[server]
    faults = "" if slow == "0" else f"(fault: Slow(10.0), who: Share({slow}))"
    return Cell(
        (server, slow),
        "scenarios/population/async_study.ron",
        (
            f"schedule=({schedule})",
            f"faults=[{faults}]",
            f"evaluation=(every: {every})",
            "record=(trace: false)",
        ),
    )


def ages(run):
    return {int(tau): n for tau, n in run.record.get("staleness", {}).items()}


def mean_age(run):
    of = ages(run)
    return sum(tau * n for tau, n in of.items()) / max(sum(of.values()), 1)


COLUMNS = [f"{float(slow):.0%} stragglers" for slow in SLOW]


def tables(view):
    for title, text in [
        ("virtual seconds to 90% (of those that reach it)", lambda key: view.when(key, "s_to_90")),
        ("accuracy after the last report in %", lambda key: view.spread(key, "accuracy")),
        ("reports used a virtual second", lambda key: view.spread(key, "reports_a_s", 1)),
        ("mean staleness in server steps", lambda key: view.spread(key, "age", 1)),
        ("largest staleness in server steps", lambda key: view.spread(key, "oldest", 1, 0)),
        ("operations of clients that changed no model, %", lambda key: view.spread(key, "wasted")),
        ("clients' joules, thousands", lambda key: view.spread(key, "client_j", 1e-3, 2)),
        ("MB both ways", lambda key: view.spread(key, "bytes", 1e-6, 2)),
    ]:
        yield Table(
            f"{title} (mean ± standard deviation)",
            ["server", *COLUMNS],
            [[server, *(text((server, slow)) for slow in SLOW)] for server in SERVERS],
        )


def differences(view):
    for title, figure, scale in [
        ("virtual seconds to 90%", "s_to_90", 1),
        ("accuracy after the last report, points", "accuracy", 100),
    ]:
        yield Table(
            f"{title}, less that of rounds which wait for all",
            ["server", *COLUMNS],
            [
                [server, *(view.difference((server, slow), ("rounds", slow), figure, scale) for slow in SLOW)]
                for server in SERVERS
                if server != "rounds"
            ],
            ["Seeds under which one of the two never has 90% are left out."] if figure == "s_to_90" else [],
        )


# A staleness function and its control, under which every report counts the same.
WEIGHED = {
    "fedbuff": "fedbuff-constant",
    "fedasync-polynomial": "fedasync-constant",
    "fedasync-hinge": "fedasync-constant",
}


def staleness(view):
    for title, figure, scale in [
        ("virtual seconds to 90%", "s_to_90", 1),
        ("accuracy after the last report, points", "accuracy", 100),
    ]:
        yield Table(
            f"{title}: a server that weighs by staleness less one that does not",
            ["server", *COLUMNS],
            [
                [server, *(view.difference((server, slow), (control, slow), figure, scale) for slow in SLOW)]
                for server, control in WEIGHED.items()
            ],
            ["Seeds under which one of the two never has 90% are left out."] if figure == "s_to_90" else [],
        )


STUDY = Study(
    file=__file__,
    name="async",
    question="How much virtual time to an accuracy do servers save that do not wait?",
    page="docs/studies/async.md",
    words=("server", "slow"),
    cells=[cell(server, slow) for slow, server in product(SLOW, SERVERS)],
    figures={
        **FIGURES,
        "s_to_90": reached(0.9),
        "reports_a_s": lambda run: run.total("reported") / run.column("ended_s")[-1],
        "age": mean_age,
        "oldest": lambda run: max(ages(run), default=0),
    },
    tables=[tables, differences, staleness],
)

if __name__ == "__main__":
    STUDY.main()
