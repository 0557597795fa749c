//! Links with well-known names.
//!
//! Latencies are one-way and belong to the access link alone. A path adds the latencies of both ends,
//! so a measured round-trip time is halved for a client whose server sits in a data centre, and
//! quartered between two nodes with equal links. Figures that no source gives (most losses and some
//! spreads) are called assumptions.
//!
//! All presets but `ideal` send over TCP with CUBIC, as phones, computers and servers do: the systems
//! of Linux, Android, Apple and Microsoft use it by default (RFC 9438, section 1). On `ideal` there is
//! no delay and no loss for TCP to react to.

use super::latency::Latency;
use super::link::{LinkModel, Transport};
use super::loss::Loss;
use crate::quantity::{Bandwidth, Distribution, Probability, Span};
use serde::Serialize;

/// A named link, with the sources of its figures.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Preset {
    /// The name that scenarios use.
    pub name: &'static str,
    /// The model of the link.
    pub model: LinkModel,
    /// The source of each figure.
    pub source: &'static str,
}

/// The headings of the columns of [`listing`].
pub const LISTING_HEADER: [&str; 6] = ["name", "up", "down", "latency (median)", "loss", "source"];

/// The figures of a preset.
struct Figures {
    name: &'static str,
    /// The rate from the node in Mbit/s; `None` means no limit.
    up: Option<f64>,
    /// The rate to the node in Mbit/s; `None` means no limit.
    down: Option<f64>,
    latency: Latency,
    loss: Loss,
    source: &'static str,
}

const fn log_normal(median_us: u64, sigma: f64, bound_us: u64) -> Latency {
    let distribution = Distribution::LogNormal {
        median: median_us as f64 / 1e6,
        sigma,
    };
    Latency::of(distribution, Span::from_nanos(bound_us * 1_000))
}

fn probability(p: f64) -> Probability {
    Probability::new(p).unwrap_or(Probability::ZERO)
}

fn independent(p: f64) -> Loss {
    Loss::Independent { p: probability(p) }
}

fn figures() -> Vec<Figures> {
    vec![
        Figures {
            name: "ideal",
            up: None,
            down: None,
            latency: Latency::ideal(),
            loss: Loss::None,
            source: "none: no latency, no limit, no loss",
        },
        Figures {
            name: "lan",
            up: Some(1_000.0),
            down: Some(1_000.0),
            latency: log_normal(100, 0.3, 20),
            loss: Loss::None,
            source: "rates: 1000BASE-T, IEEE 802.3 clause 40; latency: assumption, 0.4 ms round \
                     trip through a switch and two hosts' stacks; loss: assumption",
        },
        Figures {
            name: "datacentre",
            up: Some(10_000.0),
            down: Some(10_000.0),
            // 268 us round trip / 4; ln(1340 / 268) / 2.326 = 0.69.
            latency: log_normal(67, 0.69, 10),
            loss: independent(1e-5),
            source: "Guo et al., Pingmesh, SIGCOMM 2015: servers with 10 Gbit/s, round trip between \
                     pods 268 us median and 1.34 ms at the 99th percentile, 1e-5 to 1e-4 of packets \
                     dropped; least latency: assumption",
        },
        Figures {
            name: "wifi",
            up: Some(38.32),
            down: Some(83.95),
            // 20 ms / 2; ln(100 / 20) / 1.2816 = 1.26.
            latency: log_normal(10_000, 1.26, 1_000),
            loss: independent(1e-3),
            source: "rates: median of fixed broadband worldwide, Ookla, The State of Worldwide \
                     Connectivity in 2023 (Q3 2023); latency of the Wi-Fi hop: half of packets over \
                     20 ms, a tenth over 100 ms, Pei et al., WiFi can be the weakest link of round \
                     trip network latency in the wild, INFOCOM 2016; least latency and loss: \
                     assumptions",
        },
        Figures {
            name: "5g",
            up: Some(14.7),
            down: Some(129.9),
            latency: log_normal(9_400, 0.4, 4_000),
            loss: independent(1e-3),
            source: "rates: UK averages, Ofcom, Mobile Matters 2023; latency: 16.3 to 21.4 ms \
                     response time by operator, Ofcom, Mobile Matters 2024; spread, least latency \
                     and loss: assumptions",
        },
        Figures {
            name: "4g",
            up: Some(7.6),
            down: Some(29.5),
            latency: log_normal(10_500, 0.5, 5_000),
            loss: independent(1e-3),
            source: "rates: UK averages, Ofcom, Mobile Matters 2023; latency: 18.3 to 23.7 ms \
                     response time by operator, Ofcom, Mobile Matters 2024; spread, least latency \
                     and loss: assumptions",
        },
        Figures {
            name: "3g",
            up: Some(2.0),
            down: Some(5.9),
            // sqrt(100 * 500) = 224 ms, half of it; ln(500 / 100) / (2 * 1.645) = 0.49.
            latency: log_normal(112_000, 0.49, 25_000),
            loss: independent(1e-3),
            source: "rates: UK averages, Ofcom, Mobile Matters 2023; latency: 100 to 500 ms round \
                     trip (taken as the 5th and 95th percentile), Grigorik, High Performance Browser \
                     Networking, table 7-2; least latency and loss: assumptions",
        },
        Figures {
            name: "satellite-leo",
            up: Some(13.89),
            down: Some(97.23),
            // 45 ms / 2; ln(60 / 50) / 0.6745 = 0.27; 20 ms / 2.
            latency: log_normal(22_500, 0.27, 10_000),
            loss: Loss::GilbertElliott {
                p_good_to_bad: probability(4e-4),
                p_bad_to_good: probability(0.05),
                loss_good: probability(0.0),
                loss_bad: probability(0.5),
            },
            source: "rates and 45 ms median round trip: Starlink in the US, Ookla, Q2 2021; spread \
                     and 20 ms least round trip: Michel et al., A first look at Starlink \
                     performance, IMC 2022 (blog.apnic.net, 28 November 2022); loss of up to half \
                     the packets in bursts at handovers: Kassem et al., A browser-side view of \
                     Starlink connectivity, IMC 2022; how often and how long: assumption (0.4 % over \
                     all)",
        },
        Figures {
            name: "satellite-geo",
            up: Some(3.38),
            down: Some(18.13),
            latency: log_normal(315_000, 0.1, 239_000),
            loss: independent(1e-3),
            source: "rates and 630 ms median round trip: Viasat in the US, Ookla, Q2 2021; least \
                     latency: light over twice 35,786 km; spread and loss: assumptions",
        },
    ]
}

