//! What Raft nodes say to each other. This crate decides nothing: it names things and spells them.
//!
//! In reading order:
//! - [`ids`]: the numbers, each a type of its own;
//! - [`entry`]: log entries and what they carry;
//! - [`message`]: what the rules of one node say to another's;
//! - [`envelope`]: messages of the rules and of the servers, addressed to a group.

pub mod entry;
pub mod envelope;
pub mod ids;
pub mod message;

pub use entry::{Entry, Item, Membership, Payload};
pub use envelope::{
    Content, Envelope, Forward, ForwardOutcome, ForwardReply, NotAppended, Operation,
};
pub use ids::{Boot, ClusterId, GroupId, LogIndex, LogPosition, LogTime, NodeId, Round, Term};
pub use message::{
    AppendEntries, AppendEntriesReply, AppendOutcome, Heartbeat, HeartbeatReply, Message, PreVote,
    PreVoteReply, RequestVote, RequestVoteReply,
};
