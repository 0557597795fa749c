//! The machine of a run, and the time of its clock.

mod build;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::time::{SystemTime, UNIX_EPOCH};

/// The beginnings of environment variables that affect how numbers are computed: variables of the
/// libraries with which libtorch computes, of their threads, of CUDA, and of the loader of these
/// libraries.
const VARIABLES: [&str; 25] = [
    "AT_",
    "ATEN_",
    "BLIS_",
    "CUBLAS",
    "CUDA_",
    "CUDNN_",
    "DNNL_",
    "FBGEMM_",
    "GLIBC_TUNABLES",
    "GOMP_",
    "GOTO_",
    "KMP_",
    "LD_LIBRARY_PATH",
    "LD_PRELOAD",
    "MKL_",
    "MKLDNN_",
    "NNPACK_",
    "NVIDIA_TF32_OVERRIDE",
    "OMP_",
    "ONEDNN_",
    "OPENBLAS_",
    "PYTORCH_",
    "TORCH_",
    "VECLIB_",
    "XNNPACK_",
];

/// The beginnings of instruction sets that affect which arithmetic is used.
const FEATURES: [&str; 13] = [
    "amx", "asimd", "avx", "bf16", "f16c", "fma", "fphp", "i8mm", "neon", "sse", "ssse3", "sve",
    "vfp",
];

/// A machine, with everything that affects how it computes: two machines that differ in it can round
/// differently.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Host {
    /// The name of the processor.
    pub cpu: String,
    /// The number of cores that this process may use.
    pub cores: usize,
    /// The operating system, its kernel release and the architecture.
    pub os: String,
    /// The version of libtorch.
    pub libtorch: String,
    /// The build of libtorch, by the number that its linker gave it; `None` where it has no such
    /// number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub libtorch_build: Option<String>,
    /// The C library and its version, which decides how its functions round.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub libc: Option<String>,
    /// The processor's instruction sets that affect which arithmetic is used, in order.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub features: BTreeSet<String>,
    /// The environment variables that affect how numbers are computed.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub variables: BTreeMap<String, String>,
}

impl Host {
    /// Examines the machine. A property that cannot be found out is "unknown".
    pub fn detect(libtorch: &str) -> Self {
        let read = |path| std::fs::read_to_string(path).unwrap_or_default();
        let kernel = read("/proc/sys/kernel/osrelease");
        let cpuinfo = read("/proc/cpuinfo");
        let os = [std::env::consts::OS, kernel.trim(), std::env::consts::ARCH];
        Self {
            cpu: cpu_name(&cpuinfo).unwrap_or_else(|| "unknown".to_owned()),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            os: os
                .into_iter()
                .filter(|part| !part.is_empty())
                .collect::<Vec<_>>()
                .join(" "),
            libtorch: libtorch.to_owned(),
            libtorch_build: build::of_library("libtorch_cpu"),
            libc: build::c_library(),
            features: features(&cpuinfo),
            variables: variables(std::env::vars_os().map(|(name, value)| {
                let text = |text: std::ffi::OsString| text.to_string_lossy().into_owned();
                (text(name), text(value))
            })),
        }
    }

    /// In what `now`, another machine or this one at another time, may compute differently, one line
    /// each. A property that is unknown on one of them is no difference.
    pub fn differences(&self, now: &Self) -> Vec<String> {
        let mut found = Vec::new();
        let mut differ = |what: &str, then: &str, now: &str| {
            if then != now {
                found.push(format!("{what}: {then} then, {now} now"));
            }
        };
        differ("processor", &self.cpu, &now.cpu);
        differ("libtorch", &self.libtorch, &now.libtorch);
        for (what, then, now) in [
            (
                "build of libtorch",
                &self.libtorch_build,
                &now.libtorch_build,
            ),
            ("C library", &self.libc, &now.libc),
        ] {
            if let (Some(then), Some(now)) = (then, now) {
                differ(what, then, now);
            }
        }
        let names: BTreeSet<&String> = self.variables.keys().chain(now.variables.keys()).collect();
        for name in names {
            let value = |of: &Self| match of.variables.get(name) {
                Some(value) => format!("\"{value}\""),
                None => "not set".to_owned(),
            };
            differ(name, &value(self), &value(now));
        }
        if !self.features.is_empty() && !now.features.is_empty() {
            let only = |a: &BTreeSet<String>, b: &BTreeSet<String>| {
                a.difference(b).cloned().collect::<Vec<_>>().join(" ")
            };
            let (gone, new) = (
                only(&self.features, &now.features),
                only(&now.features, &self.features),
            );
            for (what, which) in [("only then", gone), ("only now", new)] {
                if !which.is_empty() {
                    found.push(format!("instructions {what}: {which}"));
                }
            }
        }
        found
    }
}

/// The instruction sets in the text of /proc/cpuinfo that affect which arithmetic is used.
fn features(cpuinfo: &str) -> BTreeSet<String> {
    let all = cpuinfo.lines().find_map(|line| {
        let (key, value) = line.split_once(':')?;
        ["flags", "Features"].contains(&key.trim()).then_some(value)
    });
    let words = all.unwrap_or_default().split_whitespace();
    let counts = |word: &&str| FEATURES.iter().any(|start| word.starts_with(start));
    words.filter(counts).map(str::to_owned).collect()
}