/// All presets, from the best link to the worst.
pub fn presets() -> Vec<Preset> {
    let rate = |mbit: Option<f64>| mbit.and_then(|m| Bandwidth::bits_per_second(m * 1e6));
    let make = |figures: Figures| {
        let transport = match figures.latency.median() {
            Span::ZERO => Transport::default(),
            _ => Transport::TCP,
        };
        Preset {
            name: figures.name,
            model: LinkModel {
                up: rate(figures.up),
                down: rate(figures.down),
                loss: figures.loss,
                transport,
                ..LinkModel::new(figures.latency)
            },
            source: figures.source,
        }
    };
    figures().into_iter().map(make).collect()
}

/// The link model of the preset `name`, if there is one.
pub fn preset(name: &str) -> Option<LinkModel> {
    let mut all = presets().into_iter();
    all.find(|preset| preset.name == name)
        .map(|preset| preset.model)
}

/// The presets as rows of text, with the columns of [`LISTING_HEADER`].
pub fn listing() -> Vec<[String; 6]> {
    let rate = |rate: Option<Bandwidth>| rate.map_or("unlimited".into(), |r| r.to_string());
    let row = |preset: Preset| {
        let model = preset.model;
        let percent = format!("{:.4}", model.loss.rate() * 100.0);
        let percent = percent.trim_end_matches('0').trim_end_matches('.');
        let loss = match model.loss {
            Loss::None => "none".into(),
            Loss::Independent { .. } => format!("{percent} %"),
            Loss::GilbertElliott { .. } => format!("{percent} % in bursts"),
            Loss::Other(law) => format!("{percent} %, {}", law.name()),
        };
        [
            preset.name.into(),
            rate(model.up),
            rate(model.down),
            model.latency.median().to_string(),
            loss,
            preset.source.into(),
        ]
    };
    presets().into_iter().map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_preset_is_a_link_that_can_be_used() {
        for preset in presets() {
            let model = &preset.model;
            assert!(model.problems().is_empty(), "{}", preset.name);
            if preset.name == "ideal" {
                assert_eq!(*model, LinkModel::ideal());
                continue;
            }
            // Bounds, rates and probabilities went through constructors that refuse bad ones.
            let checked = Latency::new(
                model.latency.distribution().clone(),
                Some(model.latency.bound()),
            );
            assert_eq!(checked.as_ref(), Ok(&model.latency), "{}", preset.name);
            assert!(
                model.latency.bound() < model.latency.median(),
                "{}",
                preset.name
            );
            assert!(
                model.up.is_some() && model.down.is_some(),
                "{}",
                preset.name
            );
        }
    }

    #[test]
    fn presets_are_listed_with_their_figures() {
        let rows = listing();
        let leo = rows.iter().find(|row| row[0] == "satellite-leo").unwrap();
        assert_eq!(
            leo[1..5],
            [
                "13.89 Mbit/s",
                "97.23 Mbit/s",
                "22.5 ms",
                "0.3968 % in bursts"
            ]
        );
        assert_eq!(rows[0][1..5], ["unlimited", "unlimited", "0 s", "none"]);
        assert!(preset("4g").is_some() && preset("6g").is_none());
    }

    #[test]
    fn the_documentation_has_the_figures_of_every_preset() {
        let book = include_str!("../../docs/links.md");
        for row in listing() {
            let line = format!("| {} |", row[..5].join(" | "));
            assert!(book.contains(&line), "docs/links.md lacks: {line}");
        }
    }
}
