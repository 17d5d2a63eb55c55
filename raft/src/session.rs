//! A session with a replicated state machine of your own: commands that take effect once, and outcomes
//! that can be asked for. Must never give a number to two commands.

use bytes::Bytes;
use messages::{CommandNumber, LogPosition, Operation, SessionId};
use servers::mailbox::Mailbox;
use servers::sessions::Answer;

use crate::node::{Applied, ProposeError, submit};

/// An open session, from [`Node::session`](crate::Node::session): one proposal at a time; who wants
/// several at once opens several. It ends after an hour without use, or, the longest unused first,
/// when there are more than 10,000 in the cluster.
///
/// ```no_run
/// use raft::{Applied, Node, Outcome, ProposeError};
///
/// async fn pay(node: &Node) -> Result<(), ProposeError> {
///     let mut session = node.session().await?;
///     match session.propose("pay 5").await {
///         Ok(Applied { reply, .. }) => println!("{reply:?}"),
///         Err(ProposeError::Unresolved { number, .. }) => match session.outcome(number).await? {
///             Outcome::Applied(reply) => println!("{reply:?}"),
///             Outcome::NotApplied => println!("not paid, and never will be"),
///             Outcome::Unknown => println!("nobody can tell any longer"),
///         },
///         Err(error) => return Err(error),
///     }
///     Ok(())
/// }
/// ```
#[derive(Debug)]
pub struct Session {
    mailbox: Mailbox,
    id: SessionId,
    last: u64,
}

/// What became of a command of a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was applied, once, with this reply; none if that was longer than 4 KiB.
    Applied(Option<Bytes>),
    /// It was not applied, and never will be.
    NotApplied,
    /// It may have been applied, and certainly never will be from now on: the session has ended, or
    /// 64 or more commands came after it.
    Unknown,
}

impl Session {
    /// Opens one.
    pub(crate) async fn open(mailbox: Mailbox) -> Result<Session, ProposeError> {
        let (answer, _) = submit(&mailbox, Operation::OpenSession, false).await?;
        match Answer::read(&answer) {
            Some(Answer::Opened(id)) => Ok(Session { mailbox, id, last: 0 }),
            _ => Err(ProposeError::Unknown(None)), // no honest node's
        }
    }

    /// Goes on with one that was opened before.
    pub(crate) fn resume(mailbox: Mailbox, id: u64, last: u64) -> Session {
        Session { mailbox, id: SessionId(id), last }
    }

    /// Its id, for [`Node::resume_session`](crate::Node::resume_session) on any node.
    pub fn id(&self) -> u64 {
        self.id.0
    }

    /// The number of the last command proposed in it; they count from one.
    pub fn last_number(&self) -> u64 {
        self.last
    }

    /// Has a command applied once. Within the node's time-out it is handed to one leader after the
    /// other as long as nobody answers.
    ///
    /// # Errors
    /// See [`ProposeError`], above all [`ProposeError::Unresolved`], of which
    /// [`outcome`](Session::outcome) then tells.
    pub async fn propose(&mut self, command: impl Into<Bytes>) -> Result<Applied, ProposeError> {
        let number = self.last.saturating_add(1);
        let operation = Operation::Session {
            session: self.id,
            number: CommandNumber(number),
            command: command.into(),
        };
        self.last = number;
        let submitted = self.submit(operation, number).await;
        if let Err(ProposeError::NotApplied(_) | ProposeError::Refused(_)) = submitted {
            // In no log: given out again, since the log takes none far above those that it knows.
            self.last = number - 1;
        }
        let (answer, position) = submitted?;
        match Answer::read(&answer) {
            Some(Answer::Reply(reply)) => Ok(Applied { reply: answer.slice_ref(reply), position }),
            Some(Answer::NotKept) => Err(ProposeError::AnswerNotKept),
            Some(Answer::Closed) => Err(ProposeError::NotApplied("its number is closed".into())),
            Some(Answer::TooHigh { .. }) => {
                Err(ProposeError::NotApplied("its number is too high".into()))
            }
            Some(Answer::Forgotten | Answer::NoSession | Answer::Opened(_) | Answer::Ended)
            | None => Err(self.unresolved(number)),
        }
    }

    /// What became of a command, by its number. One that was not applied never will be from now on.
    ///
    /// # Errors
    /// See [`ProposeError`]; all of them mean that it can be asked again.
    pub async fn outcome(&mut self, number: u64) -> Result<Outcome, ProposeError> {
        self.last = self.last.max(number);
        let asked = Operation::Outcome { session: self.id, number: CommandNumber(number) };
        let (answer, _) = self.submit(asked, number).await?;
        match Answer::read(&answer) {
            Some(Answer::Reply(reply)) => Ok(Outcome::Applied(Some(answer.slice_ref(reply)))),
            Some(Answer::NotKept) => Ok(Outcome::Applied(None)),
            Some(Answer::Closed) => Ok(Outcome::NotApplied),
            Some(Answer::TooHigh { .. }) => {
                Err(ProposeError::NotApplied("no such number was given out".into()))
            }
            Some(Answer::Forgotten | Answer::NoSession | Answer::Opened(_) | Answer::Ended) => {
                Ok(Outcome::Unknown)
            }
            None => Err(self.unresolved(number)),
        }
    }

    /// Ends it, so that the cluster need remember nothing of it: one that is merely dropped ends after
    /// an hour. Outcomes in it are unknown from then on.
    ///
    /// # Errors
    /// See [`ProposeError`]; after any of them it can be tried again.
    pub async fn close(&mut self) -> Result<(), ProposeError> {
        let (answer, _) = submit(&self.mailbox, Operation::CloseSession(self.id), false).await?;
        match Answer::read(&answer) {
            Some(Answer::Ended) => Ok(()),
            _ => Err(ProposeError::Unknown(None)), // no honest node's
        }
    }

    async fn submit(
        &self,
        operation: Operation,
        number: u64,
    ) -> Result<(Bytes, Option<LogPosition>), ProposeError> {
        submit(&self.mailbox, operation, false).await.map_err(|error| match error {
            ProposeError::Unknown(_) => self.unresolved(number),
            other => other,
        })
    }

    fn unresolved(&self, number: u64) -> ProposeError {
        ProposeError::Unresolved { session: self.id.0, number }
    }
}
