//! `shoal list`

use super::exit::Exit;
use crate::attack::Attack;
use crate::availability::{Availability, Timetable};
use crate::compress::Scheme;
use crate::data::Source;
use crate::defend::Defence;
use crate::graph::GraphSpec;
use crate::learn::device_presets;
use crate::method::Method;
use crate::model::{presets as models, Layer, LayerSpec};
use crate::net;
use crate::privacy::secagg::SecureAggregation;
use crate::privacy::Privacy;
use crate::registry::{Kind, Registry};
use crate::say::out;
use crate::select::Selection;
use clap::ValueEnum;

/// What can be listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum What {
    /// Federated methods and baselines
    Methods,
    /// How clients are chosen
    Selections,
    /// Robust aggregation
    Defences,
    /// What adversaries do
    Attacks,
    /// Named architectures
    Models,
    /// Layers of a network, for `model: [...]`
    NetworkLayers,
    /// Layers around a method: compression, privacy, secure aggregation
    Layers,
    /// Data sources
    Data,
    /// Named links
    Links,
    /// Named virtual devices
    Devices,
    /// When clients are there
    Availability,
    /// Graphs of federations without a server
    Graphs,
}

pub fn list(what: Option<What>) -> Exit {
    let kinds = what.map_or_else(|| What::value_variants().to_vec(), |what| vec![what]);
    for (index, kind) in kinds.iter().enumerate() {
        let gap = if index > 0 { "\n" } else { "" };
        out(format_args!("{gap}{}", table(*kind)));
    }
    Exit::Done
}

/// The lines of one kind, in columns.
fn table(what: What) -> String {
    let rows: Vec<Vec<String>> = match what {
        What::Methods => registered("method", &all::<dyn Method>()),
        What::Selections => registered("selection", &all::<dyn Selection>()),
        What::Defences => registered("defence", &all::<dyn Defence>()),
        What::Attacks => registered("attack", &all::<dyn Attack>()),
        What::Availability => {
            let listed = all::<dyn Timetable>();
            registered("availability", &[Availability::ALL, &listed].concat())
        }
        What::Graphs => registered("graph", GraphSpec::ALL),
        What::NetworkLayers => {
            let listed = all::<dyn Layer>();
            registered("layer of a network", &[LayerSpec::ALL, &listed].concat())
        }
        What::Layers => {
            let schemes = all::<dyn Scheme>();
            let kinds = [
                ("compression", &*schemes),
                ("privacy", Privacy::ALL),
                ("secure_aggregation", SecureAggregation::ALL),
            ];
            let rows = kinds.iter().flat_map(|(field, all)| {
                all.iter()
                    .map(|(name, about)| [*name, *field, about.trim()].map(str::to_string).to_vec())
            });
            headed(&["layer", "field", "what it is"], rows)
        }
        What::Models => headed(
            &["model", "what it is"],
            models()
                .iter()
                .map(|m| vec![m.name.to_string(), m.about.to_string()]),
        ),
        What::Data => headed(
            &["data", "what it is", "where it comes from"],
            Source::presets().iter().map(|p| {
                vec![
                    p.name.to_string(),
                    p.summary.to_string(),
                    p.origin.to_string(),
                ]
            }),
        ),
        What::Links => headed(
            &net::LISTING_HEADER,
            net::listing().into_iter().map(|row| row.to_vec()),
        ),
        What::Devices => headed(
            &[
                "device",
                "what it is",
                "training",
                "memory",
                "start-up",
                "power",
                "source",
            ],
            device_presets().iter().filter_map(|preset| {
                let device = preset.device()?;
                Some(vec![
                    preset.name.to_string(),
                    preset.about.to_string(),
                    device.speed.to_string(),
                    device.memory.to_string(),
                    device.startup.to_string(),
                    device.power.to_string(),
                    preset.source.to_string(),
                ])
            }),
        ),
    };
    columns(&rows)
}

/// The names of a kind in the current registry, and what they are.
fn all<T: Kind + ?Sized>() -> Vec<(&'static str, &'static str)> {
    let entries = Registry::current().of::<T>();
    entries
        .iter()
        .map(|entry| (entry.name, entry.about))
        .collect()
}

/// What a registry has: names, and what they are.
fn registered(kind: &str, all: &[(&str, &str)]) -> Vec<Vec<String>> {
    let rows = all.iter();
    let rows = rows.map(|(name, about)| vec![(*name).to_string(), about.trim().to_string()]);
    headed(&[kind, "what it is"], rows)
}

fn headed(header: &[&str], rows: impl Iterator<Item = Vec<String>>) -> Vec<Vec<String>> {
    let header = header.iter().map(|h| h.to_uppercase()).collect();
    std::iter::once(header).chain(rows).collect()
}

pub(super) fn columns(rows: &[Vec<String>]) -> String {
    let mut widths: Vec<usize> = Vec::new();
    for row in rows {
        widths.resize(widths.len().max(row.len()), 0);
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut text = String::new();
    for row in rows {
        let cells = row
            .iter()
            .zip(&widths)
            .enumerate()
            .map(|(column, (cell, width))| {
                if column + 1 == row.len() {
                    cell.clone()
                } else {
                    format!("{cell:<width$}")
                }
            });
        text += &cells.collect::<Vec<_>>().join("  ");
        text.push('\n');
    }
    text
}
