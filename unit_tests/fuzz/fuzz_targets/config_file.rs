//! Drives `unit_tests::properties::config_file`.

#![no_main]

use libfuzzer_sys::fuzz_target;
use unit_tests::properties::config_file::TARGET;

fuzz_target!(|bytes: &[u8]| drop((TARGET.check)(bytes)));
