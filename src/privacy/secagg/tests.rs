//! What the protocol promises: exact sums under any dropout, an error beyond the threshold, and
//! nothing to see in a single report.

use super::client::{further_down, further_up, Masker};
use super::masks::{agree, apply, public, Secrets};
use super::quantise::{headroom, Quantiser};
use super::roster::Roster;
use super::server::Unmasker;
use super::{SecAgg, SecureAggregation};
use crate::method::testing::{layout, set};
use crate::method::{
    ClientInput, ClientLayer, ClientWork, Coded, Form, LayeredClient, LayeredServer, MethodSpec,
    Packet, Payload, Phase, Received, ServerHalf, ServerLayer,
};
use crate::model::{LayerSpec, Model, ParamSet};
use crate::privacy::testing::Round;
use crate::quantity::Flops;
use crate::snapshot::{Damaged, Reader, Writer};
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::sync::Arc;

/// A server half that takes nothing: sums are looked at before it.
struct Nobody;

impl ServerHalf for Nobody {
    fn save(&self, _: &mut Writer) {}

    fn restore(&mut self, _: &mut Reader) -> Result<(), Damaged> {
        Ok(())
    }

    fn task(&mut self, _: u32, _: u32) -> Result<Payload, crate::method::MethodError> {
        Ok(Payload::Nothing)
    }

    fn receive(&mut self, _: &Received) -> Result<(), crate::method::MethodError> {
        Ok(())
    }

    fn step(
        &mut self,
        _: Phase,
        _: Vec<Payload>,
    ) -> Result<Vec<crate::method::ServerJob>, crate::method::MethodError> {
        Ok(Vec::new())
    }

    fn abandon(&mut self) {}

    fn receive_flops(&self) -> Flops {
        Flops(0)
    }

    fn round_flops(&self) -> Flops {
        Flops(0)
    }

    fn global(&self) -> Option<&ParamSet> {
        None
    }
}

const SEED: u64 = 11;

fn settings(threshold: f64) -> SecAgg {
    SecAgg {
        threshold,
        ..SecAgg::default()
    }
}

/// What `client` sends in round 3 for the words it was given.
fn masked(
    client: u32,
    roster: &Roster,
    least: usize,
    words: &[u32],
    weight: u32,
) -> (Vec<u32>, u32) {
    let secrets = Secrets::draw(SEED, client, 3, least);
    let (mut words, mut weight) = (words.to_vec(), weight);
    apply(&secrets.own, true, &mut words, &mut weight);
    for (other, key) in roster.iter().filter(|(other, _)| *other != client) {
        let seed = agree(&secrets.key, key, 3);
        apply(&seed, client > other, &mut words, &mut weight);
    }
    (words, weight)
}

/// A cohort, and a server that knows it.
struct Cohort {
    clients: Vec<u32>,
    server: Unmasker,
    quantiser: Quantiser,
    least: usize,
    roster: Roster,
}

impl Cohort {
    fn new(clients: Vec<u32>, threshold: f64) -> Self {
        let settings = settings(threshold);
        let least = settings.least(clients.len());
        let masker = Masker::new(
            settings.clone(),
            clients.len(),
            Some(100),
            false,
            Arc::default(),
        );
        let mut server = Unmasker::new(masker, layout(), SEED);
        server.cohort(3, &clients);
        let keys = clients
            .iter()
            .map(|&c| (c, public(&Secrets::draw(SEED, c, 3, least).key)));
        Self {
            roster: Roster::new(keys),
            quantiser: Quantiser::new(&settings, clients.len(), false),
            server,
            least,
            clients,
        }
    }

