//! Sessions: what makes a command take effect once, however often it is in the log, and lets its
//! outcome be asked for. The table is replicated state: it changes only as entries are applied, and
//! must never read a clock, nor be asked before the log says so whether a number is taken.
//!
//! A client opens a session and numbers its commands in it from one. The 64 numbers up to the
//! highest one seen are remembered: 1 ≤ `floor` ≤ `highest`, `highest - floor` < 64.
//!
//! | number | a command | its outcome |
//! |---|---|---|
//! | below the floor | never applied; may have been | unknown |
//! | seen before | gets its first answer again | applied |
//! | closed | never applied, and never was | not applied |
//! | unseen, up to the highest + 64 | applied; its answer is remembered | not applied: closes it |
//! | above that | refused, no effect | refused, no effect |
//!
//! Sessions end, and then their outcomes are unknown for ever: when they are closed, when they were
//! not used for [`Limits::idle`], or, the longest unused first, when there are too many. Time is log
//! time as far as it passes within a term. From the last entry of a term to the first of the next none passes:
//! what the log's clock is stepped by when a leader takes office ends no session.
//!
//! - [`answer`]: what a session answers, and how that is spelt;
//! - `slots`: what is remembered of numbers; `pieces`: the table in a snapshot.

pub mod answer;
mod pieces;
mod slots;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use messages::{CommandNumber, LogPosition, LogTime, SessionId, Term};
use states::Micros;

pub use self::answer::Answer;
use self::slots::{Slot, Slots};

/// Numbers that a session remembers, up to its highest; a new one may lie as far above that.
pub const WINDOW: u64 = 64;

/// The longest answer that is remembered, bytes.
pub const LONGEST_ANSWER: usize = 4096;

/// Bytes of a batch's replies: from there on a command's own is not told, since reads, too, may be
/// commands of a session. What is remembered is the same on all nodes, however much somebody waits for.
const MOST_REPLIES: usize = 64 << 20;

/// Sessions that end with one entry at most, of those too long without use.
const ENDED_AT_ONCE: usize = 64;

/// When sessions end. The same on every node of every version, as it decides what a command does:
/// only tests have others than the default.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// A session ends when it was not used for longer than this, in log time.
    pub idle: Micros,
    /// Sessions at the same time.
    pub sessions: usize,
    /// Bytes of remembered answers that are longer than 22 bytes. What else a session takes is less
    /// than 2 KiB.
    pub bytes: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits { idle: Micros(3_600_000_000), sessions: 10_000, bytes: 64 << 20 }
    }
}

/// All sessions.
#[derive(Debug, Default)]
pub struct Sessions {
    limits: Limits,
    clock: Clock,
    /// Shared with snapshots that are being written.
    table: BTreeMap<SessionId, Arc<Session>>,
    /// Longest unused first.
    by_use: BTreeSet<(u64, SessionId)>,
    /// Bytes of answers, as [`Limits::bytes`] counts.
    bytes: usize,
}

/// Log time without its steps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Clock {
    /// Microseconds that passed within terms.
    passed: u64,
    /// Of the last entry.
    time: LogTime,
    term: Term,
}

/// One session.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Session {
    /// When it was last used, by the clock.
    used: u64,
    /// The highest number seen, zero before the first.
    highest: u64,
    /// One for each number from the floor to the highest.
    slots: Slots,
}

impl Sessions {
    /// None is open.
    pub fn new(limits: Limits) -> Sessions {
        Sessions { limits, ..Sessions::default() }
    }

    /// A table with the same limits in which none is open.
    pub fn fresh(&self) -> Sessions {
        Sessions::new(self.limits)
    }

    /// Sessions that are open.
    pub fn len(&self) -> usize {
        self.table.len()
    }

    /// Whether none is open.
    pub fn is_empty(&self) -> bool {
        self.table.is_empty()
    }

    /// Bytes of remembered answers, as [`Limits::bytes`] counts them.
    pub fn answer_bytes(&self) -> usize {
        self.bytes
    }

    /// A committed entry is about to be applied: time passes, and some sessions end.
    pub fn advance(&mut self, position: LogPosition, time: LogTime) {
        if position.term == self.clock.term {
            let since = time.0.saturating_sub(self.clock.time.0);
            self.clock.passed = self.clock.passed.saturating_add(since);
        }
        self.clock = Clock { time, term: position.term, ..self.clock };
        for _ in 0..ENDED_AT_ONCE {
            match self.by_use.first() {
                Some(&(used, _)) if self.is_over(used) => self.end_longest_unused(),
                _ => break,
            }
        }
    }

