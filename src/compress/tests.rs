//! What the tests of schemes share, and what holds for the layer as a whole.

use super::client::RESIDUAL;
use super::{Compression, Compressor, Decompressor, Scheme};
use crate::method::testing::{local, Toy};
use crate::method::{
    ClientHalf, ClientInput, ClientWork, LayeredClient, LayeredServer, MethodSpec, Payload,
};
use crate::model::{LayerSpec, Model, ParamSet};
use crate::sim::rng::{stream, Purpose, Stream};
use proptest::prelude::*;
use std::sync::Arc;

pub fn rng(counter: u64) -> Stream {
    stream(7, 1, Purpose::Compression, counter)
}

/// Values of several magnitudes and both signs.
pub fn vector(n: usize) -> Vec<f32> {
    (0..n)
        .map(|i| ((i * 37 + 11) % 23) as f32 / 8.0 - 1.3)
        .collect()
}

/// What arrives of a vector of two tensors of the same length, or nearly.
pub fn round_trip(scheme: &dyn Scheme, values: &[f32], rng: &mut Stream) -> Vec<f32> {
    let tensors = [values.len() / 2, values.len() - values.len() / 2];
    let bytes = scheme.encode(values, &tensors, rng);
    let mut got = vec![f32::NAN; values.len()];
    scheme.decode(&bytes, &tensors, &mut got).unwrap();
    got
}

/// The mean of what arrives is what was given, to five standard errors.
#[track_caller]
pub fn unbiased(scheme: &dyn Scheme, values: &[f32], streams: u32) {
    let n = f64::from(streams);
    let mut sums = vec![(0.0f64, 0.0f64); values.len()];
    for counter in 0..streams {
        let got = round_trip(scheme, values, &mut rng(u64::from(counter)));
        for ((sum, squares), value) in sums.iter_mut().zip(got) {
            *sum += f64::from(value);
            *squares += f64::from(value).powi(2);
        }
    }
    for (i, ((sum, squares), value)) in sums.iter().zip(values).enumerate() {
        let mean = sum / n;
        let error = ((squares / n - mean * mean).max(0.0) / n).sqrt();
        let off = (mean - f64::from(*value)).abs();
        assert!(
            off <= 5.0 * error + 1e-6,
            "value {i}: {mean} against {value}"
        );
    }
}

/// The mean of ‖C(x) − x‖².
pub fn noise(scheme: &dyn Scheme, values: &[f32], streams: u32) -> f64 {
    let mut sum = 0.0;
    for counter in 0..streams {
        let got = round_trip(scheme, values, &mut rng(u64::from(counter)));
        let off = |(a, b): (&f32, &f32)| (f64::from(*a) - f64::from(*b)).powi(2);
        sum += got.iter().zip(values).map(off).sum::<f64>();
    }
    sum / f64::from(streams)
}

fn parse<T: std::str::FromStr<Err: std::fmt::Debug>>(text: &str) -> T {
    text.parse().unwrap()
}

/// Every scheme with its defaults, as a scenario names it.
fn all() -> Vec<Compression> {
    let names = Compression::ALL.iter();
    names.map(|(name, _)| parse(&format!("{name}()"))).collect()
}

/// A method that wears `compression` in a toy federation.
struct Worn<'a> {
    toy: Toy<'a>,
    half: Arc<dyn ClientHalf>,
}

impl<'a> Worn<'a> {
    fn new(method: &'a MethodSpec, compression: &Compression) -> Self {
        let mut toy = Toy::new(method.method(), &local());
        let inner = method.method().server(toy.setup().clone()).unwrap();
        let values = toy.setup().initial.len();
        let layer = Decompressor::new(compression.clone(), values);
        toy.server = Box::new(LayeredServer::new(inner, layer));
        let layer = Compressor::new(compression.clone());
        let half = Arc::new(LayeredClient::new(method.method().client(), layer));
        Self { toy, half }
    }

