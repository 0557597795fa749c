//! The client's end of the layer: the update is quantised and masked.

use super::masks::{agree, apply, public, Secrets};
use super::quantise::Quantiser;
use super::roster::Roster;
use super::shamir::SHARE_BYTES;
use super::{SecAgg, Witness, NAME};
use crate::learn::Cost;
use crate::method::{ClientInput, ClientLayer, ClientWork, Coded, MethodError, Packet, Payload};
use crate::privacy::clip::change_of;
use crate::quantity::{Bytes, Flops};
use std::borrow::Cow;
use std::sync::Arc;

/// The bytes of a public key.
const KEY: u64 = 32;
/// The bytes that an authenticated cipher adds to a message.
const TAG: u64 = 16;

/// The bytes of the other protocol messages that a client sends in a cohort of `n`: two public
/// keys, two encrypted shares for every other member, and at the end one share of every member.
pub(super) fn further_up(n: usize) -> u64 {
    let n = n as u64;
    2 * KEY + n.saturating_sub(1) * (2 * SHARE_BYTES + TAG) + n * SHARE_BYTES
}

/// The bytes of the other protocol messages that a client receives besides the roster in a cohort
/// of `n`: the second key of every member, the shares that the others made for it, and at the end
/// one bit for each member that says whether it reported.
pub(super) fn further_down(n: usize) -> u64 {
    let n = n as u64;
    n * KEY + n.saturating_sub(1) * (2 * SHARE_BYTES + TAG) + n.div_ceil(8)
}

/// The operations for each word of a mask: the 20 rounds of ChaCha20 on 16 words, and the addition.
pub(super) const MASK_OPERATIONS: u64 = 64;

/// Masks every report of a client.
#[derive(Debug)]
pub struct Masker {
    pub(super) settings: SecAgg,
    pub(super) quantiser: Quantiser,
    /// The number of clients that are invited to a round.
    pub(super) asked: usize,
    /// The largest number of samples that a client has, which the weights are shares of; `None` if
    /// all clients have equal weight.
    pub(super) heaviest: Option<u32>,
    /// Observes the masked vectors, in tests.
    pub(super) witness: Arc<Witness>,
}

impl Masker {
    /// The client's end for rounds that invite `asked` clients, the largest of which has `heaviest`
    /// samples (`None` if all clients have equal weight). With `towards_zero`, rounding makes no
    /// update longer.
    pub fn new(
        settings: SecAgg,
        asked: usize,
        heaviest: Option<u32>,
        towards_zero: bool,
        witness: Arc<Witness>,
    ) -> Self {
        Self {
            quantiser: Quantiser::new(&settings, asked, towards_zero),
            settings,
            asked,
            heaviest,
            witness,
        }
    }

    /// The weight of a report on `samples` samples: as a whole number, and as a share of the
    /// heaviest.
    pub(super) fn weight(&self, samples: usize) -> (u32, f64) {
        match self.heaviest {
            None => (1, 1.0),
            Some(heaviest) => {
                let whole = u32::try_from(samples).unwrap_or(u32::MAX).min(heaviest);
                (whole, f64::from(whole) / f64::from(heaviest.max(1)))
            }
        }
    }
}

/// The two parts of the message that a client gets: the method's task and the roster.
fn parts(task: &Payload) -> Result<(&Payload, &Packet), MethodError> {
    match task {
        Payload::Bundle(parts) => match parts.as_ref() {
            [inner, Payload::Packet(roster)] => Ok((inner, roster)),
            _ => Err(MethodError::payload("a task and a roster", task)),
        },
        other => Err(MethodError::payload("a task and a roster", other)),
    }
}

impl ClientLayer for Masker {
    fn unwrap<'a>(&self, input: &'a ClientInput) -> Result<Cow<'a, ClientInput>, MethodError> {
        let (task, _) = parts(&input.task)?;
        Ok(Cow::Owned(ClientInput {
            task: task.clone(),
            ..input.clone()
        }))
    }

    fn wrap(&self, input: &ClientInput, work: ClientWork) -> Result<ClientWork, MethodError> {
        let (task, roster) = parts(&input.task)?;
        let roster = Roster::read(roster.bytes())
            .filter(|roster| roster.key(input.client).is_some() && roster.len() <= self.asked)
            .ok_or_else(|| MethodError::layer(NAME, "the roster of the round is none"))?;
        let (form, change) = change_of(&work.report, task)?;
        let values = change.as_slice()?;
        if !crate::model::largest(values).is_finite() {
            let what = "an update that is not finite cannot be summed: training has diverged";
            return Err(MethodError::layer(NAME, what));
        }
        let (whole, share) = self.weight(input.train.len());
        let quantised = values
            .iter()
            .map(|value| self.quantiser.quantise(*value, share));
        let (mut words, mut weight): (Vec<u32>, u32) = (quantised.collect(), whole);
        let least = self.settings.least(roster.len());
        let secrets = Secrets::draw(input.seed, input.client, input.round, least);
        if roster.key(input.client) != Some(&public(&secrets.key)) {
            // The task is that of an earlier round, so its masks would not cancel.
            return Err(MethodError::layer(
                NAME,
                "the roster is that of another round",
            ));
        }
        let witness = &self.witness;
        witness.masks(input.round, input.client, &words, weight);
        apply(&secrets.own, true, &mut words, &mut weight);
        for (other, key) in roster.iter() {
            if other != input.client {
                let seed = agree(&secrets.key, key, input.round);
                apply(&seed, input.client > other, &mut words, &mut weight);
            }
        }
        let bytes = self.quantiser.pack(&words, weight);
        let packet = Packet::new(bytes, further_up(roster.len()));
        Ok(ClientWork {
            report: Payload::Coded(Coded::new(form, change.layout(), packet)),
            ..work
        })
    }

    fn cost(&self, sets: usize, values: usize) -> Cost {
        let values = sets as u64 * values as u64;
        // A key agreement takes about 100,000 operations on numbers of 64 bits.
        let masks = self.asked as u64 * MASK_OPERATIONS * values + 100_000 * self.asked as u64;
        Cost {
            flops: Flops(masks.saturating_add(6 * values)),
            memory: Bytes(12 * values),
        }
    }
}
