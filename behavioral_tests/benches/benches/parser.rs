//! The Redis door's parser: a pipeline of `SET` with values of 64 bytes, in one piece.

use benches::samples;
use divan::Bencher;
use divan::counter::ItemsCount;
use raft::doors::resp::parser::{Parser, Progress};

fn main() {
    divan::main();
}

#[divan::bench(args = [1, 64, 1024])]
fn sets(bencher: Bencher, requests: u64) {
    let bytes = samples::pipeline(requests);
    let mut parser = Parser::new(1 << 20);
    let mut output = Vec::new();
    bencher.counter(ItemsCount::new(requests)).bench_local(|| {
        output.clear();
        let mut input = divan::black_box(bytes.as_slice());
        let mut parsed = 0;
        while let Progress::Request = parser.read(&mut input, &mut output).expect("no garbage") {
            parsed += 1;
        }
        assert_eq!(parsed, requests);
    });
}
