//! Operations linked into imgserve. They are called through the very table that a shared library would export.

use imgserve_sdk::abi::{self, Plugin, Table};

use super::load_error::LoadError;

static BUILTINS: [(&str, &Table); 2] = [("rasterize", &RASTERIZE), ("resize", &RESIZE)];
static RASTERIZE: Table = abi::table::<imgserve_rasterize::Rasterize>();
static RESIZE: Table = abi::table::<imgserve_resize::Resize>();

fn names() -> Vec<&'static str> {
    BUILTINS.iter().map(|(name, _)| *name).chain([imgserve_config::PIPELINE]).collect()
}

pub(super) fn load(name: &str) -> Result<Plugin, LoadError> {
    let (_, table) = BUILTINS
        .iter()
        .find(|(known, _)| *known == name)
        .ok_or_else(|| LoadError::UnknownBuiltin { name: name.to_owned(), known: names() })?;
    Plugin::new(table).map_err(|source| LoadError::Unusable { name: name.to_owned(), source })
}
