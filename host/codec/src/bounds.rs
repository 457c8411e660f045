//! The bounds that keep a source from being too much.

use crate::error::CodecError;
use crate::header::Header;

/// What a source may cost, by the configuration's `[limits]`, whether it may be damaged, and in which colours it is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Most pixels (width × height) of a source: of each of its frames, and of all that are decoded together:
    /// `max_source_pixels`.
    pub max_pixels: u64,
    /// Most frames of an animated source: `max_source_frames`.
    pub max_frames: u32,
    /// Whether one that is cut off or damaged is read as far as it goes, where a decoder can do that: `[codec] damaged`.
    pub repair: bool,
    /// Whether pixels are given in the colours of the file's own profile, where that is one to keep, and not in sRGB.
    pub keep_colors: bool,
}

impl Bounds {
    /// Refuses a picture of more than `max_pixels`.
    ///
    /// # Errors
    /// [`CodecError::Limit`].
    pub(crate) fn check_size(&self, width: u32, height: u32) -> Result<(), CodecError> {
        let value = u64::from(width) * u64::from(height);
        if value > self.max_pixels {
            let (limit, key) = (self.max_pixels, "[limits] max_source_pixels");
            return Err(CodecError::Limit { what: "pixels", value, limit, key });
        }
        Ok(())
    }

    /// Refuses a source whose frames have more than `max_pixels` together, for whoever decodes all of them: neither their size
    /// nor their number need be large for that. Of one that is not all there, those that are count.
    ///
    /// # Errors
    /// [`CodecError::Limit`].
    pub fn check_all_frames(&self, header: &Header) -> Result<(), CodecError> {
        let value = header.so_far.pixels;
        if value > self.max_pixels {
            let (limit, key) = (self.max_pixels, "[limits] max_source_pixels");
            return Err(CodecError::Limit { what: "pixels in all its frames", value, limit, key });
        }
        Ok(())
    }

    /// Refuses more than `max_frames`.
    ///
    /// # Errors
    /// [`CodecError::Limit`].
    pub(crate) fn check_frames(&self, frames: u32) -> Result<(), CodecError> {
        if frames > self.max_frames {
            let (value, limit) = (u64::from(frames), u64::from(self.max_frames));
            return Err(CodecError::Limit {
                what: "frames",
                value,
                limit,
                key: "[limits] max_source_frames",
            });
        }
        Ok(())
    }
}
