//! Adversaries and the defence against them.

use super::{Resolver, CLIENTS, SHAPES};
use crate::attack::{Adversaries, Adversary, Attack, Knowledge, Rounds};
use crate::data::DataSummary;
use crate::defend::{Access, DefenceSpec, MOST_KEPT};
use crate::federation::Schedule;
use crate::method::{MethodSpec, ReportKind};
use crate::quantity::Bytes;
use crate::scenario::file::{AdversaryFile, RoundsFile};
use crate::scenario::{Architecture, Member};

/// In a larger population nobody is drawn to see whether a client is in two entries: a check is to be
/// quick and small. There the first entry that has a client is the one that counts.
const MOST_DRAWN: u32 = 1_000_000;

/// What the rules about adversaries and defences look at.
pub(super) struct Scene<'a> {
    pub population: &'a [Member],
    pub samples: Option<&'a DataSummary>,
    pub model: Option<&'a Architecture>,
    pub method: &'a MethodSpec,
    pub schedule: &'a Schedule,
    pub public: bool,
    pub seed: u64,
}

impl Scene<'_> {
    /// Reports that a round is to have.
    fn cohort(&self) -> u32 {
        self.schedule.cohort.of(self.clients())
    }

    /// How many clients there are; a population that is too large, which is complained about where
    /// it stands, is as large as can be.
    fn clients(&self) -> u32 {
        let counts = self.population.iter().map(|member| member.group.count);
        counts.fold(0, u32::saturating_add)
    }
}

