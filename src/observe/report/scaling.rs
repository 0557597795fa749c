//! The picture of `shoal scale`: time and memory over the population.

use super::axis::Axis;
use super::plot::Frame;
use super::theme::{self, Ink};
use crate::observe::ObserveError;

/// The width of one of the two pictures, in CSS pixels.
const WIDTH: u32 = 560;
const HEIGHT: u32 = 280;

/// The powers of ten around all values; one to ten if there are none.
fn decades(values: impl Iterator<Item = f64>) -> (f64, f64) {
    let logs = values.filter(|value| *value > 0.0).map(f64::log10);
    let ends = logs.fold(None, |ends: Option<(f64, f64)>, log| match ends {
        None => Some((log, log)),
        Some((low, high)) => Some((low.min(log), high.max(log))),
    });
    let (low, high) = ends.unwrap_or((0.0, 1.0));
    let (low, high) = (low.floor(), high.ceil());
    let high = if high > low { high } else { low + 1.0 };
    (10f64.powf(low), 10f64.powf(high))
}

fn picture(
    what: &'static str,
    title: String,
    y: Axis,
    x: Axis,
    (points, ink): (&[(f64, f64)], Ink),
) -> Result<String, ObserveError> {
    let frame = Frame {
        what,
        width: WIDTH,
        height: HEIGHT,
        x,
        y,
        x_title: "clients (logarithmic)".to_owned(),
        y_title: title,
        grid: true,
    };
    frame.draw(|plot| {
        plot.line(points, ink, 2.0)?;
        for point in points {
            plot.dot(*point, ink, 3.5)?;
        }
        Ok(())
    })
}

/// An SVG of seconds a round and of peak bytes over the population, one below the other, with
/// logarithmic scales. Each point is (clients, seconds, bytes).
///
/// # Errors
/// Returns [`ObserveError::Draw`] if the picture cannot be drawn.
pub fn scaling(points: &[(f64, f64, f64)]) -> Result<String, ObserveError> {
    let over = |pick: fn(&(f64, f64, f64)) -> f64| -> Vec<(f64, f64)> {
        let all = points.iter().map(|point| (point.0, pick(point)));
        // Values that the operating system did not report are not drawn.
        all.filter(|(_, value)| *value > 0.0).collect()
    };
    let (seconds, bytes) = (over(|p| p.1), over(|p| p.2.max(0.0) / 1e6));
    let (low, high) = decades(points.iter().map(|p| p.0));
    let (fast, slow) = decades(seconds.iter().map(|p| p.1));
    let (little, much) = decades(bytes.iter().map(|p| p.1));
    let above = picture(
        "time over the population",
        "host time of a round (logarithmic)".to_owned(),
        Axis::logarithmic_seconds(fast, slow),
        Axis::logarithmic(low, high),
        (&seconds, theme::BLUE),
    )?;
    let below = picture(
        "memory over the population",
        "peak memory in MB (logarithmic)".to_owned(),
        Axis::logarithmic(little, much),
        Axis::logarithmic(low, high),
        (&bytes, theme::ORANGE),
    )?;
    let half = format!("<svg y=\"{HEIGHT}\" width=\"{WIDTH}\" height=\"{HEIGHT}\" ");
    let first = format!("<svg width=\"{WIDTH}\" height=\"{HEIGHT}\" ");
    let nested = |svg: &str, head: &str| {
        // The size of the picture is in drawing units, which its view box keeps.
        let from = svg.find("viewBox").unwrap_or(0);
        format!("{head}{}", &svg[from..])
    };
    Ok(format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{}\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n{}\n{}\n</svg>\n",
        2 * HEIGHT,
        nested(&above, &first),
        nested(&below, &half)
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_of_any_measurements_is_drawn() {
        for points in [
            vec![],
            vec![(1e3, 0.01, 2e8)],
            vec![(1e3, 0.01, 2e8), (1e4, 0.05, 0.0), (1e6, 3.0, 9e8)],
        ] {
            let svg = scaling(&points).unwrap();
            assert_eq!(svg.matches("<svg ").count(), 3, "{svg}");
            assert_eq!(svg.matches("</svg>").count(), 3);
            assert_eq!(svg.matches("viewBox=").count(), 2);
            let dots = svg.matches("<circle").count();
            let known = points.iter().filter(|p| p.2 > 0.0).count() + points.len();
            // A lone point of a line is one more dot.
            assert!(dots >= known && dots <= known + 2, "{dots} for {known}");
        }
    }

    #[test]
    fn scales_end_at_powers_of_ten_around_the_values() {
        assert_eq!(decades([30.0, 2_000.0].into_iter()), (10.0, 10_000.0));
        assert_eq!(decades([100.0].into_iter()), (100.0, 1_000.0));
        assert_eq!(decades([0.0].into_iter()), (1.0, 10.0));
    }
}
