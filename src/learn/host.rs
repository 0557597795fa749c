//! The device of this machine that really computes.

use super::Precision;
use crate::quantity::Bytes;
use std::fmt;
use std::str::FromStr;
use tch::Device;
use thiserror::Error;

/// A CPU or GPU of the host, as `--device` on the command line names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum HostDevice {
    /// The CPU, written `cpu`.
    #[default]
    Cpu,
    /// The GPU with this number, written `cuda:N`.
    Cuda(usize),
}

/// Why a host device cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum HostError {
    /// The text names no device.
    #[error("expected a device such as \"cpu\" or \"cuda:0\", got {0:?}")]
    Name(String),
    /// This libtorch cannot use CUDA.
    #[error("{device} was asked for, but this libtorch cannot use CUDA: {reason}; use --device cpu, or install a CUDA build of libtorch 2.11 and set LIBTORCH")]
    NoCuda {
        /// The device that was asked for.
        device: HostDevice,
        /// The message of the library loader.
        reason: String,
    },
    /// The host has fewer GPUs than the number of the device requires.
    #[error("{device} was asked for, but the host has {found} CUDA devices")]
    NoSuchDevice {
        /// The device that was asked for.
        device: HostDevice,
        /// The number of GPUs.
        found: usize,
    },
}

impl fmt::Display for HostDevice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cpu => f.write_str("cpu"),
            Self::Cuda(index) => write!(f, "cuda:{index}"),
        }
    }
}

impl FromStr for HostDevice {
    type Err = HostError;

    fn from_str(text: &str) -> Result<Self, HostError> {
        let digits = match text {
            "cpu" => return Ok(Self::Cpu),
            "cuda" => "0",
            _ => text.strip_prefix("cuda:").unwrap_or_default(),
        };
        // Torch counts devices in a signed byte, so numbers end at 127.
        match digits.parse::<usize>() {
            Ok(index) if index < 128 && !digits.starts_with('+') => Ok(Self::Cuda(index)),
            _ => Err(HostError::Name(text.to_owned())),
        }
    }
}

impl HostDevice {
    /// Makes the device ready. This must happen before anything else asks torch for CUDA.
    ///
    /// # Errors
    /// When torch cannot use CUDA here, or there is no such GPU.
    pub fn open(self) -> Result<Device, HostError> {
        self.open_for(Precision::Single)
    }

    /// As [`Self::open`], with tensor cores switched on for TF32 if `most` is [`Precision::Tf32`].
    /// Otherwise they are switched off, since torch would use them for convolutions in single
    /// precision without being asked. The setting holds for the whole process, and only if CUDA is
    /// not in use yet.
    ///
    /// # Errors
    /// The errors of [`Self::open`].
    /// As [`Self::open`].
    pub fn open_for(self, most: Precision) -> Result<Device, HostError> {
        let Self::Cuda(index) = self else {
            return Ok(Device::Cpu);
        };
        match most {
            Precision::Tf32 => std::env::set_var("TORCH_ALLOW_TF32_CUBLAS_OVERRIDE", "1"),
            // NVIDIA's libraries read this variable when they are loaded.
            Precision::Single | Precision::Bf16 => std::env::set_var("NVIDIA_TF32_OVERRIDE", "0"),
        }
        load_cuda().map_err(|reason| HostError::NoCuda {
            device: self,
            reason,
        })?;
        if !tch::Cuda::is_available() {
            return Err(HostError::NoCuda {
                device: self,
                reason: "no usable GPU or driver".to_owned(),
            });
        }
        let found = usize::try_from(tch::Cuda::device_count()).unwrap_or(0);
        if index >= found {
            return Err(HostError::NoSuchDevice {
                device: self,
                found,
            });
        }
        Ok(Device::Cuda(index))
    }
}

impl HostDevice {
    /// The memory that jobs may use together if the user sets no limit: on the CPU the memory that
    /// the system has left, on a GPU a part of what even small GPUs have.
    pub fn available(self) -> Bytes {
        match self {
            Self::Cpu => available_memory().unwrap_or(Bytes(u64::MAX)),
            Self::Cuda(_) => GPU_MEMORY,
        }
    }

