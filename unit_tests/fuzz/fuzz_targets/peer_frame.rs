//! Drives `unit_tests::properties::peer_frame`.

#![no_main]

use libfuzzer_sys::fuzz_target;
use unit_tests::properties::peer_frame::TARGET;

fuzz_target!(|bytes: &[u8]| drop((TARGET.check)(bytes)));
