//! The measurement of one run. The run writes no files, so that only the engine is measured.

use crate::federation::{Cohort, DeviceMemory, Federation, Record};
use crate::learn::HostDevice;
use crate::observe::histograms::{Percentiles, Spans};
use crate::observe::rows::{ClientOutcome, Row};
use crate::quantity::{Bandwidth, Span};
use crate::run::{assemble, simulate, RunError};
use crate::scenario::Scenario;
use crate::sim::{Delivery, Ending, Key, Observe, Recorder, RecorderError};
use serde::{Deserialize, Serialize};
use std::sync::atomic::AtomicBool;
use std::time::Instant;

/// The measurement of one population: a line of `scale.csv`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Measurement {
    /// The number of clients.
    pub population: u32,
    /// The number of reports that a round wants.
    pub cohort: u32,
    /// The number of rounds held.
    pub rounds: u32,
    /// The number of samples of each client.
    pub samples: u32,
    /// What was computed: `real`, `modelled`, or `sampled` with the share.
    pub compute: String,
    /// The number of events delivered.
    pub events: u64,
    /// The number of events delivered in a second of host time, without the set-up.
    pub events_per_s: f64,
    /// The host time from reading the scenario's file to the first event, in seconds.
    pub setup_s: f64,
    /// The host time of a round, in seconds.
    pub round_s: f64,
    /// The host time of an hour of virtual time, in seconds.
    pub virtual_hour_s: f64,
    /// The virtual time of the whole run, in seconds.
    pub virtual_s: f64,
    /// The peak of the resident memory of the process, in bytes; 0 where the system does not report
    /// it.
    pub peak_bytes: u64,
    /// The part of that memory that was added after the process had started, in bytes for each
    /// client.
    pub client_bytes: f64,
    /// The median time that reports waited for the server's computation, in seconds of virtual
    /// time.
    pub queue_p50_s: f64,
    /// The 99th percentile of that waiting time, in seconds of virtual time.
    pub queue_p99_s: f64,
    /// The share of the virtual time in which the server's link was in use, in its busier
    /// direction, computed from its rate; `None` where the rate is unlimited. Retransmissions are
    /// not counted.
    pub link_use: Option<f64>,
    /// The share of the virtual time in which the server computed.
    pub server_use: f64,
    /// The mean number of clients that were asked in a round.
    pub invited: f64,
    /// Whether the population is smaller than the cohort that the schedule wants, so that fewer
    /// clients were asked than in a larger population. Costs that grow with the cohort up to that
    /// size do not grow further, so this line says nothing about larger populations.
    pub capped: bool,
}

impl Row for Measurement {
    const COLUMNS: &'static [&'static str] = &[
        "population",
        "cohort",
        "rounds",
        "samples",
        "compute",
        "events",
        "events_per_s",
        "setup_s",
        "round_s",
        "virtual_hour_s",
        "virtual_s",
        "peak_bytes",
        "client_bytes",
        "queue_p50_s",
        "queue_p99_s",
        "link_use",
        "server_use",
        "invited",
        "capped",
    ];
}

/// Records the figures of a run that the measurement needs.
#[derive(Default)]
struct Collector {
    rounds: u32,
    invited: u64,
    bytes_down: u64,
    bytes_up: u64,
    server: Span,
    waits: Spans,
    fatal: Option<String>,
}

impl Recorder<Federation> for Collector {
    fn observe(&self) -> Observe {
        Observe::default()
    }

    fn deliveries(&mut self, _: &[Delivery]) -> Result<(), RecorderError> {
        Ok(())
    }

    fn record(&mut self, _: Key, record: Record) -> Result<(), RecorderError> {
        match record {
            Record::Round(row) => {
                self.rounds += 1;
                self.invited += u64::from(row.invited);
                self.bytes_down = self.bytes_down.saturating_add(row.bytes_down);
                self.bytes_up = self.bytes_up.saturating_add(row.bytes_up);
                self.server = self.server + row.server_compute;
            }
            Record::Client(row) => {
                if matches!(row.outcome, ClientOutcome::Reported | ClientOutcome::Late) {
                    self.waits.record(row.queue_wait);
                }
            }
            Record::Fatal(reason) => self.fatal = Some(reason),
            Record::Accuracy(_)
            | Record::Size(_)
            | Record::Server(_)
            | Record::Rejection(_)
            | Record::Staleness(_)
            | Record::Fact(_)
            | Record::Weights(_)
            | Record::Privacy(_)
            | Record::Crash { .. } => {}
        }
        Ok(())
    }
}

