//! What holds for every method in the registry.

use super::testing::{layout, local, set, Toy};
use super::{MethodSpec, Payload};

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
