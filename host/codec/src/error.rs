//! Why bytes could not be read or pixels not be written, and the limits that keep a source from being too much.

use super::Format;

/// What a source may cost, by the configuration's `[limits]`, and whether it may be damaged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Most pixels (width × height) of a source, and of each of its frames: `max_source_pixels`.
    pub max_pixels: u64,
    /// Most frames of an animated source: `max_source_frames`.
    pub max_frames: u32,
    /// Whether one that is cut off or damaged is read as far as it goes, where a decoder can do that: `[codec] damaged`.
    pub repair: bool,
}

impl Limits {
    /// Refuses a picture of more than `max_pixels`.
    ///
    /// # Errors
    /// [`CodecError::Limit`].
    pub(super) fn check_size(&self, width: u32, height: u32) -> Result<(), CodecError> {
        let value = u64::from(width) * u64::from(height);
        if value > self.max_pixels {
            let (limit, key) = (self.max_pixels, "[limits] max_source_pixels");
            return Err(CodecError::Limit { what: "pixels", value, limit, key });
        }
        Ok(())
    }

    /// Refuses more than `max_frames`.
    ///
    /// # Errors
    /// [`CodecError::Limit`].
    pub(super) fn check_frames(&self, frames: u32) -> Result<(), CodecError> {
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

/// Why a codec refused. The texts are for a person; match on the variant.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CodecError {
    /// The bytes begin like no format that is read here.
    #[error("not an image of a known format")]
    Unrecognized,
    /// The bytes begin like the format and then break its rules, or end too early.
    #[error("broken {format}: {text}")]
    Malformed {
        /// The format they begin like.
        format: Format,
        /// What is wrong.
        text: String,
    },
    /// An SVG that is not one: not well-formed XML, another root element, or no positive size.
    #[error("not a valid SVG: {0}")]
    InvalidSvg(String),
    /// The source is larger than the configuration allows.
    #[error("the source has {value} {what}, the limit is {limit} ({key})")]
    Limit {
        /// What there is too much of.
        what: &'static str,
        /// How much of it the source has, or at least has.
        value: u64,
        /// How much is allowed.
        limit: u64,
        /// The configuration key that says so.
        key: &'static str,
    },
    /// A valid file using a part of its format that is not read or written here.
    #[error("{format}: {text}")]
    Unsupported {
        /// The format.
        format: Format,
        /// What is not supported.
        text: String,
    },
    /// The pixels cannot be written in this format.
    #[error("cannot write {format}: {text}")]
    Encode {
        /// The format.
        format: Format,
        /// Why not.
        text: String,
    },
}

impl CodecError {
    pub(super) fn malformed(format: Format, text: impl std::fmt::Display) -> Self {
        Self::Malformed { format, text: text.to_string() }
    }

    pub(super) fn unsupported(format: Format, text: impl Into<String>) -> Self {
        Self::Unsupported { format, text: text.into() }
    }

    pub(super) fn encode(format: Format, text: impl std::fmt::Display) -> Self {
        Self::Encode { format, text: text.to_string() }
    }
}
