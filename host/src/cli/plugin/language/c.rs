//! C: clang and wasm-ld, without a C library but for the few functions that bindings call, which the program brings along.

use std::path::PathBuf;
use std::process::Command;

use imgserve_worker::plugin::{World, component};

use super::{Project, Template, Tool, files, on_path, run, version};
use crate::cli::failure::Failure;

pub(super) const TEMPLATE: Template = Template {
    files: &[("src/plugin.c", include_str!("../../../../../plugins/invert-c/src/plugin.c"))],
    install: "apt-get install clang lld           # as root; any clang that knows wasm32 will do",
    test: "# its tests are the golden cases below",
    name: "invert-c",
    what: "inverts an image's colours",
    result: "default.png",
};

/// What `wit-bindgen c` makes of the contract, and what of a C library that calls.
const SUPPORT: [(&str, &str); 5] = [
    ("operation.h", include_str!("../template/c/operation.h")),
    ("operation.c", include_str!("../template/c/operation.c")),
    ("libc.c", include_str!("../template/c/libc.c")),
    ("stdlib.h", include_str!("../template/c/stdlib.h")),
    ("string.h", include_str!("../template/c/string.h")),
];

const FLAGS: &str =
    "--target=wasm32-unknown-unknown -O3 -msimd128 -mbulk-memory -ffreestanding -nostdlib -std=c11 -c";

const MISSING: &str = "to build a plugin in C, clang and wasm-ld are needed; type, as root on Debian,\n  \
    apt-get install clang lld\nand try again";

#[derive(Debug)]
pub(super) struct Clang {
    version: String,
    linker: PathBuf,
}

impl Clang {
    pub(super) fn find() -> Result<Self, Failure> {
        let missing = || Failure::Other(MISSING.to_owned());
        let clang = on_path("clang").ok_or_else(missing)?;
        let linker = on_path("wasm-ld").ok_or_else(missing)?;
        Ok(Self { version: version(&clang).ok_or_else(missing)?, linker })
    }
}

impl Tool for Clang {
    fn name(&self) -> String {
        self.version.clone()
    }

    fn build(&self, project: &Project) -> Result<Vec<u8>, Failure> {
        let mut sources = Vec::new();
        for (name, text) in SUPPORT {
            let path = project.lay(name, text)?;
            sources.extend(name.ends_with(".c").then_some((path, "-w")));
        }
        let own = files(&project.source())?.into_iter();
        let own = own.filter(|path| path.extension().is_some_and(|extension| extension == "c"));
        sources.extend(own.map(|path| (path, "-Wall")));
        let mut objects = Vec::new();
        for (index, (source, warnings)) in sources.iter().enumerate() {
            let object = project.made.join(format!("{index}.o"));
            let mut clang = Command::new("clang");
            clang.args(FLAGS.split(' ')).arg(warnings).arg("-I").arg(&project.made);
            run(clang.arg(source).arg("-o").arg(&object), MISSING)?;
            objects.push(object);
        }
        let module = project.made.join("module.wasm");
        let mut linker = Command::new(&self.linker);
        linker.args(["--no-entry", "--gc-sections", "--strip-debug"]).args(objects);
        run(linker.arg("-o").arg(&module), MISSING)?;
        let bytes =
            std::fs::read(&module).map_err(Failure::io(format!("cannot read {}", module.display())))?;
        let typed = component::with_type(&bytes, World::Operation);
        typed.map_err(|error| Failure::Other(format!("what wasm-ld made is no plugin: {error}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// With IMGSERVE_UPDATE_PAGES they are written anew.
    #[test]
    fn the_bindings_are_what_wit_bindgen_makes_of_the_contract() {
        use wit_bindgen_core::{Files, wit_parser::Resolve};
        let mut contract = Resolve::default();
        let package = contract.push_source("operation.wit", World::Operation.contract()).unwrap();
        let world = contract.select_world(&[package], Some("operation")).unwrap();
        let mut made = Files::default();
        wit_bindgen_c::Opts::default().build().generate(&mut contract, world, &mut made).unwrap();
        for (name, text) in SUPPORT.iter().take(2) {
            let (_, wanted) = made.iter().find(|(file, _)| file == name).unwrap();
            if std::env::var_os("IMGSERVE_UPDATE_PAGES").is_some() {
                std::fs::write(format!("src/cli/plugin/template/c/{name}"), wanted).unwrap();
            }
            assert!(text.as_bytes() == wanted, "{name} is another one: IMGSERVE_UPDATE_PAGES=1 writes it");
        }
    }
}
