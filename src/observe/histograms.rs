//! HdrHistograms of durations, in nanoseconds of virtual time, to three significant digits.
//!
//! Every shard keeps its own histograms, and they are merged at the end. All histograms have one fixed
//! range, so that merging adds counters one to one: figures and files are equal, byte for byte,
//! whatever the number of shards. (A histogram that grows on demand would lose the exact maximum when
//! it is merged into a smaller one.) A value above the range counts as the end of the range; such
//! values are counted, and the count is shown wherever the figures are.
//!
//! The files are HdrHistogram interval logs with one interval, the whole run; timestamps are virtual
//! seconds. The line without a tag is the total; the message latencies have one more line for each
//! kind, tagged with the kind's name. HdrHistogram's own tools can read them: `HistogramLogProcessor -i
//! message_latency.hlog [-tag update]`.

mod log;

use super::text;
use super::ObserveError;
use crate::quantity::{Span, VirtualTime};
use crate::snapshot::{snapshot_struct, Damaged, Reader, Snapshot, Writer};
use hdrhistogram::serialization::{Deserializer, Serializer, V2Serializer};
use hdrhistogram::Histogram;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The end of the range, about 1.1 years: no message, round or job of a sensible run takes longer.
const LONGEST_NANOS: u64 = (1 << 55) - 1;
const SIGNIFICANT_DIGITS: u8 = 3;

/// The percentiles that the tables show.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Percentiles {
    /// The number of values.
    pub count: u64,
    /// Half of the values are at most this.
    pub p50: Span,
    /// 90 % of the values are at most this.
    pub p90: Span,
    /// 99 % of the values are at most this.
    pub p99: Span,
    /// The largest value, or the end of the range if some values were beyond it.
    pub max: Span,
    /// The number of values beyond the range, which count as its end.
    pub clipped: u64,
}

/// A histogram of durations in virtual time.
#[derive(Debug, Clone, PartialEq)]
pub struct Spans {
    histogram: Histogram<u64>,
    /// The largest value exactly; the histogram itself has it to three digits only.
    longest: Span,
    /// The number of values beyond the range.
    clipped: u64,
}

impl Default for Spans {
    fn default() -> Self {
        Self::new()
    }
}

/// Spans are written in HdrHistogram's own format, V2.
impl Snapshot for Spans {
    fn save(&self, to: &mut Writer) {
        let mut bytes = Vec::new();
        if let Err(error) = V2Serializer::new().serialize(&self.histogram, &mut bytes) {
            to.fail(format!("a histogram cannot be written: {error}"));
        }
        bytes.save(to);
        self.longest.save(to);
        self.clipped.save(to);
    }

    fn load(from: &mut Reader) -> Result<Self, Damaged> {
        let bytes: Vec<u8> = Snapshot::load(from)?;
        let histogram = Deserializer::new().deserialize(&mut bytes.as_slice());
        let histogram: Histogram<u64> =
            histogram.map_err(|error| Damaged::new(format!("a histogram: {error}")))?;
        // Only a histogram with the common range can be added to others.
        if (histogram.low(), histogram.high(), histogram.sigfig())
            != (1, LONGEST_NANOS, SIGNIFICANT_DIGITS)
        {
            return Err(Damaged::new("a histogram of another range"));
        }
        Ok(Self {
            histogram,
            longest: Snapshot::load(from)?,
            clipped: Snapshot::load(from)?,
        })
    }
}

snapshot_struct!(Histograms {
    latency,
    round,
    compute,
    queue,
    end,
});

impl Spans {
    /// A histogram without values.
    pub fn new() -> Self {
        match Histogram::new_with_bounds(1, LONGEST_NANOS, SIGNIFICANT_DIGITS) {
            Ok(histogram) => Self {
                histogram,
                longest: Span::ZERO,
                clipped: 0,
            },
            // The bounds are constants, in order, and within what the format allows.
            Err(e) => unreachable!("constant histogram bounds: {e}"),
        }
    }

    /// Adds a value.
    pub fn record(&mut self, span: Span) {
        let end = Span::from_nanos(LONGEST_NANOS);
        self.clipped += u64::from(span > end);
        let span = span.min(end);
        self.histogram.saturating_record(span.nanos());
        self.longest = self.longest.max(span);
    }

    /// Adds every value of another histogram.
    pub fn merge(&mut self, other: &Self) {
        self.longest = self.longest.max(other.longest);
        self.clipped += other.clipped;
        // The ranges are equal, so this cannot fail.
        if self.histogram.add(&other.histogram).is_err() {
            unreachable!("histograms of one range");
        }
    }

    /// The number of values.
    pub fn count(&self) -> u64 {
        self.histogram.len()
    }

    /// The value that a share `quantile` in [0, 1] of the values do not exceed, to three digits; zero
    /// if there are no values.
    pub fn at(&self, quantile: f64) -> Span {
        // The upper end of a bucket may be above the largest value.
        Span::from_nanos(self.histogram.value_at_quantile(quantile)).min(self.longest)
    }

