//! What is promised of any destination with tags.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| imgserve_transfer::fuzz::tags(data));
