#!/usr/bin/env python3
"""What TCP does to results (docs/studies/network.md): stragglers, deadlines and servers that do not wait, over
Reliable and over Tcp."""

import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from studies import FIGURES, Cell, Study, Table, product, reached

# Link, width of the network's hidden layer, Reliable's timeout: two round trips, as presets once had it.
PATHS = {
    "4g-small": ("10 kB over 4G", "4g", 32, "42 ms"),
    "4g": ("154 kB over 4G", "4g", 512, "42 ms"),
    "geo": ("154 kB by satellite", "satellite-geo", 512, "1260 ms"),
}
# How the server waits, and after how many of its steps the model is measured.
SERVERS = {
    "rounds": ('rounds: 60, cohort: 20, deadline: "60 s"', 1),
    "deadline": ('rounds: 60, cohort: 20, deadline: "4 s", least_reports: 1', 1),
    "over": ('rounds: 60, cohort: 20, over_selection: 1.5, deadline: "60 s"', 1),
    "fedbuff": ("rounds: 240, waiting: FedBuff(concurrency: 20, buffer: 5)", 2),
}
TRANSPORTS = ["Reliable", "Tcp"]


def cell(path, server, transport):
    """Three in ten phones are ten times as slow."""
    _, link, width, timeout = PATHS[path]
    schedule, every = SERVERS[server]
    of = "Tcp()" if transport == "Tcp" else f'Reliable(timeout: "{timeout}")'
    return Cell(
        (path, server, transport),
        "scenarios/population/async_study.ron",
        (
            f"schedule=({schedule})",
            "faults=[(fault: Slow(10.0), who: Share(0.3))]",
            f"model=[Flatten, Dense({width}), Relu, Dense(10)]",
            f'population[0].link=(preset: "{link}", transport: {of})',
            f'server=(link: (preset: "datacentre", transport: {of}))',
            f"evaluation=(every: {every})",
            "record=(trace: false)",
        ),
    )


def each_path(row):
    return [[PATHS[path][0], server, *row(path, server)] for path, server in product(PATHS, SERVERS)]


def tables(view):
    for title, text, figure, scale in [
        ("virtual seconds to 90%; where some never reach it: how many do, and their median",
         lambda key: view.when(key, "s_to_90", 1), "s_to_90", 1),
        ("reports used, of those asked, in %", lambda key: view.spread(key, "used"), "used", 100),
        ("accuracy after the last round in %", lambda key: view.spread(key, "accuracy"), "accuracy", 100),
    ]:  # fmt: skip

        def row(path, server):
            plain, tcp = ((path, server, transport) for transport in TRANSPORTS)
            return [text(plain), text(tcp), view.difference(tcp, plain, figure, scale, always=True)]

        yield Table(
            f"{title} (mean ± standard deviation)",
            ["model and path", "server", *TRANSPORTS, "Tcp less Reliable"],
            each_path(row),
        )


def later(view):
    rows = [
        [PATHS[path][0], server]
        + [
            view.difference((path, server, t), (path, "fedbuff", t), "s_to_90", 1, always=True)
            for t in TRANSPORTS
        ]
        for path, server in product(PATHS, ["rounds", "over"])
    ]
    yield Table(
        "how much later than FedBuff the others reach 90%, in virtual seconds",
        ["model and path", "server", *TRANSPORTS],
        rows,
    )


def used(run):
    return run.total("reported") / max(run.total("invited"), 1)


STUDY = Study(
    file=__file__,
    name="transports",
    question="What does TCP's time change in results?",
    page="docs/studies/network.md",
    words=("path", "server", "transport"),
    cells=[cell(*words) for words in product(PATHS, SERVERS, TRANSPORTS)],
    seeds=tuple(range(1, 11)),
    figures={**FIGURES, "s_to_90": reached(0.9), "used": used},
    tables=[tables, later],
)

if __name__ == "__main__":
    STUDY.main()
