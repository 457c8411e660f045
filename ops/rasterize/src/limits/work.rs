//! The pixels that drawing a parsed tree would touch, and the memory it would hold, by a walk that goes wherever the renderer goes:
//! the same layers, cut in the same way. Times are estimates from above, by the table of [`super::costs`].

use std::time::Duration;

use imgserve_sdk::{Error, ErrorKind};
use resvg::tiny_skia::{Rect, Transform};
use resvg::usvg::filter::Kind;
use resvg::usvg::{
    BlendMode, ClipPath, Group, Image, ImageKind, Mask, Node, Opacity, Paint, Path, Pattern, Tree,
};

use super::area::Area;
use super::costs::{Costs, RESVG, VELLO};
use super::outline::{self, Outline};
use super::{effects, within};
use crate::vello;

/// The part of an operation's time that drawing may take by count; before it, a drawing is parsed, and after it encoded.
const SHARE: f64 = 0.8;
/// The most bytes of layers, results of filters and tiles at a time.
const MOST_BYTES: u64 = 512 << 20;
/// Layers inside one another; librsvg has as many.
const MAX_LAYERS: u64 = 100;
/// The most dashes of all strokes.
const MAX_DASHES: u64 = 1_000_000;

/// Who is going to draw.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Renderer {
    /// Draws large patterns as they are.
    Vello,
    /// Draws each pattern's tile on a canvas first.
    Resvg,
}

impl Renderer {
    fn costs(self) -> &'static Costs {
        match self {
            Self::Vello => &VELLO,
            Self::Resvg => &RESVG,
        }
    }
}

/// What a drawing would take.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Work {
    /// Bytes that are held at a time beside the result, at most.
    pub(crate) bytes: u64,
    /// How long at most, as counted.
    pub(crate) nanoseconds: f64,
}

/// What time is counted by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Count {
    Morphology,
    Turbulence,
    Convolution,
    Blur,
    Lighting,
    Filters,
    Outlines,
    Fills,
    Gradients,
    Layers,
    Clips,
    Masks,
    Patterns,
    Images,
}

impl Count {
    fn name(self) -> &'static str {
        match self {
            Self::Morphology => "morphology (radius × pixels)",
            Self::Turbulence => "turbulence (octaves × pixels)",
            Self::Convolution => "convolution (order × pixels)",
            Self::Blur => "blurs (pixels)",
            Self::Lighting => "light sources (pixels)",
            Self::Filters => "filters (primitives × pixels)",
            Self::Outlines => "outlines (points, dashes and the lines that they cross)",
            Self::Fills => "shapes (elements × pixels)",
            Self::Gradients => "gradients (stops × pixels)",
            Self::Layers => "layers (opacity and the like × pixels)",
            Self::Clips => "clip paths (pixels)",
            Self::Masks => "masks (pixels)",
            Self::Patterns => "patterns (tiles × pixels)",
            Self::Images => "images (pixels)",
        }
    }
}

/// What was counted so far.
#[derive(Debug)]
pub(super) struct Sums {
    each: [f64; 14],
    all: f64,
    limit: Duration,
    dashes: f64,
    live: u64,
    most: u64,
}

impl Sums {
    fn new(limit: Duration) -> Self {
        Self { each: [0.0; 14], all: 0.0, limit, dashes: 0.0, live: 0, most: 0 }
    }

    /// Adds nanoseconds.
    ///
    /// # Errors
    /// `limit-exceeded`, by the name of what took most, when all of it is too much.
    pub(super) fn add(&mut self, count: Count, nanoseconds: f64) -> Result<(), Error> {
        self.each[count as usize] += nanoseconds;
        self.all += nanoseconds;
        // What is not a number is too much as well.
        if self.all <= self.limit.as_secs_f64() * 1e9 * SHARE {
            return Ok(());
        }
        let worst = if self.each[count as usize] * 2.0 >= self.all { count } else { self.worst() };
        let text = format!(
            "the drawing has too much to be drawn: {}, at least {:.1} s by count of {:.1} s for drawing (time_limit_ms = {})",
            worst.name(),
            self.all / 1e9,
            self.limit.as_secs_f64() * SHARE,
            self.limit.as_millis()
        );
        Err(Error::new(ErrorKind::LimitExceeded, text))
    }

