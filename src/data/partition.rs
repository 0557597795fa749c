//! Which client gets which samples.
//!
//! A [`Partitioner`] is the rule, and a [`Partition`] is the outcome: for each client the indices of
//! its samples, all in one array. For example, `Iid` with 100 samples and 4 clients shuffles the
//! samples and gives each client 25.
//!
//! The submodules: `csr` (the outcome), `rows` (where each client's samples are in the array), `gamma`
//! (Dirichlet draws in log space), `deal` (the rules) and `repair` (the minimum for each client). No
//! rule takes time or memory in proportion to samples times clients.

mod csr;
mod deal;
mod gamma;
mod repair;
mod rows;

pub use csr::Partition;

use super::dataset::{Dataset, Labelled};
use crate::quantity::OutOfRange;
use serde::Serialize;
use std::borrow::Cow;
use thiserror::Error;

/// The largest number of clients, more than any machine could hold; it bounds the memory that a number
/// in a file can ask for.
const MAX_CLIENTS: usize = 1 << 27;

/// A rule that distributes samples to clients.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub enum Partitioner {
    /// Samples are shuffled and cut into equal parts.
    Iid {
        /// The number of samples of each client; the remaining samples are not used. `None` uses all
        /// samples, in parts whose sizes differ by at most one.
        samples_per_client: Option<usize>,
    },
    /// For each class, the shares of the clients are drawn from Dir(α, ..., α) (Hsu et al. 2019 as
    /// implemented by NIID-Bench, Li et al. 2022, "distribution-based label imbalance"; without that
    /// code's rule that a client with its fair share of samples gets no more). A small α gives few
    /// classes and unequal sizes, a large α is like IID.
    Dirichlet {
        /// The concentration α, above 0.
        alpha: f64,
    },
    /// Samples are sorted by label and cut into `clients · per_client` equal shards, and each client
    /// gets `per_client` random shards (McMahan et al. 2017, the pathological non-IID partition, with
    /// two).
    Shards {
        /// The number of shards of each client.
        per_client: usize,
    },
    /// The content is IID, and the sizes follow a power law: the client at rank r gets a share in
    /// proportion to r^-exponent, and ranks are given to clients at random.
    QuantitySkew {
        /// The exponent; zero for equal sizes.
        exponent: f64,
    },
    /// Both labels and sizes are skewed: for each class, shares are drawn from Dir(α · K · w), where K
    /// is the number of clients and w the power-law shares of `QuantitySkew`. Sizes follow the power
    /// law on average, and labels are as skewed as with `Dirichlet`. With an exponent of zero this rule
    /// is `Dirichlet`.
    LabelAndQuantity {
        /// The concentration α, above 0.
        alpha: f64,
        /// The exponent of the power law; zero for equal sizes.
        exponent: f64,
    },
    /// Each client has samples of `per_client` classes, and the samples of a class are cut into equal
    /// parts for the clients that have it (NIID-Bench, "quantity-based label imbalance"). The numbers
    /// of clients that have a class differ by at most one between classes.
    Labels {
        /// The number of classes of each client.
        per_client: usize,
    },
    /// By natural user: each client is one user or, when there are fewer clients than users, has whole
    /// users drawn at random in equal numbers.
    Natural,
    /// Each client has `per_client` consecutive samples of one shuffled array, continued at its start,
    /// from a position drawn for the client. Clients share samples. The rule is meant for populations
    /// larger than any data set, as in capacity planning; nothing is stored for a client.
    Shared {
        /// The number of samples of each client.
        per_client: usize,
        /// Whether the array is sorted by class, and shuffled within each class. A client's samples are
        /// then of one class or of few.
        by_label: bool,
    },
}

