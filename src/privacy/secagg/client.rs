//! The client's end: its update is quantised and masked.

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

/// Bytes of a public key.
const KEY: u64 = 32;
/// Bytes that an authenticated cipher adds to a message.
const TAG: u64 = 16;

/// Bytes of the other messages of the protocol from a client, in a cohort of `n`: two public keys,
/// two shares for every other member, encrypted, and at the end one share of every member.
pub(super) fn further_up(n: usize) -> u64 {
    let n = n as u64;
    2 * KEY + n.saturating_sub(1) * (2 * SHARE_BYTES + TAG) + n * SHARE_BYTES
}

/// And to a client, beside the roster: everybody's second key, the others' shares for it, and at the
/// end who reported, a bit each.
pub(super) fn further_down(n: usize) -> u64 {
    let n = n as u64;
    n * KEY + n.saturating_sub(1) * (2 * SHARE_BYTES + TAG) + n.div_ceil(8)
}

/// Operations a word of a mask takes: ChaCha20's 20 rounds on 16 words, and the sum.
pub(super) const MASK_OPERATIONS: u64 = 64;

/// Masks every report.
#[derive(Debug)]
pub struct Masker {
    pub(super) settings: SecAgg,
    pub(super) quantiser: Quantiser,
    /// How many are asked a round.
    pub(super) asked: usize,
    /// The most samples a client has: what weights are shares of. `None` where all count alike.
    pub(super) heaviest: Option<u32>,
    /// Sees what is masked.
    pub(super) witness: Arc<Witness>,
}

impl Masker {
    /// For rounds that ask `asked` clients, the largest of whom has `heaviest` samples; `None` where
    /// all count alike. `towards_zero` lets no update grow by rounding.
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

    /// What a report on `samples` samples counts, as a whole number and as a share of the heaviest.
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

/// The task inside what is sent, and the roster beside it.
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
            // An old task: its masks would not cancel.
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
        // A key agreement is about 100,000 operations on numbers of 64 bits.
        let masks = self.asked as u64 * MASK_OPERATIONS * values + 100_000 * self.asked as u64;
        Cost {
            flops: Flops(masks.saturating_add(6 * values)),
            memory: Bytes(12 * values),
        }
    }
}
