use super::*;
use crate::method::local_only::LocalOnly;
use crate::method::testing::narrow::{toy, NarrowDescent, HIDDEN};
use crate::method::testing::{
    close, feature, label, local, samples_of, size, Toy, BATCH as LOCAL_BATCH, CLASSES, INPUTS,
    SEED,
};
use crate::model::{Initializer, Model};

const RATIOS: [f64; 3] = [1.0, 0.5, 0.25];

fn small() -> FedMd {
    FedMd {
        subset: 5,
        digest_epochs: 2,
        digest_batch: 2,
        transfer_public_epochs: 2,
        transfer_private_epochs: 1,
        ..FedMd::default()
    }
}

/// Where client `k` begins.
fn drawn(model: &Model, k: u32) -> Vec<f64> {
    let seed = mix_words(&[SEED, u64::from(k)]);
    let set = model.init(seed, Initializer::PyTorch).unwrap();
    set.as_slice()
        .unwrap()
        .iter()
        .map(|&v| f64::from(v))
        .collect()
}

/// The narrow network in double precision: hidden values and scores of sample `s`.
fn forward(w: &[f64], s: u32) -> (Vec<f64>, Vec<f64>) {
    let hidden = (w.len() - CLASSES) / (INPUTS + 1 + CLASSES);
    let unit = |u: usize| -> f64 {
        let sum: f64 = (0..INPUTS).map(|j| w[u * INPUTS + j] * feature(s, j)).sum();
        (sum + w[hidden * INPUTS + u]).max(0.0)
    };
    let h: Vec<f64> = (0..hidden).map(unit).collect();
    let second = hidden * INPUTS + hidden;
    let score = |c: usize| -> f64 {
        let sum: f64 = (0..hidden).map(|u| w[second + c * hidden + u] * h[u]).sum();
        sum + w[second + CLASSES * hidden + c]
    };
    let scores = (0..CLASSES).map(score).collect();
    (h, scores)
}

/// Gradient of the mean over the batch of the mean absolute difference from `targets`.
fn towards(w: &[f64], batch: &[(u32, Vec<f64>)]) -> Vec<f64> {
    let hidden = (w.len() - CLASSES) / (INPUTS + 1 + CLASSES);
    let second = hidden * INPUTS + hidden;
    let mut g = vec![0.0; w.len()];
    for (s, target) in batch {
        let (h, scores) = forward(w, *s);
        let share = 1.0 / (batch.len() * CLASSES) as f64;
        let d: Vec<f64> = (0..CLASSES)
            .map(|c| (scores[c] - target[c]).signum() * share)
            .collect();
        for c in 0..CLASSES {
            (0..hidden).for_each(|u| g[second + c * hidden + u] += d[c] * h[u]);
            g[second + CLASSES * hidden + c] += d[c];
        }
        for u in (0..hidden).filter(|&u| h[u] > 0.0) {
            let back: f64 = (0..CLASSES)
                .map(|c| d[c] * w[second + c * hidden + u])
                .sum();
            (0..INPUTS).for_each(|j| g[u * INPUTS + j] += back * feature(*s, j));
            g[hidden * INPUTS + u] += back;
        }
    }
    g
}

/// Passes of SGD over `items`, in the order of the named stream.
fn passes<T: Clone>(
    w: &mut [f64],
    items: &[T],
    (epochs, batch): (usize, usize),
    (streams, round): (u64, u32),
    gradient: impl Fn(&[f64], &[T]) -> Vec<f64>,
) {
    let mut rng = stream(SEED, streams, Purpose::Shuffle, u64::from(round - 1));
    let mut items = items.to_vec();
    for _ in 0..epochs {
        shuffle(&mut rng, &mut items);
        for chosen in items.chunks(batch) {
            let g = gradient(w, chosen);
            w.iter_mut().zip(g).for_each(|(w, g)| *w -= 0.25 * g);
        }
    }
}