    fn worst(&self) -> Count {
        const ALL: [Count; 14] = [
            Count::Morphology,
            Count::Turbulence,
            Count::Convolution,
            Count::Blur,
            Count::Lighting,
            Count::Filters,
            Count::Outlines,
            Count::Fills,
            Count::Gradients,
            Count::Layers,
            Count::Clips,
            Count::Masks,
            Count::Patterns,
            Count::Images,
        ];
        let most =
            |one: &Count, other: &Count| self.each[*one as usize].total_cmp(&self.each[*other as usize]);
        ALL.into_iter().max_by(most).unwrap_or(Count::Fills)
    }

    fn hold(&mut self, bytes: u64) -> Result<(), Error> {
        self.live = self.live.saturating_add(bytes);
        self.most = self.most.max(self.live);
        within("bytes of layers, tiles and results of filters", self.most, MOST_BYTES)
    }
}

/// Counts what drawing `tree` on a canvas of this size would take, of what may take `limit` in all.
///
/// Most drawings are far from any limit, which the boxes around their outlines tell already; of others every point is looked at.
///
/// # Errors
/// `limit-exceeded`, with what there is too much of.
pub(crate) fn count(
    tree: &Tree,
    transform: Transform,
    canvas: (u32, u32),
    renderer: Renderer,
    limit: Duration,
) -> Result<Work, Error> {
    counted(tree, transform, canvas, (renderer, Outline::at_most), limit)
        .or_else(|_| counted(tree, transform, canvas, (renderer, Outline::of), limit))
}

/// [`count`], with every point looked at or none.
pub(super) fn counted(
    tree: &Tree,
    transform: Transform,
    (width, height): (u32, u32),
    (renderer, outline): (Renderer, Reckoned),
    limit: Duration,
) -> Result<Work, Error> {
    let rows = f64::from(height);
    let mut walk = Walk { sums: Sums::new(limit), renderer, outline, costs: renderer.costs(), rows };
    let canvas = Area::canvas(width as f32, height as f32);
    walk.children(tree.root(), Place { transform, canvas, reach: canvas.reach(), layers: 0 })?;
    Ok(Work { bytes: walk.sums.most, nanoseconds: walk.sums.all })
}

/// How an outline is reckoned.
type Reckoned = fn(&resvg::tiny_skia::Path, Transform, Area) -> Outline;

struct Walk {
    sums: Sums,
    renderer: Renderer,
    outline: Reckoned,
    costs: &'static Costs,
    /// Of the whole canvas.
    rows: f64,
}

/// Where something is drawn.
#[derive(Clone, Copy, Debug)]
struct Place {
    transform: Transform,
    /// The layer, whose origin is its own corner.
    canvas: Area,
    /// What no layer inside is larger than.
    reach: Area,
    layers: u64,
}

impl Walk {
    fn children(&mut self, parent: &Group, place: Place) -> Result<(), Error> {
        parent.children().iter().try_for_each(|node| {
            self.sums.add(Count::Fills, self.costs.element)?;
            match node {
                Node::Group(group) => self.group(group, place),
                Node::Path(path) => self.path(path, place),
                Node::Text(text) => self.group(text.flattened(), place),
                Node::Image(image) => self.image(image, place),
            }
        })
    }

    fn group(&mut self, group: &Group, place: Place) -> Result<(), Error> {
        let transform = place.transform.pre_concat(group.transform());
        if !group.should_isolate() {
            return self.children(group, Place { transform, ..place });
        }
        let Some((layer, transform, reach)) = layer(group, transform, place.reach) else { return Ok(()) };
        let layers = place.layers + 1;
        within("layers inside one another", layers, MAX_LAYERS)?;
        let bytes = (4.0 * layer.pixels()) as u64;
        self.hold(bytes)?;
        let mixed = group.blend_mode() != BlendMode::Normal;
        let each = if mixed { self.costs.blended } else { self.costs.layer };
        let composed = self.composed(group, transform, layer) * each;
        self.sums.add(Count::Layers, composed + self.rows * self.costs.row)?;
        let inside = Place {
            transform: transform.post_translate(-layer.left, -layer.top),
            canvas: Area::canvas(layer.width(), layer.height()),
            reach,
            layers,
        };
        self.children(group, inside)?;
        for filter in group.filters() {
            let bytes = effects::filter(filter, inside.transform, inside.canvas, &mut self.sums)?;
            self.hold(bytes)?;
            for primitive in filter.primitives() {
                if let Kind::Image(image) = primitive.kind() {
                    self.inner(image.root(), inside)?;
                }
            }
            self.give_back(bytes);
        }
        if let Some(clip) = group.clip_path() {
            self.clip(clip, inside)?;
        }
        if let Some(mask) = group.mask() {
            self.mask(mask, inside)?;
        }
        self.give_back(bytes);
        Ok(())
    }

