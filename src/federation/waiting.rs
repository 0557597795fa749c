//! Servers that do not wait for rounds: FedBuff, FedAsync and FedAT.
//!
//! Some number of clients train at any time, each from the model of the moment at which it was asked. The
//! *staleness* τ of a report is the number of server steps between the client's task and its report. It is
//! 0 if the server still has the model that the client was sent.
//!
//! - FedBuff: Nguyen, Malik, Zhan, Yousefpour, Rabbat, Malek and Huba, "Federated Learning with
//!   Buffered Asynchronous Aggregation", AISTATS 2022, algorithm 1;
//! - FedAsync: Xie, Koyejo and Gupta, "Asynchronous Federated Optimization", 2019, algorithm 1 and
//!   section 5.2;
//! - FedAT: Chai, Chen, Anwar, Zhao, Cheng and Rangwala, "FedAT: A High-Performance and
//!   Communication-Efficient Federated Learning System with Asynchronous Tiers", SC 2021: tiers hold
//!   rounds by themselves, and the server at the top takes each tier's model as it comes.

use crate::method::Weighting;
use crate::quantity::Span;
use serde::{Deserialize, Serialize};
use std::fmt;

/// How an asynchronous server waits.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Waiting {
    /// How the server uses a report.
    pub rule: Rule,
    /// How many clients train at any time.
    pub concurrency: u32,
    /// How much a report counts by its staleness.
    pub staleness: Staleness,
    /// Reports of a higher staleness are not used.
    pub max_staleness: Option<u32>,
    /// A client that has not answered after this time is given up, and another client is asked.
    pub timeout: Option<Span>,
}

/// How the server uses a report.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub enum Rule {
    /// Updates `Δ` are kept in a buffer until there are `buffer` of them; then
    /// `x ← x + server_lr · Σ s(τ) n Δ / Σ n`, with `n` by the weighting.
    FedBuff {
        /// K: how many updates a server step has.
        buffer: u32,
        /// η_g: the server's learning rate.
        server_lr: f64,
        /// How much an update counts, apart from its staleness.
        weighting: Weighting,
    },
    /// Each client's model is mixed in when it arrives: `x ← (1 − α s(τ)) x + α s(τ) x_new`.
    FedAsync {
        /// α: the share of a model without staleness.
        alpha: f64,
    },
    /// The latest model `x_m` of each of M edge servers is kept, and `x ← Σ (T_{M+1−m} / T) x_m`, where T_m
    /// is the number of reports of the m-th edge server and T that of all, so that edge servers which report
    /// seldom count more.
    FedAT,
}

/// s(τ): how much a report of staleness τ counts. It never grows with τ, and s(0) = 1.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub enum Staleness {
    /// 1
    Constant,
    /// `(1 + τ)^−a`
    Polynomial {
        /// a
        a: f64,
    },
    /// 1 up to `b`, then `1 / (a (τ − b) + 1)`
    Hinge {
        /// a
        a: f64,
        /// b
        b: f64,
    },
}

impl Default for Staleness {
    /// `1 / √(1 + τ)`
    fn default() -> Self {
        Self::Polynomial { a: 0.5 }
    }
}

impl Staleness {
    /// s(τ), in (0, 1].
    pub fn weight(self, tau: u32) -> f64 {
        let tau = f64::from(tau);
        match self {
            Self::Constant => 1.0,
            Self::Polynomial { a } => libm::pow(1.0 + tau, -a),
            Self::Hinge { b, .. } if tau <= b => 1.0,
            Self::Hinge { a, b } => 1.0 / (a * (tau - b) + 1.0),
        }
    }
}

impl Waiting {
    /// How many reports a server step has.
    pub const fn buffer(&self) -> u32 {
        match self.rule {
            Rule::FedBuff { buffer, .. } => buffer,
            Rule::FedAsync { .. } | Rule::FedAT => 1,
        }
    }

    /// A round that has asked so many clients and still lacks reports is abandoned, so that a federation in
    /// which nobody can answer comes to an end. The reports in the buffer stay.
    pub fn patience(&self) -> u32 {
        let buffer = self.buffer().saturating_mul(100);
        buffer.saturating_add(self.concurrency)
    }

    /// The name of the rule.
    pub const fn name(&self) -> &'static str {
        match self.rule {
            Rule::FedBuff { .. } => "FedBuff",
            Rule::FedAsync { .. } => "FedAsync",
            Rule::FedAT => "FedAT",
        }
    }
}

impl fmt::Display for Waiting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, at_work) = (self.name(), self.concurrency);
        write!(
            f,
            "{at_work} at work at any time, {name} with {} a step",
            self.buffer()
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn weights_are_those_of_the_formulas() {
        let pins = [
            (Staleness::Constant, 7, 1.0),
            (Staleness::default(), 0, 1.0),
            (Staleness::default(), 3, 0.5),
            (Staleness::default(), 1, 0.707_106_781_186_547_5),
            (Staleness::Polynomial { a: 2.0 }, 4, 0.04),
            (Staleness::Polynomial { a: 0.0 }, 4, 1.0),
            (Staleness::Hinge { a: 10.0, b: 4.0 }, 4, 1.0),
            // 1 / (10 · 1 + 1)
            (
                Staleness::Hinge { a: 10.0, b: 4.0 },
                5,
                0.090_909_090_909_090_91,
            ),
            (Staleness::Hinge { a: 0.5, b: 0.0 }, 2, 0.5),
        ];
        for (staleness, tau, expected) in pins {
            let found = staleness.weight(tau);
            assert!(
                (found - expected).abs() < 1e-15,
                "{staleness:?} at {tau}: {found}"
            );
        }
    }

    proptest! {
        #[test]
        fn an_older_report_never_counts_more(a in 0.0f64..10.0, b in 0.0f64..20.0, tau in 0u32..1_000) {
            for s in [Staleness::Constant, Staleness::Polynomial { a }, Staleness::Hinge { a, b }] {
                prop_assert_eq!(s.weight(0), 1.0);
                prop_assert!(s.weight(tau + 1) <= s.weight(tau));
                prop_assert!(s.weight(tau) > 0.0);
            }
        }
    }
}
