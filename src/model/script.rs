//! A network of the user's own: a TorchScript module, as `torch.jit.script` or `torch.jit.trace` makes one.
//!
//! To the rest of the crate it is one operation with a list of parameters. The module keeps tensors of its
//! own; before a pass the parameters at hand are copied into them, so a pass is a function of its
//! parameters as it is for any other network. Several workers run copies of the module, one each.
//!
//! A module is a program. Loading it unpacks an archive and running it runs what is in it, with the rights
//! of this process: use only files that you trust (`docs/scenario.md` says so, too). What is checked here
//! is that it does what training relies on: it takes a batch and gives class scores, its parameters are of
//! single precision and no two of them are one, it keeps nothing from pass to pass, and draws no random
//! numbers.

use super::views::Fresh;
use super::{Layout, ParamError, ParamSet, Part, Place, Role, MAX_PARAMETERS};
use crate::disk;
use std::collections::BTreeMap;
use std::io::{self, Cursor};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use tch::{CModule, Device, Kind, TchError, Tensor};
use thiserror::Error;
use xxhash_rust::xxh3::xxh3_64;

/// Samples of the batch that a module is tried with: enough for statistics over a batch to show.
const TRIED: i64 = 3;
/// What a file may have beside its parameters: code, names, alignment.
const BESIDE: u64 = 64 << 20;

/// Why a module cannot be used.
#[derive(Debug, Error)]
pub enum ScriptError {
    /// The file cannot be read.
    #[error("cannot read: {0}")]
    Io(#[from] io::Error),
    /// Torch does not take it.
    #[error("torch cannot load it: {0}")]
    Load(String),
    /// It does not do what training relies on.
    #[error("{0}")]
    Unfit(String),
    /// Its parameters cannot be copied.
    #[error(transparent)]
    Params(#[from] ParamError),
}

/// A TorchScript module and as many copies of it as run at once.
pub struct Script {
    bytes: Vec<u8>,
    digest: u64,
    initial: ParamSet,
    /// Copies that nobody runs now.
    idle: Mutex<Vec<Loaded>>,
}

/// One copy of the module on one device.
struct Loaded {
    module: CModule,
    /// Its tensors, in the order of the layout.
    params: Vec<Tensor>,
    device: Device,
    trains: bool,
}

impl std::fmt::Debug for Script {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Script({:016x})", self.digest)
    }
}

/// Two are equal when their files are.
impl PartialEq for Script {
    fn eq(&self, other: &Self) -> bool {
        self.digest == other.digest && self.bytes == other.bytes
    }
}

impl Script {
    /// Reads a module and tries it on a few samples of shape `input`.
    ///
    /// # Errors
    /// When it cannot be read or loaded, or does not give `classes` scores a sample, has parameters that are
    /// not of single precision or that are one, keeps state or draws random numbers.
    pub fn open(path: &Path, input: &[usize], classes: usize) -> Result<Arc<Self>, ScriptError> {
        let length = disk::open(path)?.metadata()?.len();
        let most = MAX_PARAMETERS as u64 * 4 + BESIDE;
        if length > most {
            return Err(ScriptError::Unfit(format!(
                "the file has {length} bytes, the most allowed is {most}"
            )));
        }
        let bytes = disk::read(path)?;
        let first = Loaded::load(&bytes, Device::Cpu)?;
        let (layout, values) = first.layout()?;
        let script = Self {
            digest: xxh3_64(&bytes),
            bytes,
            initial: ParamSet::from_slice(&Arc::new(layout), &values)?,
            idle: Mutex::new(vec![first]),
        };
        script.try_out(input, classes)?;
        Ok(Arc::new(script))
    }

    /// Its parameters as they are in the file.
    pub const fn initial(&self) -> &ParamSet {
        &self.initial
    }

    /// 64 bits of the file.
    pub const fn digest(&self) -> u64 {
        self.digest
    }

    /// Class scores of `x` under `params`, measuring; nothing is kept for a reverse pass.
    pub(crate) fn scores(&self, params: &[Tensor], x: &Tensor) -> Result<Tensor, TchError> {
        let mut copy = self.take(x.device())?;
        let scores = tch::no_grad(|| copy.run(params, x, false));
        self.put(copy);
        scores
    }

