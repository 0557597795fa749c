//! Resuming where rounds are not held by one server.

use super::*;

/// Many are in flight whenever a step is made, and with luck something is in the buffer already.
#[test]
fn servers_that_ask_one_by_one_go_on_too() {
    let buff = "FedBuff(buffer: 3, concurrency: 6, timeout: \"3 s\")";
    let mix = "FedAsync(concurrency: 5, timeout: \"4 s\", max_staleness: 4,
        staleness: Hinge(a: 2.0, b: 1.0))";
    for (waiting, method, further) in [
        (buff, "FedAvg()", ""),
        (mix, "FedAvg()", ""),
        (buff, "FedAvg(fine_tune: Some((epochs: 1)))", ""),
        (
            buff,
            "FedAdam()",
            "compression: TopK(share: 0.1, error_feedback: true)",
        ),
        (
            mix,
            "FedProx()",
            "compression: Qsgd(levels: 4), privacy: LocalDp(clip: 1.0, noise: 0.1, delta: 1e-5)",
        ),
        (
            buff,
            "FedAvgM()",
            "adversaries: [(who: Count(2), attack: SignFlip())]",
        ),
        (buff, "FedAvg()", "selection: Oort(window: 1)"),
        (mix, "FedAvg()", "selection: RoundRobin()"),
        (
            buff,
            "FedAvg()",
            "server: (device: (preset: \"server\", speed: \"100 kFLOP/s\"), checkpoint_every: 2),
             faults: [(fault: ServerCrash, when: Repeated(between: \"4 s\", lasts: \"500 ms\")),
                (fault: Duplicate(after: \"1 s\"), p: 0.5), (fault: ReplayReport, p: 0.5),
                (fault: Crash(), when: Rate(every: \"8 s\", lasts: \"1 s\")),
                (fault: LateReport(\"2 s\"), p: 0.3)]",
        ),
    ] {
        let rounds = format!("rounds: 12, waiting: {waiting}");
        let scenario = holding(&rounds, method, further, &[]);
        let (whole, memory) = run(&scenario, None, 2, 1, u64::MAX);
        assert!(memory.checkpoints.len() > 4, "{waiting} {further}");
        for (place, (told, bytes)) in memory.checkpoints.iter().enumerate().step_by(3) {
            let (summary, rest) = run(&scenario, Some(bytes), 1, 1 + place % 3, u64::MAX);
            assert_eq!(
                rest.records,
                memory.records[*told..],
                "{waiting} {further} from {place}"
            );
            assert_eq!(summary.hash, whole.hash, "{waiting} {further} from {place}");
            assert_eq!(
                summary.accounting, whole.accounting,
                "{waiting} {further} from {place}"
            );
        }
        for (workers, shards) in [(1, 2), (4, 3)] {
            let (summary, again) = run(&scenario, None, workers, shards, u64::MAX);
            assert_eq!(
                summary.hash, whole.hash,
                "{waiting} on {workers} and {shards}"
            );
            assert_eq!(again.records, memory.records);
        }
    }
}

/// The server goes on at its deadline while some of those between are in the midst of a round.
#[test]
fn servers_between_go_on_too() {
    let rounds = "rounds: 6, cohort: 6, over_selection: 1.4, deadline: \"3 s\"";
    let slow = "(name: \"edge\", count: 3, link: \"wifi\", assign: Interleaved, rounds: 2,
        device: (preset: \"server\", speed: \"100 kFLOP/s\"))";
    for (method, further) in [
        ("FedAvg()", format!("hierarchy: [{slow}]")),
        (
            "FedAdam(weighting: Uniform)",
            format!(
                "hierarchy: [(name: \"region\", count: 2, link: \"lan\", deadline: \"2 s\"), {slow}],
                 compression: TopK(share: 0.1, error_feedback: true), selection: Oort(),
                 adversaries: [(who: Count(2), attack: SignFlip())],
                 faults: [(fault: Duplicate(after: \"1 s\"), p: 0.5), (fault: ReplayReport, p: 0.5),
                    (fault: Crash(), when: Rate(every: \"8 s\", lasts: \"1 s\"))]"
            ),
        ),
    ] {
        let memory = holds(&holding(rounds, method, &further, &[]), u64::MAX, 1);
        assert!(memory.checkpoints.len() > 4, "{further}");
    }
    for waiting in [
        "FedAT(timeout: \"20 s\")",
        "FedAsync(concurrency: 2, timeout: \"20 s\")",
    ] {
        let schedule = format!("rounds: 8, cohort: 6, waiting: {waiting}");
        let tiers = "hierarchy: [(count: 3, link: \"wifi\", assign: BySpeed, deadline: \"3 s\")]";
        let memory = holds(&holding(&schedule, "FedAvg()", tiers, &[]), u64::MAX, 2);
        assert!(memory.checkpoints.len() > 4, "{waiting}");
    }
}

/// Whenever the record of a round is closed, models are under way, and wait for their round.
#[test]
fn federations_without_a_server_go_on_too() {
    let all = "population[0].participation=1.0";
    let crashes = "faults: [(fault: Crash(), when: Rate(every: \"8 s\", lasts: \"1 s\")),
        (fault: Crash(keep_state: true), who: Count(2), when: Once(at: \"4 s\", lasts: \"2 s\")),
        (fault: PartialWork(0.5), p: 0.5), (fault: Duplicate(after: \"1 s\"), p: 0.3)]";
    for (topology, method, further) in [
        ("graph: Ring", "FedAvg()", ""),
        (
            "graph: Torus, algorithm: AdaptThenCombine",
            "FedProx()",
            crashes,
        ),
        (
            "graph: RandomRegular(degree: 4), redraw_every: 2, algorithm: CombineThenAdapt",
            "FedAvg()",
            "adversaries: [(who: Count(2), attack: SignFlip())]",
        ),
        ("graph: Exponential", "FedAvg()", "compute: Modelled"),
    ] {
        let further = format!("topology: Gossip({topology}), {further}");
        let rounds = "rounds: 6, deadline: \"3 s\"";
        let scenario = holding(rounds, method, &further, &[all]);
        let memory = holds(&scenario, u64::MAX, 1);
        assert!(memory.checkpoints.len() > 3, "{further}");
    }
}
