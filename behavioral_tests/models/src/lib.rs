//! Small clusters explored exhaustively within bounds, by `stateright`: the production rules
//! ([`states::State::step`] and `finish`) on a network and disks that do everything they may, in every
//! order. Must never hold a rule of Raft of its own but what the checks say after the paper, and must
//! never call explored what was only sampled, nor proved what was explored.
//!
//! # What is explored
//!
//! A state is all nodes (state object, replica, disk, writes under way, clock), all messages under
//! way, what clients wait for, and what an observer remembers. An action is one input into one node,
//! as its own turn, with what a server does of its effects ([`Action`]). Each [`Setting`] bounds terms,
//! requests, crashes and so on; within these bounds every order of actions is taken.
//!
//! - *The network* is a set. A message may arrive at any time after it was sent, so also after any
//!   later one; one that never arrives is lost. A message that arrives twice is an action of its own,
//!   bounded, except that a message sent twice is one. What changes nothing when it arrives stays
//!   under way.
//! - *The disk* does what it was told in order; where a setting says so at any time later, and a crash
//!   forgets what was not done. That a write became durable without its node having told anyone is
//!   covered: what left may be lost.
//! - *Time.* With an election timeout of zero, time is always out: any node may stand at any moment,
//!   whoever leads, and no rule that looks at a clock protects anyone. Clocks then stand still, so
//!   that they tell no two states apart. Safety must not depend on time, and here it cannot. What is
//!   lost is what only time brings: heartbeats after a leader's first, appends sent again, probes after
//!   silence, refusals because a leader is heard. Settings with clocks (M6a, M6b) have these: each node has a
//!   clock of its own, which only moves to the node's next deadline, or an election timeout on without
//!   the node being told; it moves as far as the bounds say. Clocks so differ in any way, as if nodes
//!   were paused. What is lost are the moments between.
//! - *Connections*: where a setting says so, a node is told that it lost one, and nothing is lost with it.
//! - *Chance* is taken out: timeouts are so short that there is one value to draw.
//! - *Pre-votes*: in most settings a node stands only if one other would vote for it, and that is one
//!   action, since pre-votes promise nothing; late and crossing pre-votes are in M6a and M6b.
//!
//! Also lost: turns of several inputs; pre-votes that fail, where they are at once; heartbeats and messages of
//! older terms, where a setting says so; more crashes than a setting allows.
//!
//! # In reading order
//!
//! [`settings`] · `world` (a state) · `node` · [`action`] (what may happen) · `stage` (and happens) ·
//! `checks` · [`marks`] · `quiet` (a time without trouble) · `rehearsal` (preludes) · [`explore`] ·
//! [`script`] (how a way is told).
//!
//! Changes of membership have no settings, as the rules do not have them; snapshots have none yet.

pub mod action;
mod checks;
mod explore;
pub mod marks;
mod node;
#[path = "../../../unit_tests/src/notation.rs"]
pub mod notation;
mod quiet;
mod rehearsal;
pub mod script;
pub mod settings;
mod stage;
mod world;

pub use action::Action;
pub use checks::{RULES, Rule};
pub use explore::{Explored, Limits, explore, underway};
pub use rehearsal::Rehearsal;
pub use settings::{SETTINGS, Setting};
pub use world::{Broken, World};
