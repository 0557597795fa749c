//! What a layer is to the rest of the crate, where it is not one of [`LayerSpec`](super::LayerSpec)'s
//! own variants.

use crate::model::MaskSource;
use tch::{TchError, Tensor};

/// A layer that a scenario can name, of this crate or of another.
///
/// Its gradient is autograd's, and a network that has it is trained one client at a time (its clients are
/// not stacked on a GPU), so a layer says what becomes of a sample's shape and of a batch, and no more.
pub trait Layer: Send + Sync {
    /// What is wrong with the settings, whatever the input: `"expected rate in [0, 1), got 2"`.
    fn problems(&self) -> Vec<String> {
        Vec::new()
    }

    /// The shape of a sample behind the layer, `[features]` or `[channels, height, width]`, for a sample of
    /// shape `input` before it. The tensors that it learns, and what a pass costs, are told to `tensors`.
    ///
    /// # Errors
    /// Why it does not take such an input, as `"expected …, got …"`.
    fn build(&self, input: &[usize], tensors: &mut Tensors<'_>) -> Result<Vec<usize>, String>;

    /// What becomes of the batch `x`, `[batch, input…]`, which must not be changed in place. `params` are
    /// the tensors in the order in which [`Layer::build`] has told them. In training there are `masks`,
    /// the only source of chance that a layer may use: anything else would make runs differ.
    ///
    /// # Errors
    /// What torch says.
    fn forward(
        &self,
        params: &[Tensor],
        x: &Tensor,
        masks: Option<&mut MaskSource>,
    ) -> Result<Tensor, TchError>;

    /// Whether what becomes of a sample depends on that sample and the parameters alone, so that a batch
    /// may be cut where memory is short. A layer that says nothing gets its batches whole.
    fn takes_samples_apart(&self) -> bool {
        false
    }
}

/// How a tensor begins.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Start {
    /// Every value is this one.
    Constant(f32),
    /// Drawn as the weights of a dense layer are, by the rule that the scenario names (`init`): so many
    /// inputs feed one output.
    FanIn(usize),
}

/// The tensors that a layer learns, and what it costs, as it tells them.
#[derive(Debug)]
pub struct Tensors<'a> {
    /// Shape of the input.
    input: &'a [usize],
    /// Units in its first dimension, and values of each.
    units: (usize, usize),
    pub(in crate::model) told: Vec<Told>,
    pub(in crate::model) flops: u64,
    pub(in crate::model) kept: u64,
    pub(in crate::model) fixed: bool,
}

/// One of them.
#[derive(Debug)]
pub(in crate::model) struct Told {
    pub name: &'static str,
    pub shape: Vec<usize>,
    pub start: Start,
    /// Whether sub-models have all of it.
    pub whole: bool,
}

impl<'a> Tensors<'a> {
    pub(in crate::model) const fn new(input: &'a [usize], units: (usize, usize)) -> Self {
        Self {
            input,
            units,
            told: Vec::new(),
            flops: 0,
            kept: 0,
            fixed: false,
        }
    }

    /// A vector with one value for each channel of the input, or for each feature. Sub-models have the
    /// values of the channels that they have.
    ///
    /// # Errors
    /// Behind `Flatten`, where a channel has become several features.
    pub fn each_unit(&mut self, name: &'static str, start: Start) -> Result<(), String> {
        let (units, each) = self.units;
        if each > 1 {
            return Err(format!(
                "expected it before Flatten, got {each} features for each of {units} channels"
            ));
        }
        self.tell(name, vec![units], start, false);
        Ok(())
    }

    /// A tensor with one value for each value of a sample before the layer, in its shape. Sub-models have
    /// the values of the channels or features that they have.
    pub fn each_value(&mut self, name: &'static str, start: Start) {
        self.tell(name, self.input.to_vec(), start, false);
    }

    /// A tensor of this shape that every sub-model has whole. Layers before and behind keep all of their
    /// units at this place then, however narrow the network is elsewhere.
    pub fn whole(&mut self, name: &'static str, shape: &[usize], start: Start) {
        self.fixed = true;
        self.tell(name, shape.to_vec(), start, true);
    }

    /// Says that channels or features are mixed or moved, so that sub-models must keep all of them here.
    /// Where the layer has a [whole](Self::whole) tensor or changes their number, that is known.
    pub const fn mixes_units(&mut self) {
        self.fixed = true;
    }

    /// Floating-point operations of a forward pass over one sample; a multiply-add is two.
    pub const fn takes_flops(&mut self, flops: u64) {
        self.flops = self.flops.saturating_add(flops);
    }

    /// Values that training keeps for the reverse pass of one sample, beside what the layer puts out.
    pub const fn keeps(&mut self, values: u64) {
        self.kept = self.kept.saturating_add(values);
    }

    fn tell(&mut self, name: &'static str, shape: Vec<usize>, start: Start, whole: bool) {
        self.told.push(Told {
            name,
            shape,
            start,
            whole,
        });
    }

    /// Why the tensors cannot be, if they cannot.
    pub(in crate::model) fn problem(&self) -> Option<String> {
        let letters = |name: &str| {
            let mut bytes = name.bytes();
            bytes.next().is_some_and(|b| b.is_ascii_alphabetic())
                && bytes.all(|b| b.is_ascii_alphanumeric() || b == b'_')
        };
        let mut names: Vec<&str> = Vec::new();
        for tensor in &self.told {
            let name = tensor.name;
            if !letters(name) || names.contains(&name) {
                return Some(format!(
                    "expected tensors with names of their own, in letters, digits and _, got {name:?}"
                ));
            }
            if tensor.shape.is_empty() || tensor.shape.contains(&0) {
                let shape = &tensor.shape;
                return Some(format!(
                    "expected a tensor {name} with values, got shape {shape:?}"
                ));
            }
            names.push(name);
        }
        None
    }
}