    /// The input of `client` in this round, and its work.
    fn ask(&mut self, client: u32) -> (ClientInput, ClientWork) {
        let task = self.toy.server.task(client, 1).unwrap();
        let input = self.toy.input(client, task);
        let work = self.half.run(&input, &mut Default::default()).unwrap();
        (input, work)
    }
}

/// What stands in the report of the same client without the layer.
fn plain(method: &MethodSpec, input: &ClientInput) -> ClientWork {
    let half = method.method().client();
    half.run(input, &mut Default::default()).unwrap()
}

fn leaves(payload: &Payload) -> Vec<Payload> {
    match payload {
        Payload::Bundle(parts) => parts.iter().flat_map(leaves).collect(),
        other => vec![other.clone()],
    }
}

/// `set` less what the client was sent, where it is a model.
fn change(part: &Payload, task: &Payload) -> Option<Vec<f32>> {
    match part {
        Payload::Model(set) => {
            let base = task.model_of(set.layout())?.as_slice().unwrap();
            let values = set.as_slice().unwrap().iter().zip(base);
            Some(values.map(|(a, b)| a - b).collect())
        }
        Payload::Update(set) => Some(set.as_slice().unwrap().to_vec()),
        _ => None,
    }
}

fn methods(parameters: bool) -> Vec<MethodSpec> {
    let names = MethodSpec::ALL.iter();
    let all = names.map(|(name, _)| parse::<MethodSpec>(&format!("{name}()")));
    all.filter(|spec| spec.method().reports().is_parameters() == parameters)
        .collect()
}

#[test]
fn every_scheme_has_defaults_that_pass_its_own_check() {
    for (compression, (name, _)) in all().iter().zip(Compression::ALL) {
        assert_eq!(compression.name(), *name);
        assert!(compression.scheme().check().is_empty(), "{name}");
    }
    let bad = ["TopK(share: 0.0)", "RandomK(share: 1.5)", "Qsgd(levels: 0)"];
    for bad in bad {
        let problems = parse::<Compression>(bad).scheme().check();
        assert_eq!(problems.len(), 1, "{bad}");
    }
}

#[test]
fn what_a_message_weighs_is_the_length_of_what_is_decoded() {
    for compression in all() {
        for method in methods(true) {
            let mut worn = Worn::new(&method, &compression);
            worn.toy.open();
            let (_, work) = worn.ask(1);
            let mut coded = 0;
            for part in leaves(&work.report) {
                if let Payload::Coded(packed) = &part {
                    coded += 1;
                    assert_eq!(part.wire_bytes().0, 8 + packed.bytes().len() as u64);
                }
                let whole = matches!(part, Payload::Model(_) | Payload::Update(_));
                assert!(!whole, "{}: {part:?}", method.name());
            }
            assert!(coded > 0, "{}", method.name());
        }
    }
}

#[test]
fn a_server_half_gets_a_report_of_the_kind_its_clients_send() {
    for compression in all() {
        for method in methods(true) {
            let mut worn = Worn::new(&method, &compression);
            worn.toy.open();
            let (_, work) = worn.ask(1);
            let report = worn.toy.received(1, work.report);
            let taken = worn.toy.server.receive(&report);
            assert!(taken.is_ok(), "{}: {taken:?}", method.name());
            worn.toy.close();
        }
    }
}

#[test]
fn methods_that_report_no_parameters_are_told_as_such_and_pass_unchanged() {
    for method in methods(false) {
        let mut worn = Worn::new(&method, &all()[0]);
        if !worn.toy.server.needs_clients() {
            continue;
        }
        worn.toy.open();
        let (input, work) = worn.ask(1);
        assert_eq!(work.report.digest(), plain(&method, &input).report.digest());
    }
}