/// The variables of an environment that affect how numbers are computed.
fn variables(all: impl Iterator<Item = (String, String)>) -> BTreeMap<String, String> {
    all.filter(|(name, _)| VARIABLES.iter().any(|start| name.starts_with(start)))
        .collect()
}

/// The name of the processor in the text of /proc/cpuinfo: x86 has a line "model name", boards have
/// "Model".
fn cpu_name(cpuinfo: &str) -> Option<String> {
    ["model name", "Model", "Hardware", "cpu model"]
        .iter()
        .find_map(|key| {
            cpuinfo.lines().find_map(|line| {
                let (found, value) = line.split_once(':')?;
                let value = value.trim();
                (found.trim() == *key && !value.is_empty()).then(|| value.to_owned())
            })
        })
}

/// The name of this machine.
pub fn host_name() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname");
    let name = name.ok().or_else(|| std::env::var("HOSTNAME").ok());
    let name = name.map(|name| name.trim().to_owned());
    name.filter(|name| !name.is_empty())
        .unwrap_or_else(|| "this machine".to_owned())
}

/// A moment of the host's clock in UTC, to the second (RFC 3339). A clock that is set to a time before 1970
/// counts as 1970.
pub fn utc(time: SystemTime) -> String {
    let moment = Timestamp::try_from(time.max(UNIX_EPOCH)).unwrap_or_default();
    moment.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn dates_agree_with_the_calendar() {
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (1_709_251_199, "2024-02-29T23:59:59Z"),
            (1_709_251_200, "2024-03-01T00:00:00Z"),
            (1_735_689_599, "2024-12-31T23:59:59Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
        ] {
            assert_eq!(utc(UNIX_EPOCH + Duration::from_secs(seconds)), text);
        }
        assert_eq!(
            utc(UNIX_EPOCH - Duration::from_secs(5)),
            "1970-01-01T00:00:00Z"
        );
    }

    #[test]
    fn the_processor_is_named_as_the_system_names_it() {
        let x86 = "processor\t: 0\nmodel\t\t: 85\nmodel name\t: Some CPU @ 2.0GHz\nflags: a b\n";
        assert_eq!(cpu_name(x86).as_deref(), Some("Some CPU @ 2.0GHz"));
        let board = "processor : 0\nHardware : BCM2835\nModel : Raspberry Pi 4\n";
        assert_eq!(cpu_name(board).as_deref(), Some("Raspberry Pi 4"));
        assert_eq!(cpu_name("garbage\n:::\n"), None);
    }

    #[test]
    fn what_chooses_how_numbers_are_computed_is_kept_and_nothing_else() {
        let x86 = "flags\t\t: fpu vme sse sse4_2 ht avx avx2 fma nx avx512f rdseed f16c\n";
        let found: Vec<String> = features(x86).into_iter().collect();
        assert_eq!(
            found,
            ["avx", "avx2", "avx512f", "f16c", "fma", "sse", "sse4_2"]
        );
        let arm = "Features\t: fp asimd crc32 sve bf16\n";
        assert_eq!(features(arm).len(), 3);
        let pairs = [
            "MKL_CBWR",
            "HOME",
            "DNNL_MAX_CPU_ISA",
            "NVIDIA_TF32_OVERRIDE",
            "TOKEN",
        ];
        let found = variables(
            pairs
                .map(|name| (name.to_owned(), "1".to_owned()))
                .into_iter(),
        );
        let found: Vec<&str> = found.keys().map(String::as_str).collect();
        assert_eq!(
            found,
            ["DNNL_MAX_CPU_ISA", "MKL_CBWR", "NVIDIA_TF32_OVERRIDE"]
        );
    }

    #[test]
    fn two_machines_differ_in_what_is_named_and_not_in_what_is_unknown() {
        let here = Host::detect("2.11.0");
        assert_eq!(here.differences(&here), [""; 0]);
        let mut there = Host {
            cpu: "Another".to_owned(),
            libtorch_build: Some("00ff".to_owned()),
            features: ["avx", "sve"].map(String::from).into(),
            variables: [("MKL_CBWR".to_owned(), "AVX2".to_owned())].into(),
            ..here.clone()
        };
        let here = Host {
            libtorch_build: Some("aa".to_owned()),
            features: ["avx", "avx2", "fma"].map(String::from).into(),
            variables: BTreeMap::new(),
            ..here
        };
        let processor = format!("processor: {} then, Another now", here.cpu);
        let expected = [
            processor.as_str(),
            "build of libtorch: aa then, 00ff now",
            "MKL_CBWR: not set then, \"AVX2\" now",
            "instructions only then: avx2 fma",
            "instructions only now: sve",
        ];
        assert_eq!(here.differences(&there), expected);
        there.libtorch_build = None;
        there.features.clear();
        assert_eq!(here.differences(&there).len(), 2);
    }

    #[test]
    fn detection_always_answers() {
        let host = Host::detect("2.11.0");
        assert!(host.cores >= 1 && !host.cpu.is_empty() && !host.os.is_empty());
        assert_eq!(host.libtorch, "2.11.0");
    }
}
