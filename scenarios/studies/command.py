"""The command line of every study."""

import argparse
import json
import os
import pathlib
import sys

from . import data, provenance, results, running, state, tables
from .cells import ROOT, Mistake, seeds_of, seeds_text


def _positive(kind):
    def of(text):
        value = kind(text)
        if not value > 0:
            raise argparse.ArgumentTypeError(f"{text} is not above 0")
        return value

    of.__name__ = "number"
    return of


def parser(study):
    words = "/".join(word.upper() for word in study.words)
    top = argparse.ArgumentParser(
        prog=study.path,
        description=f"{study.question} {len(study.cells)} cells under {len(study.seeds)} seeds; "
        f"the results are in {study.page}.",
        epilog="A run that is done is not made again, so that `run` can be stopped and called again at any time.",
    )
    common = argparse.ArgumentParser(add_help=False)
    common.set_defaults(only=None)
    common.add_argument("--seeds", metavar="1-5", help=f"instead of {seeds_text(study.seeds)}")
    common.add_argument("--runs", metavar="FOLDER", help=f"where runs are [RUNS, or runs/{study.name}]")
    common.add_argument("--program", metavar="FILE", help="[SHOAL, or target/release/shoal, or shoal on the path]")
    some = argparse.ArgumentParser(add_help=False)
    some.add_argument(
        "--only",
        metavar="PATTERN",
        action="append",
        help=f"cells by {words} or by one of these words, such as {study.cells[0].name} or "
        f"{study.cells[0].key[-1]}; * and ? are allowed; may be given several times",
    )
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    run = commands.add_parser("run", parents=[common, some], help="make the runs that are missing, first seed first")
    run.add_argument("--jobs", type=_positive(int), default=2, help="runs at the same time, with one worker each [2]")
    run.add_argument("--budget-minutes", type=_positive(float), metavar="N", help="start no run after so long")
    run.add_argument("--stale", action="store_true", help="make stale runs again, too")
    out = commands.add_parser("tables", parents=[common], help="print the tables")
    out.add_argument(
        "--csv",
        metavar="FILE",
        nargs="?",
        const=study.csv,
        type=pathlib.Path,
        help=f"write the figures of all runs as well [{study.csv.name} beside the page]",
    )
    out.add_argument(
        "--from-csv", metavar="FILE", type=pathlib.Path, help="print them from published figures instead of runs"
    )
    how_far = commands.add_parser(
        "status",
        parents=[common, some],
        help="say how many runs are done, stale and missing, and how long the rest takes",
    )
    how_far.add_argument("--jobs", type=_positive(int), default=2, help="runs at the same time, for the estimate [2]")
    names = commands.add_parser("list", parents=[common, some], help="list the cells, each with its command")
    names.add_argument("--json", action="store_true", help="as JSON: name, scenario, overrides")
    return top


class Asked:
    """What the options ask for."""

    def __init__(self, study, options):
        self.study, self.options = study, options
        self.cells = study.chosen(options.only)
        self.seeds = seeds_of(options.seeds) if options.seeds else study.seeds
        runs = options.runs or os.environ.get("RUNS")
        self.runs = pathlib.Path(runs).resolve() if runs else ROOT / "runs" / study.name

    def states(self, program):
        states = state.look(self.runs, self.cells, self.seeds, program)
        if self.study.needed is None:
            return states
        wanted = self.study.needed(results.from_runs(self.study, states))
        return [one for one in states if wanted(one.cell.key, one.seed)]

    def program(self):
        return provenance.program(self.options.program)

    def program_if_there(self):
        """Tables are read on machines without a program, too."""
        try:
            return self.program()
        except Mistake as mistake:
            if self.options.program:
                raise
            print(f"whether runs are stale in their program is not known: {mistake}", file=sys.stderr)
            return None


def _stale(states, command):
    """Says which runs are stale, by reason."""
    reasons = {}
    for one in states:
        if one.why_stale:
            reasons.setdefault(one.why_stale, []).append(one.name)
    for why, names in reasons.items():
        print(f"stale: {tables.count(len(names), 'run')}, such as {names[0]}: {why}", file=sys.stderr)
    if reasons:
        print(f"  {command} run --stale makes stale runs again", file=sys.stderr)


def run(asked):
    while True:
        code, made = _make(asked)
        # What was made may choose what is needed next.
        if code or not made or asked.study.needed is None:
            return code


