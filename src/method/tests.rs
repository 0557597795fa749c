//! What holds for every method in the registry.

use super::testing::{layout, local, set, Toy};
use super::{MethodError, MethodSpec, Payload, Phase, Received, ServerHalf, ServerJob};
use crate::quantity::Flops;
use crate::snapshot::{Damaged, Reader, Writer};

/// Every method with its defaults, as a scenario names it.
fn all() -> Vec<MethodSpec> {
    let names = MethodSpec::ALL.iter();
    names.map(|(name, _)| name.parse().unwrap()).collect()
}

/// Those that ask clients for something.
fn federated() -> Vec<MethodSpec> {
    let asks = |spec: &MethodSpec| Toy::new(spec.method(), &local()).server.needs_clients();
    all().into_iter().filter(asks).collect()
}

fn digest(toy: &Toy) -> Option<u64> {
    toy.server.global().map(|model| model.digest().unwrap())
}

#[test]
fn every_method_of_the_registry_has_defaults_that_pass_its_own_check() {
    for (spec, (name, _)) in all().iter().zip(MethodSpec::ALL) {
        assert_eq!(spec.name(), *name);
        assert!(spec.method().check(&local()).is_empty(), "{name}");
    }
}

#[test]
fn equal_rounds_give_equal_bits() {
    for spec in all() {
        let run = || {
            let mut toy = Toy::new(spec.method(), &local());
            toy.round(&[0, 1, 2]);
            toy.round(&[2, 0]);
            (digest(&toy), toy.kept_digest())
        };
        assert_eq!(run(), run(), "{}", spec.name());
    }
}

#[test]
fn every_global_model_moves_with_a_round() {
    for spec in all() {
        let mut toy = Toy::new(spec.method(), &local());
        let before = digest(&toy);
        toy.round(&[0, 1, 2]);
        if before.is_some() {
            assert_ne!(digest(&toy), before, "{}", spec.name());
        }
    }
}

#[test]
fn an_abandoned_round_leaves_the_model_as_it_was_and_no_trace_in_the_next() {
    for spec in federated() {
        let mut toy = Toy::new(spec.method(), &local());
        toy.round(&[0, 1, 2]);
        // A server may work on its model before it asks.
        toy.open();
        let before = digest(&toy);
        let (task, work) = toy.ask(1);
        let report = toy.received(1, work.report);
        toy.server.receive(&report).unwrap();
        toy.server.abandon();
        assert_eq!(digest(&toy), before, "{}", spec.name());
        // Were a report left over, it would be taken now.
        toy.close();
        assert_eq!(digest(&toy), before, "{}", spec.name());
        let again = toy.server.task(1, 3).unwrap();
        assert_eq!(again.digest(), task.digest(), "{}", spec.name());
        // And the rounds after it are those of a twin whose server never got the report.
        let mut twin = Toy::new(spec.method(), &local());
        twin.round(&[0, 1, 2]);
        twin.open();
        twin.ask(1);
        twin.close();
        for cohort in [[0, 1], [1, 2]] {
            toy.round(&cohort);
            twin.round(&cohort);
            assert_eq!(digest(&toy), digest(&twin), "{}", spec.name());
        }
    }
}

/// Payloads, none of which any method's server takes and no client.
fn wrong_payloads(toy: &Toy) -> Vec<Payload> {
    let initial = toy
        .input(0, Payload::Nothing)
        .model
        .init(1, crate::model::Initializer::PyTorch)
        .unwrap();
    let stranger = set(&layout(), &[0.5; 6]);
    let update = Payload::Update(initial.clone());
    vec![
        Payload::scalars([1.0]),
        Payload::Model(stranger.clone()),
        Payload::Update(stranger.clone()),
        Payload::bundle([]),
        Payload::bundle([update.clone()]),
        Payload::bundle([Payload::Nothing, Payload::Nothing]),
        Payload::bundle([Payload::Model(stranger.clone()), update.clone()]),
        Payload::bundle([update.clone(), Payload::scalars([1.0, 2.0])]),
        Payload::bundle([Payload::Update(stranger.clone()), Payload::scalars([1.0])]),
        Payload::bundle([update.clone(), Payload::Update(stranger)]),
        Payload::bundle([update.clone(), update.clone(), update]),
    ]
}

