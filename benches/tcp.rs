//! TCP's time, predicted and measured: `cargo bench --bench tcp [-- FILE.csv [DRAWS]]`.
//!
//! Reads what `docs/studies/realtcp/path.py` printed, simulates every cell, and prints how far the
//! medians and the spreads are apart, for Shoal's model and for what it is compared with: the plain
//! law (`Reliable`) and three closed forms.

use shoal::net::tcp::{race, Congestion, Course};
use shoal::net::Loss;
use shoal::quantity::Probability;
use std::collections::BTreeMap;

/// Bytes of a message in a packet with timestamps, and of the packet.
const PAYLOAD: u64 = 1_448;
const PACKET: f64 = 1_500.0;
/// The header that path.py's sender writes before a message.
const PREFIX: u64 = 16;
/// path.py starts its senders one after the other; as far apart as a log of it shows.
const STAGGER: f64 = 0.000_8;

/// All that says what was measured; figures as text, so that equal ones are equal.
type Cell = (String, String, String, String, String, String, String);

struct Row {
    cell: Cell,
    measured: Vec<f64>,
    predicted: Vec<f64>,
    events: f64,
    laws: [f64; 4],
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut words = std::env::args()
        .skip(1)
        .filter(|word| !word.starts_with("--"));
    let own = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/docs/studies/realtcp/measured.csv"
    );
    let file = words.next().unwrap_or_else(|| own.into());
    let draws: u64 = words.next().map_or(Ok(200), |word| word.parse())?;
    let mut cells: BTreeMap<Cell, Vec<f64>> = BTreeMap::new();
    for record in csv::Reader::from_path(&file)?.records() {
        let record = record?;
        let text = |field: usize| record[field].to_owned();
        let cell = (
            text(0),
            text(1),
            text(2),
            text(3),
            text(4),
            text(5),
            text(6),
        );
        cells.entry(cell).or_default().push(record[9].parse()?);
    }
    let rows: Result<Vec<Row>, _> = cells.into_iter().map(|cell| predict(cell, draws)).collect();
    let rows = rows?;
    println!("congestion,rate_mbit,rtt_ms,loss,buffer_kb,flows,bytes,measured,predicted,error,spread,predicted_spread,steps");
    for row in &rows {
        let (congestion, rate, rtt, loss, buffer, flows, bytes) = &row.cell;
        let (measured, predicted) = (median(&row.measured), median(&row.predicted));
        println!(
            "{congestion},{rate},{rtt},{loss},{buffer},{flows},{bytes},{measured:.3},{predicted:.3},{:+.1}%,{:.2},{:.2},{:.0}",
            (predicted / measured - 1.0) * 100.0,
            spread(&row.measured),
            spread(&row.predicted),
            row.events,
        );
    }
    println!("\n{} cells, {draws} draws a cell", rows.len());
    let model = |row: &Row| median(&row.predicted);
    summary("the model", &rows, model);
    for (index, name) in [
        "plain law",
        "Cardwell 2000",
        "Padhye 1998",
        "CUBIC response",
    ]
    .iter()
    .enumerate()
    {
        summary(name, &rows, |row| row.laws[index]);
    }
    for congestion in ["cubic", "reno", "bbr"] {
        let part: Vec<&Row> = rows.iter().filter(|row| row.cell.0 == congestion).collect();
        if !part.is_empty() {
            summary(&format!("the model, {congestion}"), part, model);
        }
    }
    let mut ratios: Vec<f64> = rows
        .iter()
        .filter(|row| row.cell.3 != "0")
        .map(|row| spread(&row.predicted) / spread(&row.measured))
        .map(|ratio| ratio.max(1.0 / ratio))
        .collect();
    ratios.sort_by(f64::total_cmp);
    if !ratios.is_empty() {
        let near = ratios.iter().filter(|ratio| **ratio <= 1.5).count();
        println!(
            "spread (p90/p50) with loss: off by {:.2} in the median cell, within 1.5 in {near} of {}",
            quantile(&ratios, 0.5),
            ratios.len()
        );
    }
    sampling(&rows);
    Ok(())
}

fn predict(
    (cell, measured): (Cell, Vec<f64>),
    draws: u64,
) -> Result<Row, Box<dyn std::error::Error>> {
    let congestion = match cell.0.as_str() {
        "cubic" => Congestion::Cubic,
        "reno" => Congestion::Reno,
        "bbr" => Congestion::Bbr,
        other => {
            return Err(format!("congestion control {other} is none of cubic, reno, bbr").into())
        }
    };
    let loss: f64 = cell.3.parse()?;
    let bytes: u64 = cell.6.parse()?;
    let course = Course {
        congestion,
        rate: cell.1.parse::<f64>()? * 1e6,
        rtt: cell.2.parse::<f64>()? / 1e3,
        loss: if loss > 0.0 {
            Loss::Independent {
                p: Probability::new(loss)?,
            }
        } else {
            Loss::None
        },
        buffer: cell.4.parse::<f64>()? * 1e3,
        flows: cell.5.parse()?,
        stagger: STAGGER,
        packets: (bytes + PREFIX).div_ceil(PAYLOAD),
        packet: PACKET,
    };
    let races = (draws / u64::from(course.flows)).max(10);
    let (mut predicted, mut events) = (Vec::new(), 0);
    for seed in 0..races {
        let (times, tally) = race(&course, seed);
        predicted.extend(times);
        events += tally.events;
    }
    let events = events as f64 / predicted.len() as f64;
    Ok(Row {
        laws: laws(&course, loss),
        cell,
        measured,
        predicted,
        events,
    })
}

