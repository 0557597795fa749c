//! The machine a run was made on, and the time on its clock.

use serde::{Deserialize, Serialize};
use std::time::{SystemTime, UNIX_EPOCH};

/// The machine. Nothing here reaches a result; it is what a reader needs to judge the speed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Host {
    /// The processor's name.
    pub cpu: String,
    /// Cores this process may use.
    pub cores: usize,
    /// Operating system, kernel release and architecture.
    pub os: String,
    /// Version of libtorch.
    pub libtorch: String,
}

impl Host {
    /// Looks at the machine. What cannot be found out is "unknown".
    pub fn detect(libtorch: &str) -> Self {
        let read = |path| std::fs::read_to_string(path).unwrap_or_default();
        let kernel = read("/proc/sys/kernel/osrelease");
        let os = [std::env::consts::OS, kernel.trim(), std::env::consts::ARCH];
        Self {
            cpu: cpu_name(&read("/proc/cpuinfo")).unwrap_or_else(|| "unknown".to_owned()),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            os: os
                .into_iter()
                .filter(|part| !part.is_empty())
                .collect::<Vec<_>>()
                .join(" "),
            libtorch: libtorch.to_owned(),
        }
    }
}

/// The processor's name in the text of /proc/cpuinfo: x86 says "model name", boards say "Model".
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

/// A moment on the host's clock as UTC, to the second (RFC 3339).
pub fn utc(time: SystemTime) -> String {
    let seconds = time
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs());
    let (days, rest) = (seconds / 86_400, seconds % 86_400);
    let (year, month, day) = civil(days);
    format!(
        "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}Z",
        rest / 3_600,
        rest % 3_600 / 60,
        rest % 60
    )
}

/// Year, month and day of the day `days` after 1970-01-01, in the Gregorian calendar.
///
/// Counted in years that begin in March, where the leap day comes last.
fn civil(days: u64) -> (u64, u64, u64) {
    let day = days + 719_468; // since 0000-03-01
    let (era, day) = (day / 146_097, day % 146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153; // from March
    let first = (153 * month + 2) / 5;
    let (month, january) = match month {
        0..10 => (month + 3, 0),
        _ => (month - 9, 1),
    };
    (era * 400 + year + january, month, day - first + 1)
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
    fn detection_always_answers() {
        let host = Host::detect("2.11.0");
        assert!(host.cores >= 1 && !host.cpu.is_empty() && !host.os.is_empty());
        assert_eq!(host.libtorch, "2.11.0");
    }
}
