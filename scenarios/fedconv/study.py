#!/usr/bin/env python3
"""The study of docs/studies/fedconv.md: FedConv, its rivals, and controls that have the public set as well."""

import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from studies import FIGURES, Cell, Study, Table, bytes_until, product, reached

METHODS = {
    "fedconv_authors": "FedConv, as the authors' program",
    "fedconv": "FedConv, from HeteroFL's sub-models",
    "stand_alone": "every client alone",
    "fedavg": "FedAvg, full width",
    "lotteryfl": "LotteryFL",
    "fedmd": "FedMD",
    "hermes": "Hermes",
    "tailorfl": "TailorFL",
    "heterofl": "HeteroFL",
    "fedrolex": "FedRolex",
    "fedavg_small": "FedAvg, smallest width",
    "public_only": "public set alone, FedConv's server FLOPs",
    "public_only_small": "public set alone, smallest width, as many passes",
    "fedavg_tuned": "FedAvg, full width, fine-tuned",
    "heterofl_tuned": "HeteroFL, fine-tuned",
    "heterofl_server_steps": "HeteroFL, fine-tuned with FedConv's server FLOPs",
}
# Clients have networks of their own, and the mean of these is nobody's.
PERSONAL = ["stand_alone", "lotteryfl", "fedmd", "hermes", "tailorfl"]
GLOBAL = [name for name in METHODS if name not in PERSONAL]
# Those that learn from the public set, and so have something to lose with its size.
SHARED = ["fedconv_authors", "fedconv", "public_only", "fedavg_tuned", "heterofl_tuned", "heterofl_server_steps"]
WIDTHS = ["1.0", "0.75", "0.5625"]

# The authors' whole budget, on the embedded digits: 100 rounds of five local epochs, and the passes over the
# public set of their program. 19 % is the share that is public in their release.
WHOLE = ("data=Digits", "public.select=0.2", "training.epochs=5", "schedule.rounds=100")
# FedConv's server computes as much as 200 passes over the public set through the full network in the mean of
# the 100 rounds: 33.2 GFLOP in each of the first five and 21.6 GFLOP later, of 0.111 GFLOP a pass.
PASSES = 200
WHOLE_METHODS = {
    "fedconv_authors": (
        "method=FedConv(init: Random, activation: Mlr(negative: 0.001, positive: 0.85), weights: Normal)",
    ),
    "fedconv": ("method=FedConv()",),
    "stand_alone": (),
    "fedavg": (),
    "lotteryfl": (),
    "fedmd": (),
    "hermes": (),
    "tailorfl": (),
    "heterofl": (),
    "fedrolex": (),
    "fedavg_small": (),
    "public_only": (f"method=PublicOnly((epochs: {PASSES}, lr: 0.0001))",),
    "public_only_small": (f"method=PublicOnly((epochs: {PASSES}, lr: 0.0001))",),
    "fedavg_tuned": ("method=FedAvg(fine_tune: Some((epochs: 10, lr: 0.0001)))",),
    "heterofl_tuned": ("method=HeteroFL(scaler: false, fine_tune: Some((epochs: 10, lr: 0.0001)))",),
    "heterofl_server_steps": (
        f"method=HeteroFL(scaler: false, fine_tune: Some((epochs: {PASSES}, lr: 0.0001)))",
    ),
}
DIGITS = {
    "digits-dirichlet-19": ("public.share=0.19",),
    "digits-iid-19": ("public.share=0.19", "partition=(by: Iid, holdout: 0.15)"),
    "digits-dirichlet-5": ("public.share=0.05",),
}

# A reduced budget on larger data: six rounds of one local epoch, and a pass where the authors make 10 or 20.
DATA = {"mnist": "MNIST", "fashion": "Fashion-MNIST"}
SPLITS = {"dirichlet": "Dirichlet(0.1)", "iid": "IID"}

SETTINGS = {
    "digits-dirichlet-19": "digits, Dirichlet(0.1), 19 % public",
    "digits-iid-19": "digits, IID, 19 % public",
    "digits-dirichlet-5": "digits, Dirichlet(0.1), 5 % public",
    **{f"{d}-{s}": f"{DATA[d]}, {SPLITS[s]}, 5 % public, reduced budget" for d, s in product(DATA, SPLITS)},
}


def cells():
    for setting, sets in DIGITS.items():
        for method, own in WHOLE_METHODS.items():
            yield Cell((setting, method), f"scenarios/fedconv/{method}.ron", (*WHOLE, *sets, *own))
    for data, split in product(DATA, SPLITS):
        sets = []
        if data == "fashion":
            sets.append('data=FashionMnist(dir: "../data/fashion-mnist")')
        if split == "iid":
            sets.append("partition=(by: Iid, holdout: 0.15)")
        for method in METHODS:
            yield Cell((f"{data}-{split}", method), f"scenarios/fedconv/{method}.ron", tuple(sets))


def of_width(column, width):
    """A column of sizes.csv in the last round. There is no such table where all clients have one width."""

    def figure(run):
        rows = [row for row in run.table("sizes") if row["round"] == run.rounds[-1]["round"]]
        return next((float(row[column]) for row in rows if row["size"] == width and row[column]), None)

    return figure


