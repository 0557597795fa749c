//! A layer of your own: `Swish(beta: 1.0)`, x · σ(βx) with a β that is learned for each channel or feature
//! (Ramachandran, Zoph and Le 2017).
//!
//! ```sh
//! cargo run --release --example own_layer -- run examples/own_layer.ron
//! ```

use serde::{Deserialize, Serialize};
use shoal::model::{Layer, MaskSource, Start, Tensors};
use shoal::registry::{Registry, Taken};
use tch::{TchError, Tensor};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Swish {
    /// Where every β begins.
    beta: f32,
}

impl Layer for Swish {
    fn problems(&self) -> Vec<String> {
        let beta = self.beta;
        let problem = || format!("expected beta from 0 to 10, got {beta}");
        let fits = (0.0..=10.0).contains(&beta);
        (!fits).then(problem).into_iter().collect()
    }

    /// One β for each channel, which narrower networks have for the channels that they have.
    fn build(&self, input: &[usize], tensors: &mut Tensors<'_>) -> Result<Vec<usize>, String> {
        tensors.each_unit("beta", Start::Constant(self.beta))?;
        let values: usize = input.iter().product();
        tensors.takes_flops(4 * values as u64);
        // The sigmoid is needed again for the gradient, which is autograd's.
        tensors.keeps(values as u64);
        Ok(input.to_vec())
    }

    fn forward(
        &self,
        params: &[Tensor],
        x: &Tensor,
        _: Option<&mut MaskSource>,
    ) -> Result<Tensor, TchError> {
        // [channels] against [batch, channels, ...].
        let mut shape = vec![1; x.dim()];
        shape[1] = -1;
        let beta = params[0].f_view(shape.as_slice())?;
        x.f_mul(&x.f_mul(&beta)?.f_sigmoid()?)
    }

    /// What becomes of a sample depends on that sample alone.
    fn takes_samples_apart(&self) -> bool {
        true
    }
}

/// What scenarios may name now. It fails where something else has the name.
pub fn add(registry: &mut Registry) -> Result<(), Taken> {
    let about = "x times a sigmoid of x with a learned slope";
    registry.add::<dyn Layer, Swish>("Swish", about)
}

fn main() -> Result<std::process::ExitCode, Taken> {
    let mut registry = Registry::standard();
    add(&mut registry)?;
    registry.install();
    Ok(shoal::cli::main())
}