#[test]
fn other_rounds_and_clients_draw_otherwise_and_the_same_draws_the_same() {
    let method = parse::<MethodSpec>("FedAvg()");
    let layer = Compressor::new(parse("Qsgd()"));
    let half = LayeredClient::new(method.method().client(), layer);
    let mut toy = Toy::new(method.method(), &local());
    toy.open();
    let task = toy.server.task(0, 1).unwrap();
    let report = |client, round| {
        let mut input = toy.input(0, task.clone());
        let work = plain(&method, &input);
        (input.client, input.round) = (client, round);
        use crate::method::ClientLayer;
        let wrapped = Compressor::new(parse("Qsgd()")).wrap(&input, work).unwrap();
        wrapped.report.digest()
    };
    let here = half.run(&toy.input(0, task.clone()), &mut Default::default());
    assert_eq!(here.unwrap().report.digest(), report(0, 1));
    assert_ne!(report(0, 1), report(1, 1));
    assert_ne!(report(0, 1), report(0, 2));
}

/// Σ sent + what is left = Σ given, for each set of the report, however many rounds.
#[test]
fn with_error_feedback_nothing_is_lost_over_the_rounds() {
    let schemes = [
        "TopK(share: 0.2)",
        "Sign()",
        "RandomK(share: 0.3, error_feedback: true)",
    ];
    for (compression, method) in schemes.iter().flat_map(|scheme| {
        ["FedAvg()", "Scaffold()"]
            .map(|method| (parse::<Compression>(scheme), parse::<MethodSpec>(method)))
    }) {
        let mut toy = Toy::new(method.method(), &local());
        let layer = Compressor::new(compression.clone());
        let codec = super::codec::Codec::new(compression.clone());
        let mut given: Vec<Vec<f64>> = Vec::new();
        let mut sent: Vec<Vec<f64>> = Vec::new();
        let mut state = Default::default();
        for round in 1..=6 {
            toy.open();
            let task = toy.server.task(1, round).unwrap();
            let mut input = toy.input(1, task.clone());
            let work = plain(&method, &input);
            input.state = state;
            let reported = leaves(&work.report);
            use crate::method::ClientLayer;
            let wrapped = layer.wrap(&input, work).unwrap();
            let add = |sums: &mut Vec<Vec<f64>>, place: usize, values: &[f32]| {
                if sums.len() <= place {
                    sums.push(vec![0.0; values.len()]);
                }
                let sums = sums[place].iter_mut().zip(values);
                sums.for_each(|(sum, value)| *sum += f64::from(*value));
            };
            for (place, part) in reported.iter().enumerate() {
                add(&mut given, place, &change(part, &task).unwrap());
            }
            for (place, part) in leaves(&wrapped.report).iter().enumerate() {
                let Payload::Coded(coded) = part else {
                    panic!("{part:?}")
                };
                let values = codec.decode(coded.layout(), coded.bytes()).unwrap();
                add(&mut sent, place, &values);
            }
            state = wrapped.state;
            toy.round(&[0, 1]);
        }
        let left = leaves(state.get(RESIDUAL).unwrap());
        assert_eq!(left.len(), given.len());
        for ((given, sent), left) in given.iter().zip(&sent).zip(&left) {
            let left = left.as_update().unwrap().as_slice().unwrap();
            assert!(left.iter().any(|value| *value != 0.0));
            for ((given, sent), left) in given.iter().zip(sent).zip(left) {
                let off = (sent + f64::from(*left) - given).abs();
                assert!(off < 1e-5, "{compression:?}: off by {off}");
            }
        }
    }
}

