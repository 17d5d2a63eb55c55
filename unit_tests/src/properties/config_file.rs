//! Configuration files: any text is read or refused with its place; what is in force, written down,
//! is read as the same; and no key that is unknown passes.

use std::path::Path;

use raft::config::{self, Config, ConfigError, KEYS, Loaded};

use super::{Choices, Marks, Target, within};

/// The property of configuration files.
pub const TARGET: Target = Target {
    name: "config_file",
    check,
    marks: &[
        "a file in force",
        "not TOML",
        "a bad value",
        "an unknown key",
        "a member is wrong",
        "a missing key",
        "an odd value in force",
    ],
    longest: 400,
};

/// Without a folder: then what is written names the same data folder as what was read.
const FILE: &str = "n1.toml";

const BASE: &str = r#"[node]
name = "1"
data = "n1"
[cluster]
id = "00000000000000c1"
[[cluster.members]]
name = "1"
client = "127.0.0.1:7001"
peer = "127.0.0.1:17001"
[[cluster.members]]
name = "2"
client = "127.0.0.1:7002"
peer = "127.0.0.1:17002"
"#;

/// Values of all types; each fits somewhere and is wrong elsewhere.
const VALUES: [&str; 27] = [
    "\"50ms\"",
    "\"2.5s\"",
    "\"300ms\"",
    "\"50.0005ms\"",
    "\"1m\"",
    "\"1.0000001s\"",
    "\"64MiB\"",
    "\"1.5KiB\"",
    "\"1024B\"",
    "\"0.3GiB\"",
    "100",
    "0x10",
    "-1",
    "99999999999999999999",
    "1.5",
    "nan",
    "true",
    "[1, 2]",
    "{ a = 1 }",
    "\"debug\"",
    "\"json\"",
    "\"zeromq\"",
    "\"tcp\"",
    "\"[::1]:7005\"",
    "\"host:70000\"",
    "'''\na\n\"b\" \\'''",
    "1979-05-27T07:32:00Z",
];

fn check(bytes: &[u8]) -> Marks {
    let mut choices = Choices::new(bytes);
    let text = match choices.below(4) {
        0 => String::from_utf8_lossy(choices.rest()).into_owned(),
        1 => return an_unknown_key(&mut choices),
        _ => changed(&mut choices),
    };
    let mut marks = Marks::new();
    match read(&text) {
        Ok(loaded) => {
            survives(&loaded);
            let names_only = text == BASE;
            marks.insert(if names_only { "a file in force" } else { "an odd value in force" });
            if !has_only_known_keys(&text) {
                panic!("an unknown key passes:\n{text}");
            }
        }
        Err(error) => {
            marks.insert(kind(&error, &text));
        }
    }
    marks
}

/// Reads a text. What that may take: a tree of its parts, and some words.
fn read(text: &str) -> Result<Loaded, ConfigError> {
    let most = (1 << 19) + 512 * text.len();
    within(most, || config::read(Path::new(FILE), text, |_| None, &[]))
}

/// A base with lines put in, taken out or changed.
fn changed(choices: &mut Choices) -> String {
    let mut lines: Vec<String> = BASE.lines().map(str::to_owned).collect();
    for _ in 0..choices.below(6) {
        let at = choices.below(lines.len());
        match choices.below(6) {
            0 | 1 => {
                let key = &KEYS[choices.below(KEYS.len())];
                let line = format!("{} = {}", key.name, choices.one_of(&VALUES));
                lines.insert(0, line); // before any section
            }
            2 => {
                let value = choices.one_of(&VALUES);
                if let Some((key, _)) = lines[at].clone().split_once('=') {
                    lines[at] = format!("{key}= {value}");
                }
            }
            3 => drop(lines.remove(at)),
            4 => {
                let again = lines[choices.below(lines.len())].clone();
                lines.insert(at, again);
            }
            _ => {
                let mut bytes = lines[at].clone().into_bytes();
                let place = choices.below(bytes.len() + 1);
                bytes.splice(place..place, choices.bytes(6).iter().copied());
                lines[at] = String::from_utf8_lossy(&bytes).into_owned();
            }
        }
        if lines.is_empty() {
            break;
        }
    }
    lines.iter().map(|line| format!("{line}\n")).collect()
}