    fn report(&mut self, client: u32, words: &[u32], weight: u32) {
        let (words, weight) = masked(client, &self.roster, self.least, words, weight);
        let packet = Packet::new(self.quantiser.pack(&words, weight), 0);
        let report = Received {
            client,
            round: 3,
            samples: 1,
            payload: Payload::Coded(Coded::new(Form::Update, &layout(), packet)),
        };
        self.server
            .receive(&report, &Payload::Nothing, &mut Nobody)
            .unwrap();
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn the_sum_is_exactly_that_of_the_quantised_updates_whoever_drops_out(
        values in prop::collection::vec((prop::collection::vec(-1.5f32..1.5, 6), 1u32..=100, any::<bool>()), 2..12),
        threshold in 0.05f64..=1.0,
        first in 0u32..1_000,
    ) {
        let clients: Vec<u32> = (0..values.len() as u32).map(|i| first + 7 * i).collect();
        let mut cohort = Cohort::new(clients.clone(), threshold);
        let (mut expected, mut weights, mut reported) = ([0.0f64; 6], 0, 0);
        for (client, (values, weight, stays)) in clients.iter().zip(&values) {
            if !stays {
                continue;
            }
            let share = f64::from(*weight) / 100.0;
            let words: Vec<u32> = values.iter().map(|v| cohort.quantiser.quantise(*v, share)).collect();
            for (sum, word) in expected.iter_mut().zip(&words) {
                *sum += f64::from(*word as i32);
            }
            cohort.report(*client, &words, *weight);
            weights += weight;
            reported += 1;
        }
        let sum = cohort.server.unmask();
        if reported < cohort.least {
            let said = sum.unwrap_err().to_string();
            let n = cohort.clients.len();
            prop_assert_eq!(said, format!(
                "secure aggregation: {reported} of {n} clients reported, {} are needed to take the masks out",
                cohort.least
            ));
            prop_assert!(cohort.server.short(n).is_some());
        } else {
            let sum = sum.unwrap();
            prop_assert_eq!(sum.weight, weights);
            let step = 1.0 / 32_767.0;
            for (word, expected) in sum.words.iter().zip(expected) {
                prop_assert!((cohort.quantiser.sum(*word) - expected * step).abs() < 1e-12);
            }
        }
    }

    #[test]
    fn a_value_is_off_by_half_a_step_at_most_and_clipped_to_the_range(
        value in -3.0f32..3.0, weight in 0.0f64..=1.0, bits in 2u32..=24,
    ) {
        let settings = SecAgg { bits, range: 2.0, ..SecAgg::default() };
        let step = 2.0 / f64::from((1u32 << (bits - 1)) - 1);
        let exact = f64::from(value).clamp(-2.0, 2.0) * weight;
        let nearest = Quantiser::new(&settings, 200, false);
        let inwards = Quantiser::new(&settings, 200, true);
        let (near, inward) = (nearest.sum(nearest.quantise(value, weight)), inwards.sum(inwards.quantise(value, weight)));
        prop_assert!((near - exact).abs() <= step / 2.0 + 1e-9);
        prop_assert!((inward - exact).abs() <= step + 1e-9 && inward.abs() <= exact.abs() + 1e-12);
    }

    #[test]
    fn packed_words_are_unpacked(words in prop::collection::vec(any::<u32>(), 0..50), weight: u32, clients in 1usize..300) {
        let quantiser = Quantiser::new(&SecAgg::default(), clients, false);
        let bytes = quantiser.pack(&words, weight);
        prop_assert_eq!(bytes.len(), (words.len() * (16 + headroom(clients) as usize)).div_ceil(8) + 4);
        let kept: Vec<u32> = words.iter().map(|w| (u64::from(*w) % (1 << quantiser.width())) as u32).collect();
        prop_assert_eq!(quantiser.unpack(&bytes, words.len()), Some((kept, weight)));
        prop_assert_eq!(quantiser.unpack(&bytes[1..], words.len()), None);
    }
}

#[test]
fn the_masks_of_two_clients_cancel_and_keys_are_agreed_on_from_both_sides() {
    let (a, b) = (Secrets::draw(1, 4, 2, 2), Secrets::draw(1, 9, 2, 2));
    let seed = agree(&a.key, &public(&b.key), 2);
    assert_eq!(seed, agree(&b.key, &public(&a.key), 2));
    assert_ne!(seed, agree(&a.key, &public(&b.key), 3), "another round");
    let start: Vec<u32> = (0..3_000).map(|i| i * 77).collect();
    let (mut words, mut weight) = (start.clone(), 5);
    apply(&seed, true, &mut words, &mut weight);
    assert!(words.iter().zip(&start).filter(|(a, b)| a == b).count() < 3);
    apply(&seed, false, &mut words, &mut weight);
    assert_eq!((words, weight), (start, 5));
}

/// ChaCha20 with a key and nonce of zeros (RFC 8439, appendix A.1, test vector 1).
#[test]
fn masks_are_the_key_stream_of_the_standard() {
    let (mut words, mut weight) = (vec![0; 3], 0);
    apply(&[0; 32], true, &mut words, &mut weight);
    let stream = [
        0x76, 0xb8, 0xe0, 0xad, 0xa0, 0xf1, 0x3d, 0x90, 0x40, 0x5d, 0x6a, 0xe5,
    ];
    let first: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
    assert_eq!(first, stream);
}

/// Bob's keys of RFC 7748, section 6.1; and a pair made with Python's cryptography (OpenSSL).
#[test]
fn public_keys_are_those_of_the_standard() {
    let bytes = |hex: &str| -> [u8; 32] {
        let pairs = (0..32).map(|i| u8::from_str_radix(&hex[2 * i..2 * i + 2], 16).unwrap());
        pairs.collect::<Vec<u8>>().try_into().unwrap()
    };
    for (secret, known) in [
        (
            "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f",
            "8f40c5adb68f25624ae5b214ea767a6ec94d829d3d7b5e1ad1ba6f3e2138285f",
        ),
        (
            "5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb",
            "de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f",
        ),
    ] {
        assert_eq!(public(&bytes(secret)), bytes(known));
    }
}

#[test]
fn one_masked_vector_looks_uniform_and_is_not_the_plain_one() {
    let layers = [LayerSpec::dense(64)];
    let model = Model::build(&layers, &[255], 64).unwrap();
    let n = model.layout().total();
    let clients = [3, 8, 21];
    let keys = clients.map(|c| (c, public(&Secrets::draw(SEED, c, 3, 2).key)));
    let roster = Roster::new(keys.into_iter());
    // What hides nothing by itself: all values alike.
    let plain = vec![12; n];
    let (words, _) = masked(8, &roster, 2, &plain, 1);
    assert!(words.iter().zip(&plain).filter(|(a, b)| a == b).count() <= 1);
    let mut counts = [0f64; 256];
    for word in &words {
        word.to_le_bytes()
            .iter()
            .for_each(|byte| counts[*byte as usize] += 1.0);
    }
    let expected = 4.0 * n as f64 / 256.0;
    let chi: f64 = counts
        .iter()
        .map(|c| (c - expected).powi(2) / expected)
        .sum();
    // 255 degrees of freedom: mean 255, deviation 22.6; five of them either way.
    assert!((142.0..368.0).contains(&chi), "{chi}");
    // The same client in another round sends something unrelated.
    let again = Secrets::draw(SEED, 8, 4, 2);
    assert_ne!(again.own, Secrets::draw(SEED, 8, 3, 2).own);
}

/// A whole round of FedAvg with the layer on both sides.
struct Worn {
    round: Round,
    server: LayeredServer<Unmasker>,
    spec: MethodSpec,
    heaviest: Option<u32>,
}

impl Worn {
    fn new(heaviest: Option<u32>) -> Self {
        let round = Round::new();
        let masker = Masker::new(settings(0.6), 3, heaviest, false, Arc::default());
        let layer = Unmasker::new(masker, round.layout(), crate::method::testing::SEED);
        let server = round.server(layer);
        Self {
            round,
            server,
            spec: MethodSpec::default(),
            heaviest,
        }
    }

