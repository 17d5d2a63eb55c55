//! What clients asked and heard, kept so that it can be judged. Must never make an outcome more
//! certain than it was, nor leave out what may have had an effect.
//!
//! An operation is noted before it is sent, as one of unknown outcome, and what came of it when that
//! is known: so the history can be judged at any moment, also while clients are at work. Left out is
//! what certainly had no effect: refusals that promise it, commands that were not sent, and reads
//! without an answer.

mod words;

use std::collections::BTreeSet;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use linearizability::kv::{self, Bytes, Command, Operation};
use linearizability::{Event, Verdict};

use crate::client::{CallError, Client, Reply};
use words::Meaning;

/// All that was asked so far, of a cluster that held no key before.
#[derive(Debug)]
pub struct History {
    start: Instant,
    processes: AtomicU64,
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    /// In the order of their sending; `None` where nothing was done.
    events: Vec<Option<Event<Operation>>>,
    unchecked: Unchecked,
}

/// Keys that were changed by what the judge does not know.
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
    pub checked: kv::Checked,
    /// Keys that are left out, since they were changed by commands that the checker does not know,
    /// or by operations that name such a key, too.
    pub unchecked_keys: usize,
    /// How long it took.
    pub took: Duration,
}

impl History {
    /// An empty one.
    pub fn new() -> Arc<History> {
        let (start, processes, kept) = (Instant::now(), AtomicU64::new(1), Mutex::default());
        Arc::new(History { start, processes, kept })
    }

    /// How many operations it holds.
    pub fn len(&self) -> usize {
        self.kept().events.len()
    }

    /// Whether nothing was asked yet.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All that was asked so far and may have had an effect, in the order of its sending. Times are
    /// nanoseconds since the history began.
    pub fn events(&self) -> Vec<Event<Operation>> {
        self.kept().events.iter().flatten().cloned().collect()
    }

    /// Judges all that was asked so far.
    pub fn verify(&self) -> Findings {
        let start = Instant::now();
        let (events, unchecked_keys) = self.checkable();
        Findings { checked: kv::check(&events), unchecked_keys, took: start.elapsed() }
    }

    /// What can be judged, and how many keys cannot.
    fn checkable(&self) -> (Vec<Event<Operation>>, usize) {
        let kept = self.kept();
        let effective = kept.events.iter().flatten().filter(|event| may_matter(event));
        let mut left_out = match &kept.unchecked {
            Unchecked::Keys(keys) => keys.clone(),
            Unchecked::All => effective.clone().flat_map(keys_of).map(<[u8]>::to_vec).collect(),
        };
        // What stands beside an unchecked key in one operation cannot be judged without it.
        loop {
            let before = left_out.len();
            for event in effective.clone() {
                if !left_out.is_empty() && keys_of(event).any(|key| left_out.contains(key)) {
                    left_out.extend(keys_of(event).map(<[u8]>::to_vec));
                }
            }
            if left_out.len() == before {
                break;
            }
        }
        let judged = effective.filter(|event| !keys_of(event).any(|key| left_out.contains(key)));
        (judged.cloned().collect(), left_out.len())
    }

