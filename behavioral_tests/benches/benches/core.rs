//! The rules alone: three state objects on one thread, a fresh trio for each sample. An *entry* is a
//! log entry of one command of 64 bytes, proposed by itself; a batch of N is N proposals in one turn
//! of the leader, and the next batch is proposed when nobody has anything left to say.

use benches::rules::{Passing, Trio};
use divan::Bencher;
use divan::counter::ItemsCount;

/// Commands of one sample, but for batches of one.
const COMMANDS: usize = 1 << 16;

fn main() {
    divan::main();
}

/// Batches of entries, messages handed over as values.
#[divan::bench(args = [1, 64, 1024], sample_size = 1, sample_count = 25)]
fn entries_by_value(bencher: Bencher, batch: usize) {
    commit(bencher, Passing::Values, batch, 1);
}

/// Batches of entries, messages in frames.
#[divan::bench(args = [1, 64, 1024], sample_size = 1, sample_count = 25)]
fn entries_in_frames(bencher: Bencher, batch: usize) {
    commit(bencher, Passing::Frames, batch, 1);
}

/// One entry of so many commands, as one connection's pipeline makes it; commands are counted.
#[divan::bench(args = [64, 1024], sample_size = 1, sample_count = 25)]
fn commands_of_one_entry_by_value(bencher: Bencher, commands: usize) {
    commit(bencher, Passing::Values, 1, commands);
}

/// The same in frames.
#[divan::bench(args = [64, 1024], sample_size = 1, sample_count = 25)]
fn commands_of_one_entry_in_frames(bencher: Bencher, commands: usize) {
    commit(bencher, Passing::Frames, 1, commands);
}

fn commit(bencher: Bencher, passing: Passing, entries: usize, commands: usize) {
    let batches = COMMANDS / (entries * commands);
    bencher
        .counter(ItemsCount::new(COMMANDS))
        .with_inputs(|| Trio::elected(passing))
        .bench_local_values(|mut trio| {
            (0..batches).for_each(|_| trio.commit(entries, commands));
            trio.settle();
            trio
        });
}
