//! The key-value machine: values of 64 bytes under keys scattered over all that there are.

use benches::samples;
use bytes::Bytes;
use divan::Bencher;
use divan::counter::ItemsCount;
use messages::{LogIndex, LogTime};
use raft::store::Store;
use raft::{At, StateMachine};

const AT: At = At { index: LogIndex(1), place: 0, time: LogTime(0) };

/// Requests of one sample.
const REQUESTS: u64 = 1 << 14;

fn main() {
    divan::main();
}

#[divan::bench(args = [10_000, 1_000_000], sample_size = 1, sample_count = 200)]
fn set(bencher: Bencher, keys: u64) {
    let mut store = filled(keys);
    let requests: Vec<Bytes> = samples::scattered(keys, REQUESTS).map(samples::set).collect();
    let mut reply = Vec::new();
    bencher.counter(ItemsCount::new(REQUESTS)).bench_local(|| {
        for request in &requests {
            reply.clear();
            store.apply(AT, request, &mut reply);
            assert_eq!(reply, b"+OK\r\n");
        }
    });
}

#[divan::bench(args = [10_000, 1_000_000], sample_size = 1, sample_count = 200)]
fn get(bencher: Bencher, keys: u64) {
    let store = filled(keys);
    let requests: Vec<Bytes> = samples::scattered(keys, REQUESTS).map(samples::get).collect();
    let mut reply = Vec::new();
    bencher.counter(ItemsCount::new(REQUESTS)).bench_local(|| {
        for request in &requests {
            reply.clear();
            store.query(request, &mut reply);
            assert!(reply.len() > samples::VALUE, "there is a value");
        }
    });
}

fn filled(keys: u64) -> Store {
    let mut store = Store::new();
    let mut reply = Vec::new();
    for key in 0..keys {
        reply.clear();
        store.apply(AT, &samples::set(key), &mut reply);
    }
    assert_eq!(store.len() as u64, keys);
    store
}
