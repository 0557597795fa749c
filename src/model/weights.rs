//! Weights in and out of files, in the form that PyTorch's users have: [safetensors], with the names and
//! shapes of an `nn.Module` whose `layers` are an `nn.Sequential` of the same layers.
//!
//! - `names`: what a tensor is called in such a file
//! - `write`: a parameter set as the bytes of a file
//! - `read`: a file as a parameter set, all of it checked
//! - `architecture`: the layers beside it, as JSON
//!
//! A batch normalisation keeps the mean square of what it gets ([`super::Part::Square`]), PyTorch's keeps
//! the variance. Files have the variance, as evaluation computes it.
//!
//! [safetensors]: https://github.com/huggingface/safetensors

mod architecture;
mod names;
mod read;
mod write;

pub use architecture::{Architecture, Inputs};
pub use names::torch_name;
pub use read::{is_below, unknown_paths, Drawn, ReadError, WeightsFile};
pub use write::{to_bytes, WriteError};
