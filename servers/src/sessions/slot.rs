//! What a session remembers of one of its numbers. Must never take more than 24 bytes of its own:
//! there are 64 in each of 10,000 sessions.

use super::LONGEST_ANSWER;
use super::answer::Answer;

/// Answers of up to so many bytes lie in the slot itself.
const SHORT: usize = 22;

const _: () = assert!(size_of::<Slot>() == 24);

/// One number's memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Slot {
    /// Its command did not come yet.
    Unseen,
    /// Applied, with this short answer.
    Short {
        /// Bytes of it.
        length: u8,
        /// The answer, then zeros.
        bytes: [u8; SHORT],
    },
    /// Applied, with this answer.
    Long(Box<[u8]>),
    /// Applied; its answer was too long.
    NotKept,
    /// Not applied, and refused for ever.
    Closed,
}

impl Slot {
    /// A number that was applied, with this answer.
    pub fn of_answer(answer: &[u8]) -> Slot {
        if answer.len() > LONGEST_ANSWER {
            return Slot::NotKept;
        }
        let mut bytes = [0; SHORT];
        match bytes.get_mut(..answer.len()) {
            Some(start) => {
                start.copy_from_slice(answer);
                Slot::Short { length: answer.len() as u8, bytes }
            }
            None => Slot::Long(answer.into()),
        }
    }

    /// What whoever asks is told. An unseen number has to be closed first.
    pub fn answer(&self) -> Answer<'_> {
        match self {
            Slot::Unseen => unreachable!("what is unseen is applied or closed before it is told"),
            Slot::Short { length, bytes } => Answer::Reply(&bytes[..usize::from(*length)]),
            Slot::Long(bytes) => Answer::Reply(bytes),
            Slot::NotKept => Answer::NotKept,
            Slot::Closed => Answer::Closed,
        }
    }

    /// Bytes of an answer that lies elsewhere.
    pub fn long_bytes(&self) -> usize {
        match self {
            Slot::Long(bytes) => bytes.len(),
            Slot::Unseen | Slot::Short { .. } | Slot::NotKept | Slot::Closed => 0,
        }
    }
}
