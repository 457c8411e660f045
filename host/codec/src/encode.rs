//! Frames into encoded bytes: picks the format's encoder and checks what it is given.

use imgserve_sdk::ImageRef;

use super::{CodecError, Format, WHITE, gif, jpeg, png, webp};

/// How often an animation is played.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loops {
    /// Again and again.
    Forever,
    /// This often in all, at least 1. (GIF counts repetitions, one less.)
    Times(u32),
}

/// How to encode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EncodeOptions {
    /// 1 (smallest) to 100 (best), for JPEG and WebP; PNG and GIF have no such choice. Out of range is clamped.
    pub quality: u8,
    /// Whether time is spent on a smaller file: a progressive JPEG, which is also seen roughly at first and finer as it
    /// arrives, and libwebp's effort 4 instead of 2.
    pub thorough: bool,
    /// How often an animation is played.
    pub loops: Loops,
    /// What alpha is flattened over where the format has none (JPEG).
    pub background: [u8; 3],
}

impl Default for EncodeOptions {
    /// Quality 80, quickly, played once, over white.
    fn default() -> Self {
        Self { quality: 80, thorough: false, loops: Loops::Times(1), background: WHITE }
    }
}

/// Writes one file. No metadata is written: pixels are upright and sRGB, which is what readers assume.
#[derive(Debug)]
pub struct Encoder {
    format: Format,
    options: EncodeOptions,
    width: u32,
    height: u32,
    sink: Sink,
}

/// What has come so far.
enum Sink {
    /// The file, once the first frame has come.
    Still(Option<Vec<u8>>),
    Gif(Box<gif::Sink>),
    WebP(Box<webp::Sink>),
}

impl std::fmt::Debug for Sink {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Still(_) => "Still",
            Self::Gif(_) => "Gif",
            Self::WebP(_) => "WebP",
        })
    }
}

impl Encoder {
    /// An encoder of frames of `width` × `height` pixels.
    ///
    /// # Errors
    /// [`CodecError::Encode`] when the format is not written here or a side is 0 or longer than
    /// [`Format::max_side`].
    pub fn new(format: Format, options: &EncodeOptions, width: u32, height: u32) -> Result<Self, CodecError> {
        let mut options = *options;
        options.quality = options.quality.clamp(1, 100);
        let max = format.max_side();
        if width == 0 || height == 0 || width.max(height) > max {
            let text = format!("{width}x{height} is not between 1x1 and {max}x{max} pixels");
            return Err(CodecError::encode(format, text));
        }
        let sink = match format {
            Format::Jpeg | Format::Png => Sink::Still(None),
            Format::Gif => Sink::Gif(Box::new(gif::Sink::new(options.loops, width, height)?)),
            Format::WebP => Sink::WebP(Box::new(webp::Sink::new(&options, width, height)?)),
            _ => return Err(CodecError::encode(format, "this format is only read")),
        };
        Ok(Self { format, options, width, height, sink })
    }

    /// Adds a frame, shown for `delay_ms` (GIF rounds to 10 ms). JPEG and PNG keep the first and ignore later ones.
    ///
    /// # Errors
    /// [`CodecError::Encode`] when the image is of another size, or the library fails.
    pub fn push(&mut self, image: ImageRef<'_>, delay_ms: u32) -> Result<(), CodecError> {
        if (image.width(), image.height()) != (self.width, self.height) {
            let text = format!(
                "a frame of {}x{} pixels where {}x{} were announced",
                image.width(),
                image.height(),
                self.width,
                self.height
            );
            return Err(CodecError::encode(self.format, text));
        }
        match &mut self.sink {
            Sink::Still(Some(_)) => {}
            Sink::Still(file) => *file = Some(encode_still(self.format, image, &self.options)?),
            Sink::Gif(sink) => sink.push(image, delay_ms)?,
            Sink::WebP(sink) => sink.push(image, delay_ms)?,
        }
        Ok(())
    }

    /// The file.
    ///
    /// # Errors
    /// [`CodecError::Encode`] when no frame has come, or the library fails.
    pub fn finish(self) -> Result<Vec<u8>, CodecError> {
        let file = match self.sink {
            Sink::Still(file) => file,
            Sink::Gif(sink) => sink.finish()?,
            Sink::WebP(sink) => sink.finish()?,
        };
        file.ok_or_else(|| CodecError::encode(self.format, "no frame to write"))
    }
}

fn encode_still(format: Format, image: ImageRef<'_>, options: &EncodeOptions) -> Result<Vec<u8>, CodecError> {
    match format {
        Format::Jpeg => jpeg::encode(image, options),
        _ => png::encode(image),
    }
}
