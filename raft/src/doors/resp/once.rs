//! `RAFT.SESSION`, `RAFT.DO` and `RAFT.OUTCOME`: commands that take effect once, and outcomes that can
//! be asked for. What can be said of a request by itself is said here; must never judge whether a
//! session is open or a number taken: the log does.

use messages::{CommandNumber, LogPosition, Operation, SessionId};
use servers::sessions::{Answer, WINDOW};

use super::replies;
use super::session::{self, Protocol};
use super::transactions;
use crate::store::arguments::Arguments;
use crate::store::commands::{self, Command};
use crate::store::reply::{self, NOT_AN_INTEGER};

/// A request that a session answers.
#[derive(Clone, Copy, Debug)]
pub enum Once {
    /// `RAFT.SESSION OPEN`.
    Open,
    /// `RAFT.SESSION CLOSE session`.
    Close(SessionId),
    /// `RAFT.DO session number command...`.
    Do {
        /// The session.
        session: SessionId,
        /// The client's number for the command.
        number: CommandNumber,
        /// What it is: one that reads, too, is executed at its place in the log.
        command: &'static Command,
    },
    /// `RAFT.OUTCOME session number`.
    Outcome {
        /// The session.
        session: SessionId,
        /// The number asked for.
        number: CommandNumber,
    },
}

/// Arguments before the command of a `RAFT.DO`.
const BEFORE_COMMAND: usize = 3;

impl Once {
    /// Reads a request of one of these names; the error is the reply to one that is none.
    pub fn read(request: &[u8]) -> Result<Once, Vec<u8>> {
        let mut arguments = Arguments::decode(request).unwrap_or_else(Arguments::none);
        let count = arguments.len();
        let name = arguments.shift().to_ascii_lowercase();
        let (known, arity) = match &name[..] {
            b"raft.session" => ("raft.session", -2),
            b"raft.do" => ("raft.do", -4),
            _ => ("raft.outcome", 3),
        };
        if !commands::takes(arity, count) {
            return Err(refusal(|out| reply::wrong_arity(out, known)));
        }
        if known == "raft.session" {
            return subcommand(arguments);
        }
        let session = session(&mut arguments)?;
        let number = CommandNumber(positive(arguments.shift(), "numbers start at 1")?);
        if known == "raft.outcome" {
            return Ok(Once::Outcome { session, number });
        }
        inner_command(arguments).map(|command| Once::Do { session, number, command })
    }

    /// What the server is to do for a request that was read as this.
    pub fn operation(self, request: &[u8]) -> Operation {
        match self {
            Once::Open => Operation::OpenSession,
            Once::Close(session) => Operation::CloseSession(session),
            Once::Outcome { session, number } => Operation::Outcome { session, number },
            Once::Do { session, number, .. } => {
                let mut command = Arguments::decode(request).unwrap_or_else(Arguments::none);
                for _ in 0..BEFORE_COMMAND {
                    command.shift();
                }
                let command = command.spell_rest().into(); // the log keeps it, and nothing else
                Operation::Session { session, number, command }
            }
        }
    }

    /// Appends what came of it.
    pub fn put(self, answer: &[u8], protocol: Protocol, out: &mut Vec<u8>) {
        match (self, Answer::read(answer)) {
            (Once::Open, Some(Answer::Opened(SessionId(id)))) => reply::integer(out, id as i64),
            (Once::Do { session, number, .. }, Some(answer)) => {
                put_done(session, number, answer, protocol, out);
            }
            (Once::Outcome { session, number }, Some(answer)) => {
                put_outcome(session, number, answer, protocol, out);
            }
            (Once::Close(_), Some(Answer::Ended)) => reply::ok(out),
            (Once::Open | Once::Close(_), _) | (_, None) => self.put_uncertain(None, out),
        }
    }

    /// Appends that nothing is known of it.
    pub fn put_uncertain(self, position: Option<LogPosition>, out: &mut Vec<u8>) {
        let at = position.map(|position| format!(" at {position}")).unwrap_or_default();
        let text = match self {
            Once::Open => format!(
                "UNCERTAIN RAFT.SESSION OPEN{at} may have opened a session that nobody uses; \
                 safe to repeat"
            ),
            Once::Close(session) => format!(
                "UNCERTAIN RAFT.SESSION CLOSE{at} may or may not have ended session {session}; safe \
                 to repeat"
            ),
            Once::Do { session, number, command } => {
                let name = command.name.to_uppercase();
                format!(
                    "UNCERTAIN {name}{at} may or may not be applied, as number {number} of session \
                     {session}; repeat it so, or ask RAFT.OUTCOME {session} {number}"
                )
            }
            Once::Outcome { session, number } => format!(
                "UNCERTAIN RAFT.OUTCOME{at} of number {number} of session {session} may have \
                 closed it; safe to repeat"
            ),
        };
        reply::error(out, &text);
    }
}

