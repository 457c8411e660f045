//! What is promised of any page with a form.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| imgserve_transfer::fuzz::form(data));
