//! What a snapshot holds, piece by piece. Must never mix up machine and sessions: each piece is marked
//! with which it is of.

use std::collections::VecDeque;

use crate::machine::{Pieces, StateMachine, Unreadable};
use crate::sessions::Sessions;
use crate::storage::snapshot::Reader;
use crate::storage::{Disk, OpenError};

/// What a snapshot holds: a machine, and its clients' sessions.
pub type Replicated<M> = (M, Sessions);

/// A piece of the machine's.
const MACHINE: u8 = 1;
/// A piece of the table of sessions.
const SESSIONS: u8 = 2;

/// All pieces of a snapshot, each marked with what it is of: the sessions', then the machine's.
pub(crate) struct Marked(VecDeque<(u8, Box<dyn Pieces>)>);

impl Marked {
    /// Of both as they were at the same moment.
    pub fn new(sessions: Box<dyn Pieces>, machine: Box<dyn Pieces>) -> Marked {
        Marked([(SESSIONS, sessions), (MACHINE, machine)].into())
    }
}

impl Pieces for Marked {
    fn next(&mut self) -> Option<Vec<u8>> {
        while let Some((kind, pieces)) = self.0.front_mut() {
            if let Some(piece) = pieces.next() {
                let mut marked = Vec::with_capacity(1 + piece.len());
                marked.push(*kind);
                marked.extend_from_slice(&piece);
                return Some(marked);
            }
            self.0.pop_front();
        }
        None
    }
}

/// Restores a snapshot into a fresh machine and an empty table of sessions.
///
/// # Errors
/// If it cannot be read, or holds what this version of the machine does not know.
pub fn restore<M: StateMachine, D: Disk>(
    reader: &mut Reader<D>,
    (machine, sessions): &mut Replicated<M>,
) -> Result<(), OpenError> {
    while let Some(piece) = reader.next_piece()? {
        let taken = match piece.split_first() {
            Some((&MACHINE, piece)) => machine.restore(piece),
            Some((&SESSIONS, piece)) => sessions.restore(piece),
            Some(_) | None => Err(Unreadable("a kind of piece that this version knows")),
        };
        taken.map_err(|Unreadable(wanted)| reader.unreadable(wanted))?;
    }
    Ok(())
}
