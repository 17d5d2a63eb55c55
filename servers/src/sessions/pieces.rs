//! The table in pieces of a snapshot, and back. All numbers are little-endian. The first piece says
//! how time stands: 1, passed, time, term. The others hold sessions in the order of their ids: 2,
//! then of each its id, when it was used, its highest number, how many numbers it remembers (one
//! byte), and of each of those what kind it is (0 unseen, 1 answered, 2 answer not kept, 3 closed),
//! an answer with its length (two bytes) before it, as it lies in memory. Must never take a table
//! that no log can leave.

use std::collections::btree_map;
use std::sync::Arc;

use messages::{LogTime, SessionId, Term};

use super::slots::{Slot, Slots};
use super::{Clock, Session, Sessions, WINDOW};
use crate::machine::{Pieces, Unreadable};

const CLOCK: u8 = 1;
const SESSIONS: u8 = 2;

/// Bytes of a piece after which the next begins.
const PIECE: usize = 64 << 10;

const UNREADABLE: Unreadable = Unreadable("sessions");

/// A table as it was at one moment.
struct TablePieces {
    clock: Option<Clock>,
    sessions: btree_map::IntoIter<SessionId, Arc<Session>>,
}

impl Pieces for TablePieces {
    fn next(&mut self) -> Option<Vec<u8>> {
        if let Some(clock) = self.clock.take() {
            return Some(clock_piece(clock));
        }
        let mut piece = vec![SESSIONS];
        while piece.len() < PIECE {
            let Some((id, session)) = self.sessions.next() else { break };
            put_session(id, &session, &mut piece);
        }
        (piece.len() > 1).then_some(piece)
    }
}

impl Sessions {
    /// The table at this moment, to be written while it changes.
    pub fn snapshot(&self) -> Box<dyn Pieces> {
        let sessions = self.table.clone().into_iter();
        Box::new(TablePieces { clock: Some(self.clock), sessions })
    }

    /// Takes the next piece of a snapshot; before the first the table is
    /// [`fresh`](Sessions::fresh).
    ///
    /// # Errors
    /// If that is no such piece.
    pub fn restore(&mut self, piece: &[u8]) -> Result<(), Unreadable> {
        let (kind, mut rest) = piece.split_first().ok_or(UNREADABLE)?;
        match *kind {
            CLOCK => {
                let [passed, time, term] = [(); 3].map(|()| take_u64(&mut rest));
                self.clock = Clock { passed: passed?, time: LogTime(time?), term: Term(term?) };
                if rest.is_empty() && self.is_empty() { Ok(()) } else { Err(UNREADABLE) }
            }
            SESSIONS => {
                while !rest.is_empty() {
                    let (id, session) = take_session(&mut rest)?;
                    self.take_in(id, session)?;
                }
                Ok(())
            }
            _ => Err(UNREADABLE),
        }
    }

    fn take_in(&mut self, id: SessionId, session: Session) -> Result<(), Unreadable> {
        let follows = self.table.last_key_value().is_none_or(|(last, _)| *last < id);
        if !follows || session.used > self.clock.passed {
            return Err(UNREADABLE);
        }
        self.bytes += session.long_bytes();
        self.by_use.insert((session.used, id));
        self.table.insert(id, Arc::new(session));
        Ok(())
    }
}

/// A number for the whole table.
pub fn digest(sessions: &Sessions) -> u64 {
    let mut bytes = clock_piece(sessions.clock);
    let mut digest = mix(0, &bytes);
    for (id, session) in &sessions.table {
        bytes.clear();
        put_session(*id, session, &mut bytes);
        digest = mix(digest, &bytes);
    }
    digest
}

/// Mixes bytes, and how many they are, into a number.
fn mix(seed: u64, bytes: &[u8]) -> u64 {
    const MULTIPLIER: u64 = 0x9e37_79b9_7f4a_7c15;
    let fold = |hash: u64, word: u64| (hash ^ word).wrapping_mul(MULTIPLIER).rotate_left(29);
    let words = bytes.chunks(8).map(|chunk| {
        let mut word = [0; 8];
        word[..chunk.len()].copy_from_slice(chunk);
        u64::from_le_bytes(word)
    });
    words.fold(fold(seed, bytes.len() as u64), fold)
}

fn clock_piece(clock: Clock) -> Vec<u8> {
    let mut piece = vec![CLOCK];
    for number in [clock.passed, clock.time.0, clock.term.0] {
        piece.extend_from_slice(&number.to_le_bytes());
    }
    piece
}

fn put_session(id: SessionId, session: &Session, piece: &mut Vec<u8>) {
    for number in [id.0, session.used, session.highest] {
        piece.extend_from_slice(&number.to_le_bytes());
    }
    piece.push(session.slots.len());
    piece.extend_from_slice(session.slots.bytes());
}

fn take_session(rest: &mut &[u8]) -> Result<(SessionId, Session), Unreadable> {
    let id = SessionId(take_u64(rest)?);
    let (used, highest) = (take_u64(rest)?, take_u64(rest)?);
    let [count] = take(rest)?;
    let (slots, after) = Slots::read(rest, count).ok_or(UNREADABLE)?;
    *rest = after;
    // As many as there are up to the highest, which was seen.
    let last = usize::from(count).checked_sub(1).map(|last| slots.get(last));
    if u64::from(count) != highest.min(WINDOW) || last == Some(Slot::Unseen) {
        return Err(UNREADABLE);
    }
    Ok((id, Session { used, highest, slots }))
}

fn take_u64(rest: &mut &[u8]) -> Result<u64, Unreadable> {
    take(rest).map(u64::from_le_bytes)
}

fn take<const N: usize>(rest: &mut &[u8]) -> Result<[u8; N], Unreadable> {
    let (bytes, after) = rest.split_first_chunk().ok_or(UNREADABLE)?;
    *rest = after;
    Ok(*bytes)
}
