//! Boxes (ISO/IEC 14496-12, section 4.2) and the numbers in them.

use super::malformed;
use crate::error::CodecError;

/// A box's content.
#[derive(Clone, Copy, Debug)]
pub(in super::super) struct Part<'a> {
    pub(in super::super) kind: [u8; 4],
    /// As much as there is of it.
    pub(in super::super) data: &'a [u8],
    /// Whether that is all, or all that there is to the end.
    pub(in super::super) whole: bool,
    /// Whether it ends where the bytes do.
    pub(super) open: bool,
}

/// The boxes that lie one behind the other in some bytes, as far as they are any.
#[derive(Clone, Copy, Debug)]
pub(in super::super) struct Parts<'a>(pub(in super::super) &'a [u8]);

impl<'a> Iterator for Parts<'a> {
    type Item = Part<'a>;

    fn next(&mut self) -> Option<Part<'a>> {
        let mut fields = Fields(self.0);
        let short = fields.u32()?;
        let kind = fields.bytes(4)?.first_chunk::<4>().copied()?;
        let size = match short {
            0 => u64::MAX,
            1 => fields.u64()?,
            size => size.into(),
        };
        let head = self.0.len() - fields.0.len();
        let size = usize::try_from(size).unwrap_or(usize::MAX);
        let length = size.checked_sub(head)?;
        let data = fields.0.get(..length).unwrap_or(fields.0);
        self.0 = &fields.0[data.len()..];
        let open = short == 0;
        Some(Part { kind, data, whole: open || data.len() == length, open })
    }
}

impl<'a> Parts<'a> {
    /// The content of the first whole box of this kind.
    pub(in super::super) fn find(mut self, kind: &[u8; 4]) -> Option<&'a [u8]> {
        Iterator::find(&mut self, |part| part.whole && part.kind == *kind).map(|part| part.data)
    }

    /// The same of one within others.
    pub(super) fn find_in(self, path: &[&[u8; 4]]) -> Option<&'a [u8]> {
        path.iter().try_fold(self, |parts, kind| parts.find(kind).map(Parts)).map(|parts| parts.0)
    }
}

/// A box of these contents.
pub(in super::super) fn boxed(kind: &[u8; 4], contents: &[&[u8]]) -> Vec<u8> {
    let length: usize = contents.iter().map(|content| content.len()).sum();
    let mut all = Vec::with_capacity(8 + length);
    // Longer ones are not written here: a result has a limit.
    all.extend(u32::try_from(8 + length).unwrap_or(0).to_be_bytes());
    all.extend(kind);
    contents.iter().for_each(|content| all.extend(*content));
    all
}

/// Numbers, the highest byte first, one behind the other; none where the bytes end.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fields<'a>(pub(super) &'a [u8]);

impl<'a> Fields<'a> {
    /// Of a full box: its version and flags, and what is behind.
    pub(super) fn versioned(data: &'a [u8]) -> Result<(u8, u32, Self), CodecError> {
        let mut fields = Self(data);
        let word = fields.u32().ok_or_else(too_short)?;
        Ok(((word >> 24) as u8, word & 0xFF_FFFF, fields))
    }

    pub(super) fn bytes(&mut self, count: usize) -> Option<&'a [u8]> {
        let (bytes, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(bytes)
    }

    /// A number of up to eight bytes.
    pub(super) fn number(&mut self, bytes: usize) -> Option<u64> {
        let bytes = self.bytes(bytes)?;
        Some(bytes.iter().fold(0, |number, &byte| number << 8 | u64::from(byte)))
    }

    pub(super) fn u8(&mut self) -> Option<u8> {
        self.number(1).map(|number| number as u8)
    }

    pub(super) fn u16(&mut self) -> Option<u16> {
        self.number(2).map(|number| number as u16)
    }

    pub(super) fn u32(&mut self) -> Option<u32> {
        self.number(4).map(|number| number as u32)
    }

    pub(super) fn u64(&mut self) -> Option<u64> {
        self.number(8)
    }
}

pub(super) fn too_short() -> CodecError {
    malformed("a box is too short")
}
