//! The architecture's own rules as functions over the texts of files, so that each can be shown a bad
//! sample. Must never read a file: whoever calls decides which texts a rule is for.
//!
//! Rust is read as a row of tokens, without comments and without what stands in quotes. That is
//! enough to find a name or a few symbols in a row; it is no parser.

use std::collections::BTreeSet;

/// A word or symbol of a source file, and the line it stands in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    /// The word, or the symbol.
    pub text: String,
    /// Counted from one.
    pub line: usize,
}

/// Symbols of two characters that must not be read as two.
const PAIRS: [&str; 12] = ["::", "=>", "->", "<=", ">=", "==", "!=", "&&", "||", "..", "<<", ">>"];

/// The code of a file, without comments and literals' contents.
pub fn tokens(source: &str) -> Vec<Token> {
    let mut found = Vec::new();
    let (mut rest, mut line) = (source, 1);
    while let Some(first) = rest.chars().next() {
        let is_word = |c: char| c.is_alphanumeric() || c == '_';
        let length = if let Some(length) = comment(rest).or_else(|| literal(rest)) {
            length
        } else if is_word(first) {
            rest.find(|c| !is_word(c)).unwrap_or(rest.len())
        } else {
            PAIRS.iter().find(|pair| rest.starts_with(**pair)).map_or(first.len_utf8(), |_| 2)
        };
        let (text, after) = rest.split_at(length);
        if comment(rest).or_else(|| literal(rest)).is_none() && !first.is_whitespace() {
            found.push(Token { text: text.to_owned(), line });
        }
        line += text.matches('\n').count();
        rest = after;
    }
    found
}

/// The length of the comment that begins here.
fn comment(rest: &str) -> Option<usize> {
    if rest.starts_with("//") {
        return Some(rest.find('\n').unwrap_or(rest.len()));
    }
    if rest.starts_with("/*") {
        return Some(rest.find("*/").map_or(rest.len(), |end| end + 2));
    }
    None
}

/// The length of the string, character or lifetime that begins here.
fn literal(rest: &str) -> Option<usize> {
    let raw = rest.strip_prefix("br").or_else(|| rest.strip_prefix('r'));
    if let Some(quoted) = raw.map(|quoted| quoted.trim_start_matches('#'))
        && quoted.starts_with('"')
    {
        let opening = rest.len() - quoted.len();
        let hashes = rest[..opening].matches('#').count();
        let closing = format!("\"{}", "#".repeat(hashes));
        let end = quoted[1..].find(&closing).map_or(rest.len(), |at| opening + 1 + at);
        return Some((end + closing.len()).min(rest.len()));
    }
    let quoted = rest.strip_prefix('b').unwrap_or(rest);
    let prefix = rest.len() - quoted.len();
    let quote = quoted.chars().next().filter(|quote| ['"', '\''].contains(quote))?;
    let mut characters = quoted.char_indices().skip(1);
    while let Some((at, character)) = characters.next() {
        match character {
            '\\' => drop(characters.next()),
            closing if closing == quote => return Some(prefix + at + 1),
            // A lifetime: no closing quote after one character.
            _ if quote == '\'' && at > 1 && !quoted[1..].starts_with('\\') => {
                return Some(prefix + 1);
            }
            _ => {}
        }
    }
    Some(rest.len())
}

/// Where these words or symbols stand in a row.
pub fn lines_with(tokens: &[Token], row: &[&str]) -> Vec<usize> {
    let stands =
        |window: &&[Token]| window.iter().zip(row).all(|(token, text)| token.text == *text);
    tokens.windows(row.len()).filter(stands).map(|window| window[0].line).collect()
}

/// Every use of a forbidden name: `(line, name)`. A name may be several words, as in `log :: info`.
pub fn forbidden(source: &str, names: &[&str]) -> Vec<(usize, String)> {
    let tokens = tokens(source);
    let mut found = Vec::new();
    for name in names {
        let row: Vec<&str> = name.split(' ').collect();
        found.extend(lines_with(&tokens, &row).into_iter().map(|line| (line, (*name).to_owned())));
    }
    found
}

