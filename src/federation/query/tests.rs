//! Statistics are those of the aggregated model, whoever trained what.

use super::*;
use crate::federation::testing::{run, Heard};
use crate::federation::Federation;
use crate::learn::{evaluate, Scratch};
use crate::run::assemble;
use crate::scenario::Scenario;
use std::path::Path;

fn scenario(text: &str) -> Scenario {
    let scenario = Scenario::parse(text, Path::new("s.ron"), &[]);
    scenario.unwrap_or_else(|problems| panic!("{problems:#}"))
}

const NETWORK: &str =
    "Conv(out: 4, kernel: 3), BatchNorm, Relu, Conv(out: 4, kernel: 3), BatchNorm,
    Relu, EXIT Flatten, Dense(10)";

/// Six clients with skewed data that all take part, with the widths that `size` says.
fn text(method: &str, size: &str, lr: f64, further: &str) -> String {
    let exit = match method.starts_with("DepthFL") {
        true => {
            "Exit(head: [Flatten, Dense(10)]), Conv(out: 4, kernel: 3, padding: 1), BatchNorm, Relu,"
        }
        false => "",
    };
    format!(
        "(seed: 3, data: Digits, partition: (by: Dirichlet(alpha: 0.5), min_per_client: 9, holdout: 0.2),
        model: [{}], training: (epochs: 1, batch: 16, optimizer: Sgd(lr: {lr})), method: {method},
        population: [(count: 6, size: {size})], schedule: (rounds: 1, cohort: 6),
        record: (model: Every(1)), {further})",
        NETWORK.replace("EXIT", exit)
    )
}

fn ran(text: &str) -> Heard {
    let (heard, summary) = run(&scenario(text));
    summary.unwrap();
    assert_eq!(heard.fatal, None);
    heard
}

/// The statistics in the recorded model of a width, tensor after tensor.
fn statistics_in(heard: &Heard, level: usize) -> Vec<f32> {
    let weights = heard.weights.last().unwrap();
    let (_, set) = weights.sets.iter().find(|(own, _)| *own == level).unwrap();
    let values = set.as_slice().unwrap();
    let entries = set.layout().entries().iter();
    let entries = entries.filter(|entry| entry.role.part.is_statistic());
    entries
        .flat_map(|entry| values[entry.offset..entry.offset + entry.len].to_vec())
        .collect()
}

/// Nothing is learned, so the aggregated model is the initial one, whatever parts of it clients had.
#[test]
fn where_nothing_is_learned_statistics_and_test_loss_do_not_depend_on_the_widths_of_clients() {
    for method in [
        "HeteroFL",
        "FedRolex",
        "FedDropout",
        "FjORD",
        "DepthFL",
        "TailorFL",
    ] {
        let all = ["1.0", "Drawn([1, 0.5])", "0.5"].map(|size| {
            let heard = ran(&text(&format!("{method}()"), size, 0.0, ""));
            assert_eq!(heard.rounds[0].reported, 6, "{method} {size}");
            (heard.rounds[0].loss.unwrap(), statistics_in(&heard, 0))
        });
        let (loss, statistics) = &all[0];
        assert!(loss.is_finite() && !statistics.is_empty());
        // They are measured: no channel is given numbers of mean 0 and mean square 1.
        assert!(statistics
            .iter()
            .all(|value| *value != 0.0 && *value != 1.0));
        for (other, found) in &all[1..] {
            // Means of equal weights are rounded, by a few units of the last place.
            assert!((loss - other).abs() < 1e-6, "{method}: {loss} and {other}");
            for (a, b) in statistics.iter().zip(found) {
                let apart = (a - b).abs();
                assert!(apart <= 1e-6 * a.abs().max(1.0), "{method}: {a} and {b}");
            }
        }
    }
}

/// A network of two convolutions in double precision: what each normalisation is given, in sums over
/// the batches.
struct Reference {
    /// For each normalisation and channel, the sums of values and of squares.
    sums: [Vec<[f64; 2]>; 2],
    counts: [f64; 2],
}

/// Images as `[sample][channel][place]`, with the length of a side.
type Images = (Vec<Vec<Vec<f64>>>, usize);

fn convolved((images, side): &Images, weight: &[f64], bias: &[f64]) -> Images {
    let channels = images[0].len();
    let out = side - 2;
    let value = |image: &[Vec<f64>], filter: usize, y: usize, x: usize| {
        let mut sum = bias[filter];
        for (c, plane) in image.iter().enumerate() {
            for dy in 0..3 {
                for dx in 0..3 {
                    let w = weight[(filter * channels + c) * 9 + dy * 3 + dx];
                    sum += w * plane[(y + dy) * side + x + dx];
                }
            }
        }
        sum
    };
    let each = images.iter().map(|image| {
        let planes = (0..bias.len()).map(|filter| {
            let places = (0..out * out).map(|at| value(image, filter, at / out, at % out));
            places.collect()
        });
        planes.collect()
    });
    (each.collect(), out)
}

