//! Against references in double precision, written from the papers.

use super::super::waiting::{Rule, Staleness, Waiting};
use super::*;
use crate::learn::LocalTraining;
use crate::method::testing::{close, combine, local, size, start, Descent, Toy, Vector};
use crate::method::{ClientWork, MethodSpec, Weighting};
use crate::model::Layouts;
use crate::snapshot::testing::{reader, try_bytes_of};
use std::sync::Arc;

fn fedbuff(buffer: u32, server_lr: f64, weighting: Weighting, staleness: Staleness) -> Waiting {
    Waiting {
        rule: Rule::FedBuff {
            buffer,
            server_lr,
            weighting,
        },
        concurrency: 3,
        staleness,
        max_staleness: None,
        timeout: None,
    }
}

fn fedasync(alpha: f64, staleness: Staleness) -> Waiting {
    Waiting {
        rule: Rule::FedAsync { alpha },
        ..fedbuff(1, 1.0, Weighting::Uniform, staleness)
    }
}

fn method(name: &str) -> MethodSpec {
    name.parse().unwrap()
}

fn asked_one_by_one<'a>(
    method: &'a MethodSpec,
    local: &LocalTraining,
    waiting: Waiting,
) -> Toy<'a> {
    let mut toy = Toy::new(method.method(), local);
    let half = method.method().server(toy.setup().clone()).unwrap();
    let initial = toy.setup().initial.clone();
    toy.server = Box::new(Buffered::new(half, waiting, &initial));
    toy
}

fn take_in(toy: &mut Toy<'_>, client: u32, work: ClientWork) {
    let report = toy.received(client, work.report);
    toy.server.receive(&report).unwrap();
    toy.server.gone(client);
}

/// Training in double precision.
fn trained(from: &[f64], client: u32, round: u32) -> Vector {
    Descent::of_local().client(from, client, round).0
}

#[test]
fn fedasync_mixes_models_as_a_float64_reference_does() {
    let plain = MethodSpec::default();
    for staleness in [
        Staleness::Constant,
        Staleness::Polynomial { a: 0.5 },
        Staleness::Hinge { a: 10.0, b: 0.0 },
    ] {
        let alpha = 0.6;
        let mut toy = asked_one_by_one(&plain, &local(), fedasync(alpha, staleness));
        toy.open();
        let (first, second) = (toy.ask(0).1, toy.ask(1).1);
        take_in(&mut toy, 0, first);
        toy.close();
        toy.open();
        let third = toy.ask(2).1;
        assert_eq!(toy.server.staleness(1), Some(1));
        take_in(&mut toy, 1, second);
        assert_eq!(toy.server.staleness(1), None, "it has answered");
        toy.close();
        toy.open();
        take_in(&mut toy, 2, third);
        toy.close();

        // x ← (1 − α_τ) x + α_τ x_new, with weights from section 5.2 of the paper.
        let stale = match staleness {
            Staleness::Constant => 1.0,
            Staleness::Polynomial { .. } => 1.0 / 2f64.sqrt(),
            Staleness::Hinge { .. } => 1.0 / 11.0,
        };
        let mix = |x: &[f64], new: &[f64], share: f64| combine(&[(1.0 - share, x), (share, new)]);
        let x0 = start().to_vec();
        let x1 = mix(&x0, &trained(&x0, 0, 1), alpha);
        let x2 = mix(&x1, &trained(&x0, 1, 1), alpha * stale);
        let x3 = mix(&x2, &trained(&x1, 2, 2), alpha * stale);
        close(&toy.model(), &x3);
    }
}

/// x = Σ (T_{M+1−m} / T) x_m: of two that have reported twice and once the one that has reported once
/// counts twice.
#[test]
fn fedat_weighs_by_the_reports_of_the_other_end_as_a_float64_reference_does() {
    let plain = MethodSpec::default();
    let fedat = Waiting {
        rule: Rule::FedAT,
        ..fedbuff(1, 1.0, Weighting::Uniform, Staleness::Constant)
    };
    let mut toy = asked_one_by_one(&plain, &local(), fedat);
    toy.open();
    let (first, slow) = (toy.ask(0).1, toy.ask(2).1);
    take_in(&mut toy, 0, first);
    toy.close();
    let x0 = start().to_vec();
    let x1 = trained(&x0, 0, 1);
    close(&toy.model(), &x1);
    toy.open();
    let again = toy.ask(0).1;
    take_in(&mut toy, 0, again);
    toy.close();
    let x2 = trained(&x1, 0, 2);
    close(&toy.model(), &x2);
    toy.open();
    take_in(&mut toy, 2, slow);
    toy.close();
    let late = trained(&x0, 2, 1);
    close(
        &toy.model(),
        &combine(&[(1.0 / 3.0, &x2), (2.0 / 3.0, &late)]),
    );
}

#[test]
fn fedasync_that_takes_all_of_a_fresh_model_is_that_model_bit_for_bit() {
    let plain = MethodSpec::default();
    let mut toy = asked_one_by_one(&plain, &local(), fedasync(1.0, Staleness::default()));
    toy.open();
    let work = toy.ask(1).1;
    let model = work.report.as_model().unwrap().clone();
    take_in(&mut toy, 1, work);
    toy.close();
    assert_eq!(toy.model().digest().unwrap(), model.digest().unwrap());
}

