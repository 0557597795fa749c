//! Shapes, checks and costs of a layer list.

mod infer;
mod values;

use super::units::UnitsBuilder;
use super::{weights, Layer, LayerSpec, Layout, ModelError, Script, Units};
use crate::quantity::{Bytes, Flops};
use crate::registry::Spec;
use std::ops::Range;
use std::sync::Arc;

/// The most parameters a network may have (4 GiB of them).
pub const MAX_PARAMETERS: usize = 1 << 30;
/// The most values one layer may put out, and all layers together keep, for one sample.
pub const MAX_ACTIVATIONS: u64 = 1 << 30;
/// The most layers, those inside residual blocks included.
pub const MAX_LAYERS: usize = 10_000;
/// How deep residual blocks may nest.
pub const MAX_DEPTH: usize = 8;

/// Added to the variance by normalisations, as in PyTorch.
pub(crate) const NORM_EPS: f64 = 1e-5;

/// One step of the forward pass, with the indices of its parameters in the layout.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Op {
    Conv {
        weight: usize,
        bias: Option<usize>,
        stride: i64,
        padding: i64,
    },
    Dense {
        weight: usize,
        bias: Option<usize>,
    },
    Relu,
    Tanh,
    Sigmoid,
    MaxPool {
        size: i64,
        stride: i64,
    },
    AvgPool {
        size: i64,
        stride: i64,
    },
    GlobalAvgPool,
    Flatten,
    /// A 16-bit draw below `threshold` drops the value.
    Dropout {
        threshold: u16,
    },
    /// In training, multiplies by `factor`.
    Scaler {
        factor: f64,
    },
    GroupNorm {
        groups: i64,
        weight: usize,
        bias: usize,
    },
    BatchNorm {
        weight: usize,
        bias: usize,
        mean: usize,
        square: usize,
    },
    Residual {
        body: Vec<Op>,
        shortcut: Vec<Op>,
    },
    /// A module of the user's, whose parameters are all of the layout.
    Script {
        script: Arc<Script>,
    },
    /// A layer of the registry, with its tensors in its own order.
    Other {
        layer: Spec<dyn Layer>,
        tensors: Vec<usize>,
    },
    /// Passes its input on; the head's result is one more set of class scores.
    Exit {
        head: Vec<Op>,
    },
}

/// A network whose shapes have been checked. It holds no weights.
#[derive(Debug, Clone, PartialEq)]
pub struct Model {
    layers: Vec<LayerSpec>,
    input: Vec<usize>,
    classes: usize,
    ops: Vec<Op>,
    shapes: Vec<Vec<usize>>,
    layout: Arc<Layout>,
    units: Arc<Units>,
    flops: u64,
    activations: u64,
    frozen: Arc<[Range<usize>]>,
}

impl Model {
    /// Checks that `layers` take samples of shape `input` to `classes` scores.
    ///
    /// # Errors
    /// Every value that breaks a rule, and the first shape that does not fit.
    pub fn build(
        layers: &[LayerSpec],
        input: &[usize],
        classes: usize,
    ) -> Result<Self, ModelError> {
        infer::model(layers, input, classes)
    }

    /// A module of the user's own, which takes samples of shape `input` to `classes` scores. `flops` are the
    /// operations of a forward pass over a sample, `activations` the values that training keeps for a sample:
    /// nobody can read them off a program. It has no layers and no units.
    pub fn of_script(
        script: &Arc<Script>,
        input: &[usize],
        classes: usize,
        (flops, activations): (u64, u64),
    ) -> Self {
        Self {
            layers: Vec::new(),
            input: input.to_vec(),
            classes,
            ops: vec![Op::Script {
                script: Arc::clone(script),
            }],
            shapes: vec![vec![classes]],
            layout: Arc::clone(script.initial().layout()),
            units: Arc::new(UnitsBuilder::default().build()),
            flops,
            activations,
            frozen: Arc::default(),
        }
    }

    /// The user's module that it is, if it is one.
    pub fn script(&self) -> Option<&Arc<Script>> {
        match self.ops.as_slice() {
            [Op::Script { script }] => Some(script),
            _ => None,
        }
    }

    /// The same network of which nobody trains the layers and tensors at `paths` (`layers.0`), by the names
    /// that they have in PyTorch ([`weights::torch_name`]). Paths that it has not freeze nothing.
    pub fn freezing(mut self, paths: &[String]) -> Self {
        let entries = self.layout.entries().iter().map(|entry| {
            let name = weights::torch_name(entry);
            paths.iter().any(|path| weights::is_below(&name, path))
        });
        let entries: Vec<bool> = entries.collect();
        self.frozen = self.ranges_of(&entries);
        self
    }

