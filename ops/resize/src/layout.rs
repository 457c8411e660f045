//! From the arguments and the source's size to all that `run` does: which part of the source, how it is turned, and the
//! geometry of what comes of that. Pure functions of numbers; no pixel is seen here.
//!
//! Turning by quarters and mirroring come last, when there are fewest pixels; the geometry is told of the picture as it will
//! stand then.

use imgserve_sdk::{DecodeHint, Error, ErrorKind, PixelFormat, Rect};

use crate::args::{Args, Enlarge, Filter, Fit, Flip, Gravity, MAX_SIDE};
use crate::geometry::{Geometry, Size, Target};
use crate::turn::Turn;
use crate::{effects, interest, linear, paint, resample, rotate};

/// All that is done.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Layout {
    /// The part of the source that is worked on, in whole pixels.
    pub(crate) region: Rect,
    /// Degrees by which it is turned, if not by quarters.
    pub(crate) degrees: Option<f64>,
    /// Its size then.
    pub(crate) laid: Size,
    /// How it is turned by quarters and mirrored after that.
    pub(crate) turn: Turn,
    /// Where everything goes of the picture as it then stands, `pad` included.
    pub(crate) geometry: Geometry,
}

impl Layout {
    /// What is done to a source of this size.
    ///
    /// # Errors
    /// `invalid-argument` where `crop` leaves nothing; `source-too-small` where a picture would be shown larger than it is
    /// and that is to be refused; `limit-exceeded`.
    pub(crate) fn new(args: &Args, source: Size) -> Result<Self, Error> {
        let whole = Rect { x: 0.0, y: 0.0, width: source.width.into(), height: source.height.into() };
        let region = args.crop.map_or(Ok(whole), |crop| crop.region(source))?;
        let layout = Self::of_region(args, region, target(args)?);
        layout.check(args)?;
        Ok(layout)
    }

    fn of_region(args: &Args, region: Rect, target: Target) -> Self {
        let size = Size { width: region.width as u32, height: region.height as u32 };
        let quarters = args.rotate.rem_euclid(360.0) / 90.0;
        let degrees = (quarters.fract() != 0.0).then_some(args.rotate);
        let turn = Turn {
            quarters: if degrees.is_none() { quarters as u8 % 4 } else { 0 },
            across: matches!(args.flip, Some(Flip::Horizontal | Flip::Both)),
            down: matches!(args.flip, Some(Flip::Vertical | Flip::Both)),
        };
        let laid = degrees.map_or(size, |degrees| rotate::bounds(size, degrees));
        let mut geometry = Geometry::new(turn.size(laid), target);
        geometry.surround(args.pad.times(args.dpr));
        Self { region, degrees, laid, turn, geometry }
    }

    /// The same for what is left of the region when its border is cut off, or for somewhat more: the result's size stays, and
    /// nothing is enlarged that was not.
    pub(crate) fn trimmed(&self, args: &Args, left: Rect) -> Self {
        let pad = args.pad.times(args.dpr);
        let Size { width, height } = self.geometry.output;
        let wanted = Size { width: width - pad.left - pad.right, height: height - pad.top - pad.bottom };
        let least = match (args.enlarge, args.fit) {
            (Enlarge::Always, _) | (_, Fit::Contain) => Size { width: 1, height: 1 },
            _ => self.turn.size(wanted),
        };
        let region = grown(left, least, self.region);
        // What was not to be refused is not refused for what is cut off.
        let enlarge = if args.enlarge == Enlarge::Always { Enlarge::Always } else { Enlarge::Never };
        let (width, height) = (Some(wanted.width), Some(wanted.height));
        Self::of_region(args, region, Target { width, height, fit: args.fit, gravity: args.gravity, enlarge })
    }

    /// Whether the crop is to be placed where it is most interesting, of which nothing is known yet.
    pub(crate) fn seeks(&self, args: &Args) -> bool {
        let stood = self.turn.size(self.laid);
        let Rect { width, height, .. } = self.geometry.crop;
        args.gravity == Gravity::Smart && (width < stood.width.into() || height < stood.height.into())
    }

    /// The part of the picture as it is laid that is shown.
    pub(crate) fn crop(&self) -> Rect {
        self.turn.to_source(self.geometry.crop, self.laid)
    }

    /// The size that it is shown at before it is turned by quarters.
    pub(crate) fn shown(&self) -> Size {
        self.turn.size(self.geometry.shown)
    }

    /// The pixel format of the result of a source of format `source`.
    pub(crate) fn output_format(&self, source: PixelFormat, args: &Args) -> PixelFormat {
        // What is left without its border may have another shape, which nobody knows beforehand.
        let unsure = args.trim.0.is_some() && args.fit == Fit::Contain;
        let bare = self.geometry.has_bars() || self.degrees.is_some() || unsure;
        paint::output_format(source, bare, args.background)
    }

    /// Whether all that is done is that pixels which become fewer in both directions are averaged as the values they are: no
    /// part that is cut out first, no turn, effect, bar or light, and no place that the picture itself decides.
    pub(crate) fn only_shrinks(&self, args: &Args) -> bool {
        let Geometry { crop, shown, .. } = self.geometry;
        let cut = args.crop.is_some() || args.trim.0.is_some();
        let turned = self.degrees.is_some() || self.turn != Turn::default();
        let changed = args.blur > 0.0 || args.sharpen > 0.0 || self.geometry.has_bars();
        let averages = args.filter != Filter::Nearest && !args.averages_light();
        let smaller = crop.width >= shown.width.into() && crop.height >= shown.height.into();
        averages && smaller && !(cut || turned || changed || self.seeks(args))
    }

