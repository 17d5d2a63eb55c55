//! The sessions of simulated clients: a command whose outcome a client does not know is sent again
//! with its number, or asked for, until it is known. Must never give it another number before.

use bytes::Bytes;
use messages::{CommandNumber, Operation, SessionId};
use rand::RngExt;
use servers::host::Outcome;
use servers::machine::StateMachine;
use servers::sessions::Answer;
use states::random::SplitMix64;

use crate::checks::{Checks, Violation};
use crate::witness::{decode_reply, number_of};

/// One client's session.
#[derive(Default)]
pub struct Numbered {
    id: Option<SessionId>,
    last: u64,
    pending: Option<Pending>,
    /// A copy of a command that was told as not applied, to be sent all the same: as if it had been
    /// under way.
    late: Option<Operation>,
}

/// A command that is under way.
pub struct Pending {
    /// With its number in the list of all commands.
    pub command: Bytes,
    /// When it was asked first.
    pub moment: u64,
    /// The list that its answer must show at least.
    pub floor: u64,
    /// A copy of it may have taken effect, or may yet.
    lost: bool,
}

/// What a client came to know of its command.
pub enum Known {
    /// It took effect: the machine's reply, and its place.
    Done(Bytes, u64),
    /// It has no effect, and never will have.
    Refused,
    /// Nobody will ever say.
    Unknown,
}

/// Whether a batch is of a session: simulated ones are of one operation then.
pub fn is_of_session(operations: &[Operation]) -> bool {
    matches!(
        operations,
        [Operation::Session { .. }
            | Operation::OpenSession
            | Operation::Outcome { .. }
            | Operation::CloseSession(_)]
    )
}

impl Numbered {
    /// The command under way, which is given up.
    pub fn take(&mut self) -> Option<Pending> {
        self.pending.take()
    }

    /// Whether there is something to send before a command is begun.
    pub fn is_under_way(&self) -> bool {
        self.pending.is_some() || self.late.is_some()
    }

    /// Whether a command can be begun: there is a session, and none is under way.
    pub fn is_free(&self) -> bool {
        self.id.is_some() && !self.is_under_way()
    }

    /// Begins a command.
    pub fn begin(&mut self, command: Bytes, moment: u64, floor: u64) -> Operation {
        self.last += 1;
        self.pending = Some(Pending { command, moment, floor, lost: false });
        self.command().expect("just begun")
    }

    /// What to send now, if no command is to be begun.
    pub fn go_on(&mut self, random: &mut SplitMix64) -> Operation {
        if let Some(late) = self.late.take() {
            return late;
        }
        match (self.command(), self.id) {
            // It gives up, and whether the command took effect nobody will say.
            (Some(_), Some(session)) if random.random_bool(0.05) => {
                Operation::CloseSession(session)
            }
            (Some(_), Some(session)) if random.random_bool(0.5) => {
                Operation::Outcome { session, number: CommandNumber(self.last) }
            }
            (Some(again), _) => again,
            (None, _) => Operation::OpenSession,
        }
    }

    fn command(&self) -> Option<Operation> {
        let (session, pending) = (self.id?, self.pending.as_ref()?);
        let number = CommandNumber(self.last);
        Some(Operation::Session { session, number, command: pending.command.clone() })
    }

    /// The batch was lost with its node, or nobody knows what became of it.
    pub fn lose(&mut self) {
        if let Some(pending) = &mut self.pending {
            pending.lost = true;
        }
    }

    /// The batch has its outcome: what is known then of the command under way, if it is.
    pub fn on_outcome<M: StateMachine>(
        &mut self,
        asked: &Operation,
        outcome: &Outcome,
        checks: &mut Checks<M>,
    ) -> Result<Option<Known>, Violation> {
        match outcome {
            Outcome::Done { replies, .. } => {
                let [reply] = &replies[..] else {
                    return Err(format!("session: {} replies for one operation", replies.len()));
                };
                let answer = Answer::read(reply).ok_or("session: no answer of a session")?;
                self.on_answer(asked, reply, answer, checks)
            }
            Outcome::Uncertain { .. } => {
                self.lose();
                Ok(None)
            }
            Outcome::NoLeader { .. } | Outcome::Busy | Outcome::Full | Outcome::Stopped => {
                match &self.pending {
                    Some(pending) if !pending.lost => {
                        checks.on_refused(number_of(&pending.command))?;
                        self.last -= 1; // it is in no log, and is given out again
                        Ok(Some(Known::Refused))
                    }
                    _ => Ok(None),
                }
            }
        }
    }

    /// Whether the session is over, as the log says; then another is opened.
    fn has_ended<M: StateMachine>(&mut self, checks: &Checks<M>) -> bool {
        let ended = self.id.is_some_and(|id| !checks.is_open(id));
        if ended {
            self.id = None;
        }
        ended
    }

    fn on_answer<M: StateMachine>(
        &mut self,
        asked: &Operation,
        reply: &Bytes,
        answer: Answer,
        checks: &mut Checks<M>,
    ) -> Result<Option<Known>, Violation> {
        if let Operation::OpenSession = asked {
            let Answer::Opened(id) = answer else {
                return Err(format!("session: opening was answered {answer:?}"));
            };
            (self.id, self.last) = (Some(id), 0);
            return Ok(None);
        }
        if let Operation::CloseSession(_) = asked {
            self.late = self.command(); // a copy that was under way all the time
            let is_over = answer == Answer::Ended && self.has_ended(checks);
            let wrong = || format!("session: closing was answered {answer:?}");
            return is_over.then_some(Some(Known::Unknown)).ok_or_else(wrong);
        }
        let (Some(command), Some(pending)) = (self.command(), &self.pending) else {
            let has_ended =
                matches!(asked, Operation::Session { session, .. } if !checks.is_open(*session));
            self.has_ended(checks);
            return match answer {
                Answer::Closed => Ok(None),
                Answer::NoSession if has_ended => Ok(None),
                other => Err(format!("session: a closed number was answered {other:?}")),
            };
        };
        match answer {
            Answer::Reply(own) => {
                let own = reply.slice_ref(own);
                let (seen, own) =
                    decode_reply(&own).ok_or("session: a reply that no machine gave")?;
                checks.on_answer(&command, seen, &own, pending.floor)?;
                Ok(Some(Known::Done(own, seen.length)))
            }
            Answer::NotKept => Ok(Some(Known::Unknown)),
            Answer::Closed => {
                checks.on_refused(number_of(&pending.command))?;
                self.late = Some(command);
                Ok(Some(Known::Refused))
            }
            Answer::NoSession if self.has_ended(checks) => Ok(Some(Known::Unknown)),
            other => Err(format!("session: its newest number was answered {other:?}")),
        }
    }
}
