//! What a user brings: a deterministic state machine. Must never know of terms, votes or peers.

use messages::{LogIndex, LogTime};

/// Places that an entry has: a batch is of no more commands.
const PLACES: u64 = 1024;

/// Commands that [`StateMachine::foresee`] is told of at once, at most: about as many as a processor
/// fetches from memory at the same time.
pub const FORESEEN: usize = 16;

/// Where in the log a command is applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Applied {
    /// The entry's index. Commands of one batch share it.
    pub index: LogIndex,
    /// The command's place in its entry, from zero.
    pub place: usize,
    /// The entry's log time; never falls from one command to the next.
    pub time: LogTime,
}

impl Applied {
    /// A number that no other command has, and that rises along the log: the entry's index × 1024 +
    /// the command's place. Commands from the 1,024th on, which no batch of ours has, share theirs.
    pub fn stamp(self) -> u64 {
        self.index.0.saturating_mul(PLACES) + (self.place as u64).min(PLACES - 1)
    }
}

/// A deterministic state machine: the same commands in the same order leave the same state and give
/// the same replies on every node. So it must read no clock, no random numbers and no file, and
/// nothing may depend on the iteration order of a randomly seeded hash map.
pub trait StateMachine: Send {
    /// Executes a committed command and appends its reply to `reply` (which may hold bytes of
    /// earlier replies: only append, and let nothing depend on them). Any bytes may come, also ones this version does not know:
    /// answer with an error of your own, do not panic.
    fn apply(&mut self, at: Applied, command: &[u8], reply: &mut Vec<u8>);

    /// These commands and queries are likely to come next, [`FORESEEN`] of them at most. A machine that
    /// is larger than the processor's caches may look where they will look, at all places together:
    /// then memory is waited for once, not for each. Must change nothing.
    fn foresee(&self, _commands: &[&[u8]]) {}

    /// A committed entry is about to be applied, be it without commands: what time alone brings
    /// about happens here, in bounded steps. `at.place` is zero.
    fn advance(&mut self, _: Applied) {}

    /// From which log time on `advance` has something to do; none if nothing waits for time. Where
    /// no entry comes by then, the leader has a blank one committed. Every `advance` at or after that
    /// time must bring the machine nearer to another one, or to none: else blank entries never end.
    fn next_due(&self) -> Option<LogTime> {
        None
    }

    /// Whether the answer to a query may be another one once an entry of the time `now` is applied.
    /// A linearizable read of which this is true, `now` being the leader's time, waits for a blank
    /// entry.
    fn is_due(&self, _query: &[u8], now: LogTime) -> bool {
        self.next_due().is_some_and(|due| due <= now)
    }

    /// Answers a question and changes nothing; appends the answer to `reply`.
    fn query(&self, query: &[u8], reply: &mut Vec<u8>);

    /// A machine with the same settings, to which nothing was applied: what is restored begins so,
    /// beside the machine that serves.
    fn fresh(&self) -> Self
    where
        Self: Sized;

    /// What the machine is at this moment, to be written piece by piece while commands go on: so
    /// this must take no time that grows much with the state, and nothing applied later may show.
    fn snapshot(&mut self) -> Box<dyn Pieces>;

    /// Takes the next piece of a snapshot of this or an earlier version, in the order in which
    /// [`Pieces`] gave them; before the first the machine is [`fresh`](StateMachine::fresh). After
    /// the last it must be what it was when the snapshot was taken: same replies, same digest.
    ///
    /// # Errors
    /// If that is no such piece. The bytes are those that were written, but perhaps by another
    /// machine or version.
    fn restore(&mut self, piece: &[u8]) -> Result<(), Unreadable>;

    /// A number that differs (very likely) when the states of two machines differ. Lets replicas
    /// notice that they have come apart.
    fn digest(&self) -> u64;
}

/// A machine as it was at one moment, on its way to a file: on a thread of its own.
pub trait Pieces: Send {
    /// The next piece, of some 100 KiB at most unless one thing alone is larger; none behind the
    /// last.
    fn next(&mut self) -> Option<Vec<u8>>;
}

/// All of a small machine.
pub fn one_piece(bytes: Vec<u8>) -> Box<dyn Pieces> {
    struct One(Option<Vec<u8>>);

    impl Pieces for One {
        fn next(&mut self) -> Option<Vec<u8>> {
            self.0.take()
        }
    }

    Box::new(One(Some(bytes)))
}

/// Why a machine cannot take a piece of a snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unreadable(pub &'static str);
