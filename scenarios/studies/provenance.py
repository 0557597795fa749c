"""Which program made a run, on which machine and when: `cell.json` beside the run's own files.

A run is *stale* where the study now declares something else than what was run: another text of the
scenario, other overrides, or another program.
"""

from __future__ import annotations

import hashlib
import json
import os
import pathlib
import re
import shutil
import subprocess
from dataclasses import asdict, dataclass

from .cells import ROOT, Mistake

RECORD = "cell.json"
# What the program is built from.
SOURCES = ["src", "Cargo.toml", "Cargo.lock", "build.rs", ".cargo"]


def digest(path):
    sha = hashlib.sha256()
    with open(path, "rb") as file:
        for block in iter(lambda: file.read(1 << 20), b""):
            sha.update(block)
    return sha.hexdigest()


def _git(folder, *words):
    """What git says, or None where there is no git or no checkout."""
    try:
        done = subprocess.run(["git", "-C", str(folder), *words], capture_output=True, text=True)
    except OSError:
        return None
    return done.stdout.rstrip("\n") if done.returncode == 0 else None


@dataclass(frozen=True)
class Program:
    """`shoal`, and where it comes from."""

    path: str
    version: str
    # SHA-256 of the engine, or of the program itself where it has none beside it.
    sha256: str
    # Of the checkout that the program lies in, or what the program says itself; None where neither is known.
    commit: str | None
    # The last commit that changed what the program is built from; None where that is not what was built.
    sources: str | None
    # Something in the checkout is not committed; something of the sources is not.
    dirty: bool
    dirty_sources: bool
    # A source file is newer than the program: it may not be what the checkout says.
    older_than_sources: bool

    def is_same(self, other):
        """The same file, or built from the same committed sources."""
        if self.sha256 == other.sha256:
            return True
        return self.sources is not None and self.sources == other.sources

    @property
    def short(self):
        """Enough to tell two programs apart."""
        return f"{'commit ' + self.commit if self.commit else self.version}, file {self.sha256[:8]}"

    @property
    def label(self):
        text = f"Shoal {self.version}, commit {self.commit or 'not known'}"
        if self.dirty_sources:
            text += " with uncommitted changes to the program"
        if self.older_than_sources:
            text += " (the program is older than its sources)"
        return text


def find(given=None):
    """The program's file: as it is named, in the checkout, or on the path."""
    given = given or os.environ.get("SHOAL")
    if given:
        places = [pathlib.Path(given), ROOT / given]
    else:
        places = [ROOT / "target/release/shoal", ROOT / "bin/shoal"]
        on_path = shutil.which("shoal")
        places += [pathlib.Path(on_path)] if on_path else []
    for place in places:
        if place.is_file() and os.access(place, os.X_OK):
            return place.resolve()
    if given:
        raise Mistake(f"no program {given} (from --program or SHOAL)")
    raise Mistake(f"no program {places[0]}, and no shoal on the path: make build, or name one with --program or SHOAL")


def program(given=None):
    """Looks at the program and at the checkout that it lies in."""
    path = find(given)
    said = subprocess.run([str(path), "--version"], capture_output=True, text=True, stdin=subprocess.DEVNULL)
    if said.returncode != 0:
        raise Mistake(f"{path} --version ends with {said.returncode}: {said.stderr.strip()}")
    version = said.stdout.strip()
    version = version[len("shoal ") :] if version.startswith("shoal ") else version
    engine = path.with_name("shoal-engine")
    engine = engine if engine.is_file() else path
    own = re.search(r"commit ([^,)\s]+)", version)
    top = _git(path.parent, "rev-parse", "--show-toplevel")
    is_ours = top is not None and (pathlib.Path(top) / "src/cli.rs").is_file()
    commit, sources, dirty, dirty_sources, older = own and own[1], None, False, False, False
    if own:
        dirty = dirty_sources = own[1].endswith("-dirty")
        version = re.sub(r"commit [^,)]+(, )?", "", version)
        sources = None if dirty else own[1]
    elif is_ours:
        commit = _git(top, "rev-parse", "--short=10", "HEAD")
        dirty = bool(_git(top, "status", "--porcelain"))
        dirty_sources = bool(_git(top, "status", "--porcelain", "--", *SOURCES))
        older = _newest(pathlib.Path(top)) > engine.stat().st_mtime
        if not dirty_sources and not older:
            sources = _git(top, "log", "-1", "--format=%h", "--abbrev=10", "--", *SOURCES)
    return Program(str(path), version, digest(engine), commit, sources, dirty, dirty_sources, older)


def _newest(top):
    """When a source file was last changed."""
    files = [top / name for name in SOURCES] + list((top / "src").rglob("*"))
    return max((file.stat().st_mtime for file in files if file.is_file()), default=0.0)


def declared(cell):
    """What decides what a cell's run computes, besides program and seed."""
    text = (ROOT / cell.scenario).read_bytes()
    return {
        "scenario": cell.scenario,
        "scenario_sha256": hashlib.sha256(text).hexdigest(),
        "sets": list(cell.sets),
    }


def record(study, cell, seed, program, made):
    """The content of cell.json; `made` has what is known of this run alone."""
    return {
        "study": study.name,
        "key": dict(zip(study.words, cell.key)),
        "seed": seed,
        **declared(cell),
        "program": asdict(program),
        **made,
    }


def read(folder):
    """The cell.json of a folder; None where the folder is no finished run of a study."""
    try:
        text = (folder / RECORD).read_text()
    except FileNotFoundError:
        return None
    try:
        return json.loads(text)
    except ValueError as error:
        raise Mistake(f"{folder / RECORD}: {error}") from None


def differs(record, cell):
    """Why a run is not of what the study now declares; None where it is."""
    now = declared(cell)
    if record["scenario"] != now["scenario"]:
        return f"its scenario was {record['scenario']}"
    if record["scenario_sha256"] != now["scenario_sha256"]:
        return "the text of its scenario has changed"
    if record["sets"] != now["sets"]:
        return "its overrides have changed"
    return None


def other_program(record, program):
    """Why a run's program is not the present one; None where it is, or where no program is here."""
    then = Program(**record["program"])
    if program is None or then.is_same(program):
        return None
    return f"another program made it ({then.short}; now {program.short})"


def info(record):
    """What tables say of where a run comes from, in flat fields."""
    then = Program(**record["program"])
    return {
        "program": then.label,
        "cpu": record["machine"]["cpu"],
        "cores": record["machine"]["cores"],
        "date": record["started"][:10],
        "wall_s": record["wall_s"],
        "cpu_s": record["cpu_s"],
    }


INFO = ["program", "cpu", "cores", "date", "wall_s", "cpu_s"]
