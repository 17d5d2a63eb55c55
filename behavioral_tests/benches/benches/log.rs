//! The log on a real disk: one batch of entries of one command of 64 bytes each, staged and synced.
//! The folder is below `target`, on whatever disk that is.

use benches::samples;
use divan::Bencher;
use divan::counter::ItemsCount;
use messages::{ClusterId, NodeId, Term};
use servers::storage::{FolderDisk, Options, Owner, Wal};
use states::{HardState, Write, WriteId};
use tempfile::TempDir;

const OWNER: Owner = Owner { cluster: ClusterId(1), node: NodeId(1) };

fn main() {
    divan::main();
}

#[divan::bench(args = [1, 64, 1024], sample_size = 1, sample_count = 1000)]
fn append_and_sync(bencher: Bencher, batch: usize) {
    let folder = TempDir::new_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder");
    let mut disk = FolderDisk::create(folder.path()).expect("a folder to write in");
    let options = Options::default();
    Wal::create(&mut disk, OWNER, &options, 1).expect("an empty folder");
    let (mut wal, _) = Wal::open(disk, OWNER, &options, 2).expect("the log just made");
    let mut next = 1;
    bencher
        .counter(ItemsCount::new(batch))
        .with_inputs(|| {
            let entries = samples::entries(next, batch);
            next += batch as u64;
            let hard_state = HardState { term: Term(1), voted_for: None };
            Write { id: WriteId(next), hard_state, reset: None, entries }
        })
        .bench_local_values(|write| {
            wal.stage(&write).expect("a disk that works");
            wal.sync().expect("a disk that works");
            write
        });
}
