//! What is promised of any bytes on the socket between server and worker.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| imgserve_worker::fuzz::frame(data));
