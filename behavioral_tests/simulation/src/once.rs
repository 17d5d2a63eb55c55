//! What sessions must do, from the rules' words alone and without forgetting anything: which commands
//! of the log take effect. Shares no code with the table of the nodes.

use std::collections::BTreeMap;

use messages::{Entry, Item, LogPosition, LogTime};
use servers::sessions::Limits;

use crate::coverage::Mark;

/// All sessions, as the committed log makes them.
pub struct Once {
    limits: Limits,
    open: BTreeMap<u64, Open>,
    /// The last entry, and its time.
    last: (LogPosition, LogTime),
    /// Log time, but for what passes between the terms.
    now: u64,
    /// Situations since they were last asked for.
    pub marks: Vec<Mark>,
}

/// A session.
struct Open {
    used: u64,
    /// Of each number that was seen, whether its command took effect.
    fates: BTreeMap<u64, bool>,
}

impl Once {
    /// Nothing is committed.
    pub fn new(limits: Limits) -> Once {
        let last = (LogPosition::ZERO, LogTime(0));
        Once { limits, open: BTreeMap::new(), last, now: 0, marks: Vec::new() }
    }

    /// Whether a session is open.
    pub fn is_open(&self, session: u64) -> bool {
        self.open.contains_key(&session)
    }

    /// The next entry is committed.
    pub fn begin(&mut self, entry: &Entry) {
        if entry.position.term == self.last.0.term {
            self.now += entry.time.0 - self.last.1.0;
        }
        self.last = (entry.position, entry.time);
        let before = self.open.len();
        let (now, idle) = (self.now, self.limits.idle.0);
        self.open.retain(|_, session| session.used + idle >= now);
        self.note(self.open.len() < before, Mark::SessionIdle);
    }

    /// Whether the machine executes something of the entry's item at this place.
    pub fn executes(&mut self, place: usize, item: &Item) -> bool {
        match item {
            Item::Plain(_) => true,
            Item::OpenSession => {
                let id = self.last.0.index.0 * 1024 + place as u64;
                self.open.insert(id, Open { used: self.now, fates: BTreeMap::new() });
                self.keep_count();
                false
            }
            Item::Session { session, number, .. } => self.see(session.0, number.0, true),
            Item::Outcome { session, number } => {
                self.see(session.0, number.0, false);
                false
            }
            Item::CloseSession(session) => {
                let closed = self.open.remove(&session.0).is_some();
                self.note(closed, Mark::SessionEnded);
                false
            }
        }
    }

    /// A number comes up, for its command or for its outcome: whether the command takes effect now.
    fn see(&mut self, session: u64, number: u64, is_command: bool) -> bool {
        let Some(open) = self.open.get_mut(&session) else { return false };
        let highest = open.fates.last_key_value().map_or(0, |(highest, _)| *highest);
        let forgotten = number == 0 || number + 63 < highest;
        if forgotten || number > highest + 64 {
            return false;
        }
        open.used = self.now;
        let before = open.fates.get(&number).copied();
        open.fates.entry(number).or_insert(is_command);
        self.note(is_command && before == Some(true), Mark::SessionRepeated);
        self.note(is_command && before == Some(false), Mark::SessionClosedCopy);
        self.note(!is_command && before.is_none(), Mark::SessionClosed);
        is_command && before.is_none()
    }

    /// The longest unused makes way, of several the one that was opened first.
    fn keep_count(&mut self) {
        while self.open.len() > self.limits.sessions {
            let unused = self.open.iter().min_by_key(|(id, session)| (session.used, **id));
            let id = *unused.expect("there are some").0;
            self.open.remove(&id);
            self.note(true, Mark::SessionPushedOut);
        }
    }

    fn note(&mut self, reached: bool, mark: Mark) {
        if reached {
            self.marks.push(mark);
        }
    }
}
