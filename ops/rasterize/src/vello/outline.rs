//! Outlines: from tiny-skia's paths to lines in pixels of the canvas, and how much they take.

use resvg::tiny_skia::{Path, PathSegment, Point, Transform};
use vello_cpu::kurbo::BezPath;

use super::suits::Unsuited;

/// How far a line may be from the curve that it stands for, in pixels. vello_cpu itself would allow 1/4, which shows:
/// a pixel of an edge would be wrong by as much.
const TOLERANCE: f32 = 1.0 / 16.0;
/// The farthest that an outline may lead from the canvas, in pixels: beyond, single precision has less than 1/16 of
/// a pixel. resvg cuts outlines first, vello_cpu does not.
const FAR: f32 = 1e6;
/// A tile's side in pixels, as vello_cpu has it.
const TILE: f32 = 4.0;

/// Bytes of a tile of coverage that is kept: 16 of the coverage itself, 8 of its strip and two commands of 16 in its
/// row. Vectors grow by doubling, but few tiles are strips of their own.
const TILE_BYTES: u64 = 16 + 8 + 2 * 16;
/// Bytes of a row of tiles that an outline fills between its edges: a command of 16.
const ROW_BYTES: u64 = 2 * 16;
/// Bytes of an outline in itself.
const OUTLINE_BYTES: u64 = 256;
/// Bytes of a crossing of a line and a tile while an outline is worked on: a tile of 8, and its copy to be sorted.
const CROSSING_BYTES: u64 = 2 * (8 + 8);
/// Bytes of a line while an outline is worked on: kurbo's element of 56, and a line of 16.
const LINE_BYTES: u64 = 2 * (56 + 16);

/// What an outline takes of vello_cpu, counted from above.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Extent {
    /// Lines of the outline.
    lines: u64,
    /// Crossings of lines and tiles.
    crossings: u64,
    /// Tiles that its lines touch.
    tiles: u64,
    /// Rows of tiles that it reaches.
    rows: u64,
}

impl Extent {
    /// Bytes that are kept until the drawing is done.
    pub(super) fn kept(self) -> u64 {
        self.tiles * TILE_BYTES + self.rows * ROW_BYTES + OUTLINE_BYTES
    }

    /// Bytes that are needed for this outline alone, and free for the next one.
    pub(super) fn passing(self) -> u64 {
        self.crossings * CROSSING_BYTES + self.lines * LINE_BYTES
    }
}

/// Writes `path`, transformed to pixels and with lines for curves, into `to`, which is emptied first. Tells what it
/// takes on a canvas of that size.
///
/// # Errors
/// When it leads too far away, or would take more than `budget` bytes in passing; `to` then holds part of it.
pub(super) fn convert(
    path: &Path,
    transform: Transform,
    canvas: (u16, u16),
    budget: u64,
    to: &mut BezPath,
) -> Result<Extent, Unsuited> {
    to.truncate(0);
    let mut pen = Pen::new(canvas, budget, to);
    let pixel = |mut point: Point| {
        transform.map_point(&mut point);
        point
    };
    for segment in path.segments() {
        match segment {
            PathSegment::MoveTo(point) => pen.move_to(pixel(point)),
            PathSegment::LineTo(point) => pen.line_to(pixel(point)),
            PathSegment::QuadTo(control, point) => pen.quad_to(pixel(control), pixel(point)),
            PathSegment::CubicTo(first, second, point) => {
                pen.cubic_to(pixel(first), pixel(second), pixel(point));
            }
            PathSegment::Close => pen.close(),
        }
        pen.check()?;
    }
    pen.close();
    pen.check().map(|()| pen.extent())
}

/// Draws lines and counts along. Points off the canvas count as on its border: what is there is not drawn, yet says
/// what is inside of the outline.
struct Pen<'a> {
    to: &'a mut BezPath,
    canvas: Point,
    budget: u64,
    start: Point,
    last: Point,
    low: Point,
    high: Point,
    farthest: f32,
    lines: u64,
    crossings: f32,
}

impl<'a> Pen<'a> {
    fn new((width, height): (u16, u16), budget: u64, to: &'a mut BezPath) -> Self {
        Self {
            to,
            canvas: Point::from_xy(width.into(), height.into()),
            budget,
            start: Point::zero(),
            last: Point::zero(),
            low: Point::from_xy(f32::MAX, f32::MAX),
            high: Point::zero(),
            farthest: 0.0,
            lines: 0,
            crossings: 0.0,
        }
    }

    fn move_to(&mut self, point: Point) {
        self.close();
        self.start = point;
        self.last = point;
        self.include(point);
        self.to.move_to((f64::from(point.x), f64::from(point.y)));
    }

