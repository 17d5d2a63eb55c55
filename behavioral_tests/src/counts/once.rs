//! One client that counts in a session: exactly once, whatever breaks. Must never give a count another
//! number before the log has said that the one before is not applied.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::thread;

use anyhow::{Result, bail, ensure};
use raft::client::{CallError, Client, Reply};

use super::KEY;
use super::client::{ANSWER, PAUSE, Tally};
use super::progress::Progress;

/// One of so many counts is sent once more after it was answered.
const AGAIN: usize = 16;

/// What the cluster says of a number.
#[derive(Debug, PartialEq, Eq)]
enum Fate {
    /// Applied, with this answer.
    Applied(i64),
    /// Not applied, and refused from now on.
    Closed,
    /// No longer remembered.
    Forgotten,
}

/// A session and the nodes that it is used through.
struct Once<'a> {
    addresses: &'a [String],
    connections: Vec<Option<Client>>,
    progress: &'a Progress,
    session: String,
    tally: Tally,
}

/// Counts until no count is left, each through a node drawn by chance.
pub fn count(addresses: &[String], progress: &Progress) -> Result<Tally> {
    let counted = count_all(addresses, progress);
    if counted.is_err() {
        progress.stop();
    }
    counted
}

fn count_all(addresses: &[String], progress: &Progress) -> Result<Tally> {
    let connections = addresses.iter().map(|_| None).collect();
    let (session, tally) = (String::new(), Tally::default());
    let mut once = Once { addresses, connections, progress, session, tally };
    if !once.open()? {
        return Ok(once.tally);
    }
    let (mut number, mut closed) = (0, Vec::new());
    while progress.take() {
        while !progress.stopped() {
            number += 1;
            match once.resolve(number)? {
                Some(Fate::Applied(answer)) => {
                    once.tally.answers.push(answer);
                    progress.acknowledge();
                    if chance(AGAIN) == 0 {
                        once.check_repeated(number, answer)?;
                    }
                    break;
                }
                Some(Fate::Closed) => closed.push(number),
                Some(Fate::Forgotten) => bail!("number {number} is forgotten, and was the last"),
                None => break,
            }
        }
    }
    once.tally.closed = closed.len() as u64;
    for number in closed {
        let fate = once.send_until(&["RAFT.DO", &once.number_of(number), "INCR", KEY])?;
        let refused = !matches!(fate, Some(Fate::Applied(_)));
        ensure!(refused, "number {number} was told as not applied, and is: {fate:?}");
    }
    Ok(once.tally)
}

impl Once<'_> {
    /// Session and number as one word, to be split again.
    fn number_of(&self, number: u64) -> String {
        format!("{} {number}", self.session)
    }

    /// False if all is over before there is a session.
    fn open(&mut self) -> Result<bool> {
        while !self.progress.stopped() {
            match self.call(&["RAFT.SESSION", "OPEN"]) {
                Some(Reply::Integer(id)) => {
                    self.session = id.to_string();
                    return Ok(true);
                }
                Some(Reply::Error(error)) => self.on_error(&error)?,
                Some(other) => bail!("RAFT.SESSION OPEN was answered by {other:?}"),
                None => {}
            }
        }
        Ok(false)
    }

    /// Sends a count once, and again only where the answer allows it; asks for its outcome when the
    /// connection breaks. None if all is over.
    fn resolve(&mut self, number: u64) -> Result<Option<Fate>> {
        let number = self.number_of(number);
        while !self.progress.stopped() {
            match self.call(&["RAFT.DO", &number, "INCR", KEY]) {
                Some(Reply::Error(error)) if error.starts_with("UNCERTAIN") => {
                    self.tally.uncertain += 1;
                }
                None => {
                    self.tally.lost += 1;
                    return self.send_until(&["RAFT.OUTCOME", &number]);
                }
                Some(reply) => {
                    if let Some(fate) = self.read(reply)? {
                        return Ok(Some(fate));
                    }
                }
            }
        }
        Ok(None)
    }

    /// Whoever is asked, a number that was answered has its first answer.
    fn check_repeated(&mut self, number: u64, answer: i64) -> Result<()> {
        let fate = self.send_until(&["RAFT.DO", &self.number_of(number), "INCR", KEY])?;
        let same = fate.is_none() || fate == Some(Fate::Applied(answer));
        ensure!(same, "number {number} was answered {answer}, and then {fate:?}");
        self.tally.repeated += 1;
        Ok(())
    }

    /// Sends the same, through one node after the other, until one knows. None if all is over.
    fn send_until(&mut self, words: &[&str]) -> Result<Option<Fate>> {
        // What is under way at the end is still finished: the nodes live as long as the clients.
        loop {
            match self.call(words) {
                Some(Reply::Error(error)) if error.contains("may have been applied before") => {
                    return Ok(Some(Fate::Forgotten));
                }
                Some(reply) => {
                    if let Some(fate) = self.read(reply)? {
                        return Ok(Some(fate));
                    }
                }
                None if self.progress.stopped() => return Ok(None),
                None => {}
            }
        }
    }

    /// What a reply says for certain, if it does.
    fn read(&mut self, reply: Reply) -> Result<Option<Fate>> {
        match reply {
            Reply::Integer(answer) => Ok(Some(Fate::Applied(answer))),
            Reply::Array(words) => match &words[..] {
                [Reply::Status(word), Reply::Integer(answer)] if word == "applied" => {
                    Ok(Some(Fate::Applied(*answer)))
                }
                [Reply::Status(word)] if word == "not-applied" => Ok(Some(Fate::Closed)),
                [Reply::Status(word)] if word == "unknown" => Ok(Some(Fate::Forgotten)),
                other => bail!("RAFT.OUTCOME was answered by {other:?}"),
            },
            Reply::Error(error) if error.contains(" is closed") => Ok(Some(Fate::Closed)),
            Reply::Error(error) => self.on_error(&error).map(|()| None),
            other => bail!("INCR was answered by {other:?}"),
        }
    }

    fn on_error(&mut self, error: &str) -> Result<()> {
        match error.split(' ').next() {
            Some("UNCERTAIN") => self.tally.uncertain += 1,
            Some("CLUSTERDOWN" | "TRYAGAIN") => {
                self.tally.refused += 1;
                thread::sleep(PAUSE);
            }
            _ => bail!("a count was answered by the error {error}"),
        }
        Ok(())
    }

    /// Sends a command to a node drawn by chance; none if that is down or the connection breaks.
    fn call(&mut self, words: &[&str]) -> Option<Reply> {
        let words: Vec<&str> = words.iter().flat_map(|word| word.split(' ')).collect();
        loop {
            let node = chance(self.addresses.len());
            let connected = || Client::connect(&self.addresses[node], ANSWER).ok();
            let Some(mut open) = self.connections[node].take().or_else(connected) else {
                thread::sleep(PAUSE);
                if self.progress.stopped() {
                    return None;
                }
                continue;
            };
            match open.call(&words) {
                Ok(reply) => {
                    self.connections[node] = Some(open);
                    return Some(reply);
                }
                Err(CallError::NotSent(_)) => {}
                Err(CallError::Unknown(_)) => return None,
            }
        }
    }
}

/// A number below this one, by chance.
fn chance(below: usize) -> usize {
    (RandomState::new().build_hasher().finish() % below as u64) as usize
}
