"""Runs cells, several at a time. A run's folder appears when it is complete: Shoal writes to NAME.part,
cell.json is added, and the folder is renamed. Whatever ends this program, no half folder counts as done."""

from __future__ import annotations

import ctypes
import datetime
import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
import time

from . import provenance, state
from .cells import ROOT, Mistake

# The run came to its end and no round was completed: a result, too.
RESULTS = {0, 3}
# So many failures without a success in between are one mistake, not several.
FAILURES = 3


class Interrupted(BaseException):
    def __init__(self, number):
        self.number = number


def lock(runs):
    """Two programs do not run the cells of one folder at a time. The lock ends with the program."""
    runs.mkdir(parents=True, exist_ok=True)
    file = open(runs / ".lock", "a+")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        file.seek(0)
        raise Mistake(f"{runs} is in use by process {file.read().strip() or '(not known)'}") from None
    file.truncate(0)
    file.write(str(os.getpid()))
    file.flush()
    return file


def _dies_with_us():
    """A kill of this program, which it cannot notice, ends its runs as well (Linux)."""
    if not sys.platform.startswith("linux"):
        return None
    prctl = ctypes.CDLL(None).prctl
    set_death_signal = 1
    return lambda: prctl(set_death_signal, int(signal.SIGKILL))


class Job:
    """A run in progress."""

    def __init__(self, one, program, before):
        self.one = one
        self.part = one.folder.with_name(one.folder.name + ".part")
        self.log = one.folder.with_name(one.folder.name + ".log")
        if one.folder.exists() and provenance.read(one.folder) is None:
            raise Mistake(f"{one.folder} is in the way: it is no run of a study, so it is not removed")
        one.folder.parent.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(self.part, ignore_errors=True)
        self.command = [program.path, *one.cell.arguments(one.seed), "--out", str(self.part)]
        self.declared = provenance.declared(one.cell)
        self.started = datetime.datetime.now(datetime.timezone.utc)
        self.clock = time.monotonic()
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(
                self.command,
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                # Ctrl-C is for this program, which ends its runs.
                start_new_session=True,
                preexec_fn=before,
            )

    def drop(self):
        shutil.rmtree(self.part, ignore_errors=True)
        self.log.unlink(missing_ok=True)

    def keep(self, study, program, code, usage, jobs):
        """Makes the folder appear; seconds that the run took."""
        if provenance.declared(self.one.cell) != self.declared:
            raise Mistake(f"{self.one.cell.scenario} changed while {self.one.name} ran")
        run = json.loads((self.part / "run.json").read_text())
        wall = time.monotonic() - self.clock
        made = {
            "command": self.command,
            "exit": code,
            "machine": {key: run["host"].get(key) for key in ("cpu", "cores", "os")},
            "started": self.started.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "wall_s": round(wall, 3),
            "cpu_s": round(usage.ru_utime + usage.ru_stime, 3),
            "jobs": jobs,
        }
        record = provenance.record(study, self.one.cell, self.one.seed, program, made)
        (self.part / provenance.RECORD).write_text(json.dumps(record, indent=2) + "\n")
        # Of a stale run, the old folder goes first: what is lost between the two lines is only made again.
        if self.one.folder.exists():
            shutil.rmtree(self.one.folder)
        os.rename(self.part, self.one.folder)
        self.log.unlink(missing_ok=True)
        return wall


class Runner:
    """Runs what is to do; `wait` is where a signal interrupts it, and nowhere else."""

    def __init__(self, study, program, jobs, budget_s, say=print):
        self.study, self.program, self.jobs, self.say = study, program, jobs, say
        self.end = None if budget_s is None else time.monotonic() + budget_s
        self.running = {}
        self.failed = []
        self.in_a_row = 0
        self.signal = None
        self.is_waiting = False
        self.before = _dies_with_us()
        self.stamp = self._stamp()

    def _stamp(self):
        """Whether the program's files are still those that were looked at."""
        folder = os.path.dirname(self.program.path)
        paths = (self.program.path, os.path.join(folder, "shoal-engine"))
        return [(os.stat(p).st_mtime_ns, os.stat(p).st_size) for p in paths if os.path.exists(p)]

    def _noticed(self, number, _frame):
        self.signal = number
        if self.is_waiting:
            raise Interrupted(number)

    def _wait(self):
        self.is_waiting = True
        try:
            if self.signal:
                raise Interrupted(self.signal)
            return os.wait4(-1, 0)
        finally:
            self.is_waiting = False

    def run(self, todo, all_states):
        """How many runs were made, and how many were left for lack of time."""
        signals = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]
        if signal.getsignal(signal.SIGHUP) == signal.SIG_IGN:
            signals.remove(signal.SIGHUP)
        before = {number: signal.signal(number, self._noticed) for number in signals}
        try:
            return self._run(list(todo), list(all_states))
        finally:
            for job in self.running.values():
                job.process.kill()
            for pid, job in self.running.items():
                try:
                    os.waitpid(pid, 0)
                except ChildProcessError:
                    pass
                job.process.returncode = -signal.SIGKILL
                job.drop()
            for number, handler in before.items():
                signal.signal(number, handler)

    def _run(self, todo, known):
        queue, made, late = todo[::-1], 0, False
        while queue or self.running:
            while queue and len(self.running) < self.jobs:
                late = self.end is not None and time.monotonic() >= self.end
                if late or self.in_a_row >= FAILURES:
                    break
                if self._stamp() != self.stamp:
                    raise Mistake(f"{self.program.path} was built anew meanwhile; start again")
                job = Job(queue.pop(), self.program, self.before)
                self.running[job.process.pid] = job
            if not self.running:
                break
            pid, status, usage = self._wait()
            if pid not in self.running:
                continue
            job = self.running.pop(pid)
            code = job.process.returncode = os.waitstatus_to_exitcode(status)
            if code not in RESULTS:
                self._fail(job, code)
                continue
            wall = job.keep(self.study, self.program, code, usage, self.jobs)
            made += 1
            self.in_a_row = 0
            known.append(state.State(job.one.cell, job.one.seed, job.one.folder, {"wall_s": wall}))
            left = [*queue, *(other.one for other in self.running.values())]
            rest = state.expected(left, known) / self.jobs if left else 0
            self.say(
                f"[{len(todo) - len(left)}/{len(todo)}] {job.one.name}: {wall:.1f} s"
                + (", no completed round" if code == 3 else "")
                + (f"; about {state.duration(rest)} left" if left else "")
            )
        return made, len(queue), late

    def _fail(self, job, code):
        said = job.log.read_text(errors="replace").strip().splitlines()
        shutil.rmtree(job.part, ignore_errors=True)
        self.failed.append(job.one.name)
        self.in_a_row += 1
        how = f"signal {-code}" if code < 0 else f"exit status {code}"
        self.say(f"{job.one.name} failed with {how}; {job.log} has what it said, of which the end:")
        for line in said[-8:]:
            self.say(f"    {line}")