/// Runs a scenario, the reading of which began at `began`, and measures the run; `None` if it was
/// interrupted.
///
/// # Errors
/// The errors of a run of the scenario.
pub fn measure(
    scenario: &Scenario,
    began: Instant,
    workers: usize,
    stop: &AtomicBool,
) -> Result<Option<Measurement>, RunError> {
    let base = memory("VmRSS:").unwrap_or(0);
    let device = HostDevice::default();
    let federation = assemble(scenario, device)?.within(device.stack_limit(None));
    let mut collector = Collector::default();
    let ready = Instant::now();
    let summary = simulate(
        federation,
        None,
        scenario.seed,
        workers,
        DeviceMemory::new(None, device.available()),
        &mut collector,
        stop,
    )?;
    let seconds = ready.elapsed().as_secs_f64();
    if let Some(reason) = collector.fatal {
        return Err(RunError::Fatal(reason));
    }
    if summary.ending == Ending::Interrupted {
        return Ok(None);
    }
    let virtual_s = summary.now.seconds();
    let peak = peak_memory().unwrap_or(0);
    let population = scenario.clients();
    let cohort = scenario.schedule.cohort.of(population);
    let invited = collector.invited as f64 / f64::from(collector.rounds.max(1));
    let Percentiles { p50, p99, .. } = collector.waits.percentiles();
    let share = |busy: f64| {
        if virtual_s > 0.0 {
            busy / virtual_s
        } else {
            0.0
        }
    };
    Ok(Some(Measurement {
        population,
        cohort,
        rounds: collector.rounds,
        samples: u32::try_from(scenario.samples_each()).unwrap_or(u32::MAX),
        compute: scenario.compute.to_string(),
        events: summary.delivered,
        events_per_s: summary.delivered as f64 / seconds.max(1e-9),
        setup_s: ready.duration_since(began).as_secs_f64(),
        round_s: seconds / f64::from(collector.rounds.max(1)),
        virtual_hour_s: if virtual_s > 0.0 {
            seconds / virtual_s * 3_600.0
        } else {
            0.0
        },
        virtual_s,
        peak_bytes: peak,
        client_bytes: peak.saturating_sub(base) as f64 / f64::from(population.max(1)),
        queue_p50_s: p50.seconds(),
        queue_p99_s: p99.seconds(),
        link_use: busy(scenario, collector.bytes_down, collector.bytes_up).map(share),
        server_use: share(collector.server.seconds()),
        invited,
        // A cohort that is a share of the clients grows with them, and a baseline that asks no
        // clients cannot lack any.
        capped: matches!(scenario.schedule.cohort, Cohort::Count(_))
            && invited > 0.0
            && invited < wanted(scenario, cohort),
    }))
}

/// The number of clients that a round asks if there are enough, computed as the server does.
fn wanted(scenario: &Scenario, cohort: u32) -> f64 {
    let schedule = &scenario.schedule;
    let held = schedule.waiting.is_none() && scenario.topology.is_none();
    match held && scenario.hierarchy.is_empty() {
        true => libm::ceil(f64::from(cohort) * schedule.over_selection),
        // Servers between ask rounded shares of the number, an asynchronous server asks as many
        // clients as report, and without a server no client is asked.
        false => 0.0,
    }
}

/// The time in seconds for which the server's link is in use for so many bytes down and up; `None`
/// if the link has no rate.
fn busy(scenario: &Scenario, down: u64, up: u64) -> Option<f64> {
    let link = &scenario.server.link.model;
    // Each `mtu` bytes of a message travel in a packet with headers of its own.
    let framed = 1.0 + link.header.0 as f64 / link.mtu.0.max(1) as f64;
    let seconds = |bytes: u64, rate: Option<Bandwidth>| {
        rate.map(|rate| 8.0 * framed * bytes as f64 / rate.get())
    };
    // The bytes that go down to the clients go up the server's link.
    let both = [seconds(down, link.up), seconds(up, link.down)];
    both.into_iter().flatten().reduce(f64::max)
}

/// The peak of the resident memory of this process, in bytes (`VmHWM` of Linux); `None` where the
/// system does not report it.
pub fn peak_memory() -> Option<u64> {
    memory("VmHWM:")
}

fn memory(field: &str) -> Option<u64> {
    let text = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(field))?;
    let kibibytes: u64 = line.split_whitespace().next()?.parse().ok()?;
    kibibytes.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::table::{read_rows, Table};
    use std::path::Path;

    fn measured(schedule: &str) -> Measurement {
        let text = format!(
            "(data: Digits, model: \"logistic\", compute: Modelled,
              population: [(count: 40, device: \"laptop\", link: \"lan\")],
              server: (link: (up: \"1 Mbit/s\", down: \"2 Mbit/s\")),
              schedule: (rounds: 4, cohort: 10{schedule}))"
        );
        let scenario = Scenario::parse(&text, Path::new("s.ron"), &[]);
        let scenario = scenario.unwrap_or_else(|wrong| panic!("{wrong:#}"));
        let stop = AtomicBool::new(false);
        measure(&scenario, Instant::now(), 1, &stop)
            .unwrap()
            .unwrap()
    }

    #[test]
    fn a_run_is_measured() {
        let found = measured("");
        assert_eq!((found.population, found.cohort, found.rounds), (40, 10, 4));
        assert_eq!((found.invited, found.capped), (10.0, false));
        let few = measured(", over_selection: 5");
        assert_eq!((few.invited, few.capped), (40.0, true), "of 50 wanted");
        assert_eq!(found.compute, "modelled");
        assert_eq!(found.samples, 35);
        // A start, and a task, a timer and a report for each client and round at least.
        assert!(found.events > 120, "{found:?}");
        assert!(found.round_s > 0.0 && found.setup_s > 0.0 && found.events_per_s > 0.0);
        assert!(found.peak_bytes > 1_000_000 && found.client_bytes >= 0.0);
        // Logistic regression of 64 inputs and 10 classes: 650 values of 4 bytes, 24 of headers, ten
        // down and ten up in each of four rounds; down is the slower of the two.
        let bytes = 40.0 * (4.0 * 650.0 + 24.0);
        let expected = 8.0 * bytes * (1_500.0 / 1_460.0) / 1e6 / found.virtual_s;
        let found = found.link_use.unwrap();
        assert!(
            (found / expected - 1.0).abs() < 1e-9,
            "{found} against {expected}"
        );
    }

    #[test]
    fn a_table_of_measurements_reads_back() {
        let rows = [
            measured(""),
            Measurement {
                link_use: None,
                ..measured("")
            },
        ];
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("scale.csv");
        let mut table = Table::create(&path).unwrap();
        rows.iter().for_each(|row| table.write(row).unwrap());
        table.flush().unwrap();
        assert_eq!(read_rows::<Measurement>(&path).unwrap(), rows);
    }
}