def of_width_chosen(width):
    """The accuracy on test data of a width's sub-model, in the round that the select samples choose for the
    global model."""

    def figure(run):
        pairs = [(a, row["round"]) for a, row in zip(run.column("select_accuracy"), run.rounds) if a is not None]
        if not pairs:
            return None
        chosen = max(pairs, key=lambda pair: pair[0])[1]
        rows = [row for row in run.table("sizes") if row["round"] == chosen]
        return next((float(row["accuracy"]) for row in rows if row["size"] == width and row["accuracy"]), None)

    return figure


NOTHING = "–"


def there(view):
    """The settings of which there are runs."""
    return {s: name for s, name in SETTINGS.items() if any(view.has((s, method)) for method in METHODS)}


def rows(methods, text, columns):
    """A row for each method that has something to show."""
    made = ([METHODS[m], *(text(m, column) for column in columns)] for m in methods)
    return [row for row in made if set(row[1:]) != {NOTHING}]


def rounds(view):
    """Accuracy of the global model, and what the choice of the round makes."""
    figures = {
        "accuracy": "last round",
        "chosen_on_select": "round chosen on select samples",
        "best_on_test": "best on test data, no claim",
    }
    for setting, name in there(view).items():
        yield Table(
            f"{name}: accuracy in % of the global model on test data (mean ± standard deviation)",
            ["method", *figures.values()],
            rows(GLOBAL, lambda m, f: view.spread((setting, m), f), figures),
        )


def personal(view):
    settings = there(view)
    for figure, what in [
        ("received", "with the model that their local training began with"),
        ("trained", "after their local training"),
    ]:
        yield Table(
            f"Accuracy in %, mean over clients, own held-out samples, {what} (last round, mean ± standard deviation)",
            ["method", *settings.values()],
            rows(METHODS, lambda m, s: view.spread((s, m), figure), settings),
        )


def differences(view):
    settings = there(view)
    for ours in ["fedconv_authors", "fedconv"]:
        for figure, what, of in [
            ("chosen_on_select", "accuracy of the global model, round chosen on select samples", GLOBAL),
            ("accuracy", "accuracy of the global model, last round", GLOBAL),
            ("trained", "accuracy of clients after their local training, last round", METHODS),
        ]:
            yield Table(
                f"{METHODS[ours]}: {what}, less that of the others, points",
                ["less that of", *settings.values()],
                rows(
                    [m for m in of if m != ours],
                    lambda m, s: view.difference((s, ours), (s, m), figure),
                    settings,
                ),
            )


def widths(view):
    sized = ["fedconv_authors", "fedconv", "heterofl", "heterofl_tuned", "heterofl_server_steps", "fedrolex"]
    # Networks that are as narrow from the start; their global model is what the others' narrowest is.
    narrow = ["fedavg_small", "public_only_small"]
    for setting, name in there(view).items():
        yield Table(
            f"{name}: accuracy in % of the sub-model of each width on test data, round chosen on select samples",
            ["method", *WIDTHS],
            rows(sized, lambda m, w: view.spread((setting, m), f"chosen_{w}"), WIDTHS)
            + [
                [METHODS[m], NOTHING, NOTHING, view.spread((setting, m), "chosen_on_select")]
                for m in narrow
                if view.has((setting, m))
            ],
        )


def costs(view):
    for setting, name in there(view).items():

        def cost(key, figure, scale, digits):
            mean, of = view.mean(key, figure, scale), view.mean((setting, "fedavg"), figure, scale)
            share = f" ({mean / of:.2f})" if mean is not None and of else ""
            return NOTHING if mean is None else f"{mean:.{digits}f}{share}"

        made = []
        for method, called in METHODS.items():
            key = (setting, method)
            if view.has(key):
                made.append(
                    [
                        called,
                        cost(key, "client_flops", 1e-12, 2),
                        cost(key, "client_j", 1, 0),
                        cost(key, "bytes", 1e-6, 2),
                        view.means(key, "memory_bytes", 1e-6, 2),
                        view.means(key, "server_s", 1, 1),
                        view.means(key, "server_flops", 1e-12, 2),
                        view.means(key, "server_j", 1, 0),
                        view.means(key, "virtual_s", 1, 0),
                    ]
                )
        yield Table(
            f"{name}: costs of a whole run (mean), and as a share of FedAvg's at full width",
            ["method", "client TFLOP", "client J", "MB both ways", "largest client MB", "server s (virtual)",
             "server TFLOP", "server J", "virtual s"],
            made,
        )  # fmt: skip


def memory(run):
    """The largest client's memory; None where no client trains."""
    return max((v for v in run.column("memory_bytes", "costs") if v is not None), default=None)


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
        "memory_bytes": memory,
        **{f"acc_{width}": of_width("accuracy", width) for width in WIDTHS},
        **{f"chosen_{width}": of_width_chosen(width) for width in WIDTHS},
        **{f"trained_{width}": of_width("trained_mean", width) for width in WIDTHS},
    },
    tables=[rounds, differences, personal, widths, costs],
)

if __name__ == "__main__":
    STUDY.main()
