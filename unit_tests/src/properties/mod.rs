//! Properties of what takes input from outside: one function a target, over any bytes. The tests of
//! this package, the fuzzer (`unit_tests/fuzz`) and the program that makes the corpus share them.
//! A check must never depend on anything but its bytes, and must say which of its cases it met:
//! a property of cases that never come up proves nothing.
//!
//! - [`choices`]: bytes read as decisions, so that any bytes are a structured input;
//! - [`peer_frame`]: what the decoder of frames makes of bytes; [`tree`] spells envelopes by
//!   `docs/wire.md` alone, and [`hostile`] draws them;
//! - [`peer_sequence`]: frames, clients' batches, time and a disk, into a production server:
//!   [`sequence_node`], watched by [`sequence_checks`];
//! - [`resp_parser`]: requests of clients, beside a [`plain_parser`];
//! - [`wal_open`]: folders that were damaged; [`written_log`] makes them, [`damage`] damages them;
//! - [`superblock`]: a node's identity and its boots;
//! - [`config_file`]: configuration files.

pub mod choices;
pub mod config_file;
pub mod damage;
pub mod hostile;
pub mod peer_frame;
pub mod peer_sequence;
pub mod plain_parser;
pub mod resp_parser;
pub mod sequence_checks;
pub mod sequence_node;
pub mod superblock;
pub mod tree;
pub mod wal_open;
pub mod written_log;

use std::collections::BTreeSet;
use std::panic::{self, AssertUnwindSafe};

pub use choices::Choices;

/// The cases that an input met, by name.
pub type Marks = BTreeSet<&'static str>;

/// One property.
pub struct Target {
    /// Its name: of the fuzz target, and of the folder of its corpus.
    pub name: &'static str,
    /// Checks it for one input.
    ///
    /// # Panics
    /// If the property does not hold.
    pub check: fn(&[u8]) -> Marks,
    /// All cases that there are; the corpus meets each.
    pub marks: &'static [&'static str],
    /// Bytes of a random input at most: enough to meet the cases.
    pub longest: usize,
}

/// Every property.
pub const TARGETS: [Target; 6] = [
    peer_frame::TARGET,
    peer_sequence::TARGET,
    resp_parser::TARGET,
    wal_open::TARGET,
    superblock::TARGET,
    config_file::TARGET,
];

/// Runs something that may take so much memory at most.
///
/// # Panics
/// If it takes more, or panics itself.
pub fn within<T>(bytes: usize, run: impl FnOnce() -> T) -> T {
    let mut outcome = None;
    // The count is lost if a panic passes through it.
    let run = || outcome = Some(panic::catch_unwind(AssertUnwindSafe(run)));
    let taken = allocation_counter::measure(run).bytes_max;
    let outcome = outcome.expect("it ran").unwrap_or_else(|why| panic::resume_unwind(why));
    assert!(taken <= bytes as u64, "{taken} bytes of memory taken, {bytes} allowed");
    outcome
}
