//! How long the check of large histories takes: `cargo run --release -p linearizability --example
//! measure [OPERATIONS [SEEDS]]`.

use std::time::Instant;

use generator::{Random, Shape};
use linearizability::kv;

#[path = "../tests/generator/mod.rs"]
mod generator;

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
    println!("{operations} operations over 100 keys; milliseconds, verdict");
    for (name, shape) in [
        ("8 clients", plain),
        ("32 clients", Shape { processes: 32, ..plain }),
        ("32 clients, pipelines of 16", Shape { processes: 32, pipeline: 16, ..plain }),
        ("8, 5 % unknown", Shape { unknown: 5, ..plain }),
        ("32, 16, 5 % unknown", Shape { processes: 32, pipeline: 16, unknown: 5, ..plain }),
        ("8, 10 % several keys", Shape { several: 10, ..plain }),
        ("32, 10 % several keys", Shape { processes: 32, several: 10, ..plain }),
        ("8, 16, 10 % several", Shape { pipeline: 16, several: 10, ..plain }),
        ("32, 16, 10 % several", Shape { processes: 32, pipeline: 16, several: 10, ..plain }),
        ("8, 10 % several, 5 % unknown", Shape { several: 10, unknown: 5, ..plain }),
        (
            "32, 16, 10 % several, 5 % unknown",
            Shape { processes: 32, pipeline: 16, several: 10, unknown: 5, ..plain },
        ),
        (
            "the same, few values",
            Shape { processes: 32, pipeline: 16, several: 10, unknown: 5, unique: false, ..plain },
        ),
        ("one key, 8", Shape { keys: 1, ..plain }),
        ("one key, 8, 5 % unknown", Shape { keys: 1, unknown: 5, ..plain }),
    ] {
        for seed in 0..seeds {
            let history = generator::history(&mut Random(seed as u64), shape);
            let begun = Instant::now();
            let checked = kv::check(&history);
            let verdict = format!("{:?}", checked.verdict);
            let milliseconds = begun.elapsed().as_secs_f64() * 1e3;
            println!("{name:40} {milliseconds:8.1} {verdict:.200} ({})", checked.components);
        }
    }
}
