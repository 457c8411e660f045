//! What a wasm file is, read from its sections before any of its code is compiled: a core module or a component, built
//! against which version of the contract, and what it imports. Makes the component that is compiled.

use std::ops::Range;

use wasm_encoder::reencode::{self, ReencodeComponent};
use wasmparser::{CanonicalFunction, CanonicalOption, Encoding, Parser, Payload};
use wit_component::{StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

/// What a component is, and so which functions it exports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum World {
    /// It works on images.
    Operation,
    /// It reads, and perhaps writes, files.
    Codec,
}

impl World {
    /// All worlds.
    pub const ALL: [Self; 2] = [Self::Operation, Self::Codec];

    /// Its name in its contract.
    const fn name(self) -> &'static str {
        match self {
            Self::Operation => "operation",
            Self::Codec => "codec",
        }
    }

    /// The package of its contract.
    pub const fn package(self) -> &'static str {
        match self {
            Self::Operation => "imgserve:operation",
            Self::Codec => "imgserve:codec",
        }
    }

    /// The versions that this host takes, the newest last. Each is a folder of `sdk/wit`.
    pub const fn versions(self) -> &'static [&'static str] {
        match self {
            Self::Operation => &["0.1.0"],
            Self::Codec => &["0.2.0"],
        }
    }

    /// Its newest version's WIT.
    pub const fn contract(self) -> &'static str {
        match self {
            Self::Operation => include_str!("../../../../sdk/wit/0.1.0/operation.wit"),
            Self::Codec => include_str!("../../../../sdk/wit/0.2.0/codec.wit"),
        }
    }

    /// An interface of it, as it stands in a component's imports and exports.
    pub fn interface(self, name: &str, version: &str) -> String {
        format!("{}/{name}@{version}", self.package())
    }

    /// What a component of it, of the newest version, exports.
    fn plugin(self) -> String {
        self.interface("plugin", self.versions().last().copied().unwrap_or_default())
    }
}

/// The custom section in which wit-bindgen leaves a core module's component type; a suffix tells several apart.
const COMPONENT_TYPE: &str = "component-type";

/// Why a wasm file is no plugin.
#[derive(Debug, thiserror::Error)]
pub enum ComponentError {
    /// Not WebAssembly, or cut off, or wrong in itself.
    #[error("not a valid WebAssembly file: {0}")]
    Malformed(String),
    /// A core module that does not say which component it is.
    #[error(
        "a WebAssembly module that carries no component type, so it is no plugin: write it with \
         `imgserve_sdk::export_operation!` or `export_codec!` and build it with `imgserve plugin build`"
    )]
    NoComponentType,
    /// It reaches for what no plugin has.
    #[error(
        "imports `{0}`, which a plugin does not get: it reaches nothing but its arguments, its pixels, the host's log, \
         progress, random and config, and a stub of WASI 0.2, as a component; build it for wasm32-unknown-unknown or wasm32-wasip2"
    )]
    Import(String),
    /// Another version of the contract.
    #[error(
        "built against {}; imgserve {} takes {}: rebuild it with an imgserve-sdk of this version, or install an imgserve that \
         takes {found}",
        .world.interface("plugin", .found),
        env!("CARGO_PKG_VERSION"),
        .world.versions().join(", ")
    )]
    Version {
        /// What it is.
        world: World,
        /// The plugin's.
        found: String,
    },
    /// It exports the functions of no world.
    #[error("does not export {}, so it is no plugin", World::ALL.map(World::plugin).join(" or "))]
    NoPlugin,
    /// The sandbox does not take it.
    #[error("the sandbox does not take it: {0}")]
    Refused(String),
}

/// The parts of WASI that a component may import, in any version 0.2.
const WASI: [&str; 7] = ["cli", "clocks", "filesystem", "http", "io", "random", "sockets"];

/// The interface of WASI 0.2 that an import names, such as `io/poll`; none for one that no plugin gets.
pub(super) fn wasi_interface(import: &str) -> Option<&str> {
    let (interface, version) = import.strip_prefix("wasi:")?.split_once('@')?;
    let (package, _) = interface.split_once('/')?;
    (WASI.contains(&package) && version.starts_with("0.2.")).then_some(interface)
}

/// The component that a file holds or, for a core module, becomes.
///
/// # Errors
/// [`ComponentError`], naming what is wrong with the file.
pub fn read(file: &[u8]) -> Result<Vec<u8>, ComponentError> {
    let component = if is_component(file)? { file.to_vec() } else { encode(file)? };
    check(&component)?;
    without_post_return(&component)
}

