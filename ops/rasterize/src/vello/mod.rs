//! The fast renderer: vello_cpu draws the trees that it draws as resvg does, in about half the time. Which those are
//! is said in [`suits`]; everything else is resvg's, which stays the reference.
//!
//! # Why two renderers
//! resvg's rasteriser looks at 4 × 4 samples of every pixel that an edge runs through, one path after the other, and
//! holds each group with an opacity or a clip path in a canvas of its own. vello_cpu computes how much of a pixel is
//! covered, for all paths at once, and composes groups in four rows at a time. It has no masks, patterns or filters
//! with SVG's meaning; resvg has.
//!
//! # The same picture, and what differs
//! Both are given the same outlines: strokes and dashes become areas by tiny-skia's stroker here as well. Curves become
//! lines within 1/16 of a pixel. What differs is how an edge is smoothed: 17 steps of coverage there, 256 here, so a
//! pixel that an edge runs through differs by up to 1/8. Against resvg's own picture with 16 × 16 samples, vello_cpu's is
//! off by half as much as resvg's with 4 × 4, over 1100 drawings at hand. It is worse in one thing: it adds up what
//! several edges cover of one pixel, so a line that runs back over itself has harder edges, and where two parts of an
//! outline touch, a seam may show. `tests/compare.rs` states the tolerance and holds the corpus to it.
//!
//! # Blurs
//! Hundreds of blurs took resvg seconds, two thirds of it in sums that run down columns of pixels. A group whose one
//! filter is a Gaussian blur of 2 pixels or more is therefore drawn here too: [`filter`] says where, [`blur`] has the
//! same boxes row by row. Smaller ones go through resvg's recursive filter, others are made of several steps; both are
//! left to resvg, as they could be sped up only by a copy of its filters.
//!
//! # Patterns
//! resvg draws a pattern's tile on a canvas and repeats that. A tile that is larger than what is seen of it, as
//! `<pattern width="200">` is by mistake (without `patternUnits` that is 200 times the shape), is drawn here as it is, as far
//! as it shows: [`tiles`] says where. All other patterns are left to resvg.
//!
//! # Memory
//! vello_cpu gathers what it draws as tiles of 4 × 4 pixels of coverage. [`outline::Extent`] counts them from above
//! before they are made: outside of layers they are drawn when they become many, and a layer that would take more than
//! [`budget`] makes the drawing resvg's.

mod blur;
mod filter;
mod outline;
mod paint;
mod scene;
mod suits;
#[cfg(test)]
mod tests;
mod tiles;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;

use resvg::tiny_skia::Transform;
use resvg::usvg::Tree;
use vello_cpu::RenderContext;

use self::scene::Scene;
pub(crate) use self::suits::{Unsuited, check};
pub(crate) use self::tiles::tiles;

/// The longest side that vello_cpu is asked for, in pixels. Its coordinates have 16 bits; beyond a quarter of that,
/// time is memory's and no renderer is faster.
const MAX_SIDE: u32 = 16_384;
/// Bytes that a drawing may take beside the canvases: the half of what the plan has for it, which no embedded image
/// needs here.
const SPARE_BYTES: u64 = 32 << 20;
/// Bytes, as counted, up to which what a drawing took is kept for the next one.
const KEPT_BYTES: u64 = 16 << 20;

/// What the last drawing left behind: its buffers are the next one's. One is enough, a worker draws one at a time.
static KEPT: Mutex<Option<RenderContext>> = Mutex::new(None);

/// Draws `tree` on `pixels`: `width` × `height` of premultiplied RGBA, which are transparent so far. `go_on` is asked now and then.
///
/// # Errors
/// The reason why this drawing is resvg's; `pixels` are then to be cleared. [`Unsuited::Stopped`] when it was not to go on.
pub(crate) fn render(
    tree: &Tree,
    transform: Transform,
    pixels: &mut [u8],
    (width, height): (u32, u32),
    go_on: &dyn Fn() -> bool,
) -> Result<(), Unsuited> {
    let (width, height) = sides(width, height)?;
    // A drawing that its author made to break vello_cpu is resvg's as well.
    catch_unwind(AssertUnwindSafe(|| draw(tree, transform, pixels, (width, height), go_on)))
        .unwrap_or(Err(Unsuited::Panicked))
}

fn sides(width: u32, height: u32) -> Result<(u16, u16), Unsuited> {
    if width.max(height) > MAX_SIDE {
        return Err(Unsuited::Size);
    }
    let side = |side: u32| u16::try_from(side).map_err(|_| Unsuited::Size);
    Ok((side(width)?, side(height)?))
}

fn draw(
    tree: &Tree,
    transform: Transform,
    pixels: &mut [u8],
    (width, height): (u16, u16),
    go_on: &dyn Fn() -> bool,
) -> Result<(), Unsuited> {
    let mut context = take(width, height);
    let scene = Scene::new(&mut context, pixels, (width, height), budget(width, height), go_on);
    let taken = scene.finish(tree.root(), transform)?;
    if taken <= KEPT_BYTES {
        keep(context);
    }
    Ok(())
}

/// Bytes that vello_cpu may take for a drawing: what resvg might have taken for its layers, of which the plan has
/// three canvases beside the result, and part of what the plan has for the drawing itself.
fn budget(width: u16, height: u16) -> u64 {
    3 * 4 * u64::from(width) * u64::from(height) + SPARE_BYTES
}

fn take(width: u16, height: u16) -> RenderContext {
    let kept = KEPT.lock().ok().and_then(|mut kept| kept.take());
    match kept {
        Some(mut context) => {
            context.reset_and_resize(width, height);
            context
        }
        None => RenderContext::new(width, height),
    }
}

fn keep(context: RenderContext) {
    if let Ok(mut kept) = KEPT.lock() {
        *kept = Some(context);
    }
}
