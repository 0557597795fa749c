//! The models that a run writes down, in the folder `models` of its own.

use crate::federation::{Keep, Of, Plan, Weights};
use crate::model::weights::{to_bytes, Architecture, Inputs};
use crate::model::Sizes;
use crate::observe::folder::RunFolder;
use crate::observe::rows::RoundRow;
use crate::observe::ObserveError;
use crate::snapshot::snapshot_struct;
use serde_json::json;

/// Writes the layers of each width that clients have, once a run.
pub(super) fn describe(folder: &RunFolder, plan: &Plan, sizes: &Sizes) -> Result<(), ObserveError> {
    if plan.keep.is_none() {
        return Ok(());
    }
    let normal = plan.train.normalisation();
    for (number, level) in sizes.levels().iter().enumerate() {
        let mut said = Architecture::of(&level.model, level.ratio);
        said.inputs = Some(Inputs {
            scale: normal.scale,
            mean: normal.mean.clone(),
            std: normal.std.clone(),
        });
        let name = architecture(sizes, number);
        // Names, numbers and lists always have a JSON form.
        let text = serde_json::to_vec_pretty(&said).unwrap_or_default();
        folder.write_model(&name, &text)?;
    }
    Ok(())
}

/// Nothing for the full network, and the width behind a dash for a narrower one.
fn suffix(sizes: &Sizes, level: usize) -> String {
    match sizes.levels().get(level) {
        Some(narrower) if level > 0 => format!("-{}", narrower.ratio),
        _ => String::new(),
    }
}

fn architecture(sizes: &Sizes, level: usize) -> String {
    format!("architecture{}.json", suffix(sizes, level))
}

/// The models that are kept, and what of them is not yet, or not for good, in a file.
pub(super) struct Models {
    keep: Keep,
    sizes: Sizes,
    held: Held,
    /// Whether the model of the end is written.
    ended: bool,
}

/// What a checkpoint has of them.
#[derive(Debug, Default, Clone)]
pub(super) struct Held {
    /// The global model that was told of last, of a round.
    latest: Option<Weights>,
    /// The one with the best accuracy until now, and that.
    best: Option<(f64, Weights)>,
}

snapshot_struct!(Held { latest, best });

impl Models {
    /// Of a run that begins.
    pub fn new(keep: Keep, sizes: &Sizes) -> Self {
        Self::of(keep, sizes, Held::default())
    }

    /// Of a run that goes on, with what its checkpoint has.
    pub fn of(keep: Keep, sizes: &Sizes, held: Held) -> Self {
        Self {
            keep,
            sizes: sizes.clone(),
            held,
            ended: false,
        }
    }

    /// For a checkpoint; references, not copies.
    pub fn held(&self) -> Held {
        self.held.clone()
    }

    /// Writes again what a run that goes on had by its checkpoint, over what it wrote after it.
    pub fn rewrite(&self, folder: &RunFolder) -> Result<(), ObserveError> {
        match &self.held.best {
            Some((_, best)) => self.write(folder, BEST, best),
            None => Ok(()),
        }
    }

    /// Takes models that the run tells of.
    pub fn told(&mut self, folder: &RunFolder, weights: Weights) -> Result<(), ObserveError> {
        match weights.of {
            Of::Client(client) => {
                let name = format!("client-{client:08}");
                self.write(folder, &name, &weights)
            }
            Of::End => {
                self.ended = true;
                self.write(folder, FINAL, &weights)
            }
            Of::Round => {
                if matches!(self.keep, Keep::Every(_)) {
                    let name = round_name(weights.round);
                    self.write(folder, &name, &weights)?;
                }
                self.held.latest = Some(weights);
                Ok(())
            }
        }
    }

    /// Takes the line of a round, whose model was told of before.
    pub fn round(&mut self, folder: &RunFolder, row: &RoundRow) -> Result<(), ObserveError> {
        let latest = self.held.latest.as_ref();
        let latest = latest.filter(|latest| latest.round == row.round);
        let (Keep::Best, Some(accuracy), Some(latest)) = (self.keep, row.accuracy, latest) else {
            return Ok(());
        };
        let before = self.held.best.as_ref().map(|(before, _)| *before);
        // An accuracy that is not a number is never the best.
        if accuracy.is_nan() || before.is_some_and(|before| accuracy <= before) {
            return Ok(());
        }
        self.write(folder, BEST, latest)?;
        self.held.best = Some((accuracy, latest.clone()));
        Ok(())
    }

    /// Writes the last global model of a run in which nobody has one at the end.
    pub fn close(&self, folder: &RunFolder) -> Result<(), ObserveError> {
        match &self.held.latest {
            Some(latest) if self.keep.has_final() && !self.ended => {
                self.write(folder, FINAL, latest)
            }
            _ => Ok(()),
        }
    }

    /// One file a width.
    fn write(&self, folder: &RunFolder, name: &str, weights: &Weights) -> Result<(), ObserveError> {
        for (level, set) in &weights.sets {
            let suffix = match weights.of {
                Of::Client(_) => String::new(),
                Of::Round | Of::End => suffix(&self.sizes, *level),
            };
            let file = format!("{name}{suffix}.safetensors");
            let size = self.sizes.levels().get(*level).map(|level| level.ratio);
            let mut notes = json!({
                "architecture": architecture(&self.sizes, *level),
                "size": size,
            });
            if weights.round > 0 {
                notes["round"] = weights.round.into();
            }
            if let Of::Client(client) = weights.of {
                notes["client"] = client.into();
            }
            let bytes = to_bytes(set, &notes).map_err(|error| ObserveError::Encode {
                path: folder.path().join(&file),
                what: "a model",
                message: error.to_string(),
            })?;
            folder.write_model(&file, &bytes)?;
        }
        Ok(())
    }
}

const FINAL: &str = "final";
const BEST: &str = "best";

fn round_name(round: u32) -> String {
    format!("round-{round:08}")
}
