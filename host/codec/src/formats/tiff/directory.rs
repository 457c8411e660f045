//! The first directory of a TIFF or BigTIFF (TIFF 6.0, section 2): its tags and their values, of whatever type they are
//! stored in. What the tags mean is `layout`'s.

use imgserve_base::format::Format;

use crate::error::CodecError;

/// Most numbers of a tag that are read: of strips and tiles there may be one for each row of the tallest picture.
const MAX_VALUES: usize = 1 << 22;
/// Most bytes of any tag, of which profiles have the most.
const MAX_BYTES: usize = 8 * MAX_VALUES;

/// Why a directory could not be read.
#[derive(Debug)]
pub(super) enum Trouble {
    /// The bytes end before it does; there may be more of them.
    Ends,
    /// It cannot be used, whatever follows.
    Refused(CodecError),
}

impl Trouble {
    pub(super) fn malformed(text: impl std::fmt::Display) -> Self {
        Self::Refused(CodecError::malformed(Format::Tiff, text))
    }

    pub(super) fn unsupported(text: impl Into<String>) -> Self {
        Self::Refused(CodecError::unsupported(Format::Tiff, text))
    }
}

/// Which byte of a number comes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    Little,
    Big,
}

impl Order {
    pub(super) fn u16(self, bytes: [u8; 2]) -> u16 {
        if self == Self::Little { u16::from_le_bytes(bytes) } else { u16::from_be_bytes(bytes) }
    }

    pub(super) fn u32(self, bytes: [u8; 4]) -> u32 {
        if self == Self::Little { u32::from_le_bytes(bytes) } else { u32::from_be_bytes(bytes) }
    }

    pub(super) fn u64(self, bytes: [u8; 8]) -> u64 {
        if self == Self::Little { u64::from_le_bytes(bytes) } else { u64::from_be_bytes(bytes) }
    }
}

/// The tags of the first picture.
#[derive(Debug)]
pub(super) struct Directory<'a> {
    bytes: &'a [u8],
    pub(super) order: Order,
    /// Whether there are no more bytes: values beyond their end are then as good as absent.
    complete: bool,
    entries: Vec<Entry>,
}

#[derive(Debug)]
struct Entry {
    tag: u16,
    kind: u16,
    count: usize,
    /// Where its values begin.
    at: usize,
}

impl<'a> Directory<'a> {
    /// # Errors
    /// [`Trouble::Ends`] as long as more bytes may help.
    pub(super) fn read(bytes: &'a [u8], complete: bool) -> Result<Self, Trouble> {
        let order = match bytes.first() {
            Some(b'M') => Order::Big,
            _ => Order::Little,
        };
        let mut directory = Self { bytes, order, complete, entries: Vec::new() };
        let (big, start) = if directory.short(2)? == 43 {
            (true, directory.long8(8)?)
        } else {
            (false, u64::from(directory.long(4)?))
        };
        let start = place(start)?;
        let (count, first) = if big {
            (directory.long8(start)?, start.saturating_add(8))
        } else {
            (u64::from(directory.short(start)?), start.saturating_add(2))
        };
        // There are no more tags than numbers for them.
        for index in 0..count.min(1 << 16) as usize {
            let at = first.saturating_add(index * if big { 20 } else { 12 });
            match directory.entry(at, big) {
                Ok(entry) => directory.entries.push(entry),
                // Of a directory that is cut off, what is there may do.
                Err(Trouble::Ends) if complete => break,
                Err(trouble) => return Err(trouble),
            }
        }
        Ok(directory)
    }

    fn entry(&self, at: usize, big: bool) -> Result<Entry, Trouble> {
        let (tag, kind) = (self.short(at)?, self.short(at + 2)?);
        let (count, room, value) =
            if big { (self.long8(at + 4)?, 8, at + 12) } else { (u64::from(self.long(at + 4)?), 4, at + 8) };
        let count = usize::try_from(count).unwrap_or(usize::MAX);
        self.take::<4>(value)?;
        let within = count.saturating_mul(width(kind)) <= room;
        let at = match (within, big) {
            (true, _) => value,
            (false, true) => place(self.long8(value)?)?,
            (false, false) => place(u64::from(self.long(value)?))?,
        };
        Ok(Entry { tag, kind, count, at })
    }

