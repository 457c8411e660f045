//! The walk through a tree that hands its paths to vello_cpu, in the order and with the transforms that resvg uses.

use std::borrow::Cow;
use std::sync::Arc;

use resvg::tiny_skia::{self, PathStroker, Transform};
use resvg::usvg::{self, FillRule, Group, Image, ImageKind, Node, Opacity, Paint, PaintOrder, Path, Pattern};
use vello_cpu::color::palette::css::{BLACK, TRANSPARENT};
use vello_cpu::kurbo::{Affine, BezPath, Rect, Shape};
use vello_cpu::peniko::{self, Compose, Extend, Fill as Rule, ImageAlphaType, ImageQuality, ImageSampler};
use vello_cpu::{
    ImageSource, PixelMetadata, Pixmap, PixmapMut, RasterizerSettings, RenderContext, Resources, TargetInit,
};

use super::filter::Blur;
use super::suits::Unsuited;
use super::{outline, paint, tiles};

/// Bytes of a layer, and of its commands in each row of tiles.
const LAYER_BYTES: u64 = 512;
const LAYER_ROW_BYTES: u64 = 2 * 3 * 16;
/// Bytes, as counted, that are gathered before they are drawn, if no layer is open.
const GATHERED_BYTES: u64 = 16 << 20;

/// Nodes after which it is asked whether to go on.
const ASKED_EVERY: u32 = 64;

/// A drawing under way.
pub(super) struct Scene<'a> {
    context: &'a mut RenderContext,
    /// Premultiplied RGBA, transparent at first.
    target: &'a mut [u8],
    canvas: (u16, u16),
    /// The outline that is being handed over.
    outline: BezPath,
    stroker: PathStroker,
    /// Whether something has been drawn on `target` already.
    begun: bool,
    /// Layers that are open.
    depth: usize,
    /// Bytes that are gathered, the most that an outline took in passing (which stays for the next one), the most that a blur
    /// took, and how many may be taken at once.
    kept: u64,
    passing: u64,
    nested: u64,
    budget: u64,
    /// The most that was gathered at once.
    most: u64,
    /// Whether somebody waits for the drawing still; asked once in [`ASKED_EVERY`] nodes.
    go_on: &'a dyn Fn() -> bool,
    nodes: u32,
}

impl<'a> Scene<'a> {
    /// A drawing of `canvas` pixels on `target`, for which `context` is ready.
    pub(super) fn new(
        context: &'a mut RenderContext,
        target: &'a mut [u8],
        canvas: (u16, u16),
        budget: u64,
        go_on: &'a dyn Fn() -> bool,
    ) -> Self {
        Self {
            context,
            target,
            canvas,
            outline: BezPath::new(),
            stroker: PathStroker::new(),
            begun: false,
            depth: 0,
            kept: 0,
            passing: 0,
            nested: 0,
            budget,
            most: 0,
            go_on,
            nodes: 0,
        }
    }

    /// Draws what is in `root` and is not drawn yet; tells how many bytes were taken at most.
    pub(super) fn finish(mut self, root: &Group, transform: Transform) -> Result<u64, Unsuited> {
        self.draw(root, transform)?;
        self.flush()?;
        Ok(self.most + self.passing + self.nested)
    }

    /// Draws what is gathered.
    fn flush(&mut self) -> Result<(), Unsuited> {
        let (width, height) = self.canvas;
        let target = PixmapMut::new(width, height, self.target).ok_or(Unsuited::Size)?;
        let target_init = if self.begun { TargetInit::SrcOver } else { TargetInit::Clear(TRANSPARENT) };
        let settings = RasterizerSettings { target_init, ..RasterizerSettings::default() };
        self.context.render_with(target, &mut Resources::new(), settings);
        self.context.reset();
        self.begun = true;
        self.most = self.most.max(self.kept);
        self.kept = 0;
        Ok(())
    }

