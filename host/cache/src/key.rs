//! By what entries are found: what made a result, or which source something is known of; and what their files are called.

use std::fmt;

/// A SHA-256.
pub type Digest = [u8; 32];

/// In the place of how a result was made, where it is a source that something is known of.
const SOURCE: [u8; 16] = [0; 16];

/// By what an entry is found.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key {
    /// A digest of the source's bytes; of its URL, where it is the source that something is known of.
    of: Digest,
    by: [u8; 16],
}

impl Key {
    /// Of the result that is made of a source with this digest by what has the digest `made`, of which half is enough: who could find
    /// another that has it would only be shown a picture of the very source that it has.
    pub fn result(source: &Digest, made: &Digest) -> Self {
        let mut by = [0; 16];
        by.copy_from_slice(&made[..16]);
        // Such a one is not to be taken for a source.
        by[15] |= u8::from(by == SOURCE);
        Self { of: *source, by }
    }

    /// Of what is known of the source whose URL has this digest.
    pub fn source(url: &Digest) -> Self {
        Self { of: *url, by: SOURCE }
    }

    /// Whether it is of a source that something is known of.
    pub fn is_source(&self) -> bool {
        self.by == SOURCE
    }

    /// The digest of the source that a result is made of.
    pub(crate) fn made_of(&self) -> Option<&Digest> {
        (!self.is_source()).then_some(&self.of)
    }

    /// Of a name, what [`Display`](fmt::Display) writes.
    pub(crate) fn parse(name: &str) -> Option<Self> {
        let (of, by) = name.split_once('-')?;
        Some(Self { of: unhex(of)?, by: unhex(by)? })
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", hex(&self.of), hex(&self.by))
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Bytes in hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// So many bytes of hexadecimal digits, as [`hex`] writes them.
pub(crate) fn unhex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let is_written_so = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    if text.len() != N * 2 || !text.bytes().all(is_written_so) {
        return None;
    }
    let mut bytes = [0; N];
    for (place, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&text[place * 2..place * 2 + 2], 16).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_read_as_it_is_written_and_in_no_other_way() {
        let key = Key::result(&[0xab; 32], &[7; 32]);
        let name = key.to_string();
        assert_eq!((name.len(), Key::parse(&name)), (97, Some(key)));
        for wrong in [&name[1..], &name.to_uppercase(), &name.replace('-', "_"), &format!("{name}0"), "", "-"]
        {
            assert_eq!(Key::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_result_is_no_source_however_it_was_made() {
        assert!(Key::source(&[1; 32]).is_source() && !Key::result(&[1; 32], &[0; 32]).is_source());
        assert_eq!(Key::result(&[1; 32], &[0; 32]).made_of(), Some(&[1; 32]));
        assert_eq!(Key::source(&[1; 32]).made_of(), None);
    }
}
