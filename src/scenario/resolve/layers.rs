//! The layers around the method.

use super::Resolver;
use crate::compress::Compression;
use crate::method::{MethodSpec, Reports};

impl Resolver<'_> {
    /// What is wrong with the compression, by itself and around this method.
    pub(super) fn compression(&mut self, compression: Option<&Compression>, method: &MethodSpec) {
        let Some(compression) = compression else {
            return;
        };
        self.complain_of("compression", compression.scheme().check());
        let (name, method) = (method.name(), method.method());
        if method.reports() == Reports::Other {
            self.complain(
                "compression",
                format!(
                    "{name}'s clients report no models or updates: there is nothing to compress"
                ),
            );
        } else if compression.scheme().feedback() && method.sizes() {
            self.complain(
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
