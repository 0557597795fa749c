use super::*;
use crate::quantity::{Distribution, Span};
use crate::text::Document;
use proptest::prelude::*;
use serde::de::DeserializeOwned;
use std::path::Path;

fn read<T: DeserializeOwned>(text: &str) -> Result<T, String> {
    let document = Document::parse(text, Path::new("f")).unwrap();
    document.read().map_err(|error| {
        let said: Vec<String> = error.iter().map(|d| d.message.clone()).collect();
        said.join(" | ")
    })
}

fn latency(text: &str) -> Result<Distribution, String> {
    read::<OrDistribution<Duration>>(text).map(OrDistribution::into_distribution)
}

fn ratio(text: &str) -> Result<Distribution, String> {
    read::<OrDistribution<PositiveFraction>>(text).map(OrDistribution::into_distribution)
}

#[test]
fn quantities_read_in_their_units() {
    assert_eq!(read("\"20 ms\""), Ok(Duration(Span::from_millis(20))));
    assert_eq!(read("\"4 GB\""), Ok(Size(Bytes(4_000_000_000))));
    assert_eq!(read("\"1.4 B\""), Ok(Size(Bytes(1))));
    let rate = Bandwidth::bits_per_second(1e7).unwrap();
    assert_eq!(read("\"10 Mbit/s\""), Ok(Rate(rate)));
    let speed = Speed::flops_per_second(2e9).unwrap();
    assert_eq!(read("\"2 GFLOP/s\""), Ok(ComputeSpeed(speed)));
    assert_eq!(read("0"), Ok(Fraction(Probability::ZERO)));
    assert_eq!(read("1"), Ok(PositiveFraction(Probability::ONE)));
}

#[test]
fn a_quantity_outside_its_range_is_refused() {
    let said = |result: Result<Duration, String>| result.unwrap_err();
    assert_eq!(said(read("\"-1 s\"")), "-1 s is outside [0 s, 1e10 s]");
    assert_eq!(said(read("\"1e11 s\"")), "1e11 s is outside [0 s, 1e10 s]");
    assert_eq!(
        said(read("20")),
        "expected a duration such as \"20 ms\", found 20"
    );
    assert_eq!(
        read::<Rate>("\"0 bit/s\"").unwrap_err(),
        "0 bit/s is outside (0 bit/s, 1e18 bit/s]"
    );
    assert_eq!(
        read::<ComputeSpeed>("\"-1 FLOP/s\"").unwrap_err(),
        "-1 FLOP/s is outside (0 FLOP/s, 1e21 FLOP/s]"
    );
    assert_eq!(
        read::<Size>("\"1 GiBB\"").unwrap_err(),
        "expected a size such as \"4 GB\", found \"1 GiBB\": \"GiBB\" is not one of B, kB, MB, GB, TB, PB, KiB, MiB, GiB; did you mean GiB?"
    );
}

#[test]
fn a_ratio_outside_its_range_is_refused_with_a_guess() {
    for (text, message) in [
        ("1.4", "1.4 is outside (0, 1]; did you mean 0.14?"),
        ("14", "14 is outside (0, 1]; did you mean 0.14?"),
        ("100", "100 is outside (0, 1]; did you mean 1?"),
        ("101", "101 is outside (0, 1]"),
        ("0", "0 is outside (0, 1]"),
        ("-0.1", "-0.1 is outside (0, 1]"),
        ("NaN", "NaN is outside (0, 1]"),
        ("\"0.5\"", "expected a number in (0, 1], found \"0.5\""),
    ] {
        assert_eq!(read::<PositiveFraction>(text), Err(message.to_string()));
    }
    assert_eq!(
        read::<Fraction>("1.5"),
        Err("1.5 is outside [0, 1]; did you mean 0.15?".to_string())
    );
}

#[test]
fn a_constant_or_any_distribution_reads_by_position_and_by_name() {
    assert_eq!(latency("\"20 ms\""), Ok(Distribution::Constant(0.02)));
    assert_eq!(ratio("1"), Ok(Distribution::Constant(1.0)));
    let uniform = Ok(Distribution::Uniform {
        low: 0.1,
        high: 0.5,
    });
    assert_eq!(ratio("Uniform(0.1, 0.5)"), uniform);
    assert_eq!(ratio("Uniform(high: 0.5, low: 0.1)"), uniform);
    assert_eq!(
        latency("Normal(\"1 s\", \"0 s\")"),
        Ok(Distribution::Normal {
            mean: 1.0,
            std: 0.0
        })
    );
    assert_eq!(
        latency("LogNormal(median: \"2 s\", sigma: 0.4)"),
        Ok(Distribution::LogNormal {
            median: 2.0,
            sigma: 0.4
        })
    );
    assert_eq!(
        latency("Exponential(\"1 s\", \"3 s\")"),
        Ok(Distribution::Exponential {
            min: 1.0,
            mean: 3.0
        })
    );
    assert_eq!(
        latency("Quantiles([\"1 s\", \"1 s\", \"1 min\"])"),
        Ok(Distribution::Quantiles(vec![1.0, 1.0, 60.0]))
    );
    assert_eq!(
        latency("Mixture([(3, \"1 s\"), (1, Uniform(\"2 s\", \"4 s\"))])"),
        Ok(Distribution::Mixture(vec![
            (0.75, Distribution::Constant(1.0)),
            (
                0.25,
                Distribution::Uniform {
                    low: 2.0,
                    high: 4.0
                }
            ),
        ]))
    );
}