    fn now(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        // Whoever panicked had noted what it was about to send.
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes what is about to be sent; where in the history that is.
    fn ask(&self, process: u64, commands: &[Command]) -> usize {
        let mut kept = self.kept();
        let first = kept.events.len();
        let invoked = self.now();
        kept.events.extend(commands.iter().map(|command| {
            let operation = Operation { commands: vec![command.clone()], replies: None };
            Some(Event { process, invoked, returned: None, operation })
        }));
        first
    }

    /// Notes an answer.
    fn answer(&self, at: usize, reply: kv::Reply) {
        let returned = self.now();
        if let Some(event) = &mut self.kept().events[at] {
            event.returned = Some(returned);
            event.operation.replies = Some(vec![reply]);
        }
    }

    /// Notes that what was to be sent, or was refused, has no effect.
    fn forget(&self, at: usize) {
        self.kept().events[at] = None;
    }

    /// From now on these keys are not judged.
    fn leave_out(&self, keys: impl IntoIterator<Item = Bytes>) {
        if let Unchecked::Keys(unchecked) = &mut self.kept().unchecked {
            unchecked.extend(keys);
        }
    }

    /// All keys that were named so far were removed by what the judge does not know: they are not
    /// judged. If that may yet happen: none ever is.
    fn leave_out_all(&self, done: bool) {
        let mut kept = self.kept();
        if !done {
            kept.unchecked = Unchecked::All;
        } else if let Unchecked::Keys(_) = kept.unchecked {
            let named = kept.events.iter().flatten().flat_map(keys_of).map(<[u8]>::to_vec);
            let named: Vec<Bytes> = named.collect();
            drop(kept);
            self.leave_out(named);
        }
    }
}

fn keys_of(event: &Event<Operation>) -> impl Iterator<Item = &[u8]> {
    event.operation.commands.iter().flat_map(Command::keys)
}

/// A read without an answer tells nothing and does nothing.
fn may_matter(event: &Event<Operation>) -> bool {
    event.operation.replies.is_some() || event.operation.commands.iter().any(Command::is_write)
}

/// What came of a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was answered, maybe by an error of the command itself.
    Answered(Reply),
    /// It certainly had no effect; the error says why.
    Refused(String),
    /// It may or may not have an effect; the error says why.
    Unknown(String),
}

/// A connection to one node, all of which is noted. Each has a process number of its own.
#[derive(Debug)]
pub struct Connection {
    client: Client,
    process: u64,
    history: Arc<History>,
    /// `READONLY` was sent: reads may be old, and are not judged.
    stale: bool,
}

impl Connection {
    /// Connects to `HOST:PORT`. `timeout` bounds the connecting, and each later read and write.
    ///
    /// # Errors
    /// If nobody listens there.
    pub fn open(
        history: &Arc<History>,
        address: &str,
        timeout: Duration,
    ) -> io::Result<Connection> {
        let client = Client::connect(address, timeout)?;
        let process = history.processes.fetch_add(1, Ordering::Relaxed);
        Ok(Connection { client, process, history: Arc::clone(history), stale: false })
    }

    /// Sends commands at once and waits for all that is answered. One outcome for each; after an
    /// error the connection is of no more use.
    pub fn pipeline(&mut self, commands: &[Command]) -> (Vec<Outcome>, Result<(), CallError>) {
        let first = self.history.ask(self.process, commands);
        let words: Vec<Vec<Bytes>> = commands.iter().map(Command::arguments).collect();
        match self.client.send_all(&words) {
            Ok(()) => {}
            Err(CallError::NotSent(error)) => {
                (first..first + commands.len()).for_each(|at| self.history.forget(at));
                let refused = Outcome::Refused("not sent".to_owned());
                return (vec![refused; commands.len()], Err(CallError::NotSent(error)));
            }
            Err(error) => return (lost(Vec::new(), commands.len()), Err(error)),
        }
        let mut outcomes = Vec::with_capacity(commands.len());
        for at in first..first + commands.len() {
            match self.client.receive() {
                Ok(reply) => outcomes.push(self.note(at, reply)),
                Err(error) => {
                    return (lost(outcomes, commands.len()), Err(CallError::Unknown(error)));
                }
            }
        }
        (outcomes, Ok(()))
    }

