//! Walks a layer list with the shape of a sample in hand.

use super::values::{check_values, problem, threshold, MAX_SIZE};
use super::{Model, Op, MAX_ACTIVATIONS, MAX_PARAMETERS};
use crate::model::units::{Columns, EntryUnits, UnitsBuilder};
use crate::model::{
    first_line, Layer, LayerProblem, LayerSpec, Layout, ModelError, Part, Place, Role, Start,
    Tensors,
};
use std::sync::Arc;
use tch::{Device, Kind, TchError, Tensor};

pub(super) fn model(
    layers: &[LayerSpec],
    input: &[usize],
    classes: usize,
) -> Result<Model, ModelError> {
    let mut problems = Vec::new();
    let mut count = 0;
    if layers.is_empty() {
        problem(
            &mut problems,
            "layers",
            "expected at least one layer, got none",
        );
    }
    if classes == 0 {
        problem(
            &mut problems,
            "layers",
            "expected at least one class, got 0",
        );
    }
    let sized = |n: &usize| (1..=MAX_SIZE).contains(n);
    if !matches!(input.len(), 1 | 3) || !input.iter().all(sized) {
        problem(
            &mut problems,
            "layers",
            format!(
                "expected samples of shape [features] or [channels, height, width] with sizes from 1 to {MAX_SIZE}, got {input:?}"
            ),
        );
    }
    check_values(layers, "layers", 0, &mut count, &mut problems);
    if !problems.is_empty() {
        return Err(ModelError { problems });
    }

    let mut walk = Walk {
        layout: Layout::default(),
        flops: 0,
        activations: input.iter().map(|&n| n as u64).product(),
        weighted: Vec::new(),
        classes,
        heads: Vec::new(),
        units: UnitsBuilder::default(),
    };
    let inputs = walk.units.fixed(input[0]);
    let start = Flow {
        shape: input.to_vec(),
        units: Columns {
            set: inputs,
            each: 1,
        },
    };
    let mut shapes = Vec::with_capacity(layers.len());
    let (ops, scores) = walk
        .list(layers, "layers", start, &mut Some(&mut shapes))
        .and_then(|(ops, output)| {
            if output.shape == [classes] {
                return Ok((ops, output.units.set));
            }
            let output = output.shape;
            Err(LayerProblem {
                path: format!("layers[{}]", layers.len() - 1),
                message: format!(
                    "the network's output must have shape [{classes}], one score per class, got {output:?}; \
                     end with Dense({classes})"
                ),
            })
        })
        .map_err(|problem| ModelError {
            problems: vec![problem],
        })?;
    walk.place();
    walk.units.fix(scores);
    Ok(Model {
        layers: layers.to_vec(),
        input: input.to_vec(),
        classes,
        ops,
        shapes,
        layout: Arc::new(walk.layout),
        units: Arc::new(walk.units.build()),
        flops: walk.flops,
        activations: walk.activations,
        frozen: Arc::default(),
    })
}

/// What has been counted on the way.
struct Walk {
    layout: Layout,
    flops: u64,
    activations: u64,
    /// Entries of each convolution and dense layer, in order.
    weighted: Vec<(usize, Option<usize>)>,
    /// Scores that every head must end in.
    classes: usize,
    /// Which of the weighted layers is the last of an exit's head.
    heads: Vec<usize>,
    /// Which tensors change their sizes together.
    units: UnitsBuilder,
}

/// A value between two layers: its shape for one sample, and whose units it is made of.
#[derive(Clone)]
struct Flow {
    shape: Vec<usize>,
    units: Columns,
}

type Shapes<'a> = Option<&'a mut Vec<Vec<usize>>>;

