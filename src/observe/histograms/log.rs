//! The HdrHistogram interval log format, version 1.3, as its own tools write it.

use super::{ObserveError, Spans, LONGEST_NANOS};
use crate::quantity::VirtualTime;
use hdrhistogram::serialization::interval_log::{IntervalLogWriterBuilder, Tag};
use hdrhistogram::serialization::V2DeflateSerializer;
use std::path::Path;
use std::time::{Duration, UNIX_EPOCH};

/// Interval maxima are written in milliseconds, as the reference implementation does.
const NANOS_PER_UNIT: f64 = 1e6;
const LEGEND: &[u8] =
    b"\"StartTimestamp\",\"Interval_Length\",\"Interval_Max\",\"Interval_Compressed_Histogram\"\n";

/// A log with one interval a line, from the start of the run to `end`.
pub(super) fn encode(
    file: &str,
    end: VirtualTime,
    lines: &[(Option<&str>, &Spans)],
) -> Result<Vec<u8>, ObserveError> {
    let failed = |message: String| ObserveError::Encode {
        path: Path::new(file).to_path_buf(),
        what: "a histogram",
        message,
    };
    let mut text = Vec::new();
    let mut serializer = V2DeflateSerializer::new();
    let mut builder = IntervalLogWriterBuilder::new();
    builder
        .add_comment("[Logged by shoal: nanoseconds of virtual time]")
        .add_comment("[Histogram log format version 1.3]");
    // The first line is the total.
    let clipped = lines.first().map_or(0, |(_, spans)| spans.clipped);
    if clipped > 0 {
        let (whole, rest) = (LONGEST_NANOS / 1_000_000_000, LONGEST_NANOS % 1_000_000_000);
        builder.add_comment(&format!(
            "[{clipped} values beyond {whole}.{rest:09} s count as that]"
        ));
    }
    builder
        // Time zero is the start of the run: a log does not contain the time of the host.
        .with_start_time(UNIX_EPOCH)
        .with_base_time(UNIX_EPOCH)
        .begin_log_with(&mut text, &mut serializer)
        .map_err(|e| failed(e.to_string()))?;
    text.extend_from_slice(LEGEND);
    let mut writer = IntervalLogWriterBuilder::new()
        .with_max_value_divisor(NANOS_PER_UNIT)
        .begin_log_with(&mut text, &mut serializer)
        .map_err(|e| failed(e.to_string()))?;
    for (name, spans) in lines {
        let name = name.map(tag);
        writer
            .write_histogram(
                &spans.histogram,
                Duration::ZERO,
                Duration::from_nanos(end.nanos()),
                name.as_deref().and_then(Tag::new),
            )
            .map_err(|e| failed(e.to_string()))?;
    }
    Ok(text)
}

/// A name in the form that the format allows: no comma, no space, no line break.
fn tag(name: &str) -> String {
    name.chars()
        .map(|c| match c.is_whitespace() || c.is_control() || c == ',' {
            true => '_',
            false => c,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::Histograms;
    use super::*;
    use crate::quantity::Span;
    use hdrhistogram::serialization::interval_log::{IntervalLogIterator, LogEntry};
    use hdrhistogram::serialization::Deserializer;
    use hdrhistogram::Histogram;

    fn from_base64(text: &str) -> Vec<u8> {
        let digits = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        let (mut bits, mut held, mut out) = (0u32, 0, vec![]);
        for byte in text.trim_end_matches('=').bytes() {
            let digit = digits.iter().position(|&d| d == byte).unwrap();
            bits = (bits << 6) | digit as u32;
            held += 6;
            if held >= 8 {
                held -= 8;
                out.push((bits >> held) as u8);
            }
        }
        out
    }

    /// The tag, the length of the interval and the histogram of every line.
    fn read(log: &[u8]) -> Vec<(Option<String>, Duration, Histogram<u64>)> {
        IntervalLogIterator::new(log)
            .filter_map(|entry| match entry.unwrap() {
                LogEntry::Interval(line) => {
                    assert_eq!(line.start_timestamp(), Duration::ZERO);
                    let bytes = from_base64(line.encoded_histogram());
                    let histogram = Deserializer::new().deserialize(&mut &bytes[..]).unwrap();
                    let tag = line.tag().map(|t| t.as_str().to_owned());
                    Some((tag, line.duration(), histogram))
                }
                LogEntry::StartTime(t) | LogEntry::BaseTime(t) => {
                    assert_eq!(t, Duration::ZERO);
                    None
                }
            })
            .collect()
    }

    fn log_of(histograms: &Histograms, name: &str) -> Vec<u8> {
        let logs = histograms.logs().unwrap();
        let (_, log) = logs.into_iter().find(|(file, _)| *file == name).unwrap();
        log
    }

    #[test]
    fn a_log_reads_back_with_its_tags_and_its_values() {
        let mut histograms = Histograms::new();
        let end = VirtualTime::from_nanos(12_345_000_000);
        for millis in 1..=100 {
            histograms.message("update", end, Span::from_millis(millis));
        }
        histograms.message("big, slow model", end, Span::from_secs(60));
        let lines = read(&log_of(&histograms, "message_latency.hlog"));
        let tags: Vec<Option<&str>> = lines.iter().map(|(tag, ..)| tag.as_deref()).collect();
        assert_eq!(tags, [None, Some("big__slow_model"), Some("update")]);
        assert!(lines
            .iter()
            .all(|(_, length, _)| *length == Duration::from_millis(12_345)));
        let counts: Vec<u64> = lines.iter().map(|(.., h)| h.len()).collect();
        assert_eq!(counts, [101, 1, 100]);
        let update = &lines[2].2;
        assert!(update.equivalent(update.value_at_quantile(0.5), 50_000_000));
        assert!(update.equivalent(update.max(), 100_000_000));
        assert!(lines[0].2.equivalent(lines[0].2.max(), 60_000_000_000));
    }

    #[test]
    fn the_header_is_the_standard_one() {
        let log = log_of(&Histograms::new(), "round_duration.hlog");
        let text = String::from_utf8(log).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[1], "#[Histogram log format version 1.3]");
        assert_eq!(lines[2], "#[StartTime: 0.000 (seconds since epoch)]");
        assert_eq!(lines[3], "#[BaseTime: 0.000 (seconds since epoch)]");
        assert_eq!(
            lines[4],
            "\"StartTimestamp\",\"Interval_Length\",\"Interval_Max\",\
             \"Interval_Compressed_Histogram\""
        );
        // Compressed histograms begin with this cookie.
        assert!(
            lines[6].starts_with("0.000,0.000,0.000,HISTFAAAA"),
            "{}",
            lines[6]
        );
    }

    #[test]
    fn an_empty_log_holds_an_empty_histogram() {
        let lines = read(&log_of(&Histograms::new(), "queue_wait.hlog"));
        assert_eq!(lines.len(), 1);
        assert!(lines[0].2.is_empty());
    }

    #[test]
    fn the_longest_time_is_written_and_read() {
        let mut histograms = Histograms::new();
        histograms.compute(VirtualTime::NEVER, Span::from_nanos(u64::MAX));
        let lines = read(&log_of(&histograms, "client_compute.hlog"));
        assert!(lines[0]
            .2
            .equivalent(lines[0].2.max(), super::super::LONGEST_NANOS));
    }
}