#[test]
fn a_distribution_that_breaks_a_rule_is_refused() {
    for (text, message) in [
        ("Uniform(\"2 s\", \"1 s\")", "the low end of Uniform(low, high) is above the high one"),
        ("Uniform(\"-1 s\", \"1 s\")", "-1 s is outside [0 s, 1e10 s]"),
        ("Uniform(\"1 s\")", "expected 2 values (low, high), found 1"),
        ("Uniform", "the required field low is missing | the required field high is missing"),
        ("Normal(\"1 s\", \"-1 s\")", "-1 s is outside [0, inf)"),
        ("LogNormal(\"0 s\", 1)", "the median of LogNormal(median, sigma) is not above zero"),
        ("LogNormal(\"1 s\", inf)", "inf is outside [0, 50]"),
        ("LogNormal(\"1 s\", \"1 s\")", "expected a number, zero or more, found \"1 s\""),
        ("Exponential(\"2 s\", \"1 s\")", "the mean of Exponential(min, mean) is below its min"),
        ("Quantiles([\"1 s\"])", "expected at least 2 quantiles, found 1"),
        (
            "Quantiles([\"1 s\", \"3 s\", \"2 s\"])",
            "expected quantiles in ascending order, found number 3 below number 2",
        ),
        ("Mixture([])", "expected at least one (weight, distribution), found none"),
        ("Mixture([(0, \"1 s\")])", "0 is outside (0, 1e12]"),
        ("Mixture([(1, \"-1 s\")])", "-1 s is outside [0 s, 1e10 s]"),
        (
            "Unifrom(\"1 s\", \"2 s\")",
            "expected one of Uniform, Normal, LogNormal, Exponential, Quantiles, Mixture, found Unifrom; did you mean Uniform?",
        ),
        (
            "[1, 2]",
            "expected a duration such as \"20 ms\" or a distribution such as Uniform(low, high), found a list [..]",
        ),
        (
            "5",
            "expected a duration such as \"20 ms\" or a distribution such as Uniform(low, high), found 5",
        ),
    ] {
        assert_eq!(latency(text), Err(message.to_string()), "{text}");
    }
}

#[test]
fn a_wrong_parameter_is_reported_once_and_hides_no_other() {
    assert_eq!(
        latency("Uniform(\"2 sec\", 5)")
            .unwrap_err()
            .split(" | ")
            .count(),
        2
    );
    // Out of order only because of the mistake.
    assert_eq!(
        ratio("Quantiles([0.5, 1.4, 0.6])"),
        Err("1.4 is outside (0, 1]; did you mean 0.14?".to_string())
    );
}

#[test]
fn a_constant_made_in_code_is_the_one_read() {
    let made = OrDistribution::constant(Duration(Span::from_millis(1500)));
    assert_eq!(Ok(made.clone()), read("\"1.5 s\""));
    assert_eq!(*made.distribution(), Distribution::Constant(1.5));
}

#[test]
fn a_duration_typed_in_whole_nanoseconds_is_that_many() {
    for (text, nanos) in [
        ("\"268 us\"", 268_000),
        ("\"3 ns\"", 3),
        ("\"57 ms\"", 57_000_000),
    ] {
        assert_eq!(read::<Duration>(text).unwrap().0.nanos(), nanos);
    }
}

proptest! {
    /// Up to where a float counts single nanoseconds and bytes: thirteen days, a petabyte.
    #[test]
    fn what_a_record_holds_can_be_typed_again(whole in 0u64..1 << 50, real in 1.0f64..1e18) {
        fn again<T: serde::de::DeserializeOwned>(value: impl serde::Serialize) -> T {
            read(&ron::to_string(&value).unwrap()).unwrap()
        }
        prop_assert_eq!(again::<Duration>(Span::from_nanos(whole)).0.nanos(), whole);
        prop_assert_eq!(again::<Size>(Bytes(whole)).0, Bytes(whole));
        let near = |a: f64| (a - real).abs() <= 1e-15 * real;
        let rate = Bandwidth::bits_per_second(real).unwrap();
        prop_assert!(near(again::<Rate>(rate).0.get()));
        let speed = Speed::flops_per_second(real).unwrap();
        prop_assert!(near(again::<ComputeSpeed>(speed).0.get()));
    }
}