    /// What must be decoded of a source of this size.
    pub(crate) fn decode_hint(&self, args: &Args, source: Size) -> DecodeHint {
        let stood = self.turn.size(self.laid);
        let DecodeHint { min_scale, region } = self.geometry.decode_hint(stood);
        let all = args.trim.0.is_some() || self.degrees.is_some() || self.seeks(args);
        let part = match region.filter(|_| !all) {
            Some(region) => {
                let part = self.turn.to_source(region, self.laid);
                Rect { x: part.x + self.region.x, y: part.y + self.region.y, ..part }
            }
            None => self.region,
        };
        let is_part = part.width < source.width.into() || part.height < source.height.into();
        let min_scale = match args.filter {
            // It picks single pixels of the source, so it must see every one of them; the others average.
            Filter::Nearest => None,
            // What is left without a border may be shown at any scale.
            _ if args.trim.0.is_some() => None,
            _ if self.seeks(args) => min_scale.map(|scale| scale.max(interest_scale(stood))),
            _ => min_scale,
        };
        let min_scale = min_scale.filter(|scale| *scale < 1.0);
        DecodeHint { min_scale, region: is_part.then_some(part) }
    }

    /// Bytes that it all takes at its peak beside the source and the result.
    pub(crate) fn peak_bytes(&self, args: &Args, source: PixelFormat) -> u64 {
        let bytes = |size: Size| source.bytes(size.width, size.height);
        // As the resampler sees it, before the turn.
        let geometry = Geometry { crop: self.crop(), shown: self.shown(), ..self.geometry };
        let resampling = match args.averages_light() {
            true => linear::peak_bytes(source, self.laid, &geometry, args.filter),
            false => resample::peak_bytes(source, self.laid, &geometry),
        };
        let part = Size { width: self.region.width as u32, height: self.region.height as u32 };
        let cut = if args.crop.is_some() || args.trim.0.is_some() { bytes(part) } else { 0 };
        let laid = self
            .degrees
            .map_or(0, |_| self.output_format(source, args).bytes(self.laid.width, self.laid.height));
        let turned = if self.turn == Turn::default() { 0 } else { bytes(geometry.shown) };
        let effects = match args.blur > 0.0 || args.sharpen > 0.0 {
            true => effects::peak_bytes(source, geometry.shown),
            false => 0,
        };
        // Without its border it may be shown larger.
        let bars = match args.trim.0 {
            Some(_) => bytes(self.geometry.output),
            None if self.geometry.has_bars() => bytes(geometry.shown),
            None => 0,
        };
        [resampling, cut, laid, turned, effects, bars].into_iter().fold(0, u64::saturating_add)
    }

    fn check(&self, args: &Args) -> Result<(), Error> {
        let (source, shown) = (self.turn.size(self.laid), self.geometry.shown);
        // The rule of 0.2, for every fit alike.
        if args.enlarge == Enlarge::Refuse && source.is_less_than(shown) {
            let text = format!(
                "the source has {}x{} pixels, fewer than the result's {}x{}; `enlarge` would allow it",
                source.width, source.height, shown.width, shown.height
            );
            return Err(Error::new(ErrorKind::SourceTooSmall, text));
        }
        let Size { width, height } = self.geometry.output;
        if width.max(height) > MAX_SIDE {
            let text =
                format!("the result would have {width}x{height} pixels; a side has at most {MAX_SIDE}");
            return Err(Error::new(ErrorKind::LimitExceeded, text));
        }
        Ok(())
    }
}

/// What is asked for, in pixels of the result.
fn target(args: &Args) -> Result<Target, Error> {
    let side = |name: &str, side: Option<u32>| {
        let pixels = side.map(|side| (f64::from(side) * args.dpr).round().max(1.0) as u32);
        match pixels {
            Some(pixels) if pixels > MAX_SIDE => {
                let text = format!("{pixels} with `dpr` is more than {MAX_SIDE}");
                Err(Error::invalid_argument(name, text))
            }
            pixels => Ok(pixels),
        }
    };
    let (width, height) = (side("width", args.width)?, side("height", args.height)?);
    Ok(Target { width, height, fit: args.fit, gravity: args.gravity, enlarge: args.enlarge })
}

/// The scale at which a picture is large enough to see what is interesting in it.
fn interest_scale(size: Size) -> f64 {
    f64::from(interest::SIDE) / f64::from(size.width.max(size.height))
}

/// `part` with at least so many pixels, evenly more on each side as far as `all` goes.
fn grown(part: Rect, least: Size, all: Rect) -> Rect {
    let side = |start: f64, length: f64, least: u32, (first, all): (f64, f64)| {
        let wanted = length.max(f64::from(least)).min(all);
        let start = (start - ((wanted - length) / 2.0).floor()).clamp(first, first + all - wanted);
        (start, wanted)
    };
    let (x, width) = side(part.x, part.width, least.width, (all.x, all.width));
    let (y, height) = side(part.y, part.height, least.height, (all.y, all.height));
    Rect { x, y, width, height }
}