impl Walk {
    /// The operations of a list and the shape they end with; records the shape after each layer.
    fn list(
        &mut self,
        layers: &[LayerSpec],
        path: &str,
        mut flow: Flow,
        shapes: &mut Shapes,
    ) -> Result<(Vec<Op>, Flow), LayerProblem> {
        let mut ops = Vec::with_capacity(layers.len());
        for (i, layer) in layers.iter().enumerate() {
            let here = format!("{path}[{i}]");
            let (op, next) = self
                .layer(layer, &here, &flow)
                .map_err(|message| match message {
                    Fault::Here(message) => LayerProblem {
                        path: here.clone(),
                        message: format!("{}: {message}", layer.name()),
                    },
                    Fault::Inside(problem) => problem,
                })?;
            if let Some(shapes) = shapes {
                shapes.push(next.shape.clone());
            }
            flow = next;
            ops.push(op);
        }
        Ok((ops, flow))
    }

    fn layer(&mut self, layer: &LayerSpec, path: &str, flow: &Flow) -> Result<(Op, Flow), Fault> {
        let shape = flow.shape.as_slice();
        let mut units = flow.units;
        let (op, next) = match layer {
            LayerSpec::Conv {
                out,
                kernel,
                stride,
                padding,
                bias,
            } => {
                let [channels, height, width] = image(shape)?;
                let side = |n| windows(n, *kernel, *stride, *padding);
                let (rows, columns) = (side(height)?, side(width)?);
                let fan_in = (channels as u64)
                    .checked_mul((*kernel as u64).pow(2))
                    .ok_or_else(too_many_parameters)?;
                let places = (rows * columns) as u64;
                let (weight, bias) = self.weighted(
                    path,
                    vec![*out, channels, *kernel, *kernel],
                    fan_in,
                    *bias,
                    places,
                    &mut units,
                )?;
                let op = Op::Conv {
                    weight,
                    bias,
                    stride: *stride as i64,
                    padding: *padding as i64,
                };
                (op, vec![*out, rows, columns])
            }
            LayerSpec::Dense(out, bias) => {
                let [features] = *shape else {
                    return Err(Fault::Here(format!(
                        "expected input of shape [features], got {shape:?}; put Flatten before it"
                    )));
                };
                let (weight, bias) = self.weighted(
                    path,
                    vec![*out, features],
                    features as u64,
                    *bias,
                    1,
                    &mut units,
                )?;
                (Op::Dense { weight, bias }, vec![*out])
            }
            LayerSpec::Relu => (Op::Relu, shape.to_vec()),
            LayerSpec::Tanh => (Op::Tanh, shape.to_vec()),
            LayerSpec::Sigmoid => (Op::Sigmoid, shape.to_vec()),
            LayerSpec::MaxPool { size, stride } => {
                let stride = stride.unwrap_or(*size);
                let op = Op::MaxPool {
                    size: *size as i64,
                    stride: stride as i64,
                };
                (op, pooled(shape, *size, stride)?)
            }
            LayerSpec::AvgPool { size, stride } => {
                let stride = stride.unwrap_or(*size);
                let op = Op::AvgPool {
                    size: *size as i64,
                    stride: stride as i64,
                };
                (op, pooled(shape, *size, stride)?)
            }
            LayerSpec::GlobalAvgPool => (Op::GlobalAvgPool, vec![image(shape)?[0]]),
            LayerSpec::Flatten => {
                let features = shape.iter().product();
                units.each *= shape.iter().skip(1).product::<usize>();
                let next = Flow {
                    shape: vec![features],
                    units,
                };
                return Ok((Op::Flatten, next));
            }
            LayerSpec::Scaler { rate } => {
                let op = Op::Scaler {
                    factor: 1.0 / *rate,
                };
                (op, shape.to_vec())
            }
            LayerSpec::Dropout { rate } => {
                self.keep(shape)?;
                let op = Op::Dropout {
                    threshold: threshold(*rate) as u16,
                };
                (op, shape.to_vec())
            }
            LayerSpec::GroupNorm { groups } => {
                let channels = image(shape)?[0];
                if channels % groups != 0 {
                    return Err(Fault::Here(format!(
                        "expected groups that divide the {channels} channels of {shape:?}, got {groups}"
                    )));
                }
                let [weight, bias] =
                    self.norm(path, channels, units, [Part::Weight, Part::Bias])?;
                let op = Op::GroupNorm {
                    groups: *groups as i64,
                    weight,
                    bias,
                };
                (op, shape.to_vec())
            }
            LayerSpec::BatchNorm => {
                let channels = image(shape)?[0];
                let parts = [Part::Weight, Part::Bias, Part::Mean, Part::Square];
                let [weight, bias, mean, square] = self.norm(path, channels, units, parts)?;
                let op = Op::BatchNorm {
                    weight,
                    bias,
                    mean,
                    square,
                };
                (op, shape.to_vec())
            }
            LayerSpec::Exit { head } => {
                let before = self.weighted.len();
                if before == 0 {
                    return Err(Fault::Here(
                        "expected a convolution or dense layer before it, got none".to_owned(),
                    ));
                }
                let (head, out) =
                    self.list(head, &format!("{path}.head"), flow.clone(), &mut None)?;
                if out.shape != [self.classes] {
                    let (classes, found) = (self.classes, out.shape);
                    return Err(Fault::Here(format!(
                        "head must end in shape [{classes}], one score per class, got {found:?}"
                    )));
                }
                self.units.fix(out.units.set);
                if self.weighted.len() > before {
                    self.heads.push(self.weighted.len() - 1);
                }
                return Ok((Op::Exit { head }, flow.clone()));
            }
            LayerSpec::Residual { body, shortcut } => {
                let (body, out) =
                    self.list(body, &format!("{path}.body"), flow.clone(), &mut None)?;
                let (shortcut, other) = self.list(
                    shortcut,
                    &format!("{path}.shortcut"),
                    flow.clone(),
                    &mut None,
                )?;
                if out.shape != other.shape {
                    let (out, other) = (out.shape, other.shape);
                    return Err(Fault::Here(format!(
                        "body and shortcut must end in one shape, got {out:?} and {other:?}"
                    )));
                }
                // What is added up has the same units on both sides.
                self.units.unite(out.units.set, other.units.set);
                units = out.units;
                (Op::Residual { body, shortcut }, out.shape)
            }
            LayerSpec::Other(spec) => {
                let (tensors, next) = self.other(spec.get(), path, flow, &mut units)?;
                let op = Op::Other {
                    layer: spec.clone(),
                    tensors,
                };
                (op, next)
            }
        };
        self.keep(&next)?;
        Ok((op, Flow { shape: next, units }))
    }

