//! Any bytes: a scan that is read at three places at once is that scan. What is promised stands in the crate's `fuzz.rs`.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| imgserve_jpeg::fuzz::cursors(bytes));