/// What neither the rules nor the messages may name: asynchrony, input and output, clocks, global
/// chance, order by hash, logging, state shared behind the back. (An `Arc` of what never changes is none.)
pub const IMPURE: [&str; 44] = [
    "async",
    "await",
    "tokio",
    "fs",
    "io",
    "net",
    "thread",
    "process",
    "env",
    "Mutex",
    "RwLock",
    "atomic",
    "mpsc",
    "File",
    "TcpStream",
    "UdpSocket",
    "Instant",
    "SystemTime",
    "clock_gettime",
    "chrono",
    "rustix",
    "thread_rng",
    "ThreadRng",
    "OsRng",
    "SysRng",
    "rand :: rng",
    "rand :: random",
    "HashMap",
    "HashSet",
    "RandomState",
    "log :: trace",
    "log :: debug",
    "log :: info",
    "log :: warn",
    "log :: error",
    "println !",
    "eprintln !",
    "dbg !",
    "tracing",
    "Mutex",
    "RwLock",
    "RefCell",
    "static mut",
    "thread_local",
];

/// Functions that take an input and give back a `Result`: `(line, name)`. Handlers cannot fail.
pub fn failing_handlers(source: &str) -> Vec<(usize, String)> {
    let tokens = tokens(source);
    let mut found = Vec::new();
    for (at, pair) in tokens.windows(2).enumerate() {
        let name = &pair[1].text;
        let handles = name.starts_with("on_") || ["step", "finish", "new"].contains(&name.as_str());
        if pair[0].text != "fn" || !handles {
            continue;
        }
        let signature = tokens[at..].iter().take_while(|token| !["{", ";"].contains(&&*token.text));
        let result = signature.skip_while(|token| token.text != "->").find(|t| t.text == "Result");
        found.extend(result.map(|_| (pair[1].line, name.clone())));
    }
    found
}

/// Lines with a catch-all arm: a new message, input or state must be met by a decision.
pub fn catch_all_arms(source: &str) -> Vec<usize> {
    let tokens = tokens(source);
    [lines_with(&tokens, &["_", "=>"]), lines_with(&tokens, &["_", "if"])].concat()
}

/// Lines that ask which of two terms is later. Whether two are the *same* names an entry or a copy;
/// which is later is for the rules to say.
pub fn term_comparisons(source: &str) -> Vec<usize> {
    let tokens = tokens(source);
    let is_term = |text: &str| text == "term" || text.ends_with("_term");
    let mut found = Vec::new();
    for (at, token) in tokens.iter().enumerate() {
        if !["<", ">", "<=", ">="].contains(&token.text.as_str()) {
            continue;
        }
        let left = tokens[..at].iter().rev().find(|token| !["(", ")"].contains(&&*token.text));
        let right = tokens[at + 1..].iter().take_while(|token| {
            token.text.chars().all(|c| c.is_alphanumeric() || c == '_')
                || [".", "::", "(", ")", "*", "&"].contains(&token.text.as_str())
        });
        let mut sides = left.into_iter().chain(right.filter(|token| token.text != "self"));
        if sides.any(|side| is_term(&side.text)) {
            found.push(token.line);
        }
    }
    found
}

/// Whether the module says first what it is for. An empty one has nothing to say.
pub fn opens_with_its_purpose(source: &str) -> bool {
    source.trim().is_empty() || source.starts_with("//! ")
}

/// The crates that a manifest names as dependencies, also for tests and builds.
///
/// # Panics
///
/// If the text is no TOML.
pub fn dependencies(manifest: &str) -> BTreeSet<String> {
    let manifest: toml::Table = manifest.parse().expect("a manifest in TOML");
    ["dependencies", "dev-dependencies", "build-dependencies"]
        .into_iter()
        .filter_map(|section| manifest.get(section)?.as_table())
        .flat_map(|table| table.keys().cloned())
        .collect()
}

/// Dependencies that are not among the allowed ones.
pub fn forbidden_arrows(manifest: &str, allowed: &[&str]) -> Vec<String> {
    dependencies(manifest).into_iter().filter(|name| !allowed.contains(&name.as_str())).collect()
}

/// Whether the manifest takes over the workspace's lints, of which one forbids `unsafe`.
pub fn takes_over_lints(manifest: &str) -> bool {
    let manifest: toml::Table = manifest.parse().expect("a manifest in TOML");
    let inherits = manifest.get("lints").and_then(|lints| lints.get("workspace"));
    inherits.and_then(toml::Value::as_bool) == Some(true)
}

/// The test targets that a manifest lists: a package with `autotests = false` runs no other.
pub fn test_targets(manifest: &str) -> BTreeSet<String> {
    let manifest: toml::Table = manifest.parse().expect("a manifest in TOML");
    let targets = manifest.get("test").and_then(toml::Value::as_array);
    let name = |target: &toml::Value| target.get("name")?.as_str().map(str::to_owned);
    targets.into_iter().flatten().filter_map(name).collect()
}
