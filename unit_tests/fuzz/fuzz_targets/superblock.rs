//! Drives `unit_tests::properties::superblock`.

#![no_main]

use libfuzzer_sys::fuzz_target;
use unit_tests::properties::superblock::TARGET;

fuzz_target!(|bytes: &[u8]| drop((TARGET.check)(bytes)));
