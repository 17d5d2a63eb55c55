//! The smallest machine that shows what became of commands: it counts them. Must never look at what a
//! command says.

use servers::machine::{Applied, Pieces, StateMachine, Unreadable, one_piece};

/// Counts commands; commands and queries are answered with the count.
#[derive(Clone, Debug, Default)]
pub struct Counter(u64);

impl StateMachine for Counter {
    fn apply(&mut self, _at: Applied, _command: &[u8], reply: &mut Vec<u8>) {
        self.0 += 1;
        reply.extend_from_slice(self.0.to_string().as_bytes());
    }

    fn query(&self, _query: &[u8], reply: &mut Vec<u8>) {
        reply.extend_from_slice(self.0.to_string().as_bytes());
    }

    fn fresh(&self) -> Counter {
        Counter::default()
    }

    fn snapshot(&mut self) -> Box<dyn Pieces> {
        one_piece(self.0.to_le_bytes().to_vec())
    }

    fn restore(&mut self, piece: &[u8]) -> Result<(), Unreadable> {
        let number = piece.first_chunk().ok_or(Unreadable("a number of eight bytes"))?;
        self.0 = u64::from_le_bytes(*number);
        Ok(())
    }

    fn digest(&self) -> u64 {
        self.0
    }
}
