//! Writes the C bindings of the operation contract, `operation.h`, `operation.c` and the object that carries the component's
//! type, into a folder: `cargo run -p imgserve-sdk --example c-bindings -- FOLDER`. What `wit-bindgen c` does, without its
//! other languages.
#![allow(clippy::disallowed_methods, reason = "a command: it may block")]

use std::error::Error;
use std::fs;
use std::path::Path;

use wit_bindgen_core::{Files, wit_parser::Resolve};

/// The contract, as it is in this checkout.
const CONTRACT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/wit/0.1.0");

fn main() -> Result<(), Box<dyn Error>> {
    let folder = std::env::args_os().nth(1).ok_or("which folder? Type: c-bindings FOLDER")?;
    let mut contract = Resolve::default();
    let (package, _) = contract.push_path(CONTRACT)?;
    let world = contract.select_world(&[package], Some("operation"))?;
    let mut files = Files::default();
    wit_bindgen_c::Opts::default().build().generate(&mut contract, world, &mut files)?;
    for (name, content) in files.iter() {
        let file = Path::new(&folder).join(name);
        fs::write(&file, content).map_err(|e| format!("cannot write {}: {e}", file.display()))?;
    }
    Ok(())
}