impl Resolver<'_> {
    /// The defence, with all that speaks against it.
    pub(super) fn defence(
        &mut self,
        typed: Option<DefenceSpec>,
        scene: &Scene<'_>,
    ) -> Option<DefenceSpec> {
        let spec = typed?;
        let (name, defence) = (spec.name(), spec.defence());
        for (field, message) in defence.check() {
            self.complain_within("defence", field, message);
        }
        if !scene.method.method().reports().is_whole() {
            let message = format!(
                "{name} takes whole models or updates, and the clients of {} report something \
                 else: expected a method that averages models, such as FedAvg",
                scene.method.name()
            );
            self.complain_reading(&["method?"], "defence", message);
            return Some(spec);
        }
        let (cohort, least) = (scene.cohort(), defence.least());
        // Without clients nothing can be said of the cohort.
        if least > cohort && scene.clients() > 0 {
            let because = defence.least_because();
            let message = format!(
                "{name} needs a cohort of at least {least} ({because}), and schedule.cohort is {cohort}"
            );
            self.complain_reading(&["schedule", CLIENTS], "defence", message);
        }
        if defence.needs_public() && !scene.public {
            let message = format!(
                "{name} compares with an update on a public set: expected public: (share: 0.05), \
                 found none"
            );
            self.complain_reading(&["public?"], "defence", message);
        }
        if let Some(model) = scene.model {
            let vectors = match (defence.access(), defence.keeps_clients()) {
                (Access::Streaming(_), _) => 0,
                (Access::Keeping(_), false) => u64::from(cohort),
                (Access::Keeping(_), true) => u64::from(cohort) + u64::from(scene.clients()),
            };
            let kept = model.bytes.0.saturating_mul(vectors);
            if kept > MOST_KEPT {
                let message = format!(
                    "{name} would keep {vectors} updates of {}, {} in all; at most {} may be",
                    model.bytes,
                    Bytes(kept),
                    Bytes(MOST_KEPT)
                );
                let [data, model, width] = SHAPES;
                let reads = [data, model, width, "schedule", CLIENTS];
                self.complain_reading(&reads, "defence", message);
            }
        }
        Some(spec)
    }

    /// Who attacks, with all that speaks against it.
    pub(super) fn adversaries(
        &mut self,
        typed: Vec<AdversaryFile>,
        defence: Option<&DefenceSpec>,
        scene: &Scene<'_>,
    ) -> Vec<Adversary> {
        let before = self.sound.complaints();
        let each = typed.into_iter().enumerate().map(|(index, entry)| {
            let path = format!("adversaries[{index}]");
            let who = self.who(entry.who, scene.population, &format!("{path}.who"));
            self.attack(
                entry.attack.name(),
                entry.attack.attack(),
                defence,
                scene,
                &path,
            );
            Adversary {
                who,
                attack: entry.attack,
                rounds: self.attack_rounds(entry.rounds, &format!("{path}.rounds")),
            }
        });
        let all: Vec<Adversary> = each.collect();
        // Who is wrong cannot be drawn.
        let sound = self.sound.complaints() == before && scene.clients() <= MOST_DRAWN;
        if sound && !all.is_empty() {
            let groups = scene.population.iter();
            let groups = groups.map(|member| (member.group.name.as_ref(), member.group.count));
            let drawn = Adversaries::draw(&all, groups, scene.seed);
            if let Some((earlier, later, client)) = drawn.overlap() {
                let message = format!(
                    "client {client} is an adversary of adversaries[{earlier}] too: expected \
                     entries without a common client"
                );
                let path = format!("adversaries[{later}].who");
                let reads = [CLIENTS, "population[].name", "adversaries[].who"];
                self.complain_reading(&reads, &path, message);
            }
        }
        all
    }

    /// Whether an attack can be made on this method and these data.
    fn attack(
        &mut self,
        name: &str,
        attack: &dyn Attack,
        defence: Option<&DefenceSpec>,
        scene: &Scene<'_>,
        path: &str,
    ) {
        let at = format!("{path}.attack");
        for (field, message) in attack.check() {
            self.complain_within(&at, field, message);
        }
        if let (Some(poison), Some(samples)) = (attack.poison(), scene.samples) {
            for (field, message) in poison.fits(samples) {
                let reads = ["data", &format!("{at}.*")];
                self.complain_reading(&reads, &format!("{at}.{field}"), message);
            }
        }
        let (method, reports) = (scene.method.name(), scene.method.method().reports());
        if reports == ReportKind::Nothing {
            let message = format!("{method} asks no client: there is nobody who could attack");
            return self.complain_reading(&["method?"], &at, message);
        }
        if attack.forge().is_some_and(|forge| forge.scores()) {
            if reports != ReportKind::Scores {
                let message = format!(
                    "{name} changes class scores, and the clients of {method} report something \
                     else: expected FedMD"
                );
                self.complain_reading(&["method?"], &at, message);
            }
        } else if (attack.forge().is_some() || attack.craft().is_some()) && !reports.is_whole() {
            let message = format!(
                "{name} changes models or updates, and the clients of {method} report something \
                 else: expected a method that averages models, such as FedAvg"
            );
            self.complain_reading(&["method?"], &at, message);
        }
        let knowledge = attack.craft().map(|craft| craft.knowledge());
        if knowledge == Some(Knowledge::Defence) && defence.is_none() {
            let message = "there is no defence to know: expected Own or Cohort, found Defence";
            self.complain_reading(&["defence?"], &format!("{at}.knowledge"), message);
        }
    }

    fn attack_rounds(&mut self, typed: RoundsFile, path: &str) -> Rounds {
        let RoundsFile {
            from,
            until,
            every,
            on,
            off,
        } = typed;
        let numbers = [
            ("from", Some(from)),
            ("until", until),
            ("every", every),
            ("on", on),
        ];
        for (field, _) in numbers.iter().filter(|(_, number)| *number == Some(0)) {
            let message = "expected a whole number of 1 or more, found 0";
            self.complain(&format!("{path}.{field}"), message);
        }
        if let Some(last) = until.filter(|last| *last > 0 && *last < from) {
            let message = format!("the last round {last} is before the first, {from}");
            self.complain(&format!("{path}.until"), message);
        }
        if every.is_some() && (on.is_some() || off.is_some()) {
            let message = "expected every, or on and off, found both";
            self.complain(&format!("{path}.every"), message);
        }
        Rounds {
            from,
            until,
            on: on.unwrap_or(1),
            off: off.unwrap_or_else(|| every.map_or(0, |every| every.saturating_sub(1))),
        }
    }
}
