//! Whole runs: graphs that change, trace hashes, modelled learning, and the end of a run.

use super::*;

#[test]
fn a_graph_that_is_drawn_anew_changes_who_mixes_with_whom() {
    let ran = run(
        12,
        "graph: RandomRegular(degree: 3), redraw_every: 2, algorithm: AdaptThenCombine",
        "rounds: 6",
        "",
    );
    let common = ran.federation.shared().gossip.clone().unwrap();
    let sources = |round, client| -> Vec<u32> {
        let links = common.links(client, round).unwrap();
        links.sources.iter().map(|(j, _)| *j).collect()
    };
    for round in 1..=6 {
        let trained: Vec<_> = (0..12)
            .map(|i| ran.model(What::Trained, round, i))
            .collect();
        for client in 0..12 {
            let mut w = [0.0; 12];
            w[client as usize] = 0.25;
            for other in sources(round, client) {
                w[other as usize] = 0.25;
            }
            near(
                &ran.model(What::End, round, client),
                &combine(&w, &trained),
                1e-6,
            );
        }
    }
    let graphs: Vec<Vec<Vec<u32>>> = (1..=6)
        .map(|round| (0..12).map(|client| sources(round, client)).collect())
        .collect();
    assert_eq!(graphs[0], graphs[1]);
    assert_ne!(graphs[1], graphs[2]);
    assert_ne!(graphs[3], graphs[4]);
}

#[test]
fn one_peer_exponential_averages_eight_clients_in_three_rounds() {
    let ran = run(
        8,
        "graph: Exponential, algorithm: AdaptThenCombine",
        "rounds: 3",
        "training: (optimizer: Sgd(lr: 0)),
         adversaries: [(who: Count(8), attack: Gaussian(std: 1.0), rounds: (until: 1))]",
    );
    let first: Vec<_> = (0..8).map(|i| ran.model(What::Trained, 1, i)).collect();
    let mean = combine(&[0.125; 8], &first);
    for client in 0..8 {
        near(&ran.model(What::End, 3, client), &mean, 1e-6);
    }
    assert_eq!(ran.heard.rounds[0].bytes_up, 8 * (4 * 650 + 24));
}

#[test]
fn the_hash_is_the_same_on_any_number_of_workers_and_shards() {
    for (topology, schedule, further) in [
        // Without any latency windows are single timestamps.
        (
            "graph: Exponential",
            "rounds: 4",
            "population: [(count: 12, device: \"laptop\", link: \"ideal\")]",
        ),
        (
            "graph: SmallWorld(degree: 4, rewire: 0.3), redraw_every: 1",
            "rounds: 4",
            "",
        ),
        (
            "graph: Torus, algorithm: AdaptThenCombine",
            "rounds: 4, deadline: \"2 s\"",
            "population: [(name: \"a\", count: 6, device: \"laptop\", link: \"wifi\"),
                (name: \"b\", count: 6, device: \"phone-mid\", link: \"4g\")],
             evaluation: (per_client: true), faults: [(fault: Crash(),
                when: Rate(every: \"8 s\", lasts: \"1 s\")), (fault: Loss(0.2))]",
        ),
    ] {
        let scenario = scenario(12, topology, schedule, further);
        let hashes: Vec<String> = [(1, 1), (2, 1), (2, 2), (4, 4), (1, 3)]
            .into_iter()
            .map(|(workers, shards)| {
                let ran = run_on(&scenario, workers, shards).finished();
                ran.summary.unwrap().hash.to_string()
            })
            .collect();
        assert!(
            hashes.windows(2).all(|pair| pair[0] == pair[1]),
            "{hashes:?}"
        );
    }
}

#[test]
fn a_modelled_run_has_the_times_of_the_real_one() {
    for algorithm in ["DPsgd", "AdaptThenCombine", "CombineThenAdapt"] {
        let topology = format!("graph: Ring, algorithm: {algorithm}");
        let real = run(6, &topology, "rounds: 4, deadline: \"2 s\"", "");
        let modelled = run(
            6,
            &topology,
            "rounds: 4, deadline: \"2 s\"",
            "compute: Modelled",
        );
        for (a, b) in real.heard.rounds.iter().zip(&modelled.heard.rounds) {
            assert_eq!((a.started, a.ended), (b.started, b.ended));
            assert_eq!((a.bytes_up, a.bytes_down), (b.bytes_up, b.bytes_down));
            assert_eq!((b.accuracy, b.consensus_distance), (None, None));
        }
        assert_eq!(real.heard.rounds.len(), modelled.heard.rounds.len());
    }
}

#[test]
fn the_schedule_says_when_it_ends() {
    let ran = run(5, "graph: Ring", "rounds: 50, stop_at_accuracy: 0.5", "");
    let rounds = &ran.heard.rounds;
    assert!(rounds.len() < 50 && rounds.last().unwrap().accuracy.unwrap() >= 0.5);
    let ran = run(5, "graph: Ring", "rounds: 50, stop_at_time: \"5 s\"", "");
    let last = ran.heard.rounds.last().unwrap();
    assert_eq!(last.outcome, Outcome::Stopped);
    assert_eq!(last.ended.since(Default::default()).seconds(), 5.0);
    assert!(ran.heard.rounds.len() > 3);
}

#[test]
fn clients_measure_their_own_models() {
    let ran = run(
        5,
        "graph: Ring",
        "rounds: 4",
        "evaluation: (every: 2, per_client: true)",
    );
    let rounds = &ran.heard.rounds;
    for row in rounds {
        let due = row.round % 2 == 0;
        assert_eq!(row.accuracy.is_some(), due);
        assert_eq!(row.client_mean.is_some(), due);
        assert_eq!(row.consensus_distance.is_some(), due);
    }
    assert!(rounds[3].client_mean > rounds[1].client_mean);
}

#[test]
fn a_spoilt_model_is_not_mixed() {
    let ran = run(
        5,
        "graph: Ring, algorithm: AdaptThenCombine",
        "rounds: 2",
        "faults: [(fault: Corrupt(how: Truncate, checksum: false), who: Clients([0]), direction: Up)]",
    );
    assert!(!ran.heard.rejections.is_empty());
    assert!(ran.heard.rejections.iter().all(|row| row.client == 0));
    let trained: Vec<_> = [1, 2].map(|i| ran.model(What::Trained, 1, i)).to_vec();
    let expected = combine(&[2.0 / 3.0, 1.0 / 3.0], &trained);
    near(&ran.model(What::End, 1, 1), &expected, 1e-6);
}