#[test]
fn statistics_travel_as_they_are_beside_what_is_learned() {
    let layers = [
        LayerSpec::conv(4, 1, 0),
        LayerSpec::BatchNorm,
        LayerSpec::Flatten,
        LayerSpec::dense(3),
    ];
    let model = Model::build(&layers, &[1, 2, 2], 3).unwrap();
    let layout = model.layout();
    let values = vector(layout.total());
    for compression in all() {
        let codec = super::codec::Codec::new(compression.clone());
        let bytes = codec.encode(layout, &values, &mut rng(1)).unwrap();
        let got = codec.decode(layout, &bytes).unwrap();
        let mut measured = 0;
        for entry in layout.entries() {
            let place = entry.offset..entry.offset + entry.len;
            if entry.role.part.is_statistic() {
                measured += entry.len;
                assert_eq!(got[place.clone()], values[place], "{}", compression.name());
            }
        }
        assert_eq!(measured, 8);
        assert_ne!(got, values, "{}", compression.name());
        assert!(codec.decode(layout, &bytes[..bytes.len() - 1]).is_err());
        assert!(codec.decode(layout, &[]).is_err());
    }
}

/// Where statistics are queried they are no part of a report, so what is learned travels alone.
#[test]
fn queried_statistics_do_not_travel() {
    let layers = [
        LayerSpec::conv(4, 1, 0),
        LayerSpec::BatchNorm,
        LayerSpec::Flatten,
        LayerSpec::dense(3),
    ];
    let measured = Model::build(&layers, &[1, 2, 2], 3).unwrap();
    let queried = measured.clone().querying();
    let values = vector(measured.layout().total());
    for compression in all() {
        let codec = super::codec::Codec::new(compression.clone());
        let encode = |model: &Model| codec.encode(model.layout(), &values, &mut rng(1)).unwrap();
        let (with, without) = (encode(&measured), encode(&queried));
        assert_eq!(with.len(), without.len() + 4 * 8, "{}", compression.name());
        let [sent, own] = [(&measured, &with), (&queried, &without)]
            .map(|(model, bytes)| codec.decode(model.layout(), bytes).unwrap());
        for entry in queried.layout().entries() {
            let place = entry.offset..entry.offset + entry.len;
            match entry.role.part.is_statistic() {
                true => assert!(own[place].iter().all(|value| *value == 0.0)),
                false => assert_eq!(own[place.clone()], sent[place]),
            }
        }
    }
}

#[test]
fn a_model_that_diverged_is_declined_with_the_reason() {
    let method = parse::<MethodSpec>("FedAvg()");
    let mut toy = Toy::new(method.method(), &local());
    toy.open();
    let task = toy.server.task(0, 1).unwrap();
    let input = toy.input(0, task);
    let mut work = plain(&method, &input);
    let layout = input.model.layout();
    let bad = ParamSet::from_slice(layout, &vec![f32::NAN; layout.total()]).unwrap();
    work.report = Payload::Model(bad);
    use crate::method::ClientLayer;
    let error = Compressor::new(parse("TopK()"))
        .wrap(&input, work)
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "compression: values that are not finite cannot be coded: training has diverged"
    );
}

#[test]
fn a_packed_model_that_answers_no_model_is_refused() {
    let method = parse::<MethodSpec>("FedAvg()");
    let mut worn = Worn::new(&method, &parse("Int8()"));
    worn.toy.open();
    let (_, work) = worn.ask(0);
    // Client 2 was sent nothing.
    let report = worn.toy.received(2, work.report);
    assert!(worn.toy.server.receive(&report).is_err());
}

proptest! {
    #[test]
    fn any_bytes_are_decoded_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
        for compression in all() {
            let mut values = [0.0; 30];
            if compression.scheme().decode(&bytes, &[10, 20], &mut values).is_some() {
                prop_assert!(values.iter().all(|value| !value.is_nan()));
            }
        }
    }

    #[test]
    fn any_finite_vector_arrives_finite_or_nearly_so(
        values in prop::collection::vec(prop::num::f32::NORMAL | prop::num::f32::ZERO, 2..80), seed: u64,
    ) {
        for compression in all() {
            let got = round_trip(compression.scheme(), &values, &mut rng(seed));
            prop_assert!(got.iter().all(|value| !value.is_nan()), "{:?}", compression);
        }
    }
}
