//! What filling or stroking an outline takes, apart from the pixels inside.

use resvg::tiny_skia::{Path, PathSegment, Point, Transform};
use resvg::usvg::Stroke;

use super::area::Area;

/// Nanoseconds for a point, and for an edge on each line of samples, four to a pixel.
const POINT: f64 = 60.0;
const EDGE: f64 = 4.0 * 4.0;

/// What there is of an outline.
pub(super) struct Outline {
    pub(super) points: f64,
    /// Lengths of its lines, in its own units.
    length: f64,
    /// What its lines cross of the canvas downwards, in pixels.
    crossed: f64,
    height: f64,
}

impl Outline {
    pub(super) fn of(path: &Path, transform: Transform, canvas: Area) -> Self {
        let mut outline =
            Self { points: 0.0, length: 0.0, crossed: 0.0, height: f64::from(canvas.height()).max(1.0) };
        let (mut start, mut last) = (Point::zero(), Point::zero());
        let row = |mut point: Point| {
            transform.map_point(&mut point);
            // What is not a number is nowhere.
            f64::from(point.y.max(canvas.top).min(canvas.bottom))
        };
        let mut line = |from: Point, to: Point| {
            outline.points += 1.0;
            outline.length += f64::from(from.distance(to));
            outline.crossed += (row(from) - row(to)).abs();
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
        outline
    }

    /// Nanoseconds to find the pixels inside. Edges that cross each other change places in a list, one by one.
    pub(super) fn filled(&self) -> f64 {
        let at_once = self.crossed / self.height;
        self.points * POINT + self.crossed * EDGE + at_once * at_once
    }

    /// Dashes of a stroke, if the renderer makes them: past a million in one outline it draws none.
    pub(super) fn dashes(&self, stroke: &Stroke) -> f64 {
        let Some(dashes) = stroke.dasharray() else { return 0.0 };
        let period: f64 = dashes.iter().map(|length| f64::from(*length)).sum();
        let count = self.length / period * (dashes.len() / 2).max(1) as f64;
        if period > 0.0 && count.is_finite() { count } else { 0.0 }
    }
}