/// What a plugin file says of itself without being run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interface {
    /// What it is.
    pub world: World,
    /// The version of the contract that it was built against.
    pub version: String,
    /// The interfaces that it imports.
    pub imports: Vec<String>,
}

/// Reads and checks what a plugin file exports and imports.
///
/// # Errors
/// [`ComponentError`], naming what is wrong with the file.
pub fn inspect(file: &[u8]) -> Result<Interface, ComponentError> {
    if is_component(file)? { check(file) } else { check(&encode(file)?) }
}

/// A component made of a core module that carries its component type, without names and debugging sections.
///
/// # Errors
/// [`ComponentError`].
pub fn encode(module: &[u8]) -> Result<Vec<u8>, ComponentError> {
    check_module(module)?;
    let stripped = strip(module)?;
    let encoder = wit_component::ComponentEncoder::default().validate(true).module(&stripped);
    let component = encoder.and_then(|mut encoder| encoder.encode());
    component.map_err(|error| ComponentError::Malformed(format!("{error:#}")))
}

/// A core module with the component type of a world, as a linker leaves it that knows nothing of components.
///
/// # Errors
/// [`ComponentError::Malformed`] when it is no module.
pub fn with_type(module: &[u8], world: World) -> Result<Vec<u8>, ComponentError> {
    let mut contract = Resolve::default();
    let package = contract.push_source("contract.wit", world.contract());
    let named = package.and_then(|package| contract.select_world(&[package], Some(world.name())));
    let named = named.map_err(|error| malformed(format!("{error:#}")))?;
    let mut typed = module.to_vec();
    let embedded = embed_component_metadata(&mut typed, &contract, named, StringEncoding::UTF8);
    embedded.map_err(|error| malformed(format!("{error:#}")))?;
    Ok(typed)
}

/// Whether the code of a module or component has SIMD instructions.
pub fn has_simd(file: &[u8]) -> bool {
    let bodies = Parser::new(0).parse_all(file).filter_map(|payload| match payload {
        Ok(Payload::CodeSectionEntry(body)) => Some(body),
        _ => None,
    });
    bodies.into_iter().any(|body| {
        let Ok(mut operators) = body.get_operators_reader() else { return false };
        while !operators.eof() {
            // Core specification, 5.4.8: vector instructions begin with byte 0xFD.
            if file.get(operators.original_position()) == Some(&0xfd) {
                return true;
            }
            if operators.read().is_err() {
                return false;
            }
        }
        false
    })
}

fn malformed(error: impl std::fmt::Display) -> ComponentError {
    ComponentError::Malformed(error.to_string())
}

/// Whether a file is a component, and no core module.
///
/// # Errors
/// [`ComponentError::Malformed`] when it is none of both.
pub fn is_component(file: &[u8]) -> Result<bool, ComponentError> {
    // The parser says the same in five lines.
    if !file.is_empty() && !file.starts_with(b"\0asm") {
        return Err(malformed("it does not begin with \\0asm"));
    }
    match Parser::new(0).parse_all(file).next() {
        Some(Ok(Payload::Version { encoding, .. })) => Ok(encoding == Encoding::Component),
        Some(Err(error)) => Err(malformed(error)),
        _ => Err(malformed("it is empty")),
    }
}

/// Says of a core module what its encoder would say less clearly.
fn check_module(module: &[u8]) -> Result<(), ComponentError> {
    let mut typed = false;
    for payload in Parser::new(0).parse_all(module) {
        match payload.map_err(malformed)? {
            Payload::ImportSection(imports) => {
                for import in imports.into_imports() {
                    let import = import.map_err(malformed)?;
                    let ours = |world: World| import.module.starts_with(&format!("{}/", world.package()));
                    if !World::ALL.into_iter().any(ours) && wasi_interface(import.module).is_none() {
                        return Err(ComponentError::Import(format!("{}::{}", import.module, import.name)));
                    }
                }
            }
            Payload::CustomSection(section) => typed |= section.name().starts_with(COMPONENT_TYPE),
            _ => {}
        }
    }
    if typed { Ok(()) } else { Err(ComponentError::NoComponentType) }
}

