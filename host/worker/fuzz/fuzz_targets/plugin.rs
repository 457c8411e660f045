//! What is promised of any file that claims to be a plugin.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| imgserve_worker::fuzz::plugin(data));