/// A key that nobody knows, in a file that is otherwise right.
fn an_unknown_key(choices: &mut Choices) -> Marks {
    let letters: Vec<char> = ('a'..='z').chain(['_']).collect();
    let mut word = |most: usize| -> String {
        (0..=choices.below(most)).map(|_| choices.one_of(&letters)).collect()
    };
    let key = match word(3).len() {
        1 => word(8),
        2 => format!("client.{}", word(8)),
        _ => format!("{}.{}", word(6), word(6)),
    };
    let is_section = KEYS.iter().any(|known| known.section() == key);
    if is_section || key == "cluster.members" || KEYS.iter().any(|known| known.name == key) {
        return Marks::new();
    }
    let error = read(&format!("{key} = \"1\"\n{BASE}")).expect_err("an unknown key");
    let shown = error.to_string();
    // A section of the same name may come again below, as a table.
    assert!(shown.starts_with(&format!("{FILE}:1: ")) && shown.contains("unknown"), "{shown}");
    Marks::from(["an unknown key"])
}

/// What is in force, written by `raft init`'s template or as `raft check-config` shows it, is read
/// as the same.
fn survives(loaded: &Loaded) {
    let config = &loaded.config;
    let template = config::template(config);
    assert_eq!(&in_force(&template), config, "as a file:\n{template}");
    let settings = loaded.settings.iter().map(|each| format!("{} = {}\n", each.key, each.value));
    let members = config.members.iter().map(|member| {
        let [name, client, peer] =
            [&member.name, &member.client, &member.peer].map(|text| format!("{text:?}"));
        format!("[[cluster.members]]\nname = {name}\nclient = {client}\npeer = {peer}\n")
    });
    let shown: String = settings.chain(members).collect();
    assert_eq!(&in_force(&shown), config, "as it is shown:\n{shown}");
}

fn in_force(text: &str) -> Config {
    read(text).unwrap_or_else(|error| panic!("{error}\n{text}")).config
}

/// Judged by another reader of TOML than the one that keeps places.
fn has_only_known_keys(text: &str) -> bool {
    let table: toml::Table = text.parse().expect("it was read");
    table.iter().all(|(section, value)| {
        let fields = value.as_table().into_iter().flatten();
        fields
            .map(|(field, _)| format!("{section}.{field}"))
            .all(|name| name == "cluster.members" || KEYS.iter().any(|key| key.name == name))
    })
}

/// An error names the file, and a line of it wherever there is one.
fn kind(error: &ConfigError, text: &str) -> &'static str {
    let shown = error.to_string();
    let place = shown.strip_prefix(FILE).unwrap_or_else(|| panic!("without the file: {shown}"));
    let (line, what) = match place.strip_prefix(": ") {
        Some(what) => (None, what),
        None => {
            let (line, what) = place[1..].split_once(": ").expect("a place and words");
            (Some(line), what)
        }
    };
    match line {
        None => assert!(
            what.contains("is missing") || what.starts_with("this node's member"),
            "without a line: {shown}"
        ),
        Some(line) => {
            let line: usize = line.parse().unwrap_or_else(|_| panic!("no line: {shown}"));
            assert!((1..=text.lines().count() + 1).contains(&line), "no such line: {shown}");
        }
    }
    if what.starts_with("not TOML") {
        "not TOML"
    } else if what.starts_with("unknown") {
        "an unknown key"
    } else if line.is_none() {
        "a missing key"
    } else if what.starts_with("cluster.members") {
        "a member is wrong"
    } else {
        "a bad value"
    }
}
