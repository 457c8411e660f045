//! What a source is, from its first bytes.

use imgserve_base::format::{Sniff, sniff};

use crate::bounds::Bounds;
use crate::error::CodecError;
use crate::formats;
use crate::header::Header;

/// What [`probe`] found.
#[derive(Clone, Debug, PartialEq)]
pub enum Probe {
    /// Everything about the source that can be known without decoding.
    Header(Header),
    /// The bytes so far do not suffice: probe again with more.
    NeedMore,
}

/// Learns what a source is from its first bytes; `complete` says that there are no more. Never decodes a pixel,
/// and takes time linear in the bytes at most.
///
/// # Errors
/// [`CodecError::Unrecognized`], or what is wrong with it or too much about it as far as its header tells.
pub fn probe(bytes: &[u8], complete: bool, bounds: &Bounds) -> Result<Probe, CodecError> {
    let format = match sniff(bytes) {
        Sniff::Is(format) => format,
        Sniff::Open if !complete => return Ok(Probe::NeedMore),
        Sniff::Open | Sniff::Unknown => return Err(CodecError::Unrecognized),
    };
    let header = formats::probe(format, bytes, complete, bounds)?;
    let Some(header) = header else {
        let early = || CodecError::malformed(format, "the file ends before its header does");
        return if complete { Err(early()) } else { Ok(Probe::NeedMore) };
    };
    // What is only drawn has the size that its operation is asked for.
    if format.can_decode() {
        bounds.check_size(header.width, header.height)?;
    }
    bounds.check_frames(header.so_far.frames)?;
    Ok(Probe::Header(header))
}