    /// The percentiles that the tables show.
    pub fn percentiles(&self) -> Percentiles {
        Percentiles {
            count: self.count(),
            p50: self.at(0.5),
            p90: self.at(0.9),
            p99: self.at(0.99),
            max: self.longest,
            clipped: self.clipped,
        }
    }
}

/// All histograms of a run.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Histograms {
    latency: BTreeMap<Arc<str>, Spans>,
    round: Spans,
    compute: Spans,
    queue: Spans,
    end: VirtualTime,
}

impl Histograms {
    /// Histograms without values.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a message of this kind that was delivered at `now`, `latency` after it was sent.
    pub fn message(&mut self, kind: &str, now: VirtualTime, latency: Span) {
        self.end = self.end.max(now);
        match self.latency.get_mut(kind) {
            Some(spans) => spans.record(latency),
            None => {
                let mut spans = Spans::new();
                spans.record(latency);
                self.latency.insert(kind.into(), spans);
            }
        }
    }

    /// Adds a round that closed at `now` after `duration`.
    pub fn round(&mut self, now: VirtualTime, duration: Span) {
        self.end = self.end.max(now);
        self.round.record(duration);
    }

    /// Adds a job that a client finished at `now` and that took its device `compute`.
    pub fn compute(&mut self, now: VirtualTime, compute: Span) {
        self.end = self.end.max(now);
        self.compute.record(compute);
    }

    /// Adds a message that was sent at `now` and waited `wait` for a busy link.
    pub fn queue_wait(&mut self, now: VirtualTime, wait: Span) {
        self.end = self.end.max(now);
        self.queue.record(wait);
    }

    /// Adds all values of other histograms. The order of merging does not matter.
    pub fn merge(&mut self, other: &Self) {
        self.end = self.end.max(other.end);
        for (kind, spans) in &other.latency {
            self.latency.entry(kind.clone()).or_default().merge(spans);
        }
        self.round.merge(&other.round);
        self.compute.merge(&other.compute);
        self.queue.merge(&other.queue);
    }

    /// Message latencies by kind, in the order of the names.
    pub fn latencies(&self) -> impl Iterator<Item = (&str, &Spans)> {
        self.latency.iter().map(|(kind, spans)| (&**kind, spans))
    }

    /// Durations of the rounds.
    pub fn rounds(&self) -> &Spans {
        &self.round
    }

    /// Durations of computations on clients' devices, one value for each job.
    pub fn computes(&self) -> &Spans {
        &self.compute
    }

    /// Durations for which messages waited for a busy link, one value for each message.
    pub fn queue_waits(&self) -> &Spans {
        &self.queue
    }

    /// The percentiles of each quantity with a title, for tables; quantities without values are left
    /// out.
    pub fn table(&self) -> Vec<(String, Percentiles)> {
        let kinds = self
            .latencies()
            .map(|(kind, spans)| (format!("latency of {kind}"), spans));
        let rest = [
            ("round duration", &self.round),
            ("client compute", &self.compute),
            ("queue wait", &self.queue),
        ];
        kinds
            .chain(rest.map(|(title, spans)| (title.to_owned(), spans)))
            .filter(|(_, spans)| spans.count() > 0)
            .map(|(title, spans)| (title, spans.percentiles()))
            .collect()
    }

    /// The quantities that had values beyond the range, each with the number of those values.
    pub fn clipped(&self) -> BTreeMap<String, u64> {
        let all = self.table().into_iter();
        let beyond = all.filter(|(_, percentiles)| percentiles.clipped > 0);
        beyond.map(|(title, p)| (title, p.clipped)).collect()
    }

    /// The note below a table of these figures, if some values were beyond the range.
    pub fn note(&self) -> Option<String> {
        let clipped: u64 = self.clipped().values().sum();
        let end = text::span(Span::from_nanos(LONGEST_NANOS));
        (clipped > 0).then(|| {
            format!(
                "{} values were longer than the histograms reach and count as {end}",
                text::grouped(clipped)
            )
        })
    }

