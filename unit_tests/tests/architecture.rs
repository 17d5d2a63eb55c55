//! The architecture's own rules, held by a machine. Each rule is a function over texts, is applied
//! to the tree, and is shown a bad sample here, so that it has been seen to fail.

use std::fs;
use std::path::{Path, PathBuf};

use unit_tests::architecture::{
    IMPURE, catch_all_arms, failing_handlers, forbidden, forbidden_arrows, lines_with,
    opens_with_its_purpose, takes_over_lints, term_comparisons, test_targets, tokens,
};

/// Lines of a file of the four crates at most.
const LONGEST_SOURCE: usize = 500;
/// Lines of a file of tests at most: rows of cases need no reader who holds all in mind.
const LONGEST_TEST: usize = 700;

const PACKAGES: [&str; 10] = [
    "messages",
    "states",
    "servers",
    "raft",
    "unit_tests",
    "behavioral_tests",
    "behavioral_tests/benches",
    "behavioral_tests/models",
    "behavioral_tests/simulation",
    "behavioral_tests/linearizability",
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("a workspace").to_owned()
}

fn text(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// All Rust files below a folder, with their texts; names relative to the folder.
fn sources(folder: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    collect(&root().join(folder), &mut found);
    let strip = |path: PathBuf| {
        let name = path.strip_prefix(root().join(folder)).expect("below the folder");
        (name.to_str().expect("UTF-8").to_owned(), fs::read_to_string(&path).expect("readable"))
    };
    let mut sources: Vec<(String, String)> = found.into_iter().map(strip).collect();
    sources.sort();
    assert!(!sources.is_empty(), "no Rust in {folder}: the check would see nothing");
    sources
}

fn collect(folder: &Path, found: &mut Vec<PathBuf>) {
    for file in fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
    {
        let path = file.expect("a readable folder").path();
        if path.is_dir() && path.file_name().is_some_and(|name| name != "target") {
            collect(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// No file of the folder, but those exempt, may use these names.
fn assert_without(folder: &str, names: &[&str], exempt: &[&str]) {
    for (name, source) in sources(folder) {
        if !exempt.contains(&name.as_str()) {
            assert_eq!(forbidden(&source, names), [], "{folder}/{name}");
        }
    }
}

#[test]
fn no_crate_names_one_above_it() {
    let crates = ["messages", "states", "servers", "raft"];
    let of_tests = ["simulation", "linearizability", "unit_tests", "behavioral_tests", "models"];
    let ours = [&crates[..], &of_tests].concat();
    for (package, below) in [
        ("messages", &[][..]),
        ("states", &["messages"]),
        ("servers", &["messages", "states"]),
        ("behavioral_tests/simulation", &["messages", "states", "servers"]),
        // Its tests hold what it tells against the golden scripts.
        ("behavioral_tests/models", &["messages", "states", "unit_tests"]),
        // A judge knows nothing of those it judges.
        ("behavioral_tests/linearizability", &[]),
        // The demonstration may offer the simulator, and judges what its clients saw. The tests that
        // start the program are those of behavioral_tests.
        (
            "raft",
            &["messages", "states", "servers", "simulation", "linearizability", "behavioral_tests"],
        ),
    ] {
        let arrows = forbidden_arrows(&text(&format!("{package}/Cargo.toml")), below);
        let upwards: Vec<String> =
            arrows.into_iter().filter(|name| ours.contains(&name.as_str())).collect();
        assert_eq!(upwards, [""; 0], "{package}");
    }
}

/// A new dependency of the two crates at the bottom is a decision, and is made here.
#[test]
fn the_lower_crates_depend_on_little() {
    let below = forbidden_arrows(&text("states/Cargo.toml"), &["messages", "rand"]);
    assert_eq!(below, [""; 0], "states");
    let spelling = ["bytes", "crc32c", "rmp-serde", "serde"];
    assert_eq!(forbidden_arrows(&text("messages/Cargo.toml"), &spelling), [""; 0], "messages");
}

#[test]
fn an_arrow_upwards_is_seen() {
    let manifest = "[dependencies]\nmessages.workspace = true\n[dev-dependencies]\nservers = '1'\n";
    assert_eq!(forbidden_arrows(manifest, &["messages"]), ["servers"]);
}

#[test]
fn states_and_messages_are_pure() {
    assert_without("states/src", &IMPURE, &[]);
    assert_without("messages/src", &IMPURE, &[]);
}

#[test]
fn impurity_is_seen() {
    for (sample, name) in [
        ("async fn on_message() {}", "async"),
        ("use std::{collections::HashMap, fmt};", "HashMap"),
        ("use std::{fs, mem};", "fs"),
        ("let now = std::time::Instant::now();", "Instant"),
        ("let chance: u8 = rand::random();", "rand :: random"),
        ("log::info!(\"elected\");", "log :: info"),
        ("println!(\"elected\");", "println !"),
        ("static mut TERM: u64 = 0;", "static mut"),
        ("let votes = std::sync::Mutex::new(0);", "Mutex"),
    ] {
        let found = forbidden(sample, &IMPURE);
        assert!(found.contains(&(1, name.to_owned())), "{sample}: {found:?}");
    }
    let innocent = "// HashMap, async and Instant::now()\nlet word = \"fs io println!\"; // net";
    assert_eq!(forbidden(innocent, &IMPURE), []);
}

#[test]
fn handlers_cannot_fail() {
    for (name, source) in sources("states/src") {
        assert_eq!(failing_handlers(&source), [], "states/src/{name}");
    }
}

#[test]
fn a_failing_handler_is_seen() {
    let sample = "fn on_vote(\n    self,\n    turn: &mut Turn,\n) -> Result<State, Refusal> {\n}";
    assert_eq!(failing_handlers(sample), [(1, "on_vote".to_owned())]);
    assert_eq!(failing_handlers("fn check() -> Result<(), &str> { }"), [], "no handler");
    assert_eq!(failing_handlers("fn on_vote(x: Result<(), ()>) -> State { }"), []);
}

#[test]
fn every_message_input_and_state_is_met_by_a_decision() {
    for (name, source) in sources("states/src") {
        assert_eq!(catch_all_arms(&source), [0; 0], "states/src/{name}");
    }
}

#[test]
fn a_catch_all_arm_is_seen() {
    assert_eq!(catch_all_arms("match m {\n    A => 1,\n    _ => 2,\n}"), [3]);
    assert_eq!(catch_all_arms("match m { A(_) => 1, B { .. } => 2, _ if x => 3 }"), [1]);
    assert_eq!(catch_all_arms("match m { A(_) => 1, B(_, _) => 2 } // _ => 3"), [0; 0]);
}

#[test]
fn only_its_transport_names_zeromq() {
    assert_without("servers/src", &["zmq"], &["transport/zeromq.rs", "transport/zeromq/link.rs"]);
    assert_eq!(forbidden("use zmq::Context;", &["zmq"]), [(1, "zmq".to_owned())]);
}

const FILES: [&str; 3] = ["fs", "File", "OpenOptions"];

#[test]
fn only_three_files_of_servers_touch_files() {
    assert_without(
        "servers/src",
        &FILES,
        &["storage/disk.rs", "storage/output.rs", "storage/room.rs"],
    );
    assert_eq!(forbidden("std::fs::read(path)", &FILES), [(1, "fs".to_owned())]);
}

const CLOCKS: [&str; 6] =
    ["Instant", "SystemTime", "UNIX_EPOCH", "clock_gettime", "ClockId", "elapsed"];

/// The driver reads the clock; the simulator is the other driver, and has none.
#[test]
fn only_the_driver_reads_a_clock() {
    assert_without("servers/src", &CLOCKS, &["run.rs"]);
    assert_without("behavioral_tests/simulation/src", &CLOCKS, &[]);
    let sample = "let begun = std::time::Instant::now();";
    assert_eq!(forbidden(sample, &CLOCKS), [(1, "Instant".to_owned())]);
}

/// Which of two terms is later is a question of the protocol. Storage is exempt: that the term
/// never falls along a file shows whether the file is damaged.
#[test]
fn servers_never_ask_which_term_is_later() {
    for (name, source) in sources("servers/src") {
        if !name.starts_with("storage/") {
            assert_eq!(term_comparisons(&source), [0; 0], "servers/src/{name}");
        }
    }
}

#[test]
fn a_comparison_of_terms_is_seen() {
    for sample in [
        "if term > self.term {",
        "if envelope.term < replica.term() {",
        "while 3 <= self.hard_state.term {",
        "let is_newer = new_term >= old;",
    ] {
        assert_eq!(term_comparisons(sample), [1], "{sample}");
    }
    for innocent in ["if at.term == position.term {", "let terms: Vec<Term> = vec![];", "a < b"] {
        assert_eq!(term_comparisons(innocent), [0; 0], "{innocent}");
    }
}

#[test]
fn every_module_opens_with_its_purpose() {
    for package in PACKAGES {
        for (name, source) in sources(package) {
            assert!(
                opens_with_its_purpose(&source),
                "{package}/{name} does not say what it is for"
            );
        }
    }
    assert!(!opens_with_its_purpose("use std::fmt;\n//! too late"));
    assert!(!opens_with_its_purpose("// A mere comment."));
}

#[test]
fn no_file_is_too_long_to_read() {
    for package in PACKAGES {
        for (name, source) in sources(package) {
            let is_crate = !package.contains("tests") && name.starts_with("src/");
            let longest = if is_crate { LONGEST_SOURCE } else { LONGEST_TEST };
            let lines = source.lines().count();
            assert!(lines <= longest, "{package}/{name}: {lines} lines, {longest} at most");
        }
    }
}

#[test]
fn unsafe_is_forbidden_everywhere() {
    let workspace = text("Cargo.toml");
    assert!(workspace.contains("[workspace.lints.rust]\nunsafe_code = \"forbid\""));
    for package in PACKAGES {
        let manifest = text(&format!("{package}/Cargo.toml"));
        assert!(takes_over_lints(&manifest), "{package} does not take over the lints");
        for (name, source) in sources(package) {
            assert_eq!(forbidden(&source, &["unsafe"]), [], "{package}/{name}");
        }
    }
    assert!(!takes_over_lints("[package]\nname = 'x'\n"));
    assert_eq!(forbidden("let x = unsafe { *p };", &["unsafe"]), [(1, "unsafe".to_owned())]);
}

/// The packages of tests find no targets by themselves: a file that nobody lists never runs.
#[test]
fn every_file_of_tests_is_listed() {
    let listed = test_targets(&text("unit_tests/Cargo.toml"));
    for file in fs::read_dir(root().join("unit_tests/tests")).expect("a folder of tests") {
        let path = file.expect("a readable folder").path();
        let is_target = path.is_file() || path.join("main.rs").exists();
        let name = path.file_stem().and_then(|name| name.to_str()).expect("a name");
        assert!(!is_target || listed.contains(name), "unit_tests/tests/{name} never runs");
    }
    let sample = "[[test]]\nname = \"one\"\n[[test]]\nname = \"two\"\npath = \"x.rs\"\n";
    assert_eq!(test_targets(sample).into_iter().collect::<Vec<_>>(), ["one", "two"]);
}

/// The reader of tokens itself: what it must not take for code, and what it must not swallow.
#[test]
fn tokens_are_code_and_nothing_else() {
    let words = |source: &str| -> Vec<String> {
        tokens(source).into_iter().map(|token| token.text).collect()
    };
    assert_eq!(words("a /* b */ c // d"), ["a", "c"]);
    assert_eq!(words(r#"x = "quote \" fs" + y"#), ["x", "=", "+", "y"]);
    assert_eq!(words("x = r#\"raw \" fs\"# + y"), ["x", "=", "+", "y"]);
    assert_eq!(words(r"x = '\'' + '\\' + 'a' + y"), ["x", "=", "+", "+", "+", "y"]);
    assert_eq!(words("fn f<'a>(x: &'a str)")[..4], ["fn", "f", "<", "a"]);
    assert_eq!(words("b\"fs\" b'x' br\"io\" end"), ["end"]);
    let lines = lines_with(&tokens("a\n\"b\nc\"\nd::e"), &["d", "::", "e"]);
    assert_eq!(lines, [4], "lines within strings count");
}
