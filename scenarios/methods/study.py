#!/usr/bin/env python3
"""The runs behind the tables of docs/methods.md: methods on the digits, and what clients have of them.

Every arm is tuned with six trials: the seeds of `TUNING` choose one of six settings, and tables show the chosen
one under the other seeds."""

import pathlib
import statistics
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from studies import FIGURES, Cell, Study, Table, costs, last, product, reached

TUNING = tuple(range(1, 6))
SHOWN = tuple(range(6, 16))
# A grid has six settings: six rates of the clients or, where a method has a number of its own that decides
# much, three rates and two of that number.
SIX = ["0.01", "0.02", "0.05", "0.1", "0.2", "0.5"]
THREE = ["0.05", "0.1", "0.2"]


def rates(of=SIX, name="lr"):
    return {f"{name}-{lr}": (f"training.optimizer=Sgd(lr: {lr})",) for lr in of}


def grid(what, values, text):
    """Three rates, and the two `values` of the method's own number `what`."""
    return {
        f"lr-{lr}-{what}-{value}": (f"training.optimizer=Sgd(lr: {lr})", f"method={text.format(value)}")
        for lr, value in product(THREE, values)
    }


METHODS = "scenarios/methods/{}.ron"
# Name of the arm: how tables call it, scenario, settings that are tried.
ARMS = {
    "fedavg": ("FedAvg", METHODS.format("fedavg"), rates()),
    # A round is a step of all data, so larger rates are among the six.
    "fedsgd": ("FedSGD, 300 rounds", METHODS.format("fedsgd"), rates(["0.05", "0.1", "0.2", "0.3", "0.5", "1.0"])),
    "fedprox": ("FedProx", METHODS.format("fedprox"), grid("mu", ["0.01", "0.1"], "FedProx(mu: {})")),
    "scaffold": ("SCAFFOLD", METHODS.format("scaffold"), grid("server_lr", ["0.5", "1.0"], "Scaffold(server_lr: {})")),
    "fednova": ("FedNova", METHODS.format("fednova"), rates()),
    "fedavgm": ("FedAvgM", METHODS.format("fedavgm"), grid("momentum", ["0.3", "0.9"], "FedAvgM(lr: 1.0, momentum: {})")),
    "fedadagrad": (
        "FedAdagrad",
        METHODS.format("fedadagrad"),
        grid("server_lr", ["0.03", "0.1"], "FedAdagrad(lr: {}, tau: 0.01)"),
    ),
    "fedadam": ("FedAdam", METHODS.format("fedadam"), grid("server_lr", ["0.03", "0.1"], "FedAdam(lr: {}, tau: 0.01)")),
    "fedyogi": ("FedYogi", METHODS.format("fedyogi"), grid("server_lr", ["0.03", "0.1"], "FedYogi(lr: {}, tau: 0.01)")),
    "lotteryfl": (
        "LotteryFL",
        METHODS.format("lotteryfl"),
        grid("target", ["0.3", "0.5"], "LotteryFL(prune_rate: 0.2, target: {}, acc_threshold: 0.2)"),
    ),
    "hermes": ("Hermes", METHODS.format("hermes"), grid("target", ["0.3", "0.5"], "Hermes(prune_rate: 0.2, target: {})")),
    "tailorfl": (
        "TailorFL, three widths",
        METHODS.format("tailorfl"),
        grid("sparsity", ["0.1", "0.5"], "TailorFL(sparsity: {})"),
    ),
    "local_only": ("every client alone", "scenarios/baselines/local_only.ron", rates()),
    "centralised": ("all data pooled, 30 rounds", "scenarios/baselines/centralised.ron", rates()),
    "lotteryfl_unpruned": (
        "LotteryFL, nothing pruned",
        METHODS.format("lotteryfl"),
        {
            name: (*sets, "method=LotteryFL(prune_rate: 0.2, target: 0.0, acc_threshold: 0.2)")
            for name, sets in rates().items()
        },
    ),
    "fedmd": (
        "FedMD",
        METHODS.format("fedmd"),
        {
            f"lr-{lr}-digest-{n}": (f"training.optimizer=Sgd(lr: {lr})", f"method.digest_epochs={n}")
            for lr, n in product(THREE, ["1", "3"])
        },
    ),
    "fedmd_no_digest": (
        "FedMD without its consensus",
        METHODS.format("fedmd"),
        {name: (*sets, "method.digest_epochs=0") for name, sets in rates().items()},
    ),
    "fedmd_alone": (
        "every client alone, in FedMD's setting",
        METHODS.format("fedmd"),
        {name: (*sets, "method=LocalOnly()") for name, sets in rates().items()},
    ),
}
# A setting of its own: other clients, other rounds. Its controls take the consensus away, then the public
# labels as well.
OF_FEDMD = ["fedmd", "fedmd_no_digest", "fedmd_alone"]
# Controls and baselines that are no rivals of FedAvg.
BESIDE = [*OF_FEDMD, "centralised", "fedavg"]

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


