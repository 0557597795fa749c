//! The picture of `shoal sweep`: final accuracy over a parameter that was varied.

use super::axis::Axis;
use super::plot::Frame;
use super::theme;
use crate::observe::{text, ObserveError};

/// The width in CSS pixels.
const WIDTH: u32 = 560;
const HEIGHT: u32 = 300;
/// The ratio of the largest value to the smallest from which on the scale is logarithmic.
const WIDE: f64 = 30.0;

/// An SVG of means, each with a standard deviation up and down. Each point is (value, mean, deviation),
/// in the order of the values; `path` is the parameter that was varied.
///
/// # Errors
/// Returns [`ObserveError::Draw`] if the picture cannot be drawn.
pub fn swept(path: &str, points: &[(f64, f64, f64)]) -> Result<String, ObserveError> {
    let ends = |pick: fn(&(f64, f64, f64)) -> f64| {
        points
            .iter()
            .map(pick)
            .fold((f64::INFINITY, f64::NEG_INFINITY), |ends, value| {
                (ends.0.min(value), ends.1.max(value))
            })
    };
    let ((low, high), (least, _)) = (ends(|p| p.0), ends(|p| p.1 - p.2));
    let logarithmic = low > 0.0 && high >= WIDE * low;
    let path = text::shown(path, 60);
    let frame = Frame {
        what: "accuracy over a parameter",
        width: WIDTH,
        height: HEIGHT,
        x: match logarithmic {
            true => Axis::logarithmic(low / 1.25, high * 1.25),
            false => {
                let room = 0.05 * (high - low);
                Axis::plain(low - room, high + room)
            }
        },
        y: Axis::percent(least),
        x_title: match logarithmic {
            true => format!("{path} (logarithmic)"),
            false => path,
        },
        y_title: "final accuracy, mean ± standard deviation over seeds".to_owned(),
        grid: true,
    };
    let svg = frame.draw(|plot| {
        let means: Vec<(f64, f64)> = points.iter().map(|p| (p.0, p.1)).collect();
        plot.line(&means, theme::BLUE, 2.0)?;
        for &(x, mean, sd) in points {
            plot.line(&[(x, mean - sd), (x, mean + sd)], theme::BLUE, 1.0)?;
            plot.dot((x, mean), theme::BLUE, 3.5)?;
        }
        Ok(())
    })?;
    // The size of the picture is in drawing units, which its view box keeps.
    let from = svg.find("viewBox").unwrap_or(0);
    Ok(format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{HEIGHT}\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n\
         <svg width=\"{WIDTH}\" height=\"{HEIGHT}\" {}\n</svg>\n",
        &svg[from..]
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_of_any_means_is_drawn() {
        for points in [
            vec![],
            vec![(10.0, 0.9, 0.0)],
            vec![(-1.0, 0.5, 0.1), (0.0, 0.7, 0.02), (3.0, 0.9, 0.2)],
            vec![(0.001, 0.5, 0.1), (0.1, 0.7, 0.02)],
        ] {
            let svg = swept("schedule.<cohort>", &points).unwrap();
            assert_eq!(svg.matches("<svg ").count(), 2, "{svg}");
            assert_eq!(svg.matches("</svg>").count(), 2);
            assert!(svg.matches("<circle").count() >= points.len(), "{svg}");
            assert!(!svg.contains("<cohort>"));
        }
    }
}
