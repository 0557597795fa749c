//! Oort: selection by loss and speed, with exploration of clients that are not known yet.

use super::draw::{draws, is_there, sample, weighted};
use super::{Ask, Policy, Selection, UsedReport};
use crate::quantity::Span;
use crate::sim::rng::Stream;
use crate::snapshot::{snapshot_struct, Damaged, Reader, Snapshot, Writer};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Oort (Lai et al., OSDI 2021, algorithm 1).
///
/// A client that has reported has the utility `|B| · √(mean loss²)`; its mean loss stands for the
/// root mean square. For a choice, the utility is clipped at the 95th percentile and scaled to [0,
/// 1], as in the authors' code. Then `√(0.1 · ln R / last round)` is added in round R, which
/// favours clients that have not reported for long. If the client's rounds take a time t longer
/// than the preferred duration T, the result is multiplied by (T/t)^`alpha`.
///
/// A share ε of the places goes to clients that have never reported, where faster ones are more
/// likely. The other places are drawn in proportion to utility, among clients above `cutoff` times
/// the utility at the last of these places.
///
/// T is a percentile of the known durations, at first `percentile`. When the utility of the last
/// `window` rounds is less than that of the window before, the percentile rises by `step` (the
/// paper's pacer).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Oort {
    /// The share ε of places for unknown clients in the first round.
    pub exploration: f64,
    /// The factor on ε after each round.
    pub decay: f64,
    /// The value below which ε does not fall.
    pub least_exploration: f64,
    /// The exponent α of the penalty for slow clients.
    pub alpha: f64,
    /// The confidence c: the share of the last utility above which clients are drawn.
    pub cutoff: f64,
    /// The percentile of durations that is preferred at first, in percent.
    pub percentile: f64,
    /// The amount by which the pacer raises the percentile, in percent.
    pub step: f64,
    /// The number of rounds in the pacer's window.
    pub window: u32,
    /// The number of times that a client may be used (the paper's rule for outliers); 0 sets no
    /// limit.
    pub most: u32,
}

impl Default for Oort {
    fn default() -> Self {
        Self {
            exploration: 0.9,
            decay: 0.98,
            least_exploration: 0.2,
            alpha: 2.0,
            cutoff: 0.95,
            percentile: 30.0,
            step: 5.0,
            window: 20,
            most: 0,
        }
    }
}

impl Selection for Oort {
    fn policy(&self) -> Box<dyn Policy> {
        Box::new(State {
            settings: *self,
            exploration: self.exploration,
            percentile: self.percentile,
            known: BTreeMap::new(),
            gains: Vec::new(),
        })
    }

    fn needs_losses(&self) -> bool {
        true
    }

    fn check(&self) -> Vec<(&'static str, String)> {
        let ranges = [
            ("exploration", self.exploration, 0.0, 1.0),
            ("decay", self.decay, 0.0, 1.0),
            ("least_exploration", self.least_exploration, 0.0, 1.0),
            ("alpha", self.alpha, 0.0, 100.0),
            ("cutoff", self.cutoff, 0.0, 1.0),
            ("percentile", self.percentile, 0.0, 100.0),
            ("step", self.step, 0.0, 100.0),
        ];
        let wrong = ranges
            .into_iter()
            .filter(|(_, found, low, high)| !(low..=high).contains(&found));
        let mut problems: Vec<_> = wrong
            .map(|(field, found, low, high)| (field, format!("{found} is outside [{low}, {high}]")))
            .collect();
        if self.window == 0 {
            problems.push(("window", "expected 1 or more, found 0".to_string()));
        }
        problems
    }
}

/// What is known of a client that has reported.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Known {
    utility: f64,
    took: Span,
    /// The last round in which the client reported.
    last: u32,
    times: u32,
}

snapshot_struct!(Known {
    utility,
    took,
    last,
    times,
});

struct State {
    settings: Oort,
    exploration: f64,
    percentile: f64,
    known: BTreeMap<u32, Known>,
    /// The sum of the utilities reported in each round, from the first.
    gains: Vec<f64>,
}

/// The value at the place of `sorted` that lies `percent` percent from the start.
fn percentile<T: Copy>(sorted: &[T], percent: f64) -> Option<T> {
    let place = libm::floor(sorted.len() as f64 * percent / 100.0) as usize;
    sorted
        .get(place.min(sorted.len().saturating_sub(1)))
        .copied()
}

