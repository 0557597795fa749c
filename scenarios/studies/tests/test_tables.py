"""What tables say of arms that lack seeds, of differences, and of where they come from."""

import pathlib
import tempfile
import unittest

from studies import tables
from studies.figures import at_best_of, best, bytes_until, last, reached
from studies.reading import Run
from studies.results import Result, Results
from studies.tests import fake

INFO = {"program": "Shoal 1, commit abc", "cpu": "a processor", "cores": 2, "date": "2026-01-01", "wall_s": 2.0, "cpu_s": 1.0}


def view(seeds=(1, 2, 3, 4, 5), **arms):
    """Of arms with figures by seed, in shares."""
    study = fake.study(*((("s", name), ()) for name in arms))
    runs = [
        Result(("s", name), seed, {"accuracy": value}, dict(INFO))
        for name, values in arms.items()
        for seed, value in values.items()
    ]
    return tables.View(Results(study, runs), seeds)


def by_seed(*values):
    return dict(enumerate(values, 1))


class Cells(unittest.TestCase):
    def test_an_arm_that_lacks_seeds_says_so(self):
        of = view(a=by_seed(0.1, 0.2, 0.3))
        self.assertEqual(of.spread(("s", "a"), "accuracy"), "20.0 ± 10.0 (3 of 5 seeds)")
        self.assertEqual(of.each(("s", "a"), "accuracy"), "10.0 / 20.0 / 30.0 (3 of 5 seeds)")
        self.assertIn("**2 runs missing**", tables.footer(of))

    def test_values_far_apart_are_all_shown(self):
        of = view(a=by_seed(0.95, 0.02, 0.96, 0.01, 0.94), b=by_seed(0.9, 0.91, 0.92, 0.93, 0.94))
        self.assertEqual(of.spread(("s", "a"), "accuracy", all_beyond=20), "1.0 / 2.0 / 94.0 / 95.0 / 96.0")
        self.assertEqual(of.spread(("s", "b"), "accuracy", all_beyond=20), "92.0 ± 1.6")

    def test_what_some_never_reach_is_counted(self):
        of = view(a=by_seed(3.0, None, 5.0, None, None), b=by_seed(1.0, 2.0, 3.0, None, 5.0), c=by_seed(*[None] * 5))
        self.assertEqual(of.when(("s", "a"), "accuracy"), "2 of 5, 4")
        self.assertEqual(of.when(("s", "c"), "accuracy"), "0 of 5")
        self.assertEqual(of.median(("s", "a"), "accuracy"), "–")
        self.assertEqual(of.median(("s", "b"), "accuracy"), "3")
        self.assertEqual(of.spread(("s", "c"), "accuracy"), "–")

    def test_differences_are_claims_only_where_they_may_be(self):
        base = by_seed(0.5, 0.6, 0.7, 0.8, 0.9)
        more = {seed: value + 0.1 + seed / 1000 for seed, value in base.items()}
        noise = {seed: value + 0.1 * (-1) ** seed for seed, value in base.items()}
        of = view(base=base, more=more, noise=noise, few={1: 1.0, 2: 1.0})
        differ = lambda a, **options: of.difference(("s", a), ("s", "base"), "accuracy", **options)
        self.assertEqual(differ("more"), "+10.3 ± 0.1")
        self.assertEqual(differ("noise"), "no effect seen")
        self.assertEqual(differ("noise", always=True), "no effect seen (−2.0 ± 9.8)")
        self.assertEqual(differ("base"), "the same in every seed")
        self.assertIn("(2 seeds: no claim)", differ("few"))
        note = of.notes()[0]
        # Arms that are the same in every seed, and those with too few, are none. 11.6 % with five seeds.
        self.assertIn("3 comparisons", note)
        self.assertIn(f"{3 * 0.1161:.1f} of them", note)

    def test_figures_have_a_minus_and_no_negative_nought(self):
        self.assertEqual(tables.number(-1.25), "−1.2")
        self.assertEqual(tables.number(-0.01), "0.0")
        self.assertEqual(tables.number(-0.01, sign=True), "+0.0")

    def test_a_cell_that_is_not_declared_is_a_mistake_of_the_study(self):
        with self.assertRaises(ValueError):
            view(a=by_seed(1.0)).spread(("s", "b"), "accuracy")


class Footer(unittest.TestCase):
    def test_it_says_program_machine_date_and_command(self):
        of = view(a=by_seed(1, 1, 1, 1, 1))
        of.spread(("s", "a"), "accuracy")
        text = tables.footer(of)
        for part in ["5 runs, seeds 1-5", "Shoal 1, commit abc", "a processor, 2 cores", "2026-01-01", "5 s of CPU time"]:
            self.assertIn(part, text)
        self.assertIn("run --seeds 1-5`", text)
        self.assertNotIn("**", text)


class Rounds:
    """Stands in for a run: columns of rounds.csv."""

    def __init__(self, **columns):
        self.columns = columns

    def column(self, name, table="rounds"):
        length = len(next(iter(self.columns.values())))
        return self.columns.get(name, [None] * length)

    def last(self, name):
        return next((v for v in reversed(self.column(name)) if v is not None), None)


class Figures(unittest.TestCase):
    def test_last_best_and_chosen_rounds_are_three_things(self):
        run = Rounds(accuracy=[0.5, 0.9, 0.7, 0.6, None], client_mean=[0.1, 0.2, 0.4, 0.4, None])
        self.assertEqual(last("accuracy")(run), 0.6)
        self.assertEqual(best("accuracy")(run), 0.9)
        self.assertEqual(at_best_of("client_mean", "accuracy")(run), 0.7)

    def test_a_choice_on_figures_that_are_not_written_is_none(self):
        self.assertIsNone(at_best_of("select_accuracy", "accuracy")(Rounds(accuracy=[0.5, 0.9])))

    def test_a_goal_is_reached_in_the_first_round_that_has_it(self):
        run = Rounds(
            accuracy=[0.5, None, 0.9, 0.95], ended_s=[1.5, 3, 4.5, 6], round=[1, 2, 3, 4],
            bytes_down=[1, 1, 1, 1], bytes_up=[2, 2, 2, 2],
        )  # fmt: skip
        self.assertEqual(reached(0.9)(run), 4.5)
        self.assertEqual(reached(0.9, "round")(run), 3)
        self.assertEqual(bytes_until(0.9)(run), 9)
        self.assertIsNone(reached(0.99)(run))


class Folders(unittest.TestCase):
    def test_a_column_that_a_version_does_not_write_has_no_total(self):
        with tempfile.TemporaryDirectory() as name:
            folder = pathlib.Path(name)
            (folder / "run.json").write_text("{}")
            (folder / "rounds.csv").write_text("round,bytes_up,loss\n1,3,\n2,4,\n")
            run = Run(folder)
            self.assertEqual(run.total("bytes_up"), 7)
            self.assertEqual(run.total("loss"), 0)
            self.assertIsNone(run.total("server_flops"))
            self.assertIsNone(run.last("loss"))
            self.assertEqual(run.table("sizes"), [])
