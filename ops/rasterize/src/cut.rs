//! Large patterns, for resvg: it draws a whole tile on a canvas, and a tile may be far larger than what is seen of it, as
//! `<pattern width="200">` is by mistake (without `patternUnits` that is 200 times the shape). Where one tile alone shows it is cut
//! to what shows of it, and the drawing is parsed anew; usvg's trees cannot be changed.

use std::collections::HashMap;

use resvg::tiny_skia::{Point, Rect, Transform};
use resvg::usvg::{Group, Node, Paint, Path, Pattern, Tree, WriteOptions};

use crate::{options, vello};

/// Pixels around what shows that are in a cut tile as well: resvg looks at those beside a pixel.
const MARGIN: f32 = 2.0;
/// How far a shape may reach over a tile's edge without another one showing, in pixels.
const EDGE: f32 = 1.0 / 16.0;

/// `tree` with its large patterns cut; `None` if there are none, or if more than one tile shows of each.
pub(crate) fn large_patterns(tree: &Tree, transform: Transform, (width, height): (u32, u32)) -> Option<Tree> {
    let canvas = Rect::from_xywh(0.0, 0.0, width as f32, height as f32)?;
    let mut cuts = Cuts { transform, canvas, found: HashMap::new() };
    cuts.children(tree.root());
    let found: HashMap<_, _> = cuts.found.into_iter().filter_map(|(id, cut)| Some((id, cut?))).collect();
    if found.is_empty() {
        return None;
    }
    let text = rewritten(&tree.to_string(&WriteOptions::default()), &found);
    Tree::from_str(&text, &options()).ok()
}

/// What a pattern's tile is cut to, in the pattern's units.
type Cut = [f32; 4];

struct Cuts<'t> {
    transform: Transform,
    canvas: Rect,
    /// By the pattern's `id`; none for one that cannot be cut.
    found: HashMap<&'t str, Option<Cut>>,
}

impl<'t> Cuts<'t> {
    fn children(&mut self, parent: &'t Group) {
        for node in parent.children() {
            match node {
                Node::Group(group) => self.children(group),
                Node::Text(text) => self.children(text.flattened()),
                Node::Path(path) => self.path(path),
                Node::Image(_) => {}
            }
        }
    }

    fn path(&mut self, path: &'t Path) {
        let fill = path.fill().map(|fill| (fill.paint(), path.bounding_box()));
        let stroke = path.stroke().map(|stroke| (stroke.paint(), path.stroke_bounding_box()));
        for (paint, bounds) in [fill, stroke].into_iter().flatten() {
            let Paint::Pattern(pattern) = paint else { continue };
            let cut = self.cut(pattern, bounds, self.transform.pre_concat(path.abs_transform()));
            let all = self.found.entry(pattern.id()).or_insert(cut);
            *all = all.zip(cut).and_then(|(one, other)| union(one, other));
        }
    }

    /// What shows of the one tile that is seen in `bounds`.
    fn cut(&self, pattern: &Pattern, bounds: Rect, transform: Transform) -> Option<Cut> {
        let shown = bounds.transform(transform)?.intersect(&self.canvas)?;
        let shown = shown.inset(EDGE, EDGE).unwrap_or(shown);
        let shown = [shown.left(), shown.top(), shown.right(), shown.bottom()];
        let tiles = vello::tiles(pattern, transform, shown)?;
        let [tile] = tiles[..] else { return None };
        let [left, top, right, bottom] = shown;
        let mut corners = [(left, top), (right, top), (left, bottom), (right, bottom)].map(Point::from);
        tile.invert()?.map_points(&mut corners);
        let (across, down) = tile.get_scale();
        let far = |sides: [f32; 4], margin: f32| sides.into_iter().fold(0.0, f32::max) + margin;
        let width = far(corners.map(|corner| corner.x), MARGIN / across).min(pattern.rect().width());
        let height = far(corners.map(|corner| corner.y), MARGIN / down).min(pattern.rect().height());
        let mut origin = Point::zero();
        let placed = transform.pre_concat(pattern.transform());
        tile.map_point(&mut origin);
        placed.invert()?.map_point(&mut origin);
        Some([origin.x, origin.y, width, height])
    }
}

/// Both, if they begin at the same tile.
fn union(one: Cut, other: Cut) -> Option<Cut> {
    let near = |index: usize| (one[index] - other[index]).abs() <= 1e-3 * one[2].max(one[3]);
    (near(0) && near(1)).then(|| [one[0], one[1], one[2].max(other[2]), one[3].max(other[3])])
}

/// The text of a tree with other rectangles for the patterns of these `id`s. In one go: there may be as many as there are shapes.
fn rewritten(text: &str, cuts: &HashMap<&str, Cut>) -> String {
    const BEGINS: &str = "<pattern id=\"";
    let mut result = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(BEGINS) {
        let (before, pattern) = rest.split_at(at + BEGINS.len());
        let cut = pattern.split_once('"').and_then(|(id, _)| cuts.get(id).map(|cut| (id, cut)));
        result += before;
        rest = match (cut, pattern.find(" patternUnits=")) {
            (Some((id, [x, y, width, height])), Some(end)) => {
                result += &format!("{id}\" x=\"{x}\" y=\"{y}\" width=\"{width}\" height=\"{height}\"");
                &pattern[end..]
            }
            _ => pattern,
        };
    }
    result + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(content: &str) -> Tree {
        let text =
            format!("<svg xmlns='http://www.w3.org/2000/svg' width='300' height='300'>{content}</svg>");
        Tree::from_str(&text, &options()).unwrap()
    }

    fn cut(content: &str) -> Option<Tree> {
        large_patterns(&tree(content), Transform::identity(), (300, 300))
    }

    #[test]
    fn a_tile_is_cut_to_what_shows_of_it() {
        let rect = "<rect x='20' y='30' width='200' height='100' fill='url(#p)'/>";
        let pattern = |size: &str| {
            format!("<pattern id='p' {size}><rect x='3' width='9' height='900' fill='red'/></pattern>")
        };
        for size in ["width='200' height='200'", "width='1e6' height='1e6' patternUnits='userSpaceOnUse'"] {
            let cut = cut(&(pattern(size) + rect)).unwrap();
            let [pattern] = cut.patterns() else { panic!("{size}") };
            assert!(
                pattern.rect().width() < 225.0 && pattern.rect().height() < 135.0,
                "{size}: {:?}",
                pattern.rect()
            );
        }
        assert!(cut(&(pattern("width='20' height='20' patternUnits='userSpaceOnUse'") + rect)).is_none());
        assert!(cut(rect).is_none());
    }

    #[test]
    fn as_many_patterns_as_there_are_shapes_are_cut_in_one_go() {
        let shapes: String = (0..10_000)
            .map(|i| {
                format!(
                    "<pattern id='p{i}' width='{}' height='200'><path d='M0 0h9v9z'/></pattern>\
                     <rect x='20' y='30' width='200' height='100' fill='url(#p{i})'/>",
                    200 + i % 2
                )
            })
            .collect();
        let large = tree(&shapes);
        let began = std::time::Instant::now();
        let cut = large_patterns(&large, Transform::identity(), (300, 300)).unwrap();
        assert!(began.elapsed() < std::time::Duration::from_secs(10), "{:?}", began.elapsed());
        assert!(cut.patterns().iter().all(|pattern| pattern.rect().width() < 225.0));
    }
}
