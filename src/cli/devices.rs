//! `shoal devices`

use super::exit::Exit;
use super::list::columns;
use super::probe::{measure, Rates};
use crate::learn::{available_memory, HostDevice, HostError};
use crate::quantity::{Bytes, Speed};
use crate::say::out;

/// Lists the host's devices with measured rates, those there are none of with the reason.
pub fn devices(workers: usize) -> Exit {
    let header = [
        "device",
        "what it is",
        "memory",
        "matrix products",
        "bfloat16",
        "all workers",
        "copying",
    ];
    let mut rows = vec![header.map(str::to_uppercase).to_vec()];
    let mut remarks = Vec::new();
    for device in (0..).map_while(|index| match index {
        0 => Some(HostDevice::Cpu),
        _ => Some(HostDevice::Cuda(index - 1)),
    }) {
        match device.open() {
            Ok(_) => {}
            // There is at least one GPU, and this is past the last.
            Err(HostError::NoSuchDevice { found, .. }) if found > 0 => break,
            // Nobody asked for one: it is no error.
            Err(HostError::NoCuda { reason, .. }) => {
                remarks.push(format!(
                    "no GPU: this libtorch cannot use CUDA here: {reason}"
                ));
                break;
            }
            Err(error) => {
                remarks.push(error.to_string());
                break;
            }
        }
        let (name, memory) = about(device);
        let rates = match measure(device, workers) {
            Ok(rates) => row(&rates),
            Err(error) => {
                remarks.push(format!("{device}: {error}"));
                ["?", "?", "?", "?"].map(String::from)
            }
        };
        let mut cells = vec![device.to_string(), name, memory];
        cells.extend(rates);
        rows.push(cells);
    }
    let mut text = columns(&rows);
    text += &format!(
        "\nMatrix products and bfloat16: large square ones, one worker. All workers: {workers} at once on the\n\
         CPU. Copying counts what is read and what is written. Measured now; another load, other figures.\n"
    );
    for remark in remarks {
        text += &format!("\n{remark}\n");
    }
    out(format_args!("{text}"));
    Exit::Done
}

fn row(rates: &Rates) -> [String; 4] {
    let speed = |rate: f64| {
        Speed::flops_per_second(rate).map_or_else(|| "?".to_string(), |speed| speed.to_string())
    };
    [
        speed(rates.single),
        speed(rates.bf16),
        speed(rates.all),
        format!("{:.1} GB/s", rates.bandwidth / 1e9),
    ]
}

/// What the system calls the device, and its memory.
fn about(device: HostDevice) -> (String, String) {
    let unknown = || "?".to_string();
    match device {
        HostDevice::Cpu => {
            let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
            let text = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
            let model = text
                .lines()
                .find_map(|line| line.strip_prefix("model name"));
            let model = model.map_or("CPU", |m| m.trim_start_matches([' ', '\t', ':']).trim());
            let left =
                available_memory().map(|Bytes(left)| format!("{:.1} GB free", left as f64 / 1e9));
            (
                format!("{model}, {cores} cores"),
                left.unwrap_or_else(unknown),
            )
        }
        HostDevice::Cuda(index) => nvidia(index).unwrap_or_else(|| ("GPU".into(), unknown())),
    }
}

/// Torch's C++ interface has neither name nor memory; the driver's own tool has both.
fn nvidia(index: usize) -> Option<(String, String)> {
    let output = std::process::Command::new("nvidia-smi")
        .args([
            "--query-gpu=name,memory.total",
            "--format=csv,noheader,nounits",
        ])
        .arg(format!("--id={index}"))
        .output()
        .ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    let (name, mebibytes) = text.lines().next()?.rsplit_once(',')?;
    let mebibytes: f64 = mebibytes.trim().parse().ok()?;
    Some((
        name.trim().to_string(),
        format!("{:.1} GB", mebibytes * 1048576.0 / 1e9),
    ))
}
