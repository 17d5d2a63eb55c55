//! How long the check of large histories takes: `cargo run --release -p linearizability --example
//! measure [OPERATIONS [SEEDS]]`.

use std::fs;

use generator::{Random, Shape};
use linearizability::kv;

#[path = "../tests/generator/mod.rs"]
mod generator;

/// Milliseconds for which this thread has had a processor: a busy machine does not count.
fn on_processor() -> f64 {
    let statistics = fs::read_to_string("/proc/thread-self/schedstat").expect("Linux");
    let nanoseconds: f64 =
        statistics.split(' ').next().and_then(|word| word.parse().ok()).expect("a number");
    nanoseconds / 1e6
}

fn main() {
    let number = |place, otherwise| {
        std::env::args().nth(place).map_or(otherwise, |word| word.parse().expect("a number"))
    };
    let (operations, seeds) = (number(1, 20_000), number(2, 3));
    let plain = Shape {
        processes: 8,
        operations,
        keys: 100,
        pipeline: 1,
        unknown: 0,
        several: 0,
        batches: 0,
        unique: true,
    };
    let wide = Shape { processes: 32, ..plain };
    let deep = Shape { pipeline: 16, several: 10, ..plain };
    println!("{operations} operations over 100 keys; milliseconds of processor time, verdict");
    for (name, shape) in [
        ("8 clients", plain),
        ("32 clients", wide),
        ("32 clients, pipelines of 16", Shape { pipeline: 16, ..wide }),
        ("8 clients, 5 % unknown", Shape { unknown: 5, ..plain }),
        ("32 clients, pipelines of 16, 5 % unknown", Shape { pipeline: 16, unknown: 5, ..wide }),
        ("8 clients, 10 % several keys", Shape { several: 10, ..plain }),
        ("32 clients, 10 % several keys", Shape { several: 10, ..wide }),
        ("8 clients, pipelines of 16, 10 % several keys", deep),
        ("the same, 5 % unknown", Shape { unknown: 5, ..deep }),
        ("the same, 5 % unknown, few values", Shape { unknown: 5, unique: false, ..deep }),
        ("16 clients, pipelines of 16, 10 % several keys", Shape { processes: 16, ..deep }),
        ("32 clients, pipelines of 8, 10 % several", Shape { pipeline: 8, several: 10, ..wide }),
        ("32 clients, pipelines of 16, 10 % several", Shape { processes: 32, ..deep }),
        ("one key, 8 clients", Shape { keys: 1, ..plain }),
        ("one key, 32 clients", Shape { keys: 1, ..wide }),
        ("one key, 8 clients, 5 % unknown", Shape { keys: 1, unknown: 5, ..plain }),
    ] {
        for seed in 0..seeds {
            let history = generator::history(&mut Random(seed as u64), shape);
            let begun = on_processor();
            let checked = kv::check(&history);
            let verdict = format!("{:?}", checked.verdict);
            let milliseconds = on_processor() - begun;
            println!("{name:50} {milliseconds:8.1} {verdict:.200} ({})", checked.components);
        }
    }
}
