//! How the clients of a group differ.

use super::Resolver;
use crate::data::Partitioner;
use crate::federation::{read_capacity, Capacity, Correlation, DeviceTier};
use crate::quantity::Distribution;
use crate::scenario::file::{CorrelationFile, DeviceTierFile, TraceFile};
use crate::scenario::{Link, Member, Partition};

/// The most tiers of a group.
const MOST_TIERS: usize = 64;
/// Shares that were typed in decimals add up to one to about this.
const ROUNDING: f64 = 1e-6;

impl Resolver<'_> {
    /// The tiers of the group at `path`, and their links where they have any.
    pub(super) fn tiers(
        &mut self,
        typed: Vec<DeviceTierFile>,
        path: &str,
    ) -> (Vec<DeviceTier>, Vec<Link>) {
        if typed.is_empty() {
            if self.document.has(&format!("{path}.tiers")) {
                self.complain(
                    &format!("{path}.tiers"),
                    "expected at least one tier such as (share: 1, device: \"phone-mid\"), found none",
                );
            }
            return (Vec::new(), Vec::new());
        }
        if typed.len() > MOST_TIERS {
            self.complain(
                &format!("{path}.tiers"),
                format!("expected at most {MOST_TIERS} tiers, found {}", typed.len()),
            );
            return (Vec::new(), Vec::new());
        }
        self.said_by(path, "device", "the tiers say which devices there are");
        let with_link = typed.iter().filter(|tier| tier.link.is_some()).count();
        if with_link > 0 {
            self.said_by(path, "link", "the tiers say which links there are");
        }
        if with_link > 0 && with_link < typed.len() {
            self.complain(
                &format!("{path}.tiers"),
                "expected a link in each tier or in none, found it in some",
            );
        }
        let total: f64 = typed.iter().map(|tier| tier.share).sum();
        let (mut tiers, mut links, mut sound) = (Vec::new(), Vec::new(), true);
        for (index, tier) in typed.into_iter().enumerate() {
            let path = format!("{path}.tiers[{index}]");
            if !(tier.share > 0.0 && tier.share <= 1.0) {
                self.complain(
                    &format!("{path}.share"),
                    format!("{} is outside (0, 1]", tier.share),
                );
                sound = false;
            }
            let devices = self.device(tier.device, &format!("{path}.device"));
            tiers.push(DeviceTier {
                share: tier.share / total,
                device: devices.device,
                speed: devices.speed,
            });
            links.extend(
                tier.link
                    .map(|link| self.link(link, &format!("{path}.link"))),
            );
        }
        if sound && (total - 1.0).abs() > ROUNDING {
            self.complain(
                &format!("{path}.tiers"),
                format!("expected shares that add up to 1, found {total:.6}"),
            );
        }
        (tiers, links)
    }

    /// Complains of a field that something else has taken the place of.
    fn said_by(&mut self, path: &str, field: &str, why: &str) {
        let path = format!("{path}.{field}");
        if self.document.has(&path) {
            self.complain(&path, format!("{why}: expected none here"));
        }
    }

    /// Ties between what clients have, where that can be for the group at `path`.
    pub(super) fn correlation(
        &mut self,
        typed: CorrelationFile,
        (speed, tiers): (&Distribution, &[DeviceTier]),
        (link, tier_links): (&Link, &[Link]),
        path: &str,
    ) -> Correlation {
        let at = format!("{path}.correlation");
        let correlation = Correlation {
            speed_link: typed.speed_link,
            speed_samples: typed.speed_samples,
            link_samples: typed.link_samples,
        };
        let each = [
            ("speed_link", typed.speed_link),
            ("speed_samples", typed.speed_samples),
            ("link_samples", typed.link_samples),
        ];
        let mut sound = true;
        for (field, value) in each {
            if !(-1.0..=1.0).contains(&value) {
                self.complain(
                    &format!("{at}.{field}"),
                    format!("{value} is outside [-1, 1]"),
                );
                sound = false;
            }
        }
        if sound && !correlation.is_possible() {
            self.complain(
                &at,
                "no three quantities correlate so: two that both go with the third go with each other",
            );
        }
        let fixed = |law: &Distribution| matches!(law, Distribution::Constant(_));
        if fixed(speed) && tiers.is_empty() && (typed.speed_link, typed.speed_samples) != (0.0, 0.0)
        {
            self.complain(
                &at,
                "all devices of the group are as fast: expected a distribution of speeds, or tiers",
            );
        }
        let goes_with_link = (typed.speed_link, typed.link_samples) != (0.0, 0.0);
        if goes_with_link && !tier_links.is_empty() {
            self.complain(
                &at,
                "the tiers say which link goes with which device: expected speed_samples only",
            );
        } else if goes_with_link && link.up.is_none() && link.down.is_none() {
            self.complain(
                &at,
                "all links of the group have the same rates: expected a distribution for up or down",
            );
        }
        correlation
    }

    /// Complains where a number of samples is to matter and is the same for all.
    pub(super) fn samples_differ(&mut self, population: &[Member], partition: &Partition) {
        let same = matches!(
            partition.by,
            Partitioner::Shared { .. } | Partitioner::Iid { .. } | Partitioner::Shards { .. }
        );
        for (index, member) in population.iter().enumerate() {
            let correlation = member.group.correlation;
            if same && correlation.is_some_and(|correlation| correlation.needs_samples()) {
                self.complain(
                    &format!("population[{index}].correlation"),
                    "the partition gives all clients as many samples: expected one whose sizes differ, such as \
                     QuantitySkew(exponent: 1)",
                );
            }
        }
    }

    /// A capacity trace of the group at `path`.
    pub(super) fn capacity(&mut self, typed: TraceFile, path: &str) -> Option<Capacity> {
        let at = format!("{path}.trace");
        for field in ["tiers", "correlation"] {
            self.said_by(path, field, "the trace says what each client has");
        }
        self.said_by(
            path,
            "device.speed",
            "the trace says how fast each client is",
        );
        for field in ["link.up", "link.down"] {
            self.said_by(path, field, "the trace says the rates of each client");
        }
        if !(typed.factor > 0.0 && typed.factor <= 1e6) {
            self.complain(
                &format!("{at}.factor"),
                format!("{} is outside (0, 1e6]", typed.factor),
            );
        }
        match read_capacity(&self.base.join(&typed.capacity)) {
            Ok((rows, content)) => Some(Capacity {
                file: typed.capacity,
                content,
                factor: typed.factor,
                rows: rows.into(),
            }),
            Err(error) => {
                self.complain(&format!("{at}.capacity"), error.to_string());
                None
            }
        }
    }
}
