//! What is allowed and probably not meant.

use super::Scenario;
use crate::availability::{Availability, Leaving};
use crate::fault::{ClientFault, LinkFault, ReportFault, What};
use crate::learn::Cost;
use crate::net::{Loss, Transport};
use crate::privacy::Privacy;
use crate::quantity::Distribution;

impl Scenario {
    /// Sentences about what is likely to surprise.
    pub fn warnings(&self) -> Vec<String> {
        let mut warnings: Vec<String> = self.samples.notes.to_vec();
        for member in &self.population {
            let Availability::Trace(trace) = &member.group.availability else {
                continue;
            };
            if let Some(start) = trace.unix_start() {
                warnings.push(format!(
                    "{}: the first interval begins at {:.0} s, which looks like Unix time: a run begins at \
                     0, so no client of {} is there for decades; subtract the first time from all",
                    trace.file.display(),
                    start.seconds(),
                    member.group.name
                ));
            }
        }
        let links = self.population.iter().flat_map(|member| {
            let links = member.links().iter();
            links.map(|link| (&*member.group.name, &link.model))
        });
        let links: Vec<_> = links
            .chain([("the server", &self.server.link.model)])
            .collect();
        let lossy = links.iter().any(|(_, link)| link.loss != Loss::None);
        let datagram = links
            .iter()
            .find(|(_, link)| matches!(link.transport, Transport::Datagram));
        let waiting = self.schedule.waiting.as_ref();
        // A server between without a deadline waits as well, whatever the one at the top does.
        let patient_between = self
            .hierarchy
            .iter()
            .find(|above| above.tier.deadline.is_none());
        let patient = match waiting {
            Some(waiting) => waiting.timeout.is_none(),
            None => self.schedule.deadline.is_none(),
        };
        if let (Some(waiting), true) = (
            waiting,
            patient && (self.may_be_silent() || lossy && datagram.is_some()),
        ) {
            warnings.push(format!(
                "clients may not answer and schedule.waiting.timeout is not set: {} waits for them for \
                 ever, with one client less at work each time",
                waiting.name()
            ));
        }
        let patient = patient && waiting.is_none();
        if let (true, Some((who, _)), true) = (lossy, datagram, patient) {
            warnings.push(format!(
                "{who} sends datagrams, links lose packets and schedule.deadline is not set: \
                 a round that loses a message waits for ever"
            ));
        }
        if let (Some(above), true) = (
            patient_between,
            self.may_be_silent() || lossy && datagram.is_some(),
        ) {
            warnings.push(format!(
                "messages may be lost or never sent and {} has no deadline: a round of such a server that \
                 waits for one waits for ever",
                above.tier.name
            ));
        }
        if patient && self.may_be_silent() {
            warnings.push(
                "faults may keep clients from answering and schedule.deadline is not set: a round that \
                 waits for one of them waits for ever"
                    .into(),
            );
        }
        let leaver = self.population.iter().find(|member| {
            let group = &member.group;
            match (group.leaving, &group.availability) {
                // Work that is longer than any session is never done.
                (Leaving::Abandon | Leaving::Restart, _) => true,
                (Leaving::Pause, Availability::Trace(trace)) => !trace.repeats(),
                _ => false,
            }
        });
        if let (Some(member), None) = (leaver, self.schedule.deadline) {
            warnings.push(format!(
                "clients of {} may leave a task for good and schedule.deadline is not set: a round that \
                 waits for one of them waits for ever",
                member.group.name
            ));
        }
        let clients = self.clients();
        let cohort = self.schedule.cohort.of(clients);
        let asked = f64::from(cohort) * self.schedule.over_selection;
        if asked > f64::from(clients) && waiting.is_none() {
            warnings.push(format!(
                "schedule.over_selection asks {asked:.0} clients of {clients}: all are asked"
            ));
        }
        if let Ok(model) = self.build_model() {
            let per_client = self.samples_each();
            for member in &self.population {
                let group = &member.group;
                let local = self.method.method().client().local(&group.training);
                let need = Cost::training(&model, &local, per_client, 0).memory;
                let tiers = group.tiers.iter().map(|tier| &tier.device);
                let own = group.tiers.is_empty().then_some(&group.device);
                let small = own.into_iter().chain(tiers).find(|one| !one.fits(need));
                if let Some(small) = small {
                    let whose = match group.tiers.is_empty() {
                        true => "the devices",
                        false => "some devices",
                    };
                    warnings.push(format!(
                        "training needs about {need}, {whose} of {} have {}: they will decline",
                        group.name, small.memory
                    ));
                }
            }
        }
        let absent = self.population.iter().find(|member| {
            member.group.participation != Distribution::Constant(1.0)
                || !member.group.availability.is_always()
        });
        if let (Some(Privacy::CentralDp(_)), Some(member)) = (&self.layers.privacy, absent) {
            warnings.push(format!(
                "clients of {} may not be there when a round begins: epsilon is then told as if \
                 everybody took part in every round",
                member.group.name
            ));
        }
        let noise = match &self.layers.privacy {
            Some(Privacy::CentralDp(central)) => Some(central.noise),
            Some(Privacy::LocalDp(local)) => Some(local.noise),
            None => None,
        };
        if noise == Some(0.0) {
            warnings.push(
                "privacy.noise is 0: updates are clipped and nothing more, and epsilon is infinite"
                    .into(),
            );
        }
        if self.evaluation.per_client && self.partition.holdout.get() == 0.0 {
            warnings.push("evaluation.per_client has no held-out samples to evaluate on".into());
        }
        warnings
    }

    /// Whether some fault can keep a client from ever answering a task.
    fn may_be_silent(&self) -> bool {
        self.faults.iter().any(|fault| match &fault.what {
            What::Client(fault) => matches!(
                fault,
                ClientFault::Crash { .. }
                    | ClientFault::Pause
                    | ClientFault::Panic
                    | ClientFault::Report(ReportFault::WrongRound(..0))
            ),
            What::Link(fault) => !matches!(
                fault,
                LinkFault::Delay(_)
                    | LinkFault::Offset(_)
                    | LinkFault::Duplicate { .. }
                    | LinkFault::Reorder { .. }
                    | LinkFault::Mtu(_)
            ),
            What::Server(_) | What::Data(_) => false,
        })
    }
}