impl Reference {
    /// Counts what normalisation `number` is given; returns it normalised by the batch, above 0.
    fn normalised(
        &mut self,
        number: usize,
        (mut images, side): Images,
        scale: &[f64],
        shift: &[f64],
    ) -> Images {
        let n = (images.len() * side * side) as f64;
        self.counts[number] += n;
        for channel in 0..images[0].len() {
            let all = || images.iter().flat_map(|image| image[channel].iter());
            let sum: f64 = all().sum();
            let squares: f64 = all().map(|v| v * v).sum();
            self.sums[number][channel][0] += sum;
            self.sums[number][channel][1] += squares;
            let mean = sum / n;
            let variance = all().map(|v| (v - mean).powi(2)).sum::<f64>() / n;
            for image in &mut images {
                for v in &mut image[channel] {
                    let unit = (*v - mean) / (variance + 1e-5).sqrt();
                    *v = (unit * scale[channel] + shift[channel]).max(0.0);
                }
            }
        }
        (images, side)
    }
}

/// The model that was aggregated, on the batches of all clients, one client after the other.
#[test]
fn queried_statistics_are_those_of_a_float64_reference() {
    let text = text("HeteroFL()", "Drawn([1, 0.5])", 0.1, "");
    let heard = ran(&text);
    let federation = assemble(&scenario(&text), Default::default()).unwrap();
    let plan = federation.plan();
    let (_, set) = &heard.weights[0].sets[0];
    let values: Vec<f64> = set
        .as_slice()
        .unwrap()
        .iter()
        .map(|&v| f64::from(v))
        .collect();
    let entries = set.layout().entries();
    let tensor = |entry: usize| &values[entries[entry].offset..][..entries[entry].len];
    let names: Vec<&str> = entries
        .iter()
        .map(|e| e.name.rsplit('.').next().unwrap())
        .collect();
    let norm = ["weight", "bias", "weight", "bias", "mean", "square"];
    assert_eq!(names[..12], [norm, norm].concat());

    let mut reference = Reference {
        sums: [vec![[0.0; 2]; 4], vec![[0.0; 2]; 4]],
        counts: [0.0; 2],
    };
    for client in 0..6 {
        for batch in plan.partition.client(client).chunks(16) {
            let x = plan.train.batch(batch, false).unwrap();
            let mut flat = vec![0f32; x.numel()];
            x.copy_data(&mut flat, x.numel());
            let images = flat.chunks(64);
            let images = images.map(|one| vec![one.iter().map(|&v| f64::from(v)).collect()]);
            let x = (images.collect(), 8);
            let x = convolved(&x, tensor(0), tensor(1));
            let x = reference.normalised(0, x, tensor(2), tensor(3));
            let x = convolved(&x, tensor(6), tensor(7));
            reference.normalised(1, x, tensor(8), tensor(9));
        }
    }
    let samples = plan.partition.len() as f64;
    assert_eq!(reference.counts, [samples * 36.0, samples * 16.0]);
    for (number, (mean, square)) in [(4, 5), (10, 11)].into_iter().enumerate() {
        for channel in 0..4 {
            let [sum, squares] = reference.sums[number][channel];
            let n = reference.counts[number];
            for (found, expected) in [
                (tensor(mean)[channel], sum / n),
                (tensor(square)[channel], squares / n),
            ] {
                let apart = (found - expected).abs();
                assert!(
                    apart < 2e-6 * expected.abs().max(1.0),
                    "normalisation {number}, channel {channel}: {found} against {expected}"
                );
            }
        }
    }
}

