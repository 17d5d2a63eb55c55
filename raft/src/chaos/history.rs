//! What clients asked and heard, kept so that it can be judged. Must never make an outcome more
//! certain than it was, nor leave out what may have had an effect.
//!
//! An operation is noted before it is sent, as one of unknown outcome, and what came of it when that
//! is known: so the history can be judged at any moment, also while clients are at work. Left out is
//! what certainly had no effect: refusals that promise it, commands that were not sent, and reads
//! without an answer. Keys that nobody will name any more can be judged ahead of the rest, and what
//! was asked of them is then forgotten.

mod connection;
mod words;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use linearizability::kv::{self, Bytes, Checked, Command, Operation};
use linearizability::{Event, Verdict};

pub use connection::{Connection, Outcome};

/// All that was asked so far, of a cluster that held no key before.
#[derive(Debug)]
pub struct History {
    start: Instant,
    processes: AtomicU64,
    kept: Mutex<Kept>,
    /// What was judged ahead. Locked before `kept`, and as long as something is being judged.
    judged: Mutex<Checked>,
}

#[derive(Debug, Default)]
struct Kept {
    /// By number, in the order of their sending.
    events: BTreeMap<u64, Event<Operation>>,
    next: u64,
    unchecked: Unchecked,
    /// What was judged ahead and not found linearizable: kept for people.
    unexplained: Vec<Event<Operation>>,
}

/// Keys of which not everything is known: they were changed by what the judge does not know, or
/// what was asked of them is forgotten.
#[derive(Debug)]
enum Unchecked {
    Keys(BTreeSet<Bytes>),
    /// Nobody knows which, and until when.
    All,
}

impl Default for Unchecked {
    fn default() -> Unchecked {
        Unchecked::Keys(BTreeSet::new())
    }
}

/// What was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Findings {
    /// Of the checker, with what it rests on.
    pub checked: Checked,
    /// Keys that are left out, since they were changed by commands that the checker does not know,
    /// or named beside such a key.
    pub unchecked_keys: usize,
    /// How long it took.
    pub took: Duration,
}

impl History {
    /// An empty one.
    pub fn new() -> Arc<History> {
        let nothing =
            Checked { verdict: Verdict::Linearizable, operations: 0, keys: 0, components: 0 };
        Arc::new(History {
            start: Instant::now(),
            processes: AtomicU64::new(1),
            kept: Mutex::default(),
            judged: Mutex::new(nothing),
        })
    }

    /// How many operations are kept.
    pub fn len(&self) -> usize {
        self.kept().events.len()
    }

    /// Whether none is kept.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All that may have had an effect and is not forgotten. Times are nanoseconds since the history
    /// began.
    pub fn events(&self) -> Vec<Event<Operation>> {
        let kept = self.kept();
        kept.unexplained.iter().chain(kept.events.values()).cloned().collect()
    }

    /// The keys that begin so and are not forgotten.
    pub fn keys(&self, prefix: &[u8]) -> BTreeSet<Bytes> {
        let kept = self.kept();
        let keys = kept.events.values().flat_map(keys_of);
        keys.filter(|key| key.starts_with(prefix)).map(<[u8]>::to_vec).collect()
    }

    /// Whether what was judged ahead is known not to be linearizable. Never waits for a judgement.
    pub fn is_unexplained(&self) -> bool {
        !self.kept().unexplained.is_empty()
    }

    /// Judges all that was asked so far.
    pub fn verify(&self) -> Findings {
        let start = Instant::now();
        let judged = locked(&self.judged);
        let (events, unchecked_keys) = checkable(&self.kept());
        let checked = both(&judged, kv::check(&events));
        Findings { checked, unchecked_keys, took: start.elapsed() }
    }

    /// Judges all that was asked of the keys that begin so, and forgets what can be explained. For keys that nobody
    /// names any more; who does all the same is not judged.
    pub fn settle(&self, prefix: &[u8]) {
        let mut judged = locked(&self.judged);
        let Some(events) = self.take(prefix) else { return };
        let checked = kv::check(&events);
        if checked.verdict != Verdict::Linearizable {
            self.kept().unexplained.extend(events);
        }
        *judged = both(&judged, checked);
    }