/// Checks what a component exports and imports, by name.
fn check(component: &[u8]) -> Result<Interface, ComponentError> {
    let mut imports = Vec::new();
    let mut exports = Vec::new();
    // Modules and components inside have imports of their own, which the outer one satisfies.
    let mut depth = 0;
    for payload in Parser::new(0).parse_all(component) {
        match payload.map_err(malformed)? {
            Payload::Version { .. } => depth += 1,
            Payload::End(_) => depth -= 1,
            Payload::ComponentImportSection(section) if depth == 1 => {
                for import in section {
                    imports.push(import.map_err(malformed)?.name.name.to_owned());
                }
            }
            Payload::ComponentCanonicalSection(section) => {
                for function in section {
                    check_encoding(&function.map_err(malformed)?)?;
                }
            }
            Payload::ComponentExportSection(section) if depth == 1 => {
                for export in section {
                    exports.push(export.map_err(malformed)?.name.name.to_owned());
                }
            }
            _ => {}
        }
    }
    let found = World::ALL.into_iter().find_map(|world| {
        let plugin = world.interface("plugin", "");
        exports.iter().find_map(|name| name.strip_prefix(&plugin)).map(|version| (world, version))
    });
    let Some((world, version)) = found else { return Err(ComponentError::NoPlugin) };
    if !world.versions().contains(&version) {
        return Err(ComponentError::Version { world, found: version.to_owned() });
    }
    let known = ["host", "types"].map(|interface| world.interface(interface, version));
    match imports.iter().find(|name| !known.contains(name) && wasi_interface(name).is_none()) {
        Some(name) => Err(ComponentError::Import(name.clone())),
        None => Ok(Interface { world, version: version.to_owned(), imports }),
    }
}

/// Texts are read where they lie, which can be done with UTF-8 alone; others would be copied, however long they are.
fn check_encoding(function: &CanonicalFunction) -> Result<(), ComponentError> {
    let (CanonicalFunction::Lift { options, .. } | CanonicalFunction::Lower { options, .. }) = function
    else {
        return Ok(());
    };
    let other =
        |option: &CanonicalOption| matches!(option, CanonicalOption::UTF16 | CanonicalOption::CompactUTF16);
    if options.iter().any(other) {
        return Err(ComponentError::Refused("its string encoding is another one than UTF-8".to_owned()));
    }
    Ok(())
}

/// A core module without its custom sections, save for the one that makes it a plugin.
fn strip(module: &[u8]) -> Result<Vec<u8>, ComponentError> {
    let mut stripped = wasm_encoder::Module::new();
    for payload in Parser::new(0).parse_all(module) {
        let payload = payload.map_err(malformed)?;
        let kept = match &payload {
            Payload::CustomSection(section) => section.name().starts_with(COMPONENT_TYPE),
            _ => true,
        };
        if let Some((id, range)) = payload.as_section().filter(|_| kept) {
            stripped.section(&wasm_encoder::RawSection { id, data: bytes(module, range) });
        }
    }
    Ok(stripped.finish())
}

fn bytes(file: &[u8], range: Range<usize>) -> &[u8] {
    &file[range]
}

/// The same component without functions to be called after a result was read. They free its memory, which is gone with
/// the instance anyway; and wasmtime calls them before the host could read the result where it lies.
fn without_post_return(component: &[u8]) -> Result<Vec<u8>, ComponentError> {
    let mut out = wasm_encoder::Component::new();
    WithoutPostReturn.parse_component(&mut out, Parser::new(0), component).map_err(malformed)?;
    Ok(out.finish())
}

struct WithoutPostReturn;

impl reencode::Reencode for WithoutPostReturn {
    type Error = std::convert::Infallible;
}

