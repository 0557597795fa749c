"""The statistics against closed forms and tabled values."""

import math
import unittest

from studies import stats


class Spread(unittest.TestCase):
    def test_mean_and_deviation_are_those_of_the_natural_numbers(self):
        for n in (2, 5, 10, 33):
            mean, deviation = stats.spread(range(1, n + 1))
            self.assertAlmostEqual(mean, (n + 1) / 2)
            # The sample variance of 1..n is n (n + 1) / 12.
            self.assertAlmostEqual(deviation, math.sqrt(n * (n + 1) / 12))

    def test_a_single_value_has_no_deviation(self):
        self.assertEqual(stats.spread([4.0]), (4.0, None))


class Paired(unittest.TestCase):
    def test_differences_are_of_runs_with_one_seed(self):
        # What both arms have of a seed falls out, however large it is.
        shared = {seed: 1000.0 * seed for seed in range(1, 6)}
        a = {seed: value + seed for seed, value in shared.items()}
        found = stats.paired(a, shared)
        self.assertEqual(found.n, 5)
        self.assertAlmostEqual(found.mean, 3)
        self.assertAlmostEqual(found.error, math.sqrt(5 * 6 / 12 / 5))
        self.assertTrue(found.is_claim)

    def test_the_other_way_round_has_the_other_sign(self):
        a, b = {1: 1.0, 2: 5.0, 3: 2.0}, {1: 3.0, 2: 1.0, 3: 7.0}
        there, back = stats.paired(a, b), stats.paired(b, a)
        self.assertAlmostEqual(there.mean, -back.mean)
        self.assertAlmostEqual(there.error, back.error)

    def test_seeds_that_one_arm_does_not_have_are_left_out(self):
        a = {1: 1.0, 2: 2.0, 3: None, 4: 8.0}
        b = {2: 1.0, 3: 1.0, 4: 1.0, 5: 1.0}
        found = stats.paired(a, b)
        self.assertEqual(found.n, 2)
        self.assertAlmostEqual(found.mean, 4)
        self.assertIsNone(stats.paired({1: 1.0}, {2: 1.0}))

    def test_a_claim_is_beyond_two_standard_errors_and_on_five_seeds(self):
        # Five differences of mean m: 1 above, 1 below, the others at it; the deviation is sqrt(2 / 4).
        def of(mean, n=5):
            values = [mean + 1, mean - 1] + [mean] * (n - 2)
            return stats.paired(dict(enumerate(values)), dict.fromkeys(range(n), 0.0))

        limit = 2 * math.sqrt(0.5) / math.sqrt(5)
        self.assertTrue(of(limit * 1.01).is_claim)
        self.assertTrue(of(-limit * 1.01).is_claim)
        self.assertFalse(of(limit * 0.99).is_claim)
        self.assertFalse(of(100, n=4).is_claim)

    def test_equal_arms_are_no_claim(self):
        arm = {seed: 0.9 for seed in range(10)}
        found = stats.paired(arm, arm)
        self.assertTrue(found.is_same)
        self.assertFalse(found.is_claim)

    def test_a_single_pair_is_no_claim(self):
        self.assertFalse(stats.paired({1: 5.0}, {1: 1.0}).is_claim)


class Chance(unittest.TestCase):
    def test_student_with_one_and_two_degrees_of_freedom_is_a_closed_form(self):
        for t in (0.0, 0.3, 1.0, 2.0, 7.5):
            self.assertAlmostEqual(stats.beyond(t, 1), 1 - 2 / math.pi * math.atan(t))
            self.assertAlmostEqual(stats.beyond(t, 2), 1 - t / math.sqrt(2 + t * t))

    def test_student_has_the_tabled_quantiles(self):
        # Two-sided 5 % (Fisher and Yates).
        for freedom, t in [(3, 3.182446), (4, 2.776445), (5, 2.570582), (9, 2.262157), (30, 2.042272)]:
            self.assertAlmostEqual(stats.beyond(t, freedom), 0.05, places=6)

    def test_student_is_normal_with_many_degrees_of_freedom(self):
        self.assertAlmostEqual(stats.beyond(2, 100_000), math.erfc(math.sqrt(2)), places=5)

    def test_what_chance_finds_is_the_sum_over_comparisons(self):
        two = stats.Paired(5, 0.0, 1.0), stats.Paired(10, 0.0, 1.0)
        self.assertAlmostEqual(stats.by_chance(two), stats.beyond(2, 4) + stats.beyond(2, 9))
        self.assertEqual(stats.by_chance([]), 0)
