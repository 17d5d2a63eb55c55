//! Collects what a connection yields into one batch for the server (design, rule 9). Must never let a
//! batch outgrow its limits, save by a single request.

use bytes::Bytes;
use messages::Operation;
use servers::host::Batch;
use states::Time;

use super::once::Once;
use super::own::Asked;
use super::parser::{Parser, Progress, ProtocolError};
use super::transactions::{Transaction, Transactions};
use crate::store::commands::Command;

/// The most bytes of a batch of several requests.
const MAX_BYTES: usize = 256 << 10;

/// The most requests of a batch.
const MAX_REQUESTS: usize = 1024;

/// Memory that is kept for the next batch; what is above goes back.
const KEPT: usize = 16 << 10;

/// One request of a batch.
#[derive(Clone, Copy, Debug)]
pub enum Slot {
    /// The store's: it has the next reply.
    Store(&'static Command),
    /// A session's: likewise.
    Once(Once),
    /// The connection's own, or nobody's.
    Local,
    /// Answered so, whatever becomes of the others.
    Said(&'static [u8]),
    /// `WATCH`: the next reply has the versions of its keys.
    Watch,
    /// `EXEC`: of the next transaction. If that asks the store it has the next reply.
    Exec,
}

/// One whole request.
#[derive(Clone, Copy, Debug)]
struct Held {
    slot: Slot,
    /// Where it ends.
    end: usize,
    /// Bytes of all transactions executed up to here.
    executed: usize,
    /// None if it does not enter the log.
    kind: Option<Kind>,
    /// When it was there whole.
    at: Time,
    /// What comes behind it is to be read in its light.
    ends_batch: bool,
}

/// Whether what enters the log is of sessions. A batch is all of one kind: one of sessions may be
/// placed again, which takes effect twice for all else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Plain,
    Sessions,
}

impl Kind {
    /// None of what does not enter the log. `transaction` is that of an `EXEC`.
    fn of(slot: Slot, transaction: Option<&Transaction>) -> Option<Kind> {
        match slot {
            Slot::Store(command) => command.is_write().then_some(Kind::Plain),
            Slot::Exec => transaction?.writes().then_some(Kind::Plain),
            Slot::Once(_) => Some(Kind::Sessions),
            Slot::Local | Slot::Said(_) | Slot::Watch => None,
        }
    }
}

/// Whole requests, and the beginning of the next one.
pub struct Requests {
    parser: Parser,
    /// All of them, as the log spells requests.
    bytes: Vec<u8>,
    held: Vec<Held>,
    /// Those before this one belong to the batch; at most one is left over.
    batch: usize,
    /// What of them enters the log, if anything does.
    kind: Option<Kind>,
    full: bool,
    /// The protocol broke behind the last request.
    pub broken: Option<ProtocolError>,
    /// What is queued and watched behind all requests that are held.
    pub transactions: Transactions,
}

impl Requests {
    /// None yet; each will be of up to `max_request` bytes, as will each transaction.
    pub fn new(max_request: usize) -> Requests {
        Requests {
            parser: Parser::new(max_request),
            bytes: Vec::new(),
            held: Vec::new(),
            batch: 0,
            kind: None,
            full: false,
            broken: None,
            transactions: Transactions::new(max_request),
        }
    }

    /// Whether the batch takes no more.
    pub fn is_full(&self) -> bool {
        self.full || self.broken.is_some()
    }

    /// Whether there is no whole request.
    pub fn is_empty(&self) -> bool {
        self.held.is_empty()
    }

    /// Reads requests off the front of `input`, which arrived at `at`, until the batch is full.
    pub fn read(&mut self, input: &mut &[u8], at: Time) {
        while !self.is_full() && !input.is_empty() {
            match self.parser.read(input, &mut self.bytes) {
                Ok(Progress::Request) => self.on_request(at),
                Ok(Progress::Partial) => {}
                Err(error) => self.broken = Some(error),
            }
        }
    }

    fn on_request(&mut self, at: Time) {
        let (begin, executed) = self.held.last().map_or((0, 0), |last| (last.end, last.executed));
        let end = self.bytes.len();
        let (slot, ends_batch) = self.transactions.meet(&self.bytes[begin..end]);
        let transaction = self.transactions.last().filter(|_| matches!(slot, Slot::Exec));
        let executed = executed + transaction.map_or(0, Transaction::size);
        let kind = Kind::of(slot, transaction);
        self.held.push(Held { slot, end, executed, kind, at, ends_batch });
        self.take_in();
    }

    /// Takes the last request into the batch if it fits there.
    fn take_in(&mut self) {
        let Some(held) = self.held.last() else { return };
        let too_large = held.size() > MAX_BYTES && self.held.len() > 1;
        let kind = held.kind.or(self.kind);
        if too_large || self.kind.is_some_and(|of_batch| kind != Some(of_batch)) {
            self.full = true;
        } else {
            self.kind = kind;
            self.batch = self.held.len();
            self.full = held.fills() || self.batch == MAX_REQUESTS;
        }
    }

