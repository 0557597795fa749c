//! Widths of models, and the public set.

use super::Resolver;
use crate::data::DataSummary;
use crate::federation::{ratios, SizeRule, MOST_LEVELS};
use crate::method::{Method, MethodSpec};
use crate::quantity::Probability;
use crate::scenario::file::{PublicFile, SizeFile};
use crate::scenario::{Architecture, Member, Public, Width};

impl Resolver<'_> {
    /// The width of a group's models.
    pub(super) fn size(&mut self, typed: SizeFile, path: &str) -> SizeRule {
        let widest_first = |typed: Vec<crate::text::fields::PositiveFraction>| {
            let mut ratios: Vec<f64> = typed.iter().map(|ratio| ratio.0.get()).collect();
            ratios.sort_by(|a, b| b.total_cmp(a));
            ratios.dedup();
            ratios
        };
        let rule = match typed {
            SizeFile::Fixed(ratio) => {
                if !(ratio > 0.0 && ratio <= 1.0) {
                    self.complain(path, format!("{ratio} is outside (0, 1]"));
                    return SizeRule::Fixed(1.0);
                }
                SizeRule::Fixed(ratio)
            }
            SizeFile::Fit(ratios) => SizeRule::Fit(widest_first(ratios)),
            SizeFile::Drawn(ratios) => SizeRule::Drawn(widest_first(ratios)),
        };
        if rule.ratios().is_empty() {
            self.complain(path, "expected at least one share of the width, found none");
        }
        rule
    }

    /// Every width that some client may have, with what it costs.
    pub(super) fn sizes(
        &mut self,
        population: &[Member],
        method: &MethodSpec,
        model: Option<&Architecture>,
        samples: Option<&DataSummary>,
    ) -> Vec<Width> {
        let (name, method) = (method.name(), method.method());
        for (index, member) in population.iter().enumerate() {
            let narrow = member.group.size.ratios().iter().any(|&ratio| ratio < 1.0);
            if narrow && !method.sizes() {
                self.complain_reading(
                    &["method"],
                    &format!("population[{index}].size"),
                    format!(
                        "{name} trains one size of model: expected a method with sub-models such as \
                         HeteroFL, or the scenario's width: 0.5 for a narrower model at every client"
                    ),
                );
                return Vec::new();
            }
        }
        let all = ratios(population.iter().map(|member| &member.group.size));
        if all.len() > MOST_LEVELS {
            let message = format!("{} sizes of model, at most {MOST_LEVELS} can be", all.len());
            self.complain_reading(&["population[].size"], "population", message);
            return Vec::new();
        }
        let (Some(model), Some(samples)) = (model, samples) else {
            return Vec::new();
        };
        let Ok(full) = model.built(samples) else {
            return Vec::new();
        };
        let mut widths = Vec::new();
        for ratio in all {
            if ratio < 1.0 && model.script.is_some() {
                // Told with all that a module of the user's cannot be.
                continue;
            }
            let built = match ratio {
                1.0 => Ok(full.clone()),
                narrower => method.sub_model(&full, narrower),
            };
            match built {
                Ok(sub) => widths.push(Width {
                    ratio,
                    parameters: sub.parameters(),
                    bytes: sub.layout().bytes(),
                    training_flops: sub.training_flops(),
                }),
                Err(error) => {
                    let who = population
                        .iter()
                        .position(|member| member.group.size.ratios().contains(&ratio));
                    for problem in &error.problems {
                        let message = format!("at size {ratio}, {}", problem.message);
                        self.complain(&format!("population[{}].size", who.unwrap_or(0)), message);
                    }
                }
            }
        }
        widths
    }

    /// What the server holds of the training samples.
    pub(super) fn public(
        &mut self,
        typed: Option<PublicFile>,
        method: &dyn Method,
    ) -> Option<Public> {
        if typed.is_none() && method.needs_public() {
            self.complain_reading(
                &["method"],
                "public",
                "the method learns from a public set: expected public: (share: 0.05), found none",
            );
        }
        let typed = typed?;
        for (field, share) in [("share", typed.share), ("select", typed.select)] {
            if share.0 >= Probability::ONE {
                self.complain(
                    &format!("public.{field}"),
                    "1 is outside (0, 1): nothing would be left",
                );
            }
        }
        Some(Public {
            share: typed.share.0,
            select: typed.select.0,
        })
    }
}