    /// The same network with those tensors frozen that are in `full`, of which it is a narrower form: with
    /// the same tensors in the same order, whatever layers lie between them.
    pub fn freezing_as(mut self, full: &Self) -> Self {
        let entries = full.layout.entries().iter().map(|entry| {
            let mut frozen = full.frozen.iter();
            frozen.any(|range| range.contains(&entry.offset))
        });
        let entries: Vec<bool> = entries.collect();
        self.frozen = self.ranges_of(&entries);
        self
    }

    /// The same network, whose statistics are queried ([`Layout::queried`]).
    pub fn querying(mut self) -> Self {
        self.layout = Arc::new(self.layout.queried());
        self
    }

    /// Where the chosen tensors lie, neighbours together.
    fn ranges_of(&self, chosen: &[bool]) -> Arc<[Range<usize>]> {
        let mut frozen: Vec<Range<usize>> = Vec::new();
        let entries = self.layout.entries().iter().zip(chosen);
        for (entry, _) in entries.filter(|(entry, chosen)| **chosen && entry.len > 0) {
            let end = entry.offset + entry.len;
            match frozen.last_mut().filter(|last| last.end == entry.offset) {
                Some(last) => last.end = end,
                None => frozen.push(entry.offset..end),
            }
        }
        frozen.into()
    }

    /// Where the values lie that nobody trains, in the order of the flat vector; apart from each other.
    pub fn frozen(&self) -> &Arc<[Range<usize>]> {
        &self.frozen
    }

    /// The layers it was built from.
    pub fn layers(&self) -> &[LayerSpec] {
        &self.layers
    }

    /// Shape of one sample.
    pub fn input(&self) -> &[usize] {
        &self.input
    }

    /// Number of scores.
    pub const fn classes(&self) -> usize {
        self.classes
    }

    /// Shape of one sample after layer `index`.
    pub fn shape_after(&self, index: usize) -> Option<&[usize]> {
        self.shapes.get(index).map(Vec::as_slice)
    }

    /// Where each parameter lies in the flat vector.
    pub const fn layout(&self) -> &Arc<Layout> {
        &self.layout
    }

    /// Which parts of its tensors are kept or dropped together in sub-models.
    pub const fn units(&self) -> &Arc<Units> {
        &self.units
    }

    /// Number of parameters.
    pub fn parameters(&self) -> usize {
        self.layout.total()
    }

    pub(crate) fn ops(&self) -> &[Op] {
        &self.ops
    }

    /// Whether the first layer that computes anything works on images, so that a batch is best laid
    /// out with the channel as its fastest dimension.
    pub(crate) fn starts_with_images(&self) -> bool {
        // A module or a layer of the user's may look at its batch as it lies in memory.
        let other = matches!(
            self.ops.first(),
            Some(Op::Flatten | Op::Script { .. } | Op::Other { .. }) | None
        );
        self.input.len() == 3 && !other
    }

    /// One forward pass over one sample. Convolutions, dense layers and their biases are counted (a
    /// multiply-add is two operations); activations, pooling and normalisation, about a hundredth
    /// of the whole, are not.
    pub const fn forward_flops(&self) -> Flops {
        Flops(self.flops)
    }

    /// Whether it has statistics that are queried when an aggregated model is evaluated
    /// ([`Layout::queried`]).
    pub fn queries_statistics(&self) -> bool {
        self.layout.queries() > 0
    }

    /// Whether it has statistics that each client measures at the end of its local training.
    pub fn measures_statistics(&self) -> bool {
        self.has_statistics() && !self.queries_statistics()
    }

    /// Whether it has statistics, which are measured instead of learned.
    pub fn has_statistics(&self) -> bool {
        self.layout
            .entries()
            .iter()
            .any(|e| e.role.part.is_statistic())
    }

    /// One training step over one sample: three forward passes, since the gradients with respect to
    /// inputs and to weights each cost about one.
    pub const fn training_flops(&self) -> Flops {
        Flops(self.flops.saturating_mul(3))
    }

    /// Values that training keeps for the reverse pass, per sample: the input, what each layer puts
    /// out (flattening puts out nothing new) and dropout's masks.
    pub const fn activations(&self) -> u64 {
        self.activations
    }

    /// Memory that training on batches of `batch` takes: parameters, gradients, `extra_copies` of
    /// the parameters (optimiser state, correction terms) and activations.
    pub fn training_memory(&self, batch: u64, extra_copies: u64) -> Bytes {
        let parameters = self
            .layout
            .bytes()
            .0
            .saturating_mul(extra_copies.saturating_add(2));
        let activations = self.activations.saturating_mul(4).saturating_mul(batch);
        Bytes(parameters.saturating_add(activations))
    }
}
