//! Layers around a method's halves: they change reports after the client's work and before the
//! server's, and the method does not know of them.
//!
//! A layer implements [`ClientLayer`] and [`ServerLayer`]. [`LayeredClient`] and [`LayeredServer`]
//! pass everything else on to the half inside.

use super::{
    ClientHalf, ClientInput, ClientState, ClientWork, MethodError, Payload, Phase, Prospect,
    Received, ServerHalf, ServerJob, Training,
};
use crate::learn::{Cost, LocalTraining, Scratch, Trained};
use crate::model::{Level, ParamSet};
use crate::quantity::Flops;
use crate::snapshot::{Damaged, Reader, Snapshot, Writer};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The client's end of a layer. It is a pure function, as a client half is.
pub trait ClientLayer: Send + Sync {
    /// The input as the inner half shall see it, without what the server's end of the layer has
    /// added to the task.
    ///
    /// # Errors
    /// When the task is not one that the server's end of the layer sends.
    /// When the task is not what the layer's server end sends.
    fn unwrap<'a>(&self, input: &'a ClientInput) -> Result<Cow<'a, ClientInput>, MethodError> {
        Ok(Cow::Borrowed(input))
    }

    /// The report and the state that replace those of `work`. The layer's own state is in the
    /// client's state under a name of its own.
    ///
    /// # Errors
    /// [`MethodError`]; the client then declines the round and gives the reason.
    fn wrap(&self, input: &ClientInput, work: ClientWork) -> Result<ClientWork, MethodError>;

    /// As [`ClientHalf::keeps`], for the part of the state that the layer keeps.
    fn keeps(&self, name: &str, payload: &Payload) -> bool {
        let _ = (name, payload);
        true
    }

    /// The cost of the layer on the client's device, for `sets` parameter sets of `values` values
    /// each.
    fn cost(&self, sets: usize, values: usize) -> Cost;
}

/// A client half with a layer around it.
pub struct LayeredClient<L> {
    inner: Arc<dyn ClientHalf>,
    layer: L,
}

impl<L> LayeredClient<L> {
    /// Puts `layer` around the client half `inner`.
    pub const fn new(inner: Arc<dyn ClientHalf>, layer: L) -> Self {
        Self { inner, layer }
    }
}

impl<L: ClientLayer> ClientHalf for LayeredClient<L> {
    fn keeps(&self, name: &str, payload: &Payload) -> bool {
        self.layer.keeps(name, payload) && self.inner.keeps(name, payload)
    }

    fn own<'a>(&self, state: &'a ClientState) -> Option<&'a ParamSet> {
        self.inner.own(state)
    }

    fn only_trains(&self) -> bool {
        self.inner.only_trains()
    }

    fn local(&self, scenario: &LocalTraining) -> LocalTraining {
        self.inner.local(scenario)
    }

    fn corrections(&self) -> u64 {
        self.inner.corrections()
    }

    fn cost(&self, own: &Level, narrower: &[Level], local: &LocalTraining, samples: usize) -> Cost {
        self.inner.cost(own, narrower, local, samples)
    }

    fn beside(&self, input: &ClientInput) -> Result<Cost, MethodError> {
        // Every method that sends several parameter sets gets as many back.
        let inner = self.layer.unwrap(input)?;
        let sets = inner.task.sets().max(1);
        let own = self.layer.cost(sets, input.model.layout().total());
        Ok(self.inner.beside(&inner)?.then(own))
    }

    fn usually_beside(&self, prospect: &Prospect) -> Cost {
        let own = self.layer.cost(1, prospect.own.layout().total());
        self.inner.usually_beside(prospect).then(own)
    }

    fn training(&self, input: &ClientInput) -> Result<Training, MethodError> {
        self.inner.training(self.layer.unwrap(input)?.as_ref())
    }

    fn report(&self, input: &ClientInput, trained: Trained) -> Result<ClientWork, MethodError> {
        let inner = self.layer.unwrap(input)?;
        self.layer.wrap(input, self.inner.report(&inner, trained)?)
    }

    fn run(&self, input: &ClientInput, scratch: &mut Scratch) -> Result<ClientWork, MethodError> {
        let inner = self.layer.unwrap(input)?;
        self.layer.wrap(input, self.inner.run(&inner, scratch)?)
    }
}

/// The server's end of a layer.
pub trait ServerLayer: Send {
    /// Informs the layer that `clients` will be asked in `round`.
    fn cohort(&mut self, round: u32, clients: &[u32]) {
        let _ = (round, clients);
    }

    /// The message that a client is sent instead of `task`.
    fn task(&mut self, task: Payload) -> Payload {
        task
    }

    /// Informs the layer that `client` was asked to take part.
    fn asked(&mut self, client: u32) {
        let _ = client;
    }

    /// Takes in one report, and gives the server half `inner` the part that it shall see, at once
    /// or in [`ServerLayer::close`]. `sent` is the task that the report answers.
    ///
    /// # Errors
    /// When the report is not one that the layer's clients send, or the inner half refuses it. The
    /// report is then not used.
    /// then not used.
    fn receive(
        &mut self,
        report: &Received,
        sent: &Payload,
        inner: &mut dyn ServerHalf,
    ) -> Result<(), MethodError>;

    /// Closes `round`, when all reports are in. `sent` contains the tasks of all clients that were
    /// asked.
    ///
    /// # Errors
    /// When the round cannot go on; the run then ends.
    fn close(
        &mut self,
        round: u32,
        sent: &BTreeMap<u32, Payload>,
        inner: &mut dyn ServerHalf,
    ) -> Result<(), MethodError> {
        let _ = (round, sent, inner);
        Ok(())
    }

