#!/usr/bin/env python3
"""The study of docs/studies/attacks.md: every attack against every defence on unequal digits."""

import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from studies import FIGURES, Cell, Study, Table, costs, last, product

# By four of twenty clients. A number behind a name is a strength, with which the attack hurts the plain mean;
# without one the strength is the program's default. Both are shown.
ATTACKS = {
    "none": None,
    "label_flip": "LabelFlip()",
    "backdoor": "Backdoor()",
    "backdoor-4": "Backdoor(boost: 4.0)",
    "sign_flip": "SignFlip()",
    "sign_flip-5": "SignFlip(scale: 5.0)",
    "gaussian": "Gaussian()",
    "gaussian-0.5": "Gaussian(std: 0.5)",
    "free_rider": "FreeRider()",
    "sybils": "Sybils(source: 1, target: 7)",
    "alie": "Alie(knowledge: Cohort)",
    "ipm": "Ipm(knowledge: Cohort)",
    "ipm-5": "Ipm(epsilon: 5.0, knowledge: Cohort)",
    "min_max": "MinMax(knowledge: Cohort)",
}
# Defences have their defaults, and those that ask for it are told how many adversaries there are; multi-Krum
# keeps 12 of 20 reports. The two with a number are set by hand.
DEFENCES = {
    "none": None,
    "clipping": "NormClipping()",
    "clipping-0.6": "NormClipping(bound: 0.6)",
    "median": "Median()",
    "trimmed": "TrimmedMean(trim: 0.2)",
    "geomed": "GeometricMedian()",
    "krum": "Krum(byzantine: 4)",
    "multikrum": "MultiKrum(byzantine: 4, keep: 12)",
    "bulyan": "Bulyan(byzantine: 4)",
    "fltrust": "FLTrust()",
    "centred": "CentredClipping()",
    "centred-0.6": "CentredClipping(radius: 0.6, iterations: 3)",
    "dnc": "DnC(byzantine: 4)",
    "foolsgold": "FoolsGold()",
    "bucketing": "Bucketing(size: 2, inner: GeometricMedian())",
}
# Where seeds lie further apart, in points, an attack works under some and not under others.
APART = 20


def cell(attack, defence):
    sets = []
    if ATTACKS[attack]:
        sets.append(f"adversaries=[(who: Share(0.2), attack: {ATTACKS[attack]})]")
    if DEFENCES[defence]:
        sets.append(f"defence={DEFENCES[defence]}")
    return Cell((attack, defence), "scenarios/attacks/matrix.ron", tuple(sets))


def shown(view):
    """Attacks and defences of which something was run."""
    attacks = [a for a in ATTACKS if any(view.has((a, d)) for d in DEFENCES)]
    return attacks, [d for d in DEFENCES if any(view.has((a, d)) for a in attacks)]


def accuracy(view):
    attacks, defences = shown(view)
    yield Table(
        f"Final accuracy, % (mean ± standard deviation; all seeds where they are more than {APART} points apart)",
        ["defence", *attacks],
        [[d, *(view.spread((a, d), "accuracy", all_beyond=APART) for a in attacks)] for d in defences],
    )


def backdoor(view):
    attacks, defences = shown(view)
    attacks = [a for a in attacks if a.startswith("backdoor")]
    yield Table(
        f"Backdoor seen, % of triggered test samples (mean ± standard deviation; all seeds where they are more "
        f"than {APART} points apart)",
        ["defence", *attacks],
        [[d, *(view.spread((a, d), "attack_success", all_beyond=APART) for a in attacks)] for d in defences],
    )


def worth(view):
    """The control of a defence is no defence under the same attack; of an attack, no attack."""
    attacks, defences = shown(view)
    yield Table(
        "What a defence is worth: final accuracy less that of the plain mean under the same attack, points",
        ["defence", *attacks],
        [
            [d, *(view.difference((a, d), (a, "none"), "accuracy") for a in attacks)]
            for d in defences
            if d != "none"
        ],
    )
    yield Table(
        "What an attack costs: final accuracy less that without an attack under the same defence, points",
        ["defence", *(a for a in attacks if a != "none")],
        [
            [d, *(view.difference((a, d), ("none", d), "accuracy") for a in attacks if a != "none")]
            for d in defences
        ],
    )


def cost(view):
    _, defences = shown(view)
    yield costs(view, "Costs of a run without an attack (mean over seeds)", "defence", [(d, ("none", d)) for d in defences])


STUDY = Study(
    file=__file__,
    name="attacks",
    question="What do nine attacks by a fifth of the clients do to FedAvg, and how well do twelve defences withstand them?",
    page="docs/studies/attacks.md",
    words=("attack", "defence"),
    cells=[cell(*words) for words in product(ATTACKS, DEFENCES)],
    figures={**FIGURES, "attack_success": last("attack_success")},
    tables=[accuracy, backdoor, worth, cost],
)

if __name__ == "__main__":
    STUDY.main()