/// The models that are written are the ones that were measured, at every width.
#[test]
fn recorded_models_have_the_statistics_that_the_evaluation_used() {
    let further = "evaluation: (every: 2, per_client: true)";
    let text = text("HeteroFL()", "Drawn([1, 0.5])", 0.1, further);
    let text = text.replace("rounds: 1", "rounds: 3");
    let heard = ran(&text);
    let federation = assemble(&scenario(&text), Default::default()).unwrap();
    let (plan, sizes) = (federation.plan(), federation.sizes());
    let all: Vec<u32> = (0..plan.test.len() as u32).collect();
    assert_eq!((heard.rounds.len(), heard.weights.len()), (3, 3));
    for (row, weights) in heard.rounds.iter().zip(&heard.weights) {
        let measured = row.round != 1;
        assert_eq!(row.loss.is_some(), measured);
        for (level, set) in &weights.sets {
            let model = &sizes.levels()[*level].model;
            let found = evaluate(model, set, &plan.test, &all, 64, None).unwrap();
            if !measured {
                // Its statistics are measured for the file alone, and are of use.
                assert!(found.mean_loss() < 4.0, "{}", found.mean_loss());
                continue;
            }
            let sizes = heard.sizes.iter();
            let of_round = sizes.filter(|size| size.round == row.round);
            let loss = of_round.clone().nth(*level).unwrap().loss.unwrap();
            assert!((found.mean_loss() - loss).abs() < 1e-9, "{level}");
        }
    }
}

/// A model that is written without having been evaluated is measured aside: the run stays the same.
#[test]
fn writing_models_that_were_not_evaluated_changes_nothing_in_the_run() {
    let text = text(
        "HeteroFL()",
        "Drawn([1, 0.5])",
        0.1,
        "evaluation: (every: 3, by_size: false)",
    );
    let text = text.replace("rounds: 1", "rounds: 4");
    let (_, with) = run(&scenario(&text));
    let (_, without) = run(&scenario(&text.replace("record: (model: Every(1)),", "")));
    assert_eq!(with.unwrap().hash, without.unwrap().hash);
}

/// The pieces of a query take numbers in the server's sequence, which a modelled run passes over.
#[test]
fn a_modelled_run_has_the_times_of_the_real_one() {
    let text = text(
        "HeteroFL()",
        "Drawn([1, 0.5])",
        0.1,
        "evaluation: (every: 2)",
    );
    let text = text
        .replace("rounds: 1", "rounds: 4")
        .replace("record: (model: Every(1)),", "")
        .replace("count: 6,", "count: 6, link: \"wifi\",");
    let (real, modelled) = (
        ran(&text),
        ran(&text.replace("seed: 3", "seed: 3, compute: Modelled")),
    );
    let times = |heard: &Heard| {
        let rounds = heard.rounds.iter();
        let each = rounds.map(|row| (row.started, row.ended, row.bytes_down, row.bytes_up));
        each.collect::<Vec<_>>()
    };
    assert_eq!(times(&real), times(&modelled));
    let asked = real.rounds.iter().map(|row| row.statistics_bytes.is_some());
    assert_eq!(asked.collect::<Vec<_>>(), [false, true, false, true]);
}

/// What a client has on its own device is its own samples.
#[test]
fn a_clients_own_model_is_measured_with_the_statistics_of_its_own_samples() {
    let further = "evaluation: (per_client: true)";
    let built = federation(&text("HeteroFL(masked_loss: false)", "0.5", 0.1, further));
    let shared = built.shared();
    let (plan, level) = (&shared.plan, &shared.sizes.levels()[1]);
    let start = level.model.init(1, plan.init).unwrap();
    let local = &shared.local[0];
    let train = shared.train_samples(2, 1);
    let task = Payload::Model(start.clone());
    let input = shared.input(
        (2, 1),
        Arc::clone(local),
        train.clone(),
        task,
        Default::default(),
    );
    let work = shared.client_half.run(&input, &mut Scratch::new()).unwrap();
    let trained = work.report.as_model().unwrap();
    let figures = work.metrics.held_out.unwrap();
    let measured = |params: &ParamSet| {
        let batches = train.as_slice().chunks(16);
        let found = statistics(&level.model, params, &plan.train, batches).unwrap();
        let params = with_statistics(&level.model, params, &found).unwrap();
        let own = input.holdout.as_slice();
        let found = evaluate(&level.model, &params, &plan.train, own, 64, None);
        found.unwrap().correct as u32
    };
    assert_eq!(
        (figures.received, figures.trained),
        (measured(&start), measured(trained))
    );
    // What it reports has the statistics of its task, which do not travel.
    let (before, after) = (start.as_slice().unwrap(), trained.as_slice().unwrap());
    assert_ne!(before, after);
    for entry in start.layout().entries() {
        if entry.role.part.is_statistic() {
            let place = entry.offset..entry.offset + entry.len;
            assert_eq!(before[place.clone()], after[place]);
        }
    }
    // Three passes for each sample of one epoch, and none for statistics.
    let flops = 3 * level.model.forward_flops().0 * train.len() as u64;
    assert_eq!(
        Cost::training(&level.model, local, train.len(), 0).flops.0,
        flops
    );
}

fn federation(text: &str) -> Federation {
    assemble(&scenario(text), Default::default()).unwrap()
}