impl ReencodeComponent for WithoutPostReturn {
    fn parse_component_canonical(
        &mut self,
        section: &mut wasm_encoder::CanonicalFunctionSection,
        function: CanonicalFunction,
    ) -> Result<(), reencode::Error<Self::Error>> {
        let function = match function {
            CanonicalFunction::Lift { core_func_index, type_index, options } => {
                let kept = options.iter().filter(|option| !matches!(option, CanonicalOption::PostReturn(_)));
                CanonicalFunction::Lift { core_func_index, type_index, options: kept.copied().collect() }
            }
            other => other,
        };
        reencode::component_utils::parse_component_canonical(self, section, function)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(wat: &str) -> String {
        read(&wat::parse_str(wat).unwrap()).unwrap_err().to_string()
    }

    #[test]
    fn what_is_no_plugin_is_said_to_be_what_it_is() {
        assert!(read(b"").unwrap_err().to_string().contains("not a valid WebAssembly file"));
        assert!(read(b"\x7fELF and so on").unwrap_err().to_string().contains("not a valid WebAssembly file"));
        assert!(refused("(module)").contains("carries no component type"));
        assert!(refused("(component)").contains("does not export imgserve:operation/plugin@0.1.0"));
        let wasi = "(module (import \"wasi_snapshot_preview1\" \"fd_write\" (func)))";
        assert!(refused(wasi).contains("imports `wasi_snapshot_preview1::fd_write`"));
    }

    #[test]
    fn versions_and_imports_are_read_before_anything_is_compiled() {
        let other = "(component (instance $i) (export \"imgserve:operation/plugin@7.8.9\" (instance $i)))";
        let text = refused(other);
        assert!(text.contains("7.8.9") && text.contains("takes 0.1.0"), "{text}");
        let importing = |name: &str| {
            format!(
                "(component (import \"{name}\" (instance))
                (instance $i) (export \"imgserve:operation/plugin@0.1.0\" (instance $i)))"
            )
        };
        for other in ["wasi:cli/environment@0.3.0", "wasi:nn/graph@0.2.0", "wasi:keyvalue/store@0.2.0-draft"]
        {
            assert!(refused(&importing(other)).contains(&format!("imports `{other}`")));
        }
        let wasi = wat::parse_str(importing("wasi:cli/environment@0.2.12")).unwrap();
        assert_eq!(inspect(&wasi).unwrap().imports, ["wasi:cli/environment@0.2.12"]);
        // An operation does not get what is a codec's, nor the other way round.
        let crossed = "(component (import \"imgserve:codec/host@0.2.0\" (instance))
            (instance $i) (export \"imgserve:operation/plugin@0.1.0\" (instance $i)))";
        assert!(refused(crossed).contains("imports `imgserve:codec/host@0.2.0`"));
        let crossed = "(component (import \"imgserve:operation/host@0.1.0\" (instance))
            (instance $i) (export \"imgserve:codec/plugin@0.2.0\" (instance $i)))";
        assert!(refused(crossed).contains("imports `imgserve:operation/host@0.1.0`"));
        // Nor an interface of its own contract in another version, or that is none.
        for (import, plugin) in [
            ("imgserve:operation/host@0.2.0", "imgserve:operation/plugin@0.1.0"),
            ("imgserve:operation/plugin@0.1.0", "imgserve:operation/plugin@0.1.0"),
            ("imgserve:codec/host@0.1.0", "imgserve:codec/plugin@0.2.0"),
            ("imgserve:codec/plugin@0.2.0", "imgserve:codec/plugin@0.2.0"),
        ] {
            let text = refused(&format!(
                "(component (import \"{import}\" (instance)) (instance $i) (export \"{plugin}\" (instance $i)))"
            ));
            assert!(text.contains(&format!("imports `{import}`")), "{text}");
        }
        let codec = "(component (instance $i) (export \"imgserve:codec/plugin@0.1.0\" (instance $i)))";
        assert!(
            refused(codec).contains("built against imgserve:codec/plugin@0.1.0; imgserve"),
            "{}",
            refused(codec)
        );
    }

    #[test]
    fn a_cut_off_file_is_refused() {
        let whole = wat::parse_str("(component (core module (func (export \"f\"))))").unwrap();
        for length in 1..whole.len() {
            assert!(read(&whole[..length]).is_err(), "cut at {length}");
        }
    }

    #[test]
    fn a_published_version_of_the_wit_is_frozen() {
        use sha2::{Digest as _, Sha256};
        let published = [
            (
                World::Operation,
                "0.1.0",
                World::Operation.contract(),
                "b95c493b5a0c00571e5f44d8d7fdce0be04d00075e9b68a2b5e3a3736cda75b6",
            ),
            (
                World::Codec,
                "0.2.0",
                World::Codec.contract(),
                "0afc39bf8a19f919a4a61f3326e695a6199e8cb74b1fce27f8af3f6f021c279e",
            ),
        ];
        for world in World::ALL {
            let of_it = published.into_iter().filter(|(of, ..)| *of == world).map(|(_, version, ..)| version);
            assert_eq!(of_it.collect::<Vec<_>>(), world.versions());
        }
        for (_, version, text, digest) in published {
            let found = crate::plugin::hex(&Sha256::digest(text));
            assert_eq!(found, digest, "sdk/wit/{version} is published: what changes goes into a new version");
        }
    }

    #[test]
    fn simd_is_seen_in_the_code() {
        let with = "(module (func (result v128) (v128.const i32x4 1 2 3 4)))";
        assert!(has_simd(&wat::parse_str(with).unwrap()));
        assert!(!has_simd(&wat::parse_str("(module (func (result i32) (i32.const 253)))").unwrap()));
    }
}
