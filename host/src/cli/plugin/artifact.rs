//! What a build gives: the plugin's file, put where it stays, and what is to be known about it.

use std::path::{Path, PathBuf};

use imgserve_worker::plugin::component::{self, ComponentError, World};
use imgserve_worker::plugin::hex;
use sha2::{Digest as _, Sha256};

use crate::cli::failure::Failure;

/// A plugin's file.
#[derive(Debug)]
pub(super) struct Artifact {
    /// Absolute.
    pub(super) path: PathBuf,
    /// In bytes.
    pub(super) size: usize,
    /// 64 hexadecimal digits.
    pub(super) sha256: String,
}

impl Artifact {
    /// Puts `bytes` at `path` in one step: what was there may be in use by a running server.
    ///
    /// # Errors
    /// [`Failure`] when it cannot be written.
    pub(super) fn store(bytes: &[u8], path: &Path) -> Result<Self, Failure> {
        let failed = |path: &Path| Failure::io(format!("cannot write {}", path.display()));
        let path = std::path::absolute(path).map_err(failed(path))?;
        if let Some(directory) = path.parent() {
            std::fs::create_dir_all(directory).map_err(failed(directory))?;
        }
        let mut new = path.clone().into_os_string();
        new.push(format!(".{}.new", std::process::id()));
        let new = PathBuf::from(new);
        std::fs::write(&new, bytes).map_err(failed(&new))?;
        std::fs::rename(&new, &path).map_err(failed(&path))?;
        let sha256 = hex(&Sha256::digest(bytes));
        Ok(Self { path, size: bytes.len(), sha256 })
    }
}

/// The component that a core module of a plugin becomes, and what it is.
///
/// # Errors
/// [`Failure`] when the module is no plugin.
pub(super) fn component(core: &[u8]) -> Result<(World, Vec<u8>), Failure> {
    let component = component::encode(core).map_err(unusable)?;
    // As a host will read it: cargo may have built something that is a component and no plugin.
    component::read(&component).map_err(unusable)?;
    let world = component::inspect(&component).map_err(unusable)?.world;
    Ok((world, component))
}

fn unusable(error: ComponentError) -> Failure {
    match error {
        ComponentError::NoComponentType | ComponentError::NoPlugin => no_operation(),
        other => Failure::Other(format!("what cargo built is no plugin: {other}")),
    }
}

/// A shared library as it is, if it has the entry that a host looks for.
///
/// # Errors
/// [`Failure`] when it is no plugin.
pub(super) fn library(bytes: Vec<u8>) -> Result<Vec<u8>, Failure> {
    const ENTRY: &[u8] = b"imgserve_operation";
    let found = bytes.windows(ENTRY.len()).any(|window| window == ENTRY);
    if found { Ok(bytes) } else { Err(no_operation()) }
}

fn no_operation() -> Failure {
    Failure::Other(
        "the crate compiles and exports no operation: it needs `imgserve_sdk::export_operation!(…);`, and if that depends on a \
         feature, --features; or `export_codec!(…);`, which makes components alone"
            .to_owned(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_build_without_an_operation_is_refused_with_a_hint() {
        let module = b"\0asm\x01\0\0\0";
        for text in [
            component(module).map(|_| ()).unwrap_err(),
            library(b"\x7fELF".to_vec()).map(|_| ()).unwrap_err(),
        ] {
            assert!(text.to_string().contains("export_operation!"), "{text}");
        }
        assert!(library(b"..imgserve_operation\0".to_vec()).is_ok());
    }

    #[test]
    fn a_file_is_stored_in_one_step_with_its_digest() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("new/x.wasm");
        for bytes in [&b"abc"[..], b""] {
            let artifact = Artifact::store(bytes, &path).unwrap();
            assert_eq!(std::fs::read(&artifact.path).unwrap(), bytes);
            assert_eq!((artifact.size, artifact.sha256.len()), (bytes.len(), 64));
        }
        // FIPS 180-2, appendix B.1.
        let digest = Artifact::store(b"abc", &path).unwrap().sha256;
        assert!(digest.starts_with("ba7816bf8f01cfea"), "{digest}");
        assert_eq!(std::fs::read_dir(path.parent().unwrap()).unwrap().count(), 1, "nothing is left behind");
    }
}
