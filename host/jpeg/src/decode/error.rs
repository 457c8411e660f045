//! Why a file was not decoded, and what was missing or wrong in one that was.

/// Why there is no picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// A valid file, or one that another decoder may read: what it uses is not done here.
    #[error("not supported: {0}")]
    Unsupported(Unsupported),
    /// More pixels than [`max_pixels`](super::DecodeOptions::max_pixels).
    #[error("{width} x {height} pixels are more than are allowed")]
    TooLarge {
        /// In pixels.
        width: usize,
        /// In pixels.
        height: usize,
    },
    /// The bytes break the format's rules in a way that leaves nothing to show.
    #[error("{0}")]
    Malformed(&'static str),
}

/// What is not done here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Unsupported {
    /// Arithmetic coding (SOF9 to SOF15).
    #[error("arithmetic coding")]
    Arithmetic,
    /// Lossless coding (SOF3).
    #[error("lossless coding")]
    Lossless,
    /// Hierarchical coding (SOF5 to SOF7).
    #[error("hierarchical coding")]
    Hierarchical,
    /// Samples of so many bits instead of 8.
    #[error("samples of {0} bits")]
    Precision(u8),
    /// So many colour components instead of 1, 3 or 4.
    #[error("{0} colour components")]
    Components(u8),
    /// The height only follows the picture (DNL).
    #[error("a height that only follows the picture")]
    LateHeight,
    /// A component's sampling that does not divide the largest one, such as 3 of 2.
    #[error("fractional chroma sampling")]
    FractionalSampling,
    /// Huffman tables that are not in the file, as in the frames of Motion JPEG.
    #[error("Huffman tables that are not in the file")]
    MissingTable,
    /// Components that are no luminance and colour differences, where these are wanted.
    #[error("colours that are not YCbCr")]
    Colors,
    /// More scans than [`max_scans`](super::DecodeOptions::max_scans).
    #[error("more scans than are allowed")]
    Scans,
}

/// What was wrong in a file that was decoded all the same, as libjpeg does: what is there is shown, the rest is gray.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Damage {
    /// The file ends before its picture does.
    #[error("the file is cut off")]
    CutOff,
    /// Entropy-coded data ends before its part of the picture does, while the file goes on.
    #[error("picture data is missing")]
    MissingData,
    /// A code that the file's tables do not have, or a run beyond the end of its block.
    #[error("picture data is corrupt")]
    Corrupt,
    /// Restart markers are missing or out of order.
    #[error("restart markers are out of order")]
    Restart,
    /// Components that never came. Scans that would have refined a picture may be missing without a trace.
    #[error("scans are missing")]
    MissingScan,
}

impl From<Unsupported> for DecodeError {
    fn from(what: Unsupported) -> Self {
        Self::Unsupported(what)
    }
}