def chosen(results, figures):
    """Arm to cell: the setting with the best mean of the first of `figures` that the arm has, under the seeds
    that choose. An arm of which such a run is missing is left out."""
    of = {}
    for arm, (_, _, settings) in ARMS.items():
        scores = {}
        for setting in settings:
            runs = results.runs.get((arm, setting), {})
            if not all(seed in runs for seed in TUNING):
                break
            for figure in figures:
                values = [runs[seed].figures[figure] for seed in TUNING]
                if None not in values:
                    scores[(arm, setting)] = statistics.fmean(values)
                    break
            else:
                # It ended without a model, under one of the seeds.
                scores[(arm, setting)] = -1.0
        if len(scores) == len(settings):
            of[arm] = max(scores, key=scores.get)
    return of


# The model of the server is tuned by what clients are handed now; personal models, by what clients have after
# their training.
FOR_SERVER = ["client_mean", "trained_mean"]
FOR_CLIENTS = ["trained_mean", "client_mean"]


def shown(view, figures):
    """The chosen cells; the tables from here on show the other seeds."""
    cells = chosen(view.results, figures)
    view.seeds = SHOWN
    return cells


def needed(results):
    """Under the seeds that do not choose, only chosen settings run."""
    cells = {key for figures in (FOR_SERVER, FOR_CLIENTS) for key in chosen(results, figures).values()}
    return lambda key, seed: seed in TUNING or key in cells


def settings(view):
    server, clients = chosen(view.results, FOR_SERVER), chosen(view.results, FOR_CLIENTS)
    view.seeds = TUNING
    yield Table(
        "The setting that seeds 1 to 5 choose of each arm's six, by the accuracy of the model handed out and by that "
        "of the clients' models after training, in % (a dash: an arm has no such model, and the other figure chooses)",
        ["arm", "for the server's model", "accuracy", "for the clients' models", "accuracy"],
        [
            [
                ARMS[arm][0],
                server[arm][1],
                view.means(server[arm], "client_mean", 100),
                clients[arm][1],
                view.means(clients[arm], "trained_mean", 100),
            ]
            for arm in server
        ],
    )


def accuracy(view):
    cells = shown(view, FOR_SERVER)
    yield Table(
        "What they reach, with the setting chosen for the server's model",
        ["arm", "rounds", "final accuracy, % (± deviation over seeds)", "rounds to 90 % (median)", *PERSONAL.values(), "MB sent"],
        [
            [
                ARMS[arm][0],
                view.means(key, "rounds", 1, 0),
                view.spread(key, "accuracy"),
                view.median(key, "rounds_to_90"),
                *(view.means(key, column, 100) for column in PERSONAL),
                view.means(key, "bytes", 1e-6),
            ]
            for arm, key in cells.items()
        ],
    )
    if "fedavg" in cells:
        yield Table(
            "Accuracy on test data after the last round less that of FedAvg, points, with the setting chosen for the "
            "server's model",
            ["arm", "difference"],
            [
                [ARMS[arm][0], view.difference(key, cells["fedavg"], "accuracy")]
                for arm, key in cells.items()
                if arm not in BESIDE and view.mean(key, "accuracy") is not None
            ],
        )


def differences(view):
    cells = shown(view, FOR_CLIENTS)
    columns = ["received_mean", "received_worst10", "trained_mean", "trained_worst10"]
    for against, of in [
        ("fedavg", [arm for arm in cells if arm not in BESIDE]),
        ("fedmd_alone", ["fedmd_no_digest", "fedmd"]),
        ("fedmd_no_digest", ["fedmd"]),
    ]:
        if against in cells and set(of) <= set(cells):
            yield Table(
                f"Personal accuracy less that of {ARMS[against][0]}, points, with the setting chosen for the clients' "
                "models",
                ["arm", "before training: mean", "worst tenth", "after training: mean", "worst tenth"],
                [
                    [ARMS[arm][0], *(view.difference(cells[arm], cells[against], f) for f in columns)]
                    for arm in of
                ],
            )
    yield Table(
        "Personal accuracy in %, with the setting chosen for the clients' models (mean ± standard deviation)",
        ["arm", "before training: mean", "worst tenth", "after training: mean", "worst tenth"],
        [[ARMS[arm][0], *(view.spread(key, f) for f in columns)] for arm, key in cells.items() if arm != "centralised"],
    )


def stands_on(view):
    yield Table(
        "On how many clients and held-out samples the figures stand (mean over seeds)",
        ["arm", *STANDS_ON.values()],
        [
            [ARMS[arm][0], *(view.means(key, column) for column in STANDS_ON)]
            for arm, key in shown(view, FOR_CLIENTS).items()
        ],
    )


def cost(view):
    title = "Costs of a whole run (mean over seeds), with the setting chosen for the server's model"
    yield costs(view, title, "arm", [(ARMS[arm][0], key) for arm, key in shown(view, FOR_SERVER).items()])


STUDY = Study(
    file=__file__,
    name="methods",
    question="What do methods reach on the digits with skewed labels, for the server and for the clients?",
    page="docs/methods.md",
    words=("arm", "setting"),
    cells=[
        Cell((arm, setting), scenario, sets)
        for arm, (_, scenario, settings) in ARMS.items()
        for setting, sets in settings.items()
    ],
    seeds=TUNING + SHOWN,
    needed=needed,
    figures={
        **FIGURES,
        "rounds_to_90": reached(0.9, "round"),
        **{column: last(column) for column in [*PERSONAL, *STANDS_ON]},
    },
    tables=[settings, accuracy, differences, stands_on, cost],
)

if __name__ == "__main__":
    STUDY.main()
