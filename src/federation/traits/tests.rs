//! What clients are, against what their group says.

use crate::federation::Federation;
use crate::quantity::Bytes;
use crate::run::assemble;
use crate::scenario::Scenario;
use std::path::Path;

fn federation(group: &str, rest: &str) -> Federation {
    let text = format!(
        "(data: Digits, model: [Flatten, Dense(10)], population: [
            (count: 7, link: \"lan\"), (name: \"g\", {group})], {rest})"
    );
    let scenario = Scenario::parse(&text, Path::new("s.ron"), &[]);
    let scenario = scenario.unwrap_or_else(|problems| panic!("{problems:#}"));
    assemble(&scenario, Default::default()).unwrap()
}

/// What one message of 1 MB takes from a client: its rate up, once latency is taken off.
fn up_mbit(federation: &Federation, client: u32) -> f64 {
    let network = &federation.shared().network;
    let (from, to) = (Federation::node_of(client), Federation::SERVER);
    let empty = network.expected(from, to, Bytes(0)).seconds();
    let full = network.expected(from, to, Bytes(1_000_000)).seconds();
    8.0 / (full - empty)
}

/// 2,000 clients: with a share of p the standard deviation is √(2000 p (1 - p)), 22 at most.
#[test]
fn tiers_have_their_shares_and_each_its_device_and_its_link() {
    let tier = |share: f64, gflops: u32, mbit: u32| {
        format!(
            "(share: {share}, device: (speed: \"{gflops} GFLOP/s\", memory: \"{gflops} MB\"),
              link: (latency: \"{mbit} ms\", up: \"{mbit} Mbit/s\", header: \"0 B\"))"
        )
    };
    let tiers = [tier(0.2, 30, 50), tier(0.5, 15, 20), tier(0.3, 5, 2)].join(", ");
    let rest = "partition: (by: Shared(per_client: 5)), server: (link: \"ideal\")";
    let federation = federation(&format!("count: 2000, tiers: [{tiers}]"), rest);
    let mut counts = [0u32; 3];
    for client in 7..2_007 {
        let device = federation.plan().client(client).device;
        let gflops = device.speed.get() / 1e9;
        let (tier, mbit) = match gflops as u32 {
            30 => (0, 50.0),
            15 => (1, 20.0),
            _ => (2, 2.0),
        };
        counts[tier] += 1;
        assert_eq!(device.memory, Bytes(gflops as u64 * 1_000_000));
        // A fast device has a fast link.
        let found = up_mbit(&federation, client);
        assert!((found / mbit - 1.0).abs() < 1e-6, "{found} against {mbit}");
    }
    for (found, expected) in counts.iter().zip([400, 1_000, 600]) {
        assert!(found.abs_diff(expected) < 90, "{counts:?}");
    }
    // The others are as they were.
    let other = federation.plan().client(3).device;
    assert_eq!(other.speed.get(), 15e9);
}

#[test]
fn a_mixture_of_speeds_and_of_rates_is_drawn_once_a_client() {
    let group = "count: 1000, device: (speed: Mixture([(1, \"1 GFLOP/s\"), (3, \"2 GFLOP/s\")])),
        link: (latency: \"1 ms\", up: Mixture([(1, \"1 Mbit/s\"), (1, \"8 Mbit/s\")]), header: \"0 B\")";
    let rest = "partition: (by: Shared(per_client: 5)), server: (link: \"ideal\")";
    let federation = federation(group, rest);
    let slow = |client: &u32| federation.plan().client(*client).device.speed.get() == 1e9;
    let n = (7..1_007).filter(slow).count();
    // 250 with a standard deviation of 14.
    assert!((190..310).contains(&n), "{n}");
    let thin = (7..1_007)
        .filter(|&client| up_mbit(&federation, client) < 2.0)
        .count();
    assert!((430..570).contains(&thin), "{thin}");
}

fn ranks(values: &[f64]) -> Vec<f64> {
    values
        .iter()
        .map(|value| {
            let below = values.iter().filter(|other| *other < value).count();
            let same = values.iter().filter(|other| *other == value).count();
            below as f64 + (same as f64 - 1.0) / 2.0
        })
        .collect()
}

/// Spearman's, with middle ranks for those that are equal.
fn spearman(a: &[f64], b: &[f64]) -> f64 {
    let (a, b) = (ranks(a), ranks(b));
    let mean = (a.len() as f64 - 1.0) / 2.0;
    let sum = |x: &[f64], y: &[f64]| -> f64 {
        x.iter().zip(y).map(|(x, y)| (x - mean) * (y - mean)).sum()
    };
    sum(&a, &b) / (sum(&a, &a) * sum(&b, &b)).sqrt()
}

/// 250 clients: a standard deviation of 0.063 or less.
#[test]
fn speeds_rates_and_samples_of_a_federation_correlate_as_asked() {
    let group = "count: 250, device: (speed: LogNormal(\"15 GFLOP/s\", 0.7)),
        link: (latency: \"1 ms\", up: Uniform(\"1 Mbit/s\", \"50 Mbit/s\"), header: \"0 B\"),
        correlation: (speed_link: 0.8, speed_samples: 0.6, link_samples: 0.4)";
    let rest = "partition: (by: QuantitySkew(exponent: 0.8)), server: (link: \"ideal\")";
    let federation = federation(group, rest);
    let clients = 7..257;
    let speeds: Vec<f64> = clients
        .clone()
        .map(|client| federation.plan().client(client).device.speed.get())
        .collect();
    let links: Vec<f64> = clients
        .clone()
        .map(|client| up_mbit(&federation, client))
        .collect();
    let samples: Vec<f64> = clients
        .map(|client| federation.plan().partition.size(client as usize) as f64)
        .collect();
    for (found, asked) in [
        (spearman(&speeds, &links), 0.8),
        (spearman(&speeds, &samples), 0.6),
        (spearman(&links, &samples), 0.4),
    ] {
        assert!((found - asked).abs() < 0.2, "{found} against {asked}");
    }
    // The laws themselves are as they were: the median is the median.
    let mut sorted = speeds;
    sorted.sort_by(f64::total_cmp);
    assert!((sorted[125] / 15e9 - 1.0).abs() < 0.2, "{}", sorted[125]);
    assert!(links.iter().all(|&rate| (0.99..50.1).contains(&rate)));
}

#[test]
fn tiers_may_go_with_the_number_of_samples() {
    let group = "count: 250, correlation: (speed_samples: 1), tiers: [
        (share: 0.5, device: (speed: \"9 GFLOP/s\")), (share: 0.5, device: (speed: \"3 GFLOP/s\"))]";
    let federation = federation(group, "partition: (by: QuantitySkew(exponent: 0.8))");
    let plan = federation.plan();
    let samples = |gflops: f64| -> Vec<usize> {
        let of = (7..257).filter(|&c| plan.client(c).device.speed.get() == gflops * 1e9);
        of.map(|client| plan.partition.size(client as usize))
            .collect()
    };
    let (fast, slow) = (samples(9.0), samples(3.0));
    assert_eq!((fast.len(), slow.len()), (125, 125));
    assert!(slow.iter().max() <= fast.iter().min());
}

/// 30 samples, two epochs, 40 ms times three each: 7.2 s, and half of it with half of the FLOPs.
#[test]
fn a_capacity_trace_says_how_long_training_and_sending_take() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("capacity.csv");
    std::fs::write(&file, "computation,communication\n40,2000\n10,8000\n").unwrap();
    let group = format!(
        "count: 3, device: (preset: \"phone-mid\", startup: \"0 s\"), link: (latency: \"1 ms\", header: \"0 B\"),
         trace: (capacity: {:?})",
        file.display().to_string()
    );
    let rest =
        "partition: (by: Shared(per_client: 30)), training: (epochs: 2), server: (link: \"ideal\")";
    let federation = federation(&group, rest);
    let plan = federation.plan();
    for (client, millis, mbit) in [(7, 40.0, 2.0), (8, 10.0, 8.0), (9, 40.0, 2.0)] {
        let device = plan.client(client).device;
        let step = plan.model.training_flops().0;
        let of = |flops: u64| device.duration(crate::quantity::Flops(flops)).seconds();
        let expected = 30.0 * 2.0 * 3.0 * millis / 1e3;
        assert!((of(step * 60) - expected).abs() < 1e-6, "{}", of(step * 60));
        assert!((of(step * 30) - expected / 2.0).abs() < 1e-6);
        assert_eq!(
            device.memory,
            Bytes(2_000_000_000),
            "the rest is the device's"
        );
        let found = up_mbit(&federation, client);
        assert!((found / mbit - 1.0).abs() < 1e-6, "{found}");
    }
}
