//! Which drawings vello_cpu draws as resvg does, and why it does not draw the others.

use resvg::tiny_skia::Transform;
use resvg::usvg::BlendMode::{Color, Hue, Luminosity, Saturation};
use resvg::usvg::{ClipPath, Group, ImageKind, Node, Paint, Path, Tree};

use super::filter::is_blur;
use super::paint::is_degenerate;

/// Groups inside groups that are composed as one. resvg holds a canvas for each; vello_cpu calls itself for each.
const MAX_DEPTH: usize = 64;

/// Why a drawing is resvg's to draw.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unsuited {
    /// A filter that is not one large and upright blur of what is there.
    Filter,
    /// A mask: its luminance would have to be drawn on a canvas first.
    Mask,
    /// A pattern: resvg draws its tile on a canvas and repeats that.
    Pattern,
    /// A blend mode that mixes hue, saturation and luminosity: where a colour below is nearly grey, what differs by 1
    /// there differs by much here; and over nothing resvg draws nothing.
    NonSeparableBlend,
    /// A raster image: decoding takes most of the time, and the two resample differently at its borders.
    RasterImage,
    /// A gradient that leads from a place to itself: the two show different colours.
    DegenerateGradient,
    /// `shape-rendering` without anti-aliasing: resvg asks whether a pixel's centre is inside, vello_cpu how much
    /// of the pixel is.
    CrispEdges,
    /// A clip path that is itself clipped, or that has parts which are.
    ClippedClipPath,
    /// More groups inside one another than [`MAX_DEPTH`].
    Depth,
    /// A side longer than vello_cpu's coordinates reach safely.
    Size,
    /// An outline that leads farther out than single precision has pixels for.
    FarAway,
    /// A blend mode after so much that part of it was drawn already.
    LateBlend,
    /// More outlines than the plan's memory holds as tiles.
    Memory,
    /// vello_cpu panicked.
    Panicked,
}

/// Whether all of `tree` is what vello_cpu draws as resvg does, as far as that shows without drawing it.
///
/// # Errors
/// The first reason why not, in drawing order.
pub(super) fn check(tree: &Tree, transform: Transform) -> Result<(), Unsuited> {
    if !transform.is_finite() {
        return Err(Unsuited::FarAway);
    }
    children(tree.root(), 0)
}

fn children(parent: &Group, depth: usize) -> Result<(), Unsuited> {
    parent.children().iter().try_for_each(|node| match node {
        Node::Group(child) => group(child, depth),
        Node::Path(child) => path(child),
        Node::Text(text) => group(text.flattened(), depth),
        Node::Image(image) => match image.kind() {
            _ if !image.is_visible() => Ok(()),
            ImageKind::SVG(tree) => children(tree.root(), depth + 1),
            _ => Err(Unsuited::RasterImage),
        },
    })
}

fn group(group: &Group, depth: usize) -> Result<(), Unsuited> {
    if !group.filters().is_empty() && !is_blur(group) {
        return Err(Unsuited::Filter);
    }
    if group.mask().is_some() {
        return Err(Unsuited::Mask);
    }
    if matches!(group.blend_mode(), Hue | Saturation | Color | Luminosity) {
        return Err(Unsuited::NonSeparableBlend);
    }
    if let Some(clip) = group.clip_path() {
        clip_path(clip)?;
    }
    let depth = depth + usize::from(group.should_isolate());
    if depth > MAX_DEPTH {
        return Err(Unsuited::Depth);
    }
    children(group, depth)
}

fn path(path: &Path) -> Result<(), Unsuited> {
    if !path.is_visible() {
        return Ok(());
    }
    if !path.rendering_mode().use_shape_antialiasing() {
        return Err(Unsuited::CrispEdges);
    }
    let paints = [path.fill().map(|fill| fill.paint()), path.stroke().map(|stroke| stroke.paint())];
    paints.into_iter().flatten().try_for_each(|paint| match paint {
        Paint::Pattern(_) => Err(Unsuited::Pattern),
        gradient if is_degenerate(gradient) => Err(Unsuited::DegenerateGradient),
        _ => Ok(()),
    })
}

fn clip_path(clip: &ClipPath) -> Result<(), Unsuited> {
    if clip.clip_path().is_some() {
        return Err(Unsuited::ClippedClipPath);
    }
    clip_children(clip.root())
}

fn clip_children(parent: &Group) -> Result<(), Unsuited> {
    parent.children().iter().try_for_each(|node| match node {
        Node::Group(child) if child.clip_path().is_some() => Err(Unsuited::ClippedClipPath),
        Node::Group(child) => clip_children(child),
        Node::Text(text) => clip_children(text.flattened()),
        Node::Path(path) if path.is_visible() && !path.rendering_mode().use_shape_antialiasing() => {
            Err(Unsuited::CrispEdges)
        }
        Node::Path(_) | Node::Image(_) => Ok(()),
    })
}