    /// Counts an output that the reverse pass needs.
    fn keep(&mut self, shape: &[usize]) -> Result<(), Fault> {
        let values = shape
            .iter()
            .try_fold(1u64, |product, &n| product.checked_mul(n as u64))
            .filter(|&n| n <= MAX_ACTIVATIONS)
            .ok_or_else(|| {
                Fault::Here(format!(
                    "one sample's output of shape {shape:?} has more than the {MAX_ACTIVATIONS} values allowed"
                ))
            })?;
        self.activations += values;
        if self.activations > MAX_ACTIVATIONS {
            return Err(Fault::Here(format!(
                "up to here one sample needs {} values, the most allowed is {MAX_ACTIVATIONS}",
                self.activations
            )));
        }
        Ok(())
    }

    /// Adds the tensors of a convolution or dense layer and counts its operations.
    fn weighted(
        &mut self,
        path: &str,
        shape: Vec<usize>,
        fan_in: u64,
        bias: bool,
        places: u64,
        units: &mut Columns,
    ) -> Result<(usize, Option<usize>), Fault> {
        let out = shape[0];
        let rows = self.units.set(out);
        let role = |part| Role {
            place: Place::Hidden,
            part,
        };
        let weight = self.tensor(path, shape, role(Part::Weight), fan_in)?;
        self.units.entry(EntryUnits {
            rows,
            columns: Some(*units),
        });
        let bias = if bias {
            self.units.entry(EntryUnits {
                rows,
                columns: None,
            });
            Some(self.tensor(path, vec![out], role(Part::Bias), fan_in)?)
        } else {
            None
        };
        *units = Columns { set: rows, each: 1 };
        let per_output = 2 * fan_in + u64::from(bias.is_some());
        let flops = (out as u64)
            .checked_mul(places)
            .and_then(|outputs| outputs.checked_mul(per_output))
            .and_then(|flops| self.flops.checked_add(flops));
        self.flops = flops
            .ok_or_else(|| Fault::Here("needs more operations than can be counted".to_owned()))?;
        self.weighted.push((weight, bias));
        Ok((weight, bias))
    }

