//! The layers around the method.

use super::{Resolver, CLIENTS, SHAPES};
use crate::attack::Adversary;
use crate::compress::Compression;
use crate::defend::DefenceSpec;
use crate::federation::{Layers, Schedule, QUERIED_CLIENTS};
use crate::method::MethodSpec;
use crate::model::LayerSpec;
use crate::privacy::{CentralDp, Privacy};
use crate::scenario::Architecture;

impl Resolver<'_> {
    /// What is wrong with the layers, by themselves, around this method, and with each other.
    pub(super) fn layers(
        &mut self,
        layers: &Layers,
        method: &MethodSpec,
        model: Option<&Architecture>,
        schedule: &Schedule,
        clients: u32,
    ) {
        let cohort = schedule.cohort.of(clients);
        if let Some(compression) = &layers.compression {
            self.compression(compression, method);
        }
        if let Some(privacy) = &layers.privacy {
            self.reading(&["schedule", CLIENTS, "privacy.*"], |r| {
                r.complain_of("privacy", privacy.check(cohort));
            });
            self.whole("privacy", privacy.name(), method);
            if model.is_some_and(has_statistics) {
                let message = "means and variances that BatchNorm measures cannot be clipped and \
                               noised with the weights: expected GroupNorm";
                self.complain_reading(&SHAPES, "privacy", message);
            }
        }
        if let Some(secure) = &layers.secure_aggregation {
            let part = "secure_aggregation";
            let asked = libm::ceil(f64::from(cohort) * schedule.over_selection) as u32;
            let problems = secure.settings().check(asked.min(clients), cohort);
            self.reading(&["schedule", CLIENTS, "secure_aggregation.*"], |r| {
                r.complain_of(part, problems);
            });
            self.whole(part, secure.name(), method);
            if let Some(compression) = &layers.compression {
                let message = format!(
                    "what {} makes of updates cannot be added up under masks: expected one of the \
                     two ({} already quantises to its bits)",
                    compression.name(),
                    secure.name()
                );
                self.complain_reading(&["compression?"], part, message);
            }
            if let Some(Privacy::CentralDp(CentralDp {
                adaptive: Some(_), ..
            })) = &layers.privacy
            {
                let message = "a server that sees only sums cannot let the bound follow single \
                               updates: expected CentralDp without adaptive";
                self.complain_reading(&["privacy.*"], part, message);
            }
        }
    }

    /// Complains of what must look at single reports where the server has their sum only.
    pub(super) fn sums_only(
        &mut self,
        layers: &Layers,
        defence: Option<&DefenceSpec>,
        adversaries: &[Adversary],
    ) {
        let central = match &layers.privacy {
            Some(privacy @ Privacy::CentralDp(_)) => Some(privacy.name()),
            _ => None,
        };
        let secure = layers
            .secure_aggregation
            .as_ref()
            .map(|secure| secure.name());
        let Some(layer) = secure.or(central) else {
            return;
        };
        if let Some(defence) = defence {
            let message = format!(
                "{} looks at single reports, and behind {layer} there is only their sum: expected \
                 one of the two",
                defence.name()
            );
            self.complain("defence", message);
        }
        for (index, adversary) in adversaries.iter().enumerate() {
            if adversary.attack.attack().craft().is_some() {
                let message = format!(
                    "{} is made of other clients' reports, and behind {layer} there is only their \
                     sum: expected an attack on own reports such as SignFlip",
                    adversary.attack.name()
                );
                self.complain(&format!("adversaries[{index}].attack"), message);
            }
        }
    }

    /// Complains if the clients of the method report anything but one model or update.
    fn whole(&mut self, part: &str, layer: &str, method: &MethodSpec) {
        if !method.method().reports().is_whole() {
            let name = method.name();
            self.complain_reading(
                &["method?"],
                part,
                format!(
                    "{layer} needs reports that are one model or update of the whole network, \
                     {name}'s are not: expected a method such as FedAvg, FedProx or FedAdam"
                ),
            );
        }
    }

    /// On the samples of how many clients statistics are queried; `None` where none are. `typed` is what
    /// the file says.
    pub(super) fn statistics_clients(
        &mut self,
        typed: Option<u32>,
        method: &MethodSpec,
        model: Option<&Architecture>,
    ) -> Option<u32> {
        let model = model?;
        let field = "evaluation.statistics_clients";
        let queried = method.method().queries_statistics() && has_statistics(model);
        match typed {
            Some(_) if !queried => {
                let [data, layers, width] = SHAPES;
                let message = format!(
                    "{} has no statistics that are measured on an aggregated model: expected a \
                     method that merges sub-models, such as HeteroFL, and a network with BatchNorm, \
                     or no statistics_clients",
                    method.name()
                );
                self.complain_reading(&["method", data, layers, width], field, message);
                None
            }
            Some(0) => {
                let message = "expected a number of clients of 1 or more, found 0";
                self.complain_reading(&[], field, message);
                None
            }
            typed => queried.then(|| typed.unwrap_or(QUERIED_CLIENTS)),
        }
    }

    fn compression(&mut self, compression: &Compression, method: &MethodSpec) {
        for (field, message) in compression.scheme().check() {
            self.complain_within("compression", field, message);
        }
        let (name, method) = (method.name(), method.method());
        if !method.reports().is_parameters() {
            self.complain_reading(
                &["method?"],
                "compression",
                format!(
                    "{name}'s clients report no models or updates: there is nothing to compress"
                ),
            );
        } else if compression.scheme().feedback() && method.sizes() {
            self.complain_reading(
                &["method?"],
                "compression",
                format!(
                    "error feedback keeps what was not sent for the same values next time, and \
                     {name}'s clients may then hold others: expected error_feedback: false"
                ),
            );
        }
    }

    /// Notes mistakes in the fields of a layer, each with its field (empty: the layer as a whole).
    fn complain_of(&mut self, part: &str, problems: Vec<(&'static str, String)>) {
        for (field, message) in problems {
            match field {
                "" => self.complain(part, message),
                field => self.complain(&format!("{part}.{field}"), message),
            }
        }
    }
}

/// Whether some layer has statistics that are measured.
fn has_statistics(model: &Architecture) -> bool {
    any(&model.layers, &|layer| {
        matches!(layer, LayerSpec::BatchNorm)
    })
}

/// Whether some layer is `wanted`, at whatever depth.
fn any(layers: &[LayerSpec], wanted: &impl Fn(&LayerSpec) -> bool) -> bool {
    layers.iter().any(|layer| {
        wanted(layer)
            || match layer {
                LayerSpec::Residual { body, shortcut } => {
                    any(body, wanted) || any(shortcut, wanted)
                }
                LayerSpec::Exit { head } => any(head, wanted),
                _ => false,
            }
    })
}
