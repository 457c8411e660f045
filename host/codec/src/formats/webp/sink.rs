//! Writing a WebP: a still of one frame, an animation of more.

use imgserve_sdk::{Image, ImageRef, PixelFormat};

use super::libwebp;
use crate::codec::{self, EncodeOptions, Loops};
use crate::convert::convert;
use crate::error::CodecError;

/// A WebP being written.
pub(super) struct Sink {
    config: libwebp::Config,
    loops: Loops,
    size: (u32, u32),
    pushed: Pushed,
    /// When the next frame begins, in milliseconds from the start.
    clock: i32,
}

enum Pushed {
    Nothing,
    /// Kept until it is known whether it stays alone.
    One(Image),
    Animation(libwebp::Animation),
}

impl Sink {
    pub(super) fn new(options: &EncodeOptions, size: (u32, u32)) -> Result<Self, CodecError> {
        let config = libwebp::Config::new(options)?;
        Ok(Self { config, loops: options.loops, size, pushed: Pushed::Nothing, clock: 0 })
    }

    /// As the format counts: 0 is forever.
    fn loop_count(&self) -> u16 {
        match self.loops {
            Loops::Forever => 0,
            Loops::Times(times) => u16::try_from(times).unwrap_or(u16::MAX).max(1),
        }
    }
}

impl codec::Sink for Sink {
    fn push(&mut self, image: ImageRef<'_>, delay_ms: u32) -> Result<(), CodecError> {
        let image = match image.format() {
            PixelFormat::Rgb8 | PixelFormat::Rgba8 => image.to_image(),
            PixelFormat::Gray8 => convert(image, PixelFormat::Rgb8),
            PixelFormat::Rgba16 => convert(image, PixelFormat::Rgba8),
        };
        let start = self.clock;
        self.clock = start.saturating_add_unsigned(delay_ms);
        self.pushed = match std::mem::replace(&mut self.pushed, Pushed::Nothing) {
            Pushed::Nothing => Pushed::One(image),
            Pushed::One(first) => {
                let mut animation = libwebp::Animation::new(self.size, self.loop_count())?;
                animation.add(&self.config, first.as_ref(), 0)?;
                animation.add(&self.config, image.as_ref(), start)?;
                Pushed::Animation(animation)
            }
            Pushed::Animation(mut animation) => {
                animation.add(&self.config, image.as_ref(), start)?;
                Pushed::Animation(animation)
            }
        };
        Ok(())
    }

    fn finish(self: Box<Self>) -> Result<Option<Vec<u8>>, CodecError> {
        match self.pushed {
            Pushed::Nothing => Ok(None),
            Pushed::One(image) => libwebp::encode(&self.config, image.as_ref()).map(Some),
            Pushed::Animation(animation) => animation.finish(self.clock).map(Some),
        }
    }
}
