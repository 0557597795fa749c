"""A study of two cells and a program that stands in for Shoal: runs take no time and say what they are told."""

import json
import os
import pathlib
import sys
import textwrap

from studies import Cell, Study, Table, last

# Accuracy is seed / 10, plus what `--set add=` says. `--set ends=N` ends with that status, `--set sleeps=N`
# takes a while.
PROGRAM = '''\
#!{python}
import json, os, pathlib, sys, time
words = sys.argv[1:]
if words == ["--version"]:
    print("shoal 9.9 (libtorch 0)")
    sys.exit()
sets = dict(words[i + 1].split("=", 1) for i, word in enumerate(words) if word == "--set")
out = pathlib.Path(words[words.index("--out") + 1])
seed = int(words[words.index("--seed") + 1])
out.mkdir()
(out / "pid.part").write_text(str(os.getpid()))
os.rename(out / "pid.part", out / "pid")
time.sleep(float(sets.get("sleeps", 0)))
ends = int(sets.get("ends", 0))
if ends not in (0, 3):
    print("it went wrong", file=sys.stderr)
    sys.exit(ends)
accuracy = seed / 10 + float(sets.get("add", 0))
(out / "rounds.csv").write_text("round,accuracy,client_mean\\n1,0.9,0.1\\n2,%r,0.2\\n3,,\\n" % accuracy)
host = dict(cpu="a processor", cores=2, os="linux")
(out / "run.json").write_text(json.dumps(dict(status="completed", trace_hash="ab", host=host)))
sys.exit(ends)
'''


def program(folder):
    path = pathlib.Path(folder) / "shoal"
    path.write_text(PROGRAM.format(python=sys.executable))
    path.chmod(0o755)
    return path


def study(*cells, seeds=(1, 2, 3, 4, 5), figures=None):
    def tables(view):
        rows = [[cell.name, view.spread(cell.key, "accuracy")] for cell in view.results.study.cells]
        yield Table("a table", ["cell", "accuracy"], rows)

    return Study(
        file=__file__,
        name="fake",
        question="Why?",
        page="docs/studies/faults.md",
        words=("setting", "arm"),
        cells=[Cell(key, "scenarios/quickstart.ron", sets) for key, sets in cells],
        figures=figures or {"accuracy": last("accuracy")},
        tables=[tables],
        seeds=seeds,
    )


def script(folder):
    """The file of a study whose cells take seconds, to be run as a program of its own."""
    path = pathlib.Path(folder) / "study.py"
    text = f"""\
        import sys
        sys.path.insert(0, {str(pathlib.Path(__file__).resolve().parents[2])!r})
        from studies.tests import fake
        fake.study((("a", "fast"), ()), (("a", "slow"), ("sleeps=60",))).main()
    """
    path.write_text(textwrap.dedent(text))
    return path


def cell_json(folder):
    return json.loads((folder / "cell.json").read_text())


def environment(folder):
    return {**os.environ, "SHOAL": str(program(folder)), "RUNS": str(pathlib.Path(folder) / "runs")}
