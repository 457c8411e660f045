//! How long a destination may be, and how many folders deep: as file systems and servers have it, so that one is refused before
//! anything is made for it, and what is stored can be read again.

use super::error::{TransferError, TransferErrorKind};
use super::url::Destination;

/// Most bytes of a destination, its tags substituted.
pub(super) const MAX_TEXT: usize = 16 << 10;
/// Most bytes of a path, decoded: Linux's `PATH_MAX`.
const MAX_PATH: usize = 4096;
/// Most bytes of a name in it, decoded: what nearly all file systems take.
const MAX_NAME: usize = 255;
/// Most folders in it. A missing one is made and synced, each by itself.
pub(super) const MAX_FOLDERS: usize = 64;

impl Destination {
    /// Refuses a destination that is too long or too deep; `text` is how it was asked for, its tags substituted.
    ///
    /// # Errors
    ///
    /// `Refused`, with what was counted, the count and the limit.
    pub fn check_length(&self, text: &str) -> Result<(), TransferError> {
        within(text.len(), MAX_TEXT, "bytes")?;
        match self {
            Self::Put { .. } | Self::Form { .. } => Ok(()),
            Self::Ftp(url) => check_path(url.path.split('/').map(str::len)),
            Self::File(url) => check_path(url.segments.iter().map(|name| name.len())),
            Self::Store(url) if url.is_local() => check_path(url.names()),
            // Its key was measured as it was read.
            Self::Store(_) => Ok(()),
        }
    }
}

/// Holds the lengths of a path's names against the limits.
fn check_path(names: impl Iterator<Item = usize>) -> Result<(), TransferError> {
    let (mut count, mut bytes) = (0_usize, 0);
    for name in names {
        within(name, MAX_NAME, "bytes in one name")?;
        (count, bytes) = (count + 1, bytes + name + 1);
    }
    within(bytes, MAX_PATH, "bytes in its path")?;
    check_folders(count.saturating_sub(1))
}

/// Refuses a path of too many folders.
pub(super) fn check_folders(count: usize) -> Result<(), TransferError> {
    within(count, MAX_FOLDERS, "folders in one another")
}

fn within(count: usize, limit: usize, what: &str) -> Result<(), TransferError> {
    if count <= limit {
        return Ok(());
    }
    let text = format!("the destination has {count} {what}, at most {limit} are possible");
    Err(TransferError::new(TransferErrorKind::Refused, text))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(destination: &str) -> Result<(), String> {
        let parsed = Destination::parse(destination).unwrap();
        parsed.check_length(destination).map_err(|error| error.to_string())
    }

    #[test]
    fn names_paths_and_depths_have_limits_wherever_it_leads() {
        for scheme in ["file:///srv/", "ftp://h/"] {
            // `srv` is a folder too.
            let own = usize::from(scheme.starts_with("file"));
            let depth = |folders: usize| format!("{scheme}{}x.png", "a/".repeat(folders - own));
            assert_eq!(checked(&depth(MAX_FOLDERS)), Ok(()));
            let deep = checked(&depth(MAX_FOLDERS + 1)).unwrap_err();
            assert!(deep.contains("has 65 folders in one another, at most 64"), "{deep}");
            assert!(checked(&depth(8000)).is_err());
            let name = |length: usize| format!("{scheme}{}.png", "n".repeat(length - 4));
            assert_eq!(checked(&name(255)), Ok(()));
            let long = checked(&name(256)).unwrap_err();
            assert!(long.contains("has 256 bytes in one name, at most 255"), "{long}");
            // Decoded, it is shorter than it looks.
            assert_eq!(checked(&format!("{scheme}{}.png", "%61".repeat(251))), Ok(()));
            let path = format!("{scheme}{}x.png", format!("{}/", "d".repeat(250)).repeat(17));
            let long = checked(&path).unwrap_err();
            assert!(long.contains("bytes in its path, at most 4096"), "{long}");
        }
        assert_eq!(checked(&format!("http://h/{}x.png?{}", "a/".repeat(500), "s".repeat(8000))), Ok(()));
        let long = checked(&format!("http://h/{}.png", "a".repeat(MAX_TEXT))).unwrap_err();
        assert!(long.contains("at most 16384"), "{long}");
        assert!(checked(&format!("http://h/up:{}.png", "a".repeat(MAX_TEXT))).is_err());
    }
}
