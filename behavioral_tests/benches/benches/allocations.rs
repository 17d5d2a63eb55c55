//! What one write allocates, counted by a global allocator that stands before the real one. Counts
//! do not depend on how busy the machine is.

use allocation_counter::{AllocationInfo, measure};
use benches::actors::Servers;
use benches::rules::{Passing, Trio};

/// Writes counted, after as many to warm up.
const WRITES: usize = 1 << 14;

fn main() {
    println!("per write, on the three nodes together      allocations     bytes");
    for batch in [1, 64, 1024] {
        row("rules by value", batch, of_rules(Passing::Values, batch));
        row("rules in frames", batch, of_rules(Passing::Frames, batch));
        let mut servers = Servers::elected();
        row("servers, until replied", batch, count(batch, || servers.set(batch)));
    }
}

fn of_rules(passing: Passing, batch: usize) -> AllocationInfo {
    let mut trio = Trio::elected(passing);
    count(batch, || trio.commit(batch, 1))
}

fn count(batch: usize, mut write: impl FnMut()) -> AllocationInfo {
    let mut all = || (0..WRITES / batch).for_each(|_| write());
    all();
    measure(all)
}

fn row(what: &str, batch: usize, counted: AllocationInfo) {
    let per_write = |total: u64| total as f64 / WRITES as f64;
    let (times, bytes) = (per_write(counted.count_total), per_write(counted.bytes_total));
    println!("{what:<24} {batch:>5} in a turn {times:>16.2} {bytes:>9.0}");
}
