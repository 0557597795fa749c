//! What is to be expected of a round, before it is run: how long it takes the clients of each group, by
//! what, and whether that is in time; and how often adversaries are more than a defence bears.
//!
//! All of it is worked out from the federation as it will run: its partition, and the devices and links
//! that are drawn for its clients. Large groups are judged by some of their clients.

mod odds;
mod on_links;
mod table;

pub use odds::chance_of_more_than;

use super::estimate::Estimate;
use super::Scenario;
use crate::federation::{Federation, Outlook, ServerLoad};
use crate::quantity::Span;
use table::Table;

/// Clients of a group that are looked at.
const SAMPLED: u32 = 200;

/// Groups that are shown.
const SHOWN: usize = 40;

/// A group of which less than this share is in time is worth a warning.
const FEW: f64 = 0.5;

/// What is to be expected of a scenario.
pub struct Outlooks {
    /// By group.
    pub groups: Vec<OfGroup>,
    /// Of the server.
    pub server: ServerLoad,
}

/// Some clients of a group.
pub struct OfGroup {
    /// Its name.
    pub name: String,
    /// How many clients it has.
    pub count: u32,
    /// Those that were looked at, which have samples.
    pub clients: Vec<Outlook>,
    /// How many were looked at.
    pub looked_at: u32,
}

impl Outlooks {
    /// Looks at some clients of each group: all of a small one, and of a large one some at equal
    /// distances.
    pub fn of(scenario: &Scenario, federation: &Federation) -> Self {
        let mut first = 0;
        let groups = scenario.population.iter().map(|member| {
            let count = member.group.count;
            let some = count.min(SAMPLED);
            let places =
                (0..some).map(|i| (u64::from(i) * u64::from(count) / u64::from(some)) as u32);
            let all = places.map(|place| federation.outlook(first + place));
            let clients = all.filter(|outlook| outlook.samples > 0).collect();
            first += count;
            OfGroup {
                name: member.group.name.to_string(),
                count,
                clients,
                looked_at: some,
            }
        });
        let groups = groups.collect();
        let reports = scenario.schedule.cohort.of(scenario.clients());
        Self {
            groups,
            server: federation.server_load(reports),
        }
    }

    /// Every client that was looked at, with how many clients of the population it stands for.
    pub fn each(&self) -> impl Iterator<Item = (&Outlook, f64)> {
        self.groups.iter().flat_map(|group| {
            let stands_for = f64::from(group.count) / f64::from(group.looked_at.max(1));
            group.clients.iter().map(move |one| (one, stands_for))
        })
    }
}

impl OfGroup {
    /// The value below which a share of the clients are.
    fn quantile(&self, share: f64, of: impl Fn(&Outlook) -> Span) -> Span {
        let mut all: Vec<Span> = self.clients.iter().map(of).collect();
        all.sort_unstable();
        let place = (share * all.len().saturating_sub(1) as f64).round() as usize;
        all.get(place).copied().unwrap_or_default()
    }

    /// The mean chance of a client to be in time.
    fn chance_within(&self, within: Span) -> f64 {
        let chances = self.clients.iter().map(|one| one.chance_within(within));
        chances.sum::<f64>() / self.clients.len().max(1) as f64
    }
}

impl OfGroup {
    /// The share of the clients that are expected to stop training early, so that they report in time.
    fn stop_early(&self) -> f64 {
        let early = |one: &&Outlook| one.stops.as_ref().is_some_and(|all| one.steps < all.steps);
        let early = self.clients.iter().filter(early).count();
        early as f64 / self.clients.len().max(1) as f64
    }
}

/// How a chance is shown: as a percentage that is 0 or 100 only where it is.
pub fn percent(chance: f64) -> String {
    match 100.0 * chance {
        none if none <= 0.0 => "0 %".into(),
        little if little < 0.1 => "< 0.1 %".into(),
        few if few < 10.0 => format!("{few:.1} %"),
        some if some <= 99.0 => format!("{some:.0} %"),
        most if most <= 99.9 => format!("{most:.1} %"),
        most if most < 100.0 => "> 99.9 %".into(),
        _ => "100 %".into(),
    }
}

/// A span to three digits, for people.
pub fn about(span: Span) -> String {
    let seconds = span.seconds();
    let (value, unit) = match seconds {
        s if s <= 0.0 => return "0 s".into(),
        s if s < 1e-6 => (s * 1e9, "ns"),
        s if s < 1e-3 => (s * 1e6, "us"),
        s if s < 1.0 => (s * 1e3, "ms"),
        s if s < 1e4 => (s, "s"),
        s => (s / 3_600.0, "h"),
    };
    match value {
        v if v < 10.0 => format!("{v:.2} {unit}"),
        v if v < 100.0 => format!("{v:.1} {unit}"),
        v => format!("{v:.0} {unit}"),
    }
}

