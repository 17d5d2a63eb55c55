//! Your state machine in simulated clusters: the production server, log and codec on one thread and
//! virtual time, with crashes that lose what was not synced, lossy and cut links, pauses, failing
//! disks, all drawn from a seed. What must hold of every machine is checked all the while: the
//! properties of the paper's Figure 3, that replicas give equal replies and have equal digests, that
//! answers are linearizable, that no command is lost or done twice, and that the cluster comes
//! together again when trouble ends. Must never be needed by a node that serves.
//!
//! ```
//! use raft::simulation::Simulation;
//! # #[derive(Default)]
//! # struct Counter(u64);
//! # impl raft::StateMachine for Counter {
//! #     fn apply(&mut self, _: raft::At, command: &[u8], reply: &mut Vec<u8>) {
//! #         self.0 += command.len() as u64;
//! #         reply.extend_from_slice(self.0.to_string().as_bytes());
//! #     }
//! #     fn query(&self, _: &[u8], reply: &mut Vec<u8>) {
//! #         reply.extend_from_slice(self.0.to_string().as_bytes());
//! #     }
//! #     fn fresh(&self) -> Counter {
//! #         Counter::default()
//! #     }
//! #     fn snapshot(&mut self) -> Box<dyn raft::Pieces> {
//! #         raft::one_piece(self.0.to_le_bytes().to_vec())
//! #     }
//! #     fn restore(&mut self, piece: &[u8]) -> Result<(), raft::Unreadable> {
//! #         let number = piece.first_chunk().ok_or(raft::Unreadable("eight bytes"))?;
//! #         self.0 = u64::from_le_bytes(*number);
//! #         Ok(())
//! #     }
//! #     fn digest(&self) -> u64 {
//! #         self.0
//! #     }
//! # }
//!
//! let simulation = Simulation::of(Counter::default)
//!     .commands(|chance| vec![b'x'; chance.below(10) as usize])
//!     .queries(|_| Vec::new());
//! # const SEEDS: std::ops::Range<u64> = 1..3;
//! let report = simulation.run(SEEDS).unwrap_or_else(|failed| panic!("{failed}"));
//! assert!(report.commits > 100);
//! ```
//!
//! `1..1001` is a good start: a minute in a release build, many more in a debug build. (The example
//! `simulated_machine` does it.)
//!
//! A seed that fails prints the last events, a table of the nodes, and two plans such as
//! `--seed 17 --steps 312 --without loss,pause`: what failed, and a smaller one that fails as well.
//! [`Simulation::repeat`] runs a plan again.
//!
//! [`Workload`] is for more: requests that build on earlier answers, and checks of your own.

pub use simulation::checks::Violation;
pub use simulation::coverage::{BATCH, Mark, NOT_YET};
pub use simulation::seeds::{Failed, FailedSeed, STEPS, Seeds, kinds, nodes, running};
pub use simulation::shrink::shrink;
pub use simulation::tally::{Named, Tally};
pub use simulation::trace::take as take_trace;
pub use simulation::trouble::Kind;
pub use simulation::workload::{Answer, Exchange, Judged, Request, Workload};
pub use simulation::{Chance, Failure, Outcomes, Plan, Report, Simulation, run, run_traced};