    /// Adds the tensors of a layer of the registry; their numbers, and the shape behind it.
    fn other(
        &mut self,
        layer: &dyn Layer,
        path: &str,
        flow: &Flow,
        units: &mut Columns,
    ) -> Result<(Vec<usize>, Vec<usize>), Fault> {
        let of_units = (self.units.size(units.set), units.each);
        let mut tensors = Tensors::new(&flow.shape, of_units);
        let next = layer
            .build(&flow.shape, &mut tensors)
            .map_err(Fault::Here)?;
        if let Some(problem) = tensors.problem() {
            return Err(Fault::Here(problem));
        }
        let sized = |n: &usize| (1..=MAX_SIZE).contains(n);
        if !matches!(next.len(), 1 | 3) || !next.iter().all(sized) {
            return Err(Fault::Here(format!(
                "expected a result of shape [features] or [channels, height, width], got {next:?}"
            )));
        }
        tried(layer, &tensors, &flow.shape, &next).map_err(Fault::Here)?;
        // Who cannot say which units its values belong to gets all of them, in every sub-model.
        let ends = tensors.fixed || next.first() != flow.shape.first();
        let mut numbers = Vec::with_capacity(tensors.told.len());
        for told in tensors.told {
            let rows = match told.whole {
                true => self.units.fixed(told.shape[0]),
                false => units.set,
            };
            let (start, fan_in) = match told.start {
                Start::Constant(value) => (Some(value), 1),
                Start::FanIn(inputs) => (None, inputs),
            };
            let role = Role {
                place: Place::Hidden,
                part: Part::Own,
            };
            let number = self.named(
                &format!("{path}.{}", told.name),
                told.shape,
                role,
                fan_in as u64,
            )?;
            self.layout.set_start(number, start);
            self.units.entry(EntryUnits {
                rows,
                columns: None,
            });
            numbers.push(number);
        }
        if ends {
            self.units.fix(units.set);
            *units = Columns {
                set: self.units.fixed(next[0]),
                each: 1,
            };
        }
        let too_many = || Fault::Here("needs more operations than can be counted".to_owned());
        self.flops = self.flops.checked_add(tensors.flops).ok_or_else(too_many)?;
        self.activations = self.activations.saturating_add(tensors.kept);
        Ok((numbers, next))
    }

    /// Adds the vectors of a normalisation of `units`.
    fn norm<const N: usize>(
        &mut self,
        path: &str,
        channels: usize,
        units: Columns,
        parts: [Part; N],
    ) -> Result<[usize; N], Fault> {
        let mut entries = [0; N];
        for (slot, part) in entries.iter_mut().zip(parts) {
            let role = Role {
                place: Place::Norm,
                part,
            };
            *slot = self.tensor(path, vec![channels], role, channels as u64)?;
            self.units.entry(EntryUnits {
                rows: units.set,
                columns: None,
            });
        }
        Ok(entries)
    }

    fn tensor(
        &mut self,
        path: &str,
        shape: Vec<usize>,
        role: Role,
        fan_in: u64,
    ) -> Result<usize, Fault> {
        let part = match role.part {
            Part::Weight => "weight",
            Part::Bias => "bias",
            Part::Mean => "mean",
            Part::Square => "square",
            Part::Own => "own",
        };
        self.named(&format!("{path}.{part}"), shape, role, fan_in)
    }

