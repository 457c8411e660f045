//! Both renderers side by side: the same pictures, within the tolerance stated in [`compare`]; the memory that
//! vello_cpu takes; what is left to resvg; and, on request, the time that each takes.

mod compare;
mod corpus;
mod measure;
mod memory;
mod reasons;

use resvg::tiny_skia::{Pixmap, Transform};
use resvg::usvg::Tree;

use super::Unsuited;

fn parse(svg: &str) -> Tree {
    Tree::from_str(svg, &crate::options()).unwrap()
}

/// A canvas whose longer side has `side` pixels, and what brings `tree` onto it.
fn canvas(tree: &Tree, side: u32) -> (Pixmap, Transform) {
    let (width, height) = (tree.size().width(), tree.size().height());
    let scale = side as f32 / width.max(height);
    let pixels = |side: f32| ((side * scale).round() as u32).max(1);
    (Pixmap::new(pixels(width), pixels(height)).unwrap(), Transform::from_scale(scale, scale))
}

/// `tree` as resvg draws it.
fn reference(tree: &Tree, side: u32) -> Pixmap {
    let (mut canvas, transform) = canvas(tree, side);
    resvg::render(tree, transform, &mut canvas.as_mut());
    canvas
}

/// `tree` as vello_cpu draws it.
fn fast(tree: &Tree, side: u32) -> Result<Pixmap, Unsuited> {
    let (mut canvas, transform) = canvas(tree, side);
    let size = (canvas.width(), canvas.height());
    super::check(tree, transform, size)?;
    super::render(tree, transform, canvas.data_mut(), size, &|| true).map(|()| canvas)
}
