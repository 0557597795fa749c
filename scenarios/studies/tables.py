"""Tables in Markdown: what the functions of a study's tables use, and the lines below each table."""

from __future__ import annotations

import statistics
from dataclasses import dataclass, field

from . import stats
from .cells import ROOT, seeds_text
from .state import duration

NOTHING = "–"


def number(value, digits=1, sign=False):
    """With a minus that is one."""
    text = f"{value:{'+' if sign else ''}.{digits}f}"
    # No "-0.0".
    if float(text) == 0:
        text = text.replace("-", "+" if sign else "")
    return text.replace("-", "−")


def count(n, noun):
    return f"{n} {noun}" if n == 1 else f"{n} {noun}s"


@dataclass
class Table:
    """`rows` have a text for each column of `header`; `notes` are sentences below the table."""

    title: str
    header: list
    rows: list
    notes: list = field(default_factory=list)

    def markdown(self):
        lines = [self.title, "", "| " + " | ".join(self.header) + " |", "|" + "---|" * len(self.header)]
        for row in self.rows:
            if len(row) != len(self.header):
                raise ValueError(f"{self.title}: a row of {len(row)} in a table of {len(self.header)} columns")
            lines.append("| " + " | ".join(row) + " |")
        return "\n".join(lines)


COSTS = [
    # Heading, figure, scale, digits.
    ("client GFLOP", "client_flops", 1e-9, 1),
    ("server GFLOP", "server_flops", 1e-9, 3),
    ("client J", "client_j", 1, 0),
    ("server J", "server_j", 1, 3),
    ("MB both ways", "bytes", 1e-6, 1),
    ("virtual s", "virtual_s", 1, 1),
]


def costs(view, title, corner, rows):
    """What runs cost, in the mean over seeds; `rows` are pairs of a name and a cell's key."""
    made = [[name, *(view.means(key, *figure) for _, *figure in COSTS)] for name, key in rows]
    return Table(title, [corner, *(heading for heading, *_ in COSTS)], made)


