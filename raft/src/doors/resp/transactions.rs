//! `MULTI` to `EXEC`, and `WATCH`: what a connection gathers until it is executed in one piece. Must
//! never let a transaction through that Redis would abort, and never hold more than the limit of a
//! request.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use messages::Operation;

use super::once::{self, Once};
use super::replies::{self, Asked, Replies};
use super::requests::Slot;
use super::session::{self, Node, Session};
use crate::store::arguments::Arguments;
use crate::store::commands::{self, Command};
use crate::store::{reply, transactions};

/// Bytes counted for each queued request and each watched key besides its own.
const OVERHEAD: usize = 32;

const QUEUED: &[u8] = b"+QUEUED\r\n";
const NESTED: &[u8] = b"-ERR MULTI calls can not be nested\r\n";
const WATCH_INSIDE: &[u8] = b"-ERR WATCH inside MULTI is not allowed\r\n";
const ONCE_INSIDE: &[u8] =
    b"-ERR RAFT.DO, RAFT.SESSION and RAFT.OUTCOME are not allowed inside MULTI\r\n";
const EXEC_ALONE: &[u8] = b"-ERR EXEC without MULTI\r\n";
const DISCARD_ALONE: &[u8] = b"-ERR DISCARD without MULTI\r\n";
const ABORTED: &[u8] = b"-EXECABORT Transaction discarded because of previous errors.\r\n";
const ABORTED_BY_ARITY: &[u8] = b"-EXECABORT Transaction discarded because of: \
    wrong number of arguments for 'exec' command\r\n";
const TOO_LONG: &[u8] = b"-ERR transaction exceeds the limit of a request (client.max_request)\r\n";
const TOO_MANY: &[u8] = b"-ERR watched keys exceed the limit of a request (client.max_request)\r\n";

/// What a store replies that was asked nothing.
const NO_REPLIES: &[u8] = b"*0\r\n";

/// A command that says how others are executed; in `MULTI` it is met at once as well.
#[derive(Clone, Copy)]
enum Word {
    Multi,
    Exec,
    Discard,
    Watch,
    Unwatch,
    Reset,
    Quit,
}

/// Names, and arity as Redis states it.
static WORDS: [(&str, i32, Word); 7] = [
    ("multi", 1, Word::Multi),
    ("exec", 1, Word::Exec),
    ("discard", 1, Word::Discard),
    ("watch", -2, Word::Watch),
    ("unwatch", 1, Word::Unwatch),
    ("reset", 1, Word::Reset),
    ("quit", -1, Word::Quit),
];

/// Whether a command says how others are executed.
pub fn is_word(name: &[u8]) -> bool {
    WORDS.iter().any(|word| name.eq_ignore_ascii_case(word.0.as_bytes()))
}

/// Where a connection stands between `WATCH`, `MULTI` and `EXEC`.
pub struct Transactions {
    /// The most bytes that are queued and watched.
    limit: usize,
    /// Behind `MULTI`.
    open: Option<Transaction>,
    /// For the next `EXEC`.
    watched: Watched,
    /// One for each `EXEC` that is not answered yet.
    closed: VecDeque<Transaction>,
}

/// What was queued between `MULTI` and `EXEC`.
#[derive(Default)]
pub struct Transaction {
    /// The requests, as the log spells them, one behind the other.
    bytes: Vec<u8>,
    /// Where each ends, and whose it is.
    queued: Vec<(usize, Slot)>,
    /// One was refused, so that none will be executed.
    aborted: bool,
    /// One is to be seen by all that follows.
    ends_batch: bool,
    watched: Watched,
}

/// Keys with the versions they had.
#[derive(Default)]
struct Watched {
    versions: BTreeMap<Bytes, Bytes>,
    bytes: usize,
    /// A version that was asked for is not known: the key may have changed.
    lost: bool,
}

impl Transactions {
    /// Nothing is queued or watched; at most `limit` bytes ever will be.
    pub fn new(limit: usize) -> Transactions {
        Transactions { limit, open: None, watched: Watched::default(), closed: VecDeque::new() }
    }

