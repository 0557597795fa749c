//! Training and evaluation: what it computes on the host, and what it costs a simulated device.
//!
//! A [`TrainJob`] is a pure function of its fields: [`train`] gives the same bits every time, on
//! whichever worker thread it runs, and may be rerun if a worker fails. Its virtual duration comes
//! from [`cost`](Cost) and a [`VirtualDevice`], never from how long the host took.
//!
//! - `virtual_device`: phones to servers; `cost`: operations, memory and time of a job
//! - `host`: the CPU or GPU that really computes; `data`: samples where it reads them
//! - `local`: optimiser settings and schedules; `update`: their arithmetic
//! - `tape`: forward and reverse pass; `dense`: kernels for small batches; `loss`: cross entropy
//! - `train`, `evaluate`, `distill`, `importance`: the jobs
//! - `error`: what can go wrong

mod cost;
mod data;
mod dense;
mod distill;
mod error;
mod evaluate;
mod host;
mod importance;
mod local;
mod loss;
mod tape;
mod train;
mod update;
mod virtual_device;

pub use cost::Cost;
pub use data::{DeviceData, Features, Normalisation};
pub use distill::{class_scores, distill, score_loss, DistillJob, ScoreLoss};
pub use error::LearnError;
pub use evaluate::{evaluate, Tally};
pub use host::{prepare_worker_thread, HostDevice, HostError};
pub use importance::{importance, ImportanceJob};
pub use local::{Amount, LocalTraining, Optimizer, Schedule, SettingProblem};
pub use loss::cross_entropy;
pub use tape::{Gradients, Tape};
pub use train::{train, Correction, Samples, Scratch, TrainJob, Trained};
pub use virtual_device::{
    device_preset, device_presets, DevicePreset, UnknownDevice, VirtualDevice,
};
