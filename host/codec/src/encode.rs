//! Frames into encoded bytes: picks the format's encoder and checks what it is given.

use std::fmt;

use imgserve_base::format::Format;
use imgserve_sdk::ImageRef;

use crate::codec::{EncodeOptions, Sink};
use crate::error::CodecError;
use crate::formats;

/// Writes one file. Nothing is said beside its pixels, which are upright and sRGB, as readers assume (or, where the options say so,
/// Display P3); what is to be said is put in by
/// [`Beside::written_into`](crate::Beside::written_into).
pub struct Encoder {
    format: Format,
    width: u32,
    height: u32,
    sink: Box<dyn Sink>,
}

impl fmt::Debug for Encoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let size = (self.width, self.height);
        f.debug_struct("Encoder").field("format", &self.format).field("size", &size).finish_non_exhaustive()
    }
}

/// Whether a file of this format holds such a colour profile, as it is written here: one for gray only where gray is written, and where
/// the format has names for colours instead, one of those.
pub fn holds_profile(format: Format, profile: &[u8]) -> bool {
    formats::beside(format).is_some_and(|holder| holder.profiles.hold(profile))
}

impl Encoder {
    /// An encoder of frames of `width` × `height` pixels.
    ///
    /// # Errors
    /// [`CodecError::Encode`] when the format is not written here, or not without loss, or a side is 0 or longer than
    /// [`Format::max_side`].
    pub fn new(format: Format, options: &EncodeOptions, width: u32, height: u32) -> Result<Self, CodecError> {
        if !format.can_encode() {
            return Err(CodecError::encode(format, "this format is only read"));
        }
        if options.lossless && !format.can_be_lossless() {
            return Err(CodecError::encode(format, "this format is written with a loss"));
        }
        let max = format.max_side();
        if width == 0 || height == 0 || width.max(height) > max {
            let text = format!("{width}x{height} is not between 1x1 and {max}x{max} pixels");
            return Err(CodecError::encode(format, text));
        }
        let options = EncodeOptions { quality: options.quality.clamp(1, 100), ..*options };
        let sink = formats::encode(format, &options, (width, height))?;
        Ok(Self { format, width, height, sink })
    }

    /// Adds a frame, shown for `delay_ms` (GIF rounds to 10 ms). A format without animations keeps the first and ignores
    /// later ones.
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
        self.sink.push(image, delay_ms)
    }

    /// The file.
    ///
    /// # Errors
    /// [`CodecError::Encode`] when no frame has come, or the library fails.
    pub fn finish(self) -> Result<Vec<u8>, CodecError> {
        let file = self.sink.finish()?;
        file.ok_or_else(|| CodecError::encode(self.format, "no frame to write"))
    }
}
