//! How a connection begins: who opens it, to whom, for which lane, and whether it follows or precedes
//! another one. `docs/wire.md` is the norm. Must never believe that it proves an identity.

use messages::NodeId;

use crate::transport::Lane;

/// Bytes of a preamble.
pub const LENGTH: usize = 40;
/// Bytes of the answer to one.
pub const ANSWER: usize = 16;

/// Magic and version. It begins with a zero: what ZeroMQ, HTTP or Redis say never does, and ZeroMQ
/// gives up at once whoever begins so.
const OPENING: [u8; 5] = [0, b'R', b'F', b'T', 1];

/// The first that is said on a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Preamble {
    /// What the connection carries.
    pub lane: Lane,
    /// Who opens it.
    pub from: NodeId,
    /// Whom it is for.
    pub to: NodeId,
    /// Drawn when the opener's transport was opened.
    pub start: u64,
    /// How many connections of this lane that transport had tried before.
    pub number: u64,
}

impl Preamble {
    /// As it travels.
    pub fn bytes(&self) -> [u8; LENGTH] {
        let mut bytes = [0; LENGTH];
        bytes[..5].copy_from_slice(&OPENING);
        bytes[5] = match self.lane {
            Lane::Control => 0,
            Lane::Log => 1,
            Lane::Bulk => 2,
        };
        let numbers = [self.from.0, self.to.0, self.start, self.number];
        for (place, number) in bytes[8..].chunks_exact_mut(8).zip(numbers) {
            place.copy_from_slice(&number.to_le_bytes());
        }
        bytes
    }

    /// Reads one; `None` if it is of another protocol, or of another version.
    pub fn read(bytes: &[u8; LENGTH]) -> Option<Preamble> {
        let lane = match bytes[5] {
            0 => Lane::Control,
            1 => Lane::Log,
            2 => Lane::Bulk,
            _ => return None,
        };
        let mut numbers = bytes[8..].chunks_exact(8).filter_map(|place| place.first_chunk());
        let mut number = || numbers.next().map(|bytes| u64::from_le_bytes(*bytes));
        let (from, to) = (NodeId(number()?), NodeId(number()?));
        let (start, number) = (number()?, number()?);
        may_begin(bytes).then_some(Preamble { lane, from, to, start, number })
    }

    /// What the receiver says when it takes the connection.
    pub fn answer(&self) -> [u8; ANSWER] {
        let mut bytes = [0; ANSWER];
        bytes[..5].copy_from_slice(&OPENING);
        bytes[8..].copy_from_slice(&self.to.0.to_le_bytes());
        bytes
    }
}

/// Whether a preamble may begin with these bytes.
pub fn may_begin(bytes: &[u8]) -> bool {
    bytes.iter().zip(OPENING).all(|(byte, expected)| *byte == expected)
}
