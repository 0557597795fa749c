//! What the benches share: their one line of output, medians, memory.

#![allow(dead_code, reason = "each bench uses its part")]

use std::process::{Child, Command, Stdio};
use std::time::Instant;

/// The one plain line of a bench: the same words for ever, so that it can be compared over time.
pub fn line(name: &str, figure: f64, unit: &str, floor: f64, ratio: f64) {
    println!(
        "bench {name} {} {unit} floor {} ratio {ratio:.2}",
        short(figure),
        short(floor)
    );
}

/// Three significant digits.
fn short(x: f64) -> String {
    if x == 0.0 || !x.is_finite() {
        return format!("{x}");
    }
    let digits = (2 - x.abs().log10().floor() as i32).clamp(0, 6) as usize;
    format!("{x:.digits$}")
}

/// The median of some figures.
pub fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}

/// Seconds that `body` takes.
pub fn seconds<T>(body: impl FnOnce() -> T) -> (f64, T) {
    let began = Instant::now();
    let result = body();
    (began.elapsed().as_secs_f64(), result)
}

/// The most memory this process has had resident, in bytes.
pub fn peak_resident() -> f64 {
    let text = std::fs::read_to_string("/proc/self/status").expect("a Linux /proc");
    let line = text
        .lines()
        .find(|line| line.starts_with("VmHWM:"))
        .expect("VmHWM in status");
    let kib: f64 = line
        .split_whitespace()
        .nth(1)
        .and_then(|n| n.parse().ok())
        .expect("a number of KiB");
    kib * 1024.0
}

/// What this program prints as a number when it is told, in a process of its own, to do `what`.
pub fn in_own_process(what: &str) -> f64 {
    in_own_processes(what, 1)
}

/// The sum of what `count` such processes print that run at the same time.
pub fn in_own_processes(what: &str, count: usize) -> f64 {
    let this = std::env::current_exe().expect("this program has a path");
    let start = |_| {
        Command::new(&this)
            .env(ALONE, what)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("this program starts")
    };
    let running: Vec<Child> = (0..count).map(start).collect();
    let figures = running.into_iter().map(|child| {
        let output = child.wait_with_output().expect("this program ends");
        let text = String::from_utf8_lossy(&output.stdout);
        text.trim().parse::<f64>().unwrap_or_else(|_| {
            let errors = String::from_utf8_lossy(&output.stderr);
            panic!("{what} printed {text:?} and said {errors}")
        })
    });
    figures.sum()
}

/// What this process was told to do alone, if anything.
pub fn alone() -> Option<String> {
    std::env::var(ALONE).ok()
}

const ALONE: &str = "SHOAL_BENCH_ALONE";

/// Whether the bench was asked for by name (`cargo bench --bench kernel star`), or none was.
pub fn wanted(name: &str) -> bool {
    let mut names = std::env::args()
        .skip(1)
        .filter(|arg| !arg.starts_with('-'))
        .peekable();
    names.peek().is_none() || names.any(|wanted| name.contains(&wanted))
}