    /// Takes bytes that are held until they are given back. vello_cpu holds no canvas for a layer, and minds itself what it
    /// holds.
    fn hold(&mut self, bytes: u64) -> Result<(), Error> {
        match self.renderer {
            Renderer::Vello => Ok(()),
            Renderer::Resvg => self.sums.hold(bytes),
        }
    }

    fn give_back(&mut self, bytes: u64) {
        self.sums.live -= bytes.min(self.sums.live);
    }

    /// The pixels of a layer that are composed: vello_cpu composes what is inside of a clip path alone.
    fn composed(&self, group: &Group, transform: Transform, layer: Area) -> f64 {
        let clip = group.clip_path().filter(|_| self.renderer == Renderer::Vello);
        let bounds = clip.map(|clip| (clip.root().bounding_box(), transform.pre_concat(clip.transform())));
        match bounds {
            None => layer.pixels(),
            Some((bounds, transform)) => Area::of(bounds, transform)
                .and_then(|bounds| bounds.grown(1.0).within(layer))
                .map_or(0.0, Area::pixels),
        }
    }

    /// What is drawn on a canvas of its own, as large as this one.
    fn inner(&mut self, root: &Group, place: Place) -> Result<(), Error> {
        within("layers inside one another", place.layers + 1, MAX_LAYERS)?;
        self.children(root, Place { layers: place.layers + 1, ..place })
    }

    fn clip(&mut self, clip: &ClipPath, place: Place) -> Result<(), Error> {
        let pixels = place.canvas.pixels();
        let bytes = (5.0 * pixels) as u64;
        self.hold(bytes)?;
        let is_border = self.renderer == Renderer::Vello && is_one(clip.root());
        self.sums.add(Count::Clips, if is_border { 0.0 } else { pixels * self.costs.clip })?;
        self.inner(clip.root(), Place { transform: place.transform.pre_concat(clip.transform()), ..place })?;
        if let Some(clip) = clip.clip_path() {
            self.clip(clip, Place { layers: place.layers + 1, ..place })?;
        }
        self.give_back(bytes);
        Ok(())
    }

    fn mask(&mut self, mask: &Mask, place: Place) -> Result<(), Error> {
        let pixels = place.canvas.pixels();
        let bytes = (6.0 * pixels) as u64;
        self.hold(bytes)?;
        self.sums.add(Count::Masks, pixels * self.costs.mask)?;
        self.inner(mask.root(), place)?;
        if let Some(mask) = mask.mask() {
            self.mask(mask, Place { layers: place.layers + 1, ..place })?;
        }
        self.give_back(bytes);
        Ok(())
    }

    fn path(&mut self, path: &Path, place: Place) -> Result<(), Error> {
        if !path.is_visible() {
            return Ok(());
        }
        let outline = (self.outline)(path.data(), place.transform, place.canvas);
        if let Some(fill) = path.fill() {
            self.sums.add(Count::Outlines, outline.filled(self.costs))?;
            self.paint((fill.paint(), fill.opacity()), path.bounding_box(), place)?;
        }
        if let Some(stroke) = path.stroke() {
            let dashes = outline::dashes(stroke, path.data());
            self.sums.dashes += dashes;
            within("dashes", self.sums.dashes as u64, MAX_DASHES)?;
            self.sums.add(Count::Outlines, outline.stroked(dashes, self.costs))?;
            self.paint((stroke.paint(), stroke.opacity()), path.stroke_bounding_box(), place)?;
        }
        Ok(())
    }

