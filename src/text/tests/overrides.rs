use super::*;

#[test]
fn an_override_replaces_a_value_and_adds_what_is_missing_on_the_way() {
    let mut document = parse(SOUND);
    for assignment in [
        "population[0].count=20",
        "population[0].link.latency=Uniform(\"1 ms\", \"2 ms\")",
        "seed = 7",
        "method.mu=0.5",
        "name=4g",
        "population[1].link.preset=wifi",
        "deadline=90 s",
    ] {
        document.set(assignment).unwrap();
    }
    let scenario: Scenario = document.read().unwrap();
    assert_eq!(scenario.population[0].count, 20);
    assert!(scenario.population[0].link.latency.is_some());
    assert_eq!(scenario.seed, 7);
    assert_eq!(scenario.method, Method::FedProx { mu: 0.5 });
    assert_eq!(scenario.name, "4g");
    assert_eq!(scenario.population[1].link.preset, "wifi");
    assert_eq!(scenario.deadline.unwrap().0.seconds(), 90.0);
}

#[test]
fn an_override_may_give_a_word_or_a_number_where_text_is_wanted() {
    for word in ["42", "true", "inf", "FedAvg", "\"42\""] {
        let mut document = parse(SOUND);
        document.set(&format!("name={word}")).unwrap();
        let scenario: Scenario = document.read().unwrap();
        assert_eq!(scenario.name, word.trim_matches('"'));
    }
}

#[test]
fn mistakes_in_overrides_are_placed_at_the_override() {
    let mut document = parse(&SOUND.replace("0.5", "1.4"));
    for assignment in [
        "population[0].cuont=20",
        "seed=abc",
        "method=FedAgv",
        "seed=-1",
    ] {
        document.set(assignment).unwrap();
    }
    let said = document.read::<Scenario>().unwrap_err().to_string();
    assert_eq!(
        said.lines().collect::<Vec<_>>(),
        [
            "s.ron:6:35: population[0].participation: 1.4 is outside (0, 1]; did you mean 0.14?",
            "--set population[0].cuont=20: expected one of the fields count, participation, link, found cuont; did you mean count?",
            "--set method=FedAgv: expected one of FedAvg, FedProx, Scaffold, found FedAgv; did you mean FedAvg?",
            "--set seed=-1: expected a whole number from 0 to 4294967295, found -1",
        ]
    );
}

const DEEP: &str = "a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a=\
    [[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]";

#[test]
fn an_override_that_cannot_be_applied_says_why() {
    for (assignment, reason) in [
        ("seed", "expected path=value, found no `=`"),
        (
            "=5",
            "expected a path such as population[0].count, found \"\"",
        ),
        (
            "population[2].count=5",
            "population has 2 elements, counted from 0, and so no element 2",
        ),
        (
            "population.count=5",
            "population is a list [..], which has no field count",
        ),
        (
            "population[0].count.x=5",
            "population[0].count is a number, which has no field x",
        ),
        ("name[0]=5", "name is \"quick\", which has no element 0"),
        (
            "extra[0]=5",
            "expected a list to set element 0 of, found none",
        ),
        (
            "seed=",
            "expected a value such as (name: value, ..), found nothing",
        ),
        (
            DEEP,
            "expected at most 64 values inside one another, found more",
        ),
        (
            "seed=(1",
            "the text ends here, but `(` opened at 1:1 is not closed",
        ),
    ] {
        let error = parse(SOUND).set(assignment).unwrap_err();
        assert!(
            error.to_string().ends_with(&format!(": {reason}")),
            "{error}"
        );
        let place = format!("--set {}", assignment.split('=').next().unwrap());
        assert!(error.to_string().starts_with(&place), "{error}");
    }
}