    /// Sends one command, whichever it is, and waits for its reply.
    ///
    /// # Errors
    /// As [`Client::call`].
    pub fn call(&mut self, words: &[Bytes]) -> Result<Reply, CallError> {
        match words::meaning(words) {
            Meaning::Known(command) if self.stale && !command.is_write() => self.client.call(words),
            Meaning::Known(command) => {
                let at = self.history.ask(self.process, &[command]);
                let called = self.client.call(words);
                match &called {
                    Ok(reply) => drop(self.note(at, reply.clone())),
                    Err(CallError::NotSent(_)) => self.history.forget(at),
                    Err(CallError::Unknown(_)) => {}
                }
                called
            }
            Meaning::Nothing => self.client.call(words),
            Meaning::Staleness(stale) => {
                let called = self.client.call(words);
                self.stale = if called.is_ok() { stale } else { self.stale };
                called
            }
            Meaning::Unknown => {
                let called = self.client.call(words);
                if !has_no_effect(&called) {
                    self.history.leave_out(words[1..].iter().cloned());
                }
                called
            }
            Meaning::RemovesAll => {
                let called = self.client.call(words);
                if !has_no_effect(&called) {
                    self.history.leave_out_all(called.as_ref().is_ok_and(is_answer));
                }
                called
            }
        }
    }

    fn note(&self, at: usize, reply: Reply) -> Outcome {
        match judge(&reply) {
            Judged::Answer(answer) => {
                self.history.answer(at, answer);
                Outcome::Answered(reply)
            }
            Judged::NoEffect => {
                self.history.forget(at);
                Outcome::Refused(text(reply))
            }
            Judged::Unknown => Outcome::Unknown(text(reply)),
        }
    }
}

fn has_no_effect(called: &Result<Reply, CallError>) -> bool {
    match called {
        Ok(reply) => matches!(judge(reply), Judged::NoEffect | Judged::Answer(kv::Reply::Error)),
        Err(error) => matches!(error, CallError::NotSent(_)),
    }
}

fn is_answer(reply: &Reply) -> bool {
    matches!(judge(reply), Judged::Answer(_))
}

/// What a reply says of its command.
enum Judged {
    Answer(kv::Reply),
    NoEffect,
    Unknown,
}

fn judge(reply: &Reply) -> Judged {
    let answer = match reply {
        Reply::Status(status) if status == "OK" => kv::Reply::Ok,
        Reply::Nil => kv::Reply::Nil,
        Reply::Integer(number) => kv::Reply::Integer(*number),
        Reply::Bulk(value) => kv::Reply::Value(value.clone()),
        Reply::Error(error) => return judge_error(error),
        Reply::Array(values) => match values.iter().map(value).collect() {
            Some(values) => kv::Reply::Values(values),
            None => kv::Reply::Error,
        },
        // No command that is judged answers so: the judge will say it.
        Reply::Status(_) => kv::Reply::Error,
    };
    Judged::Answer(answer)
}

/// An error's first word is a promise (README).
fn judge_error(error: &str) -> Judged {
    match error.split(' ').next().unwrap_or_default() {
        "ERR" if error.starts_with("ERR max number of clients") => Judged::NoEffect,
        "ERR" | "WRONGTYPE" => Judged::Answer(kv::Reply::Error),
        "CLUSTERDOWN" | "TRYAGAIN" | "LOADING" | "READONLY" | "MOVED" | "OOM" => Judged::NoEffect,
        _ => Judged::Unknown,
    }
}

fn value(reply: &Reply) -> Option<Option<Bytes>> {
    match reply {
        Reply::Bulk(value) => Some(Some(value.clone())),
        Reply::Nil => Some(None),
        _ => None,
    }
}

fn text(reply: Reply) -> String {
    match reply {
        Reply::Error(error) => error,
        other => format!("{other:?}"),
    }
}

/// What was not answered may or may not have an effect.
fn lost(mut outcomes: Vec<Outcome>, commands: usize) -> Vec<Outcome> {
    outcomes.resize(commands, Outcome::Unknown("no answer".to_owned()));
    outcomes
}

impl Findings {
    /// Whether every answer can be explained by one copy of the data.
    pub fn is_linearizable(&self) -> bool {
        self.checked.verdict == Verdict::Linearizable
    }
}