    /// The log files, each with its name and content.
    pub(super) fn logs(&self) -> Result<Vec<(&'static str, Vec<u8>)>, ObserveError> {
        let mut all = Spans::new();
        let mut lines = vec![];
        for (kind, spans) in self.latencies() {
            all.merge(spans);
            lines.push((Some(kind), spans));
        }
        lines.insert(0, (None, &all));
        [
            ("message_latency.hlog", lines),
            ("round_duration.hlog", vec![(None, &self.round)]),
            ("client_compute.hlog", vec![(None, &self.compute)]),
            ("queue_wait.hlog", vec![(None, &self.queue)]),
        ]
        .into_iter()
        .map(|(file, lines)| Ok((file, log::encode(file, self.end, &lines)?)))
        .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::rng::{below, stream, Purpose};

    const AT: VirtualTime = VirtualTime::from_nanos(9);

    #[test]
    fn histograms_come_back_from_a_checkpoint_with_the_same_files() {
        let mut histograms = Histograms::new();
        let mut rng = stream(4, 0, Purpose::Node, 0);
        let mut fill = |histograms: &mut Histograms| {
            for _ in 0..2_000 {
                let bits = below(&mut rng, 62);
                let span = Span::from_nanos(below(&mut rng, 1 << bits));
                histograms.message(["task", "report"][span.nanos() as usize % 2], AT, span);
                histograms.round(AT, span);
                histograms.compute(VirtualTime::from_nanos(span.nanos()), span);
            }
        };
        fill(&mut histograms);
        let mut read = crate::snapshot::testing::again(&histograms).unwrap();
        assert_eq!(read, histograms);
        assert_eq!(read.logs().unwrap(), histograms.logs().unwrap());
        // Both histograms go on in the same way.
        read.message("task", AT, Span::from_nanos(3));
        histograms.message("task", AT, Span::from_nanos(3));
        assert_eq!(read.logs().unwrap(), histograms.logs().unwrap());
    }

    #[test]
    fn percentiles_are_those_of_the_sorted_values() {
        // 1 ms, 2 ms, … 1000 ms in a scrambled order: the p-th percentile is p · 10 ms.
        let mut spans = Spans::new();
        for i in 0..1000u64 {
            spans.record(Span::from_millis((i * 617) % 1000 + 1));
        }
        let found = spans.percentiles();
        assert_eq!(found.count, 1000);
        for (found, exact) in [(found.p50, 500.0), (found.p90, 900.0), (found.p99, 990.0)] {
            let ratio = found.nanos() as f64 / (exact * 1e6);
            assert!((1.0..1.001).contains(&ratio), "{found} against {exact} ms");
        }
        assert_eq!(found.max, Span::from_secs(1));
    }

    #[test]
    fn nothing_recorded_is_zero_and_too_long_is_the_end_of_the_range() {
        assert_eq!(Spans::new().percentiles(), Percentiles::default());
        let mut spans = Spans::new();
        spans.record(Span::ZERO);
        assert_eq!(spans.percentiles().max, Span::ZERO);
        spans.record(Span::from_nanos(u64::MAX));
        assert_eq!(spans.count(), 2);
        assert_eq!(spans.percentiles().max, Span::from_nanos(LONGEST_NANOS));
    }

    #[test]
    fn values_beyond_the_range_are_counted_and_said_everywhere() {
        let mut histograms = Histograms::new();
        let end = Span::from_nanos(LONGEST_NANOS);
        histograms.round(AT, end);
        assert_eq!(
            (histograms.clipped(), histograms.note()),
            (BTreeMap::new(), None)
        );
        let log = |histograms: &Histograms| {
            let (_, log) = histograms.logs().unwrap().swap_remove(1);
            String::from_utf8(log).unwrap()
        };
        assert!(!log(&histograms).contains("beyond"));
        for beyond in [LONGEST_NANOS + 1, u64::MAX] {
            histograms.round(AT, Span::from_nanos(beyond));
        }
        let expected = BTreeMap::from([("round duration".to_owned(), 2)]);
        let mut merged = Histograms::new();
        merged.merge(&histograms);
        for histograms in [
            crate::snapshot::testing::again(&histograms).unwrap(),
            merged,
        ] {
            assert_eq!(histograms.clipped(), expected);
            let note = histograms.note().unwrap();
            assert!(note.starts_with("2 values were longer"), "{note}");
            let log = log(&histograms);
            assert!(
                log.contains("#[2 values beyond 36028797.018963967 s count as that]\n"),
                "{log}"
            );
        }
    }

    #[test]
    fn figures_and_files_do_not_depend_on_the_number_of_shards() {
        let mut rng = stream(1, 0, Purpose::Node, 0);
        let values: Vec<Span> = (0..2_000)
            .map(|i| Span::from_nanos(below(&mut rng, 1 << (i % 50))))
            .collect();
        let keep = |shards: usize| {
            let mut parts = vec![Histograms::new(); shards];
            for (i, &value) in values.iter().enumerate() {
                let kind = ["model", "update"][i % 2];
                let part = &mut parts[i % shards];
                part.message(kind, AT, value);
                part.compute(AT, value);
            }
            let mut whole = Histograms::new();
            parts.iter().for_each(|part| whole.merge(part));
            whole
        };
        let one = keep(1);
        assert_eq!(one.computes().count(), 2_000);
        assert_eq!(one.computes().at(1.0), *values.iter().max().unwrap());
        for shards in [2, 7] {
            let many = keep(shards);
            assert_eq!(many, one);
            assert_eq!(many.logs().unwrap(), one.logs().unwrap());
        }
    }

    #[test]
    fn the_table_lists_kinds_first_and_leaves_out_what_has_no_values() {
        let mut histograms = Histograms::new();
        histograms.round(AT, Span::from_secs(1));
        histograms.message("update", AT, Span::from_millis(5));
        histograms.message("model", AT, Span::from_millis(5));
        let titles: Vec<String> = histograms.table().into_iter().map(|(t, _)| t).collect();
        assert_eq!(
            titles,
            ["latency of model", "latency of update", "round duration"]
        );
    }
}
