//! Tiles of patterns that are larger than what is seen of them: where they lie.

use resvg::tiny_skia::{Point, Rect, Transform};
use resvg::usvg::Pattern;

/// How many times as large as what is seen of it a tile must be to be drawn as it is.
const LARGE: f32 = 4.0;
/// Tiles that are drawn for one shape, at most. More of them show only where they are narrow.
const MOST: i64 = 16;

/// The part of `bounds` that shows on the canvas, in pixels: left, top, right and bottom.
pub(super) fn shown(bounds: Rect, transform: Transform, (width, height): (u16, u16)) -> Option<[f32; 4]> {
    let bounds = bounds.transform(transform)?;
    let (left, top) = (bounds.left().max(0.0), bounds.top().max(0.0));
    let (right, bottom) = (bounds.right().min(width.into()), bounds.bottom().min(height.into()));
    (left < right && top < bottom).then_some([left, top, right, bottom])
}

/// The transforms of a pattern's tiles that touch `shown`, if a tile is so large that few do. `transform` is that of what is
/// painted. A tile then lies at its own origin.
pub(crate) fn tiles(
    pattern: &Pattern,
    transform: Transform,
    [left, top, right, bottom]: [f32; 4],
) -> Option<Vec<Transform>> {
    let (width, height) = (pattern.rect().width(), pattern.rect().height());
    let placed = transform.pre_concat(pattern.transform());
    let (across, down) = placed.get_scale();
    let seen = (right - left).max(1.0) * (bottom - top).max(1.0);
    if width * across * height * down < LARGE * seen {
        return None;
    }
    let first = placed.pre_translate(pattern.rect().x(), pattern.rect().y());
    let mut corners = [(left, top), (right, top), (left, bottom), (right, bottom)].map(Point::from);
    first.invert()?.map_points(&mut corners);
    let columns = span(corners.map(|corner| corner.x / width))?;
    let rows = span(corners.map(|corner| corner.y / height))?;
    if (columns.1 - columns.0 + 1).checked_mul(rows.1 - rows.0 + 1)? > MOST {
        return None;
    }
    let row = |row: i64| {
        let at = move |column: i64| first.pre_translate(column as f32 * width, row as f32 * height);
        (columns.0..=columns.1).map(at)
    };
    Some((rows.0..=rows.1).flat_map(row).collect())
}

/// The first and the last whole number that `positions` touch.
fn span(positions: [f32; 4]) -> Option<(i64, i64)> {
    let low = positions.into_iter().fold(f32::INFINITY, f32::min).floor();
    let high = positions.into_iter().fold(f32::NEG_INFINITY, f32::max).ceil() - 1.0;
    // Beyond, single precision knows no single tiles.
    (low.abs().max(high.abs()) < 1e6).then_some((low as i64, (high as i64).max(low as i64)))
}
