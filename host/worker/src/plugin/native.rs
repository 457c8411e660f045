//! Native plugins: shared libraries, opened by libloading. They are trusted code; what is checked is that they are
//! plugins at all, before anything of them is called.
#![allow(unsafe_code, reason = "opening a library runs its code, and its one symbol is a function pointer")]
#![allow(clippy::disallowed_types, reason = "libloading is named here")]

use imgserve_sdk::abi::{self, Entry};
use libloading::Library;

use super::artifact::Artifact;
use super::load_error::LoadError;

/// Opens the library and checks its table: magic, version, size.
pub(super) fn load(artifact: &Artifact) -> Result<abi::Plugin, LoadError> {
    let path = &artifact.file;
    let refuse = |error: &dyn std::error::Error| LoadError::Library {
        path: path.clone(),
        text: imgserve_base::fault::chain(error),
    };
    // SAFETY: the library's initialisers run. The operator named this very file by its digest, which makes it trusted.
    let library = unsafe { Library::new(path) }.map_err(|error| refuse(&error))?;
    // SAFETY: a library that exports this name exports a function of this type; that is the contract.
    let entry = unsafe { library.get::<Entry>(abi::SYMBOL) }.map_err(|error| refuse(&error))?;
    // SAFETY: as above; the function takes nothing and only gives the address of a static.
    let table = unsafe { entry() };
    // Never unloaded: its code may still be referred to by threads or exit handlers of its own.
    std::mem::forget(library);
    if table.is_null() {
        return Err(LoadError::Library { path: path.clone(), text: "it has no table".to_owned() });
    }
    // SAFETY: what an entry gives points into its library, which is never unloaded.
    let plugin = unsafe { abi::Plugin::from_raw(table) };
    plugin.map_err(|source| LoadError::Unusable { name: path.display().to_string(), source })
}
