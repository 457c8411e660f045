//! The latest version, and why a text of any version cannot be read.

/// The latest version that is written and read. A text with a member more or less, or with another value of
/// one, is a later version, with a file of its own here and a fixture of its own in the tests.
pub(in crate::job) const VERSION: u32 = 7;

/// Why a stored text cannot be read. It is left as it is, for a program that can.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(in crate::job) enum Unreadable {
    /// A later program wrote it.
    #[error("it is of version {found}, and this program reads up to {VERSION}")]
    Later {
        /// Its version.
        found: u32,
    },
    /// It is not what its version says.
    #[error("it cannot be understood: {0}")]
    Broken(String),
}

impl Unreadable {
    pub(super) fn broken(why: impl std::fmt::Display) -> Self {
        Self::Broken(why.to_string())
    }
}