    /// The same in training: the scores, and what is needed to go back from them.
    pub(crate) fn forward(
        self: &Arc<Self>,
        params: &[Tensor],
        x: &Tensor,
    ) -> Result<(Passed, Tensor), TchError> {
        let mut copy = self.take(x.device())?;
        let scores = tch::with_grad(|| copy.run(params, x, true))?;
        let passed = Passed {
            script: Arc::clone(self),
            copy: Some(copy),
            scores: scores.shallow_clone(),
        };
        Ok((passed, scores.f_detach()?))
    }

    /// A copy for one pass.
    fn take(&self, device: Device) -> Result<Loaded, TchError> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(place) = idle.iter().position(|copy| copy.device == device) {
            return Ok(idle.swap_remove(place));
        }
        drop(idle);
        Loaded::load(&self.bytes, device).map_err(|error| TchError::Torch(error.to_string()))
    }

    fn put(&self, copy: Loaded) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.push(copy);
    }

    fn try_out(&self, input: &[usize], classes: usize) -> Result<(), ScriptError> {
        let ran = |error: TchError| {
            let line = told(&error);
            ScriptError::Unfit(format!(
                "it cannot be run on a batch of samples of shape {input:?}: {line}"
            ))
        };
        let mut shape = vec![TRIED];
        shape.extend(input.iter().map(|&n| n as i64));
        let x = samples(&shape, 0.37).map_err(ran)?;
        let other = samples(&shape, 0.91).map_err(ran)?;
        let mut copy = self.take(Device::Cpu).map_err(ran)?;
        let params = self.initial.views()?;
        let mut run = |x: &Tensor, trains: bool| tch::no_grad(|| copy.run(&params, x, trains));
        let before = run(&x, false).map_err(ran)?;
        let expected = [TRIED, classes as i64];
        if before.size() != expected {
            return Err(ScriptError::Unfit(format!(
                "expected scores of shape {expected:?} for {TRIED} samples of {classes} classes, got {:?}",
                before.size()
            )));
        }
        if before.f_kind().map_err(ran)? != Kind::Float {
            return Err(ScriptError::Unfit(
                "expected scores of single precision".into(),
            ));
        }
        let trained = run(&other, true).map_err(ran)?;
        let again = run(&other, true).map_err(ran)?;
        let after = run(&x, false).map_err(ran)?;
        if !same(&before, &after)? {
            return Err(ScriptError::Unfit(
                "it keeps something from one pass to the next, as BatchNorm does with its running averages: \
                 expected a module that keeps nothing, such as one with GroupNorm, or BatchNorm2d(…, \
                 track_running_stats=False)"
                    .into(),
            ));
        }
        if !same(&trained, &again)? {
            return Err(ScriptError::Unfit(
                "it draws random numbers in training, as Dropout does, and a run could not be repeated: \
                 expected a module that draws none (dropout=0)"
                    .into(),
            ));
        }
        self.put(copy);
        Ok(())
    }
}

/// What went wrong, in a line: the last that names an error, of a trace through the module's code.
fn told(error: &TchError) -> String {
    let text = match error {
        TchError::Torch(text) => text.clone(),
        other => other.to_string(),
    };
    let named = text.lines().rfind(|line| line.contains("Error: "));
    let line = named.or_else(|| text.lines().next()).unwrap_or_default();
    line.chars().take(300).collect()
}

/// Numbers without a pattern that a module could be blind to.
fn samples(shape: &[i64], step: f64) -> Result<Tensor, TchError> {
    let count: i64 = shape.iter().product();
    let mut fresh = Fresh::unwritten(&[count])?;
    for (place, value) in fresh.values()?.iter_mut().enumerate() {
        *value = libm::sin(place as f64 * step + step) as f32;
    }
    fresh.into_tensor().f_reshape(shape)
}

/// Whether two results have the same bits; what is no number is the same as itself.
fn same(a: &Tensor, b: &Tensor) -> Result<bool, ScriptError> {
    let bits = |tensor: &Tensor| -> Result<Vec<u32>, TchError> {
        let here = tensor.f_contiguous()?;
        let mut values = vec![0f32; here.numel()];
        let count = values.len();
        here.f_copy_data(&mut values, count)?;
        Ok(values.iter().map(|value| value.to_bits()).collect())
    };
    let load = |error: TchError| ScriptError::Load(error.to_string());
    Ok(bits(a).map_err(load)? == bits(b).map_err(load)?)
}