    /// Forgets the reports of the round.
    fn clear(&mut self) {}

    /// The reason why a round that asked `asked` clients cannot be closed with the reports that
    /// have come; `None` if it can.
    fn short(&self, asked: usize) -> Option<String> {
        let _ = asked;
        None
    }

    /// The operations of taking in one report, beside those of the inner half.
    fn receive_flops(&self) -> Flops;

    /// The operations at the end of a round, beside those of the inner half.
    fn round_flops(&self) -> Flops {
        Flops(0)
    }

    /// As [`ServerHalf::lost_rounds`].
    fn lost_rounds(&mut self, rounds: u32) {
        let _ = rounds;
    }

    /// Writes the state that later rounds depend on to a checkpoint, as [`ServerHalf::save`] does.
    fn save(&self, to: &mut Writer);

    /// Reads the state that [`ServerLayer::save`] wrote.
    ///
    /// # Errors
    /// When the bytes are not the state of such a layer.
    fn restore(&mut self, from: &mut Reader) -> Result<(), Damaged>;

    /// The ε that the layer guarantees so far, if it is a layer of differential privacy.
    fn epsilon(&self) -> Option<f64> {
        None
    }

    /// As [`ServerHalf::epsilon_pld`].
    fn epsilon_pld(&self) -> Option<f64> {
        None
    }
}

/// A server half with a layer around it.
pub struct LayeredServer<L> {
    inner: Box<dyn ServerHalf>,
    layer: L,
    /// The task of each client of this round; the payloads are shared.
    sent: BTreeMap<u32, Payload>,
    /// Whether clients are asked one by one; the tasks are then kept across rounds.
    one_by_one: bool,
}

impl<L> LayeredServer<L> {
    /// Puts `layer` around the server half `inner`.
    pub const fn new(inner: Box<dyn ServerHalf>, layer: L) -> Self {
        Self {
            inner,
            layer,
            sent: BTreeMap::new(),
            one_by_one: false,
        }
    }

    /// Sets whether clients are asked one by one instead of in rounds.
    #[must_use]
    pub fn one_by_one(self, one_by_one: bool) -> Self {
        Self { one_by_one, ..self }
    }

    /// The layer.
    #[cfg(test)]
    pub(crate) const fn layer(&self) -> &L {
        &self.layer
    }
}

impl<L: ServerLayer> ServerHalf for LayeredServer<L> {
    fn inner(&self) -> Option<&dyn ServerHalf> {
        Some(&*self.inner)
    }

    fn inner_mut(&mut self) -> Option<&mut dyn ServerHalf> {
        Some(&mut *self.inner)
    }

    fn cohort(&mut self, round: u32, clients: &[u32]) {
        self.layer.cohort(round, clients);
        self.inner.cohort(round, clients);
    }

    fn task(&mut self, client: u32, round: u32) -> Result<Payload, MethodError> {
        let task = self.inner.task(client, round)?;
        self.sent.insert(client, task.clone());
        self.layer.asked(client);
        Ok(self.layer.task(task))
    }

    fn receive(&mut self, report: &Received) -> Result<(), MethodError> {
        let sent = self.sent.get(&report.client).unwrap_or(&Payload::Nothing);
        self.layer.receive(report, sent, self.inner.as_mut())
    }

    fn step(&mut self, phase: Phase, outputs: Vec<Payload>) -> Result<Vec<ServerJob>, MethodError> {
        match phase {
            Phase::BeforeRound(_) if !self.one_by_one => self.sent.clear(),
            // A phase begins with a call without outputs.
            Phase::AfterRound(round) if outputs.is_empty() => {
                self.layer.close(round, &self.sent, self.inner.as_mut())?;
                if !self.one_by_one {
                    self.sent.clear();
                }
            }
            _ => {}
        }
        self.inner.step(phase, outputs)
    }

    fn save(&self, to: &mut Writer) {
        self.inner.save(to);
        self.layer.save(to);
        self.sent.save(to);
    }

    fn restore(&mut self, from: &mut Reader) -> Result<(), Damaged> {
        self.inner.restore(from)?;
        self.layer.restore(from)?;
        self.sent = Snapshot::load(from)?;
        Ok(())
    }

    fn gone(&mut self, client: u32) {
        self.sent.remove(&client);
        self.inner.gone(client);
    }

    fn abandon(&mut self) {
        self.sent.clear();
        self.layer.clear();
        self.inner.abandon();
    }

    fn short(&self) -> Option<String> {
        let own = self.layer.short(self.sent.len());
        own.or_else(|| self.inner.short())
    }

    fn receive_flops(&self) -> Flops {
        Flops(self.inner.receive_flops().0 + self.layer.receive_flops().0)
    }

    fn round_flops(&self) -> Flops {
        Flops(self.inner.round_flops().0 + self.layer.round_flops().0)
    }

    fn lost_rounds(&mut self, rounds: u32) {
        self.layer.lost_rounds(rounds);
        self.inner.lost_rounds(rounds);
    }

    fn epsilon(&self) -> Option<f64> {
        self.layer.epsilon().or_else(|| self.inner.epsilon())
    }

    fn epsilon_pld(&self) -> Option<f64> {
        let own = self.layer.epsilon_pld();
        own.or_else(|| self.inner.epsilon_pld())
    }
}
