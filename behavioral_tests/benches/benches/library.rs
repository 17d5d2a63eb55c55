//! The library as its users have it: three nodes in one process, each with its node and writer
//! thread, frames through memory, callers on one thread more. A write is a command of 64 bytes,
//! proposed to the leader and applied by a machine that only counts.
//!
//! A node's log is a folder. `in_memory` puts it on `/dev/shm`, where a sync costs next to nothing,
//! `on_disk` below `target`.

use std::path::Path;
use std::sync::Arc;

use benches::samples;
use divan::Bencher;
use divan::counter::ItemsCount;
use raft::testing::{self, Cluster};
use raft::{At, Pieces, StateMachine, Unreadable, one_piece};
use tokio::runtime::{self, Runtime};
use tokio::task::JoinSet;

fn main() {
    divan::main();
}

#[divan::bench(args = [1, 64, 1024], sample_size = 1, sample_count = 15)]
fn in_memory(bencher: Bencher, callers: usize) {
    propose(bencher, Path::new("/dev/shm"), callers);
}

#[divan::bench(args = [1, 64, 1024], sample_size = 1, sample_count = 15)]
fn on_disk(bencher: Bencher, callers: usize) {
    propose(bencher, Path::new(env!("CARGO_TARGET_TMPDIR")), callers);
}

#[derive(Clone, Default)]
struct Counter(u64);

impl StateMachine for Counter {
    fn apply(&mut self, _: At, _: &[u8], _: &mut Vec<u8>) {
        self.0 += 1;
    }

    fn query(&self, _: &[u8], _: &mut Vec<u8>) {}

    fn fresh(&self) -> Counter {
        Counter::default()
    }

    fn snapshot(&mut self) -> Box<dyn Pieces> {
        one_piece(self.0.to_le_bytes().to_vec())
    }

    fn restore(&mut self, piece: &[u8]) -> Result<(), Unreadable> {
        let number = piece.first_chunk().ok_or(Unreadable("a number of eight bytes"))?;
        self.0 = u64::from_le_bytes(*number);
        Ok(())
    }

    fn digest(&self) -> u64 {
        self.0
    }
}

fn propose(bencher: Bencher, folder: &Path, callers: usize) {
    let runtime = runtime::Builder::new_current_thread().build().expect("a runtime");
    let cluster = runtime.block_on(async {
        let cluster = testing::cluster_below(folder, 3, Counter::default()).await;
        let cluster = cluster.expect("a folder and threads");
        cluster.leader().await;
        Arc::new(cluster)
    });
    let writes = if callers == 1 { 2_000 } else { 1 << 15 };
    let each = writes / callers;
    bencher
        .counter(ItemsCount::new(each * callers))
        .bench_local(|| sample(&runtime, &cluster, callers, each));
}

/// So many callers, each with so many writes one after the other. Says what made the sample another
/// than it should be: an election, as when others keep the machine busy, or a write without reply.
fn sample(runtime: &Runtime, cluster: &Arc<Cluster>, callers: usize, each: usize) {
    runtime.block_on(async {
        let term = cluster.leader().await.status().term;
        let mut tasks = JoinSet::new();
        for _ in 0..callers {
            let cluster = Arc::clone(cluster);
            tasks.spawn(async move {
                let leader = cluster.leader().await;
                for _ in 0..each {
                    if let Err(error) = leader.propose(samples::command()).await {
                        eprintln!("a write {error}");
                    }
                }
            });
        }
        while let Some(done) = tasks.join_next().await {
            done.expect("no panic");
        }
        let now = cluster.leader().await.status().term;
        if now != term {
            eprintln!("an election: term {now} after {term}");
        }
    });
}
