//! The digest that tells one source from another in the entity tags of results; server and workers must agree on it.

use twox_hash::XxHash3_128;

/// The digest of a whole source.
///
/// It is none that resists attack: who can choose a source's bytes could only have a client keep an old picture of that very
/// source, which not changing it does as well.
pub fn digest(source: &[u8]) -> u128 {
    XxHash3_128::oneshot(source)
}