    /// Adds the pixels of what is painted within `bounds`.
    fn paint(
        &mut self,
        (paint, opacity): (&Paint, Opacity),
        bounds: Rect,
        place: Place,
    ) -> Result<(), Error> {
        let area = Area::of(bounds, place.transform).and_then(|area| area.grown(1.0).within(place.canvas));
        let Some(area) = area else { return Ok(()) };
        let costs = self.costs;
        let stops = |count: usize| if count > 2 { costs.stop * count as f64 } else { 0.0 };
        let (count, each) = match paint {
            Paint::Color(_) if opacity == Opacity::ONE => (Count::Fills, costs.covered),
            Paint::Color(_) => (Count::Fills, costs.filled),
            Paint::LinearGradient(of) => (Count::Gradients, costs.gradient + stops(of.stops().len())),
            Paint::RadialGradient(of) => (Count::Gradients, 2.0 * costs.gradient + stops(of.stops().len())),
            Paint::Pattern(pattern) => return self.pattern(pattern, area, place),
        };
        self.sums.add(count, area.pixels() * each)
    }

    fn pattern(&mut self, pattern: &Pattern, area: Area, place: Place) -> Result<(), Error> {
        if self.renderer == Renderer::Vello
            && let Some(tiles) = vello::tiles(pattern, place.transform, shown(area))
        {
            for transform in tiles {
                self.sums.add(Count::Patterns, area.pixels() * self.costs.layer)?;
                self.inner(pattern.root(), Place { transform, ..place })?;
            }
            return Ok(());
        }
        let (across, down) = place.transform.pre_concat(pattern.transform()).get_scale();
        let tile = Area::canvas(pattern.rect().width() * across, pattern.rect().height() * down);
        let bytes = (4.0 * tile.pixels()) as u64;
        self.sums
            .add(Count::Patterns, tile.pixels() * self.costs.tile + area.pixels() * self.costs.resampled)?;
        self.hold(bytes)?;
        let transform = Transform::from_scale(across, down);
        self.inner(pattern.root(), Place { transform, canvas: tile, ..place })?;
        self.give_back(bytes);
        Ok(())
    }

    fn image(&mut self, image: &Image, place: Place) -> Result<(), Error> {
        if !image.is_visible() {
            return Ok(());
        }
        let (size, bytes) = match image.kind() {
            ImageKind::SVG(tree) => {
                let bytes = (4.0 * place.canvas.pixels()) as u64;
                self.hold(bytes)?;
                self.sums.add(Count::Images, place.canvas.pixels() * self.costs.layer)?;
                self.inner(tree.root(), Place { reach: place.canvas.reach(), ..place })?;
                self.give_back(bytes);
                return Ok(());
            }
            ImageKind::PNG(data) | ImageKind::JPEG(data) | ImageKind::GIF(data) | ImageKind::WEBP(data) => {
                let size =
                    imagesize::blob_size(data).map_or(0.0, |size| size.width as f64 * size.height as f64);
                (size, (8.0 * size) as u64)
            }
        };
        self.hold(bytes)?;
        self.give_back(bytes);
        let area = Area::of(image.bounding_box(), place.transform).and_then(|area| area.within(place.canvas));
        let shown = area.map_or(0.0, Area::pixels);
        self.sums.add(Count::Images, size * self.costs.decoded + shown * self.costs.resampled)
    }
}

/// Whether a clip path is one outline, which vello_cpu makes the border of the layer.
fn is_one(clip: &Group) -> bool {
    match clip.children() {
        [Node::Group(group)] => is_one(group),
        [Node::Path(_)] => true,
        _ => false,
    }
}

fn shown(area: Area) -> [f32; 4] {
    [area.left, area.top, area.right, area.bottom]
}

/// Where the layer of a group lies, the transform of what is in it, and how far layers in it reach: as resvg reckons them.
fn layer(group: &Group, transform: Transform, reach: Area) -> Option<(Area, Transform, Area)> {
    let filtered = !group.filters().is_empty();
    // A filter is applied upright.
    let rest = match filtered {
        true => {
            let across = transform.sx.hypot(transform.ky);
            let down = transform.kx.hypot(transform.sy);
            let Transform { sx, ky, kx, sy, .. } = transform;
            Transform::from_row(sx / across, ky / across, kx / down, sy / down, 0.0, 0.0).invert()?
        }
        false => Transform::identity(),
    };
    let whole = Rect::from_ltrb(reach.left, reach.top, reach.right, reach.bottom)?;
    let reach = Area::of(whole, rest)?;
    let transform = rest.pre_concat(transform);
    let bounds = Area::of_solid(group.layer_bounding_box(), transform)?;
    let bounds = if filtered { bounds } else { bounds.grown(2.0) };
    Some((bounds.within(reach)?, transform, reach))
}
