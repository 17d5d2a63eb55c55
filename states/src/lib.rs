//! The rules of Raft, as a function: *(state, input, now) → (state, effects)*.
//!
//! A server holds one [`State`] and one [`Replica`]. Each turn it hands all that happened to
//! [`State::step`], input by input, ends the turn with [`State::finish`], and performs the
//! [`Effects`] field by field. This crate reads no clock, no disk and no socket, draws chance only
//! from its seeded generator, logs nothing, and its handlers cannot fail.
//!
//! # The protocol
//!
//! All nodes start as followers. One that hears no leader for an election timeout asks the others
//! whether they would vote for it ([`PreCandidate`]); only if a majority would, it takes a new term,
//! votes for itself and asks for votes ([`Candidate`]). With a majority of votes, its own among them
//! once durable, it leads ([`Leader`]): it appends a blank entry, replicates its log, and whatever of
//! its own term a majority holds durably is committed, with all before it. Any message of a higher
//! term makes its receiver a follower of that term. A leader that hears no quorum for an election
//! timeout steps down, and a node that hears a leader takes no part in elections.
//!
//! A follower whose connection to the leader was lost need not wait so long: it asks a few times in
//! quick succession whether it would be elected, one node after the other, and if no majority would
//! elect it, all is as before. Those who hear the leader refuse, so that a lost connection of one
//! follower changes nothing.
//!
//! What a snapshot of the state machine covers the log may forget. A follower that needs it gets the
//! snapshot instead, and promises what that covers as it promises entries (paper, section 7).
//!
//! Votes and acknowledgements are *promises*: they leave when what they rest on is durable.
//! Heartbeats are not: they prove only that a node was there and in that term.
//!
//! # In reading order
//!
//! [`state`] (the one door in) · [`follower`] · [`pre_candidate`] · [`candidate`] · [`leader`] ·
//! `voting` (what all roles share of elections), `hint` (that the leader is gone) · [`replica`] (facts) · [`log`] · [`quorum`] ·
//! [`input`], [`effects`] (what comes in and out) · [`config`], [`time`], [`random`].
//!
//! # What is missing, and why
//!
//! Changes of membership, transfer of leadership, leases: each comes with the work that uses it.

pub mod candidate;
pub mod config;
pub mod effects;
pub mod follower;
mod hint;
pub mod input;
pub mod leader;
pub mod log;
pub mod pre_candidate;
pub mod quorum;
pub mod random;
pub mod replica;
pub mod state;
pub mod time;
mod voting;

pub use candidate::Candidate;
pub use config::Config;
pub use effects::{Decision, Effects, HardState, Refusal, Role, Turn, Write};
pub use follower::Follower;
pub use input::{Answer, Input, RequestId, Space, WriteId};
pub use leader::Leader;
pub use log::Log;
pub use pre_candidate::PreCandidate;
pub use replica::Replica;
pub use state::State;
pub use time::{Micros, Time, WallTime};
