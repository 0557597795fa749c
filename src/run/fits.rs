//! Whether a model can be had and trained in the memory of a machine at all.

use crate::federation::SizeRule;
use crate::learn::Cost;
use crate::model::Model;
use crate::quantity::Bytes;
use crate::scenario::Scenario;
use crate::text::Diagnostics;

/// The global model, the sum of what comes back and the copy that a client trains: fewer there never
/// are.
const COPIES: u64 = 3;

/// Refuses a model whose parameters, or whose training in one client, take more than `limit`: all the
/// memory that there is. What is counted is the least of it: a run takes more.
///
/// # Errors
/// At the field that is to blame.
pub(super) fn fits(scenario: &Scenario, model: &Model, limit: Bytes) -> Result<(), Diagnostics> {
    let parameters = model.layout().bytes().0.saturating_mul(COPIES);
    if parameters > limit.0 {
        return Err(scenario.blame(
            "model",
            format!(
                "{} parameters take {} at least, and this machine has {limit} of memory: expected a smaller \
                 network, or a width below {}",
                model.parameters(),
                Bytes(parameters),
                scenario.sizes.first().map_or(1.0, |widest| widest.ratio)
            ),
        ));
    }
    for (index, member) in scenario.population.iter().enumerate() {
        let group = &member.group;
        // Who has a narrower network may need less; who has not the memory declines.
        if group.size != SizeRule::Fixed(1.0) {
            continue;
        }
        let local = scenario.method.method().client().local(&group.training);
        let samples = scenario.samples_each();
        let training = Cost::training(model, &local, samples, 0).memory;
        let tiers = group.tiers.iter().map(|tier| &tier.device);
        let own = group.tiers.is_empty().then_some(&group.device);
        let trained = own
            .into_iter()
            .chain(tiers)
            .any(|device| device.fits(training));
        let all = training.0.saturating_add(parameters / COPIES);
        if trained && all > limit.0 {
            let own = format!("population[{index}].training");
            let field = match scenario.says(&own) {
                true => own,
                false => "model".to_string(),
            };
            return Err(scenario.blame(
                &field,
                format!(
                    "a client of {} trains on batches of {} samples, which takes {} at least, and this \
                     machine has {limit} of memory: expected a smaller network, or a smaller training.batch",
                    group.name,
                    local.batch_of(samples),
                    Bytes(all)
                ),
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    fn judged(rest: &str, limit: u64) -> Result<(), String> {
        let text = format!("(data: Digits, model: [Flatten, Dense(1000), Dense(10)], {rest})");
        let scenario = Scenario::parse(&text, Path::new("s.ron"), &[]).unwrap();
        let model = scenario.build_model().unwrap();
        fits(&scenario, &model, Bytes(limit)).map_err(|problems| problems.to_string())
    }

    /// 75,010 parameters: 300,040 bytes, and three times that is the least. Of 14 samples a client, in one
    /// batch of ten, training keeps weights and gradients, and 1,074 values a sample.
    #[test]
    fn what_cannot_fit_is_refused_at_the_model_before_anything_is_allocated() {
        let plain = "population: [(count: 100)]";
        assert_eq!(judged(plain, 1_000_000), Ok(()));
        let said = judged(plain, 800_000).unwrap_err();
        assert!(
            said.starts_with("s.ron:1:23: model: 75010 parameters take 900.12 kB"),
            "{said}"
        );
        // A batch of all 1,437 samples of one client.
        let whole = "population: [(count: 1)], training: (batch: 0)";
        let said = judged(whole, 5_000_000).unwrap_err();
        assert!(said.contains("batches of 1437 samples"), "{said}");
        assert_eq!(judged(whole, 10_000_000), Ok(()));
    }

    #[test]
    fn what_a_device_declines_is_trained_by_nobody() {
        let small = "population: [(count: 1, device: (preset: \"laptop\", memory: \"2 MB\"))], \
                     training: (batch: 0)";
        assert_eq!(judged(small, 5_000_000), Ok(()));
    }
}
