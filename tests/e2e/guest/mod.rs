//! A plugin as WebAssembly text, for what the sdk makes impossible. It gives its pixels as they came; a test replaces one
//! of its functions, or adds an import. Addresses follow the Canonical ABI (Component Model, `CanonicalABI.md`), in which
//! the values of `sdk/wit/0.1.0` lie in memory. `codec` is the same of a codec.

pub(crate) mod codec;

use std::path::{Path, PathBuf};

use wit_component::StringEncoding;
use wit_parser::Resolve;

/// Where `describe`'s result lies, its strings behind it.
const DESCRIPTION: u32 = 1024;

/// The number of this pixel format.
const RGBA8: u8 = 2;

/// Plans what the source has, as rgba8: the `result<plan, error>` at 4096.
pub(crate) const PLAN: &str = "
    (i32.store offset=8 (i32.const 4096) (local.get $width))
    (i32.store offset=12 (i32.const 4096) (local.get $height))
    (i32.store8 offset=16 (i32.const 4096) (i32.const 2))
    (i32.const 4096)";

/// Gives the image at `$in` + 48: its width, height, format, and where its pixels are; the `result<output, error>` at 8192.
pub(crate) const RUN: &str = "
    (i32.store offset=8 (i32.const 8192) (i32.load offset=48 (local.get $in)))
    (i32.store offset=12 (i32.const 8192) (i32.load offset=52 (local.get $in)))
    (i32.store8 offset=16 (i32.const 8192) (i32.const 2))
    (i32.store offset=20 (i32.const 8192) (i32.load offset=60 (local.get $in)))
    (i32.store offset=24 (i32.const 8192) (i32.load offset=64 (local.get $in)))
    (i32.const 8192)";

/// Never ends.
pub(crate) const FOREVER: &str = "(loop $forever (br $forever)) (unreachable)";

/// The host's log, as `$log`: level, address, length.
pub(crate) const LOG: &str =
    "(import \"imgserve:operation/host@0.1.0\" \"log\" (func $log (param i32 i32 i32)))";

/// Gives everything a place of its own, which stays; behind `$next`.
const REALLOC: &str = r#"
    (func (export "cabi_realloc") (param $old i32) (param $old-size i32) (param $align i32) (param $size i32)
        (result i32) (local $at i32)
        (local.set $at (i32.and
            (i32.add (global.get $next) (i32.sub (local.get $align) (i32.const 1)))
            (i32.sub (i32.const 0) (local.get $align))))
        (global.set $next (i32.add (local.get $at) (local.get $size)))
        (block $enough (loop $more
            (br_if $enough (i32.ge_u (i32.shl (memory.size) (i32.const 16)) (global.get $next)))
            (br_if $more (i32.ne (memory.grow (i32.const 1)) (i32.const -1)))
            (unreachable)))
        (local.get $at))"#;

/// The parts of a plugin; what is not said is right.
#[derive(Clone, Debug)]
pub(crate) struct Guest {
    pub(crate) encoding: StringEncoding,
    pub(crate) name: &'static str,
    pub(crate) version: &'static str,
    /// The arguments' schema.
    pub(crate) schema: &'static str,
    /// The pixel formats taken, as numbers.
    pub(crate) formats: &'static [u8],
    /// What stands before everything else.
    pub(crate) imports: String,
    pub(crate) memory: String,
    /// Further functions and data. From 16384 to 65536 memory is free.
    pub(crate) more: String,
    pub(crate) describe: String,
    /// Has `$width`, `$height` and others of the source, see `text`.
    pub(crate) plan: String,
    /// Has `$in`, the address of its parameters.
    pub(crate) run: String,
}

impl Default for Guest {
    fn default() -> Self {
        Self {
            encoding: StringEncoding::UTF8,
            name: "guest",
            version: "1.0.0",
            schema: "{ \"type\": \"object\", \"properties\": {} }",
            formats: &[RGBA8],
            imports: String::new(),
            memory: "(memory (export \"memory\") 2)".to_owned(),
            more: String::new(),
            describe: format!("(i32.const {DESCRIPTION})"),
            plan: PLAN.to_owned(),
            run: RUN.to_owned(),
        }
    }
}