#[test]
fn a_report_of_another_kind_or_network_is_an_error_and_moves_nothing() {
    for spec in all() {
        let mut toy = Toy::new(spec.method(), &local());
        let before = digest(&toy);
        for wrong in wrong_payloads(&toy) {
            let report = toy.received(0, wrong);
            let outcome = toy.server.receive(&report);
            assert!(outcome.is_err(), "{}: {:?}", spec.name(), report.payload);
        }
        if toy.server.needs_clients() {
            toy.close();
            assert_eq!(digest(&toy), before, "{}", spec.name());
        }
    }
}

#[test]
fn a_task_of_another_kind_or_network_is_an_error_at_the_client() {
    for spec in all() {
        let mut toy = Toy::new(spec.method(), &local());
        toy.open();
        let mut wrong = wrong_payloads(&toy);
        wrong.push(Payload::Nothing);
        for task in wrong {
            let input = toy.input(0, task);
            let outcome = spec.method().client().run(&input, &mut Default::default());
            assert!(outcome.is_err(), "{}: {:?}", spec.name(), input.task);
        }
    }
}

/// Twelve parameters are 48 bytes, every payload has a prefix of 8 (so has each part of a bundle),
/// a number is 8.
#[test]
fn tasks_and_reports_have_the_sizes_computed_by_hand() {
    const P: u64 = 4 * 12;
    for spec in federated() {
        let (down, up) = match spec.name() {
            "Scaffold" => (8 + 2 * (8 + P), 8 + 2 * (8 + P)),
            "FedNova" => (8 + P, 8 + (8 + P) + (8 + 8)),
            "LocalOnly" => (8 + P, 8),
            // The classes of the client: three bits.
            "HeteroFL" => (8 + P, 8 + (8 + P) + (8 + 1)),
            // The global model, which is the initial one. This client has not done well enough to
            // prune, and a mask of everything costs nothing.
            "LotteryFL" => (8 + (8 + P) + 8, 8 + P),
            // There is no hidden layer to say anything of.
            "TailorFL" => (8 + P, 8 + (8 + P) + 8 + 8),
            // Eight public samples of three numbers and a label, no consensus yet, their indices; up
            // their indices and three scores each.
            "FedMD" => (
                8 + (8 + 8 * (3 * 4 + 1)) + 8 + (8 + 8 * 4),
                8 + 8 * 4 + 8 * 3 * 4,
            ),
            _ => (8 + P, 8 + P),
        };
        let mut toy = Toy::new(spec.method(), &local());
        toy.open();
        let (task, work) = toy.ask(2);
        let sizes = (task.wire_bytes().0, work.report.wire_bytes().0);
        assert_eq!(sizes, (down, up), "{}", spec.name());
    }
}

#[test]
fn a_wrong_count_says_what_was_agreed_on() {
    let bundle = Payload::bundle([Payload::Nothing]);
    let error = bundle.as_parts::<2>().unwrap_err();
    assert_eq!(error.to_string(), "expected 2 in the bundle, got 1");
    let error = Payload::scalars([1.0, 2.0]).as_scalars::<1>().unwrap_err();
    assert_eq!(
        error.to_string(),
        "expected 1 in the list of numbers, got 2"
    );
    let error = bundle.as_model().unwrap_err();
    assert_eq!(error.to_string(), "expected a model, got bundle");
}

/// Says something else than the default to everything that has one, and counts what it is told.
struct Odd {
    global: crate::model::ParamSet,
    told: u32,
}

