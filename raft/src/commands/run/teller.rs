//! Tells how the counter goes: first the value that was reached before, once, then each change. Must
//! never lose or repeat a change after that.

use messages::LogIndex;
use servers::host::Status;

use super::watched::Change;

/// What has been told of the counter, and what is still to be told.
#[derive(Debug)]
pub struct Teller {
    name: String,
    /// The newest value.
    value: String,
    /// The entry that made it.
    index: LogIndex,
    /// Whether the value reached has been told.
    began: bool,
}

impl Teller {
    /// For the node of this name, with nothing applied.
    pub fn new(name: &str) -> Teller {
        let value = "0".to_owned();
        Teller { name: name.to_owned(), value, index: LogIndex(0), began: false }
    }

    /// Whether the value reached has been told.
    pub fn has_begun(&self) -> bool {
        self.began
    }

    /// The counter has changed. Returns the line to print, unless it only repeats what happened
    /// before this start.
    pub fn on_change(&mut self, change: &Change, status: &Status) -> Option<String> {
        assert!(change.index >= self.index, "changes come in the order of the log");
        self.value = value(&change.answer);
        self.index = change.index;
        self.began.then(|| self.line(status))
    }

    /// All changes up to `status.applied_index` have been handed in. Returns the first line, once
    /// the node has heard from a leader what is committed, and has applied that.
    pub fn on_status(&mut self, status: &Status) -> Option<String> {
        // A leader commits nothing before an entry of its own term, which is after all others.
        let reached = status.leader.is_some()
            && status.commit_index > LogIndex(0)
            && status.applied_index == status.commit_index;
        if self.began || !reached {
            return None;
        }
        self.began = true;
        Some(self.line(status))
    }

    fn line(&self, status: &Status) -> String {
        let role = status.role;
        let (name, term, value) = (&self.name, status.term.0, &self.value);
        format!("{name}  term {term}  {role:<8}  counter = {value}")
    }
}

/// The value in a reply of the store: a string, or nothing, which counts as 0.
fn value(reply: &[u8]) -> String {
    let text = String::from_utf8_lossy(reply);
    let mut lines = text.split("\r\n");
    match (lines.next(), lines.next()) {
        (Some(length), Some(value)) if length.starts_with('$') && length != "$-1" => {
            raft::render::plain(value)
        }
        (Some(error), _) if error.starts_with('-') => raft::render::plain(&error[1..]),
        _ => "0".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use messages::{LogPosition, NodeId, Term};

    use super::*;
    use servers::host::Usage;
    use states::{Role, Space};

    fn status(role: Role, commit: u64, applied: u64) -> Status {
        Status {
            id: NodeId(1),
            role,
            term: Term(3),
            leader: Some(NodeId(1)),
            commit_index: LogIndex(commit),
            applied_index: LogIndex(applied),
            last: LogPosition { term: Term(3), index: LogIndex(commit) },
            durable: LogIndex(commit),
            log_base: LogPosition::ZERO,
            log_bytes: 0,
            space: Space::Enough,
            usage: Usage::default(),
            snapshot: None,
            peers: Vec::new(),
            refused_frames: 0,
        }
    }

    fn change(index: u64, value: &str) -> Change {
        let answer = format!("${}\r\n{value}\r\n", value.len()).into_bytes();
        Change { index: LogIndex(index), answer }
    }

    #[test]
    fn tells_the_value_reached_once_and_then_each_change() {
        let mut teller = Teller::new("4000");
        let status = |commit, applied| status(Role::Leader, commit, applied);
        assert_eq!(teller.on_status(&status(0, 0)), None);
        assert_eq!(teller.on_change(&change(2, "15"), &status(9, 2)), None);
        assert_eq!(teller.on_status(&status(9, 2)), None);
        assert_eq!(teller.on_change(&change(9, "16"), &status(9, 9)), None);
        let first = teller.on_status(&status(9, 9));
        assert_eq!(first.as_deref(), Some("4000  term 3  leader    counter = 16"));
        assert_eq!(teller.on_status(&status(9, 9)), None);
        let next = teller.on_change(&change(10, "17"), &status(10, 10));
        assert_eq!(next.as_deref(), Some("4000  term 3  leader    counter = 17"));
    }

    #[test]
    fn a_follower_never_says_leader_and_nothing_counted_is_zero() {
        let mut teller = Teller::new("3000");
        let line = teller.on_status(&status(Role::Follower, 1, 1));
        assert_eq!(line.as_deref(), Some("3000  term 3  follower  counter = 0"));
        let gone = Change { index: LogIndex(4), answer: b"$-1\r\n".to_vec() };
        let line = teller.on_change(&gone, &status(Role::Follower, 4, 4));
        assert_eq!(line.as_deref(), Some("3000  term 3  follower  counter = 0"));
    }
}