    /// Says whose a request is, and whether the batch must end with it.
    pub fn meet(&mut self, request: &[u8]) -> (Slot, bool) {
        let Some(mut arguments) = Arguments::decode(request) else { return (Slot::Local, false) };
        let count = arguments.len();
        let name = arguments.shift();
        if let Some(command) = commands::find(name) {
            let takes = command.takes(count);
            let slot = if takes { Slot::Store(command) } else { Slot::Local };
            if self.open.is_none() {
                return (slot, false);
            }
            let known = takes && command.has_subcommand(arguments.shift());
            return (self.queue(request, slot, known), false);
        }
        let word = WORDS.iter().find(|word| name.eq_ignore_ascii_case(word.0.as_bytes()));
        if let Some(&(_, arity, word)) = word {
            return if commands::takes(arity, count) {
                self.on_word(word, request, arguments)
            } else {
                (self.on_wrong_arity(word), false)
            };
        }
        if once::is_name(name) {
            return (self.on_once(request), false);
        }
        let ends_batch = session::ends_batch(name);
        let Some(open) = &mut self.open else { return (Slot::Local, ends_batch) };
        open.ends_batch |= ends_batch;
        (self.queue(request, Slot::Local, session::accepts(request)), false)
    }

    fn on_wrong_arity(&mut self, word: Word) -> Slot {
        if let Word::Exec = word {
            self.forget();
            return Slot::Said(ABORTED_BY_ARITY);
        }
        self.open.iter_mut().for_each(Transaction::abort);
        Slot::Local
    }

    /// A session remembers what one command answered: there is no answer of its own within `EXEC`.
    fn on_once(&mut self, request: &[u8]) -> Slot {
        match &mut self.open {
            Some(open) => {
                open.abort();
                Slot::Said(ONCE_INSIDE)
            }
            None => Once::read(request).map_or(Slot::Local, Slot::Once),
        }
    }

    fn on_word(&mut self, word: Word, request: &[u8], keys: Arguments) -> (Slot, bool) {
        let is_open = self.open.is_some();
        let slot = match word {
            Word::Multi if is_open => Slot::Said(NESTED),
            Word::Multi => {
                self.open = Some(Transaction::default());
                Slot::Local
            }
            Word::Exec => return self.exec(),
            Word::Discard if !is_open => Slot::Said(DISCARD_ALONE),
            Word::Watch if is_open => Slot::Said(WATCH_INSIDE),
            Word::Watch => return self.watch(keys),
            Word::Unwatch if is_open => self.queue(request, Slot::Local, true),
            Word::Discard | Word::Unwatch => {
                self.forget();
                Slot::Local
            }
            Word::Reset => {
                self.forget();
                return (Slot::Local, true);
            }
            Word::Quit => return (Slot::Local, true),
        };
        (slot, false)
    }

    /// Nothing is queued any more, no key is watched.
    fn forget(&mut self) {
        self.open = None;
        self.watched = Watched::default();
    }

    fn exec(&mut self) -> (Slot, bool) {
        let Some(open) = self.open.take() else { return (Slot::Said(EXEC_ALONE), false) };
        let watched = std::mem::take(&mut self.watched);
        if open.aborted {
            return (Slot::Said(ABORTED), false);
        }
        let ends_batch = open.ends_batch;
        self.closed.push_back(Transaction { watched, ..open });
        (Slot::Exec, ends_batch)
    }

    /// The versions must be known before an `EXEC` can name them.
    fn watch(&mut self, keys: Arguments) -> (Slot, bool) {
        let more = keys.filter(|key| !self.watched.versions.contains_key(*key));
        let bytes = self.watched.bytes + more.map(|key| key.len() + OVERHEAD).sum::<usize>();
        if bytes > self.limit {
            self.watched.lost = true;
            return (Slot::Said(TOO_MANY), false);
        }
        (Slot::Watch, true)
    }

    /// The versions of the keys that `request` watches, as the store replied; none if it did not.
    pub fn on_versions(&mut self, request: &[u8], versions: Option<&[u8]>) {
        let versions = versions.and_then(replies::parts);
        let keys = Arguments::decode(request).into_iter().flat_map(|words| words.skip(1));
        let mut versions = versions.into_iter().flatten();
        for key in keys {
            match versions.next().and_then(replies::body) {
                Some(version) => self.watched.add(key, version),
                None => self.watched.lost = true,
            }
        }
    }

    /// Takes a request into the transaction, unless it was refused.
    fn queue(&mut self, request: &[u8], slot: Slot, accepted: bool) -> Slot {
        let Some(open) = &mut self.open else { return slot };
        if !accepted {
            open.abort();
            return slot;
        }
        if open.aborted {
            return Slot::Said(QUEUED);
        }
        let size = self.watched.bytes + open.size() + request.len() + OVERHEAD;
        if size > self.limit {
            open.abort();
            return Slot::Said(TOO_LONG);
        }
        open.bytes.extend_from_slice(request);
        open.queued.push((open.bytes.len(), slot));
        Slot::Said(QUEUED)
    }

