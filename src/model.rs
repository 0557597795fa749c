//! Networks as data, and the parameters that travel between nodes.
//!
//! A network is a list of [`LayerSpec`]s, typed in a scenario or named by a preset
//! ([`presets`]). [`Model::build`] infers every shape, reports everything that does not fit, and
//! counts parameters, floating-point operations and activations. A built [`Model`] holds no
//! weights: its forward pass is a function of an explicit parameter list, so that a method may feed
//! it parameters that are themselves computed.
//!
//! Weights live in a [`ParamSet`], one flat vector that is frozen, shared and never written again,
//! or in a [`Buffer`], the unique and mutable form that a `ParamSet` is made from.
//!
//! - `layer`: the layer list as typed; `preset`: the named networks
//! - `plan`: shapes, checks and costs of a list; `error`: what can be wrong with it
//! - `layout`: where each tensor lies in the flat vector, and its role
//! - `units`: which parts of tensors are kept or dropped together; `sub_model`: narrower networks,
//!   their parameters taken from the full ones and added back; `pace`: how fast rolling ones move;
//!   `depth`: shallower networks; `level`: who has which size
//! - `params`, `buffer`, `elementwise`: frozen and mutable parameter vectors and their arithmetic
//! - `digest`, `wide`: their hash, and loops in wide registers
//! - `views`: the memory of tensors as slices; `spill`: frozen vectors that wait on disk
//! - `forward`: the functional forward pass; `mask`: dropout masks; `init`: initial weights;
//!   `statistics`: what batch normalisations are given
//! - `script`: networks of the user's own, as TorchScript
//! - [`weights`]: parameter sets in and out of files

mod buffer;
mod depth;
mod digest;
mod elementwise;
mod error;
mod forward;
mod init;
mod layer;
mod layout;
mod level;
mod mask;
mod pace;
mod params;
mod plan;
mod preset;
mod script;
mod spill;
mod statistics;
mod sub_model;
mod units;
mod views;
pub mod weights;
mod wide;

pub use buffer::Buffer;
pub use error::{LayerProblem, ModelError, ParamError};
pub use forward::Mode;
pub use init::Initializer;
pub use layer::{Gelu, Layer, LayerNorm, LayerSpec, PRelu, Start, Tensors};
pub use layout::{Entry, Layout, Layouts, Part, Place, Role};
pub use level::{Level, Sizes};
pub use mask::MaskSource;
pub use pace::Pace;
pub use params::ParamSet;
pub use plan::{Model, MAX_ACTIVATIONS, MAX_DEPTH, MAX_LAYERS, MAX_PARAMETERS};
pub use preset::{preset, presets, Preset, UnknownModel};
pub use script::{Script, ScriptError};
pub use spill::Spill;
pub use statistics::Statistics;
pub use sub_model::{PartialSum, Rounding, Selection};
pub use units::{Columns, EntryUnits, UnitSet, Units};
pub use views::ViewError;

pub(crate) use buffer::{Viewed, Views};
pub(crate) use error::first_line;
pub(crate) use forward::{by_batch, mean, parameter};
pub(crate) use params::largest;
pub(crate) use plan::{Op, NORM_EPS};
pub(crate) use script::Passed;
pub(crate) use views::{read, write_apart, Fresh};
pub(crate) use wide::wide;
