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
    /// The pixels of the canvas that its lines cross downwards, and those on their way.
    down: f64,
    way: f64,
    /// The rows that it reaches, and columns of the canvas.
    rows: f64,
    columns: f64,
}

impl Outline {
    /// The most that there can be of it, by the box around it alone, which takes no time.
    pub(super) fn at_most(path: &Path, transform: Transform, canvas: Area) -> Self {
        // What is not a number may be anywhere.
        let around = Area::of(path.bounds(), transform).unwrap_or(canvas).held_in(canvas);
        let (width, height) = (f64::from(around.width()), f64::from(around.height()));
        // No part of it has more lines than points, but the one that closes it.
        let points = (path.points().len() + path.len()) as f64;
        Self {
            points,
            down: points * height,
            way: points * (height + width.min(FLATTEST * height)),
            rows: height.max(1.0),
            columns: f64::from(canvas.width()).max(1.0),
        }
    }

    /// What there is of it, point by point.
    pub(super) fn of(path: &Path, transform: Transform, canvas: Area) -> Self {
        let to_pixel = to_pixel(transform, canvas);
        let columns = f64::from(canvas.width()).max(1.0);
        let mut outline = Self { points: 0.0, down: 0.0, way: 0.0, rows: 0.0, columns };
        let (mut top, mut bottom) = (f64::INFINITY, f64::NEG_INFINITY);
        let (mut start, mut last) = (to_pixel(Point::zero()), to_pixel(Point::zero()));
        let mut line = |last: &mut Pixel, to: Pixel| {
            let from = std::mem::replace(last, to);
            outline.points += 1.0;
            let down = (from.y - to.y).abs();
            outline.down += down;
            outline.way += down + (from.x - to.x).abs().min(FLATTEST * down);
            (top, bottom) = (top.min(from.y).min(to.y), bottom.max(from.y).max(to.y));
        };
        for segment in path.segments() {
            match segment {
                PathSegment::MoveTo(point) => {
                    start = to_pixel(point);
                    last = start;
                }
                PathSegment::LineTo(point) => line(&mut last, to_pixel(point)),
                PathSegment::QuadTo(one, point) => {
                    line(&mut last, to_pixel(one));
                    line(&mut last, to_pixel(point));
                }
                PathSegment::CubicTo(one, two, point) => {
                    line(&mut last, to_pixel(one));
                    line(&mut last, to_pixel(two));
                    line(&mut last, to_pixel(point));
                }
                PathSegment::Close => line(&mut last, start),
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
}

/// Where a point lies on the canvas.
#[derive(Clone, Copy)]
struct Pixel {
    x: f64,
    y: f64,
}

/// What gives a point's place, held within the canvas.
fn to_pixel(transform: Transform, canvas: Area) -> impl Fn(Point) -> Pixel {
    let wide = f64::from;
    let Transform { sx, kx, ky, sy, tx, ty } = transform;
    let (sx, kx, ky, sy, tx, ty) = (wide(sx), wide(kx), wide(ky), wide(sy), wide(tx), wide(ty));
    let (left, top, right, bottom) =
        (wide(canvas.left), wide(canvas.top), wide(canvas.right), wide(canvas.bottom));
    move |point| {
        let (x, y) = (wide(point.x), wide(point.y));
        // What is not a number is nowhere.
        Pixel {
            x: (x * sx + y * kx + tx).max(left).min(right),
            y: (x * ky + y * sy + ty).max(top).min(bottom),
        }
    }
}

/// Dashes of a stroke, if the renderer makes them: past a million in one outline it draws none.
pub(super) fn dashes(stroke: &Stroke, path: &Path) -> f64 {
    let Some(dashes) = stroke.dasharray() else { return 0.0 };
    let period: f64 = dashes.iter().map(|length| f64::from(*length)).sum();
    let count = length(path) / period * (dashes.len() / 2).max(1) as f64;
    if period > 0.0 && count.is_finite() { count } else { 0.0 }
}

/// Lengths of an outline's lines, in its own units.
fn length(path: &Path) -> f64 {
    let (mut start, mut last, mut length) = (Point::zero(), Point::zero(), 0.0);
    let mut line = |last: &mut Point, to: Point| {
        length += f64::from(last.distance(to));
        *last = to;
    };
    for segment in path.segments() {
        match segment {
            PathSegment::MoveTo(point) => (start, last) = (point, point),
            PathSegment::LineTo(point) => line(&mut last, point),
            PathSegment::QuadTo(one, point) => [one, point].into_iter().for_each(|to| line(&mut last, to)),
            PathSegment::CubicTo(one, two, point) => {
                [one, two, point].into_iter().for_each(|to| line(&mut last, to));
            }
            PathSegment::Close => line(&mut last, start),
        }
    }
    length
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use resvg::tiny_skia::PathBuilder;

    use super::super::costs::{RESVG, VELLO};
    use super::*;

    fn path(points: &[(f32, f32)]) -> Option<Path> {
        let mut path = PathBuilder::new();
        for (number, pair) in points.windows(3).enumerate() {
            let [one, two, three] = [pair[0], pair[1], pair[2]];
            match number % 5 {
                0 => path.move_to(one.0, one.1),
                1 => path.line_to(one.0, one.1),
                2 => path.quad_to(one.0, one.1, two.0, two.1),
                3 => path.cubic_to(one.0, one.1, two.0, two.1, three.0, three.1),
                _ => path.close(),
            }
        }
        path.finish()
    }

    proptest! {
        #[test]
        fn the_box_around_an_outline_tells_no_less_than_its_points(
            points in prop::collection::vec((-500f32..1500.0, -500f32..1500.0), 3..60),
            (sx, kx, ky, sy) in (-3f32..3.0, -3f32..3.0, -3f32..3.0, -3f32..3.0),
            (tx, ty) in (-900f32..900.0, -900f32..900.0),
        ) {
            let Some(path) = path(&points) else { return Ok(()) };
            let (transform, canvas) = (Transform::from_row(sx, ky, kx, sy, tx, ty), Area::canvas(700.0, 300.0));
            let (most, exact) = (Outline::at_most(&path, transform, canvas), Outline::of(&path, transform, canvas));
            for costs in [&RESVG, &VELLO] {
                // Single precision is a little off.
                prop_assert!(1.001 * most.filled(costs) >= exact.filled(costs));
                prop_assert!(1.001 * most.stroked(9.0, costs) >= exact.stroked(9.0, costs));
            }
        }
    }

    #[test]
    fn dashes_are_as_many_as_fit_along_the_lines() {
        let mut builder = PathBuilder::new();
        builder.move_to(0.0, 0.0);
        builder.line_to(30.0, 0.0);
        builder.line_to(30.0, 40.0);
        builder.close();
        assert_eq!(length(&builder.finish().unwrap()), 120.0);
    }
}
