//! One round of FedAvg in a toy federation, with a layer around its server half.

use super::central::NoisyMean;
use crate::method::testing::{local, Toy};
use crate::method::{
    ClientInput, ClientLayer, ClientWork, LayeredServer, Method, MethodSpec, Payload, Phase,
    Received, ServerHalf, ServerLayer,
};
use crate::model::{Layout, ParamSet};
use std::sync::Arc;

/// What the clients of the toy federation do in the first round, and the model that they start
/// from.
pub struct Round {
    spec: MethodSpec,
}

/// The values of `set` in double precision.
fn wide(set: &ParamSet) -> Vec<f64> {
    set.as_slice()
        .unwrap()
        .iter()
        .map(|v| f64::from(*v))
        .collect()
}

fn less(a: &[f64], b: &[f64]) -> Vec<f64> {
    a.iter().zip(b).map(|(a, b)| a - b).collect()
}

/// The plain mean of `vectors`.
pub fn mean(vectors: &[Vec<f64>]) -> Vec<f64> {
    let n = vectors.len() as f64;
    (0..vectors[0].len())
        .map(|i| vectors.iter().map(|v| v[i]).sum::<f64>() / n)
        .collect()
}

impl Round {
    /// The first round of the toy federation.
    pub fn new() -> Self {
        Self {
            spec: MethodSpec::default(),
        }
    }

    fn method(&self) -> &dyn Method {
        self.spec.method()
    }

    fn toy(&self) -> Toy<'_> {
        let mut toy = Toy::new(self.method(), &local());
        toy.open();
        toy
    }

    /// The model that the round starts from.
    pub fn initial(&self) -> ParamSet {
        self.toy().model()
    }

    /// The layout of the model.
    pub fn layout(&self) -> Arc<Layout> {
        Arc::clone(self.initial().layout())
    }

    /// The input and the work of a client without any layer.
    pub fn work(&self, client: u32) -> (ClientInput, ClientWork) {
        let toy = self.toy();
        let input = toy.input(client, Payload::Model(toy.model()));
        let work = self
            .method()
            .client()
            .run(&input, &mut Default::default())
            .unwrap();
        (input, work)
    }

    /// The report of a client without any layer, and the change that it reports.
    pub fn change(&self, client: u32) -> (Payload, Vec<f64>) {
        let (_, work) = self.work(client);
        let change = less(
            &wide(work.report.as_model().unwrap()),
            &wide(&self.initial()),
        );
        (work.report, change)
    }

    /// The change that a client reports with `layer` around its client half.
    pub fn wrapped(&self, client: u32, layer: &dyn ClientLayer) -> Vec<f64> {
        let (input, work) = self.work(client);
        let wrapped = layer.wrap(&input, work).unwrap();
        less(
            &wide(wrapped.report.as_model().unwrap()),
            &wide(&self.initial()),
        )
    }

    /// The server with `layer` around its server half, after all clients of the toy federation were
    /// asked.
    pub fn server<L: ServerLayer>(&self, layer: L) -> LayeredServer<L> {
        let toy = self.toy();
        let inner = self.method().server(toy.setup().clone()).unwrap();
        let mut server = LayeredServer::new(inner, layer);
        server.step(Phase::BeforeRound(1), Vec::new()).unwrap();
        server.cohort(1, &[0, 1, 2]);
        for client in 0..3 {
            server.task(client, 1).unwrap();
        }
        server
    }

    fn moved<L: ServerLayer>(&self, server: &mut LayeredServer<L>) -> (Vec<f64>, f64) {
        server.step(Phase::AfterRound(1), Vec::new()).unwrap();
        let global = wide(server.global().unwrap());
        let epsilon = server.epsilon().unwrap_or(f64::NAN);
        (less(&global, &wide(&self.initial())), epsilon)
    }

    fn report(&self, client: u32, payload: Payload) -> Received {
        let mut toy = self.toy();
        toy.open();
        Received {
            round: 1,
            ..toy.received(client, payload)
        }
    }

    /// The change of the global model when `clients` report, and the ε afterwards.
    pub fn close<L: ServerLayer>(&self, layer: L, clients: &[u32]) -> (Vec<f64>, f64) {
        let mut server = self.server(layer);
        for &client in clients {
            let report = self.report(client, self.change(client).0);
            server.receive(&report).unwrap();
        }
        self.moved(&mut server)
    }

    /// As [`Round::close`], for clients with the layer `worn`.
    pub fn close_with<L: ServerLayer>(
        &self,
        layer: L,
        clients: &[u32],
        worn: &dyn ClientLayer,
    ) -> (Vec<f64>, f64) {
        let mut server = self.server(layer);
        for &client in clients {
            let (input, work) = self.work(client);
            let wrapped = worn.wrap(&input, work).unwrap();
            server
                .receive(&self.report(client, wrapped.report))
                .unwrap();
        }
        self.moved(&mut server)
    }

    /// The change of the global model when one report brings the mean change of `clients` clients.
    pub fn close_mean(&self, layer: NoisyMean, change: &[f64], clients: u32) -> Vec<f64> {
        let mut server = self.server(layer);
        let model: Vec<f32> = wide(&self.initial())
            .iter()
            .zip(change)
            .map(|(a, b)| (a + b) as f32)
            .collect();
        let model = ParamSet::from_slice(&self.layout(), &model).unwrap();
        let report = Received {
            samples: clients,
            ..self.report(0, Payload::Model(model))
        };
        server.receive(&report).unwrap();
        self.moved(&mut server).0
    }

    /// The ε after a round that was abandoned.
    pub fn abandon<L: ServerLayer>(&self, layer: L, clients: &[u32]) -> f64 {
        let mut server = self.server(layer);
        for &client in clients {
            let report = self.report(client, self.change(client).0);
            server.receive(&report).unwrap();
        }
        server.abandon();
        server.epsilon().unwrap()
    }

    /// The clipping bound after a round.
    pub fn bound_after(&self, layer: NoisyMean, clients: &[u32]) -> f64 {
        let mut server = self.server(layer);
        for &client in clients {
            let report = self.report(client, self.change(client).0);
            server.receive(&report).unwrap();
        }
        server.step(Phase::AfterRound(1), Vec::new()).unwrap();
        server.layer().bound()
    }
}
