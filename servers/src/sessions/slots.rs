//! What a session remembers of its numbers, one after the other in one piece of memory: there are 64
//! in each of 10,000 sessions, and while a snapshot is written there may be two of each. Must never
//! count otherwise than it always did: limits in bytes decide what a log entry does.
//!
//! A number takes a byte for its kind, and an answer its length (two bytes) and its bytes behind that.
//! Snapshots hold the same bytes.

use super::LONGEST_ANSWER;
use super::answer::Answer;

/// Longer answers than this count towards [`Limits::bytes`](super::Limits::bytes).
const SHORT: usize = 22;

/// Memory is taken in steps of so many bytes. Small ones: a copy that is made while a snapshot is written
/// begins without room, and takes one.
const STEP: usize = 64;

const UNSEEN: u8 = 0;
const ANSWERED: u8 = 1;
const NOT_KEPT: u8 = 2;
const CLOSED: u8 = 3;

/// What is remembered of a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Slot<'a> {
    /// Its command did not come yet.
    Unseen,
    /// Applied, with this answer.
    Answered(&'a [u8]),
    /// Applied; its answer was too long.
    NotKept,
    /// Not applied, and refused for ever.
    Closed,
}

impl<'a> Slot<'a> {
    /// A number that was applied, with this answer.
    pub fn of_answer(answer: &'a [u8]) -> Slot<'a> {
        if answer.len() > LONGEST_ANSWER { Slot::NotKept } else { Slot::Answered(answer) }
    }

    /// What whoever asks is told. An unseen number has to be closed first.
    pub fn answer(self) -> Answer<'a> {
        match self {
            Slot::Unseen => unreachable!("what is unseen is applied or closed before it is told"),
            Slot::Answered(bytes) => Answer::Reply(bytes),
            Slot::NotKept => Answer::NotKept,
            Slot::Closed => Answer::Closed,
        }
    }

    /// Bytes that count towards the limit.
    pub fn long_bytes(self) -> usize {
        match self {
            Slot::Answered(bytes) if bytes.len() > SHORT => bytes.len(),
            Slot::Answered(_) | Slot::Unseen | Slot::NotKept | Slot::Closed => 0,
        }
    }

    /// The first of these bytes, and how many it takes; none if they begin with nothing of the kind.
    pub fn read(bytes: &[u8]) -> Option<(Slot<'_>, usize)> {
        Some(match *bytes.first()? {
            UNSEEN => (Slot::Unseen, 1),
            ANSWERED => {
                let (length, rest) = bytes[1..].split_first_chunk()?;
                let length = usize::from(u16::from_le_bytes(*length));
                let answer = rest.get(..length).filter(|answer| answer.len() <= LONGEST_ANSWER)?;
                (Slot::Answered(answer), 3 + length)
            }
            NOT_KEPT => (Slot::NotKept, 1),
            CLOSED => (Slot::Closed, 1),
            _ => return None,
        })
    }
}

/// Those of a session, in the order of their numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Slots {
    bytes: Vec<u8>,
    count: u8,
    /// Where the last begins: that is the one which is usually asked for.
    last: usize,
}

impl Slots {
    /// So many, whose bytes these begin with, and the bytes behind; none if they are no slots.
    pub fn read(bytes: &[u8], count: u8) -> Option<(Slots, &[u8])> {
        let (mut last, mut end) = (0, 0);
        for _ in 0..count {
            last = end;
            end += Slot::read(&bytes[end..])?.1;
        }
        let (own, rest) = bytes.split_at(end);
        Some((Slots { bytes: own.to_vec(), count, last }, rest))
    }

    /// Their bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// How many.
    pub fn len(&self) -> u8 {
        self.count
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = Slot<'_>> {
        let mut rest = &self.bytes[..];
        std::iter::from_fn(move || {
            let (slot, length) = Slot::read(rest)?;
            rest = &rest[length..];
            Some(slot)
        })
    }

    /// The one at this place.
    pub fn get(&self, place: usize) -> Slot<'_> {
        Slot::read(&self.bytes[self.begin(place)..]).expect("as it was written").0
    }

    /// Another one, behind all, that is unseen.
    pub fn push_unseen(&mut self) {
        self.reserve(1);
        self.last = self.bytes.len();
        self.bytes.push(UNSEEN);
        self.count += 1;
    }

    /// Forgets the first; the bytes that counted towards the limit.
    pub fn forget_first(&mut self) -> usize {
        let (slot, length) = Slot::read(&self.bytes).expect("there is one");
        let forgotten = slot.long_bytes();
        self.bytes.drain(..length);
        self.last = self.last.saturating_sub(length);
        self.count -= 1;
        forgotten
    }

    /// The one at this place, which was unseen, is seen from now on.
    pub fn see(&mut self, place: usize, slot: Slot<'_>) {
        let begin = self.begin(place);
        assert_eq!(self.bytes[begin], UNSEEN, "a number is seen once");
        match slot {
            Slot::Unseen => {}
            Slot::NotKept => self.bytes[begin] = NOT_KEPT,
            Slot::Closed => self.bytes[begin] = CLOSED,
            Slot::Answered(answer) => {
                let length = u16::try_from(answer.len()).expect("it is kept").to_le_bytes();
                self.reserve(2 + answer.len());
                self.bytes[begin] = ANSWERED;
                self.bytes.extend_from_slice(&length);
                self.bytes.extend_from_slice(answer);
                self.bytes[begin + 1..].rotate_right(2 + answer.len()); // nothing, for the last one
                if begin < self.last {
                    self.last += 2 + answer.len();
                }
            }
        }
    }

    /// Where the one at this place begins.
    fn begin(&self, place: usize) -> usize {
        assert!(place < usize::from(self.count), "within the window");
        if place + 1 == usize::from(self.count) {
            return self.last;
        }
        let mut begin = 0;
        for _ in 0..place {
            begin += Slot::read(&self.bytes[begin..]).expect("as it was written").1;
        }
        begin
    }

    /// Makes room for more bytes, and not for twice as many.
    fn reserve(&mut self, more: usize) {
        if self.bytes.capacity() - self.bytes.len() < more {
            self.bytes.reserve_exact(more.next_multiple_of(STEP));
        }
    }
}
