//! Virtual devices and local training.

use super::Resolver;
use crate::learn::{device_preset, device_presets, Amount, LocalTraining, VirtualDevice};
use crate::quantity::{Bytes, Distribution, Power, Span, Speed};
use crate::scenario::file::{DeviceFields, PresetOr, TrainingFile};

/// A device, and how the speeds of a group's devices differ.
pub(super) struct Devices {
    pub device: VirtualDevice,
    pub speed: Distribution,
}

/// What a device is that only says its speed.
const PLAIN: VirtualDevice = VirtualDevice {
    speed: Speed::ONE,
    memory: Bytes(u64::MAX),
    startup: Span::ZERO,
    power: Power::ZERO,
};

/// Local training of which nothing is said.
const DEFAULT: LocalTraining = LocalTraining::sgd(0.1);

impl Resolver<'_> {
    pub(super) fn device(&mut self, typed: PresetOr<DeviceFields>, path: &str) -> Devices {
        let fields = match typed {
            PresetOr::Preset(name) => DeviceFields {
                preset: Some(name),
                ..DeviceFields::default()
            },
            PresetOr::Fields(fields) => fields,
        };
        let named = fields.preset.is_some();
        let base = fields.preset.map_or(PLAIN, |name| {
            device_preset(&name).unwrap_or_else(|_| {
                let path = self.preset_path(path);
                self.unknown(
                    &path,
                    "a device",
                    &name,
                    device_presets().iter().map(|p| p.name),
                );
                PLAIN
            })
        });
        if !named && fields.speed.is_none() {
            self.complain(path, "expected a preset or a speed such as \"2 GFLOP/s\"");
        }
        let speed = match fields.speed {
            Some(speed) => speed.into_distribution(),
            None => Distribution::Constant(base.speed.get()),
        };
        let mut device = VirtualDevice {
            memory: fields.memory.map_or(base.memory, |size| size.0),
            startup: fields.startup.map_or(base.startup, |span| span.0),
            power: fields.power.map_or(base.power, |power| power.0),
            ..base
        };
        if let Some(mean) = Speed::flops_per_second(speed.mean()) {
            device.speed = mean;
        }
        Devices { device, speed }
    }

    /// Where a preset's name stands: at the field itself, or in its brackets.
    pub(super) fn preset_path(&self, path: &str) -> String {
        let inner = format!("{path}.preset");
        if self.document.span_of(&inner) == self.document.span_of(path) {
            path.to_string()
        } else {
            inner
        }
    }

    /// Local training: what is typed here, else what is typed in `fallback`, else the defaults.
    pub(super) fn training(
        &mut self,
        typed: &TrainingFile,
        fallback: Option<&TrainingFile>,
        path: &str,
    ) -> LocalTraining {
        let empty = TrainingFile::default();
        let fallback = fallback.unwrap_or(&empty);
        if typed.epochs.is_some() && typed.steps.is_some() {
            self.complain(path, "expected epochs or steps, found both");
        }
        // An amount given here hides either kind given there.
        let amount = match (typed.epochs, typed.steps, fallback.epochs, fallback.steps) {
            (Some(epochs), ..) | (None, None, Some(epochs), _) => Amount::Epochs(epochs),
            (None, Some(steps), ..) | (None, None, None, Some(steps)) => Amount::Steps(steps),
            (None, None, None, None) => Amount::default(),
        };
        // What is taken over from the scenario's training is reported there.
        let typed_here = typed.epochs.or(typed.steps).is_some();
        if let (true, Amount::Epochs(0) | Amount::Steps(0)) = (typed_here, amount) {
            let field = if typed.steps.is_some() {
                "steps"
            } else {
                "epochs"
            };
            self.complain(
                &format!("{path}.{field}"),
                "expected a whole number of 1 or more, found 0",
            );
        }
        let local = LocalTraining {
            amount,
            optimizer: typed
                .optimizer
                .clone()
                .or_else(|| fallback.optimizer.clone())
                .unwrap_or(DEFAULT.optimizer),
            schedule: typed
                .schedule
                .clone()
                .or_else(|| fallback.schedule.clone())
                .unwrap_or_default(),
            batch: typed.batch.or(fallback.batch).unwrap_or(DEFAULT.batch),
            clip: typed.clip.or(fallback.clip),
            precision: typed.precision.or(fallback.precision).unwrap_or_default(),
        };
        for problem in local.problems() {
            // A setting taken over from the scenario's training is reported there.
            let here = format!("{path}.{}", problem.path);
            let first = problem.path.split('.').next().unwrap_or_default();
            if path == "training"
                || self.document.span_of(&format!("{path}.{first}")) != self.document.span_of(path)
            {
                self.complain(&here, problem.message);
            }
        }
        local
    }
}
