//! The devices of simulated clients and servers.

use crate::quantity::{nearest, Bytes, Flops, Power, Span, Speed};
use serde::Serialize;
use thiserror::Error;

/// The capabilities of a simulated device.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct VirtualDevice {
    /// The number of operations per second that training sustains.
    pub speed: Speed,
    /// The memory that a job may use.
    pub memory: Bytes,
    /// The time that a job takes before it computes anything. A server's job that begins at the end of
    /// another one does not take it.
    pub startup: Span,
    /// The power that the device draws while it computes.
    pub power: Power,
}

impl VirtualDevice {
    /// The duration of a job of `work` operations: the start-up time plus the time of the
    /// operations.
    pub fn duration(&self, work: Flops) -> Span {
        self.startup + self.speed.time_for(work)
    }

    /// Whether a job that needs `memory` can run on the device.
    pub fn fits(&self, memory: Bytes) -> bool {
        memory <= self.memory
    }
}

/// A device with a name.
#[derive(Debug, Clone, Copy)]
pub struct DevicePreset {
    /// The name in scenarios.
    pub name: &'static str,
    /// A description of the device in one line.
    pub about: &'static str,
    /// The sources of the figures, and which of them are derived.
    pub source: &'static str,
    gflops: f64,
    gigabytes: u64,
    startup: Span,
    watts: f64,
}

impl DevicePreset {
    /// The device with these figures; `None` if the speed of the table is invalid.
    pub fn device(&self) -> Option<VirtualDevice> {
        Some(VirtualDevice {
            speed: Speed::flops_per_second(self.gflops * 1e9)?,
            memory: Bytes(self.gigabytes * 1_000_000_000),
            startup: self.startup,
            power: Power::watts(self.watts)?,
        })
    }
}

/// A device name that no preset has.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("no device is called {name:?}{hint}; `shoal list devices` shows all")]
pub struct UnknownDevice {
    name: String,
    hint: String,
}

/// The presets. Start-up times are assumptions: loading a framework and a model takes seconds on a
/// phone or a board, and a fraction of a second in a process that stands ready on a larger machine.
/// Where no figure of a manufacturer is named, the power is an assumption, too: phones throttle
/// beyond a few watts.
const PRESETS: &[DevicePreset] = &[
    DevicePreset {
        name: "phone-low",
        about: "entry-level phone, CPU",
        source: "derived: a third of the least speed measured on flagship CPUs by Das et al. 2022 \
                 (arXiv:2202.10100); a quarter of 4 GB; power assumed",
        gflops: 5.0,
        gigabytes: 1,
        startup: Span::from_millis(2000),
        watts: 2.0,
    },
    DevicePreset {
        name: "phone-mid",
        about: "mid-range phone, CPU",
        source: "lower end of the 15–30 GFLOP/s that training kernels reach on Snapdragon 8 CPUs, Das et al. 2022 \
                 (arXiv:2202.10100); derived: a quarter of 8 GB; power assumed",
        gflops: 15.0,
        gigabytes: 2,
        startup: Span::from_millis(1500),
        watts: 3.0,
    },
    DevicePreset {
        name: "phone-high",
        about: "flagship phone, CPU",
        source: "upper end of the same measurement, Das et al. 2022 (arXiv:2202.10100); derived: a quarter of 12 GB; power assumed",
        gflops: 30.0,
        gigabytes: 3,
        startup: Span::from_millis(1000),
        watts: 5.0,
    },
    DevicePreset {
        name: "raspberry-pi-4",
        about: "Raspberry Pi 4 of 4 GB, CPU",
        source: "derived: twice the 8 GFLOP/s in double precision of High-Performance Linpack (Feiereisen 2022), \
                 since single precision fits twice as many values in a register; three quarters of 4 GB; power assumed",
        gflops: 16.0,
        gigabytes: 3,
        startup: Span::from_millis(2000),
        watts: 6.0,
    },
    DevicePreset {
        name: "jetson-nano",
        about: "NVIDIA Jetson Nano of 4 GB, GPU",
        source: "derived: a third of the peak 236 GFLOP/s in single precision (128 cores × 2 × 921 MHz); \
                 three quarters of the 4 GB that CPU and GPU share; power of its larger mode (NVIDIA)",
        gflops: 79.0,
        gigabytes: 3,
        startup: Span::from_millis(2000),
        watts: 10.0,
    },
    DevicePreset {
        name: "laptop",
        about: "four-core laptop, CPU",
        source: "derived: half the peak of 4 cores × 32 operations a cycle (AVX2, two multiply-add units) × 3 GHz; \
                 half of 16 GB; power assumed",
        gflops: 192.0,
        gigabytes: 8,
        startup: Span::from_millis(500),
        watts: 45.0,
    },
    DevicePreset {
        name: "workstation",
        about: "workstation with an NVIDIA RTX 3090",
        source: "derived: a third of the peak 35.6 TFLOP/s in single precision and all of the 24 GB (NVIDIA, GA102 \
                 white paper); board power (NVIDIA)",
        gflops: 11_900.0,
        gigabytes: 24,
        startup: Span::from_millis(200),
        watts: 350.0,
    },
    DevicePreset {
        name: "server",
        about: "data-centre server with an NVIDIA A100 of 40 GB",
        source: "derived: half the peak 19.5 TFLOP/s in single precision and all of the 40 GB (NVIDIA, A100 data sheet); power of the SXM module (NVIDIA)",
        gflops: 9_750.0,
        gigabytes: 40,
        startup: Span::from_millis(100),
        watts: 400.0,
    },
];

/// All presets, in the order in which they are listed.
pub fn device_presets() -> &'static [DevicePreset] {
    PRESETS
}

/// The device called `name`.
///
/// # Errors
/// When no preset has this name; the error names the nearest one.
pub fn device_preset(name: &str) -> Result<VirtualDevice, UnknownDevice> {
    PRESETS
        .iter()
        .find(|p| p.name == name)
        .and_then(DevicePreset::device)
        .ok_or_else(|| UnknownDevice {
            name: name.to_owned(),
            hint: nearest(name, PRESETS.iter().map(|p| p.name))
                .map(|near| format!("; did you mean {near:?}?"))
                .unwrap_or_default(),
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_takes_its_start_up_and_its_operations() {
        let device = VirtualDevice {
            speed: Speed::flops_per_second(2e9).unwrap(),
            memory: Bytes(1000),
            startup: Span::from_millis(250),
            power: Power::ZERO,
        };
        assert_eq!(
            device.duration(Flops(1_000_000_000)),
            Span::from_millis(750)
        );
        assert_eq!(device.duration(Flops(0)), Span::from_millis(250));
        assert!(device.fits(Bytes(1000)) && !device.fits(Bytes(1001)));
    }

    #[test]
    fn every_listed_device_can_be_had_by_name() {
        for preset in device_presets() {
            assert_eq!(Ok(preset.device().unwrap()), device_preset(preset.name));
        }
        assert_eq!(
            device_preset("raspberrypi-4").unwrap_err().to_string(),
            "no device is called \"raspberrypi-4\"; did you mean \"raspberry-pi-4\"?; `shoal list devices` shows all"
        );
    }
}
