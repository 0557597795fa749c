//! Training and evaluation: the computation on the host, and its cost on a simulated device.
//!
//! A [`TrainJob`] is trained by [`train`], a pure function of the job: it gives the same bits every
//! time, on any worker thread, and may be run again if a worker fails. The virtual duration of a
//! job comes from its [`Cost`] and a [`VirtualDevice`], never from how long the host took.
//!
//! - `virtual_device`: simulated devices, from phones to servers
//! - `cost`: operations and memory of a job
//! - `host`: the CPU or GPU that really computes
//! - `admission`: the memory of the host device
//! - `data`: samples in the form that training reads
//! - `local`: settings of local training: optimiser, schedule, batches
//! - `update`: the arithmetic of the optimisers
//! - `tape`: forward and reverse pass
//! - `perceptron`: dense networks without torch
//! - `dense`: kernels for dense layers with small batches
//! - `loss`: cross entropy
//! - `train`, `evaluate`: the two kinds of job
//! - `course`: the batches of a job
//! - `stack`, `stacked`: jobs that run together
//! - `statistics`: what batch normalisations are given
//! - `objective`: training on another loss than cross entropy
//! - `ordered`: ordered dropout
//! - `exits`: networks whose classifiers teach each other
//! - `distill`: training towards given class scores
//! - `soft`: the distance from soft targets
//! - `importance`: the importance of units, with fixed weights
//! - `precision`: the precision of matrix products
//! - `error`: the errors of jobs

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
mod statistics;
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
pub use statistics::{statistics, with_statistics};
pub use tape::{Gradients, Tape};
pub use train::{train, Correction, FastPath, Samples, Scratch, TrainJob, Trained};
pub use virtual_device::{
    device_preset, device_presets, DevicePreset, UnknownDevice, VirtualDevice,
};