    /// What is behind each `EXEC` that is not answered yet, oldest first.
    pub fn closed(&self) -> impl Iterator<Item = &Transaction> {
        self.closed.iter()
    }

    /// What is behind the newest `EXEC`.
    pub fn last(&self) -> Option<&Transaction> {
        self.closed.back()
    }

    /// The oldest are answered.
    pub fn answered(&mut self, count: usize) {
        self.closed.drain(..count);
    }
}

impl Watched {
    /// What is watched already keeps its version.
    fn add(&mut self, key: &[u8], version: &[u8]) {
        if !self.versions.contains_key(key) {
            self.bytes += key.len() + OVERHEAD;
            self.versions.insert(Bytes::copy_from_slice(key), Bytes::copy_from_slice(version));
        }
    }
}

impl Transaction {
    /// It will not be executed: nothing needs to be kept of it.
    fn abort(&mut self) {
        *self = Transaction { aborted: true, ..Transaction::default() };
    }

    /// Bytes that it takes.
    pub fn size(&self) -> usize {
        self.watched.bytes + self.bytes.len() + self.queued.len() * OVERHEAD
    }

    /// Each queued request, and whose it is.
    pub fn queued(&self) -> impl Iterator<Item = (Slot, &[u8])> {
        let mut begin = 0;
        self.queued.iter().map(move |&(end, slot)| {
            let request = &self.bytes[begin..end];
            begin = end;
            (slot, request)
        })
    }

    /// Those that the store executes.
    fn commands(&self) -> impl Iterator<Item = (&'static Command, &[u8])> {
        self.queued().filter_map(|(slot, request)| match slot {
            Slot::Store(command) => Some((command, request)),
            _ => None,
        })
    }

    /// Whether it enters the log.
    pub fn writes(&self) -> bool {
        self.asks() && self.is_write()
    }

    /// Whether it must enter the log.
    fn is_write(&self) -> bool {
        self.watches() || self.commands().any(|(command, _)| command.is_write())
    }

    fn watches(&self) -> bool {
        !self.watched.versions.is_empty()
    }

    /// Whether the store has a part in it.
    fn asks(&self) -> bool {
        !self.watched.lost && (self.watches() || self.commands().next().is_some())
    }

    /// What the server is to do for it; `None` when the connection can answer by itself.
    pub fn operation(&self) -> Option<Operation> {
        if !self.asks() {
            return None;
        }
        let versions = self.watched.versions.iter();
        let watched = versions.flat_map(|(key, version)| [&key[..], version]).collect();
        let commands = self.commands().map(|(_, request)| request);
        let spelt = Bytes::from(transactions::spell(watched, commands));
        Some(if self.is_write() { Operation::Command(spelt) } else { Operation::Query(spelt) })
    }

    /// Writes the reply to `EXEC`: one error for all of it, or what the store replied, and the
    /// connection's own replies at their place.
    pub fn answer(
        &self,
        replies: &mut Replies,
        session: &mut Session,
        node: &Node,
        out: &mut Vec<u8>,
    ) {
        let asked = Asked { name: "exec", writes: self.is_write() };
        let reply = if self.asks() {
            let Some(reply) = replies.next(asked, out) else { return };
            &reply[..]
        } else if self.watched.lost {
            transactions::CHANGED
        } else {
            NO_REPLIES
        };
        match reply {
            transactions::CHANGED => session.protocol.put_null_array(out),
            [b'-', ..] => out.extend_from_slice(reply),
            reply => {
                match replies::parts(reply).filter(|parts| parts.len() == self.commands().count()) {
                    Some(parts) => self.put_replies(&parts, session, node, out),
                    None => replies.misread(asked, out),
                }
            }
        }
    }

    fn put_replies(&self, parts: &[&[u8]], session: &mut Session, node: &Node, out: &mut Vec<u8>) {
        let mut parts = parts.iter();
        reply::array(out, self.queued.len());
        for (slot, request) in self.queued() {
            match slot {
                Slot::Store(_) => {
                    let part = parts.next().expect("as many as commands");
                    replies::put(part, session.protocol, out);
                }
                _ => session.execute(node, request, out),
            }
        }
    }
}
