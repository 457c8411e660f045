//! A codec as WebAssembly text. Its files are 24 bytes: a magic of sixteen, width and height in one each, and what is left; its pixels
//! are zeros.

use std::path::{Path, PathBuf};

use wit_component::StringEncoding;
use wit_parser::Resolve;

use super::{REALLOC, layout};

/// Where `describe`'s result lies, all that it refers to behind it.
const DESCRIPTION: u32 = 1024;

/// What a file of a guest's format begins with.
fn magic(format: &str) -> [u8; 16] {
    let mut magic = *b"................";
    magic[..format.len()].copy_from_slice(format.as_bytes());
    magic
}

/// A file of this format and size.
pub(crate) fn file(format: &str, width: u8, height: u8) -> Vec<u8> {
    [magic(format).as_slice(), &[width, height, 0, 0, 0, 0, 0, 0]].concat()
}

/// Tells the header as `$bytes` has it, rgb8: the `result<option<header>, error>` at 4096.
pub(crate) const PROBE: &str = "
    (if (result i32) (i32.lt_u (local.get $bytes-len) (i32.const 18)) (then (i32.const 4096)) (else
        (i32.store8 offset=8 (i32.const 4096) (i32.const 1))
        (i32.store offset=16 (i32.const 4096) (i32.load8_u offset=16 (local.get $bytes)))
        (i32.store offset=20 (i32.const 4096) (i32.load8_u offset=17 (local.get $bytes)))
        (i32.store8 offset=24 (i32.const 4096) (i32.const 1))
        (i32.store offset=28 (i32.const 4096) (i32.const 1))
        (i32.store8 offset=32 (i32.const 4096) (i32.const 1))
        (i32.const 4096)))";

/// Gives one frame of that size: the `result<decoded, error>` at 8192, its list of frames at 12288, the pixels at 16384.
pub(crate) const DECODE: &str = "
    (i32.store offset=4 (i32.const 8192) (i32.const 12288))
    (i32.store offset=8 (i32.const 8192) (i32.const 1))
    (i32.store offset=12 (i32.const 8192) (i32.const 1))
    (i32.store (i32.const 12288) (i32.load8_u offset=16 (local.get $bytes)))
    (i32.store offset=4 (i32.const 12288) (i32.load8_u offset=17 (local.get $bytes)))
    (i32.store8 offset=8 (i32.const 12288) (i32.const 1))
    (i32.store offset=12 (i32.const 12288) (i32.const 16384))
    (i32.store offset=16 (i32.const 12288) (i32.mul (i32.const 3) (i32.mul
        (i32.load8_u offset=16 (local.get $bytes)) (i32.load8_u offset=17 (local.get $bytes)))))
    (i32.const 8192)";

/// Gives a file of the picture's size: the `result<list<u8>, error>` at 8192, the file at 12288.
pub(crate) const ENCODE: &str = "
    (memory.copy (i32.const 12288) (i32.const 512) (i32.const 16))
    (i32.store8 offset=16 (i32.const 12288) (local.get $width))
    (i32.store8 offset=17 (i32.const 12288) (local.get $height))
    (i32.store offset=4 (i32.const 8192) (i32.const 12288))
    (i32.store offset=8 (i32.const 8192) (i32.const 24))
    (i32.const 8192)";

/// The host's log, as `$log`: level, address, length.
pub(crate) const LOG: &str = "(import \"imgserve:codec/host@0.2.0\" \"log\" (func $log (param i32 i32 i32)))";

/// The parts of a codec; what is not said is right.
#[derive(Clone, Debug)]
pub(crate) struct CodecGuest {
    /// The format's name, which is its extension, too.
    pub(crate) format: &'static str,
    /// Where that is not one of its own.
    pub(crate) media_type: Option<&'static str>,
    pub(crate) magic: Option<&'static [u8]>,
    /// What stands before everything else.
    pub(crate) imports: String,
    pub(crate) memory: String,
    /// Further functions and data. From 16384 to 65536 memory is free.
    pub(crate) more: String,
    pub(crate) describe: String,
    /// Has `$bytes` and `$bytes-len`.
    pub(crate) probe: String,
    /// The same.
    pub(crate) decode: String,
    /// Has `$width` and `$height` of the picture.
    pub(crate) encode: String,
}

impl Default for CodecGuest {
    fn default() -> Self {
        Self {
            format: "guest",
            media_type: None,
            magic: None,
            imports: String::new(),
            memory: "(memory (export \"memory\") 2)".to_owned(),
            more: String::new(),
            describe: format!("(i32.const {DESCRIPTION})"),
            probe: PROBE.to_owned(),
            decode: DECODE.to_owned(),
            encode: ENCODE.to_owned(),
        }
    }
}

