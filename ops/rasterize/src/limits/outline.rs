//! What filling or stroking an outline takes, apart from the pixels inside.

use resvg::tiny_skia::{Path, PathSegment, Point, Transform};
use resvg::usvg::Stroke;

use super::area::Area;
use super::costs::Costs;

/// How many pixels of a line there may be beside each on its way down: of lines that lead nowhere else nothing is drawn.
const FLATTEST: f64 = 4.0;

/// What there is of an outline.
pub(super) struct Outline {
    points: f64,
    /// Lengths of its lines, in its own units.
    length: f64,
    /// The pixels of the canvas that its lines cross downwards, and those on their way.
    down: f64,
    way: f64,
    /// The rows that it reaches, and columns of the canvas.
    rows: f64,
    columns: f64,
}

impl Outline {
    pub(super) fn of(path: &Path, transform: Transform, canvas: Area) -> Self {
        let columns = f64::from(canvas.width()).max(1.0);
        let mut outline = Self { points: 0.0, length: 0.0, down: 0.0, way: 0.0, rows: 0.0, columns };
        let (mut start, mut last) = (Point::zero(), Point::zero());
        let (mut top, mut bottom) = (f64::INFINITY, f64::NEG_INFINITY);
        let pixel = |mut point: Point| {
            transform.map_point(&mut point);
            // What is not a number is nowhere.
            let across = f64::from(point.x.max(canvas.left).min(canvas.right));
            (across, f64::from(point.y.max(canvas.top).min(canvas.bottom)))
        };
        let mut line = |from: Point, to: Point| {
            outline.points += 1.0;
            outline.length += f64::from(from.distance(to));
            let (from, to) = (pixel(from), pixel(to));
            let down = (from.1 - to.1).abs();
            outline.down += down;
            outline.way += down + (from.0 - to.0).abs().min(FLATTEST * down);
            (top, bottom) = (top.min(from.1).min(to.1), bottom.max(from.1).max(to.1));
        };
        for segment in path.segments() {
            match segment {
                PathSegment::MoveTo(point) => (start, last) = (point, point),
                PathSegment::LineTo(point) => {
                    line(last, point);
                    last = point;
                }
                PathSegment::QuadTo(one, point) => {
                    line(last, one);
                    line(one, point);
                    last = point;
                }
                PathSegment::CubicTo(one, two, point) => {
                    line(last, one);
                    line(one, two);
                    line(two, point);
                    last = point;
                }
                PathSegment::Close => {
                    line(last, start);
                    last = start;
                }
            }
        }
        outline.rows = (bottom - top).max(1.0);
        outline
    }

    /// Nanoseconds to find the pixels inside.
    pub(super) fn filled(&self, costs: &Costs) -> f64 {
        self.sides(1.0, costs)
    }

    /// The same of its stroke with so many dashes: both sides of a line are edges.
    pub(super) fn stroked(&self, dashes: f64, costs: &Costs) -> f64 {
        self.sides(2.0, costs) + (self.points + 2.0 * dashes) * costs.stroked
    }

    fn sides(&self, sides: f64, costs: &Costs) -> f64 {
        // More than one beside the other in each pixel are one.
        let beside = (sides * self.down / self.rows).min(2.0 * self.columns);
        sides * (self.points * costs.point + self.way * costs.edge)
            + self.rows * beside * beside * costs.beside
    }

    /// Dashes of a stroke, if the renderer makes them: past a million in one outline it draws none.
    pub(super) fn dashes(&self, stroke: &Stroke) -> f64 {
        let Some(dashes) = stroke.dasharray() else { return 0.0 };
        let period: f64 = dashes.iter().map(|length| f64::from(*length)).sum();
        let count = self.length / period * (dashes.len() / 2).max(1) as f64;
        if period > 0.0 && count.is_finite() { count } else { 0.0 }
    }
}
