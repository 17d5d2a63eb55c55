//! A connection's session, and the numbers of its commands in it. Must never give a number twice, nor
//! leave one out: the servers refuse what is too far above the highest.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use servers::sessions::WINDOW;

use super::requests::Operation;
use crate::exit::{self, Failure};
use crate::render;

/// What follows the session's id in a request: a number of any length, and its own.
const LONGEST_NUMBER: usize = "$20\r\n18446744073709551615\r\n".len();
/// Of an answer that is another, so much is told.
const MOST_WORDS: u64 = 200;

/// A session that is open, and the number of its next command.
#[derive(Debug)]
pub(super) struct Numbering {
    /// All before the number.
    head: Vec<u8>,
    next: u64,
}

impl Numbering {
    /// Opens a session over a connection on which nothing is under way.
    pub fn open(mut stream: &TcpStream, patience: Duration) -> io::Result<Numbering> {
        stream.set_read_timeout(Some(patience))?;
        stream.write_all(b"*2\r\n$12\r\nRAFT.SESSION\r\n$4\r\nOPEN\r\n")?;
        let mut answer = String::new();
        BufReader::new(stream.take(MOST_WORDS)).read_line(&mut answer)?;
        let id = answer.trim_end().strip_prefix(':').and_then(|id| id.parse().ok());
        id.map(Numbering::new).ok_or_else(|| {
            let answer = render::plain(answer.trim_end());
            io::Error::other(format!("it opens no session: {answer}"))
        })
    }

    fn new(session: u64) -> Numbering {
        let id = session.to_string();
        let head = format!("*6\r\n$7\r\nRAFT.DO\r\n${}\r\n{id}\r\n", id.len());
        Numbering { head: head.into_bytes(), next: 1 }
    }

    /// What [`Numbering::spell`] writes at most.
    pub fn longest(&self) -> usize {
        self.head.len() + LONGEST_NUMBER
    }

    /// Writes the beginning of a request with the next number, up to the command in it. Returns its
    /// length.
    pub fn spell(&mut self, slot: &mut [u8]) -> usize {
        let number = self.next;
        self.next += 1;
        let begin = self.head.len();
        slot[..begin].copy_from_slice(&self.head);
        let mut rest = &mut slot[begin..];
        let digits = number.ilog10() + 1;
        write!(rest, "${digits}\r\n{number}\r\n").expect("the slot has room for the longest");
        let left = rest.len();
        slot.len() - left
    }
}

/// Whether a load of this operation may have so many requests under way on a connection.
///
/// # Errors
/// If a session would refuse some of them.
pub fn allow(operation: Operation, pipeline: usize) -> Result<(), Failure> {
    if operation != Operation::Do || pipeline as u64 <= WINDOW {
        return Ok(());
    }
    let text = format!(
        "--pipeline {pipeline}: a session has {WINDOW} commands under way at most; ask for fewer, or \
         for more --clients, each of which has a session"
    );
    Err(Failure::new(exit::USAGE, text))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client;

    #[test]
    fn numbers_rise_by_one_whatever_their_length() {
        let mut numbering = Numbering::new(7_168);
        let mut slot = vec![0; numbering.longest()];
        for number in 1..=1_234_u64 {
            let length = numbering.spell(&mut slot);
            let words = ["RAFT.DO", "7168", &number.to_string()];
            let spelt = String::from_utf8(client::request(&words)).expect("text");
            let expected = spelt.replacen("*3", "*6", 1); // the command in it follows
            assert_eq!(slot[..length], *expected.as_bytes());
        }
        numbering.next = u64::MAX - 1;
        assert_eq!(numbering.spell(&mut slot), numbering.longest());
    }

    #[test]
    fn a_session_takes_no_more_than_its_window() {
        assert!(allow(Operation::Do, 64).is_ok() && allow(Operation::Set, 65).is_ok());
        let refused = allow(Operation::Do, 65).expect_err("above the window");
        assert_eq!(refused.code(), exit::USAGE);
        assert!(refused.to_string().starts_with("--pipeline 65: a session has 64"), "{refused}");
    }
}