    /// Hands over what is in `parent`, whose own transform is in `transform` already.
    fn draw(&mut self, parent: &Group, transform: Transform) -> Result<(), Unsuited> {
        for node in parent.children() {
            if self.depth == 0 && self.kept > GATHERED_BYTES {
                self.flush()?;
            }
            self.nodes += 1;
            if self.nodes.is_multiple_of(ASKED_EVERY) && !(self.go_on)() {
                return Err(Unsuited::Stopped);
            }
            match node {
                Node::Group(group) => self.group(group, transform)?,
                Node::Path(path) => self.path(path, transform)?,
                Node::Text(text) => self.group(text.flattened(), transform)?,
                Node::Image(image) => self.image(image, transform)?,
            }
        }
        Ok(())
    }

    fn group(&mut self, group: &Group, transform: Transform) -> Result<(), Unsuited> {
        let transform = transform.pre_concat(group.transform());
        if !group.should_isolate() {
            return self.draw(group, transform);
        }
        // As in resvg, a group shows inside of its bounds alone; without any it does not show.
        let Some(bounds) = layer_bounds(group, transform, self.canvas) else { return Ok(()) };
        let mut parts = Vec::new();
        if let Some(clip) = group.clip_path() {
            clip_parts(clip.root(), transform.pre_concat(clip.transform()), &mut parts);
            if parts.is_empty() {
                return Ok(());
            }
        }
        self.push(group, bounds, &parts)?;
        if group.filters().is_empty() {
            self.draw(group, transform)?;
        } else {
            self.blurred(group, transform)?;
        }
        if parts.len() > 1 {
            self.keep_inside(&parts)?;
        }
        self.pop();
        Ok(())
    }

    /// Draws what is in `group` on a canvas of its own, blurs that, and hands it over as an image.
    fn blurred(&mut self, group: &Group, transform: Transform) -> Result<(), Unsuited> {
        let Some(blur) = Blur::of(group, transform, self.canvas)? else { return Ok(()) };
        let (source, shown) = (blur.source, blur.shown);
        let (width, height) = super::sides(source.width(), source.height())?;
        let bytes = 4 * u64::from(width) * u64::from(height);
        self.take(bytes)?;
        // The canvas while it is blurred, and its twin.
        let left = self.budget.checked_sub(self.kept + self.passing + 2 * bytes).ok_or(Unsuited::Memory)?;
        let mut pixels = vec![0; usize::try_from(bytes).map_err(|_| Unsuited::Memory)?];
        let mut context = RenderContext::new(width, height);
        let shift = transform.post_translate(-source.x() as f32, -source.y() as f32);
        let scene = Scene::new(&mut context, &mut pixels, (width, height), left, self.go_on);
        let inner = scene.finish(group, shift)?;
        self.nested = self.nested.max(inner + 2 * bytes);
        blur.apply(&mut pixels);
        let metadata = PixelMetadata::new(ImageAlphaType::AlphaPremultiplied, true);
        let image = ImageSource::Pixmap(Arc::new(Pixmap::from_parts(pixels, width, height, metadata)));
        let sampler = ImageSampler {
            x_extend: Extend::Pad,
            y_extend: Extend::Pad,
            quality: ImageQuality::Low,
            alpha: 1.0,
        };
        self.context.set_paint(peniko::ImageBrush { image, sampler });
        self.context.set_paint_transform(Affine::translate((source.x().into(), source.y().into())));
        let [left, top, right, bottom] =
            [shown.left(), shown.top(), shown.right(), shown.bottom()].map(f64::from);
        self.context.fill_rect(&Rect::new(left, top, right, bottom));
        Ok(())
    }