class View:
    """The results, as a function of tables sees them. It remembers what a table was made of."""

    def __init__(self, results, seeds):
        self.results, self.seeds = results, tuple(seeds)
        self.begin()

    def begin(self):
        self.used, self.missing, self.comparisons = {}, set(), []

    def has(self, *keys):
        """Whether a run of each is there, under any of the seeds."""
        return all(self._found(tuple(key)) for key in keys)

    def _found(self, key):
        if key not in self.results.study.by_key:
            raise ValueError(f"a table asks for the cell {key}, which the study does not declare")
        runs = self.results.runs.get(key, {})
        return {seed: runs[seed] for seed in self.seeds if seed in runs}

    def values(self, key, figure):
        """The figure of each seed that was run, None where a run has none."""
        runs = self._found(tuple(key))
        for seed in self.seeds:
            if seed in runs:
                self.used[(tuple(key), seed)] = runs[seed]
            else:
                self.missing.add((tuple(key), seed))
        return {seed: run.figures[figure] for seed, run in runs.items()}

    def _few(self, n):
        """Said where an arm does not have all seeds."""
        return "" if n == len(self.seeds) else f" ({n} of {count(len(self.seeds), 'seed')})"

    def _there(self, key, figure, scale):
        return [scale * v for v in self.values(key, figure).values() if v is not None]

    def mean(self, key, figure, scale=1.0):
        values = self._there(key, figure, scale)
        return statistics.fmean(values) if values else None

    def means(self, key, figure, scale=1.0, digits=1):
        """The mean alone, as a text."""
        values = self._there(key, figure, scale)
        return number(statistics.fmean(values), digits) + self._few(len(values)) if values else NOTHING

    def spread(self, key, figure, scale=100.0, digits=1, all_beyond=None):
        """Mean ± sample standard deviation. Where seeds lie further apart than `all_beyond`, a mean says
        little, and all values are shown, from the smallest."""
        values = self._there(key, figure, scale)
        if not values:
            return NOTHING
        if all_beyond is not None and max(values) - min(values) > all_beyond:
            return self._each(sorted(values), digits)
        mean, deviation = stats.spread(values)
        text = number(mean, digits)
        if deviation is not None:
            text += f" ± {number(deviation, digits)}"
        return text + self._few(len(values))

    def _each(self, values, digits):
        return " / ".join(number(value, digits) for value in values) + self._few(len(values))

    def each(self, key, figure, scale=100.0, digits=1):
        """The values of all seeds, in the order of the seeds; – where a run has none."""
        values = self.values(key, figure)
        texts = (NOTHING if v is None else number(scale * v, digits) for _, v in sorted(values.items()))
        return " / ".join(texts) + self._few(len(values)) if values else NOTHING

    def when(self, key, figure, digits=0):
        """Of what some runs never reach: how many do, and their median."""
        values = self.values(key, figure)
        there = [v for v in values.values() if v is not None]
        if values and len(there) == len(values):
            return self.spread(key, figure, 1.0, digits)
        if not values:
            return NOTHING
        return f"{len(there)} of {len(values)}" + (f", {number(statistics.median(there), digits)}" if there else "")

    def median(self, key, figure, digits=0):
        """Of what some runs never reach, which count as later than all others."""
        values = sorted(self.values(key, figure).values(), key=lambda v: (v is None, v))
        if not values:
            return NOTHING
        middle = values[(len(values) - 1) // 2 : len(values) // 2 + 1]
        return NOTHING if None in middle else number(statistics.fmean(middle), digits) + self._few(len(values))

    def difference(self, a, b, figure, scale=100.0, digits=1, always=False):
        """Arm `a` less arm `b` over the seeds of both, ± two standard errors; `always` shows the figures
        where they are no effect, too."""
        found = stats.paired(self.values(a, figure), self.values(b, figure))
        if found is None:
            return NOTHING
        few = self._few(found.n)
        if found.n < 2:
            return number(scale * found.mean, digits, sign=True) + few
        shown = f"{number(scale * found.mean, digits, sign=True)} ± {number(2 * scale * found.error, digits)}"
        if found.n < stats.FEWEST:
            return f"{shown} ({count(found.n, 'seed')}: no claim)"
        if found.is_same:
            return "the same in every seed" + few
        self.comparisons.append(found)
        if found.is_claim:
            return shown + few
        return (f"no effect seen ({shown})" if always else "no effect seen") + few

    def notes(self):
        """What is said below a table besides its own notes."""
        lines = []
        if self.comparisons:
            n, chance = len(self.comparisons), stats.by_chance(self.comparisons)
            lines.append(
                "Differences are of runs with one seed, the mean ± two standard errors; within them stands "
                f"\"no effect seen\". {count(n, 'comparison')}: if nothing differed, {chance:.1f} of them "
                "would be beyond two standard errors by chance."
            )
        return lines + [footer(self)]


def _counted(runs, field):
    """The values of a field of provenance, the most frequent first, with how many runs have them."""
    counts = {}
    for run in runs:
        value = run.info[field]
        counts[value] = counts.get(value, 0) + 1
    return sorted(counts.items(), key=lambda pair: -pair[1])


def footer(view):
    """What a table was made of, in a line."""
    runs, study = list(view.used.values()), view.results.study
    if not runs:
        return "*No run of this table is there.*"
    seeds = seeds_text(run.seed for run in runs)
    parts = [f"{count(len(runs), 'run')}, {'seed' if seeds.isdigit() else 'seeds'} {seeds}"]
    if view.missing:
        parts.append(f"**{count(len(view.missing), 'run')} missing**")
    programs = _counted(runs, "program")
    if len(programs) == 1:
        parts.append(programs[0][0] or "program not recorded")
    else:
        each = "; ".join(f"{name or 'not recorded'} ({count(n, 'run')})" for name, n in programs)
        parts.append(f"**runs of different programs: {each}**")
    others = sum(run.other_program is not None for run in runs)
    if others:
        parts.append(f"**{others} made by another program than the present one**")
    machines = {(run.info["cpu"], run.info["cores"]) for run in runs}
    parts.append(
        " and ".join(sorted(f"{cpu}, {cores} cores" if cpu else "machine not recorded" for cpu, cores in machines))
    )
    dates = sorted({run.info["date"] for run in runs if run.info["date"]})
    if dates:
        parts.append(dates[0] if len(dates) == 1 else f"{dates[0]} to {dates[-1]}")
    costs = [run.info["cpu_s"] for run in runs if run.info["cpu_s"] is not None]
    if costs:
        parts.append(f"{duration(sum(costs))} of CPU time")
    if view.results.source:
        source = view.results.source
        parts.append(f"read from {source.relative_to(ROOT) if ROOT in source.parents else source}")
    return f"*{'; '.join(parts)}. Again: `{study.path} run --seeds {seeds}`.*"


def document(results, seeds):
    """All tables of the study, in Markdown."""
    view = View(results, seeds)
    pieces = []
    for function in results.study.tables:
        view.begin()
        for table in function(view):
            # Of a study that has only begun, some tables have nothing yet.
            if not table.rows or not view.used:
                view.begin()
                continue
            pieces.append("\n\n".join([table.markdown(), *table.notes, *view.notes()]))
            view.begin()
    return "\n\n".join(pieces) + "\n"
