//! Jobs of clients with random samples, trained outside the engine.

use shoal::learn::{
    Correction, DeviceData, Features, HostDevice, LocalTraining, Normalisation, TrainJob,
};
use shoal::model::{Initializer, LayerSpec, Model};
use std::sync::Arc;

/// Jobs of `clients` clients with `samples` samples each: one epoch of plain SGD in batches of ten.
pub fn jobs(
    layers: &[LayerSpec],
    shape: &[usize],
    (clients, samples): (u32, u32),
    device: HostDevice,
) -> Vec<TrainJob> {
    let device = device.open().expect("the device of the bench");
    let model = Arc::new(Model::build(layers, shape, 10).expect("a sound network"));
    let all = clients * samples;
    let values = all as usize * shape.iter().product::<usize>();
    let raw = (0..values).map(|i| (i * 7919 % 251) as u8);
    let normal = Normalisation {
        scale: 1.0 / 255.0,
        mean: vec![0.5],
        std: vec![0.25],
    };
    let labels = (0..all).map(|i| i % 10).collect();
    let features = Features::U8(raw.collect());
    let data = DeviceData::new(shape, features, normal, labels, 10, device);
    let data = Arc::new(data.expect("room for the samples"));
    let start = model.init(1, Initializer::PyTorch).expect("room");
    let start = start.to_device(device).expect("room");
    let job = |client: u32| TrainJob {
        model: Arc::clone(&model),
        start: start.clone(),
        data: Arc::clone(&data),
        samples: (client * samples..(client + 1) * samples)
            .collect::<Vec<u32>>()
            .into(),
        local: LocalTraining::sgd(0.01),
        round: 0,
        seed: 1,
        client: u64::from(client),
        correction: Correction::default(),
    };
    (0..clients).map(job).collect()
}
