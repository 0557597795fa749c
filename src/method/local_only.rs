//! Local-only training, a baseline: every client trains a model of its own on its own data, and
//! nothing is shared. The difference to a federated method is what federation is worth to a client.

use super::{
    ClientHalf, ClientInput, ClientState, ClientWork, Leaves, Method, MethodError, Metrics,
    Payload, Phase, Received, ServerHalf, ServerJob, Setup, Training,
};
use crate::learn::{Correction, Trained};
use crate::model::{ParamSet, Selection, Sizes};
use crate::quantity::Flops;
use crate::snapshot::{Damaged, Reader, Snapshot, Writer};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::sync::Arc;

/// Local-only training. All clients start from one initial model, or from the part of it that their
/// width has.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LocalOnly {}

/// The name of the client's own model in its state.
const MODEL: &str = "model";

impl Method for LocalOnly {
    fn sizes(&self) -> bool {
        true
    }

    fn modelled(&self) -> Result<(), &'static str> {
        Err("its clients share nothing: there is no federation to plan")
    }

    fn leaves(&self) -> Leaves {
        Leaves {
            global: false,
            own: true,
        }
    }

    fn freezes(&self) -> Result<(), &'static str> {
        Ok(())
    }

    fn stops_early(&self) -> Result<(), &'static str> {
        Ok(())
    }

    fn server(&self, setup: Setup) -> Result<Box<dyn ServerHalf>, MethodError> {
        let initial = setup.sizes.levels().iter().map(|level| {
            // A TorchScript module has no units to choose from, and one width only.
            if level.ratio >= 1.0 {
                return Ok(setup.initial.clone());
            }
            let prefix = Selection::prefix(setup.model.units(), level.model.units());
            prefix.gather(&setup.model, &level.model, &setup.initial)
        });
        Ok(Box::new(Server {
            initial: initial.collect::<Result<_, _>>()?,
            sizes: setup.sizes.clone(),
            known: BTreeSet::new(),
        }))
    }

    fn client(&self) -> Arc<dyn ClientHalf> {
        Arc::new(Client)
    }
}

struct Server {
    /// For each width, the first units of the initial model.
    initial: Vec<ParamSet>,
    sizes: Sizes,
    /// The clients that have reported before and therefore have a model of their own.
    known: BTreeSet<u32>,
}

impl ServerHalf for Server {
    fn task(&mut self, client: u32, _: u32) -> Result<Payload, MethodError> {
        Ok(if self.known.contains(&client) {
            Payload::Nothing
        } else {
            let initial = self.initial.get(self.sizes.level_of(client));
            initial.cloned().map_or(Payload::Nothing, Payload::Model)
        })
    }

    fn receive(&mut self, report: &Received) -> Result<(), MethodError> {
        report.payload.as_nothing()?;
        self.known.insert(report.client);
        Ok(())
    }

    fn step(&mut self, _: Phase, _: Vec<Payload>) -> Result<Vec<ServerJob>, MethodError> {
        Ok(Vec::new())
    }

    fn abandon(&mut self) {}

    fn save(&self, to: &mut Writer) {
        self.known.save(to);
    }

    fn restore(&mut self, from: &mut Reader) -> Result<(), Damaged> {
        self.known = Snapshot::load(from)?;
        Ok(())
    }

    fn receive_flops(&self) -> Flops {
        Flops(0)
    }

    fn round_flops(&self) -> Flops {
        Flops(0)
    }

    fn global(&self) -> Option<&ParamSet> {
        None
    }
}

struct Client;

impl ClientHalf for Client {
    fn keeps(&self, name: &str, payload: &Payload) -> bool {
        match name {
            MODEL => matches!(payload, Payload::Model(_)),
            _ => true,
        }
    }

    fn own<'a>(&self, state: &'a ClientState) -> Option<&'a ParamSet> {
        state.get(MODEL)?.as_model().ok()
    }

    fn training(&self, input: &ClientInput) -> Result<Training, MethodError> {
        // The client's own model comes before one that is sent again, for example after a lost
        // report.
        let own = input.state.get(MODEL).unwrap_or(&input.task);
        Ok(Training {
            start: own.as_model()?.clone(),
            correction: Correction::default(),
        })
    }

    fn report(&self, _: &ClientInput, trained: Trained) -> Result<ClientWork, MethodError> {
        Ok(ClientWork {
            report: Payload::Nothing,
            metrics: Metrics::of(&trained),
            state: ClientState::default().with(MODEL, Payload::Model(trained.params)),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::method::testing::{close, local, start, Descent, Toy};

    #[test]
    fn every_client_goes_on_from_its_own_model_and_shares_nothing() {
        let method = LocalOnly::default();
        let mut toy = Toy::new(&method, &local());
        let mut own = vec![start().to_vec(); 3];
        for (round, cohort) in (1u32..).zip([[0u32, 1], [2, 1]]) {
            toy.open();
            for k in cohort {
                let first = own[k as usize] == start();
                let (task, work) = toy.ask(k);
                assert_eq!(task.as_model().is_ok(), first, "client {k}");
                assert!(work.report.as_nothing().is_ok());
                assert_eq!(work.metrics.held_out.unwrap().count, 6);
                let report = toy.received(k, work.report);
                toy.server.receive(&report).unwrap();
                own[k as usize] = Descent::of_local().client(&own[k as usize], k, round).0;
                close(toy.kept(k, MODEL).as_model().unwrap(), &own[k as usize]);
            }
            toy.close();
        }
        assert!(toy.server.global().is_none());
    }

    #[test]
    fn a_client_whose_report_was_lost_is_sent_the_model_again_and_keeps_its_own() {
        let method = LocalOnly::default();
        let mut toy = Toy::new(&method, &local());
        toy.open();
        toy.ask(1);
        toy.close();
        toy.open();
        let (task, _) = toy.ask(1);
        assert!(task.as_model().is_ok());
        let (first, _) = Descent::of_local().client(&start(), 1, 1);
        let (second, _) = Descent::of_local().client(&first, 1, 2);
        close(toy.kept(1, MODEL).as_model().unwrap(), &second);
    }
}
