#!/usr/bin/env python3
"""The study of docs/studies/fedconv.md: FedConv, its rivals, and controls that have the public set as well."""

import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from studies import FIGURES, Cell, Study, Table, bytes_until, product, reached

METHODS = {
    "fedconv": "FedConv",
    "heterofl": "HeteroFL",
    "fedrolex": "FedRolex",
    "fedavg": "FedAvg, full width",
    "fedavg_small": "FedAvg, smallest width",
    "stand_alone": "every client alone",
    "public_only": "public set alone, as many server passes",
    "fedavg_tuned": "FedAvg, full, one pass of fine-tuning",
    "heterofl_tuned": "HeteroFL, one pass of fine-tuning",
    "heterofl_server_steps": "HeteroFL, as many server passes",
}
DATA = {"mnist": "MNIST", "fashion": "Fashion"}
SPLITS = {"dirichlet": "Dirichlet(0.1)", "iid": "IID"}
WIDTHS = ["1.0", "0.75", "0.5625"]
# Those that learn from the public set, and so have something to lose with its size.
SHARED = ["fedconv", "public_only", "fedavg_tuned", "heterofl_tuned", "heterofl_server_steps"]
SHARES = {"1 %": "mnist-dirichlet-10-public-0.01", "5 %": "mnist-dirichlet-10", "19 %": "mnist-dirichlet-10-public-0.19"}

# What 200 clients change. With more clients a round FedConv's server takes more passes, and so do the
# controls that are given as many.
MANY = (
    "population[0].count=40",
    "population[1].count=80",
    "population[2].count=80",
    "schedule.cohort=20",
    "schedule.rounds=10",
    "training.epochs=2",
)
MANY_PASSES = {
    "public_only": ("method=PublicOnly((epochs: 40, lr: 0.001))",),
    "heterofl_server_steps": ("method=HeteroFL(scaler: false, fine_tune: Some((epochs: 40, lr: 0.001)))",),
}


def cells():
    def cell(setting, method, *sets):
        return Cell((setting, method), f"scenarios/fedconv/{method}.ron", sets)

    for clients in ["10", "200"]:
        for data, split in product(DATA, SPLITS):
            sets = []
            if data == "fashion":
                sets.append('data=FashionMnist(dir: "../data/fashion-mnist")')
            if split == "iid":
                sets.append("partition=(by: Iid, holdout: 0.15)")
            for method in METHODS:
                many = (*MANY, *MANY_PASSES.get(method, ())) if clients == "200" else ()
                yield cell(f"{data}-{split}-{clients}", method, *sets, *many)
    for share in ["0.01", "0.19"]:
        for method in SHARED:
            yield cell(f"mnist-dirichlet-10-public-{share}", method, f"public.share={share}")


def of_width(column, width):
    """A column of sizes.csv in the last round. There is no such table where all clients have one width."""

    def figure(run):
        rows = [row for row in run.table("sizes") if row["round"] == run.rounds[-1]["round"]]
        return next((float(row[column]) for row in rows if row["size"] == width and row[column]), None)

    return figure


SETTINGS = {
    clients: {f"{d}-{s}-{clients}": f"{DATA[d]}, {SPLITS[s]}" for d, s in product(DATA, SPLITS)}
    for clients in ["10", "200"]
}
NOTHING = "–"


def rows(methods, text, columns):
    """A row for each method that has something to show."""
    made = ([METHODS[m], *(text(m, column) for column in columns)] for m in methods)
    return [row for row in made if set(row[1:]) != {NOTHING}]


def accuracies(view):
    for clients, settings in SETTINGS.items():
        for figure, what in [
            ("accuracy", "global model, test set"),
            ("personal", "mean over clients, own samples, with the model they are handed"),
            ("received", "mean over clients, own samples, with the model that their local training began with"),
            ("trained", "mean over clients, own samples, after their local training"),
        ]:
            yield Table(
                f"{clients} clients, accuracy in %: {what} (last round, mean ± standard deviation)",
                ["method", *settings.values()],
                rows(METHODS, lambda m, s: view.spread((s, m), figure), settings),
            )


def rounds(view):
    """What the choice of the round makes."""
    figures = {"accuracy": "last", "chosen_on_select": "chosen on select samples",
               "chosen_on_clients": "chosen on clients' held-out samples", "best_on_test": "best on test data"}  # fmt: skip
    for settings in SETTINGS.values():
        for setting, name in settings.items():
            yield Table(
                f"{name}, {setting.rsplit('-', 1)[1]} clients: accuracy in % of the global model on test data, of the "
                "last round, of chosen rounds, and of the best round, which is no claim (mean ± standard deviation)",
                ["method", *figures.values()],
                rows(METHODS, lambda m, f: view.spread((setting, m), f), figures),
                ["Where a column has dashes alone, runs do not write what that choice needs."],
            )


