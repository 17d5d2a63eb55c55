//! Drives `unit_tests::properties::wal_open`.

#![no_main]

use libfuzzer_sys::fuzz_target;
use unit_tests::properties::wal_open::TARGET;

fuzz_target!(|bytes: &[u8]| drop((TARGET.check)(bytes)));
