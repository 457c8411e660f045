//! Which drawings vello_cpu draws as resvg does, and why it does not draw the others.

use resvg::tiny_skia::Transform;
use resvg::usvg::BlendMode::{Color, Hue, Luminosity, Saturation};
use resvg::usvg::{ClipPath, Group, ImageKind, Node, Paint, Path, Tree};

use super::filter::is_blur;
use super::paint::is_degenerate;
use super::tiles;

/// Groups inside groups that are composed as one. resvg holds a canvas for each; vello_cpu calls itself for each.
const MAX_DEPTH: usize = 64;

/// Why a drawing is resvg's to draw.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unsuited {
    /// A filter that is not one large and upright blur of what is there.
    Filter,
    /// A mask: its luminance would have to be drawn on a canvas first.
    Mask,
    /// A pattern of which many tiles show: resvg draws one on a canvas and repeats that.
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
    /// Nobody waits for it any more, or its time is over: it is not to be drawn at all.
    Stopped,
}

/// Whether all of `tree` is what vello_cpu draws as resvg does, as far as that shows without drawing it.
///
/// # Errors
/// The first reason why not, in drawing order.
pub(crate) fn check(tree: &Tree, transform: Transform, (width, height): (u32, u32)) -> Result<(), Unsuited> {
    if !transform.is_finite() {
        return Err(Unsuited::FarAway);
    }
    children(tree.root(), View { transform, canvas: super::sides(width, height)? }, 0)
}

/// Where a tree is going to be drawn.
#[derive(Clone, Copy)]
struct View {
    transform: Transform,
    canvas: (u16, u16),
}

fn children(parent: &Group, view: View, depth: usize) -> Result<(), Unsuited> {
    parent.children().iter().try_for_each(|node| match node {
        Node::Group(child) => group(child, view, depth),
        Node::Path(child) => path(child, view, depth),
        Node::Text(text) => group(text.flattened(), view, depth),
        Node::Image(image) => match image.kind() {
            _ if !image.is_visible() => Ok(()),
            ImageKind::SVG(tree) => children(tree.root(), view, depth + 1),
            _ => Err(Unsuited::RasterImage),
        },
    })
}

fn group(group: &Group, view: View, depth: usize) -> Result<(), Unsuited> {
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
    children(group, view, depth)
}

fn path(path: &Path, view: View, depth: usize) -> Result<(), Unsuited> {
    if !path.is_visible() {
        return Ok(());
    }
    if !path.rendering_mode().use_shape_antialiasing() {
        return Err(Unsuited::CrispEdges);
    }
    let paints = [path.fill().map(|fill| fill.paint()), path.stroke().map(|stroke| stroke.paint())];
    paints.into_iter().flatten().try_for_each(|paint| match paint {
        Paint::Pattern(pattern) => {
            // As seen from the tree's root; where it stands in an embedded drawing, this is a guess that the scene makes good.
            let transform = view.transform.pre_concat(path.abs_transform());
            let shown = tiles::shown(path.stroke_bounding_box(), transform, view.canvas);
            match shown.and_then(|shown| tiles::tiles(pattern, transform, shown)) {
                Some(_) => children(pattern.root(), view, depth + 2),
                None => Err(Unsuited::Pattern),
            }
        }
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