/// Around another half, without a word of its own where there is a default.
struct Wrapper(Box<dyn ServerHalf>);

macro_rules! nothing_of_its_own {
    () => {
        fn task(&mut self, _: u32, _: u32) -> Result<Payload, MethodError> {
            Ok(Payload::Nothing)
        }

        fn receive(&mut self, _: &Received) -> Result<(), MethodError> {
            Ok(())
        }

        fn step(&mut self, _: Phase, _: Vec<Payload>) -> Result<Vec<ServerJob>, MethodError> {
            Ok(Vec::new())
        }

        fn abandon(&mut self) {}

        fn save(&self, _: &mut Writer) {}

        fn restore(&mut self, _: &mut Reader) -> Result<(), Damaged> {
            Ok(())
        }
    };
}

impl ServerHalf for Odd {
    nothing_of_its_own!();

    fn needs_clients(&self) -> bool {
        false
    }

    fn cohort(&mut self, _: u32, clients: &[u32]) {
        self.told += clients.len() as u32;
    }

    fn least_reports(&self) -> u32 {
        7
    }

    fn close(&mut self, round: u32) -> Result<(), MethodError> {
        self.told += round;
        Ok(())
    }

    fn adopt(&mut self, _: crate::model::ParamSet) -> Result<(), MethodError> {
        self.told += 1000;
        Ok(())
    }

    fn gone(&mut self, client: u32) {
        self.told += client;
    }

    fn staleness(&self, client: u32) -> Option<u32> {
        Some(self.told + client)
    }

    fn short(&self) -> Option<String> {
        Some("odd".to_string())
    }

    fn receive_flops(&self) -> Flops {
        Flops(3)
    }

    fn round_flops(&self) -> Flops {
        Flops(5)
    }

    fn global(&self) -> Option<&crate::model::ParamSet> {
        Some(&self.global)
    }

    fn personal(&self) -> bool {
        true
    }

    fn at_level(&self, _: usize) -> Result<Option<crate::model::ParamSet>, MethodError> {
        Ok(Some(self.global.clone()))
    }

    fn lost_rounds(&mut self, rounds: u32) {
        self.told += rounds;
    }

    fn epsilon(&self) -> Option<f64> {
        Some(1.5)
    }

    fn epsilon_pld(&self) -> Option<f64> {
        Some(1.25)
    }
}

impl ServerHalf for Wrapper {
    nothing_of_its_own!();

    fn inner(&self) -> Option<&dyn ServerHalf> {
        Some(&*self.0)
    }

    fn inner_mut(&mut self) -> Option<&mut dyn ServerHalf> {
        Some(&mut *self.0)
    }
}

#[test]
fn a_half_around_another_leaves_to_it_whatever_it_does_not_do_itself() {
    let global = set(&layout(), &[1.0; 6]);
    let odd = Odd {
        global: global.clone(),
        told: 0,
    };
    let mut wrapper = Wrapper(Box::new(Wrapper(Box::new(odd))));
    wrapper.cohort(1, &[4, 5]);
    wrapper.close(10).unwrap();
    wrapper.adopt(global.clone()).unwrap();
    wrapper.gone(200);
    wrapper.lost_rounds(30_000);
    assert_eq!(wrapper.staleness(0), Some(2 + 10 + 1000 + 200 + 30_000));
    assert!(!wrapper.needs_clients() && wrapper.personal());
    assert_eq!((wrapper.least_reports(), wrapper.epsilon()), (7, Some(1.5)));
    assert_eq!(wrapper.epsilon_pld(), Some(1.25));
    assert_eq!(wrapper.short().as_deref(), Some("odd"));
    assert_eq!(
        (wrapper.receive_flops(), wrapper.round_flops()),
        (Flops(3), Flops(5))
    );
    assert!(wrapper.global().is_some_and(|set| set.same(&global)));
    assert!(wrapper.at_level(0).unwrap().is_some());
}