#[test]
fn three_rounds_of_three_widths_are_those_of_a_float64_reference() {
    let method = small();
    let mut toy = toy(&method, &local(), RATIOS);
    let public = toy.input(0, Payload::Nothing).public.unwrap();
    let public = public.train.as_slice();
    let mut own: Vec<Option<Vec<f64>>> = vec![None; 3];
    let mut consensus: Vec<(u32, Vec<f64>)> = Vec::new();
    // Client 2 is new in the second round, when there is a consensus already.
    for (round, cohort) in (1u32..).zip([vec![0u32, 1], vec![2, 0, 1], vec![2, 0]]) {
        toy.open();
        let mut asked = Vec::new();
        let mut sums = vec![vec![0.0; CLASSES]; 5];
        for &k in &cohort {
            let (task, work) = toy.ask(k);
            asked = task.as_parts::<3>().unwrap()[2]
                .as_indices()
                .unwrap()
                .to_vec();
            let model = Arc::clone(&toy.input(k, Payload::Nothing).model);
            let labelled = |w: &[f64], batch: &[u32]| NarrowDescent::of_local().gradient(w, batch);
            let (mine, k64) = (samples_of(k), u64::from(k));
            let w = own[k as usize].get_or_insert_with(|| {
                let mut w = drawn(&model, k);
                let like = (2, LOCAL_BATCH);
                passes(&mut w, public, like, (PUBLIC + k64, round), labelled);
                passes(
                    &mut w,
                    &mine,
                    (1, LOCAL_BATCH),
                    (PRIVATE + k64, round),
                    labelled,
                );
                w
            });
            if !consensus.is_empty() {
                passes(w, &consensus, (2, 2), (DIGEST + k64, round), towards);
            }
            passes(w, &mine, (2, LOCAL_BATCH), (k64, round), labelled);
            close(toy.kept(k, MODEL).as_model().unwrap(), w);
            assert_eq!(w.len(), model.parameters());
            for (sum, &s) in sums.iter_mut().zip(&asked) {
                let (_, scores) = forward(w, s);
                sum.iter_mut().zip(scores).for_each(|(a, b)| *a += b);
            }
            let report = toy.received(k, work.report);
            toy.server.receive(&report).unwrap();
        }
        toy.close();
        let mean = |sum: Vec<f64>| sum.iter().map(|v| v / cohort.len() as f64).collect();
        consensus = asked.into_iter().zip(sums.into_iter().map(mean)).collect();
    }
    assert!(toy.server.global().is_none());
}

#[test]
fn the_consensus_is_the_mean_of_the_reports_in_double_precision_weighted_if_wanted() {
    for weighting in [Weighting::Uniform, Weighting::Samples] {
        let method = FedMd {
            weighting,
            ..small()
        };
        let mut toy = toy(&method, &local(), RATIOS);
        toy.open();
        let mut told = Vec::new();
        for k in [0, 1, 2] {
            let (_, work) = toy.ask(k);
            told.push(work.report.as_scores().unwrap().clone());
            let report = toy.received(k, work.report);
            toy.server.receive(&report).unwrap();
        }
        toy.close();
        let task = toy.server.task(0, 1).unwrap();
        let mean = task.as_parts::<3>().unwrap()[1]
            .as_scores()
            .unwrap()
            .clone();
        assert_eq!(mean.indices(), told[0].indices());
        let weight = |k: u32| match weighting {
            Weighting::Uniform => 1.0,
            Weighting::Samples => size(k),
        };
        let total: f64 = (0..3).map(weight).sum();
        for (i, &got) in mean.values().iter().enumerate() {
            let parts = (0..3u32).zip(&told);
            let sum: f64 = parts
                .map(|(k, told)| weight(k) * f64::from(told.values()[i]))
                .sum();
            assert!((f64::from(got) - sum / total).abs() < 1e-6, "{i}");
        }
    }
}

#[test]
fn with_an_empty_subset_and_no_transfer_it_is_stand_alone_training_bit_by_bit() {
    let method = FedMd {
        subset: 0,
        transfer_public_epochs: 0,
        transfer_private_epochs: 0,
        ..FedMd::default()
    };
    let mut toy = Toy::new(&method, &local());
    let model = Arc::clone(&toy.input(1, Payload::Nothing).model);
    let start: Vec<f32> = drawn(&model, 1).iter().map(|&v| v as f32).collect();
    let alone = LocalOnly::default();
    let mut twin = Toy::of_model(&alone, &local(), 3, (*model).clone(), &start, &[]);
    for _ in 0..3 {
        toy.round(&[0, 1, 2]);
        twin.round(&[1]);
        assert_eq!(toy.kept(1, MODEL).digest(), twin.kept(1, "model").digest());
    }
}

#[test]
fn the_public_set_is_paid_for_once_unless_it_was_installed() {
    // Eight public samples of three numbers and a label; five of them a round.
    let (data, asked, scores) = (8 * (3 * 4 + 1), 5 * 4, 5 * 3 * 4);
    for (public_set, first) in [(PublicSet::Sent, data), (PublicSet::Installed, 0)] {
        let method = FedMd {
            public_set,
            ..small()
        };
        let mut toy = toy(&method, &local(), RATIOS);
        toy.open();
        let (task, work) = toy.ask(2);
        assert_eq!(
            task.wire_bytes().0,
            8 + (8 + first) + 8 + (8 + asked),
            "{public_set:?}"
        );
        assert_eq!(work.report.wire_bytes().0, 8 + asked + scores);
        // A lost report: the server cannot know that the set has arrived.
        assert_eq!(
            toy.server.task(2, 1).unwrap().wire_bytes(),
            task.wire_bytes()
        );
        let report = toy.received(2, work.report);
        toy.server.receive(&report).unwrap();
        toy.close();
        toy.open();
        let (task, _) = toy.ask(2);
        assert_eq!(
            task.wire_bytes().0,
            8 + 8 + (8 + asked + scores) + (8 + asked)
        );
    }
}

