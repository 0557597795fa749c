"""Which data sets a cell needs that have to be fetched, and whether they are there."""

import re

from .cells import ROOT, Mistake

# Folder below scenarios/data, which is also fetch.sh's word for it: how much there is to fetch.
FETCHED = {
    "mnist": "11.5 MB to fetch, 55 MB on disk",
    "fashion-mnist": "31 MB to fetch, 31 MB on disk",
}


def needed(cell):
    """Names of data sets that the cell's scenario reads."""
    of_sets = [value for value in cell.sets if value.split("=", 1)[0].strip() == "data"]
    # The last override of the data hides what the file says.
    text = of_sets[-1] if of_sets else (ROOT / cell.scenario).read_text()
    return {name for name in re.findall(r'data/([\w-]+)"', text) if name in FETCHED}


def demand(cells):
    """Says which script fetches what is not there, before anything runs."""
    wanted = {}
    for cell in cells:
        for name in needed(cell):
            wanted.setdefault(name, []).append(cell.name)
    lines = []
    for name, users in sorted(wanted.items()):
        folder = ROOT / "scenarios" / "data" / name
        if not folder.is_dir() or not any(folder.iterdir()):
            lines.append(
                f"{len(users)} of the cells, such as {users[0]}, need the data set {name}, which is not in "
                f"{folder}: scenarios/data/fetch.sh {name} brings it ({FETCHED[name]})"
            )
    if lines:
        raise Mistake("\n".join(lines))