#[test]
fn fedbuff_adds_updates_weighted_by_their_staleness_as_a_float64_reference_does() {
    let plain = MethodSpec::default();
    for (weighting, n) in [
        (Weighting::Uniform, (|_| 1.0) as fn(u32) -> f64),
        (Weighting::Samples, size),
    ] {
        let (lr, stale) = (0.7, 1.0 / 2f64.sqrt());
        let waiting = fedbuff(2, lr, weighting, Staleness::default());
        let mut toy = asked_one_by_one(&plain, &local(), waiting);
        toy.open();
        let (zero, one, two) = (toy.ask(0).1, toy.ask(1).1, toy.ask(2).1);
        take_in(&mut toy, 2, two);
        take_in(&mut toy, 0, zero);
        toy.close();
        toy.open();
        let again = toy.ask(0).1;
        take_in(&mut toy, 1, one);
        take_in(&mut toy, 0, again);
        toy.close();

        // x ← x + η_g Σ n s(τ) Δ / Σ n: the sum is over K updates, and so is the divisor.
        let less = |a: &[f64], b: &[f64]| combine(&[(1.0, a), (-1.0, b)]);
        let step = |x: &[f64], updates: [(u32, f64, Vector); 2]| {
            let total: f64 = updates.iter().map(|(k, ..)| n(*k)).sum();
            let [(i, s, a), (j, t, b)] = &updates;
            combine(&[
                (1.0, x),
                (lr * n(*i) * s / total, a),
                (lr * n(*j) * t / total, b),
            ])
        };
        let x0 = start().to_vec();
        let update = |x: &[f64], k, round| less(&trained(x, k, round), x);
        let x1 = step(
            &x0,
            [(2, 1.0, update(&x0, 2, 1)), (0, 1.0, update(&x0, 0, 1))],
        );
        let x2 = step(
            &x1,
            [(1, stale, update(&x0, 1, 1)), (0, 1.0, update(&x1, 0, 2))],
        );
        close(&toy.model(), &x2);
    }
}

/// The method's own step goes on from the buffer's mean, whichever that is.
#[test]
fn a_method_whose_buffer_is_its_cohort_is_itself_to_rounding() {
    let waiting = fedbuff(3, 1.0, Weighting::Samples, Staleness::default());
    for name in [
        "FedAvg",
        "FedProx",
        "FedAvgM",
        "FedAdagrad",
        "FedAdam",
        "FedYogi",
        "FedSgd",
    ] {
        let method = method(name);
        let mut plain = Toy::new(method.method(), &local());
        let mut other = asked_one_by_one(&method, &local(), waiting);
        for cohort in [[0, 1, 2], [2, 1, 0], [1, 0, 2]] {
            plain.round(&cohort);
            other.round(&cohort);
            for client in cohort {
                other.server.gone(client);
            }
            let apart = plain.model().distance_squared(&other.model()).unwrap();
            // Adaptive steps divide by what may be small.
            assert!(apart < 1e-6, "{name}: {apart}");
        }
    }
}

#[test]
fn a_report_that_nobody_asked_for_or_is_not_finite_changes_nothing() {
    let plain = MethodSpec::default();
    for waiting in [
        fedbuff(2, 1.0, Weighting::Uniform, Staleness::default()),
        fedasync(0.5, Staleness::default()),
    ] {
        let mut toy = asked_one_by_one(&plain, &local(), waiting);
        toy.open();
        let before = toy.model();
        let work = toy.ask(0).1;
        let stranger = toy.received(1, work.report.clone());
        assert!(toy.server.receive(&stranger).is_err());
        let mut values = before.as_slice().unwrap().to_vec();
        values[2] = f32::INFINITY;
        let bad = ParamSet::from_slice(before.layout(), &values).unwrap();
        let bad = toy.received(0, Payload::Model(bad));
        assert!(toy.server.receive(&bad).is_err());
        let nothing = toy.received(0, Payload::Nothing);
        assert!(toy.server.receive(&nothing).is_err());
        toy.server.gone(0);
        let late = toy.received(0, work.report);
        assert!(toy.server.receive(&late).is_err(), "it was given up");
        toy.close();
        assert_eq!(toy.model().digest().unwrap(), before.digest().unwrap());
    }
}

#[test]
fn a_buffer_that_is_half_full_comes_back_from_a_checkpoint() {
    let method = method("FedAvgM");
    for waiting in [
        fedbuff(3, 1.0, Weighting::Samples, Staleness::default()),
        fedasync(0.5, Staleness::default()),
    ] {
        let run = |stopped: bool| {
            let mut toy = asked_one_by_one(&method, &local(), waiting);
            toy.open();
            let (zero, one, two) = (toy.ask(0).1, toy.ask(1).1, toy.ask(2).1);
            take_in(&mut toy, 0, zero);
            toy.close();
            toy.open();
            take_in(&mut toy, 1, one);
            if stopped {
                let bytes = try_bytes_of(|to| toy.server.save(to)).unwrap();
                let half = method.method().server(toy.setup().clone()).unwrap();
                let mut fresh = Buffered::new(half, waiting, &toy.setup().initial);
                let mut from = reader(&bytes);
                from.know(Layouts::new([Arc::clone(toy.model().layout())]));
                fresh.restore(&mut from).unwrap();
                toy.server = Box::new(fresh);
            }
            assert_eq!(toy.server.staleness(2), Some(1));
            if waiting.buffer() > 1 {
                take_in(&mut toy, 2, two);
            }
            toy.close();
            toy.model().digest().unwrap()
        };
        assert_eq!(run(true), run(false));
    }
}

#[test]
fn what_was_sent_is_forgotten_with_whoever_was_sent_it() {
    let plain = MethodSpec::default();
    let mut toy = asked_one_by_one(&plain, &local(), fedasync(0.5, Staleness::default()));
    toy.open();
    let work = toy.ask(0).1;
    toy.ask(1);
    toy.server.abandon();
    assert_eq!(
        (toy.server.staleness(0), toy.server.staleness(1)),
        (None, None)
    );
    let report = toy.received(0, work.report);
    assert!(toy.server.receive(&report).is_err());
}
