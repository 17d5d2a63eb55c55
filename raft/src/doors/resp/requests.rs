//! Collects what a connection yields into one batch for the server (design, rule 9). Must never let a
//! batch outgrow its limits, save by a single request.

use std::ops::Range;

use bytes::Bytes;
use messages::Operation;
use servers::host::Batch;
use states::Time;

use super::once::{self, Once};
use super::parser::{Parser, Progress, ProtocolError};
use super::session;
use crate::store::arguments::Arguments;
use crate::store::commands::{self, Command};

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
}

/// Whether what enters the log is of sessions. A batch is all of one kind: one of sessions may be
/// placed again, which takes effect twice for all else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Plain,
    Sessions,
}

impl Slot {
    /// None for what does not enter the log.
    fn kind(&self) -> Option<Kind> {
        match self {
            Slot::Store(command) => command.is_write().then_some(Kind::Plain),
            Slot::Once(_) => Some(Kind::Sessions),
            Slot::Local => None,
        }
    }
}

/// Whole requests, and the beginning of the next one.
pub struct Requests {
    parser: Parser,
    /// All of them, as the log spells requests.
    bytes: Vec<u8>,
    /// Where each ends, and when it was there whole.
    ends: Vec<(usize, Time)>,
    /// What each is.
    slots: Vec<Slot>,
    /// Those before this one belong to the batch; at most one is left over.
    batch: usize,
    /// What of them enters the log, if anything does.
    kind: Option<Kind>,
    full: bool,
    /// The protocol broke behind the last request.
    pub broken: Option<ProtocolError>,
}

impl Requests {
    /// None yet; each will be of up to `max_request` bytes.
    pub fn new(max_request: usize) -> Requests {
        Requests {
            parser: Parser::new(max_request),
            bytes: Vec::new(),
            ends: Vec::new(),
            slots: Vec::new(),
            batch: 0,
            kind: None,
            full: false,
            broken: None,
        }
    }

    /// Whether the batch takes no more.
    pub fn is_full(&self) -> bool {
        self.full || self.broken.is_some()
    }

    /// Whether there is no whole request.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
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
        self.ends.push((self.bytes.len(), at));
        self.take_in();
    }

    /// Takes the last request into the batch if it fits there.
    fn take_in(&mut self) {
        let end = self.bytes.len();
        let (slot, ends_batch) = classify(&self.bytes[self.range(self.ends.len() - 1)]);
        self.slots.push(slot);
        let kind = slot.kind().or(self.kind);
        let too_large = end > MAX_BYTES && self.ends.len() > 1;
        if too_large || self.kind.is_some_and(|of_batch| kind != Some(of_batch)) {
            self.full = true;
        } else {
            self.kind = kind;
            self.batch = self.ends.len();
            self.full = ends_batch || end >= MAX_BYTES || self.batch == MAX_REQUESTS;
        }
    }

    /// Slots of the batch with the bytes of each.
    pub fn slots(&self) -> impl Iterator<Item = (Slot, &[u8])> {
        let ranges = (0..self.batch).map(|at| self.range(at));
        self.slots.iter().copied().zip(ranges.map(|range| &self.bytes[range]))
    }

    /// How many entries of the log `RAFT.LOG` asks for, at most, if the batch has one.
    pub fn log_asked(&self) -> Option<usize> {
        let local = self.slots().filter(|(slot, _)| matches!(slot, Slot::Local));
        local.filter_map(|(_, request)| session::log_asked(request)).max()
    }

    fn range(&self, at: usize) -> Range<usize> {
        let begin = if at == 0 { 0 } else { self.ends[at - 1].0 };
        begin..self.ends[at].0
    }

    /// What the server is to do; `None` when the connection can answer all by itself.
    pub fn batch(&self, stale: bool) -> Option<Batch> {
        let (mut commands, mut queries) = (0, 0);
        let mut operations = 0;
        for (slot, bytes) in self.slots() {
            operations += usize::from(!matches!(slot, Slot::Local));
            if let Slot::Store(command) = slot {
                *if command.is_write() { &mut commands } else { &mut queries } += bytes.len();
            }
        }
        if operations == 0 {
            return None;
        }
        // Two pieces of memory, exactly as large as needed: the log keeps the commands for long, and
        // must not keep anything else with them.
        let commands = Pieces::new(self, commands, true);
        let queries = Pieces::new(self, queries, false);
        let operations = self.operations(operations, commands, queries);
        let stale = stale && !operations.iter().any(Operation::is_command);
        Some(Batch { arrived: self.ends[0].1, operations, stale })
    }

    fn operations(
        &self,
        count: usize,
        mut commands: Pieces,
        mut queries: Pieces,
    ) -> Vec<Operation> {
        let mut operations = Vec::with_capacity(count);
        for (slot, bytes) in self.slots() {
            match slot {
                Slot::Store(command) if command.is_write() => {
                    operations.push(Operation::Command(commands.take(bytes.len())));
                }
                Slot::Store(_) => operations.push(Operation::Query(queries.take(bytes.len()))),
                Slot::Once(once) => operations.push(once.operation(bytes)),
                Slot::Local => {}
            }
        }
        operations
    }

    /// Forgets the batch; what was read beyond it begins the next one.
    pub fn clear(&mut self) {
        let end = if self.batch == 0 { 0 } else { self.ends[self.batch - 1].0 };
        self.bytes.drain(..end);
        self.ends.drain(..self.batch);
        self.slots.drain(..self.batch);
        for (request, _) in &mut self.ends {
            *request -= end;
        }
        (self.batch, self.kind, self.full) = (0, None, false);
        if self.slots.pop().is_some() {
            self.take_in(); // what was left over
        }
        if self.bytes.is_empty() {
            self.bytes.shrink_to(KEPT);
        }
        self.ends.shrink_to(KEPT / size_of::<(usize, Time)>());
        self.slots.shrink_to(KEPT / size_of::<Slot>());
    }
}

/// Says whose a request is, and whether the batch must end with it.
fn classify(request: &[u8]) -> (Slot, bool) {
    let Some(mut arguments) = Arguments::decode(request) else { return (Slot::Local, false) };
    let count = arguments.len();
    let name = arguments.shift();
    match commands::find(name) {
        Some(command) if command.takes(count) => (Slot::Store(command), false),
        Some(_) => (Slot::Local, false),
        None if once::is_name(name) => (Once::read(request).map_or(Slot::Local, Slot::Once), false),
        None => (Slot::Local, session::ends_batch(name)),
    }
}

/// One piece of memory that hands out its parts.
struct Pieces(Bytes);

impl Pieces {
    fn new(requests: &Requests, size: usize, writes: bool) -> Pieces {
        let mut bytes = Vec::with_capacity(size);
        for (slot, request) in requests.slots() {
            if matches!(slot, Slot::Store(command) if command.is_write() == writes) {
                bytes.extend_from_slice(request);
            }
        }
        Pieces(Bytes::from(bytes))
    }

    fn take(&mut self, length: usize) -> Bytes {
        self.0.split_to(length)
    }
}
