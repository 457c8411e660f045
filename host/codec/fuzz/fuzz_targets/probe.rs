//! What a probe promises of any bytes.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| imgserve_codec::fuzz::probe(data));