    /// The memory limit of stacks: that of the user, or on a GPU a limit that is equal for every
    /// run.
    pub fn stack_limit(self, given: Option<Bytes>) -> Option<Bytes> {
        given.or(match self {
            Self::Cpu => None,
            Self::Cuda(_) => Some(GPU_MEMORY),
        })
    }
}

/// The memory of a GPU that jobs may use if the user sets no limit. It is a constant, since torch's
/// C++ interface does not report a GPU's memory.
const GPU_MEMORY: Bytes = Bytes(6 << 30);

/// Loads the CUDA part of torch, which registers itself. The linker leaves it out of the binary
/// because the program names none of its symbols.
fn load_cuda() -> Result<(), String> {
    // SAFETY: the library belongs to the libtorch this binary runs on; its initialisers register
    // kernels and nothing else.
    let library =
        unsafe { libloading::Library::new("libtorch_cuda.so") }.map_err(|e| e.to_string())?;
    // Registered kernels point into the library, so it must never be unloaded.
    std::mem::forget(library);
    Ok(())
}

/// The host memory that is still available to programs, as Linux estimates it; `None` on other
/// systems.
pub fn available_memory() -> Option<Bytes> {
    meminfo("MemAvailable:")
}

/// The total memory that the programs of this process's control group can ever have: that of the
/// host including swap, or the limit of the group if it is lower. `None` where the system does not
/// report it.
pub fn total_memory() -> Option<Bytes> {
    let swap = meminfo("SwapTotal:").unwrap_or(Bytes(0));
    let host = Bytes(meminfo("MemTotal:")?.0.saturating_add(swap.0));
    // The file contains "max" if there is no limit.
    let limit = std::fs::read_to_string("/sys/fs/cgroup/memory.max").ok();
    let limit = limit.and_then(|text| text.trim().parse().ok());
    Some(limit.map_or(host, |limit: u64| Bytes(limit.min(host.0))))
}

fn meminfo(field: &str) -> Option<Bytes> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find(|line| line.starts_with(field))?;
    let kibibytes: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(Bytes(kibibytes.checked_mul(1024)?))
}

/// Prepares a thread that runs jobs; every such thread must call this once. It sets torch to one
/// thread for each operation, so that workers do not compete for cores and sums are always computed
/// in one order.
pub fn prepare_worker_thread() {
    tch::set_num_threads(1);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_read_as_they_are_written() {
        for text in ["cpu", "cuda:0", "cuda:7"] {
            assert_eq!(text.parse::<HostDevice>().unwrap().to_string(), text);
        }
        assert_eq!("cuda".parse(), Ok(HostDevice::Cuda(0)));
        for text in [
            "", "gpu", "cuda:", "cuda:-1", "cuda:+1", "cuda:128", "CPU", "cuda:1 ",
        ] {
            let error = text.parse::<HostDevice>().unwrap_err();
            assert_eq!(
                error.to_string(),
                format!("expected a device such as \"cpu\" or \"cuda:0\", got {text:?}")
            );
        }
    }

    #[test]
    fn the_system_says_what_memory_it_has_left() {
        let left = HostDevice::Cpu.available().0;
        if cfg!(target_os = "linux") {
            assert!((1 << 20..1 << 50).contains(&left), "{left}");
        }
        let all = total_memory().map_or(u64::MAX, |all| all.0);
        assert!(all >= left || all < 1 << 40, "{all} in all, {left} left");
        let given = Some(Bytes(5));
        assert_eq!(HostDevice::Cpu.stack_limit(given), given);
        assert_eq!(HostDevice::Cpu.stack_limit(None), None);
        assert_eq!(HostDevice::Cuda(0).stack_limit(None), Some(GPU_MEMORY));
    }

    #[test]
    fn the_cpu_is_always_there_and_a_missing_gpu_is_an_error_that_says_so() {
        assert_eq!(HostDevice::Cpu.open(), Ok(Device::Cpu));
        match HostDevice::Cuda(127).open() {
            Err(HostError::NoCuda { device, .. } | HostError::NoSuchDevice { device, .. }) => {
                assert_eq!(device, HostDevice::Cuda(127));
            }
            other => panic!("no host has 128 GPUs: {other:?}"),
        }
    }
}