impl CodecGuest {
    /// The module as text.
    fn text(&self) -> String {
        let Self { imports, memory, more, describe, probe, decode, encode, .. } = self;
        let quoted = |bytes: &[u8]| -> String { bytes.iter().map(|byte| format!("\\{byte:02x}")).collect() };
        let (magic, description) = (quoted(&magic(self.format)), quoted(&self.description()));
        format!(
            r#"(module
            {imports}
            {memory}
            (global $next (mut i32) (i32.const 65536))
            (data (i32.const 512) "{magic}")
            (data (i32.const {DESCRIPTION}) "{description}")
            {more}
            (func (export "imgserve:codec/plugin@0.2.0#describe") (result i32) {describe})
            (func (export "imgserve:codec/plugin@0.2.0#probe")
                (param $format i32) (param $format-len i32) (param $bytes i32) (param $bytes-len i32)
                (param $complete i32) (result i32) {probe})
            (func (export "imgserve:codec/plugin@0.2.0#decode")
                (param $format i32) (param $format-len i32) (param $bytes i32) (param $bytes-len i32)
                (result i32) {decode})
            (func (export "imgserve:codec/plugin@0.2.0#encode")
                (param $format i32) (param $format-len i32) (param $width i32) (param $height i32)
                (param $pixels i32) (param $data i32) (param $data-len i32) (param $quality i32)
                (result i32) {encode})
            {REALLOC})"#
        )
    }

    /// The record `description`, its one format, and all that these refer to.
    fn description(&self) -> Vec<u8> {
        const FORMAT: usize = 32;
        const MAGIC: usize = FORMAT + 52;
        const TYPE: usize = MAGIC + 12;
        const EXTENSION: usize = TYPE + 8;
        let mut bytes = vec![0; EXTENSION + 8];
        let word = |bytes: &mut Vec<u8>, at: usize, value: u32| {
            bytes[at..at + 4].copy_from_slice(&value.to_le_bytes())
        };
        let list = |bytes: &mut Vec<u8>, at: usize, place: usize, length: usize| {
            word(bytes, at, DESCRIPTION + place as u32);
            word(bytes, at + 4, length as u32);
        };
        let put = |bytes: &mut Vec<u8>, at: usize, text: &[u8]| {
            let place = bytes.len();
            list(bytes, at, place, text.len());
            bytes.extend_from_slice(text);
        };
        put(&mut bytes, 0, b"guest");
        put(&mut bytes, 8, b"1.0.0");
        put(&mut bytes, 16, b"For tests.");
        put(&mut bytes, FORMAT, self.format.as_bytes());
        let own = format!("image/x-{}", self.format);
        put(&mut bytes, TYPE, self.media_type.unwrap_or(&own).as_bytes());
        put(&mut bytes, EXTENSION, self.format.as_bytes());
        put(&mut bytes, MAGIC + 4, self.magic.unwrap_or(&magic(self.format)));
        // Written: rgb8 (1), with a loss, up to 200 pixels.
        bytes[FORMAT + 32] = 1;
        put(&mut bytes, FORMAT + 36, &[1]);
        bytes[FORMAT + 44] = 1;
        bytes[FORMAT + 48] = 200;
        for (at, place) in [(24, FORMAT), (FORMAT + 8, TYPE), (FORMAT + 16, EXTENSION), (FORMAT + 24, MAGIC)]
        {
            list(&mut bytes, at, place, 1);
        }
        bytes
    }

    /// The module as a file, which says of itself which component it is.
    pub(crate) fn module(&self) -> Vec<u8> {
        let mut module = wat::parse_str(self.text()).unwrap();
        let mut resolve = Resolve::default();
        let contract = include_str!("../../../sdk/wit/0.2.0/codec.wit");
        let package = resolve.push_source("codec.wit", contract).unwrap();
        let world = resolve.select_world(&[package], Some("codec")).unwrap();
        wit_component::embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8).unwrap();
        module
    }

    /// Writes it to `NAME.wasm` in a directory.
    pub(crate) fn write(&self, directory: &Path, name: &str) -> PathBuf {
        let path = directory.join(format!("{name}.wasm"));
        std::fs::write(&path, self.module()).unwrap();
        path
    }
}

#[test]
fn the_addresses_are_those_of_the_contract() {
    let contract = include_str!("../../../sdk/wit/0.2.0/codec.wit");
    let names = ["description", "format", "magic", "written", "header", "decoded", "frame"];
    let [description, format, magic, written, header, decoded, frame] = layout(contract, names);
    assert_eq!(description, (vec![0, 8, 16, 24], 32));
    assert_eq!(format, (vec![0, 8, 16, 24, 32], 52));
    assert_eq!((magic, written), ((vec![0, 4], 12), (vec![0, 8, 12], 16)));
    // In an option in a result it lies behind two discriminants of 8 bytes, because of its u64.
    assert_eq!(header, (vec![0, 4, 8, 12, 16, 24], 32));
    assert_eq!((decoded, frame), ((vec![0, 8, 12], 24), (vec![0, 20], 24)));
}
