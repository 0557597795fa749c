use super::*;
use crate::method::testing::narrow::{start, HIDDEN, PARAMETERS};
use crate::method::testing::pruned::{holds_nothing_else, mean, train, under, whole};
use crate::method::testing::{close, local, size, Toy, CLASSES, INPUTS};

/// Prunes at every chance: 3, 2 and 1 of the 12 weights of each layer.
fn eager() -> LotteryFl {
    LotteryFl {
        prune_rate: 0.25,
        target: 0.5,
        acc_threshold: 0.0,
        ..LotteryFl::default()
    }
}

/// Places of each layer's weights, biases left out.
fn layers() -> [Vec<usize>; 2] {
    let second = HIDDEN * INPUTS + HIDDEN;
    [
        (0..HIDDEN * INPUTS).collect(),
        (second..second + CLASSES * HIDDEN).collect(),
    ]
}

fn mask(toy: &Toy, client: u32) -> Vec<bool> {
    toy.kept(client, MASK).as_mask(PARAMETERS).unwrap().to_vec()
}

#[test]
fn rounds_are_those_of_a_float64_reference() {
    for weighting in [Weighting::Uniform, Weighting::Samples] {
        let method = LotteryFl {
            weighting,
            ..eager()
        };
        let mut toy = whole(&method);
        let mut global = start().to_vec();
        let mut masks = vec![vec![true; PARAMETERS]; 3];
        // Client 2 comes when the global model is no longer the initial one.
        let cohorts = [
            vec![0u32, 1],
            vec![0, 2],
            vec![2, 1, 0],
            vec![0, 1],
            vec![0, 2],
        ];
        for (round, cohort) in (1u32..).zip(cohorts) {
            toy.round(&cohort);
            let parts = cohort.iter().map(|&k| {
                let kept = &mut masks[k as usize];
                let received = under(&global, kept);
                let mut pruned = false;
                for layer in layers() {
                    let mut left: Vec<usize> = layer.into_iter().filter(|&i| kept[i]).collect();
                    let quarter = (left.len() / 4).min(6 - (12 - left.len()));
                    left.sort_by(|&a, &b| received[a].abs().total_cmp(&received[b].abs()));
                    left.iter().take(quarter).for_each(|&i| kept[i] = false);
                    pruned |= quarter > 0;
                }
                let from = if pruned { start().to_vec() } else { received };
                let weight = match weighting {
                    Weighting::Uniform => 1.0,
                    Weighting::Samples => size(k),
                };
                (train(&from, kept, k, round), kept.clone(), weight)
            });
            let parts: Vec<_> = parts.collect();
            global = mean(&global, &parts);
            close(&toy.model(), &global);
            for &k in &cohort {
                assert_eq!(
                    mask(&toy, k),
                    masks[k as usize],
                    "client {k}, round {round}"
                );
            }
        }
        let pruned = |k: usize| masks[k].iter().filter(|kept| !**kept).count();
        assert_eq!([pruned(0), pruned(1), pruned(2)], [12, 12, 12]);
    }
}

#[test]
fn masks_only_shrink_stop_at_the_target_and_what_is_pruned_is_zero_and_never_travels() {
    let method = eager();
    let mut toy = whole(&method);
    let mut before = vec![true; PARAMETERS];
    let mut counts = Vec::new();
    for _ in 0..6 {
        toy.open();
        let (task, work) = toy.ask(1);
        if let Payload::Masked(_) = task {
            holds_nothing_else(&task, &toy);
        }
        holds_nothing_else(&work.report, &toy);
        let now = mask(&toy, 1);
        assert!(now.iter().zip(&before).all(|(now, before)| !now | before));
        let kept = |i: &usize| now[*i];
        assert!((0..PARAMETERS)
            .filter(|i| !layers().concat().contains(i))
            .all(|i| kept(&i)));
        counts.push(now.iter().filter(|kept| !**kept).count());
        before = now;
        let report = toy.received(1, work.report);
        toy.server.receive(&report).unwrap();
        toy.close();
    }
    assert_eq!(counts, [6, 10, 12, 12, 12, 12]);
}

#[test]
fn below_the_threshold_nobody_prunes_and_it_is_fedavg() {
    let method = LotteryFl {
        acc_threshold: 1.0,
        weighting: Weighting::Samples,
        ..eager()
    };
    let average = crate::method::fedavg::FedAvg::default();
    let (mut a, mut b) = (whole(&method), whole(&average));
    for cohort in [[0, 1, 2], [2, 0, 1]] {
        a.round(&cohort);
        b.round(&cohort);
        assert!(a.model().distance_squared(&b.model()).unwrap() < 1e-12);
    }
    assert_eq!(mask(&a, 0), [true; PARAMETERS]);
}

#[test]
fn a_client_that_comes_late_is_sent_what_to_go_back_to() {
    let method = eager();
    let mut toy = whole(&method);
    toy.round(&[0]);
    toy.open();
    let task = toy.server.task(1, 2).unwrap();
    let [global, initial] = task.as_parts().unwrap();
    close(initial.as_model().unwrap(), &start());
    assert!(global.as_model().unwrap().same(&toy.model()));
    // One vector, whoever keeps it.
    toy.ask(0);
    assert!(toy
        .kept(0, INITIAL)
        .as_model()
        .unwrap()
        .same(initial.as_model().unwrap()));
}

#[test]
fn a_report_that_goes_beyond_its_mask_is_refused() {
    let method = eager();
    let mut toy = whole(&method);
    toy.round(&[0]);
    toy.open();
    let all = Masked::new(toy.model(), ValueMask::all(PARAMETERS)).unwrap();
    let report = toy.received(0, Payload::Masked(all.clone()));
    assert_eq!(
        toy.server.receive(&report).unwrap_err().to_string(),
        "expected a mask within the client's last, got one that goes beyond it"
    );
    let other = toy.received(1, Payload::Masked(all));
    assert!(toy.server.receive(&other).is_ok());
}

#[test]
fn shares_outside_their_range_are_refused() {
    let bad = LotteryFl {
        prune_rate: 0.0,
        target: 1.0,
        acc_threshold: 1.5,
        ..LotteryFl::default()
    };
    let problems = bad.check(&local());
    let names: Vec<&str> = problems.iter().map(|p| p.0).collect();
    assert_eq!(names, ["prune_rate", "target", "acc_threshold"]);
}
