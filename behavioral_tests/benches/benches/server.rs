//! Three servers on one thread, with store, codec and log over files in memory; a fresh trio for
//! each sample. One client's `SET` of a value of 64 bytes is one entry; so many clients send theirs
//! in one turn, and the next when all have their replies.

use benches::actors::Servers;
use divan::Bencher;
use divan::counter::ItemsCount;

/// Writes of one sample.
const WRITES: usize = 1 << 14;

fn main() {
    divan::main();
}

#[divan::bench(args = [1, 64, 1024], sample_size = 1, sample_count = 25)]
fn sets(bencher: Bencher, clients: usize) {
    bencher.counter(ItemsCount::new(WRITES)).with_inputs(Servers::elected).bench_local_values(
        |mut servers| {
            (0..WRITES / clients).for_each(|_| servers.set(clients));
            servers
        },
    );
}