impl Scenario {
    /// When a round ends with what it has, as the clients see it.
    fn client_deadline(&self) -> Option<Span> {
        match (&self.schedule.waiting, self.hierarchy.last()) {
            (_, Some(above)) => above.tier.deadline,
            (Some(waiting), None) => waiting.timeout,
            (None, None) => self.schedule.deadline,
        }
    }

    /// What is to be expected of a round of each group, as a table, and of adversaries: a line each.
    pub fn expectations(&self, federation: &Federation, outlooks: &Outlooks) -> Vec<String> {
        let mut lines = Vec::new();
        if outlooks.server.asks || self.gossip().is_some() {
            lines.extend(self.table(outlooks));
        }
        lines.extend(self.odds(federation));
        lines
    }

    fn table(&self, outlooks: &Outlooks) -> Vec<String> {
        let deadline = self.client_deadline();
        let mut lines = vec![
            "a round of a client, by group: the median, and in brackets what nine of ten stay below;"
                .to_string(),
            match deadline {
                Some(_) => "links are taken as idle, and lose what they lose".to_string(),
                None => "links are taken as idle and without losses".to_string(),
            },
        ];
        let mut heads = vec![
            "group", "clients", "samples", "down", "start-up", "compute", "up", "in all",
        ];
        let within = deadline.map(|span| format!("within {}", about(span)));
        heads.extend(within.as_deref());
        let partial = !self.schedule.on_deadline.is_drop();
        heads.extend(partial.then_some("stop early"));
        let mut table = Table::new(&heads);
        for group in outlooks.groups.iter().take(SHOWN) {
            let mut samples: Vec<usize> = group.clients.iter().map(|one| one.samples).collect();
            samples.sort_unstable();
            let at = |share: f64| {
                let place = (share * samples.len().saturating_sub(1) as f64).round() as usize;
                samples.get(place).copied().unwrap_or_default()
            };
            let (half, most) = (at(0.5), at(0.9));
            let part = |of: fn(&Outlook) -> Span| {
                let (half, most) = (group.quantile(0.5, of), group.quantile(0.9, of));
                both(about(half), about(most))
            };
            let mut row = vec![
                group.name.clone(),
                group.count.to_string(),
                both(half.to_string(), most.to_string()),
                part(|one| one.download),
                part(|one| one.startup),
                part(|one| one.compute),
                part(|one| one.upload),
                part(Outlook::total),
            ];
            row.extend(deadline.map(|span| percent(group.chance_within(span))));
            row.extend(partial.then(|| percent(group.stop_early())));
            table.push(row);
        }
        lines.extend(table.lines());
        if let Some(more) = outlooks.groups.len().checked_sub(SHOWN).filter(|n| *n > 0) {
            lines.push(format!("and {more} groups more"));
        }
        lines
    }

    /// How often adversaries are more than the defence bears.
    fn odds(&self, federation: &Federation) -> Option<String> {
        let (hostile, clients) = (federation.adversaries(), self.clients());
        if hostile == 0 || self.gossip().is_some() || !self.hierarchy.is_empty() {
            return None;
        }
        let cohort = self.schedule.cohort.of(clients);
        let mean = f64::from(cohort) * f64::from(hostile) / f64::from(clients.max(1));
        let who = format!(
            "adversaries: {hostile} of {clients} clients, {mean:.1} in a cohort of {cohort} on average"
        );
        let defence = self.defence.as_ref();
        let bears = defence.map_or(Some(0), |spec| spec.defence().bears(cohort));
        let name = defence.map(|spec| spec.name());
        Some(match (name, bears) {
            (Some(name), None) => format!("{who}; of {name} it is not known how many it bears"),
            (Some(name), Some(bears)) => {
                let chance = chance_of_more_than(bears, hostile, clients, cohort);
                format!(
                    "{who}; with chance {} there are more than the {bears} that {name} bears",
                    percent(chance)
                )
            }
            (None, _) => {
                let chance = chance_of_more_than(0, hostile, clients, cohort);
                format!(
                    "{who}; with chance {} at least one, and no defence",
                    percent(chance)
                )
            }
        })
    }

