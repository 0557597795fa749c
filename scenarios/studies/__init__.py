"""Makes, runs and tabulates the studies of this repository; needs nothing but Python 3.9.

A study is one file beside its scenarios, such as scenarios/faults/study.py. It declares its cells, seeds,
figures and tables; the command line, the running, the provenance and the statistics are here. The rules
that every study follows are in docs/studies/README.md.
"""

from .cells import Cell, Study, product
from .figures import COSTS, FIGURES, at_best_of, best, bytes_until, last, reached
from .tables import Table, costs, count, number

__all__ = [
    "COSTS",
    "Cell",
    "FIGURES",
    "Study",
    "Table",
    "at_best_of",
    "best",
    "bytes_until",
    "costs",
    "count",
    "last",
    "number",
    "product",
    "reached",
]