/// Whether a command is one of these.
pub fn is_name(name: &[u8]) -> bool {
    let names = [&b"raft.do"[..], b"raft.outcome", b"raft.session"];
    names.iter().any(|known| known.eq_ignore_ascii_case(name))
}

fn refusal(put: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut reply = Vec::new();
    put(&mut reply);
    reply
}

/// What is asked of a session itself.
fn subcommand(mut arguments: Arguments) -> Result<Once, Vec<u8>> {
    let count = 1 + arguments.len();
    let word = arguments.shift();
    let (known, wanted) = match &word.to_ascii_lowercase()[..] {
        b"open" => ("raft.session|open", 2),
        b"close" => ("raft.session|close", 3),
        _ => return Err(refusal(|out| reply::unknown_subcommand(out, "RAFT.SESSION", word))),
    };
    match count == wanted {
        false => Err(refusal(|out| reply::wrong_arity(out, known))),
        true if wanted == 2 => Ok(Once::Open),
        true => session(&mut arguments).map(Once::Close),
    }
}

fn session(arguments: &mut Arguments) -> Result<SessionId, Vec<u8>> {
    positive(arguments.shift(), "a session's id is 1 or more").map(SessionId)
}

fn positive(argument: &[u8], otherwise: &str) -> Result<u64, Vec<u8>> {
    let Some(number) = reply::parse_decimal(argument) else {
        return Err(refusal(|out| reply::error(out, NOT_AN_INTEGER)));
    };
    let positive = u64::try_from(number).ok().filter(|number| *number > 0);
    positive.ok_or_else(|| refusal(|out| reply::error(out, &format!("ERR {otherwise}"))))
}

/// The command within a `RAFT.DO`: one of the store.
fn inner_command(mut arguments: Arguments) -> Result<&'static Command, Vec<u8>> {
    let (request, count) = (arguments.clone(), arguments.len());
    let name = arguments.shift();
    match commands::find(name) {
        Some(command) if command.takes(count) => Ok(command),
        Some(command) => Err(refusal(|out| reply::wrong_arity(out, command.name))),
        None if session::is_command(name) || transactions::is_word(name) => {
            let name = name.to_ascii_uppercase();
            let text = [b"ERR RAFT.DO takes a command of the store, not ", &name[..]].concat();
            Err(refusal(|out| reply::error_bytes(out, &text)))
        }
        None => Err(refusal(|out| reply::unknown_command(out, request))),
    }
}

fn put_done(
    session: SessionId,
    number: CommandNumber,
    answer: Answer,
    protocol: Protocol,
    out: &mut Vec<u8>,
) {
    let text = match answer {
        Answer::Reply(reply) => return replies::put(reply, protocol, out),
        Answer::NotKept => format!(
            "APPLIED number {number} of session {session} was applied, once; its answer was too \
             long to be kept"
        ),
        Answer::Closed => format!(
            "ERR number {number} of session {session} is closed: RAFT.OUTCOME said that it is not \
             applied, and it never will be"
        ),
        Answer::TooHigh { highest } => too_high(session, number, highest),
        Answer::Forgotten => format!(
            "UNCERTAIN number {number} of session {session} may have been applied before: it is \
             {WINDOW} or more below the highest; it was not applied now"
        ),
        Answer::NoSession | Answer::Opened(_) | Answer::Ended => format!(
            "UNCERTAIN number {number} of session {session} may have been applied before: the \
             session has ended or never was; it was not applied now"
        ),
    };
    reply::error(out, &text);
}

fn put_outcome(
    session: SessionId,
    number: CommandNumber,
    answer: Answer,
    protocol: Protocol,
    out: &mut Vec<u8>,
) {
    let (word, reply) = match answer {
        Answer::Reply(reply) => ("applied", Some(reply)),
        Answer::NotKept => ("applied", None),
        Answer::Closed => ("not-applied", None),
        Answer::Forgotten | Answer::NoSession | Answer::Opened(_) | Answer::Ended => {
            ("unknown", None)
        }
        Answer::TooHigh { highest } => {
            return reply::error(out, &too_high(session, number, highest));
        }
    };
    reply::array(out, 1 + usize::from(reply.is_some()));
    reply::status(out, word);
    if let Some(reply) = reply {
        replies::put(reply, protocol, out);
    }
}

fn too_high(session: SessionId, number: CommandNumber, highest: CommandNumber) -> String {
    format!(
        "ERR number {number} is more than {WINDOW} above {highest}, the highest of session \
         {session}; not applied"
    )
}
