//! The server's end of the layer: masked updates are added up, and the masks that do not cancel are
//! removed.

use super::client::{further_down, Masker, MASK_OPERATIONS};
use super::masks::{agree, apply, public, Secrets};
use super::roster::Roster;
use super::shamir::{Interpolation, Secret, Share};
use super::NAME;
use crate::method::{Form, MethodError, Payload, Received, ServerHalf, ServerLayer};
use crate::model::{Layout, ParamSet};
use crate::quantity::Flops;
use crate::snapshot::{Damaged, Reader, Snapshot, Writer};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Adds up the masked updates and gives the method's server half one report with their mean.
pub struct Unmasker {
    masker: Masker,
    layout: Arc<Layout>,
    seed: u64,
    round: u32,
    roster: Roster,
    /// The roster as the server sends it to all clients.
    roster_packet: Payload,
    /// The clients that have reported.
    reported: BTreeSet<u32>,
    /// The form of their reports.
    form: Option<Form>,
    /// The sum of the words so far, with all masks in it.
    words: Vec<u32>,
    weight: u32,
}

/// The sum of the updates of a round.
#[derive(Debug, PartialEq)]
pub(super) struct Sum {
    /// The sum of the quantised, weighted values, modulo 2^width, where width is the number of bits
    /// of a word on the wire.
    pub words: Vec<u32>,
    /// The sum of the weights.
    pub weight: u32,
}

impl Unmasker {
    /// The server's end for clients whose reports go through `masker`, with a network of the given
    /// layout.
    pub fn new(masker: Masker, layout: Arc<Layout>, seed: u64) -> Self {
        Self {
            masker,
            layout,
            seed,
            round: 0,
            roster: Roster::default(),
            roster_packet: Payload::Nothing,
            reported: BTreeSet::new(),
            form: None,
            words: Vec::new(),
            weight: 0,
        }
    }

    fn least(&self) -> usize {
        self.masker.settings.least(self.roster.len())
    }

    /// The secrets of a client as it shared them. Other clients' shares of them are points of these
    /// polynomials; the server uses nothing else of them.
    fn shared(&self, client: u32) -> Secrets {
        Secrets::draw(self.seed, client, self.round, self.least())
    }

    /// The secret that the shares of `holders` make up.
    fn recover(
        &self,
        holders: &[u64],
        interpolation: &Interpolation,
        share: impl Fn(u64) -> Share,
    ) -> Result<Secret, MethodError> {
        let shares: Vec<Share> = holders.iter().map(|holder| share(*holder)).collect();
        let secret = interpolation.secret(&shares);
        secret.ok_or_else(|| MethodError::layer(NAME, "the shares of a secret do not fit together"))
    }

    /// Removes the masks from the sum.
    ///
    /// # Errors
    /// With fewer reports than the threshold, and when shares do not fit together.
    pub(super) fn unmask(&mut self) -> Result<Sum, MethodError> {
        if let Some(reason) = self.short(self.roster.len()) {
            return Err(MethodError::layer(NAME, reason));
        }
        let holders: Vec<u64> = self
            .reported
            .iter()
            .map(|client| Roster::place(*client))
            .collect();
        let holders = &holders[..self.least()];
        let interpolation = Interpolation::at(holders);
        let (mut words, mut weight) = (std::mem::take(&mut self.words), self.weight);
        for (client, key) in self.roster.iter() {
            let shared = self.shared(client);
            if self.reported.contains(&client) {
                // In the sum, a client that has reported leaves only its own mask.
                let share = |x| shared.own_shares.share(x);
                let own = self.recover(holders, &interpolation, share)?;
                apply(&own, false, &mut words, &mut weight);
                continue;
            }
            // A client that has not reported leaves the masks that the others have agreed on with
            // it.
            let share = |x| shared.key_shares.share(x);
            let secret = self.recover(holders, &interpolation, share)?;
            if public(&secret) != *key {
                let what = format!("the key of client {client} is not the one that it published");
                return Err(MethodError::layer(NAME, what));
            }
            for other in &self.reported {
                let Some(key) = self.roster.key(*other) else {
                    continue;
                };
                let seed = agree(&secret, key, self.round);
                apply(&seed, *other < client, &mut words, &mut weight);
            }
        }
        Ok(Sum { words, weight })
    }
}