    /// Sentences about what is likely to surprise, of what only the federation itself shows.
    pub fn surprises(&self, federation: &Federation, outlooks: &Outlooks) -> Vec<String> {
        let mut warnings = Vec::new();
        if outlooks.server.asks || self.gossip().is_some() {
            self.late(outlooks, &mut warnings);
            self.start_up(outlooks, &mut warnings);
        }
        self.few_samples(federation, &mut warnings);
        let clients = self.clients();
        let cohort = self.schedule.cohort.of(clients);
        let bears = self
            .defence
            .as_ref()
            .map(|spec| (spec.name(), spec.defence().bears(cohort)));
        if let Some((name, Some(bears))) = bears {
            let chance = chance_of_more_than(bears, federation.adversaries(), clients, cohort);
            if chance > FEW {
                warnings.push(format!(
                    "{name} bears {bears} adversaries in a cohort of {cohort}, and most rounds have more \
                     ({})",
                    percent(chance)
                ));
            }
        }
        warnings
    }

    fn late(&self, outlooks: &Outlooks, warnings: &mut Vec<String>) {
        let Some(deadline) = self.client_deadline() else {
            return;
        };
        let (mut in_time, mut all) = (0.0, 0.0);
        for group in &outlooks.groups {
            let chance = group.chance_within(deadline);
            in_time += chance * f64::from(group.count);
            all += f64::from(group.count);
            if group.clients.is_empty() || chance >= FEW {
                continue;
            }
            let median = about(group.quantile(0.5, Outlook::total));
            let (name, end) = (&group.name, about(deadline));
            warnings.push(match chance > 0.0 {
                false => format!(
                    "no client of {name} is expected to be done within the {end} there are: a round takes \
                     half of them {median} or more"
                ),
                true => format!(
                    "{} of the clients of {name} are expected to be done within the {end} there are: a \
                     round takes half of them {median} or more",
                    percent(chance)
                ),
            });
        }
        let (clients, schedule) = (self.clients(), &self.schedule);
        let cohort = f64::from(schedule.cohort.of(clients));
        let asked = (cohort * schedule.over_selection).min(f64::from(clients));
        let expected = asked * in_time / f64::max(all, 1.0);
        let least = f64::from(schedule.least_reports);
        let rounds =
            self.hierarchy.is_empty() && schedule.waiting.is_none() && self.gossip().is_none();
        if rounds && expected < least {
            warnings.push(format!(
                "about {expected:.1} reports of {asked:.0} clients asked are expected in time, and a round \
                 with fewer than schedule.least_reports ({least}) is abandoned"
            ));
        }
    }

    /// Warns where all devices are as good as equally fast because none computes for long.
    fn start_up(&self, outlooks: &Outlooks, warnings: &mut Vec<String>) {
        let (mut least, mut most) = (Span::from_nanos(u64::MAX), Span::ZERO);
        let mut shortest = Span::from_nanos(u64::MAX);
        for (one, _) in outlooks.each() {
            least = least.min(one.compute);
            most = most.max(one.compute);
            shortest = shortest.min(one.startup);
        }
        let differ = most.seconds() > 1.2 * least.seconds();
        if differ && most.seconds() < 0.1 * shortest.seconds() {
            warnings.push(format!(
                "devices need {} or more to start and then compute for {} to {}: start-up hides how fast \
                 they are (device: (startup: \"0 s\") takes it away)",
                about(shortest),
                about(least),
                about(most)
            ));
        }
    }

    /// Warns of clients that have too few samples for what is done with them.
    fn few_samples(&self, federation: &Federation, warnings: &mut Vec<String>) {
        let plan = federation.plan();
        let sizes = (0..plan.population()).map(|client| plan.partition.size(client as usize));
        let (mut none, mut single) = (0u32, 0u32);
        for size in sizes {
            none += u32::from(size == 0);
            single += u32::from(size == 1);
        }
        if none > 0 {
            warnings.push(format!(
                "{none} of {} clients have no samples to train on: they decline whenever they are asked",
                plan.population()
            ));
        }
        if single > 0 && plan.model.has_statistics() {
            warnings.push(format!(
                "{single} of {} clients train on a single sample, and BatchNorm measures a mean and a \
                 variance of that one: expected GroupNorm, or a larger partition.min_per_client",
                plan.population()
            ));
        }
    }

    /// About what the whole run takes.
    pub fn estimate(&self, federation: &Federation, outlooks: &Outlooks) -> Estimate {
        Estimate::of(self, federation, outlooks)
    }
}

/// A figure, and in brackets another, if it is another.
fn both(half: String, most: String) -> String {
    match half == most {
        true => half,
        false => format!("{half} ({most})"),
    }
}

#[cfg(test)]
mod tests;