impl Guest {
    /// The module as text.
    fn text(&self) -> String {
        let Self { imports, memory, more, describe, plan, run, .. } = self;
        let description: String = self.description().iter().map(|byte| format!("\\{byte:02x}")).collect();
        format!(
            r#"(module
            {imports}
            {memory}
            (global $next (mut i32) (i32.const 65536))
            (data (i32.const {DESCRIPTION}) "{description}")
            {more}
            (func (export "imgserve:operation/plugin@0.1.0#describe") (result i32) {describe})
            (func (export "imgserve:operation/plugin@0.1.0#plan")
                (param $args i32) (param $args-len i32) (param $format i32) (param $format-len i32)
                (param $width i32) (param $height i32) (param $has-frames i32) (param $frames i32)
                (param $pixels i32) (param $head i32) (param $head-len i32) (result i32) {plan})
            (func (export "imgserve:operation/plugin@0.1.0#run") (param $in i32) (result i32) {run})
            {REALLOC})"#
        )
    }

    /// The record `description` and its strings.
    fn description(&self) -> Vec<u8> {
        const SIZE: usize = 76;
        let mut bytes = vec![0; SIZE];
        let mut put = |at: usize, text: &[u8]| {
            let address = DESCRIPTION + bytes.len() as u32;
            bytes[at..at + 4].copy_from_slice(&address.to_le_bytes());
            bytes[at + 4..at + 8].copy_from_slice(&(text.len() as u32).to_le_bytes());
            bytes.extend_from_slice(text);
        };
        put(0, self.name.as_bytes());
        put(8, self.version.as_bytes());
        put(16, b"For tests.");
        // input: pixels (0), each (0) frame by itself; output: source (0)
        put(28, self.formats);
        put(60, self.schema.as_bytes());
        bytes
    }

    /// The module as a file, which says of itself which component it is.
    pub(crate) fn module(&self) -> Vec<u8> {
        let mut module = wat::parse_str(self.text()).unwrap();
        let mut resolve = Resolve::default();
        let contract = include_str!("../../../sdk/wit/0.1.0/operation.wit");
        let mut package = resolve.push_source("operation.wit", contract).unwrap();
        let mut world = "operation";
        if self.imports.contains("wasi:") {
            package = resolve.push_source("wasi.wit", include_str!("wasi.wit")).unwrap();
            world = "guest";
        }
        let world = resolve.select_world(&[package], Some(world)).unwrap();
        wit_component::embed_component_metadata(&mut module, &resolve, world, self.encoding).unwrap();
        module
    }

    /// Writes it to `NAME.wasm` in a directory.
    pub(crate) fn write(&self, directory: &Path, name: &str) -> PathBuf {
        let path = directory.join(format!("{name}.wasm"));
        std::fs::write(&path, self.module()).unwrap();
        path
    }
}

/// Where the fields of each of these types lie, if it is a record, and how long it is, in words of a contract.
fn layout<const N: usize>(contract: &str, names: [&str; N]) -> [(Vec<usize>, usize); N] {
    use wit_parser::{SizeAlign, Type, TypeDefKind};
    let mut resolve = Resolve::default();
    resolve.push_source("contract.wit", contract).unwrap();
    let mut sizes = SizeAlign::default();
    sizes.fill(&resolve);
    names.map(|name| {
        let (id, _) = resolve.types.iter().find(|(_, ty)| ty.name.as_deref() == Some(name)).unwrap();
        let offsets = match &resolve.types[id].kind {
            TypeDefKind::Record(record) => {
                let fields = record.fields.iter().map(|field| &field.ty);
                sizes.field_offsets(fields).iter().map(|(offset, _)| offset.size_wasm32()).collect()
            }
            _ => Vec::new(),
        };
        (offsets, sizes.size(&Type::Id(id)).size_wasm32())
    })
}

#[test]
fn the_addresses_are_those_of_the_contract() {
    let contract = include_str!("../../../sdk/wit/0.1.0/operation.wit");
    let names = ["description", "plan", "image", "output", "source-header"];
    let [description, plan, image, output, header] = layout(contract, names);
    assert_eq!(description, (vec![0, 8, 16, 24, 40, 60, 68], 76));
    // In a result they lie behind its discriminant: 8 bytes for a plan with its u64, 4 for an output of words.
    assert_eq!(plan, (vec![0, 4, 8, 16, 72], 80));
    assert_eq!((image.0, output.1), (vec![0, 4, 8, 12], 24));
    assert_eq!(header, (vec![0, 8, 12, 16, 24], 28));
}
