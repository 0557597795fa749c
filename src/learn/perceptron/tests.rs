use super::*;
use crate::learn::{
    Amount, Correction, DeviceData, Features, LocalTraining, Normalisation, Schedule,
};
use crate::model::LayerSpec;
use std::sync::Arc;
use tch::Device;

const WIDTHS: [usize; 3] = [7, 5, 3];
const RATE: f64 = 0.2;

/// 75 samples in batches of `batch` under a network of 7, 5 and 3 units with a ReLU between.
fn job(batch: usize) -> TrainJob {
    let [inputs, hidden, classes] = WIDTHS;
    let layers = [
        LayerSpec::dense(hidden),
        LayerSpec::Relu,
        LayerSpec::dense(classes),
    ];
    let model = Model::build(&layers, &[inputs], classes).unwrap();
    let value = |i: usize| ((i * 7919 % 211) as f32 - 105.0) / 100.0;
    let start: Vec<f32> = (0..model.layout().total()).map(value).collect();
    let data = DeviceData::new(
        &[inputs],
        Features::F32((0..75 * inputs).map(|i| value(3 * i + 1)).collect()),
        Normalisation {
            scale: 1.0,
            mean: vec![0.0],
            std: vec![1.0],
        },
        (0..75).map(|i| i * i % classes as u32).collect(),
        classes,
        Device::Cpu,
    );
    TrainJob {
        start: ParamSet::from_slice(model.layout(), &start).unwrap(),
        model: Arc::new(model),
        data: Arc::new(data.unwrap()),
        samples: (0..75).collect::<Vec<u32>>().into(),
        local: LocalTraining {
            amount: Amount::Epochs(2),
            batch,
            optimizer: Optimizer::Sgd {
                lr: RATE,
                momentum: 0.0,
                nesterov: false,
                weight_decay: 0.0,
            },
            schedule: Schedule::Constant,
            clip: None,
            precision: crate::learn::Precision::Single,
        },
        round: 1,
        seed: 5,
        client: 2,
        correction: Correction::default(),
    }
}

/// The weights after the job's steps in double precision, one step after the other.
fn by_hand(job: &TrainJob) -> Vec<f64> {
    let [inputs, hidden, classes] = WIDTHS;
    let mut w: Vec<f64> = job
        .start
        .as_slice()
        .unwrap()
        .iter()
        .map(|&v| v.into())
        .collect();
    let (first, second) = (inputs * hidden, inputs * hidden + hidden);
    let last = second + hidden * classes;
    let mut course = Course::of(job);
    while let Some(samples) = course.next() {
        let mut x = vec![0.0f32; samples.len() * inputs];
        let mut labels = Vec::new();
        job.data.gather(samples, &mut x).unwrap();
        job.data.labels_of(samples, &mut labels).unwrap();
        let mut gradient = vec![0.0; w.len()];
        for (x, &label) in x.chunks(inputs).zip(&labels) {
            let x: Vec<f64> = x.iter().map(|&v| v.into()).collect();
            let layer = |x: &[f64], w: &[f64], bias: &[f64]| -> Vec<f64> {
                let dot = |row: &[f64]| row.iter().zip(x).map(|(w, x)| w * x).sum::<f64>();
                w.chunks(x.len())
                    .zip(bias)
                    .map(|(row, b)| dot(row) + b)
                    .collect()
            };
            let z = layer(&x, &w[..first], &w[first..second]);
            let h: Vec<f64> = z.iter().map(|z| z.max(0.0)).collect();
            let scores = layer(&h, &w[second..last], &w[last..]);
            let total: f64 = scores.iter().map(|s| s.exp()).sum();
            for class in 0..classes {
                let target = f64::from(u8::from(class == label as usize));
                let g = (scores[class].exp() / total - target) / samples.len() as f64;
                gradient[last + class] += g;
                for unit in 0..hidden {
                    gradient[second + class * hidden + unit] += g * h[unit];
                    if z[unit] > 0.0 {
                        let g = g * w[second + class * hidden + unit];
                        gradient[first + unit] += g;
                        for (i, x) in x.iter().enumerate() {
                            gradient[unit * inputs + i] += g * x;
                        }
                    }
                }
            }
        }
        for (w, g) in w.iter_mut().zip(&gradient) {
            *w -= RATE * g;
        }
    }
    w
}

#[test]
fn every_step_is_that_of_double_precision() {
    // Batches of one sample, of all whole registers, with a shorter last batch, and the largest.
    for batch in [1, 4, 10, 16, 17, 32] {
        let job = job(batch);
        let Some(network) = Perceptron::of(&job.model, batch) else {
            return; // No AVX2 here: torch trains these networks.
        };
        let mut workspace = Workspace::default();
        let mut walk = Walk {
            job: &job,
            masks: MaskSource::new(job.seed, job.client, job.round),
            progress: Progress::default(),
        };
        let trained = network.descend(&mut walk, &mut workspace).unwrap();
        let expected = by_hand(&job);
        for (got, expected) in trained.as_slice().unwrap().iter().zip(&expected) {
            let apart = (f64::from(*got) - expected).abs();
            assert!(apart < 2e-5, "batch {batch}: {got} against {expected}");
        }
        assert_eq!(walk.progress.seen, 150);
    }
}