impl State {
    /// Raises the percentile of the preferred duration if less utility was reported than in the
    /// window before.
    fn pace(&mut self, round: u32) {
        let (window, over) = (
            self.settings.window as usize,
            round.saturating_sub(1) as usize,
        );
        self.gains.resize(over, 0.0);
        if over >= 2 * window && over.is_multiple_of(window) {
            let sum = |rounds: &[f64]| rounds.iter().sum::<f64>();
            let before = sum(&self.gains[over - 2 * window..over - window]);
            if before > sum(&self.gains[over - window..]) {
                self.percentile = (self.percentile + self.settings.step).min(100.0);
            }
        }
    }

    fn may_be_used(&self, client: u32) -> bool {
        let most = self.settings.most;
        let times = self.known.get(&client).map_or(0, |known| known.times);
        most == 0 || times < most
    }

    /// The scores of all clients that have reported before and are present.
    fn scores(&self, ask: &Ask<'_>) -> Vec<(u32, f64)> {
        let mut durations: Vec<Span> = self.known.values().map(|known| known.took).collect();
        durations.sort_unstable();
        let preferred = percentile(&durations, self.percentile).unwrap_or(Span::ZERO);
        let mut utilities: Vec<f64> = self.known.values().map(|known| known.utility).collect();
        utilities.sort_unstable_by(f64::total_cmp);
        let clip = percentile(&utilities, 95.0).unwrap_or(0.0);
        let least = utilities.first().copied().unwrap_or(0.0);
        let range = (clip - least).max(f64::MIN_POSITIVE);
        let known = self
            .known
            .iter()
            .filter(|(client, _)| self.may_be_used(**client) && is_there(ask, **client));
        known
            .map(|(client, known)| {
                let utility = (known.utility.min(clip) - least) / range;
                let absence = libm::sqrt(
                    0.1 * libm::log(f64::from(ask.round)) / f64::from(known.last.max(1)),
                );
                let mut score = utility + absence;
                if known.took > preferred {
                    let slow = preferred.seconds() / known.took.seconds();
                    score *= libm::pow(slow, self.settings.alpha);
                }
                (*client, score)
            })
            .collect()
    }

    /// Draws clients in proportion to their scores, among those above the cut.
    fn exploit(&self, mut scores: Vec<(u32, f64)>, wanted: u32, rng: &mut Stream) -> Vec<u32> {
        scores.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        let last = scores.get((wanted as usize).min(scores.len()).saturating_sub(1));
        let cut = last.map_or(0.0, |(_, score)| score * self.settings.cutoff);
        let above = scores.iter().take_while(|(_, score)| *score >= cut);
        // A client with a score of 0 is drawn last, but is drawn.
        let above: Vec<(u32, f64)> = above
            .map(|&(client, score)| (client, score.max(1e-12)))
            .collect();
        weighted(rng, &above, wanted)
    }

    /// Draws clients that have never reported, out of a few for each place; faster ones are more
    /// likely.
    fn explore(&self, ask: &Ask<'_>, wanted: u32, rng: &mut Stream) -> Vec<u32> {
        let many = wanted.saturating_mul(4);
        let unknown = sample(rng, 0..ask.population.size(), many, |client, _| {
            !self.known.contains_key(&client) && is_there(ask, client)
        });
        let speeds: Vec<(u32, f64)> = unknown
            .into_iter()
            .map(|client| {
                let expected = ask.population.expected(client).total().seconds();
                (client, 1.0 / expected.max(1e-9))
            })
            .collect();
        weighted(rng, &speeds, wanted)
    }
}

impl Policy for State {
    fn choose(&mut self, ask: &Ask<'_>) -> Vec<u32> {
        self.pace(ask.round);
        let mut rng = draws(ask);
        let scores = self.scores(ask);
        let new = libm::round(f64::from(ask.wanted) * self.exploration) as u32;
        let new = new.max(ask.wanted.saturating_sub(scores.len() as u32));
        let mut chosen = self.explore(ask, new, &mut rng);
        // Places for which there is no unknown client go to known ones.
        let old = ask.wanted - chosen.len() as u32;
        chosen.extend(self.exploit(scores, old, &mut rng));
        let decayed = self.exploration * self.settings.decay;
        self.exploration = decayed.max(self.settings.least_exploration.min(self.exploration));
        chosen
    }