    fn named(
        &mut self,
        name: &str,
        shape: Vec<usize>,
        role: Role,
        fan_in: u64,
    ) -> Result<usize, Fault> {
        shape
            .iter()
            .try_fold(1usize, |product, &n| product.checked_mul(n))
            .and_then(|len| self.layout.total().checked_add(len))
            .filter(|&total| total <= MAX_PARAMETERS)
            .ok_or_else(too_many_parameters)?;
        Ok(self
            .layout
            .push(name.to_owned(), shape, role, fan_in as usize))
    }

    /// Marks the first convolution or dense layer, and those that give scores.
    fn place(&mut self) {
        let last = self.weighted.len().saturating_sub(1);
        for (i, (weight, bias)) in std::mem::take(&mut self.weighted).into_iter().enumerate() {
            let place = match (i == 0, i == last || self.heads.contains(&i)) {
                (true, true) => Place::Only,
                (true, false) => Place::First,
                (false, true) => Place::Last,
                (false, false) => Place::Hidden,
            };
            self.layout.set_place(weight, place);
            if let Some(bias) = bias {
                self.layout.set_place(bias, place);
            }
        }
    }
}

/// A problem of the layer at hand, or one that a list inside it has already located.
enum Fault {
    Here(String),
    Inside(LayerProblem),
}

impl From<LayerProblem> for Fault {
    fn from(problem: LayerProblem) -> Self {
        Self::Inside(problem)
    }
}

/// Whether a pass over two samples of zeros gives what the layer has said: who is wrong about that would be
/// found out by the first client that trains.
fn tried(
    layer: &dyn Layer,
    tensors: &Tensors<'_>,
    input: &[usize],
    next: &[usize],
) -> Result<(), String> {
    // One value, seen everywhere: however large a tensor is, it takes no memory.
    let zeros = |shape: &[i64]| {
        let zero = Tensor::f_zeros([1], (Kind::Float, Device::Cpu))?;
        zero.f_expand(shape, false)
    };
    let batch = |sample: &[usize]| -> Vec<i64> {
        let sizes = sample.iter().map(|&size| size as i64);
        std::iter::once(2).chain(sizes).collect()
    };
    let pass = || {
        let told = tensors.told.iter();
        let dims = told.map(|told| told.shape.iter().map(|&n| n as i64).collect::<Vec<i64>>());
        let params = dims.map(|dims| zeros(&dims));
        let params = params.collect::<Result<Vec<_>, TchError>>()?;
        layer.forward(&params, &zeros(&batch(input))?, None)
    };
    let found = tch::no_grad(pass).map_err(|error| {
        let input = batch(input);
        format!(
            "cannot pass a batch of shape {input:?}: {}",
            first_line(&error)
        )
    })?;
    if found.size() != batch(next) {
        return Err(format!(
            "expected a pass that gives shape {:?}, as the layer says, got {:?}",
            batch(next),
            found.size()
        ));
    }
    Ok(())
}

fn too_many_parameters() -> Fault {
    Fault::Here(format!(
        "the network would have more than the {MAX_PARAMETERS} parameters allowed"
    ))
}

fn image(shape: &[usize]) -> Result<[usize; 3], Fault> {
    <[usize; 3]>::try_from(shape).map_err(|_| {
        Fault::Here(format!(
            "expected input of shape [channels, height, width], got {shape:?}"
        ))
    })
}

/// How many positions a window takes along a side.
fn windows(side: usize, size: usize, stride: usize, padding: usize) -> Result<usize, Fault> {
    let padded = side + 2 * padding;
    let free = padded.checked_sub(size).ok_or_else(|| {
        Fault::Here(format!(
            "expected an input side of at least {size} (with padding), got {padded}"
        ))
    })?;
    Ok(free / stride + 1)
}

fn pooled(shape: &[usize], size: usize, stride: usize) -> Result<Vec<usize>, Fault> {
    let [channels, height, width] = image(shape)?;
    Ok(vec![
        channels,
        windows(height, size, stride, 0)?,
        windows(width, size, stride, 0)?,
    ])
}

#[cfg(test)]
mod tests;
