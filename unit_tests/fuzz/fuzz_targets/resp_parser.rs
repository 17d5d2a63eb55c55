//! Drives `unit_tests::properties::resp_parser`.

#![no_main]

use libfuzzer_sys::fuzz_target;
use unit_tests::properties::resp_parser::TARGET;

fuzz_target!(|bytes: &[u8]| drop((TARGET.check)(bytes)));
