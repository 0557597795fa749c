//! The frame of a picture, and the marks in it.

use super::axis::Axis;
use super::theme::{self, Ink};
use crate::observe::ObserveError;
use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

/// Drawing units for each CSS pixel: the library draws in whole units, and curves need finer ones.
const DENSITY: u32 = 4;
/// The library is given the height of a box, and draws letters smaller by this factor.
const BOX_PER_EM: f64 = 1.24;
const LABEL_PX: f64 = 11.5;
/// The width of an average letter of a label, in CSS pixels.
const LETTER_PX: f64 = 6.2;

/// Why a mark could not be drawn.
pub(super) type Fault = DrawingAreaErrorKind<std::io::Error>;
type Chart<'a, 's> = ChartContext<'a, SVGBackend<'s>, Cartesian2d<Axis, Axis>>;

/// A picture without its marks.
pub(super) struct Frame {
    /// What the picture shows, for errors.
    pub what: &'static str,
    /// The width in CSS pixels.
    pub width: u32,
    /// The height in CSS pixels.
    pub height: u32,
    pub x: Axis,
    pub y: Axis,
    /// The quantity of the x axis, with its unit.
    pub x_title: String,
    /// The quantity of the y axis, with its unit.
    pub y_title: String,
    /// Whether lines across are drawn at the ticks of the y axis.
    pub grid: bool,
}

/// A picture to which marks are added.
pub(super) struct Plot<'a, 's> {
    chart: Chart<'a, 's>,
}

fn px(pixels: f64) -> u32 {
    (pixels * f64::from(DENSITY)).round().max(0.0) as u32
}

fn style(size_px: f64, ink: Ink, anchor: Pos) -> TextStyle<'static> {
    let size = size_px * f64::from(DENSITY) * BOX_PER_EM;
    ("sans-serif", size)
        .into_font()
        .color(&ink.rgb())
        .pos(anchor)
}

impl Frame {
    /// Draws the frame, then the marks that `marks` adds, and returns the SVG.
    pub fn draw<F>(self, marks: F) -> Result<String, ObserveError>
    where
        F: FnOnce(&mut Plot<'_, '_>) -> Result<(), Fault>,
    {
        let mut svg = String::new();
        let what = self.what;
        self.draw_into(&mut svg, marks)
            .map_err(|e| ObserveError::Draw {
                what,
                message: e.to_string(),
            })?;
        Ok(svg)
    }

    fn draw_into<F>(self, svg: &mut String, marks: F) -> Result<(), Fault>
    where
        F: FnOnce(&mut Plot<'_, '_>) -> Result<(), Fault>,
    {
        let size = (px(self.width.into()), px(self.height.into()));
        let root: DrawingArea<SVGBackend<'_>, Shift> =
            SVGBackend::with_string(svg, size).into_drawing_area();
        let title = style(LABEL_PX, theme::MUTED, Pos::new(HPos::Left, VPos::Top));
        root.draw(&Text::new(self.y_title, (0, 0), title))?;
        let left = self.y.label_width() as f64 * LETTER_PX + 12.0;
        let below = style(LABEL_PX, theme::MUTED, Pos::new(HPos::Center, VPos::Top));
        let chart = ChartBuilder::on(&root)
            .margin_top(px(24.0))
            .margin_right(px(18.0))
            .x_label_area_size(px(40.0))
            .y_label_area_size(px(left))
            .build_cartesian_2d(self.x, self.y)?;
        let mut plot = Plot { chart };
        {
            let mut mesh = plot.chart.configure_mesh();
            mesh.disable_x_mesh()
                .axis_style(theme::AXIS.rgb().stroke_width(px(1.0)))
                .bold_line_style(theme::GRID.rgb().stroke_width(px(1.0)))
                .label_style(style(LABEL_PX, theme::MUTED, Pos::default()))
                .axis_desc_style(below)
                .x_desc(self.x_title)
                .set_all_tick_mark_size(px(3.5));
            if !self.grid {
                mesh.disable_y_mesh();
            }
            mesh.draw()?;
        }
        marks(&mut plot)?;
        root.present()
    }
}

impl Plot<'_, '_> {
    /// A line through the points, broken where a point has no number; a lone point is a dot.
    pub fn line(&mut self, points: &[(f64, f64)], ink: Ink, width_px: f64) -> Result<(), Fault> {
        let style = ink.rgb().stroke_width(px(width_px));
        for run in points.split(|(x, y)| !x.is_finite() || !y.is_finite()) {
            match run {
                [] => {}
                [point] => self.dot(*point, ink, width_px + 1.0)?,
                _ => {
                    self.chart
                        .draw_series([PathElement::new(run.to_vec(), style)])?;
                }
            }
        }
        Ok(())
    }

    /// A dot at the point.
    pub fn dot(&mut self, point: (f64, f64), ink: Ink, radius_px: f64) -> Result<(), Fault> {
        let dot = Circle::new(point, px(radius_px), ink.rgb().filled());
        self.chart.draw_series([dot])?;
        Ok(())
    }

    /// The area between two curves over the same x: (x, lower, upper).
    pub fn band(&mut self, points: &[(f64, f64, f64)], ink: Ink) -> Result<(), Fault> {
        let upper = points.iter().map(|&(x, _, high)| (x, high));
        let lower = points.iter().rev().map(|&(x, low, _)| (x, low));
        let outline: Vec<(f64, f64)> = upper.chain(lower).collect();
        let area = Polygon::new(outline, ink.rgb().mix(0.22).filled());
        self.chart.draw_series([area])?;
        Ok(())
    }

    /// A filled rectangle between two corners.
    pub fn bar(&mut self, from: (f64, f64), to: (f64, f64), ink: Ink) -> Result<(), Fault> {
        let bar = Rectangle::new([from, to], ink.rgb().filled());
        self.chart.draw_series([bar])?;
        Ok(())
    }

    /// Text to the right of a point.
    pub fn words(&mut self, at: (f64, f64), words: String, ink: Ink) -> Result<(), Fault> {
        let style = style(LABEL_PX - 1.0, ink, Pos::new(HPos::Left, VPos::Center));
        let text = EmptyElement::at(at) + Text::new(words, (px(5.0) as i32, 0), style);
        self.chart.draw_series([text])?;
        Ok(())
    }
}
