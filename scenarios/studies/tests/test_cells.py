"""How cells and seeds are named, and what is said of names that are none."""

import unittest

from studies import cells, data, state
from studies.cells import Cell, Mistake
from studies.tests import fake


class Names(unittest.TestCase):
    def setUp(self):
        self.study = fake.study((("iid", "fedavg"), ()), (("iid", "krum"), ()), (("skewed", "fedavg"), ()))

    def names(self, *patterns):
        return [cell.name for cell in self.study.chosen(patterns)]

    def test_a_pattern_is_of_the_whole_name_or_of_a_word(self):
        self.assertEqual(self.names("iid/*"), ["iid/fedavg", "iid/krum"])
        self.assertEqual(self.names("fedavg"), ["iid/fedavg", "skewed/fedavg"])
        self.assertEqual(self.names("k*", "skewed"), ["iid/krum", "skewed/fedavg"])
        self.assertEqual(len(self.names()), 3)

    def test_an_unknown_cell_is_told_with_near_ones(self):
        with self.assertRaisesRegex(Mistake, "'fedavgg'; near: fedavg.*SETTING/ARM.*list"):
            self.study.chosen(["fedavgg"])

    def test_a_wrong_declaration_does_not_pass(self):
        for wrong in [
            [(("iid",), ())],
            [(("iid", "a/b"), ())],
            [(("iid", ".."), ())],
            [(("iid", "a"), ()), (("iid", "a"), ())],
        ]:
            with self.assertRaises(ValueError):
                fake.study(*wrong)
        with self.assertRaises(ValueError):
            fake.study((("iid", "a"), ()), figures={"seed": len})

    def test_seeds_are_read_and_written(self):
        for text, seeds in [("1-5", (1, 2, 3, 4, 5)), ("7", (7,)), ("1,3-4,3", (1, 3, 4)), ("2..3", (2, 3))]:
            self.assertEqual(cells.seeds_of(text), seeds)
        self.assertEqual(cells.seeds_text([5, 1, 2, 3, 9, 8]), "1-3,5,8-9")
        for wrong in ["", "a", "5-1", "1-", "-3", "1-999999999"]:
            with self.assertRaises(Mistake):
                cells.seeds_of(wrong)


class Data(unittest.TestCase):
    def test_the_last_override_says_which_data_are_read(self):
        scenario = "scenarios/fedconv/fedavg.ron"
        self.assertEqual(data.needed(Cell(("a",), scenario)), {"mnist"})
        fashion = Cell(("a",), scenario, ('data=FashionMnist(dir: "../data/fashion-mnist")',))
        self.assertEqual(data.needed(fashion), {"fashion-mnist"})
        self.assertEqual(data.needed(Cell(("a",), "scenarios/quickstart.ron")), set())


class Estimates(unittest.TestCase):
    def test_a_cell_takes_as_long_as_under_other_seeds_or_as_its_nearest(self):
        keys = [("big", "a"), ("big", "b"), ("small", "a"), ("small", "c")]
        of = {key: Cell(key, "scenarios/quickstart.ron") for key in keys}
        done = [
            state.State(of["big", "a"], 1, None, {"wall_s": 10.0}),
            state.State(of["big", "a"], 2, None, {"wall_s": 30.0}),
            state.State(of["small", "a"], 1, None, {"wall_s": 2.0}),
        ]
        guess = lambda key: state.expected([state.State(of[key], 3, None)], done)
        self.assertEqual(guess(("big", "a")), 20)
        self.assertEqual(guess(("big", "b")), 20)
        self.assertEqual(guess(("small", "c")), 2)
        self.assertIsNone(state.expected(done, []))