/// Seconds by the plain law, Cardwell, Savage and Anderson 2000, Padhye et al. 1998 and the response
/// function of CUBIC (RFC 9438, section 5.1); each with the message's share of the rate.
fn laws(course: &Course, p: f64) -> [f64; 4] {
    let packets = course.packets as f64;
    let rate = course.rate / f64::from(course.flows) / (PACKET * 8.0);
    let (rtt, half) = (course.rtt, course.rtt / 2.0);
    // Retransmissions after two round trips, doubling, as the presets' `Reliable` has it.
    let (mut plain, mut left, mut wait) = (packets / rate + half, packets * p, 2.0 * rtt);
    while left >= 0.5 {
        plain += wait + left / rate;
        wait *= 2.0;
        left *= p;
    }
    // One window grows by one packet a round trip: Linux counts packets, not acknowledgements.
    let (b, timeout) = (1.0, rtt + 0.2_f64.max(2.0 * rtt));
    let padhye = |p: f64| {
        if p == 0.0 {
            return rate;
        }
        let fast = rtt * (2.0 * b * p / 3.0).sqrt();
        let slow = timeout * (3.0 * (3.0 * b * p / 8.0).sqrt()).min(1.0) * p * (1.0 + 32.0 * p * p);
        (1.0 / (fast + slow)).min(rate)
    };
    let first = if p == 0.0 {
        packets
    } else {
        ((1.0 - (1.0 - p).powf(packets)) * (1.0 - p) / p + 1.0).min(packets)
    };
    // Linux counts acknowledged packets, so that slow start doubles in spite of delayed
    // acknowledgements; it ends where the window fills the path.
    let rounds = |packets: f64| (packets / 10.0 + 1.0).log2();
    let full = (rate * rtt / 10.0).max(1.0).log2();
    let slow_start = if rounds(first) <= full {
        rounds(first) * rtt
    } else {
        full * rtt + (first - 10.0 * (full.exp2() - 1.0)).max(0.0) / rate
    };
    let lossy = 1.0 - (1.0 - p).powf(packets);
    let cardwell =
        slow_start.max(first / rate) + lossy * rtt + (packets - first) / padhye(p) + half;
    let window = (0.4_f64 * 3.7 / (4.0 * 0.3)).powf(0.25) * (rtt / p).powf(0.75);
    let window = window.max((1.5 / p).sqrt());
    let cubic = if p == 0.0 {
        rate
    } else {
        (window / rtt).min(rate)
    };
    [
        plain,
        cardwell,
        packets / padhye(p) + half,
        packets / cubic + half,
    ]
}

fn summary<'a>(name: &str, rows: impl IntoIterator<Item = &'a Row>, of: impl Fn(&Row) -> f64) {
    let ratio = |row: &Row| of(row) / median(&row.measured);
    let ratios: Vec<f64> = rows.into_iter().map(ratio).collect();
    let mut errors: Vec<f64> = ratios.iter().map(|ratio| (ratio - 1.0).abs()).collect();
    errors.sort_by(f64::total_cmp);
    let twice = ratios
        .iter()
        .filter(|ratio| **ratio >= 2.0 || **ratio <= 0.5)
        .count();
    println!(
        "{name}: relative error of the median {:.1} % in the median cell, {:.1} % in nine of ten, {:.0} % at most; {twice} of {} cells off by 2 or more",
        quantile(&errors, 0.5) * 100.0,
        quantile(&errors, 0.9) * 100.0,
        quantile(&errors, 1.0) * 100.0,
        errors.len()
    );
}

/// What the errors would be if the model were the truth: medians of as many draws as were measured.
fn sampling(rows: &[Row]) {
    let mut state = 1u64;
    let mut errors: Vec<f64> = rows
        .iter()
        .map(|row| {
            let mut drawn: Vec<f64> = (0..row.measured.len())
                .map(|_| {
                    state = state
                        .wrapping_mul(6_364_136_223_846_793_005)
                        .wrapping_add(1);
                    row.predicted[(state >> 33) as usize % row.predicted.len()]
                })
                .collect();
            drawn.sort_by(f64::total_cmp);
            (median(&drawn) / median(&row.predicted) - 1.0).abs()
        })
        .collect();
    errors.sort_by(f64::total_cmp);
    println!(
        "of that, what so few measurements a cell would show of a perfect model: {:.1} % in the median cell, {:.1} % in nine of ten, {:.0} % at most",
        quantile(&errors, 0.5) * 100.0,
        quantile(&errors, 0.9) * 100.0,
        quantile(&errors, 1.0) * 100.0
    );
}

fn sorted(values: &[f64]) -> Vec<f64> {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    values
}

fn median(values: &[f64]) -> f64 {
    quantile(&sorted(values), 0.5)
}

fn spread(values: &[f64]) -> f64 {
    let values = sorted(values);
    quantile(&values, 0.9) / quantile(&values, 0.5)
}

/// Of sorted values, with straight lines in between.
fn quantile(sorted: &[f64], q: f64) -> f64 {
    let Some(last) = sorted.len().checked_sub(1) else {
        return f64::NAN;
    };
    let place = q * last as f64;
    let below = place.floor() as usize;
    let above = (below + 1).min(last);
    sorted[below] + (sorted[above] - sorted[below]) * (place - below as f64)
}
