//! Flows for which the time is known in closed form, and properties that hold for all flows.

use super::*;
use crate::net::Loss;
use crate::quantity::Probability;
use crate::snapshot::testing::again;
use proptest::prelude::*;

const WIRE: f64 = 1_500.0;

fn course(congestion: Congestion, mbit: f64, rtt: f64, packets: u64) -> Course {
    Course {
        congestion,
        rate: mbit * 1e6,
        rtt,
        loss: Loss::None,
        buffer: 1e9,
        flows: 1,
        stagger: 0.0,
        packets,
        packet: WIRE,
    }
}

fn losing(p: f64, course: Course) -> Course {
    let p = Probability::new(p).unwrap();
    Course {
        loss: Loss::Independent { p },
        ..course
    }
}

/// Seconds a packet takes.
fn packet(course: &Course) -> f64 {
    WIRE * 8.0 / course.rate
}

fn time(course: &Course, seed: u64) -> f64 {
    race(course, seed).0[0]
}

/// Packets a round trip in the long run.
fn throughput(course: &Course, seeds: u64) -> f64 {
    let total: f64 = (0..seeds).map(|seed| time(course, seed)).sum();
    course.packets as f64 * seeds as f64 / total * course.rtt
}

#[test]
fn the_initial_window_takes_half_a_round_trip_and_its_own_time() {
    for congestion in [Congestion::Cubic, Congestion::Reno, Congestion::Bbr] {
        let course = course(congestion, 10.0, 0.1, 10);
        let expected = 10.0 * packet(&course) + 0.05;
        assert!((time(&course, 1) - expected).abs() < 1e-9);
    }
}

#[test]
fn slow_start_takes_the_rounds_that_doubling_takes() {
    // 10 + 20 + 40 + 36 of 106 packets: three round trips, then the rest and half of one.
    for congestion in [Congestion::Cubic, Congestion::Reno] {
        let course = course(congestion, 7.6, 0.3, 106);
        let s = packet(&course);
        let expected = 3.0 * (0.3 + s) + 36.0 * s + 0.15;
        let taken = time(&course, 1);
        assert!((taken - expected).abs() < 3.0 * s, "{taken} for {expected}");
    }
}

#[test]
fn a_long_message_over_an_endless_buffer_takes_what_its_bytes_take() {
    for congestion in [Congestion::Cubic, Congestion::Reno, Congestion::Bbr] {
        let course = course(congestion, 10.0, 0.05, 50_000);
        let plain = 50_000.0 * packet(&course);
        let taken = time(&course, 1);
        // BBR drains what it finds in the queue, and sends a little less than it measures.
        let most = if congestion == Congestion::Bbr {
            1.15
        } else {
            1.05
        };
        assert!(
            taken >= plain && taken < most * plain,
            "{congestion:?}: {taken} for {plain}"
        );
    }
}

#[test]
fn reno_keeps_the_window_of_its_square_root_law_between_random_losses() {
    // sqrt(2 / p) packets a round trip where losses are independent (Altman, Avrachenkov and Barakat
    // 2000; sqrt(3/2 / p) where they are periodic: Mathis, Semke, Mahdavi and Ott 1997), timeouts
    // rare, and nothing else limits.
    for p in [0.001, 0.004] {
        let course = losing(p, course(Congestion::Reno, 1_000.0, 0.1, 40_000));
        let (window, law) = (throughput(&course, 4), (2.0 / p).sqrt());
        assert!((window / law - 1.0).abs() < 0.15, "{p}: {window} for {law}");
    }
}

#[test]
fn cubic_keeps_the_window_of_its_response_function_between_rare_losses() {
    // RFC 9438, section 5.1: (C (3 + beta) / (4 (1 - beta)))^(1/4) (RTT / p)^(3/4), for periodic
    // losses; with independent ones, as for Reno, it is more, and the first slow start adds to it.
    for (p, rtt) in [(1e-3, 0.3), (2e-3, 0.5)] {
        let course = losing(p, course(Congestion::Cubic, 10_000.0, rtt, 60_000));
        let law = (0.4 * 3.7 / 1.2_f64).powf(0.25) * (rtt / p).powf(0.75);
        let window = throughput(&course, 4);
        assert!(
            window > 0.95 * law && window < 1.5 * law,
            "{p}: {window} for {law}"
        );
    }
}

