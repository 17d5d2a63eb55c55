//! What a node says of itself in words that Redis has not: `RAFT.STATUS`, `RAFT.POSITION`, `RAFT.LOG`,
//! and what it does by itself, `RAFT.SNAPSHOT`. Must never touch the store, nor enter the log.

use servers::host::NoSnapshot;

use super::session::{Call, Session};
use crate::store::arguments::Arguments;
use crate::store::reply;

/// The most entries of the log that `RAFT.LOG` shows.
const MOST_ENTRIES: usize = 1000;

/// How many entries of the log a request asks for, if it is a `RAFT.LOG`.
pub fn log_asked(request: &[u8]) -> Option<usize> {
    let mut arguments = Arguments::decode(request)?;
    let asks = arguments.len() == 2 && arguments.shift().eq_ignore_ascii_case(b"raft.log");
    if asks { log_count(arguments.shift()) } else { None }
}

fn log_count(argument: &[u8]) -> Option<usize> {
    let count = usize::try_from(reply::parse_decimal(argument)?).ok()?;
    (1..=MOST_ENTRIES).contains(&count).then_some(count)
}

/// Whether a request is a `RAFT.SNAPSHOT`.
pub fn wants_snapshot(request: &[u8]) -> bool {
    Arguments::decode(request).is_some_and(|mut arguments| {
        arguments.len() == 1 && arguments.shift().eq_ignore_ascii_case(b"raft.snapshot")
    })
}

/// `RAFT.STATUS`.
pub(super) fn status(_: &mut Session, call: Call) {
    match (call.node.describe)() {
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
    let tail = &call.node.log[call.node.log.len().saturating_sub(count)..];
    reply::array(call.out, tail.len());
    for position in tail {
        reply::bulk(call.out, position.to_string().as_bytes());
    }
}

/// `RAFT.SNAPSHOT`: where the snapshot in place ends, its bytes, and whose it is.
pub(super) fn snapshot(_: &mut Session, call: Call) {
    match call.node.snapshot.expect("a batch that wants a snapshot waits for it") {
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
        Err(why @ NoSnapshot::Stopped) => {
            reply::error(call.out, &format!("CLUSTERDOWN no snapshot: {why}"));
        }
    }
}