    fn line_to(&mut self, point: Point) {
        self.count(self.last, point);
        self.include(point);
        self.last = point;
        self.to.line_to((f64::from(point.x), f64::from(point.y)));
    }

    fn quad_to(&mut self, control: Point, point: Point) {
        let from = self.last;
        // A parabola is as far from its chords as its second difference over 4 n².
        let bend = second_difference(from, control, point) / 4.0;
        self.curve_to(&[from, control, point], bend, |t| {
            let s = 1.0 - t;
            scaled(from, s * s) + scaled(control, 2.0 * s * t) + scaled(point, t * t)
        });
    }

    fn cubic_to(&mut self, first: Point, second: Point, point: Point) {
        let from = self.last;
        // The largest second derivative, over 8 n².
        let bend = second_difference(from, first, second).max(second_difference(first, second, point));
        self.curve_to(&[from, first, second, point], 0.75 * bend, |t| {
            let s = 1.0 - t;
            let ends = scaled(from, s * s * s) + scaled(point, t * t * t);
            ends + scaled(first, 3.0 * s * s * t) + scaled(second, 3.0 * s * t * t)
        });
    }

    /// Draws `at` from 0 to 1 as lines, where one line would be `bend` away from it.
    fn curve_to(&mut self, points: &[Point], bend: f32, at: impl Fn(f32) -> Point) {
        let end = points[points.len() - 1];
        if self.is_aside(points) || !bend.is_finite() {
            return self.line_to(end);
        }
        let lines = (bend / TOLERANCE).sqrt().ceil().max(1.0);
        // Too many are not drawn: `check` is about to refuse the outline.
        if lines as u64 * LINE_BYTES > self.budget {
            self.lines += lines as u64;
            return self.line_to(end);
        }
        for line in 1..lines as u32 {
            self.line_to(at(line as f32 / lines));
        }
        self.line_to(end);
    }

    /// Whether all of `points` are on the same side of the canvas: nothing between them shows, and a line says as
    /// much about the inside as a curve does.
    fn is_aside(&self, points: &[Point]) -> bool {
        let all = |outside: fn(&Point, Point) -> bool| points.iter().all(|point| outside(point, self.canvas));
        all(|point, _| point.x < 0.0)
            || all(|point, _| point.y < 0.0)
            || all(|point, canvas| point.x > canvas.x)
            || all(|point, canvas| point.y > canvas.y)
    }

    fn close(&mut self) {
        if self.last != self.start {
            self.count(self.last, self.start);
            self.last = self.start;
        }
        if self.lines > 0 {
            self.to.close_path();
        }
    }

    fn include(&mut self, point: Point) {
        // `max` would lose what is not a number.
        let far = point.x.abs().max(point.y.abs());
        let is_number = (point.x + point.y).is_finite();
        self.farthest = if is_number { self.farthest.max(far) } else { f32::INFINITY };
        let point = self.on_canvas(point);
        self.low = Point::from_xy(self.low.x.min(point.x), self.low.y.min(point.y));
        self.high = Point::from_xy(self.high.x.max(point.x), self.high.y.max(point.y));
    }

    fn count(&mut self, from: Point, to: Point) {
        let (from, to) = (self.on_canvas(from), self.on_canvas(to));
        self.lines += 1;
        self.crossings += ((from.x - to.x).abs() + (from.y - to.y).abs()) / TILE + 2.0;
    }

    fn on_canvas(&self, point: Point) -> Point {
        Point::from_xy(point.x.clamp(0.0, self.canvas.x), point.y.clamp(0.0, self.canvas.y))
    }

    fn check(&self) -> Result<(), Unsuited> {
        if self.farthest > FAR {
            return Err(Unsuited::FarAway);
        }
        if self.extent().passing() > self.budget { Err(Unsuited::Memory) } else { Ok(()) }
    }

    fn extent(&self) -> Extent {
        let tiles = |low: f32, high: f32| ((high - low) / TILE).ceil().max(0.0) as u64 + 1;
        let crossings = self.crossings.ceil() as u64;
        let rows = tiles(self.low.y, self.high.y);
        let tiles = crossings.min(rows * tiles(self.low.x, self.high.x));
        Extent { lines: self.lines, crossings, tiles, rows }
    }
}

fn scaled(mut point: Point, by: f32) -> Point {
    point.scale(by);
    point
}

fn second_difference(a: Point, b: Point, c: Point) -> f32 {
    (a.x - 2.0 * b.x + c.x).hypot(a.y - 2.0 * b.y + c.y)
}