    /// Opens the session `id`, and appends the answer.
    pub fn open(&mut self, id: SessionId, reply: &mut Vec<u8>) {
        // Two sessions of one id would be one: nobody may use it then.
        let answer =
            if self.table.contains_key(&id) { Answer::NoSession } else { Answer::Opened(id) };
        if answer == Answer::Opened(id) {
            let used = self.clock.passed;
            self.table.insert(id, Arc::new(Session { used, ..Session::default() }));
            self.by_use.insert((used, id));
            self.keep_limits();
        }
        answer.write(reply);
    }

    /// Ends a session, whatever is under way in it, and appends the answer. One that has ended, or
    /// never was, stays so.
    pub fn close(&mut self, id: SessionId, reply: &mut Vec<u8>) {
        if let Some(session) = self.table.remove(&id) {
            self.by_use.remove(&(session.used, id));
            self.bytes -= session.long_bytes();
        }
        Answer::Ended.write(reply);
    }

    /// Has `apply` execute a command and append its reply, unless its number says otherwise; appends
    /// the answer.
    pub fn execute(
        &mut self,
        id: SessionId,
        number: CommandNumber,
        reply: &mut Vec<u8>,
        apply: impl FnOnce(&mut Vec<u8>),
    ) {
        let (slots, place) = match self.slots(id, number) {
            Ok(found) => found,
            Err(refusal) => return refusal.write(reply),
        };
        let slot = slots.get(place);
        if slot != Slot::Unseen {
            return slot.answer().write(reply);
        }
        let begin = reply.len();
        Answer::Reply(&[]).write(reply);
        let own = reply.len();
        apply(reply);
        let slot = Slot::of_answer(&reply[own..]);
        slots.see(place, slot);
        self.bytes += slot.long_bytes();
        self.keep_limits();
        if reply.len() > MOST_REPLIES {
            reply.truncate(begin);
            Answer::NotKept.write(reply);
        }
    }

    /// Appends what became of a command. If it was not applied it never will be: its number is
    /// closed from now on.
    pub fn outcome(&mut self, id: SessionId, number: CommandNumber, reply: &mut Vec<u8>) {
        let (slots, place) = match self.slots(id, number) {
            Ok(found) => found,
            Err(refusal) => return refusal.write(reply),
        };
        if slots.get(place) == Slot::Unseen {
            slots.see(place, Slot::Closed);
        }
        slots.get(place).answer().write(reply);
    }

    /// Stands for all that is remembered, and for the time. Reads all of it.
    pub fn digest(&self) -> u64 {
        pieces::digest(self)
    }

    /// Uses a session: what is remembered of its numbers, and the place of this one there, which is seen
    /// from now on.
    fn slots(
        &mut self,
        id: SessionId,
        number: CommandNumber,
    ) -> Result<(&mut Slots, usize), Answer<'static>> {
        let (now, idle) = (self.clock.passed, self.limits.idle.0);
        let open = self.table.get_mut(&id).filter(|session| now - session.used <= idle);
        let Some(session) = open else { return Err(Answer::NoSession) };
        let used = session.used;
        if number.0 < session.floor() {
            return Err(Answer::Forgotten);
        }
        if number.0 > session.highest.saturating_add(WINDOW) {
            return Err(Answer::TooHigh { highest: CommandNumber(session.highest) });
        }
        let session = Arc::make_mut(session);
        if used != now {
            session.used = now;
            self.by_use.remove(&(used, id));
            self.by_use.insert((now, id));
        }
        self.bytes -= session.raise(number.0);
        let place = number.0 - session.floor();
        Ok((&mut session.slots, place as usize))
    }

    fn is_over(&self, used: u64) -> bool {
        self.clock.passed - used > self.limits.idle.0
    }

    fn keep_limits(&mut self) {
        while self.table.len() > self.limits.sessions || self.bytes > self.limits.bytes {
            self.end_longest_unused();
        }
    }

    fn end_longest_unused(&mut self) {
        let (_, id) = self.by_use.pop_first().expect("there is one");
        let session = self.table.remove(&id).expect("both know the same sessions");
        self.bytes -= session.long_bytes();
    }
}

impl Session {
    /// The lowest number that is remembered.
    fn floor(&self) -> u64 {
        self.highest.saturating_sub(WINDOW - 1).max(1)
    }

    /// Makes room for `number`, which is not below the floor; the bytes of answers that are
    /// forgotten for it.
    fn raise(&mut self, number: u64) -> usize {
        let mut forgotten = 0;
        while self.highest < number {
            self.highest += 1;
            if u64::from(self.slots.len()) == WINDOW {
                forgotten += self.slots.forget_first();
            }
            self.slots.push_unseen();
        }
        forgotten
    }

    fn long_bytes(&self) -> usize {
        self.slots.iter().map(Slot::long_bytes).sum()
    }
}
