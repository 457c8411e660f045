//! A WebP's chunks (RFC 9649, section 2.3).

use imgserve_base::format::Format;

use crate::error::CodecError;

/// A chunk's name, its announced size, and what is there of its data; `None` without its first eight bytes.
pub(super) fn chunk(bytes: &[u8], at: usize) -> Option<(&[u8; 4], usize, &[u8])> {
    let (name, rest) = bytes.get(at..)?.split_first_chunk::<4>()?;
    let (size, rest) = rest.split_first_chunk::<4>()?;
    let size = usize::try_from(u32::from_le_bytes(*size)).ok()?;
    Some((name, size, &rest[..rest.len().min(size)]))
}

/// Where the chunk behind begins: sizes are padded to even.
pub(super) fn next(at: usize, size: usize) -> usize {
    at.saturating_add(8).saturating_add(size).saturating_add(size % 2)
}

/// A file that breaks the format's rules.
pub(super) fn malformed(text: impl std::fmt::Display) -> CodecError {
    CodecError::malformed(Format::WebP, text)
}
