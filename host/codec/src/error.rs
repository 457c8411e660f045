//! Why bytes could not be read or pixels not be written.

use imgserve_base::fault::Fault;
use imgserve_base::format::Format;

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
    /// The format's codec is a plugin, and did what it may not.
    #[error(transparent)]
    Plugin(Fault),
}

impl CodecError {
    pub(crate) fn malformed(format: Format, text: impl std::fmt::Display) -> Self {
        Self::Malformed { format, text: text.to_string() }
    }

    pub(crate) fn unsupported(format: Format, text: impl Into<String>) -> Self {
        Self::Unsupported { format, text: text.into() }
    }

    pub(crate) fn encode(format: Format, text: impl std::fmt::Display) -> Self {
        Self::Encode { format, text: text.to_string() }
    }
}