    /// The bytes of the file.
    pub(super) fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// A tag's values as whole numbers; none if it is absent, or of a type that holds none.
    pub(super) fn numbers(&self, tag: u16) -> Result<Option<Vec<u64>>, Trouble> {
        let Some((kind, values)) = self.values(tag)? else { return Ok(None) };
        let count = values.len() / width(kind);
        if count > MAX_VALUES {
            return Err(Trouble::malformed(format!("tag {tag} has {count} values")));
        }
        let numbers = values.chunks_exact(width(kind)).map(|value| match *value {
            [byte] => u64::from(byte),
            [a, b] => u64::from(self.order.u16([a, b])),
            [a, b, c, d] => u64::from(self.order.u32([a, b, c, d])),
            [a, b, c, d, e, f, g, h] => self.order.u64([a, b, c, d, e, f, g, h]),
            _ => 0,
        });
        let whole = matches!(kind, 1 | 3 | 4 | 6..=9 | 13 | 16..=18);
        Ok(whole.then(|| numbers.collect()))
    }

    /// The first of a tag's values.
    pub(super) fn number(&self, tag: u16) -> Result<Option<u64>, Trouble> {
        Ok(self.numbers(tag)?.and_then(|numbers| numbers.first().copied()))
    }

    /// A tag's values as fractions.
    pub(super) fn fractions(&self, tag: u16) -> Result<Option<Vec<f32>>, Trouble> {
        let Some((5, values)) = self.values(tag)? else {
            return Ok(self
                .numbers(tag)?
                .map(|numbers| numbers.iter().map(|&number| number as f32).collect()));
        };
        let (pairs, _) = values.as_chunks::<8>();
        let fraction = |&[a, b, c, d, e, f, g, h]: &[u8; 8]| {
            self.order.u32([a, b, c, d]) as f32 / self.order.u32([e, f, g, h]).max(1) as f32
        };
        Ok(Some(pairs.iter().map(fraction).collect()))
    }

    /// A tag's bytes, of whatever type it says they are: profiles are stored as UNDEFINED by some and as BYTE by others.
    pub(super) fn raw(&self, tag: u16) -> Result<Option<&'a [u8]>, Trouble> {
        Ok(self.values(tag)?.map(|(_, values)| values))
    }

    fn values(&self, tag: u16) -> Result<Option<(u16, &'a [u8])>, Trouble> {
        let Some(entry) = self.entries.iter().find(|entry| entry.tag == tag) else { return Ok(None) };
        let length = entry.count.saturating_mul(width(entry.kind));
        if length > MAX_BYTES {
            return Err(Trouble::malformed(format!("tag {tag} has {} values", entry.count)));
        }
        let end = entry.at.saturating_add(length);
        match self.bytes.get(entry.at..end) {
            Some(values) => Ok(Some((entry.kind, values))),
            None if self.complete => Ok(None),
            None => Err(Trouble::Ends),
        }
    }

    fn take<const N: usize>(&self, at: usize) -> Result<[u8; N], Trouble> {
        self.bytes.get(at..).and_then(|rest| rest.first_chunk()).copied().ok_or(Trouble::Ends)
    }

    fn short(&self, at: usize) -> Result<u16, Trouble> {
        Ok(self.order.u16(self.take(at)?))
    }

    fn long(&self, at: usize) -> Result<u32, Trouble> {
        Ok(self.order.u32(self.take(at)?))
    }

    fn long8(&self, at: usize) -> Result<u64, Trouble> {
        Ok(self.order.u64(self.take(at)?))
    }
}

fn place(offset: u64) -> Result<usize, Trouble> {
    // Half of the addresses, so that what is added to it later cannot overflow.
    let place = usize::try_from(offset).ok().filter(|&place| place <= usize::MAX / 2);
    place.ok_or_else(|| Trouble::malformed("a place beyond the end of any file"))
}

/// Bytes of a value of this type.
fn width(kind: u16) -> usize {
    match kind {
        3 | 8 => 2,
        4 | 9 | 11 | 13 => 4,
        5 | 10 | 12 | 16..=18 => 8,
        _ => 1,
    }
}