impl Loaded {
    fn load(bytes: &[u8], device: Device) -> Result<Self, ScriptError> {
        let load = |error: TchError| ScriptError::Load(told(&error));
        let mut module =
            CModule::load_data_on_device(&mut Cursor::new(bytes), device).map_err(load)?;
        module.f_set_eval().map_err(load)?;
        let named = module.named_parameters().map_err(load)?;
        let params = named.into_iter().map(|(_, tensor)| {
            // What somebody has frozen in Python is `freeze`'s to freeze here.
            tensor.f_set_requires_grad(true)
        });
        let params = params.collect::<Result<Vec<Tensor>, _>>().map_err(load)?;
        Ok(Self {
            module,
            params,
            device,
            trains: false,
        })
    }

    /// The tensors by their names, and their values.
    fn layout(&self) -> Result<(Layout, Vec<f32>), ScriptError> {
        let load = |error: TchError| ScriptError::Load(error.to_string());
        let (mut layout, mut values) = (Layout::default(), Vec::new());
        let mut problems = Vec::new();
        let mut places: BTreeMap<usize, String> = BTreeMap::new();
        for (name, tensor) in self.module.named_parameters().map_err(load)? {
            let kind = tensor.f_kind().map_err(load)?;
            if kind != Kind::Float {
                problems.push(format!(
                    "its parameter {name:?} is of kind {kind:?}; expected single precision (.float())"
                ));
                continue;
            }
            let count = tensor.numel();
            if count == 0 || values.len() + count > MAX_PARAMETERS {
                problems.push(format!(
                    "its parameter {name:?} has {count} values; expected 1 or more, {MAX_PARAMETERS} in all"
                ));
                continue;
            }
            if let Some(first) = places.insert(tensor.data_ptr() as usize, name.clone()) {
                problems.push(format!(
                    "its parameters {first:?} and {name:?} are one tensor; expected one of their own each"
                ));
                continue;
            }
            let shape: Vec<usize> = tensor.size().iter().map(|&n| n as usize).collect();
            let fan_in = shape.iter().skip(1).product();
            let role = Role {
                place: Place::Hidden,
                part: Part::Weight,
            };
            let from = values.len();
            values.resize(from + count, 0.0);
            let flat = tensor.f_detach().and_then(|tensor| tensor.f_contiguous());
            let flat = flat.map_err(load)?;
            flat.f_copy_data(&mut values[from..], count).map_err(load)?;
            layout.push(name, shape, role, fan_in);
        }
        if layout.entries().is_empty() && problems.is_empty() {
            problems.push("it has no parameters to train".into());
        }
        match problems.is_empty() {
            true => Ok((layout, values)),
            false => Err(ScriptError::Unfit(problems.join("; "))),
        }
    }

    /// Class scores of `x` under `given`, by the module's code as it stands.
    fn run(&mut self, given: &[Tensor], x: &Tensor, trains: bool) -> Result<Tensor, TchError> {
        if given.len() != self.params.len() {
            return Err(TchError::Shape(format!(
                "the module has {} parameters, the list has {}",
                self.params.len(),
                given.len()
            )));
        }
        // Optimised code may round otherwise than what it was made of, and is made after a few passes:
        // whether it is would depend on what a worker did before. The switch is this thread's.
        tch::jit::f_set_graph_executor_optimize(false)?;
        if self.trains != trains {
            match trains {
                true => self.module.f_set_train()?,
                false => self.module.f_set_eval()?,
            }
            self.trains = trains;
        }
        tch::no_grad(|| {
            let mut both = self.params.iter_mut().zip(given);
            both.try_for_each(|(own, given)| own.f_copy_(given))
        })?;
        self.module.forward_ts(&[x])
    }
}

/// A pass in training that can be gone back from, once.
pub(crate) struct Passed {
    script: Arc<Script>,
    /// Until it is dropped, nobody else writes to its tensors.
    copy: Option<Loaded>,
    scores: Tensor,
}

impl std::fmt::Debug for Passed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "a pass of {:?}", self.script)
    }
}

impl Passed {
    /// The gradients of the parameters, in the order of the layout, where `g` is that of the scores. One that
    /// nothing depends on is undefined.
    pub fn gradients(&self, g: &Tensor) -> Result<Vec<Tensor>, TchError> {
        let leaves = self.copy.as_ref().map_or(&[][..], |copy| &copy.params);
        tch::with_grad(|| {
            let root = self.scores.f_mul(g)?.f_sum(None)?;
            Tensor::f_run_backward(&[root], leaves, false, false)
        })
    }
}

impl Drop for Passed {
    fn drop(&mut self) {
        if let Some(copy) = self.copy.take() {
            self.script.put(copy);
        }
    }
}

#[cfg(test)]
mod tests;
