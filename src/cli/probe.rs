//! What a host device can do, measured: for people who size a study, never for a result.

use crate::learn::{prepare_worker_thread, HostDevice};
use std::time::Instant;
use tch::{Cuda, Device, Kind, TchError, Tensor};

/// Measured rates of a host device.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rates {
    /// Operations a second in products of large square matrices, single precision, of one worker.
    pub single: f64,
    /// The same in bfloat16.
    pub bf16: f64,
    /// The same in single precision of all workers at once, all together.
    pub all: f64,
    /// Bytes a second read and written by copies of what no cache holds, of all workers at once.
    pub bandwidth: f64,
}

/// Rows and columns of the matrices, and values that are copied.
struct Sizes {
    side: i64,
    copied: i64,
}

/// Measures a device that is open for about a second, with `workers` threads on the CPU and one on a
/// GPU.
///
/// # Errors
/// What torch says, such as that the device has no memory left.
pub fn measure(host: HostDevice, workers: usize) -> Result<Rates, TchError> {
    let (device, workers, sizes) = match host {
        HostDevice::Cpu => (
            Device::Cpu,
            workers.max(1),
            Sizes {
                side: 1024,
                copied: 16 << 20,
            },
        ),
        HostDevice::Cuda(index) => (
            Device::Cuda(index),
            1,
            Sizes {
                side: 8192,
                copied: 256 << 20,
            },
        ),
    };
    let products = |kind| move || products(device, sizes.side, kind);
    Ok(Rates {
        single: together(1, products(Kind::Float))?,
        bf16: together(1, products(Kind::BFloat16))?,
        all: together(workers, products(Kind::Float))?,
        bandwidth: together(workers, move || copies(device, sizes.copied))?,
    })
}

/// The sum of what `rate` gives in as many threads at once.
fn together(
    threads: usize,
    rate: impl Fn() -> Result<f64, TchError> + Send + Sync,
) -> Result<f64, TchError> {
    std::thread::scope(|scope| {
        let running: Vec<_> = (0..threads).map(|_| scope.spawn(&rate)).collect();
        running
            .into_iter()
            .map(|thread| match thread.join() {
                Ok(rate) => rate,
                Err(_) => Err(TchError::Torch("a measuring thread panicked".into())),
            })
            .sum()
    })
}

fn products(device: Device, side: i64, kind: Kind) -> Result<f64, TchError> {
    prepare_worker_thread();
    let matrix = || Tensor::f_ones([side, side], (kind, device));
    let (a, b, out) = (matrix()?, matrix()?, matrix()?);
    rate(device, 2.0 * (side as f64).powi(3), || {
        a.f_mm_out(&out, &b).map(drop)
    })
}

fn copies(device: Device, values: i64) -> Result<f64, TchError> {
    prepare_worker_thread();
    let from = Tensor::f_zeros([values], (Kind::Float, device))?;
    let mut to = Tensor::f_ones([values], (Kind::Float, device))?;
    rate(device, 8.0 * values as f64, || to.f_copy_(&from))
}

/// How much is done a second if `step` does `amount`: the best of a quarter of a second, because
/// what disturbs only ever slows down.
fn rate(
    device: Device,
    amount: f64,
    mut step: impl FnMut() -> Result<(), TchError>,
) -> Result<f64, TchError> {
    let finish = || {
        if let Device::Cuda(index) = device {
            Cuda::synchronize(index as i64);
        }
    };
    step()?;
    finish();
    let (began, mut best) = (Instant::now(), f64::INFINITY);
    for count in 0.. {
        let one = Instant::now();
        step()?;
        finish();
        best = best.min(one.elapsed().as_secs_f64());
        if count >= 3 && began.elapsed().as_secs_f64() > 0.25 {
            break;
        }
    }
    Ok(amount / best)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cpu_has_rates_of_its_own() {
        let rates = measure(HostDevice::Cpu, 1).unwrap();
        for rate in [rates.single, rates.bf16, rates.all, rates.bandwidth] {
            // Between a microcontroller and the fastest machine there is.
            assert!((1e6..1e19).contains(&rate), "{rates:?}");
        }
    }

    #[test]
    fn threads_are_counted_together_and_a_failure_is_not_lost() {
        assert_eq!(together(3, || Ok(2.0)).unwrap(), 6.0);
        assert!(together(2, || Err(TchError::Torch("no".into()))).is_err());
        assert!(together(1, || panic!("on purpose")).is_err());
    }
}
