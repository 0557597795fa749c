//! Training and evaluation: what it computes on the host, and what it costs a simulated device.
//!
//! A [`TrainJob`] is a pure function of its fields: [`train`] gives the same bits every time, on
//! whichever worker thread it runs, and may be rerun if a worker fails. Its virtual duration comes
//! from [`cost`](Cost) and a [`VirtualDevice`], never from how long the host took.
//!
//! - `virtual_device`: phones to servers; `cost`: operations, memory and time of a job
//! - `host`: the CPU or GPU that really computes; `admission`: its memory; `data`: samples where it reads them
//! - `local`: optimiser settings and schedules; `update`: their arithmetic
//! - `tape`: forward and reverse pass; `perceptron`: dense networks without torch; `dense`: kernels
//!   for small batches; `loss`: cross entropy
//! - `train`, `evaluate`: the jobs; `course`: the batches of a job; `stack`, `stacked`: jobs that
//!   run together
//! - `objective`: training on another loss; `ordered`: ordered dropout;
//!   `exits`: classifiers that teach each other; `distill`: towards given scores; `soft`: distance
//!   from soft targets; `importance`: of units, while weights stay
//! - `error`: what can go wrong

mod admission;
mod cost;
mod course;
mod data;
mod dense;
mod distill;
mod error;
mod evaluate;
mod exits;
mod host;
mod importance;
mod local;
mod loss;
mod objective;
mod ordered;
mod perceptron;
mod precision;
mod soft;
mod stack;
mod stacked;
mod tape;
mod train;
mod update;
mod virtual_device;

pub use admission::{Admission, Permit};
pub use cost::Cost;
pub(crate) use course::go_on;
pub use data::{DeviceData, Features, Normalisation};
pub use distill::{class_scores, distill, ScoreLoss};
pub use error::LearnError;
pub use evaluate::{evaluate, EvaluationSums, HeldOut};
pub use exits::train_exits;
pub use host::{available_memory, prepare_worker_thread, total_memory, HostDevice, HostError};
pub use importance::importance;
pub use local::{Amount, LocalTraining, Optimizer, Schedule, SettingProblem};
pub use loss::{cross_entropy, masked_cross_entropy};
pub use ordered::{train_ordered, SelfDistillation};
pub use precision::Precision;
pub use soft::divergence;
pub use stack::stack;
pub use stacked::{train_all, train_stack};
pub use tape::{Gradients, Tape};
pub use train::{train, Correction, Samples, Scratch, TrainJob, Trained};
pub use virtual_device::{
    device_preset, device_presets, DevicePreset, UnknownDevice, VirtualDevice,
};
