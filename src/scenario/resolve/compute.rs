//! Whether a federation can be modelled without its arithmetic.

use super::draft::Draft;
use super::Resolver;
use crate::defend::DefenceSpec;
use crate::fault::{ClientFault, LinkFault, ReportFault, What};
use crate::federation::Compute;
use crate::scenario::file::ComputeFile;

impl Resolver<'_> {
    /// Which clients really train; complains of what depends on values where there are none.
    pub(super) fn compute(&mut self, typed: ComputeFile, around: &Draft<'_>) -> Compute {
        let compute = match typed {
            ComputeFile::Real => Compute::Real,
            ComputeFile::Modelled => Compute::Modelled,
            ComputeFile::Sampled(share) => Compute::Sampled(share.0),
        };
        if compute.is_real() {
            return compute;
        }
        if let Err(why) = around.method.method().modelled() {
            self.reading(&["method"], |r| {
                r.not_modelled("compute", around.method.name(), why);
            });
        }
        let layers = around.layers;
        let privacy = layers.privacy.as_ref().map(|layer| layer.name());
        let secure = layers.secure_aggregation.as_ref();
        let parts = [
            (
                "privacy",
                privacy,
                "its noise goes into values, and its epsilon would be of sums that were never made",
            ),
            (
                "secure_aggregation",
                secure.map(|layer| layer.name()),
                "what clients send depends on who else is asked and on who answers",
            ),
            (
                "defence",
                around.defence.map(DefenceSpec::name),
                "it compares the values of reports, and modelled ones have none",
            ),
        ];
        for (part, name, why) in parts {
            if let Some(name) = name {
                self.not_modelled(part, name, why);
            }
        }
        for (index, party) in around.adversaries.iter().enumerate() {
            let why = "it changes the values of reports, and modelled ones have none";
            self.not_modelled(
                &format!("adversaries[{index}].attack"),
                party.attack.name(),
                why,
            );
        }
        for (index, fault) in around.faults.iter().enumerate() {
            if changes_values(&fault.what) {
                let why = "whether the server uses such a report depends on its values";
                self.not_modelled(&format!("faults[{index}].fault"), fault.what.name(), why);
            }
        }
        if around.selection.selection().needs_accuracies() {
            let why = "it goes by accuracies of clients, and modelled learning has none";
            self.not_modelled("selection", around.selection.name(), why);
        }
        if around.selection.selection().needs_losses() {
            let why = "it goes by the losses of clients, and modelled ones have none";
            self.not_modelled("selection", around.selection.name(), why);
        }
        if compute.is_modelled() && around.schedule.stop_at_accuracy.is_some() {
            self.complain(
                "schedule.stop_at_accuracy",
                "compute: Modelled learns nothing, so there is no accuracy to stop at: expected \
                 compute: Real or Sampled(0.05), or schedule.stop_at_time",
            );
        }
        compute
    }

    fn not_modelled(&mut self, path: &str, name: &str, why: &str) {
        let message = format!("{name} cannot be modelled: {why}; expected compute: Real");
        self.complain(path, message);
    }
}

/// Whether the fault changes what a report says, and by that what becomes of it.
const fn changes_values(what: &What) -> bool {
    match what {
        What::Link(LinkFault::Corrupt { checksum, .. }) => !*checksum,
        What::Client(ClientFault::Report(report)) => matches!(
            report,
            ReportFault::NotANumber | ReportFault::Infinite | ReportFault::WrongShape
        ),
        What::Link(_) | What::Client(_) | What::Server(_) | What::Data(_) => false,
    }
}
