//! A rectifier that learns its slope.

use super::{Layer, Start, Tensors};
use crate::model::MaskSource;
use serde::{Deserialize, Serialize};
use tch::{TchError, Tensor};

/// x where it is positive, slope · x elsewhere, with one learned slope for each channel or feature (He et
/// al. 2015, equation 1). In a scenario: `PRelu(slope: 0.25)`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PRelu {
    /// Where all slopes begin.
    pub slope: f32,
}

impl Default for PRelu {
    fn default() -> Self {
        Self { slope: 0.25 }
    }
}

impl Layer for PRelu {
    fn problems(&self) -> Vec<String> {
        let slope = self.slope;
        let fits = (-10.0..=10.0).contains(&slope);
        let problem = || format!("expected slope from -10 to 10, got {slope}");
        (!fits).then(problem).into_iter().collect()
    }

    fn build(&self, input: &[usize], tensors: &mut Tensors<'_>) -> Result<Vec<usize>, String> {
        tensors.each_unit("weight", Start::Constant(self.slope))?;
        Ok(input.to_vec())
    }

    fn forward(
        &self,
        params: &[Tensor],
        x: &Tensor,
        _: Option<&mut MaskSource>,
    ) -> Result<Tensor, TchError> {
        let none = || TchError::Shape("PRelu has one tensor".into());
        x.f_prelu(params.first().ok_or_else(none)?)
    }

    fn takes_samples_apart(&self) -> bool {
        true
    }
}
