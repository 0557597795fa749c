"""Runs are made once, are whole or absent, and say where they come from."""

import contextlib
import io
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import time
import unittest

from studies import command
from studies.tests import fake


def is_alive(pid):
    """Whether a process of Linux is there, and no zombie."""
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(") ", 1)[1][0] != "Z"
    except FileNotFoundError:
        return False


class Running(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        self.runs = self.folder / "runs"
        self.program = fake.program(self.folder)

    def call(self, study, *words):
        """What a command prints, and its status."""
        words = [*words, "--program", str(self.program), "--runs", str(self.runs)]
        out, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            try:
                command.main(study, words)
            except SystemExit as end:
                code = end.code
        return out.getvalue() + err.getvalue(), code

    def parts(self):
        return [str(path) for path in self.runs.rglob("*") if path.suffix in (".part", ".log")]

    def test_what_is_done_is_not_done_again_and_the_first_seed_comes_first(self):
        study = fake.study((("a", "x"), ()), (("a", "y"), ("ends=3",)))
        said, code = self.call(study, "run", "--jobs", "1", "--seeds", "1-2")
        self.assertEqual(code, 0, said)
        names = [line.split("] ")[1].split(":")[0] for line in said.splitlines() if line.startswith("[")]
        self.assertEqual(names, ["a/x seed 1", "a/y seed 1", "a/x seed 2", "a/y seed 2"])
        self.assertIn("a/y seed 1: ", said)
        self.assertIn("no completed round", said)
        said, code = self.call(study, "run", "--seeds", "1-2")
        self.assertIn("all 4 runs are done", said)
        said, _ = self.call(study, "status")
        self.assertIn("10 runs, 4 done, 0 stale, 6 missing", said)
        self.assertIn("no completed round: a/y seed 1, a/y seed 2", said)
        self.assertEqual(self.parts(), [])

    def test_runs_that_choose_come_first_and_only_the_chosen_cell_runs_under_the_other_seeds(self):
        study = fake.study((("a", "x"), ()), (("a", "y"), ("add=0.3",)), seeds=(1, 2, 3))

        def needed(results):
            scores = {key: runs[1].figures["accuracy"] for key, runs in results.runs.items() if 1 in runs}
            best = max(scores, key=scores.get) if len(scores) == 2 else None
            return lambda key, seed: seed == 1 or key == best

        study.needed = needed
        said, code = self.call(study, "run", "--jobs", "1")
        self.assertEqual(code, 0, said)
        names = [line.split("] ")[1].split(":")[0] for line in said.splitlines() if line.startswith("[")]
        self.assertEqual(names, ["a/x seed 1", "a/y seed 1", "a/y seed 2", "a/y seed 3"])
        said, _ = self.call(study, "status")
        self.assertIn("4 runs, 4 done, 0 stale, 0 missing", said)

    def test_a_run_says_where_it_comes_from(self):
        self.call(fake.study((("a", "x"), ("add=1",))), "run", "--seeds", "4")
        record = fake.cell_json(self.runs / "a/x/seed-4")
        self.assertEqual(record["key"], {"setting": "a", "arm": "x"})
        self.assertEqual(record["sets"], ["add=1"])
        self.assertEqual(record["command"][1:7], ["run", "scenarios/quickstart.ron", "--seed", "4", "--set", "add=1"])
        self.assertEqual(record["machine"]["cpu"], "a processor")
        self.assertEqual(record["program"]["version"], "9.9 (libtorch 0)")
        self.assertGreater(record["wall_s"], 0)
        self.assertGreater(record["cpu_s"], 0)

    def test_what_was_declared_otherwise_is_stale_and_never_in_a_table(self):
        self.call(fake.study((("a", "x"), ()), (("a", "y"), ())), "run", "--seeds", "1")
        changed = fake.study((("a", "x"), ()), (("a", "y"), ("add=1",)))
        said, _ = self.call(changed, "status", "--seeds", "1")
        self.assertIn("1 done, 1 stale, 0 missing", said)
        self.assertIn("a/y seed 1: its overrides have changed", said)
        said, _ = self.call(changed, "tables", "--seeds", "1")
        self.assertIn("| a/x | 10.0 |", said)
        self.assertIn("| a/y | – |", said)
        self.assertIn("left out of the tables: 1 run, since its overrides have changed", said)
        said, _ = self.call(changed, "run", "--seeds", "1")
        self.assertIn("run --stale", said)
        said, _ = self.call(changed, "run", "--seeds", "1", "--stale")
        self.assertIn("[1/1] a/y seed 1", said)
        said, _ = self.call(changed, "tables", "--seeds", "1")
        self.assertIn("| a/y | 110.0 |", said)

    def test_another_program_makes_stale_and_a_table_of_two_programs_says_so(self):
        study = fake.study((("a", "x"), ()))
        self.call(study, "run", "--seeds", "1")
        text = self.program.read_text().replace("9.9", "9.10")
        self.program.write_text(text)
        self.call(study, "run", "--seeds", "2")
        said, _ = self.call(study, "status", "--seeds", "1-2")
        self.assertIn("1 done, 1 stale", said)
        said, _ = self.call(study, "tables", "--seeds", "1-2")
        self.assertIn("**runs of different programs: ", said)
        self.assertIn("**1 made by another program than the present one**", said)

    def test_a_failure_stops_no_other_run_and_is_told(self):
        study = fake.study((("a", "wrong"), ("ends=2",)), (("a", "x"), ()))
        said, code = self.call(study, "run", "--jobs", "1", "--seeds", "1-2")
        self.assertEqual(code, 1)
        self.assertIn("it went wrong", said)
        self.assertIn("2 runs failed: a/wrong seed 1, a/wrong seed 2", said)
        self.assertFalse((self.runs / "a/wrong/seed-1").exists())
        self.assertTrue((self.runs / "a/x/seed-2/cell.json").exists())

    def test_where_all_fails_it_stops(self):
        study = fake.study((("a", "wrong"), ("ends=1",)), seeds=tuple(range(1, 10)))
        said, code = self.call(study, "run", "--jobs", "1")
        self.assertEqual(code, 1)
        self.assertIn("3 failed one after the other, so 6 were not begun", said)

    def test_no_run_begins_after_the_time(self):
        study = fake.study((("a", "x"), ("sleeps=0.01",)))
        said, code = self.call(study, "run", "--jobs", "1", "--budget-minutes", "0.0001")
        self.assertEqual(code, 0)
        self.assertIn("the time is over: 1 run made, 4 not begun", said)

    def test_a_folder_that_is_no_run_is_not_removed(self):
        mine = self.runs / "a/x/seed-1/mine"
        mine.mkdir(parents=True)
        said, code = self.call(fake.study((("a", "x"), ())), "run", "--seeds", "1")
        self.assertEqual(code, 2)
        self.assertIn("is in the way", said)
        self.assertTrue(mine.is_dir())

    def test_mistakes_are_told_without_a_traceback(self):
        study = fake.study((("a", "x"), ()))
        for words, expected in [
            (["run", "--only", "z"], "no cell of fake is named 'z'"),
            (["tables"], "no run of fake"),
            (["tables", "--from-csv", "nowhere.csv"], "no file nowhere.csv"),
            (["run", "--seeds", "x"], "--seeds x: expected"),
        ]:
            said, code = self.call(study, *words)
            self.assertEqual(code, 2)
            self.assertIn(expected, said)
        self.program.unlink()
        said, code = self.call(study, "run")
        self.assertEqual(code, 2)
        self.assertIn("no program", said)

    def test_published_figures_give_the_same_table(self):
        study = fake.study((("a", "x"), ()), (("a", "y"), ("add=0.5",)))
        self.call(study, "run")
        file = self.folder / "figures.csv"
        made, _ = self.call(study, "tables", "--csv", str(file))
        read, _ = self.call(study, "tables", "--from-csv", str(file))
        rows = lambda text: [line for line in text.splitlines() if line.startswith("|")]
        self.assertEqual(rows(made), rows(read))
        self.assertIn("| a/y | 80.0 ± 15.8 |", read)
        self.assertIn(f"read from {file}", read)

    def interrupt(self, number):
        """Runs a study of a fast and of a slow cell, and stops it amid the slow one."""
        path = fake.script(self.folder)
        words = [sys.executable, str(path), "run", "--jobs", "1", "--seeds", "1"]
        environment = fake.environment(self.folder)
        process = subprocess.Popen(words, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        while not (self.runs / "a/slow/seed-1.part/pid").exists():
            self.assertIsNone(process.poll(), "it ended by itself")
            time.sleep(0.01)
        process.send_signal(number)
        out, err = process.communicate()
        self.assertTrue((self.runs / "a/fast/seed-1/cell.json").exists())
        self.assertFalse((self.runs / "a/slow/seed-1").exists())
        return process.returncode, out, err

    def test_an_interruption_loses_the_runs_in_progress_alone(self):
        for number in (signal.SIGINT, signal.SIGTERM):
            code, _, err = self.interrupt(number)
            self.assertEqual(code, 128 + number, err)
            self.assertIn("interrupted; what was done is kept", err)
            self.assertNotIn("Traceback", err)
            self.assertEqual(self.parts(), [])

    def test_after_a_kill_the_rest_is_run(self):
        self.interrupt(signal.SIGKILL)
        if sys.platform.startswith("linux"):
            # The run that was in progress is ended by the system, not a minute later by itself.
            part = self.runs / "a/slow/seed-1.part"
            while is_alive(int((part / "pid").read_text())):
                time.sleep(0.01)
            self.assertFalse((part / "run.json").exists())
        study = fake.study((("a", "fast"), ()), (("a", "slow"), ()))
        said, code = self.call(study, "run", "--seeds", "1")
        self.assertEqual(code, 0, said)
        self.assertIn("[1/1] a/slow seed 1", said)
        self.assertEqual(self.parts(), [])

    def test_two_at_a_time_in_one_folder_are_refused(self):
        from studies import running

        with running.lock(self.runs):
            said, code = self.call(fake.study((("a", "x"), ())), "run")
        self.assertEqual(code, 2)
        self.assertIn(f"is in use by process {os.getpid()}", said)
