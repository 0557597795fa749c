//! Data and its partition, as typed.

use crate::text::fields::Fraction;
use serde::Deserialize;

/// Who gets which samples.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename = "Partition", default)]
pub struct PartitionFile {
    /// The rule.
    pub by: RuleFile,
    /// No client gets fewer.
    pub min_per_client: usize,
    /// Share of each client's samples that it keeps for its own evaluation.
    pub holdout: Option<Fraction>,
}

impl Default for PartitionFile {
    fn default() -> Self {
        Self {
            by: RuleFile::default(),
            min_per_client: 1,
            holdout: None,
        }
    }
}

/// Rules that deal samples to clients.
#[derive(Debug, Clone, Copy, Deserialize)]
pub enum RuleFile {
    /// Shuffled and cut into equal parts.
    Iid {
        /// So many each, the rest unused.
        #[serde(default)]
        samples_per_client: Option<usize>,
    },
    /// Class by class, in Dirichlet shares.
    Dirichlet {
        /// Concentration.
        alpha: f64,
    },
    /// Sorted by label and cut into shards.
    Shards {
        /// Shards of each client.
        #[serde(default = "two")]
        per_client: usize,
    },
    /// Sizes by a power law.
    QuantitySkew {
        /// Its exponent.
        exponent: f64,
    },
    /// Both label and size skew.
    LabelAndQuantity {
        /// Concentration.
        alpha: f64,
        /// Exponent of the sizes.
        exponent: f64,
    },
    /// So many classes each.
    Labels {
        /// Classes of each client.
        per_client: usize,
    },
    /// By natural user.
    Natural,
    /// So many each, which clients share.
    Shared {
        /// Samples of each client.
        per_client: usize,
        /// Whether a client's are of one class, or of few.
        #[serde(default)]
        by_label: bool,
    },
}

const fn two() -> usize {
    2
}

impl Default for RuleFile {
    fn default() -> Self {
        Self::Iid {
            samples_per_client: None,
        }
    }
}