    fn reported(&mut self, report: &UsedReport) {
        let Some(loss) = report.loss.filter(|loss| loss.is_finite()) else {
            return;
        };
        let utility = f64::from(report.samples) * loss.abs();
        let times = self
            .known
            .get(&report.client)
            .map_or(0, |known| known.times);
        let known = Known {
            utility,
            took: report.took,
            last: report.round,
            times: times + 1,
        };
        self.known.insert(report.client, known);
        let round = report.round.max(1) as usize;
        if self.gains.len() < round {
            self.gains.resize(round, 0.0);
        }
        self.gains[round - 1] += utility;
    }

    fn save(&self, to: &mut Writer) {
        self.exploration.save(to);
        self.percentile.save(to);
        self.known.save(to);
        self.gains.save(to);
    }

    fn restore(&mut self, from: &mut Reader) -> Result<(), Damaged> {
        self.exploration = Snapshot::load(from)?;
        self.percentile = Snapshot::load(from)?;
        self.known = Snapshot::load(from)?;
        self.gains = Snapshot::load(from)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::SmallPopulation;
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn exploration_decays_to_its_least_and_everybody_is_met() {
        let population = SmallPopulation::of(200);
        let mut policy = Oort::default().policy();
        let mut seen = BTreeSet::new();
        let mut unknown = Vec::new();
        for round in 1..=120 {
            let chosen = population.round(policy.as_mut(), round, 10, |_| 1.0);
            assert_eq!(chosen.len(), 10);
            unknown.push(chosen.iter().filter(|client| seen.insert(**client)).count());
        }
        // All in the first round; then 0.9 · 0.98 of ten, and so on.
        assert_eq!(unknown[..3], [10, 9, 9]);
        assert_eq!(seen.len(), 200);
    }

    /// All are known: of two halves one has ten times the loss, of each half one half is slow.
    #[test]
    fn large_losses_are_preferred_and_slow_clients_are_not() {
        let mut population = SmallPopulation::of(40);
        population.seconds = (0..40)
            .map(|client| if client % 2 == 0 { 1.0 } else { 10.0 })
            .collect();
        let loss = |client: u32| if client < 20 { 1.0 } else { 0.1 };
        let mut policy = Oort {
            exploration: 1.0,
            decay: 0.0,
            least_exploration: 0.0,
            ..Oort::default()
        }
        .policy();
        population.round(policy.as_mut(), 1, 40, loss);
        let mut counts = [0u32; 4];
        for round in 2..400 {
            for client in population.ask(policy.as_mut(), round, 5) {
                let slow = client % 2;
                counts[(2 * u32::from(client >= 20) + slow) as usize] += 1;
            }
        }
        let [both, slow, small, neither] = counts;
        assert!(
            both > 20 * slow.max(1) && both > 20 * small.max(1) && neither == 0,
            "{counts:?}"
        );
    }

    #[test]
    fn the_pacer_waits_for_slower_clients_when_less_is_learned() {
        let settings = Oort {
            window: 2,
            ..Oort::default()
        };
        let mut state = State {
            settings,
            exploration: 0.0,
            percentile: 30.0,
            known: BTreeMap::new(),
            gains: vec![4.0, 4.0, 1.0, 1.0],
        };
        state.pace(4);
        assert_eq!(state.percentile, 30.0, "not at the end of a window");
        state.gains = vec![4.0, 4.0, 1.0, 1.0];
        state.pace(5);
        assert_eq!(state.percentile, 35.0);
        state.gains.extend([2.0, 2.0]);
        state.pace(7);
        assert_eq!(state.percentile, 35.0, "more is learned again");
    }

    #[test]
    fn a_client_may_be_used_so_many_times_only() {
        let population = SmallPopulation::of(4);
        let mut policy = Oort {
            most: 3,
            ..Oort::default()
        }
        .policy();
        let counts = population.counts(policy.as_mut(), 20, 2, |_| 1.0);
        assert_eq!(counts, [3; 4]);
    }

    #[test]
    fn settings_out_of_range_are_told() {
        let wrong = Oort {
            exploration: 1.5,
            alpha: f64::NAN,
            window: 0,
            ..Oort::default()
        };
        let fields: Vec<&str> = wrong.check().into_iter().map(|(field, _)| field).collect();
        assert_eq!(fields, ["exploration", "alpha", "window"]);
        assert!(Oort::default().check().is_empty());
    }
}
