"""The statistics of the tables: spread over seeds, paired differences, and what counts as an effect."""

from __future__ import annotations

import math
import statistics
from dataclasses import dataclass

# Fewer seeds carry no claim.
FEWEST = 5


def spread(values):
    """Mean and sample standard deviation (n - 1); the deviation of a single value is None."""
    values = list(values)
    return statistics.fmean(values), statistics.stdev(values) if len(values) > 1 else None


@dataclass(frozen=True)
class Paired:
    """The differences a - b of two arms over the seeds that both have."""

    n: int
    mean: float
    # Of the mean: standard deviation of the differences over the root of their number.
    error: float

    @property
    def is_claim(self):
        """Beyond two standard errors, on enough seeds."""
        return self.n >= FEWEST and abs(self.mean) > 2 * self.error

    @property
    def is_same(self):
        return self.n > 0 and self.mean == 0 and self.error == 0


def paired(a, b):
    """`a` and `b` are figures by seed. Seeds in which one has no figure are left out; None without a pair."""
    seeds = sorted(seed for seed in a.keys() & b.keys() if a[seed] is not None and b[seed] is not None)
    if not seeds:
        return None
    differences = [a[seed] - b[seed] for seed in seeds]
    error = statistics.stdev(differences) / math.sqrt(len(seeds)) if len(seeds) > 1 else math.inf
    return Paired(len(seeds), statistics.fmean(differences), error)


def beyond(t, freedom):
    """The probability that Student's t with so many degrees of freedom is beyond `t` on either side
    (Abramowitz and Stegun 1964, 26.7.3 and 26.7.4)."""
    if freedom < 1:
        raise ValueError("Student's t needs a degree of freedom")
    angle = math.atan(t / math.sqrt(freedom))
    sine, cosine = math.sin(angle), math.cos(angle)
    if freedom % 2:
        term, total = cosine, 0.0
        for k in range(1, freedom - 1, 2):
            total += term
            term *= cosine**2 * (k + 1) / (k + 2)
        within = 2 / math.pi * (angle + sine * total)
    else:
        term, total = 1.0, 0.0
        for k in range(0, freedom - 1, 2):
            total += term
            term *= cosine**2 * (k + 1) / (k + 2)
        within = sine * total
    return 1 - within


def by_chance(comparisons):
    """How many of these comparisons would be beyond two standard errors if nothing differed, in the mean."""
    return sum(beyond(2, one.n - 1) for one in comparisons if one.n > 1)
