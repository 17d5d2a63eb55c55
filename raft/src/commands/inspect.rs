//! `raft inspect`: a stopped node's votes and its log, entry by entry, or what is damaged and where.
//! Must never change the folder.

use messages::{Entry, Item, Payload, Term};
use raft::exit::{self, Failure};
use raft::store::arguments::Arguments;
use raft::store::transactions::Transaction;
use raft::{print, render};
use servers::storage::{self, FolderDisk, Inspection, OpenError, Verdict};

use crate::options;

/// Lines printed at once: an old log has millions.
const LINES: usize = 1_000;

/// Bytes of an argument that are shown.
const SHOWN: usize = 64;

/// Runs the subcommand.
pub fn inspect(options: options::Inspect) -> anyhow::Result<()> {
    let disk = FolderDisk::open_read_only(&options.folder)?;
    let inspection = storage::inspect(&disk)?;
    if let Err(error @ OpenError::Empty { .. }) = &inspection.superblock
        && inspection.segments.is_empty()
    {
        return Err(error.clone().into());
    }
    print::text(heading(&inspection))?;
    let mut term = Term(0);
    for entries in inspection.entries.chunks(LINES) {
        let lines: String = entries.iter().map(|entry| line(entry, &mut term) + "\n").collect();
        print::text(lines)?;
    }
    for segment in &inspection.segments {
        let (file, used, length) = (&segment.file, segment.used, segment.length);
        print::line(format_args!("file {file}: {used} of {length} bytes used"))?;
    }
    conclude(inspection)
}

fn heading(inspection: &Inspection) -> String {
    let mut text = String::new();
    if let Ok(superblock) = &inspection.superblock {
        let runs = superblock.boot.0 >> 32;
        text.push_str(&format!("{}, started {runs} times\n", superblock.identity));
    }
    let name = |id| {
        let superblock = inspection.superblock.as_ref().ok();
        superblock.and_then(|superblock| superblock.identity.members.get(&id)).cloned()
    };
    let state = &inspection.hard_state;
    let vote = match state.voted_for {
        Some(id) => format!("voted for {}", name(id).unwrap_or_else(|| id.to_string())),
        None => "voted for nobody".into(),
    };
    text.push_str(&format!("term {}, {vote}\n", state.term));
    let entries = &inspection.entries;
    match (entries.first(), entries.last()) {
        (Some(first), Some(last)) => {
            let (first, last) = (first.position, last.position);
            text.push_str(&format!("{} entries, {first} to {last}\n", entries.len()));
        }
        _ => text.push_str("no entries\n"),
    }
    text
}

/// `5@3  SET a 1`: index 5 of term 3. `term` is that of the line before.
fn line(entry: &Entry, term: &mut Term) -> String {
    let begins = std::mem::replace(term, entry.position.term) != entry.position.term;
    let what = match &entry.payload {
        Payload::Blank if begins => "(start of the term)".into(),
        Payload::Blank => "(the time)".into(),
        Payload::Command(items) => items.iter().map(command).collect::<Vec<_>>().join(" · "),
    };
    format!("{}  {what}", entry.position)
}

fn command(item: &Item) -> String {
    match item {
        Item::Plain(bytes) => plain(bytes),
        Item::Session { session, number, command } => {
            format!("RAFT.DO {session} {number} {}", request(command))
        }
        Item::OpenSession => "RAFT.SESSION OPEN".into(),
        Item::Outcome { session, number } => format!("RAFT.OUTCOME {session} {number}"),
        Item::CloseSession(session) => format!("RAFT.SESSION CLOSE {session}"),
    }
}

fn plain(bytes: &[u8]) -> String {
    match Transaction::decode(bytes) {
        Some(transaction) => {
            let watched: Vec<_> = transaction.watched().map(argument).collect();
            let watching = if watched.is_empty() { "" } else { " watching " };
            let commands = transaction.commands().map(request).collect::<Vec<_>>().join("; ");
            format!("exec{watching}{} ({commands})", watched.join(" "))
        }
        None => request(bytes),
    }
}

fn request(bytes: &[u8]) -> String {
    match Arguments::decode(bytes) {
        Some(arguments) => arguments.map(argument).collect::<Vec<_>>().join(" "),
        None => format!("({} bytes that are no command of the store)", bytes.len()),
    }
}

/// An argument as one would type it.
fn argument(bytes: &[u8]) -> String {
    let (shown, rest) = bytes.split_at(bytes.len().min(SHOWN));
    let simple = |byte: &u8| byte.is_ascii_graphic() && !b"\"'\\".contains(byte);
    let mut text = match std::str::from_utf8(shown) {
        Ok(word) if !word.is_empty() && shown.iter().all(simple) => word.to_owned(),
        _ => render::quoted(shown),
    };
    if !rest.is_empty() {
        text.push_str(&format!("... ({} bytes)", bytes.len()));
    }
    text
}

fn conclude(inspection: Inspection) -> anyhow::Result<()> {
    match inspection.verdict {
        Verdict::Whole => print::line("whole: nothing is damaged")?,
        Verdict::Cut(cut) => print::line(format_args!(
            "whole up to {} at byte {}; {} bytes after it were promised to nobody, and the next start \
             cuts them off",
            cut.file, cut.offset, cut.bytes
        ))?,
        Verdict::Damaged(damage) => return Err(Failure::new(exit::DATA, damage.to_string()).into()),
    }
    inspection.superblock.map(|_| ()).map_err(anyhow::Error::from)
}