/// Why a rule cannot be applied.
#[derive(Debug, Clone, PartialEq, Error)]
#[non_exhaustive]
pub enum PartitionError {
    /// There are no clients, or too many.
    #[error(transparent)]
    OutOfRange(#[from] OutOfRange),
    /// There are not enough samples for what each client must have.
    #[error(
        "{clients} clients with {per_client} samples each need {}, but there are {samples}; \
         ask for fewer clients or fewer samples each",
        .clients.saturating_mul(*.per_client)
    )]
    TooFewSamples {
        /// The number of samples.
        samples: usize,
        /// The number of clients.
        clients: usize,
        /// The number of samples that each client must have.
        per_client: usize,
    },
    /// There are more shards, or shares of classes, than samples.
    #[error(
        "{clients} clients with {per_client} {what} each make more {what} than there are samples \
         ({samples}); ask for fewer clients or fewer {what} each"
    )]
    TooManyParts {
        /// "shards" or "classes".
        what: &'static str,
        /// The number of samples.
        samples: usize,
        /// The number of clients.
        clients: usize,
        /// The number of parts of each client.
        per_client: usize,
    },
    /// Clients cannot have that many classes, or would not have all classes together.
    #[error(
        "{clients} clients with {per_client} classes each: each can have 1 to {classes} classes, \
         and together they must have all {classes} that occur"
    )]
    Classes {
        /// The number of classes that occur.
        classes: usize,
        /// The number of clients.
        clients: usize,
        /// The number of classes of each client.
        per_client: usize,
    },
    /// The data set does not say which user each sample belongs to.
    #[error(
        "data set {0} has no natural users; choose another partitioner, or a source with users"
    )]
    NoUsers(String),
    /// There are more clients than users.
    #[error("{clients} clients but only {users} natural users; ask for at most {users} clients")]
    TooFewUsers {
        /// The number of users that have samples.
        users: usize,
        /// The number of clients.
        clients: usize,
    },
    /// A user has fewer samples than the minimum; samples are never moved between natural users.
    #[error(
        "client {client} of the natural partition has {found} samples, fewer than the {minimum} \
         each must have; lower the minimum or ask for fewer clients"
    )]
    SmallUser {
        /// The first such client.
        client: usize,
        /// The number of samples that it has.
        found: usize,
        /// The number of samples that it must have.
        minimum: usize,
    },
    /// The data set breaks a rule of its own.
    #[error(transparent)]
    Data(#[from] super::DataError),
}

impl Partitioner {
    /// Distributes the samples of `data` to `clients` clients, with at least `min_per_client` for each.
    ///
    /// Every sample goes to exactly one client (with `samples_per_client`, to at most one; with
    /// `Shared`, clients may have common samples). Where the rule leaves a client with fewer samples
    /// than the minimum, it gets samples drawn from the client that has most at that moment; the
    /// quantity rule instead distributes the minimum first. The outcome depends on the arguments alone.
    /// A client's indices are ascending.
    ///
    /// # Errors
    /// Returns a [`PartitionError`] when there are not enough samples or a parameter is out of range.
    pub fn partition(
        &self,
        data: &Dataset,
        clients: usize,
        min_per_client: usize,
        seed: u64,
    ) -> Result<Partition, PartitionError> {
        self.partition_without(data, &[], clients, min_per_client, seed)
    }

    /// Distributes the samples that are not in `reserved` (ascending indices), as
    /// [`Partitioner::partition`] does.
    ///
    /// # Errors
    /// Returns a [`PartitionError`] when there are not enough samples or a parameter is out of range.
    pub fn partition_without(
        &self,
        data: &Dataset,
        reserved: &[u32],
        clients: usize,
        min_per_client: usize,
        seed: u64,
    ) -> Result<Partition, PartitionError> {
        self.check()?;
        data.check_lengths()?;
        data.check_labels()?;
        let whole = Labelled {
            name: &data.name,
            labels: Cow::Borrowed(&data.labels),
            users: data.users.as_deref().map(Cow::Borrowed),
        };
        if reserved.is_empty() {
            return self.deal(&whole, clients, min_per_client, seed);
        }
        let left: Vec<u32> = (0..data.len() as u32)
            .filter(|sample| reserved.binary_search(sample).is_err())
            .collect();
        let pick = |all: &[u32]| left.iter().map(|&sample| all[sample as usize]).collect();
        let rest = Labelled {
            name: &data.name,
            labels: pick(&data.labels),
            users: data.users.as_deref().map(pick),
        };
        let dealt = self.deal(&rest, clients, min_per_client, seed)?;
        Ok(dealt.renumbered(&left))
    }

