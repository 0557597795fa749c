//! The models that a run writes as files: which ones, and how they reach the recorder.
//!
//! The server, or the observer where there is no server, hands its model to the recorder after the rounds
//! that a scenario names; the models that nodes hold when the run is over are handed over by [`left`]. A
//! model is handed over by reference and is part of no hash, so writing it changes nothing in the run.

use super::query::{of_own, Queried};
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
    /// The global model at the end of the run.
    Final,
    /// The global model of the round with the best accuracy on the central test data, of the first such
    /// round.
    Best,
    /// The global model after every so many rounds, and at the end of the run.
    Every(
        /// The number of rounds, at least 1.
        u32,
    ),
    /// At the end of the run, the model of each client that has one of its own, and the global model where
    /// there is one.
    Clients,
}

/// Models at one moment of a run, as the recorder gets them.
#[derive(Debug, Clone)]
pub struct Weights {
    /// The last round that was over; 0 before the first one was.
    pub round: u32,
    /// When they were handed over, and whose they are.
    pub of: Of,
    /// The parameters, each with its level ([`crate::model::Sizes`]): the global model at every width that
    /// clients have, or the one model of a client at the client's width.
    pub sets: Vec<(usize, ParamSet)>,
}

/// When a model was handed over, and whose it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Of {
    /// The global model when a round was over.
    Round,
    /// The global model when the run was over.
    End,
    /// A client's own model when the run was over.
    Client(
        /// The client's number, from 0.
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
    /// Whether the server hands over its model after this round. `measured` says whether the round has an
    /// accuracy.
    pub(super) const fn after(self, round: u32, measured: bool) -> bool {
        match self {
            Self::Final | Self::Clients => false,
            Self::Best => measured,
            Self::Every(rounds) => round.is_multiple_of(rounds),
        }
    }

    /// Whether the global model at the end of the run is kept.
    pub const fn has_final(self) -> bool {
        !matches!(self, Self::Best)
    }
}

/// The global model of `half` at every width that clients have; `None` where the method has no global
/// model. Statistics that are queried are those that the evaluation used or, of a model that was not
/// evaluated, such as are measured now.
///
/// # Errors
/// When a narrower model cannot be made, or its statistics cannot be measured.
pub(super) fn global(
    shared: &Shared,
    half: &dyn ServerHalf,
    queried: &Queried,
    round: u32,
    of: Of,
) -> Result<Option<Weights>, MethodError> {
    let Some(full) = half.global() else {
        return Ok(None);
    };
    let complete = |level, set| {
        let of = (&shared.query, &shared.plan, &shared.sizes);
        queried.complete(of, level, set)
    };
    let mut sets = vec![(0, complete(0, full.clone())?)];
    for level in 1..shared.sizes.levels().len() {
        // Where a method has no sub-models, every client has the whole model.
        if let Some(narrower) = half.at_level(level)? {
            sets.push((level, complete(level, narrower)?));
        }
    }
    Ok(Some(Weights { round, of, sets }))
}

/// The model that the server has for a client, with statistics that are queried as they are in the
/// client's own samples.
fn own_of_client(shared: &Shared, client: u32, own: ParamSet) -> Result<ParamSet, MethodError> {
    let plan = &shared.plan;
    let train = shared.train_samples(client, 1);
    let local = &shared.local[plan.group_of(client)];
    let model = &shared.sizes.of(client).model;
    of_own(model, own, &plan.train, &train, local)
}

/// Hands over the models that a node has when the run is over: the server its global model and what it has
/// of clients' own models, a client its own model. `tell` returns whether the recorder wants more.
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
                    let Some(own) = half.own(client).map_err(failed)? else {
                        continue;
                    };
                    let own = own_of_client(shared, client, own).map_err(failed)?;
                    if !tell_own(client, round, own) {
                        return Ok(());
                    }
                }
            }
            if keep.has_final() {
                let global =
                    global(shared, half, server.queried(), round, Of::End).map_err(failed)?;
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
