//! Log lines on stderr: one line an event, UTC with milliseconds, and on each the node, its term and
//! its role. Bytes from outside arrive escaped. Nothing may be logged per request at `info`.

use std::io::{self, Write};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};

use env_logger::fmt::Formatter;
use env_logger::{Builder, Target};
use log::{Level, LevelFilter, Record};
use messages::Term;
use states::Role;

use crate::config::LogFormat;
use crate::render;

/// One process runs one node, and one logger with it.
static NODE: OnceLock<String> = OnceLock::new();
static TERM: AtomicU64 = AtomicU64::new(0);
static ROLE: AtomicU8 = AtomicU8::new(0);

const ROLES: [Role; 4] = [Role::Follower, Role::PreCandidate, Role::Candidate, Role::Leader];

/// Begins to log for the node of this name. Once a process; later calls change nothing.
pub fn start(node: &str, level: LevelFilter, format: LogFormat) {
    if NODE.set(node.to_owned()).is_err() {
        return;
    }
    let line = match format {
        LogFormat::Text => text_line,
        LogFormat::Json => json_line,
    };
    let mut builder = Builder::new();
    builder.filter_level(level).target(Target::Stderr).format(line);
    // Only a second logger in the process could be refused, and there is none.
    let _ = builder.try_init();
}

/// From now on lines carry this term and role.
pub fn stands(term: Term, role: Role) {
    let number = ROLES.iter().position(|known| *known == role).unwrap_or(0);
    TERM.store(term.0, Ordering::Relaxed);
    ROLE.store(number as u8, Ordering::Relaxed);
}

fn text_line(out: &mut Formatter, record: &Record<'_>) -> io::Result<()> {
    let line = Line::of(record);
    let time = out.timestamp_millis();
    writeln!(
        out,
        "{time} {:<5} node={} term={} role={} {}",
        line.level,
        line.node,
        line.term,
        line.role,
        render::plain(&line.message)
    )
}

fn json_line(out: &mut Formatter, record: &Record<'_>) -> io::Result<()> {
    let line = Line::of(record);
    let time = out.timestamp_millis().to_string();
    let object = serde_json::json!({
        "time": time,
        "level": line.level.to_string().to_lowercase(),
        "node": line.node,
        "term": line.term,
        "role": line.role,
        "message": line.message,
    });
    writeln!(out, "{object}")
}

/// What a line says.
struct Line {
    level: Level,
    node: &'static str,
    term: u64,
    role: &'static str,
    message: String,
}

impl Line {
    fn of(record: &Record<'_>) -> Line {
        let role = ROLES[usize::from(ROLE.load(Ordering::Relaxed)) % ROLES.len()];
        Line {
            level: record.level(),
            node: NODE.get().map_or("-", String::as_str),
            term: TERM.load(Ordering::Relaxed),
            role: role.name(),
            message: record.args().to_string(),
        }
    }
}
