//! What a session answers, as the applier hands it to whoever asked, be it through another node:
//! one byte for the kind, then what belongs to it. Must never change a kind's number: nodes of other
//! versions read it (`docs/wire.md`).

use messages::{CommandNumber, SessionId};

/// An answer to an item of a session. The same kinds answer a command and the question for its
/// outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer<'a> {
    /// The session was opened.
    Opened(SessionId),
    /// Applied, once; this is the machine's reply, which may have been given before.
    Reply(&'a [u8]),
    /// Applied, once; the reply was too long to be remembered.
    NotKept,
    /// Not applied, and never will be: its outcome was asked for before.
    Closed,
    /// Not applied: the number is too far above the highest that the session has seen. No effect.
    TooHigh {
        /// That one.
        highest: CommandNumber,
    },
    /// Never applied from now on, but it may have been: so many higher numbers came that this one
    /// is no longer remembered.
    Forgotten,
    /// Never applied from now on, but it may have been: the session has ended, or never was.
    NoSession,
    /// The session has ended, now or before, or never was.
    Ended,
}

impl<'a> Answer<'a> {
    /// Spells it, at the end of `out`.
    pub fn write(self, out: &mut Vec<u8>) {
        match self {
            Answer::Opened(SessionId(id)) => {
                out.push(1);
                out.extend_from_slice(&id.to_le_bytes());
            }
            Answer::Reply(reply) => {
                out.push(2);
                out.extend_from_slice(reply);
            }
            Answer::NotKept => out.push(3),
            Answer::Closed => out.push(4),
            Answer::TooHigh { highest } => {
                out.push(5);
                out.extend_from_slice(&highest.0.to_le_bytes());
            }
            Answer::Forgotten => out.push(6),
            Answer::NoSession => out.push(7),
            Answer::Ended => out.push(8),
        }
    }

    /// Reads what [`write`](Answer::write) spelt, perhaps on another node; `None` for anything else.
    pub fn read(bytes: &'a [u8]) -> Option<Answer<'a>> {
        let (kind, rest) = bytes.split_first()?;
        let number = || rest.try_into().ok().map(u64::from_le_bytes);
        let alone = |answer| rest.is_empty().then_some(answer);
        match kind {
            1 => number().map(|id| Answer::Opened(SessionId(id))),
            2 => Some(Answer::Reply(rest)),
            3 => alone(Answer::NotKept),
            4 => alone(Answer::Closed),
            5 => number().map(|highest| Answer::TooHigh { highest: CommandNumber(highest) }),
            6 => alone(Answer::Forgotten),
            7 => alone(Answer::NoSession),
            8 => alone(Answer::Ended),
            _ => None,
        }
    }
}