def _make(asked):
    """Makes the runs that are missing and needed; the exit status, and how many were made in time."""
    study, options = asked.study, asked.options
    program = asked.program()
    if program.older_than_sources:
        print("the program is older than its sources: make build, unless that is meant", file=sys.stderr)
    lock = running.lock(asked.runs)
    states = asked.states(program)
    todo = [one for one in states if one.is_missing or (options.stale and one.why_stale)]
    if not options.stale:
        _stale(states, study.path)
    if not todo:
        print(f"{study.name}: all {tables.count(len(states), 'run')} are done; {study.path} tables prints the tables")
        return 0, 0
    data.demand({one.cell.key: one.cell for one in todo}.values())
    budget = None if options.budget_minutes is None else 60 * options.budget_minutes
    runner = running.Runner(study, program, options.jobs, budget, lambda text: print(text, flush=True))
    try:
        made, left, late = runner.run(todo, states)
    except running.Interrupted as interrupted:
        print(f"interrupted; what was done is kept, and {study.path} run goes on", file=sys.stderr)
        return 128 + interrupted.number, 0
    finally:
        lock.close()
    if late:
        print(f"the time is over: {tables.count(made, 'run')} made, {left} not begun; {study.path} run goes on")
    if runner.failed:
        print(f"{tables.count(len(runner.failed), 'run')} failed: {', '.join(runner.failed)}", file=sys.stderr)
        if left and not late:
            print(f"{running.FAILURES} failed one after the other, so {left} were not begun", file=sys.stderr)
        return 1, made
    return 0, 0 if late else made


def status(asked):
    study = asked.study
    states = asked.states(asked.program_if_there())
    missing = [one for one in states if one.is_missing]
    stale = [one for one in states if one.why_stale]
    done = len(states) - len(missing) - len(stale)
    print(
        f"{study.name}: {len(asked.cells)} cells under seeds {seeds_text(asked.seeds)}: {len(states)} runs, "
        f"{done} done, {len(stale)} stale, {len(missing)} missing"
    )
    for seed in asked.seeds:
        of = [one for one in states if one.seed == seed]
        print(f"  seed {seed}: {sum(not one.is_missing for one in of)} of {len(of)}")
    _stale(states, study.path)
    empty = [one.name for one in states if one.record and one.record["exit"] == 3]
    if empty:
        print(f"no completed round: {', '.join(empty)}")
    spent = sum(one.record["cpu_s"] for one in states if one.record)
    if spent:
        print(f"{state.duration(spent)} of CPU time so far")
    for what, some in (("the missing runs", missing), ("the stale runs", stale)):
        if some:
            seconds = state.expected(some, states)
            jobs = asked.options.jobs
            print(
                f"no estimate of {what} before a run is done"
                if seconds is None
                else f"{what} take about {state.duration(seconds / jobs)} with {jobs} at a time, by those that are done"
            )
    return 0


def print_tables(asked):
    study, options = asked.study, asked.options
    path = options.from_csv
    if path is None:
        states = asked.states(asked.program_if_there())
        found = results.from_runs(study, states)
        _stale(states, study.path)
        for why in {why for _, why in found.left_out}:
            n = sum(other == why for _, other in found.left_out)
            print(f"left out of the tables: {tables.count(n, 'run')}, since {why}", file=sys.stderr)
        if not found.all and not found.left_out and study.csv.exists() and not options.csv:
            print(f"no runs in {asked.runs}: the figures are those of {study.csv}", file=sys.stderr)
            path = study.csv
    if path is not None:
        if not path.exists():
            raise Mistake(f"no file {path}")
        found = results.from_csv(study, path.resolve(), {cell.key for cell in asked.cells}, asked.seeds)
    if not found.all:
        raise Mistake(f"no run of {study.name} in {asked.runs}: {study.path} run makes them")
    if options.csv:
        results.write(found, options.csv)
        print(f"{options.csv}: {tables.count(len(found.all), 'run')}", file=sys.stderr)
    print(tables.document(found, asked.seeds), end="")
    return 0


def list_cells(asked):
    if asked.options.json:
        found = [{"name": cell.name, "scenario": cell.scenario, "sets": cell.sets} for cell in asked.cells]
        print(json.dumps(found, indent=1))
        return 0
    for cell in asked.cells:
        print(cell.name)
        print("    shoal " + " ".join(_quoted(word) for word in cell.arguments(asked.seeds[0])[:-3]))
    return 0


def _quoted(word):
    return word if all(c.isalnum() or c in "_./=:-" for c in word) else "'" + word.replace("'", "'\\''") + "'"


def main(study, arguments=None):
    options = parser(study).parse_args(arguments)
    act = {"run": run, "tables": print_tables, "status": status, "list": list_cells}[options.command]
    try:
        code = act(Asked(study, options))
        sys.stdout.flush()
    except Mistake as mistake:
        print(f"{study.path}: {mistake}", file=sys.stderr)
        code = 2
    except BrokenPipeError:
        # Nobody reads on: no message, also not from Python's own flush at the end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        code = 141
    sys.exit(code)
