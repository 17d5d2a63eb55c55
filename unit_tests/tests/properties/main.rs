//! The properties of `unit_tests::properties`, for every file of the corpus and for random inputs.
//!
//! `cargo test` always tries the same inputs. With `PROPTEST_CASES=N` in the environment there are
//! N a property, other ones each time (`PROPTEST_RNG_SEED` repeats a run). An input that fails is
//! made as small as can be and written to `target/properties/`; it belongs into
//! `unit_tests/corpus/TARGET/` once the fault is mended.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;
use proptest::test_runner::{Config, RngSeed, TestError, TestRunner};
use unit_tests::properties::{self, Marks, Target};

/// Files of one target's corpus at most, and bytes of each.
const MOST_FILES: usize = 200;
const LONGEST_FILE: u64 = 4096;

fn folder(target: &Target) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target.name)
}

/// The corpus of a target, by file name.
fn corpus(target: &Target) -> Vec<(String, Vec<u8>)> {
    let folder = folder(target);
    let files = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{folder:?}: {error}"));
    let mut corpus: Vec<(String, Vec<u8>)> = files
        .map(|file| {
            let path = file.expect("a readable folder").path();
            let name = path.file_name().expect("a name").to_string_lossy().into_owned();
            (name, fs::read(&path).expect("a readable file"))
        })
        .collect();
    corpus.sort();
    corpus
}

/// An edit of an input.
#[derive(Clone, Debug)]
enum Edit {
    Set(Index, u8),
    Flip(Index, u8),
    Insert(Index, Vec<u8>),
    Remove(Index, u8),
    Double(Index, u8),
    Cut(Index),
}

fn edit() -> impl Strategy<Value = Edit> {
    let at = any::<Index>;
    prop_oneof![
        4 => (at(), any::<u8>()).prop_map(|(at, byte)| Edit::Set(at, byte)),
        2 => (at(), 0..8_u8).prop_map(|(at, bit)| Edit::Flip(at, bit)),
        2 => (at(), vec(any::<u8>(), 1..12)).prop_map(|(at, bytes)| Edit::Insert(at, bytes)),
        2 => (at(), 1..40_u8).prop_map(|(at, bytes)| Edit::Remove(at, bytes)),
        1 => (at(), 1..40_u8).prop_map(|(at, bytes)| Edit::Double(at, bytes)),
        1 => at().prop_map(Edit::Cut),
    ]
}

fn apply(edit: &Edit, input: &mut Vec<u8>) {
    let place = |at: &Index| at.index(input.len() + 1);
    match edit {
        Edit::Insert(at, bytes) => {
            let at = place(at);
            input.splice(at..at, bytes.iter().copied());
        }
        Edit::Cut(at) => {
            let at = place(at);
            input.truncate(at);
        }
        Edit::Set(..) | Edit::Flip(..) | Edit::Remove(..) | Edit::Double(..)
            if input.is_empty() => {}
        Edit::Set(at, byte) => *at.get_mut(input) = *byte,
        Edit::Flip(at, bit) => *at.get_mut(input) ^= 1 << bit,
        Edit::Remove(at, bytes) => {
            let at = at.index(input.len());
            let end = (at + usize::from(*bytes)).min(input.len());
            input.drain(at..end);
        }
        Edit::Double(at, bytes) => {
            let at = at.index(input.len());
            let end = (at + usize::from(*bytes)).min(input.len());
            let again = input[at..end].to_vec();
            input.splice(at..at, again);
        }
    }
}

/// Random bytes, or a file of the corpus with some edits.
fn inputs(corpus: Vec<Vec<u8>>, longest: usize) -> impl Strategy<Value = Vec<u8>> {
    let edited =
        (proptest::sample::select(corpus), vec(edit(), 1..6)).prop_map(|(mut input, edits)| {
            edits.iter().for_each(|edit| apply(edit, &mut input));
            input
        });
    prop_oneof![vec(any::<u8>(), 0..longest), edited]
}

fn config(cases: u32) -> Config {
    let config =
        Config { failure_persistence: None, max_shrink_iters: 20_000, ..Config::default() };
    if std::env::var_os("PROPTEST_CASES").is_some() {
        return config; // which has read it
    }
    Config { cases, rng_seed: RngSeed::Fixed(4), ..config }
}

/// Where a failing input is kept: out of the sources, as it may be many.
fn keep(target: &Target, input: &[u8]) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("../properties");
    let hash = input.iter().fold(0_u64, |hash, byte| hash.wrapping_mul(31) + u64::from(*byte));
    let file = folder.join(format!("{}-{hash:016x}", target.name));
    fs::create_dir_all(&folder).and_then(|()| fs::write(&file, input)).expect("a file to write");
    file
}

/// Every file of the corpus, then so many random inputs.
fn holds(target: &Target, cases: u32) {
    let corpus = corpus(target);
    let mut marks = Marks::new();
    for (name, input) in &corpus {
        let met = std::panic::catch_unwind(|| (target.check)(input));
        marks.extend(met.unwrap_or_else(|_| panic!("unit_tests/corpus/{}/{name}", target.name)));
    }
    let all: BTreeSet<&str> = target.marks.iter().copied().collect();
    assert_eq!(marks, all, "the cases that the corpus of {} meets", target.name);
    let inputs = inputs(corpus.into_iter().map(|(_, input)| input).collect(), target.longest);
    let outcome = TestRunner::new(config(cases)).run(&inputs, |input| {
        (target.check)(&input);
        Ok(())
    });
    match outcome {
        Ok(()) => {}
        Err(TestError::Fail(why, input)) => {
            let file = keep(target, &input);
            panic!("{}: {why}\nthe input is in {}", target.name, file.display());
        }
        Err(TestError::Abort(why)) => panic!("{}: {why}", target.name),
    }
}

#[test]
fn corpora_are_small_and_belong_to_a_target() {
    for target in &properties::TARGETS {
        let files = corpus(target).len();
        assert!((1..=MOST_FILES).contains(&files), "{}: {files} files", target.name);
        for (name, input) in corpus(target) {
            assert!(input.len() as u64 <= LONGEST_FILE, "{}/{name} is too long", target.name);
        }
    }
    let folders = fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus"));
    for folder in folders.expect("a folder of corpora") {
        let name = folder.expect("a readable folder").file_name();
        let known = properties::TARGETS.iter().any(|target| name.to_str() == Some(target.name));
        assert!(known, "{name:?} is no target's corpus");
    }
}

#[test]
fn peer_frame() {
    holds(&properties::peer_frame::TARGET, 4000);
}

#[test]
fn peer_sequence() {
    holds(&properties::peer_sequence::TARGET, 600);
}

#[test]
fn resp_parser() {
    holds(&properties::resp_parser::TARGET, 1500);
}

#[test]
fn wal_open() {
    holds(&properties::wal_open::TARGET, 1500);
}

#[test]
fn superblock() {
    holds(&properties::superblock::TARGET, 1000);
}

#[test]
fn config_file() {
    holds(&properties::config_file::TARGET, 2000);
}