    /// Slots of the batch with the bytes of each.
    pub fn slots(&self) -> impl Iterator<Item = (Slot, &[u8])> {
        let mut begin = 0;
        self.held[..self.batch].iter().map(move |held| {
            let request = &self.bytes[begin..held.end];
            begin = held.end;
            (held.slot, request)
        })
    }

    /// What the batch asks of its node.
    pub fn asked(&self) -> Asked {
        Asked::by(self.local())
    }

    /// The connection's own requests, those within transactions included.
    fn local(&self) -> impl Iterator<Item = &[u8]> {
        let executed = self.executed().flat_map(Transaction::queued);
        let local = self.slots().chain(executed).filter(|(slot, _)| matches!(slot, Slot::Local));
        local.map(|(_, request)| request)
    }

    /// The transactions of the batch.
    pub fn executed(&self) -> impl Iterator<Item = &Transaction> {
        let count = self.held[..self.batch].iter().filter(|held| matches!(held.slot, Slot::Exec));
        self.transactions.closed().take(count.count())
    }

    /// What the server is to do; `None` when the connection can answer all by itself.
    pub fn batch(&self, stale: bool) -> Option<Batch> {
        let (mut commands, mut queries) = (0, 0);
        let mut asks = self.executed().next().is_some();
        for (slot, bytes) in self.slots() {
            match writes(slot) {
                Some(true) => commands += bytes.len(),
                Some(false) => queries += bytes.len(),
                None => asks |= matches!(slot, Slot::Once(_)),
            }
        }
        if commands + queries == 0 && !asks {
            return None;
        }
        // Two pieces of memory, exactly as large as needed: the log keeps the commands for long, and
        // must not keep anything else with them.
        let commands = Pieces::new(self, commands, true);
        let queries = Pieces::new(self, queries, false);
        let operations = self.operations(commands, queries);
        let arrived = self.held.first()?.at;
        let watches = self.slots().any(|(slot, _)| matches!(slot, Slot::Watch));
        let stale = stale && !watches && !operations.iter().any(Operation::is_command);
        (!operations.is_empty()).then_some(Batch { arrived, operations, stale })
    }

    fn operations(&self, mut commands: Pieces, mut queries: Pieces) -> Vec<Operation> {
        let mut operations = Vec::with_capacity(self.batch);
        let mut executed = self.executed();
        for (slot, bytes) in self.slots() {
            match (slot, writes(slot)) {
                (_, Some(true)) => operations.push(Operation::Command(commands.take(bytes.len()))),
                (_, Some(false)) => operations.push(Operation::Query(queries.take(bytes.len()))),
                (Slot::Exec, None) => {
                    operations.extend(executed.next().and_then(Transaction::operation));
                }
                (Slot::Once(once), None) => operations.push(once.operation(bytes)),
                (_, None) => {}
            }
        }
        operations
    }

    /// Forgets the batch; what was read beyond it begins the next one.
    pub fn clear(&mut self) {
        let executed = self.executed().count();
        self.transactions.answered(executed);
        let (end, executed) = match self.batch.checked_sub(1) {
            Some(last) => (self.held[last].end, self.held[last].executed),
            None => (0, 0),
        };
        self.bytes.drain(..end);
        self.held.drain(..self.batch);
        for held in &mut self.held {
            held.end -= end;
            held.executed -= executed;
        }
        (self.batch, self.kind, self.full) = (0, None, false);
        self.take_in(); // what was left over
        if self.bytes.is_empty() {
            self.bytes.shrink_to(KEPT);
        }
        self.held.shrink_to(KEPT / size_of::<Held>());
    }
}

impl Held {
    /// Bytes of all requests up to here, and of what they execute.
    fn size(&self) -> usize {
        self.end + self.executed
    }

    /// Whether a batch that ends with it takes no more.
    fn fills(&self) -> bool {
        self.ends_batch || self.size() >= MAX_BYTES
    }
}

/// Whether the store is to execute the request itself, and as a command.
fn writes(slot: Slot) -> Option<bool> {
    match slot {
        Slot::Store(command) => Some(command.is_write()),
        Slot::Watch => Some(false),
        Slot::Once(_) | Slot::Local | Slot::Said(_) | Slot::Exec => None,
    }
}

/// One piece of memory that hands out its parts.
struct Pieces(Bytes);

impl Pieces {
    fn new(requests: &Requests, size: usize, commands: bool) -> Pieces {
        let mut bytes = Vec::with_capacity(size);
        for (slot, request) in requests.slots() {
            if writes(slot) == Some(commands) {
                bytes.extend_from_slice(request);
            }
        }
        Pieces(Bytes::from(bytes))
    }

    fn take(&mut self, length: usize) -> Bytes {
        self.0.split_to(length)
    }
}
