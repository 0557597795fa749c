use super::*;

#[test]
fn samples_travel_as_they_are_stored() {
    let plain = Normalisation {
        scale: 1.0,
        mean: vec![0.0],
        std: vec![1.0],
    };
    let bytes = |features, classes| {
        let data = DeviceData::new(
            &[1, 3, 2],
            features,
            plain.clone(),
            vec![0; 4],
            classes,
            Device::Cpu,
        );
        data.unwrap().wire_bytes(3).0
    };
    assert_eq!(bytes(Features::U8(vec![0; 24]), 256), 3 * (6 + 1));
    assert_eq!(bytes(Features::U8(vec![0; 24]), 257), 3 * (6 + 2));
    assert_eq!(bytes(Features::F32(vec![0.0; 24]), 70_000), 3 * (24 + 4));
}

fn images(channels_last: bool, constants: usize) -> (Tensor, Vec<f64>) {
    // Three samples of 2×2×3 bytes; samples 2 and 0 are asked for.
    let raw: Vec<u8> = (0..36).map(|i| i * 7).collect();
    let (mean, std) = ([0.5f32, 0.25], [0.5f32, 2.0]);
    let normal = Normalisation {
        scale: 1.0 / 255.0,
        mean: mean[..constants].to_vec(),
        std: std[..constants].to_vec(),
    };
    let data = DeviceData::new(
        &[2, 2, 3],
        Features::U8(raw.clone()),
        normal,
        vec![0, 1, 2],
        3,
        Device::Cpu,
    )
    .unwrap();
    let expected = [2usize, 0]
        .iter()
        .flat_map(|s| (0..12).map(move |i| (s * 12 + i, i / 6)))
        .map(|(at, channel)| {
            let c = if constants == 1 { 0 } else { channel };
            (f64::from(raw[at]) / 255.0 - f64::from(mean[c])) / f64::from(std[c])
        })
        .collect();
    (data.batch(&[2, 0], channels_last).unwrap(), expected)
}

#[test]
fn a_batch_holds_the_samples_asked_for_normalised_by_channel_in_either_layout() {
    for constants in [1, 2] {
        for channels_last in [false, true] {
            let (batch, expected) = images(channels_last, constants);
            assert_eq!(batch.size(), [2, 2, 2, 3]);
            assert_eq!(batch.is_contiguous(), !channels_last);
            let flat = batch.contiguous().view([-1]);
            for (i, expected) in expected.iter().enumerate() {
                let got = flat.double_value(&[i as i64]);
                assert!(
                    (got - expected).abs() < 1e-6,
                    "{i}: {got} against {expected}"
                );
            }
        }
    }
}

#[test]
fn data_away_from_the_cpu_gives_the_same_batches() {
    // The code of another device, run on the CPU.
    let normal = Normalisation {
        scale: 0.5,
        mean: vec![1.0, 3.0],
        std: vec![2.0, 0.25],
    };
    let raw: Vec<u8> = (0..36).map(|i| i * 7).collect();
    let data = |features| {
        DeviceData::new(
            &[2, 2, 3],
            features,
            normal.clone(),
            vec![0; 3],
            1,
            Device::Cpu,
        )
    };
    let features = Features::U8(raw);
    let away = Away::new(&features, &normal, 3, &[2, 2, 3], Device::Cpu).unwrap();
    let got = away.batch(&[2, 1], &[2, 2, 2, 3], normal.scale).unwrap();
    let expected = data(features).unwrap().batch(&[2, 1], false).unwrap();
    let error = f64::try_from((got - expected).abs().max()).unwrap();
    assert!(error < 1e-5, "{error}");
}

#[test]
fn floats_with_a_mean_per_feature_are_normalised_by_feature() {
    let normal = Normalisation {
        scale: 2.0,
        mean: vec![1.0, 0.0, -1.0],
        std: vec![1.0, 4.0, 0.5],
    };
    let raw = vec![0.0, 1.0, 2.0, 3.0, 4.0, 5.0];
    let data =
        DeviceData::new(&[3], Features::F32(raw), normal, vec![0, 0], 1, Device::Cpu).unwrap();
    let batch = data.batch(&[1], true).unwrap();
    let got: Vec<f64> = (0..3).map(|i| batch.double_value(&[0, i])).collect();
    assert_eq!(got, [5.0, 2.0, 22.0]);
}

#[test]
fn parts_that_do_not_fit_are_refused() {
    let build = |shape: &[usize], values: usize, labels: Vec<u32>, means: usize, std: f32| {
        let normal = Normalisation {
            scale: 1.0,
            mean: vec![0.0; means],
            std: vec![std; means],
        };
        let features = Features::F32(vec![0.0; values]);
        DeviceData::new(shape, features, normal, labels, 2, Device::Cpu)
            .map(|data| data.len())
            .map_err(|e| e.to_string())
    };
    assert_eq!(build(&[2, 2], 8, vec![0, 1], 1, 1.0), Ok(2));
    let error = |text: &str| Err::<usize, _>(format!("data set: {text}"));
    assert_eq!(
        build(&[2, 2], 7, vec![0, 1], 1, 1.0),
        error("expected 2 samples of [2, 2], got 7 values")
    );
    assert_eq!(
        build(&[2, 2], 8, vec![0, 2], 1, 1.0),
        error("expected labels below 2, got label 2")
    );
    assert_eq!(
        build(&[2, 2], 8, vec![0, 1], 3, 1.0),
        error("expected 1 or 2 means and as many deviations, got 3 and 3")
    );
    assert!(build(&[2, 2], 8, vec![0, 1], 1, 0.0).is_err());
    assert!(build(&[usize::MAX, 2], 8, vec![0, 1], 1, 1.0).is_err());
    assert!(build(&[], 2, vec![0, 1], 1, 1.0).is_err());
}

#[test]
fn a_sample_that_does_not_exist_is_an_error() {
    let normal = Normalisation {
        scale: 1.0,
        mean: vec![0.0],
        std: vec![1.0],
    };
    let data = DeviceData::new(
        &[1],
        Features::U8(vec![1, 2]),
        normal,
        vec![0, 0],
        1,
        Device::Cpu,
    )
    .unwrap();
    assert_eq!(
        data.batch(&[0, 2], false).unwrap_err().to_string(),
        "sample 2 was asked for, the data set has 2"
    );
    assert!(data.labels_of(&[9], &mut Vec::new()).is_err());
}

#[test]
fn a_batch_of_no_samples_is_an_empty_tensor_of_their_shape() {
    let none = Normalisation {
        scale: 1.0,
        mean: vec![0.0],
        std: vec![1.0],
    };
    for features in [Features::U8(vec![7; 24]), Features::F32(vec![0.5; 24])] {
        let data = DeviceData::new(
            &[2, 2, 3],
            features,
            none.clone(),
            vec![0, 1],
            2,
            Device::Cpu,
        );
        let data = data.unwrap();
        for channels_last in [false, true] {
            let batch = data.batch(&[], channels_last).unwrap();
            assert_eq!((batch.size(), batch.numel()), (vec![0, 2, 2, 3], 0));
        }
    }
    // And a data set that has none at all.
    let empty = Features::U8(Vec::new());
    let data = DeviceData::new(&[2, 2, 3], empty, none, Vec::new(), 2, Device::Cpu).unwrap();
    assert!(data.is_empty());
    assert_eq!(data.batch(&[], true).unwrap().size(), [0, 2, 2, 3]);
    assert!(data.batch(&[0], true).is_err());
}