    fn deal(
        &self,
        data: &Labelled<'_>,
        clients: usize,
        min_per_client: usize,
        seed: u64,
    ) -> Result<Partition, PartitionError> {
        if clients == 0 || clients > MAX_CLIENTS {
            return Err(OutOfRange::new("number of clients", clients, "[1, 2^27]").into());
        }
        let samples = data.len();
        let wanted = match self {
            Self::Shared { per_client, .. }
                if *per_client < min_per_client || *per_client > samples =>
            {
                let rule = "[minimum per client, number of samples]";
                return Err(OutOfRange::new("samples per client", per_client, rule).into());
            }
            // Nothing is stored for a client, however many there are.
            Self::Shared { .. } => 0,
            Self::Iid {
                samples_per_client: Some(each),
            } if *each < min_per_client => {
                let rule = "[minimum per client, infinity)";
                return Err(OutOfRange::new("samples per client", each, rule).into());
            }
            Self::Iid {
                samples_per_client: Some(each),
            } => *each,
            _ => min_per_client,
        };
        if clients
            .checked_mul(wanted)
            .is_none_or(|needed| needed > samples)
        {
            return Err(PartitionError::TooFewSamples {
                samples,
                clients,
                per_client: wanted,
            });
        }
        let deal = deal::Deal {
            data,
            clients,
            seed,
        };
        let partition = match self {
            Self::Iid { samples_per_client } => deal.iid(*samples_per_client),
            Self::Dirichlet { alpha } => deal.dirichlet(*alpha, 0.0),
            Self::Shards { per_client } => deal.shards(*per_client)?,
            Self::QuantitySkew { exponent } => deal.quantity(*exponent, min_per_client),
            Self::LabelAndQuantity { alpha, exponent } => deal.dirichlet(*alpha, *exponent),
            Self::Labels { per_client } => deal.labels(*per_client)?,
            Self::Natural => return deal.natural(min_per_client),
            Self::Shared {
                per_client,
                by_label,
            } => return Ok(deal.shared(*per_client, *by_label)),
        };
        Ok(repair::at_least(partition, min_per_client, seed))
    }

    fn check(&self) -> Result<(), OutOfRange> {
        let alpha = |alpha: f64| match alpha.is_finite() && alpha > 0.0 {
            true => Ok(()),
            false => Err(OutOfRange::new("Dirichlet alpha", alpha, "(0, infinity)")),
        };
        let exponent = |exponent: f64| match exponent.is_finite() && exponent >= 0.0 {
            true => Ok(()),
            false => Err(OutOfRange::new(
                "power-law exponent",
                exponent,
                "[0, infinity)",
            )),
        };
        let parts = |what, parts: usize| match parts {
            0 => Err(OutOfRange::new(what, 0, "[1, infinity)")),
            _ => Ok(()),
        };
        match self {
            Self::Iid { samples_per_client } => {
                parts("samples per client", samples_per_client.unwrap_or(1))
            }
            Self::Dirichlet { alpha: a } => alpha(*a),
            Self::Shards { per_client } => parts("shards per client", *per_client),
            Self::QuantitySkew { exponent: e } => exponent(*e),
            Self::LabelAndQuantity {
                alpha: a,
                exponent: e,
            } => alpha(*a).and_then(|()| exponent(*e)),
            Self::Labels { per_client } => parts("classes per client", *per_client),
            Self::Shared { per_client, .. } => parts("samples per client", *per_client),
            Self::Natural => Ok(()),
        }
    }
}

#[cfg(test)]
mod shared_tests;
#[cfg(test)]
mod tests;
