use super::*;
use crate::method::testing::narrow::{places, start, HIDDEN, PARAMETERS};
use crate::method::testing::pruned::{holds_nothing_else, mean, train, under, whole};
use crate::method::testing::{close, local, size, Toy, CLASSES, INPUTS};

/// Prunes at every chance: one of four hidden units, then another.
fn eager(overlap: Overlap) -> Hermes {
    Hermes {
        prune_rate: 0.25,
        acc_threshold: 0.0,
        overlap,
        ..Hermes::default()
    }
}

/// Which parameters belong to the hidden units `units`.
fn kept(units: &[bool]) -> Vec<bool> {
    let alive: Vec<usize> = (0..HIDDEN).filter(|&u| units[u]).collect();
    let places = places(&alive);
    (0..PARAMETERS)
        .map(|place| places.contains(&place))
        .collect()
}

fn own<'a>(toy: &'a Toy, client: u32) -> &'a Masked {
    let model = toy.input(client, Payload::Nothing).model;
    toy.kept(client, OWN).as_masked(model.layout()).unwrap()
}

fn hidden(toy: &Toy, client: u32) -> Vec<bool> {
    own(toy, client).mask().units().unwrap()[1].clone()
}

fn rounds(method: &Hermes) {
    let mut toy = whole(method);
    let mut global = start().to_vec();
    let mut shared = vec![false; PARAMETERS];
    let mut networks: Vec<Option<(Vec<f64>, Vec<bool>)>> = vec![None; 3];
    let cohorts = [vec![0u32, 1], vec![1, 0, 2], vec![2, 1], vec![0, 1, 2]];
    for (round, cohort) in (1u32..).zip(cohorts) {
        toy.round(&cohort);
        let mut parts = Vec::new();
        for &k in &cohort {
            let (mut w, mut units) = match networks[k as usize].take() {
                Some(network) => network,
                None => (global.clone(), vec![true; HIDDEN]),
            };
            if toy_knows(round, k) {
                let mine = kept(&units);
                for i in (0..PARAMETERS).filter(|&i| mine[i] && shared[i]) {
                    w[i] = global[i];
                }
            }
            let norm = |u: usize| -> f64 {
                let row = w[u * INPUTS..][..INPUTS].iter();
                match method.norm {
                    Norm::L1 => row.map(|w| w.abs()).sum(),
                    Norm::L2 => row.map(|w| w * w).sum(),
                }
            };
            let alive = (0..HIDDEN).filter(|&u| units[u]);
            let weakest = alive.min_by(|&a, &b| norm(a).total_cmp(&norm(b))).unwrap();
            if units.iter().filter(|kept| **kept).count() > HIDDEN / 2 {
                units[weakest] = false;
            }
            let mine = kept(&units);
            let w = train(&under(&w, &mine), &mine, k, round);
            close(own(&toy, k).values(), &w);
            assert_eq!(hidden(&toy, k), units, "client {k}, round {round}");
            parts.push((w.clone(), mine, size(k)));
            networks[k as usize] = Some((w, units));
        }
        global = mean(&global, &parts);
        shared = (0..PARAMETERS)
            .map(|i| match method.overlap {
                Overlap::All => parts.iter().all(|part| part.1[i]),
                Overlap::Any => parts.iter().any(|part| part.1[i]),
            })
            .collect();
        close(&toy.model(), &global);
    }
}

/// Whether client `k` has reported before `round`.
fn toy_knows(round: u32, k: u32) -> bool {
    round > if k == 2 { 2 } else { 1 }
}

#[test]
fn rounds_are_those_of_a_float64_reference() {
    rounds(&eager(Overlap::All));
}

#[test]
fn so_they_are_with_the_mean_over_any_holders_and_the_other_norm() {
    rounds(&eager(Overlap::Any));
    rounds(&Hermes {
        norm: Norm::L2,
        ..eager(Overlap::All)
    });
}

#[test]
fn units_only_go_stop_at_the_target_and_what_is_pruned_is_zero_and_never_travels() {
    for overlap in [Overlap::All, Overlap::Any] {
        let method = eager(overlap);
        let mut toy = whole(&method);
        let mut before = vec![true; HIDDEN];
        let mut counts = Vec::new();
        for round in 1..=5 {
            toy.open();
            for k in [0, 1] {
                let (task, work) = toy.ask(k);
                if round > 1 {
                    holds_nothing_else(&task, &toy);
                }
                holds_nothing_else(&work.report, &toy);
                let report = toy.received(k, work.report);
                toy.server.receive(&report).unwrap();
            }
            toy.close();
            let now = hidden(&toy, 1);
            assert!(now.iter().zip(&before).all(|(now, before)| !now | before));
            counts.push(now.iter().filter(|kept| **kept).count());
            before = now;
        }
        assert_eq!(counts, [3, 2, 2, 2, 2]);
    }
}

/// Two of four units: 2 · 3 + 2 + 3 · 2 + 3 parameters, and one bit a unit.
#[test]
fn a_pruned_network_has_the_size_of_what_is_left() {
    let method = eager(Overlap::All);
    let mut toy = whole(&method);
    toy.round(&[0]);
    toy.open();
    let (_, work) = toy.ask(0);
    let parameters = (2 * INPUTS + 2 + CLASSES * 2 + CLASSES) as u64;
    assert_eq!(work.report.wire_bytes().0, 8 + 4 * parameters + 1);
}

#[test]
fn a_layer_keeps_its_last_unit() {
    let method = Hermes {
        prune_rate: 0.9,
        target: 0.99,
        ..eager(Overlap::All)
    };
    let mut toy = whole(&method);
    for _ in 0..3 {
        toy.round(&[0]);
    }
    assert_eq!(hidden(&toy, 0).iter().filter(|kept| **kept).count(), 1);
}

#[test]
fn below_the_threshold_nobody_prunes_and_it_is_fedavg() {
    let method = Hermes {
        acc_threshold: 1.0,
        ..eager(Overlap::All)
    };
    let average = crate::method::fedavg::FedAvg::default();
    let (mut a, mut b) = (whole(&method), whole(&average));
    for cohort in [[0, 1, 2], [2, 0, 1]] {
        a.round(&cohort);
        b.round(&cohort);
        assert!(a.model().distance_squared(&b.model()).unwrap() < 1e-12);
    }
}

#[test]
fn a_mask_of_single_values_or_of_other_units_is_refused() {
    let method = eager(Overlap::All);
    let mut toy = whole(&method);
    toy.round(&[0]);
    toy.open();
    let single = Masked::new(toy.model(), ValueMask::all(PARAMETERS)).unwrap();
    let report = toy.received(0, Payload::Masked(single));
    assert_eq!(
        toy.server.receive(&report).unwrap_err().to_string(),
        "expected a mask of units, got one of single values"
    );
    let model = toy.input(0, Payload::Nothing).model;
    let units = vec![vec![true; INPUTS], vec![true; HIDDEN], vec![true; CLASSES]];
    let all = Masked::new(toy.model(), ValueMask::of_units(&model, units)).unwrap();
    let report = toy.received(0, Payload::Masked(all));
    assert_eq!(
        toy.server.receive(&report).unwrap_err().to_string(),
        "expected units of the client's last network, got others"
    );
}

#[test]
fn shares_outside_their_range_are_refused() {
    let bad = Hermes {
        target: -0.1,
        ..Hermes::default()
    };
    assert_eq!(bad.check(&local())[0].0, "target");
}
