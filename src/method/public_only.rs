//! Training on the public set alone, a control: the server trains the global model on the public
//! samples and asks no client. It shows how much of a method's result the public set alone would
//! have given.

use super::public_tuning::{tuned, PublicTuning};
use super::server_training::{Alone, Nobody};
use super::{ClientHalf, Method, MethodError, ReportKind, ServerHalf, Setup};
use crate::learn::LocalTraining;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Training on the public set alone: each round makes the passes of the settings.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PublicOnly(pub PublicTuning);

impl Method for PublicOnly {
    fn check(&self, _: &LocalTraining) -> Vec<(&'static str, String)> {
        let problems = self.0.check().into_iter();
        problems.map(|(_, message)| ("", message)).collect()
    }

    fn needs_public(&self) -> bool {
        true
    }

    fn reports(&self) -> ReportKind {
        ReportKind::Nothing
    }

    fn freezes(&self) -> Result<(), &'static str> {
        Ok(())
    }

    fn stops_early(&self) -> Result<(), &'static str> {
        Err("no client trains")
    }

    fn server(&self, setup: Setup) -> Result<Box<dyn ServerHalf>, MethodError> {
        let global = setup.initial.clone();
        tuned(Alone { global }, Some(&self.0), &setup)
    }

    fn client(&self) -> Arc<dyn ClientHalf> {
        Arc::new(Nobody)
    }
}