    /// Begins a layer for what is in `group`: within its clip path, if that is of one part, or else its bounds.
    fn push(&mut self, group: &Group, bounds: Rect, parts: &[ClipPart<'_>]) -> Result<(), Unsuited> {
        let blend = paint::blend_mode(group.blend_mode());
        // vello_cpu would blend with what was drawn since the last flush alone.
        if self.begun && self.depth == 0 && group.blend_mode() != usvg::BlendMode::Normal {
            return Err(Unsuited::LateBlend);
        }
        let opacity = group.opacity().get();
        self.take_layer()?;
        if let [part] = parts {
            self.outline(part.path, part.transform)?;
            self.context.set_fill_rule(part.rule);
        } else {
            self.outline.truncate(0);
            self.outline.extend(bounds.path_elements(0.0));
            self.context.set_fill_rule(Rule::NonZero);
        }
        self.context.push_layer(Some(&self.outline), Some(blend), Some(opacity), None, None);
        self.depth += 1;
        Ok(())
    }

    fn pop(&mut self) {
        self.context.pop_layer();
        self.depth -= 1;
    }

    /// Keeps of the current layer what is inside of any of `parts`. Their union is drawn as coverage: each may have
    /// a fill rule of its own, and run through the others in any direction.
    fn keep_inside(&mut self, parts: &[ClipPart<'_>]) -> Result<(), Unsuited> {
        self.take_layer()?;
        self.context.push_layer(None, Some(Compose::DestIn.into()), None, None, None);
        self.context.set_paint(BLACK);
        for part in parts {
            self.outline(part.path, part.transform)?;
            self.context.set_fill_rule(part.rule);
            self.context.fill_path(&self.outline);
        }
        self.context.pop_layer();
        Ok(())
    }

    /// An embedded drawing, composed on its own as resvg does it. [`super::suits`] has let no other image pass.
    fn image(&mut self, image: &Image, transform: Transform) -> Result<(), Unsuited> {
        let ImageKind::SVG(tree) = image.kind() else { return Ok(()) };
        if !image.is_visible() {
            return Ok(());
        }
        self.take_layer()?;
        self.context.push_layer(None, None, None, None, None);
        self.depth += 1;
        self.draw(tree.root(), transform)?;
        self.pop();
        Ok(())
    }

    fn path(&mut self, path: &Path, transform: Transform) -> Result<(), Unsuited> {
        if !path.is_visible() {
            return Ok(());
        }
        match path.paint_order() {
            PaintOrder::FillAndStroke => {
                self.fill(path, transform)?;
                self.stroke(path, transform)
            }
            PaintOrder::StrokeAndFill => {
                self.stroke(path, transform)?;
                self.fill(path, transform)
            }
        }
    }

    fn fill(&mut self, path: &Path, transform: Transform) -> Result<(), Unsuited> {
        match path.fill() {
            Some(fill) if has_area(path) => {
                self.area(path.data(), rule(fill.rule()), (fill.paint(), fill.opacity()), transform)
            }
            _ => Ok(()),
        }
    }

    /// A stroke as the area that tiny-skia makes of it, so that its joins, caps and dashes are resvg's.
    fn stroke(&mut self, path: &Path, transform: Transform) -> Result<(), Unsuited> {
        let Some(stroke) = path.stroke() else { return Ok(()) };
        let paint = (stroke.paint(), stroke.opacity());
        let stroke = stroke.to_tiny_skia();
        let scale = PathStroker::compute_resolution_scale(&transform);
        let line = match &stroke.dash {
            Some(dash) => path.data().dash(dash, scale).map(Cow::Owned),
            None => Some(Cow::Borrowed(path.data())),
        };
        match line.and_then(|line| self.stroker.stroke(&line, &stroke, scale)) {
            Some(area) => self.area(&area, Rule::NonZero, paint, transform),
            None => Ok(()),
        }
    }

    fn area(
        &mut self,
        path: &tiny_skia::Path,
        rule: Rule,
        (paint, opacity): (&Paint, Opacity),
        transform: Transform,
    ) -> Result<(), Unsuited> {
        if let Paint::Pattern(pattern) = paint {
            return self.pattern(path, rule, (pattern, opacity), transform);
        }
        let Some((paint, at)) = paint::convert(paint, opacity) else { return Ok(()) };
        self.outline(path, transform)?;
        self.context.set_fill_rule(rule);
        self.context.set_paint(paint);
        self.context.set_paint_transform(paint::affine(transform.pre_concat(at)));
        self.context.fill_path(&self.outline);
        Ok(())
    }

    /// An area filled with a pattern, as far as its tiles show: each drawn as it is, within the area and within itself.
    fn pattern(
        &mut self,
        path: &tiny_skia::Path,
        rule: Rule,
        (pattern, opacity): (&Pattern, Opacity),
        transform: Transform,
    ) -> Result<(), Unsuited> {
        let Some(shown) = tiles::shown(path.bounds(), transform, self.canvas) else { return Ok(()) };
        let tiles = tiles::tiles(pattern, transform, shown).ok_or(Unsuited::Pattern)?;
        let tile = pattern.rect().to_rect();
        let tile =
            tiny_skia::Rect::from_xywh(0.0, 0.0, tile.width(), tile.height()).ok_or(Unsuited::Pattern)?;
        let tile = tiny_skia::PathBuilder::from_rect(tile);
        self.layer(path, rule, transform, opacity)?;
        for transform in tiles {
            self.layer(&tile, Rule::NonZero, transform, Opacity::ONE)?;
            self.draw(pattern.root(), transform)?;
            self.pop();
        }
        self.pop();
        Ok(())
    }

    /// Begins a layer within `path`.
    fn layer(
        &mut self,
        path: &tiny_skia::Path,
        rule: Rule,
        transform: Transform,
        opacity: Opacity,
    ) -> Result<(), Unsuited> {
        self.take_layer()?;
        self.outline(path, transform)?;
        self.context.set_fill_rule(rule);
        self.context.push_layer(Some(&self.outline), None, Some(opacity.get()), None, None);
        self.depth += 1;
        Ok(())
    }

    /// Makes `path` the outline that is handed over next, and counts what it takes.
    fn outline(&mut self, path: &tiny_skia::Path, transform: Transform) -> Result<(), Unsuited> {
        let left = self.budget.saturating_sub(self.kept);
        let extent = outline::convert(path, transform, self.canvas, left, &mut self.outline)?;
        self.passing = self.passing.max(extent.passing());
        self.take(extent.kept())
    }

    fn take_layer(&mut self) -> Result<(), Unsuited> {
        self.take(LAYER_BYTES + u64::from(self.canvas.1) / 4 * LAYER_ROW_BYTES)
    }

    fn take(&mut self, bytes: u64) -> Result<(), Unsuited> {
        self.kept += bytes;
        if self.kept + self.passing + self.nested > self.budget { Err(Unsuited::Memory) } else { Ok(()) }
    }
}

/// One outline of a clip path.
struct ClipPart<'a> {
    path: &'a tiny_skia::Path,
    rule: Rule,
    transform: Transform,
}

/// The outlines in a clip path. A stroke, a paint and an opacity mean nothing there.
fn clip_parts<'a>(parent: &'a Group, transform: Transform, parts: &mut Vec<ClipPart<'a>>) {
    for node in parent.children() {
        match node {
            Node::Group(group) => clip_parts(group, transform.pre_concat(group.transform()), parts),
            // As in resvg, the group of a text's outlines has no transform of its own.
            Node::Text(text) => clip_parts(text.flattened(), transform, parts),
            Node::Path(path) if path.is_visible() && has_area(path) => {
                parts.extend(path.fill().map(|fill| ClipPart {
                    path: path.data(),
                    rule: self::rule(fill.rule()),
                    transform,
                }));
            }
            Node::Path(_) | Node::Image(_) => {}
        }
    }
}

/// The pixels that the layer of `group` takes on the canvas, as resvg reckons them.
fn layer_bounds(group: &Group, transform: Transform, (width, height): (u16, u16)) -> Option<Rect> {
    let bounds = group.layer_bounding_box().transform(transform)?;
    let (left, top) = (bounds.x().floor() - 2.0, bounds.y().floor() - 2.0);
    let (right, bottom) = (left + bounds.width().ceil() + 4.0, top + bounds.height().ceil() + 4.0);
    let [left, top, right, bottom] = [left, top, right, bottom].map(f64::from);
    let bounds =
        Rect::new(left, top, right, bottom).intersect(Rect::new(0.0, 0.0, width.into(), height.into()));
    (bounds.area() > 0.0).then_some(bounds)
}

/// Whether there is anything to fill. resvg leaves out lines along an axis, which have no inside.
fn has_area(path: &Path) -> bool {
    let bounds = path.data().bounds();
    bounds.width() > 0.0 && bounds.height() > 0.0
}

fn rule(rule: FillRule) -> Rule {
    match rule {
        FillRule::NonZero => Rule::NonZero,
        FillRule::EvenOdd => Rule::EvenOdd,
    }
}