    fn ask(&mut self, client: u32) -> (ClientInput, ClientWork) {
        let task = self.server.task(client, 1).unwrap();
        let (input, _) = self.round.work(client);
        let input = ClientInput { task, ..input };
        let masker = Masker::new(settings(0.6), 3, self.heaviest, false, Arc::default());
        let half = LayeredClient::new(self.spec.method().client(), masker);
        use crate::method::ClientHalf;
        let work = half.run(&input, &mut Default::default()).unwrap();
        (input, work)
    }

    fn round_of(&mut self, clients: &[u32]) {
        for &client in clients {
            let (input, work) = self.ask(client);
            let samples = input.train.len() as u32;
            let report = Received {
                client,
                round: 1,
                samples,
                payload: work.report,
            };
            self.server.receive(&report).unwrap();
        }
    }
}

#[test]
fn fedavg_moves_as_without_the_layer_but_for_half_a_step_of_quantisation() {
    for clients in [&[0u32, 1, 2][..], &[0, 2]] {
        for heaviest in [Some(22), None] {
            let mut worn = Worn::new(heaviest);
            worn.round_of(clients);
            worn.server.step(Phase::AfterRound(1), Vec::new()).unwrap();
            let global = worn.server.global().unwrap().as_slice().unwrap().to_vec();
            let changes: BTreeMap<u32, Vec<f64>> = clients
                .iter()
                .map(|&c| (c, worn.round.change(c).1))
                .collect();
            let weight = |client: u32| match heaviest {
                Some(_) => crate::method::testing::size(client),
                None => 1.0,
            };
            let total: f64 = clients.iter().map(|&c| weight(c)).sum();
            let initial = worn.round.initial();
            for (i, start) in initial.as_slice().unwrap().iter().enumerate() {
                let mean: f64 = changes.iter().map(|(c, v)| weight(*c) * v[i]).sum::<f64>() / total;
                let off = f64::from(global[i]) - f64::from(*start) - mean;
                // Half a step for each client, against a total weight of more than one client's.
                assert!(off.abs() < 3.0 / 32_767.0, "off by {off}");
            }
        }
    }
}

#[test]
fn too_few_reports_make_a_round_too_short_to_close() {
    let mut worn = Worn::new(Some(22));
    worn.round_of(&[1]);
    let reason = worn.server.short().unwrap();
    assert_eq!(
        reason,
        "1 of 3 clients reported, 2 are needed to take the masks out"
    );
    worn.server.abandon();
    worn.round_of(&[1, 2]);
    assert_eq!(worn.server.short(), None);
}

#[test]
fn a_report_weighs_its_packed_bytes_and_the_protocol_s_other_messages() {
    let mut worn = Worn::new(Some(22));
    let (input, work) = worn.ask(1);
    let Payload::Coded(coded) = &work.report else {
        panic!("{:?}", work.report)
    };
    // Twelve values of 16 bits and two more for sums over three, and the weight.
    assert_eq!(coded.bytes().len(), (12 * 18usize).div_ceil(8) + 4);
    assert_eq!(
        work.report.wire_bytes().0,
        8 + coded.bytes().len() as u64 + further_up(3)
    );
    // Two keys, two encrypted shares of 40 bytes for each of two, three shares at the end.
    assert_eq!(further_up(3), 64 + 2 * (80 + 16) + 3 * 40);
    let roster = 8 + 3 * 36 + further_down(3);
    assert_eq!(input.task.wire_bytes().0, 8 + (8 + 48) + roster);
    assert_eq!(further_down(3), 3 * 32 + 2 * (80 + 16) + 1);
}

#[test]
fn reports_of_strangers_of_the_same_client_twice_or_of_another_form_are_refused() {
    let mut cohort = Cohort::new(vec![1, 2, 3], 0.5);
    cohort.report(2, &[0; 6], 1);
    let report = |client, bytes: Vec<u8>, layout: &Arc<crate::model::Layout>| Received {
        client,
        round: 3,
        samples: 1,
        payload: Payload::Coded(Coded::new(Form::Update, layout, Packet::new(bytes, 0))),
    };
    let good = cohort.quantiser.pack(&[0; 6], 1);
    let other = Model::build(&[LayerSpec::dense(3)], &[2], 3).unwrap();
    let mut plain = report(1, good.clone(), &layout());
    plain.payload = Payload::Update(set(&layout(), &[0.0; 6]));
    for wrong in [
        report(2, good.clone(), &layout()),
        report(7, good.clone(), &layout()),
        report(1, good.clone(), other.layout()),
        report(1, good[1..].to_vec(), &layout()),
        plain,
    ] {
        let taken = cohort
            .server
            .receive(&wrong, &Payload::Nothing, &mut Nobody);
        assert!(taken.is_err(), "{wrong:?}");
    }
    let right = report(1, good, &layout());
    assert!(cohort
        .server
        .receive(&right, &Payload::Nothing, &mut Nobody)
        .is_ok());
}

#[test]
fn a_client_declines_without_a_roster_that_it_is_on() {
    let (input, work) = Round::new().work(1);
    let masker = Masker::new(settings(0.5), 3, None, false, Arc::default());
    assert!(masker.unwrap(&input).is_err());
    for roster in [
        vec![1, 2, 3],
        Vec::new(),
        [7u32.to_le_bytes().as_slice(), &[1; 32]].concat(),
    ] {
        let task = Payload::bundle([input.task.clone(), Payload::Packet(Packet::new(roster, 0))]);
        let input = ClientInput {
            task,
            ..input.clone()
        };
        let error = masker.wrap(&input, work.clone()).unwrap_err();
        assert_eq!(
            error.to_string(),
            "secure aggregation: the roster of the round is none"
        );
    }
}

/// A client that by mistake takes up the task of an older round must not spoil the sum of this one.
#[test]
fn a_client_declines_with_the_roster_of_another_round() {
    let (input, work) = Round::new().work(1);
    let masker = Masker::new(settings(0.5), 3, None, false, Arc::default());
    let wrapped = |round: u32| {
        let keys = [0, 1, 2].map(|client| {
            let secrets = Secrets::draw(input.seed, client, round, masker.settings.least(3));
            (client, public(&secrets.key))
        });
        let roster = Payload::Packet(Roster::new(keys.into_iter()).packet(0));
        let input = ClientInput {
            task: Payload::bundle([input.task.clone(), roster]),
            ..input.clone()
        };
        masker.wrap(&input, work.clone())
    };
    assert!(wrapped(input.round).is_ok());
    let error = wrapped(input.round + 1).unwrap_err();
    assert_eq!(
        error.to_string(),
        "secure aggregation: the roster is that of another round"
    );
}

#[test]
fn what_cannot_work_is_told_before_a_run() {
    let check = |settings: SecAgg, asked, cohort| -> Vec<&str> {
        let problems = settings.check(asked, cohort);
        problems.into_iter().map(|(field, _)| field).collect()
    };
    assert!(check(SecAgg::default(), 20, 20).is_empty());
    // A sum over one client is that client's update.
    assert_eq!(check(SecAgg::default(), 1, 1), ["threshold"]);
    assert_eq!(check(settings(0.8), 20, 10), ["threshold"]);
    let bad = SecAgg {
        threshold: 0.0,
        bits: 1,
        range: -1.0,
    };
    assert_eq!(check(bad, 20, 20), ["threshold", "range", "bits"]);
    let wide = SecAgg {
        bits: 24,
        ..SecAgg::default()
    };
    assert!(check(wide.clone(), 256, 256).is_empty());
    assert_eq!(check(wide, 257, 257), ["bits"]);
    assert_eq!(
        SecureAggregation::ALL[0].0,
        SecureAggregation::SecAgg(SecAgg::default()).name()
    );
}
