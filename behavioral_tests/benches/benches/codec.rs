//! Frames: one AppendEntries of 64 entries of one command of 64 bytes each.

use benches::samples;
use divan::Bencher;
use divan::counter::ItemsCount;
use messages::frame::{self, Header};
use messages::{
    AppendEntries, Boot, ClusterId, Content, Envelope, GroupId, LogIndex, LogPosition, Message,
    NodeId, Term,
};

const ENTRIES: usize = 64;

const HEADER: Header =
    Header { lane: 1, cluster: ClusterId(1), from: NodeId(1), boot: Boot(1), to: NodeId(2) };

fn main() {
    divan::main();
}

#[divan::bench]
fn encode(bencher: Bencher) {
    let envelopes = [append()];
    bencher
        .counter(ItemsCount::new(ENTRIES))
        .bench_local(|| frame::encode(&HEADER, divan::black_box(&envelopes)));
}

#[divan::bench]
fn decode(bencher: Bencher) {
    let bytes = frame::encode(&HEADER, &[append()]);
    bencher.counter(ItemsCount::new(ENTRIES)).bench_local(|| {
        frame::decode(divan::black_box(&bytes)).expect("what was spelt can be read")
    });
}

fn append() -> Envelope {
    let previous = LogPosition { term: Term(1), index: LogIndex(1_000_000) };
    let entries = samples::entries(previous.index.0 + 1, ENTRIES);
    let message =
        Message::AppendEntries(AppendEntries { previous, entries, commit: previous.index });
    Envelope { group: GroupId(0), content: Content::Raft { term: Term(1), message } }
}
