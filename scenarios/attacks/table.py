#!/usr/bin/env python3
"""Tables of what matrix.sh has run: final accuracy of every attack against every defence, in per cent,
mean over seeds; and how often the backdoor is seen. Cells without a run are left empty.

usage: scenarios/attacks/table.py [FOLDER]    [runs/attacks]
"""

import json
import pathlib
import statistics
import sys

ATTACKS = "none label_flip backdoor sign_flip gaussian free_rider sybils alie ipm min_max".split()
DEFENCES = (
    "none clipping median trimmed geomed krum multikrum bulyan fltrust centred dnc foolsgold bucketing"
).split()


def totals(folder, attack, defence):
    """What came of every seed's run."""
    for path in sorted((folder / attack).glob(f"{defence}-*/run.json")):
        record = json.loads(path.read_text())
        if record["status"] == "completed":
            yield record["totals"]


def cell(figures):
    """Mean and, of several, deviation over seeds."""
    figures = [100 * figure for figure in figures if figure is not None]
    if not figures:
        return ""
    mean = f"{statistics.fmean(figures):.1f}"
    return mean if len(figures) == 1 else f"{mean} ± {statistics.stdev(figures):.1f}"


def table(folder, title, field, attacks):
    print(f"## {title}\n")
    print("| defence |", " | ".join(attacks), "|")
    print("|---|" + "---|" * len(attacks))
    for defence in DEFENCES:
        cells = []
        for attack in attacks:
            cells.append(cell(run.get(field) for run in totals(folder, attack, defence)))
        if any(cells):
            print(f"| {defence} |", " | ".join(cells), "|")
    print()


def main():
    folder = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else "runs/attacks")
    if not folder.is_dir():
        sys.exit(f"table.py: no folder {folder}: run scenarios/attacks/matrix.sh first")
    table(folder, "Final accuracy, %", "final_accuracy", ATTACKS)
    table(folder, "Backdoor seen, % of triggered test samples", "attack_success", ["backdoor"])


if __name__ == "__main__":
    main()