#[test]
fn many_losses_bring_timeouts_and_the_rate_of_padhye() {
    // Padhye, Firoiu, Towsley and Kurose 1998, with one packet of growth a round trip. Their sender
    // has no SACK and no probes: it may only be slower.
    let (p, rtt): (f64, f64) = (0.08, 0.1);
    let course = losing(p, course(Congestion::Reno, 1_000.0, rtt, 4_000));
    let (fast, timeout) = (rtt * (2.0 * p / 3.0).sqrt(), 0.3);
    let slow = timeout * (3.0 * (3.0 * p / 8.0).sqrt()).min(1.0) * p * (1.0 + 32.0 * p * p);
    let law = rtt / (fast + slow);
    let window = throughput(&course, 6);
    assert!(
        window > 0.8 * law && window < 1.6 * law,
        "{window} for {law}"
    );
    assert!(race(&course, 1).1.timeouts > 0);
}

#[test]
fn a_small_receive_window_is_all_that_a_round_trip_carries() {
    let setup = Setup {
        congestion: Congestion::Cubic,
        initial_window: 10,
        receive_window: 20.0,
        packets: 2_000,
        rtt: 0.1,
        losses: [Loss::None, Loss::None],
        grain: f64::INFINITY,
    };
    let mut path = Bottleneck::new(1e-6, 1.0);
    let mut flow = Flow::begin(&setup, Dice::new(1, 1, 1), 0.0, &mut path);
    while !flow.is_done() {
        flow.step(&mut path);
    }
    let rounds = 2_000.0 / 20.0;
    assert!(flow.end() > 0.1 * (rounds - 1.0) && flow.end() < 0.1 * (rounds + 4.0));
}

#[test]
fn what_is_computed_grows_with_round_trips_not_with_packets() {
    // Ten thousand times the rate and the packets: hardly more steps a round trip.
    for scale in [1.0, 100.0, 10_000.0] {
        let packets = (400.0 * scale) as u64;
        let course = course(Congestion::Reno, scale, 0.05, packets);
        let (times, tally) = race(&course, 1);
        let most = 8.0 * times[0] / 0.05;
        assert!(
            (tally.events as f64) < most,
            "{scale}: {tally:?} in {times:?}"
        );
    }
}

#[test]
fn many_flows_share_a_bottleneck_and_keep_it_busy() {
    let alone = course(Congestion::Cubic, 30.0, 0.06, 700);
    let course = Course {
        flows: 8,
        buffer: 232_500.0,
        ..alone
    };
    let (times, _) = race(&course, 3);
    let last = times.iter().copied().fold(0.0, f64::max);
    let all = 8.0 * 700.0 * packet(&course);
    assert!(last >= all && last < 1.25 * all, "{last} for {all}");
    let first = times.iter().copied().fold(f64::INFINITY, f64::min);
    assert!(first > 0.25 * all, "one of them had it for itself: {first}");
}

#[test]
fn a_saved_flow_goes_on_as_the_one_that_was_not() {
    for congestion in [Congestion::Cubic, Congestion::Reno, Congestion::Bbr] {
        let p = Probability::new(0.02).unwrap();
        let setup = Setup {
            congestion,
            initial_window: 10,
            receive_window: 500.0,
            packets: 900,
            rtt: 0.08,
            losses: [Loss::Independent { p }, Loss::None],
            grain: f64::INFINITY,
        };
        let mut path = Bottleneck::new(0.001, 0.05);
        let mut flow = Flow::begin(&setup, Dice::new(4, 2, 7), 0.0, &mut path);
        for step in 0.. {
            if flow.is_done() {
                assert!(step > 20);
                break;
            }
            let (mut other, mut other_path) = (again(&flow).unwrap(), again(&path).unwrap());
            flow.step(&mut path);
            other.step(&mut other_path);
            assert_eq!(flow, other, "{congestion:?} after {step} steps");
            assert_eq!(path, other_path);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn any_flow_ends_no_sooner_than_its_bytes_and_the_same_each_time(
        kind in 0..3,
        mbit in 0.1..200.0f64,
        rtt in 0.0..0.6f64,
        p in prop_oneof![Just(0.0), 0.0..0.2f64],
        buffer in 3_000.0..500_000.0f64,
        packets in 1u64..1_500,
        flows in 1u32..5,
        seed in any::<u64>(),
    ) {
        let congestion = [Congestion::Cubic, Congestion::Reno, Congestion::Bbr][kind as usize];
        let course = Course { buffer, flows, ..losing(p, course(congestion, mbit, rtt, packets)) };
        let (times, tally) = race(&course, seed);
        let least = packets as f64 * packet(&course) + rtt / 2.0;
        for time in &times {
            prop_assert!(time.is_finite() && *time >= least - 1e-9, "{time} below {least}");
        }
        let all = packets as f64 * f64::from(flows) * packet(&course);
        prop_assert!(times.iter().copied().fold(0.0, f64::max) >= all - 1e-9);
        prop_assert_eq!(race(&course, seed), (times, tally));
    }
}
