"""A run's folder, read: `run.json` and the tables (docs/outputs.md has every column)."""

import csv
import json

from .cells import Mistake


class Run:
    """What the functions of figures are handed."""

    def __init__(self, folder):
        self.folder = folder
        try:
            self.record = json.loads((folder / "run.json").read_text())
        except (OSError, ValueError) as error:
            raise Mistake(f"{folder}: run.json cannot be read: {error}") from None
        self._tables = {}

    def table(self, name):
        """The rows of NAME.csv; none where the run has no such table."""
        if name not in self._tables:
            path = self.folder / f"{name}.csv"
            rows = []
            if path.exists():
                with open(path, newline="") as file:
                    rows = list(csv.DictReader(file))
            self._tables[name] = rows
        return self._tables[name]

    @property
    def rounds(self):
        return self.table("rounds")

    def column(self, name, table="rounds"):
        """The figures of a column, None where a field is empty. A column that this version of Shoal does
        not write is empty throughout."""
        return [float(row[name]) if row.get(name) else None for row in self.table(table)]

    def last(self, name):
        """The last figure of a column of rounds.csv."""
        return next((value for value in reversed(self.column(name)) if value is not None), None)

    def total(self, name, table="rounds"):
        """The sum of a column; None where the version of Shoal that made the run does not write it."""
        rows = self.table(table)
        if rows and name not in rows[0]:
            return None
        return sum(value for value in self.column(name, table) if value is not None)
