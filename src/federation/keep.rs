//! Models that a run writes down: which ones, and how they reach the recorder.
//!
//! The server, and the observer where there is none, tells of its model after the rounds in question;
//! what the nodes hold when the run is over is told by [`left`]. A model is told by reference and is part
//! of no hash: whether it is written changes nothing that happens.

use super::record::Record;
use super::world::{Federation, Member, Shared};
use crate::method::{ClientState, MethodError, ServerHalf};
use crate::model::ParamSet;
use crate::sim::{Left, NodeId};
use crate::snapshot::{snapshot_enum, snapshot_struct};
use serde::{Deserialize, Serialize};

/// Which models of a run are kept as files (`record: (model: …)`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Keep {
    /// The global model as it is when the run ends.
    Final,
    /// The global model of the round with the best accuracy on the central test data; of equal ones the
    /// first.
    Best,
    /// The global model after every so many rounds, and as it is when the run ends.
    Every(
        /// Rounds; at least 1.
        u32,
    ),
    /// The model of each client that has one of its own, and the global model where there is one, as
    /// they are when the run ends.
    Clients,
}

/// Models at one moment of a run.
#[derive(Debug, Clone)]
pub struct Weights {
    /// After which round; 0 before the first one was over.
    pub round: u32,
    /// When, and whose.
    pub of: Of,
    /// The parameters by level ([`crate::model::Sizes`]): the global model at every width that clients
    /// have, or the one model of a client at the client's level.
    pub sets: Vec<(usize, ParamSet)>,
}

/// When a model was told of, and whose it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Of {
    /// The global model when a round was over.
    Round,
    /// The global model when the run was over.
    End,
    /// A client's own model when the run was over.
    Client(
        /// Its number, from 0.
        u32,
    ),
}

snapshot_struct!(Weights { round, of, sets });
snapshot_enum!(Of {
    0 => Round,
    1 => End,
    2 => Client(client),
});

impl Keep {
    /// Whether the server is to tell of its model after a round; `measured` says whether the round has an
    /// accuracy.
    pub(super) const fn after(self, round: u32, measured: bool) -> bool {
        match self {
            Self::Final | Self::Clients => false,
            Self::Best => measured,
            Self::Every(rounds) => round.is_multiple_of(rounds),
        }
    }

    /// Whether the run's last global model is kept.
    pub const fn has_final(self) -> bool {
        !matches!(self, Self::Best)
    }
}

/// The global model of `half` at every width that clients have; nothing where the method has none.
///
/// # Errors
/// When a narrower one cannot be made.
pub(super) fn global(
    shared: &Shared,
    half: &dyn ServerHalf,
    round: u32,
    of: Of,
) -> Result<Option<Weights>, MethodError> {
    let Some(full) = half.global() else {
        return Ok(None);
    };
    let mut sets = vec![(0, full.clone())];
    for level in 1..shared.sizes.levels().len() {
        // Where a method has no sub-models, every client has the whole one.
        if let Some(narrower) = half.at_level(level)? {
            sets.push((level, narrower));
        }
    }
    Ok(Some(Weights { round, of, sets }))
}

/// Tells what a node is left with when the run is over: the server its global model and what it knows of
/// clients' own, a client its own.
///
/// # Errors
/// When a model cannot be made, in words.
pub(super) fn left(
    shared: &Shared,
    id: NodeId,
    node: &Left<'_, Federation>,
    tell: &mut dyn FnMut(Record) -> bool,
) -> Result<(), String> {
    let Some(keep) = shared.plan.keep else {
        return Ok(());
    };
    let mut tell = |weights: Weights| tell(Record::Weights(Box::new(weights)));
    let mut tell_own = |client: u32, round: u32, own: ParamSet| {
        tell(Weights {
            round,
            of: Of::Client(client),
            sets: vec![(shared.sizes.level_of(client), own)],
        })
    };
    let of_state = |state: &ClientState| shared.client_half.own(state).cloned();
    let clients = keep == Keep::Clients;
    match node {
        Left::Awake(Member::Server(server)) => {
            let (half, round) = server.half();
            let failed = |error: MethodError| format!("the model of the end: {error}");
            if clients {
                for client in 0..shared.plan.population() {
                    let own = half.own(client).map_err(failed)?;
                    if own.is_some_and(|own| !tell_own(client, round, own)) {
                        return Ok(());
                    }
                }
            }
            if keep.has_final() {
                let global = global(shared, half, round, Of::End).map_err(failed)?;
                global.map(tell);
            }
        }
        Left::Awake(Member::Client(client)) if clients => {
            if let (Some(own), Some(client)) = (of_state(client.state()), Federation::client_of(id))
            {
                tell_own(client, 0, own);
            }
        }
        Left::Asleep(state) if clients => {
            if let (Some(own), Some(client)) = (of_state(state), Federation::client_of(id)) {
                tell_own(client, 0, own);
            }
        }
        Left::Awake(Member::Peer(peer)) if clients => {
            let (client, round, model) = peer.model();
            if let Ok(own) = model.as_model() {
                tell_own(client, round, own.clone());
            }
        }
        Left::Awake(_) | Left::Asleep(_) => {}
    }
    Ok(())
}
