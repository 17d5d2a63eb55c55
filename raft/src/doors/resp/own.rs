//! What a node says of itself in words that Redis has not: `RAFT.STATUS`, `RAFT.POSITION`, `RAFT.LOG`,
//! and what it does by itself, `RAFT.SNAPSHOT`. Must never touch the store, nor enter the log.

use messages::LogPosition;
use servers::host::{NoSnapshot, Snapshot};

use super::Backend;
use super::session::{Call, Session};
use crate::limits::Files;
use crate::store::arguments::Arguments;
use crate::store::reply;

/// The most entries of the log that `RAFT.LOG` shows.
const MOST_ENTRIES: usize = 1000;

/// What a batch asks of its node that takes time to be found out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Asked {
    /// So many entries of the log at most, for `RAFT.LOG`.
    log: Option<usize>,
    /// A snapshot, for `RAFT.SNAPSHOT`.
    snapshot: bool,
    /// What its files take, for `RAFT.STATUS`.
    files: bool,
}

/// What came of it.
#[derive(Clone, Debug, Default)]
pub struct Told {
    log: Vec<LogPosition>,
    snapshot: Option<Result<Snapshot, NoSnapshot>>,
    files: Option<Files>,
}

impl Asked {
    /// What these requests, each of a connection's own, ask for.
    pub fn by<'a>(requests: impl Iterator<Item = &'a [u8]>) -> Asked {
        let mut asked = Asked::default();
        for request in requests {
            let Some(mut arguments) = Arguments::decode(request) else { continue };
            let (count, name) = (arguments.len(), arguments.shift());
            let is = |known: &str| name.eq_ignore_ascii_case(known.as_bytes());
            match count {
                1 if is("raft.snapshot") => asked.snapshot = true,
                1 if is("raft.status") => asked.files = true,
                2 if is("raft.log") => asked.log = asked.log.max(log_count(arguments.shift())),
                _ => {}
            }
        }
        asked
    }

    /// Finds it out.
    pub async fn of<B: Backend>(self, backend: &B) -> Told {
        let mut told = Told::default();
        if let Some(count) = self.log {
            told.log = backend.log_tail(count).await;
        }
        if self.snapshot {
            told.snapshot = Some(backend.snapshot().await);
        }
        if self.files {
            told.files = backend.files().await;
        }
        told
    }
}

fn log_count(argument: &[u8]) -> Option<usize> {
    let count = usize::try_from(reply::parse_decimal(argument)?).ok()?;
    (1..=MOST_ENTRIES).contains(&count).then_some(count)
}

/// `RAFT.STATUS`.
pub(super) fn status(_: &mut Session, call: Call) {
    match (call.node.describe)(call.node.told.files) {
        Some(json) => reply::bulk(call.out, json.as_bytes()),
        None => reply::null(call.out),
    }
}

/// `RAFT.POSITION`.
pub(super) fn position(session: &mut Session, call: Call) {
    match session.position {
        Some(position) => reply::bulk(call.out, position.to_string().as_bytes()),
        None => session.protocol.put_null(call.out),
    }
}

/// `RAFT.LOG count`.
pub(super) fn log(_: &mut Session, mut call: Call) {
    let Some(count) = log_count(call.arguments.shift()) else {
        return reply::error(call.out, "ERR value is out of range, must be 1 to 1000");
    };
    let log = &call.node.told.log;
    let tail = &log[log.len().saturating_sub(count)..];
    reply::array(call.out, tail.len());
    for position in tail {
        reply::bulk(call.out, position.to_string().as_bytes());
    }
}

/// `RAFT.SNAPSHOT`: where the snapshot in place ends, its bytes, and whose it is.
pub(super) fn snapshot(_: &mut Session, call: Call) {
    match call.node.told.snapshot.expect("a batch that wants a snapshot waits for it") {
        Ok(snapshot) => {
            let settings = &call.node.door.settings;
            let own = settings.members.get(&settings.node);
            reply::array(call.out, 3);
            reply::bulk(call.out, snapshot.position.to_string().as_bytes());
            reply::integer(call.out, i64::try_from(snapshot.bytes).unwrap_or(i64::MAX));
            reply::bulk(call.out, own.map_or(&b""[..], |own| own.name.as_bytes()));
        }
        Err(why @ NoSnapshot::NothingApplied) => {
            reply::error(call.out, &format!("TRYAGAIN no snapshot: {why}"));
        }
        Err(why @ NoSnapshot::NoSpace) => {
            reply::error(call.out, &format!("OOM no snapshot: {why}"));
        }
        Err(why @ NoSnapshot::Stopped) => {
            reply::error(call.out, &format!("CLUSTERDOWN no snapshot: {why}"));
        }
    }
}