#[test]
fn the_bytes_of_a_query_are_told_apart_from_those_of_the_round() {
    let whole = text("HeteroFL(masked_loss: false)", "1.0", 0.1, "");
    let heard = ran(&whole);
    let built = federation(&whole);
    let model = &built.plan().model;
    // Two normalisations of four channels have a mean and a mean square each.
    let learned = (model.parameters() - 16) as u64;
    let row = &heard.rounds[0];
    // Six models there and back, in payloads (8 bytes) in envelopes (16 bytes), without statistics.
    assert_eq!(
        (row.bytes_down, row.bytes_up),
        (6 * (24 + 4 * learned), 6 * (24 + 4 * learned))
    );
    assert_eq!(
        row.statistics_bytes,
        Some(6 * (24 + 4 * learned + 24 + 4 * 16))
    );
    // FedAvg's clients measure, and send what they have measured.
    let averaged = ran(&whole
        .replace("HeteroFL(masked_loss: false)", "FedAvg()")
        .replace(", size: 1.0", ""));
    let row = &averaged.rounds[0];
    assert_eq!(
        (row.bytes_up, row.statistics_bytes),
        (6 * (24 + 4 * (learned + 16)), None)
    );
}

#[test]
fn no_more_clients_are_asked_than_the_scenario_says_and_those_at_equal_distances() {
    assert_eq!(evenly(&[1, 2, 3], 3), [1, 2, 3]);
    assert_eq!(evenly(&[3, 5, 7, 9, 11, 13, 15], 3), [3, 7, 11]);
    assert!(evenly(&[], 3).is_empty());
    let whole = federation(&text("HeteroFL()", "1.0", 0.1, ""));
    let few = federation(&text(
        "HeteroFL()",
        "1.0",
        0.1,
        "evaluation: (statistics_clients: 2)",
    ));
    let samples = |federation: &Federation| federation.shared().query.samples();
    let size = |client| few.plan().partition.size(client) as u64;
    assert_eq!(samples(&few), size(0) + size(3));
    assert_eq!(samples(&whole), few.plan().partition.len() as u64);
    let bytes = |federation: &Federation| {
        let shared = federation.shared();
        shared.query.bytes(&shared.sizes.levels()[0])
    };
    assert_eq!(3 * bytes(&few), bytes(&whole));
}

/// Batches of 16 of about 1,400 samples, in pieces of about 512, at two widths.
#[test]
fn a_query_has_as_many_pieces_as_it_counts() {
    let built = federation(&text("HeteroFL()", "Drawn([1, 0.5])", 0.1, ""));
    let shared = built.shared();
    let query = &shared.query;
    assert_eq!(query.levels(), [0, 1]);
    let mut count = 0;
    let mut samples = 0;
    for &level in query.levels() {
        let model = &shared.sizes.levels()[level].model;
        let params = model.init(1, Default::default()).unwrap();
        for piece in query.pieces(&shared.plan, &shared.sizes, level, &params) {
            count += 1;
            let own: usize = piece.batches.iter().map(Samples::len).sum();
            assert!(own < PIECE + 16);
            samples += own as u64;
        }
    }
    assert!(count > 4, "{count}");
    assert_eq!((query.count(), 2 * query.samples()), (count, samples));
    let without = text("HeteroFL()", "Drawn([1, 0.5])", 0.1, "").replace("BatchNorm,", "");
    assert_eq!(federation(&without).shared().query.count(), 0);
}

#[test]
fn a_setting_that_would_do_nothing_is_refused() {
    let said = |text: &str| {
        let problems = Scenario::parse(text, Path::new("s.ron"), &[]).unwrap_err();
        let all: Vec<String> = problems
            .iter()
            .map(|problem| format!("{}: {}", problem.path, problem.message))
            .collect();
        all.join("; ")
    };
    let asked = "evaluation: (statistics_clients: 5)";
    let averaged = text("FedAvg()", "1.0", 0.1, asked);
    assert!(
        said(&averaged).starts_with("evaluation.statistics_clients: FedAvg has no statistics"),
        "{}",
        said(&averaged)
    );
    let plain = text("HeteroFL()", "0.5", 0.1, asked).replace("BatchNorm,", "");
    assert!(
        said(&plain).contains("a network with BatchNorm"),
        "{}",
        said(&plain)
    );
    let none = text(
        "HeteroFL()",
        "0.5",
        0.1,
        "evaluation: (statistics_clients: 0)",
    );
    assert_eq!(
        said(&none),
        "evaluation.statistics_clients: expected a number of clients of 1 or more, found 0"
    );
}