def differences(view):
    for clients, settings in SETTINGS.items():
        for against in ["public_only", "fedconv"]:
            of = [m for m in METHODS if m not in (against, "stand_alone")]
            yield Table(
                f"{clients} clients: accuracy of the global model, last round, less that of "
                f"{METHODS[against]}, points",
                ["method", *settings.values()],
                rows(of, lambda m, s: view.difference((s, m), (s, against), "accuracy"), settings),
            )


def widths(view):
    sized = ["fedconv", "heterofl", "heterofl_tuned", "heterofl_server_steps", "fedrolex"]
    for column, of, what in [
        ("acc", sized, "test set"),
        ("trained", [*sized, "stand_alone"], "mean over the clients of each width, own samples, after their training"),
    ]:
        yield Table(
            f"Ten clients, MNIST, Dirichlet(0.1), accuracy in % of the sub-model of each width: {what}",
            ["method", *WIDTHS],
            rows(of, lambda m, w: view.spread(("mnist-dirichlet-10", m), f"{column}_{w}"), WIDTHS),
        )
    yield Table(
        "Ten clients, MNIST, Dirichlet(0.1), accuracy of the sub-model of each width: FedConv less the others, points",
        ["FedConv less", *WIDTHS],
        rows(
            sized[1:],
            lambda m, w: view.difference(("mnist-dirichlet-10", "fedconv"), ("mnist-dirichlet-10", m), f"acc_{w}"),
            WIDTHS,
        ),
    )


def costs(view):
    base = ("mnist-dirichlet-10", "fedavg")

    def cost(key, figure, scale, digits):
        mean, of = view.mean(key, figure, scale), view.mean(base, figure, scale)
        share = f" ({mean / of:.2f})" if mean is not None and of else ""
        return NOTHING if mean is None else f"{mean:.{digits}f}{share}"

    made = []
    for method, name in METHODS.items():
        key = ("mnist-dirichlet-10", method)
        if view.has(key):
            made.append(
                [
                    name,
                    cost(key, "client_flops", 1e-12, 2),
                    cost(key, "client_j", 1, 0),
                    cost(key, "bytes", 1e-6, 2),
                    view.means(key, "memory_bytes", 1e-6, 2),
                    view.means(key, "server_s", 1, 2),
                    view.means(key, "server_flops", 1e-12, 2),
                    view.means(key, "server_j", 1, 0),
                    view.means(key, "virtual_s", 1, 1),
                    view.each(key, "rounds_to_90", 1, 0),
                ]
            )
    yield Table(
        "Ten clients, MNIST, Dirichlet(0.1): costs of a whole run (mean), and as a share of FedAvg's at full width",
        ["method", "client TFLOP", "client J", "MB both ways", "largest client MB", "server s (virtual)",
         "server TFLOP", "server J", "virtual s", "rounds to 90% of each seed"],
        made,
    )  # fmt: skip


def shares(view):
    yield Table(
        "Ten clients, MNIST, Dirichlet(0.1), accuracy in % of the global model by the share that is public",
        ["method", *SHARES],
        rows(SHARED, lambda m, s: view.spread((SHARES[s], m), "accuracy"), SHARES),
    )
    yield Table(
        "Ten clients, MNIST, Dirichlet(0.1), accuracy by the share that is public, less that of the public set alone, "
        "points",
        ["method", *SHARES],
        rows(
            [m for m in SHARED if m != "public_only"],
            lambda m, s: view.difference((SHARES[s], m), (SHARES[s], "public_only"), "accuracy"),
            SHARES,
        ),
    )


STUDY = Study(
    file=__file__,
    name="fedconv",
    question="How much of FedConv's result comes from learned compression, and how much from the public set?",
    page="docs/studies/fedconv.md",
    words=("setting", "method"),
    cells=list(cells()),
    figures={
        **FIGURES,
        "rounds_to_90": reached(0.9, "round"),
        "bytes_to_90": bytes_until(0.9),
        "memory_bytes": lambda run: max(run.column("memory_bytes", "costs")),
        **{f"acc_{width}": of_width("accuracy", width) for width in WIDTHS},
        **{f"trained_{width}": of_width("trained_mean", width) for width in WIDTHS},
    },
    tables=[accuracies, rounds, differences, widths, costs, shares],
)

if __name__ == "__main__":
    STUDY.main()
