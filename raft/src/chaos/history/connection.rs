//! A connection of which everything is noted. Must never send anything twice.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use linearizability::kv::{self, Bytes, Command};

use super::History;
use super::words::{self, Meaning};
use crate::client::{CallError, Client, Holds, Reply};

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

impl Outcome {
    /// Whether it was answered.
    pub fn is_answer(&self) -> bool {
        matches!(self, Outcome::Answered(_))
    }
}

/// A connection to one node, all of which is noted. Each has a process number of its own.
#[derive(Debug)]
pub struct Connection {
    client: Client,
    process: u64,
    history: Arc<History>,
    /// `READONLY` was sent: reads may be old, and are not judged.
    stale: bool,
    /// What is queued behind `MULTI`.
    queued: Vec<Vec<Bytes>>,
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
        let history = Arc::clone(history);
        Ok(Connection { client, process, history, stale: false, queued: Vec::new() })
    }

    /// Sends commands at once and waits for all that is answered. One outcome for each; after an
    /// error the connection is of no more use.
    pub fn pipeline(&mut self, commands: &[Command]) -> (Vec<Outcome>, Result<(), CallError>) {
        let noted = self.history.ask(self.process, commands);
        let words: Vec<Vec<Bytes>> = commands.iter().map(Command::arguments).collect();
        match self.client.send_all(&words) {
            Ok(()) => {}
            Err(CallError::NotSent(error)) => {
                noted.for_each(|number| self.history.forget(number));
                let refused = Outcome::Refused("not sent".to_owned());
                return (vec![refused; commands.len()], Err(CallError::NotSent(error)));
            }
            Err(error) => return (lost(Vec::new(), commands.len()), Err(error)),
        }
        let mut outcomes = Vec::with_capacity(commands.len());
        for number in noted {
            match self.client.receive() {
                Ok(reply) => outcomes.push(self.note(number, reply)),
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
        if self.holds() == Holds::Queue {
            return self.call_queued(words);
        }
        match words::meaning(words) {
            Meaning::Known(command) if self.stale && !command.is_write() => self.client.call(words),
            Meaning::Known(command) => {
                let number = self.history.ask(self.process, &[command]).start;
                let called = self.client.call(words);
                match &called {
                    Ok(reply) => drop(self.note(number, reply.clone())),
                    Err(CallError::NotSent(_)) => self.history.forget(number),
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

    /// What the node holds that is lost with the connection.
    pub fn holds(&self) -> Holds {
        self.client.holds()
    }

    /// Sends a command behind `MULTI`. The judge knows no transactions: what one changes is left out.
    fn call_queued(&mut self, words: &[Bytes]) -> Result<Reply, CallError> {
        let called = self.client.call(words);
        if matches!(&called, Ok(Reply::Status(status)) if status == "QUEUED") {
            self.queued.push(words.to_vec());
        } else if self.holds() != Holds::Queue || called.is_err() {
            let executes = words[0].eq_ignore_ascii_case(b"exec");
            let queued = std::mem::take(&mut self.queued);
            let done = matches!(called, Ok(Reply::Array(_)));
            let never = matches!(called, Ok(Reply::Nil)) || has_no_effect(&called);
            if executes && (done || !never) {
                queued.iter().for_each(|words| self.leave_out(words, done));
            }
        }
        called
    }

    /// The keys of what was queued are not judged; `done` if it certainly was executed.
    fn leave_out(&mut self, words: &[Bytes], done: bool) {
        match words::meaning(words) {
            Meaning::Nothing => {}
            Meaning::Staleness(stale) => self.stale |= stale,
            Meaning::RemovesAll => self.history.leave_out_all(done),
            Meaning::Known(_) | Meaning::Unknown => {
                self.history.leave_out(words[1..].iter().cloned());
            }
        }
    }

    fn note(&self, number: u64, reply: Reply) -> Outcome {
        match judge(&reply) {
            Judged::Answer(answer) => {
                self.history.answer(number, answer);
                Outcome::Answered(reply)
            }
            Judged::NoEffect => {
                self.history.forget(number);
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
        "CLUSTERDOWN" | "TRYAGAIN" | "LOADING" | "READONLY" | "MOVED" | "OOM" | "EXECABORT" => {
            Judged::NoEffect
        }
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
