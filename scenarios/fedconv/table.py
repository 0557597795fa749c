#!/usr/bin/env python3
"""Tables of docs/studies/fedconv.md from the runs of run.sh; needs nothing but Python 3.8.

usage: scenarios/fedconv/table.py [RUNS [CSV]]

Reads RUNS (runs/fedconv), puts one line a run into CSV (docs/studies/fedconv.csv), in place of an
older line of the same run, and prints the tables in Markdown. Without RUNS they are made from CSV.
"""

import csv
import json
import pathlib
import statistics
import sys

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
SPLITS = [("mnist", "dirichlet"), ("mnist", "iid"), ("fashion", "dirichlet"), ("fashion", "iid")]
TITLES = {"mnist": "MNIST", "fashion": "Fashion", "dirichlet": "Dirichlet(0.1)", "iid": "IID"}
WIDTHS = ["1.0", "0.75", "0.5625"]
TARGET = 0.9
COLUMNS = (
    "setting method seed accuracy best personal rounds_to_target bytes_to_target bytes flop energy_j "
    "memory_bytes server_s rounds hash acc_1.0 acc_0.75 acc_0.5625 "
    "trained trained_1.0 trained_0.75 trained_0.5625"
).split()


def table(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def of_run(setting, folder):
    """The line of one run."""
    method, seed = folder.name.rsplit("-", 1)
    run = json.loads((folder / "run.json").read_text())
    if run["status"] != "completed":
        sys.exit(f"{folder}: {run['status']}")
    rounds = table(folder / "rounds.csv")
    costs = table(folder / "costs.csv")
    traffic = [int(r["bytes_down"]) + int(r["bytes_up"]) for r in rounds]
    there = [i for i, r in enumerate(rounds) if r["accuracy"] and float(r["accuracy"]) >= TARGET]
    by_size = folder / "sizes.csv"
    # Where all clients have one width there is no such table.
    sizes = table(by_size) if by_size.exists() else []
    last = [r for r in sizes if r["round"] == rounds[-1]["round"]]
    by_width = {f"acc_{r['size']}": r["accuracy"] for r in last}
    trained = {f"trained_{r['size']}": r["trained_mean"] for r in last}
    return {
        "setting": setting,
        "method": method,
        "seed": seed,
        "accuracy": rounds[-1]["accuracy"],
        "best": (run["totals"]["best_accuracy"] or [""])[0],
        "personal": rounds[-1]["client_mean"],
        "rounds_to_target": there[0] + 1 if there else "",
        "bytes_to_target": sum(traffic[: there[0] + 1]) if there else "",
        "bytes": sum(traffic),
        "flop": sum(int(c["flops"]) for c in costs),
        "energy_j": sum(float(c["energy_j"]) for c in costs),
        "memory_bytes": max(int(c["memory_bytes"]) for c in costs),
        "server_s": sum(float(r["server_compute_s"]) for r in rounds),
        "rounds": len(rounds),
        "hash": run["trace_hash"],
        **{f"acc_{w}": by_width.get(f"acc_{w}", "") for w in WIDTHS},
        "trained": rounds[-1]["trained_mean"],
        **{f"trained_{w}": trained.get(f"trained_{w}", "") for w in WIDTHS},
    }


def key(row):
    return row["setting"], row["method"], row["seed"]


def spread(rows, column, scale=100.0, digits=1):
    values = [scale * float(r[column]) for r in rows if r[column] != ""]
    if not values:
        return "–"
    text = f"{statistics.mean(values):.{digits}f}"
    if len(values) > 1:
        text += f" ± {statistics.stdev(values):.{digits}f}"
    return text


def markdown(header, rows):
    print("| " + " | ".join(header) + " |")
    print("|" + "---|" * len(header))
    for row in rows:
        print("| " + " | ".join(row) + " |")
    print()


def main():
    runs = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else "runs/fedconv")
    lines = pathlib.Path(sys.argv[2] if len(sys.argv) > 2 else "docs/studies/fedconv.csv")
    known = {key(row): row for row in table(lines)} if lines.exists() else {}
    folders = sorted(p.parent for p in runs.glob("*/*/run.json") if p.parent.suffix != ".part")
    for folder in folders:
        row = of_run(folder.parent.name, folder)
        known[key(row)] = row
    if folders:
        with open(lines, "w", newline="") as file:
            writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
            writer.writeheader()
            writer.writerows(row for _, row in sorted(known.items()))
    rows = table(lines)

    def find(setting, method):
        return [r for r in rows if r["setting"] == setting and r["method"] == method]

    for clients in ["10", "200"]:
        settings = [f"{data}-{by}-{clients}" for data, by in SPLITS]
        heads = [f"{TITLES[data]}, {TITLES[by]}" for data, by in SPLITS]
        for column, what in [
            ("accuracy", "global model, test set"),
            ("personal", "mean over clients, own samples, with the model they are handed"),
            ("trained", "mean over clients, own samples, after their local training"),
        ]:
            counts = {len(find(s, m)) for s in settings for m in METHODS}
            seeds = f"{min(counts)}" if len(counts) == 1 else f"{min(counts)} to {max(counts)}"
            print(f"{clients} clients, accuracy in %: {what} ({seeds} seeds, mean ± standard deviation)\n")
            each = ((m, [spread(find(s, m), column) for s in settings]) for m in METHODS)
            body = [[METHODS[m], *cells] for m, cells in each if set(cells) != {"–"}]
            markdown(["method", *heads], body)

    print("Ten clients, MNIST, Dirichlet(0.1), accuracy in % of the sub-model of each width, test set\n")
    sized = ["fedconv", "heterofl", "heterofl_tuned", "heterofl_server_steps", "fedrolex"]
    for column, of in [("acc", sized), ("trained", [*sized, "stand_alone"])]:
        each = ((m, [spread(find("mnist-dirichlet-10", m), f"{column}_{w}") for w in WIDTHS]) for m in of)
        body = [[METHODS[m], *cells] for m, cells in each if set(cells) != {"–"}]
        if column == "trained" and body:
            print("The same, mean over the clients of each width on their own samples, after their local training\n")
        if body:
            markdown(["method", *WIDTHS], body)

    print("Ten clients, MNIST, Dirichlet(0.1): costs of a whole run (mean), and of FedAvg's at full width\n")
    base = find("mnist-dirichlet-10", "fedavg")
    def mean(found, column):
        values = [float(r[column]) for r in found if r[column] != ""]
        return statistics.mean(values) if values else float("nan")
    body = []
    for m in METHODS:
        found = find("mnist-dirichlet-10", m)
        if not found:
            continue
        share = lambda column: mean(found, column) / mean(base, column)
        body.append([
            METHODS[m],
            f"{mean(found, 'flop') / 1e12:.2f} ({share('flop'):.2f})",
            f"{mean(found, 'energy_j'):.0f} ({share('energy_j'):.2f})",
            f"{mean(found, 'bytes') / 1e6:.2f} ({share('bytes'):.2f})",
            f"{mean(found, 'memory_bytes') / 1e6:.2f}",
            f"{mean(found, 'server_s'):.2f}",
            ", ".join(str(r["rounds_to_target"] or "never") for r in found),
        ])
    markdown(
        ["method", "client TFLOP", "client J", "MB both ways", "largest client MB", "server s (virtual)", f"rounds to {TARGET:.0%}"],
        body,
    )

    print("Ten clients, MNIST, Dirichlet(0.1), accuracy in % of the global model by the share that is public\n")
    shares = [("1 %", "mnist-dirichlet-10-public-0.01"), ("5 %", "mnist-dirichlet-10"), ("19 %", "mnist-dirichlet-10-public-0.19")]
    shared = ["fedconv", "public_only", "fedavg_tuned", "heterofl_tuned", "heterofl_server_steps"]
    markdown(
        ["method", *(title for title, _ in shares)],
        [[METHODS[m], *(spread(find(s, m), "accuracy") for _, s in shares)] for m in shared],
    )


if __name__ == "__main__":
    main()
