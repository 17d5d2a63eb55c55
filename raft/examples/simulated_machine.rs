//! A state machine of one's own under 1,000 seeds of trouble: about a minute with `cargo run --release
//! --example simulated_machine`.

use raft::simulation::Simulation;
use raft::{At, Pieces, StateMachine, Unreadable, one_piece};

/// The highest bid so far, and how many there were.
#[derive(Default)]
struct Auction {
    highest: u64,
    bids: u64,
}

impl StateMachine for Auction {
    fn apply(&mut self, _: At, command: &[u8], reply: &mut Vec<u8>) {
        let bid = command.first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes));
        self.highest = self.highest.max(bid);
        self.bids += 1;
        self.query(&[], reply);
    }

    fn query(&self, _: &[u8], reply: &mut Vec<u8>) {
        reply.extend_from_slice(format!("{} of {}", self.highest, self.bids).as_bytes());
    }

    fn fresh(&self) -> Auction {
        Auction::default()
    }

    fn snapshot(&mut self) -> Box<dyn Pieces> {
        one_piece([self.highest.to_le_bytes(), self.bids.to_le_bytes()].concat())
    }

    fn restore(&mut self, piece: &[u8]) -> Result<(), Unreadable> {
        let ([highest, bids], []) = piece.as_chunks() else {
            return Err(Unreadable("two numbers of eight bytes"));
        };
        self.highest = u64::from_le_bytes(*highest);
        self.bids = u64::from_le_bytes(*bids);
        Ok(())
    }

    fn digest(&self) -> u64 {
        self.highest ^ self.bids.rotate_left(32)
    }
}

fn main() {
    let simulation = Simulation::of(Auction::default)
        .commands(|chance| chance.below(1_000).to_le_bytes().to_vec())
        .queries(|_| Vec::new());
    match simulation.run(1..1001) {
        Ok(report) => println!("{} entries committed, {} crashes", report.commits, report.crashes),
        Err(failed) => {
            println!("{failed}");
            std::process::exit(1);
        }
    }
}
