//! What decoding promises of JPEG XL files.

#![no_main]

use imgserve_base::format::Format;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| imgserve_codec::fuzz::decode(Format::Jxl, data));