impl ServerLayer for Unmasker {
    fn cohort(&mut self, round: u32, clients: &[u32]) {
        self.round = round;
        let least = self.masker.settings.least(clients.len());
        // The public keys that the clients have published before the round.
        let keys = clients.iter().map(|&client| {
            let secrets = Secrets::draw(self.seed, client, round, least);
            (client, public(&secrets.key))
        });
        self.roster = Roster::new(keys);
        self.roster_packet = Payload::Packet(self.roster.packet(further_down(self.roster.len())));
        self.clear();
    }

    fn task(&mut self, task: Payload) -> Payload {
        Payload::bundle([task, self.roster_packet.clone()])
    }

    fn receive(
        &mut self,
        report: &Received,
        _: &Payload,
        _: &mut dyn ServerHalf,
    ) -> Result<(), MethodError> {
        let Payload::Coded(coded) = &report.payload else {
            return Err(MethodError::payload("a masked update", &report.payload));
        };
        let known = self.roster.key(report.client).is_some();
        if !known || *coded.layout() != self.layout || self.reported.contains(&report.client) {
            return Err(MethodError::layer(
                NAME,
                "an update that nobody was asked for",
            ));
        }
        let unpacked = self
            .masker
            .quantiser
            .unpack(coded.bytes(), self.layout.total());
        let unreadable = || MethodError::layer(NAME, "the bytes are not those of a masked update");
        let (words, weight) = unpacked.ok_or_else(unreadable)?;
        self.words.resize(words.len(), 0);
        for (sum, word) in self.words.iter_mut().zip(words) {
            *sum = sum.wrapping_add(word);
        }
        self.weight = self.weight.wrapping_add(weight);
        self.reported.insert(report.client);
        self.form.get_or_insert(coded.form());
        Ok(())
    }

    fn close(
        &mut self,
        round: u32,
        sent: &BTreeMap<u32, Payload>,
        inner: &mut dyn ServerHalf,
    ) -> Result<(), MethodError> {
        let (Some(&client), Some(form)) = (self.reported.first(), self.form) else {
            return Ok(());
        };
        let task = sent.get(&client).unwrap_or(&Payload::Nothing);
        if sent.values().any(|other| other.digest() != task.digest()) {
            let what = "clients were sent different models: their updates have no sum";
            return Err(MethodError::layer(NAME, what));
        }
        let sum = self.unmask()?;
        let Masker {
            witness, quantiser, ..
        } = &self.masker;
        witness.sums(round, &self.reported, &sum, quantiser);
        let Sum { words, weight } = sum;
        let heaviest = self.masker.heaviest.unwrap_or(1);
        let total = f64::from(weight) / f64::from(heaviest.max(1));
        let quantiser = &self.masker.quantiser;
        let mean = words
            .iter()
            .map(|word| (quantiser.sum(*word) / total) as f32);
        let mean: Vec<f32> = mean.collect();
        let mean = ParamSet::from_slice(&self.layout, &mean)?;
        let report = Received {
            client,
            round,
            samples: weight,
            payload: form.restore(mean, task)?,
        };
        self.clear();
        inner.receive(&report)
    }

    fn clear(&mut self) {
        self.reported.clear();
        self.form = None;
        self.words.clear();
        self.weight = 0;
    }

    fn short(&self, asked: usize) -> Option<String> {
        let (needed, reported) = (self.masker.settings.least(asked), self.reported.len());
        (reported < needed).then(|| {
            format!(
                "{reported} of {asked} clients reported, {needed} are needed to take the masks out"
            )
        })
    }

    fn save(&self, to: &mut Writer) {
        self.round.save(to);
        let members: Vec<u32> = self.roster.iter().map(|(client, _)| client).collect();
        members.save(to);
    }

    fn restore(&mut self, from: &mut Reader) -> Result<(), Damaged> {
        let (round, members): (u32, Vec<u32>) = Snapshot::load(from)?;
        // Keys are functions of seed, client and round, so the roster can be built again.
        self.cohort(round, &members);
        Ok(())
    }

    fn receive_flops(&self) -> Flops {
        Flops(2 * self.layout.total() as u64)
    }

    fn round_flops(&self) -> Flops {
        let (here, gone) = (self.reported.len(), self.roster.len() - self.reported.len());
        let masks = (here + here * gone) as u64;
        Flops(masks.saturating_mul(MASK_OPERATIONS * self.layout.total() as u64 + 100_000))
    }
}