    /// Takes what was asked of the keys that begin so out of the history; `None` if it cannot be
    /// judged apart from the rest.
    fn take(&self, prefix: &[u8]) -> Option<Vec<Event<Operation>>> {
        let mut kept = self.kept();
        let Kept { events, unchecked, .. } = &mut *kept;
        let Unchecked::Keys(unchecked) = unchecked else { return None };
        let meant = |event: &Event<Operation>| keys_of(event).any(|key| key.starts_with(prefix));
        let apart = |event: &Event<Operation>| {
            keys_of(event).all(|key| key.starts_with(prefix) && !unchecked.contains(key))
        };
        if !events.values().filter(|event| meant(event)).all(apart) {
            return None;
        }
        let taken: Vec<_> = events.extract_if(.., |_, event| meant(event)).collect();
        unchecked.extend(taken.iter().flat_map(|(_, event)| keys_of(event)).map(<[u8]>::to_vec));
        Some(taken.into_iter().map(|(_, event)| event).filter(may_matter).collect())
    }

    fn now(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        locked(&self.kept)
    }

    /// Notes what is about to be sent; its numbers.
    fn ask(&self, process: u64, commands: &[Command]) -> Range<u64> {
        let invoked = self.now();
        let mut kept = self.kept();
        let first = kept.next;
        kept.next += commands.len() as u64;
        let events = commands.iter().map(|command| {
            let operation = Operation { commands: vec![command.clone()], replies: None };
            Event { process, invoked, returned: None, operation }
        });
        kept.events.extend((first..).zip(events));
        first..kept.next
    }

    /// Notes an answer.
    fn answer(&self, number: u64, reply: kv::Reply) {
        let returned = self.now();
        if let Some(event) = self.kept().events.get_mut(&number) {
            event.returned = Some(returned);
            event.operation.replies = Some(vec![reply]);
        }
    }

    /// Notes that what was to be sent, or was refused, has no effect.
    fn forget(&self, number: u64) {
        self.kept().events.remove(&number);
    }

    /// From now on these keys are not judged.
    fn leave_out(&self, keys: impl IntoIterator<Item = Bytes>) {
        if let Unchecked::Keys(unchecked) = &mut self.kept().unchecked {
            unchecked.extend(keys);
        }
    }

    /// All keys that were named so far were removed by what the judge does not know: they are not
    /// judged. If that may yet happen, none is any more.
    fn leave_out_all(&self, done: bool) {
        let mut kept = self.kept();
        let Kept { events, unchecked, .. } = &mut *kept;
        match unchecked {
            Unchecked::Keys(keys) if done => {
                keys.extend(events.values().flat_map(keys_of).map(<[u8]>::to_vec));
            }
            _ => *unchecked = Unchecked::All,
        }
    }
}

/// Whoever panicked holding it had noted what it was about to send.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What can be judged, and how many keys cannot.
fn checkable(kept: &Kept) -> (Vec<Event<Operation>>, usize) {
    let events: Vec<_> = kept.events.values().filter(|event| may_matter(event)).collect();
    let is_out = |key: &[u8], out: &BTreeSet<&[u8]>| match &kept.unchecked {
        Unchecked::Keys(keys) => keys.contains(key) || out.contains(key),
        Unchecked::All => true,
    };
    let mut out = BTreeSet::new();
    // What stands beside such a key in one operation cannot be judged without it.
    loop {
        let before = out.len();
        for event in &events {
            if keys_of(event).any(|key| is_out(key, &out)) {
                out.extend(keys_of(event));
            }
        }
        if out.len() == before {
            break;
        }
    }
    let whole = events.iter().filter(|event| !keys_of(event).any(|key| out.contains(key)));
    (whole.map(|event| (*event).clone()).collect(), out.len())
}

/// Two verdicts over different keys as one.
fn both(one: &Checked, other: Checked) -> Checked {
    let verdict = match (&one.verdict, other.verdict) {
        (Verdict::NotLinearizable(why), _) => Verdict::NotLinearizable(why.clone()),
        (_, Verdict::NotLinearizable(why)) => Verdict::NotLinearizable(why),
        (Verdict::Linearizable, Verdict::Linearizable) => Verdict::Linearizable,
        _ => Verdict::Unknown,
    };
    Checked {
        verdict,
        operations: one.operations + other.operations,
        keys: one.keys + other.keys,
        components: one.components + other.components,
    }
}

fn keys_of(event: &Event<Operation>) -> impl Iterator<Item = &[u8]> {
    event.operation.commands.iter().flat_map(Command::keys)
}

/// A read without an answer tells nothing and does nothing.
fn may_matter(event: &Event<Operation>) -> bool {
    event.operation.replies.is_some() || event.operation.commands.iter().any(Command::is_write)
}

impl Findings {
    /// Whether every answer can be explained by one copy of the data.
    pub fn is_linearizable(&self) -> bool {
        self.checked.verdict == Verdict::Linearizable
    }
}

#[cfg(test)]
mod tests;
