//! A cluster's client whose writes take effect once: each gets a number in a session, and is sent
//! again with it, to the next address, when a connection was lost. Must never give a write another
//! number while it may yet be applied under the one before.

use std::time::{Duration, Instant};

use crate::client::Reply;
use crate::cluster::{Cluster, ClusterError};
use crate::store::commands;

/// A session that was not used for so long is not used again: the cluster may be about to end it.
const STALE: Duration = Duration::from_secs(1_800);

/// A cluster, and a session there from the first write on.
#[derive(Debug)]
pub struct Numbered {
    cluster: Cluster,
    session: Option<Session>,
    /// What answers knows no sessions: it is no node of ours.
    plain: bool,
}

#[derive(Clone, Copy, Debug)]
struct Session {
    id: i64,
    /// The last number given out.
    number: i64,
    used: Instant,
    /// Nobody could say what became of a number: that may yet be asked.
    open_question: bool,
}

/// How a session's opening ended, if it did not.
enum Opening {
    Session(Session),
    /// There are no sessions.
    Plain,
    /// The cluster's refusal.
    Refused(Reply),
}

/// What came of a numbered write.
enum Written {
    /// The reply to it.
    Told(Reply),
    /// It is in no log, and never will be: its number is as good as not given out.
    Refused(Reply),
}

impl Numbered {
    /// Nothing is sent yet.
    pub fn new(cluster: Cluster) -> Numbered {
        Numbered { cluster, session: None, plain: false }
    }

    /// Where the next command goes first.
    pub fn address(&self) -> &str {
        self.cluster.address()
    }

    /// Sends a command to the first address that takes it and waits for its reply; a write of the
    /// store as the next number of the session. Where nobody can say what became of a write the
    /// reply is an error `UNCERTAIN` that names session and number.
    ///
    /// # Errors
    /// If nothing answers, before anything was sent; or a connection broke over what is no write.
    pub fn call<W: AsRef<[u8]>>(&mut self, words: &[W]) -> Result<Reply, ClusterError> {
        let name = words.first().map_or(&b""[..], |word| word.as_ref());
        let writes = commands::find(name).is_some_and(|command| command.is_write());
        if self.plain || !writes {
            return self.cluster.call(words);
        }
        let session = match self.session.filter(|session| session.used.elapsed() < STALE) {
            Some(session) => session,
            None => match self.open()? {
                Opening::Session(session) => session,
                Opening::Plain => return self.cluster.call(words),
                Opening::Refused(reply) => return Ok(reply),
            },
        };
        let session = Session { number: session.number + 1, used: Instant::now(), ..session };
        self.session = Some(session);
        let written = self.write(session, words);
        if let Some(session) = &mut self.session {
            // The log takes no number that is far above those that it knows.
            if matches!(written, Ok(Written::Refused(_)) | Err(_)) {
                session.number -= 1;
            }
            session.open_question |=
                matches!(&written, Ok(Written::Told(reply)) if is_uncertain(reply));
        }
        written.map(|(Written::Told(reply) | Written::Refused(reply))| reply)
    }

    /// Ends the session, so that the cluster need remember nothing of it, unless somebody may yet ask
    /// what became of one of its numbers. Only over a connection that is there: otherwise it ends by
    /// itself, later.
    pub fn close(&mut self) {
        let Some(session) = self.session.take() else { return };
        if session.open_question || !self.cluster.is_connected() {
            return;
        }
        let _ = self.cluster.call(&["RAFT.SESSION", "CLOSE", &session.id.to_string()]);
    }

    /// A session that is opened twice, when an answer is lost, is one that nobody uses.
    fn open(&mut self) -> Result<Opening, ClusterError> {
        for last in self.attempts() {
            match self.cluster.call(&["RAFT.SESSION", "OPEN"]) {
                Ok(Reply::Integer(id)) => {
                    let used = Instant::now();
                    let session = Session { id, number: 0, used, open_question: false };
                    return Ok(Opening::Session(session));
                }
                Ok(Reply::Error(text)) if text.starts_with("ERR unknown command") => {
                    self.plain = true;
                    return Ok(Opening::Plain);
                }
                Ok(reply) if last || !is_uncertain(&reply) => return Ok(Opening::Refused(reply)),
                Err(ClusterError::Unknown(..)) if !last => {}
                Err(error) => return Err(error),
                Ok(_) => {}
            }
        }
        unreachable!("there is a last attempt")
    }

    fn write<W: AsRef<[u8]>>(
        &mut self,
        session: Session,
        words: &[W],
    ) -> Result<Written, ClusterError> {
        let [id, number] = [session.id, session.number].map(|number| number.to_string());
        let mut numbered: Vec<&[u8]> = vec![b"RAFT.DO", id.as_bytes(), number.as_bytes()];
        numbered.extend(words.iter().map(AsRef::as_ref));
        let mut astray = false;
        for _ in self.attempts() {
            match self.cluster.call(&numbered) {
                Ok(reply) if is_uncertain(&reply) => astray = true,
                // Refused: this copy is, but not one that was lost before.
                Ok(reply) if is_refused(&reply) => {
                    if !astray {
                        return Ok(Written::Refused(reply));
                    }
                }
                Ok(reply) => return Ok(Written::Told(reply)),
                Err(ClusterError::Unknown(..)) => astray = true,
                Err(_) if astray => {}
                Err(error) => return Err(error),
            }
        }
        Ok(Written::Told(self.ask(session)))
    }

    /// What became of a write of which copies were lost. If it was not applied it never will be.
    fn ask(&mut self, Session { id, number, .. }: Session) -> Reply {
        let words = ["RAFT.OUTCOME".to_owned(), id.to_string(), number.to_string()];
        for _ in self.attempts() {
            let Ok(Reply::Array(answer)) = self.cluster.call(&words) else { continue };
            let mut answer = answer.into_iter();
            let word = answer.next();
            return match (word, answer.next()) {
                (Some(Reply::Status(word)), Some(reply)) if word == "applied" => reply,
                (Some(Reply::Status(word)), None) if word == "applied" => {
                    Reply::Error(format!("APPLIED as number {number} of session {id}, once"))
                }
                (Some(Reply::Status(word)), _) if word == "not-applied" => {
                    Reply::Error("CLUSTERDOWN not applied, safe to repeat".into())
                }
                _ => uncertain(id, number),
            };
        }
        uncertain(id, number)
    }

    /// Once more than there are addresses; whether it is the last time.
    fn attempts(&self) -> impl Iterator<Item = bool> + use<> {
        let more = self.cluster.addresses().len();
        (0..=more).map(move |attempt| attempt == more)
    }
}

fn is_uncertain(reply: &Reply) -> bool {
    matches!(reply, Reply::Error(text) if text.starts_with("UNCERTAIN"))
}

fn is_refused(reply: &Reply) -> bool {
    let words = ["CLUSTERDOWN", "TRYAGAIN", "LOADING", "READONLY", "MOVED", "OOM"];
    matches!(reply, Reply::Error(text) if words.iter().any(|word| text.starts_with(word)))
}

fn uncertain(id: i64, number: i64) -> Reply {
    Reply::Error(format!(
        "UNCERTAIN number {number} of session {id} may or may not be applied; ask RAFT.OUTCOME {id} \
         {number}"
    ))
}