#[test]
fn every_round_asks_about_other_public_samples_and_all_when_there_are_fewer() {
    let asked = |subset: usize| {
        let method = FedMd { subset, ..small() };
        let mut toy = toy(&method, &local(), RATIOS);
        let public = toy.input(0, Payload::Nothing).public.unwrap();
        let rounds = (0..6).map(|_| {
            toy.open();
            let task = toy.server.task(0, 1).unwrap();
            let asked = task.as_parts::<3>().unwrap()[2].as_indices().unwrap();
            assert!(asked.windows(2).all(|pair| pair[0] < pair[1]));
            assert!(asked.iter().all(|s| public.train.as_slice().contains(s)));
            asked.to_vec()
        });
        rounds.collect::<Vec<_>>()
    };
    let rounds = asked(5);
    assert!(rounds.iter().all(|round| round.len() == 5));
    assert!(rounds.windows(2).any(|pair| pair[0] != pair[1]));
    assert!(asked(99).iter().all(|round| round.len() == 8));
}

/// Multiply-adds count two, biases one; a training step is three forward passes.
#[test]
fn transfer_digestion_and_scores_cost_virtual_time() {
    let method = small();
    let mut toy = toy(&method, &local(), RATIOS);
    let forward = 2 * (HIDDEN * INPUTS + CLASSES * HIDDEN) as u64 + (HIDDEN + CLASSES) as u64;
    toy.open();
    let task = toy.server.task(0, 1).unwrap();
    let input = toy.input(0, task);
    let cost = method.client().beside(&input).unwrap();
    // Eight public samples twice, its own seven once, five to score.
    assert_eq!(cost.flops.0, forward * (3 * (8 * 2 + 7) + 5));
    toy.close();
    toy.round(&[0, 1, 2]);
    toy.open();
    let task = toy.server.task(0, 1).unwrap();
    let input = toy.input(0, task);
    let cost = method.client().beside(&input).unwrap();
    assert_eq!(cost.flops.0, forward * (3 * 5 * 2 + 5));
}

#[test]
fn soft_labels_can_be_digested_instead_and_a_temperature_of_nothing_is_refused() {
    let soft = |temperature| FedMd {
        loss: ScoreLoss::Divergence { temperature },
        ..small()
    };
    let run = |method: &FedMd| {
        let mut toy = toy(method, &local(), RATIOS);
        toy.round(&[0, 1, 2]);
        toy.round(&[0, 1, 2]);
        toy.kept_digest()
    };
    assert_ne!(run(&soft(2.0)), run(&small()));
    assert_ne!(run(&soft(2.0)), run(&soft(1.0)));
    for bad in [0.0, -1.0, f64::NAN] {
        let problems = soft(bad).check(&local());
        assert_eq!(problems[0].0, "loss");
    }
}

#[test]
fn the_labels_of_the_public_set_teach_the_transfer() {
    let with = FedMd {
        transfer_private_epochs: 0,
        ..small()
    };
    let without = FedMd {
        transfer_public_epochs: 0,
        ..with.clone()
    };
    let own = |method: &FedMd| {
        let mut toy = toy(method, &local(), RATIOS);
        toy.round(&[0]);
        toy.kept_digest()
    };
    assert_ne!(own(&with), own(&without));
    let public = toy(&with, &local(), RATIOS)
        .input(0, Payload::Nothing)
        .public
        .unwrap();
    assert!(public.train.as_slice().iter().any(|&s| label(s) != 0));
}

/// The control of the method: with nothing digested, other clients' scores change nothing.
#[test]
fn without_digestion_no_client_depends_on_the_scores_of_others() {
    let after = |digest_epochs, other: u32| {
        let method = FedMd {
            digest_epochs,
            ..small()
        };
        let mut toy = toy(&method, &local(), RATIOS);
        for _ in 0..3 {
            toy.round(&[0, other]);
        }
        toy.kept(0, MODEL).digest()
    };
    assert!(FedMd {
        digest_epochs: 0,
        ..small()
    }
    .check(&local())
    .is_empty());
    assert_eq!(after(0, 1), after(0, 2));
    assert_ne!(after(1, 1), after(1, 2));
}
