//! What Raft nodes say to each other. This crate decides nothing: it names things and spells them.
//!
//! In reading order:
//! - [`ids`]: the numbers, each a type of its own;
//! - [`entry`]: log entries and what they carry;
//! - [`message`]: what the rules of one node say to another's;
//! - [`envelope`]: messages of the rules and of the servers, addressed to a group;
//! - [`snapshot`]: what stands for a part of the log that is gone;
//! - [`wire`]: how all of these are spelt in MessagePack (the norm is `docs/wire.md`);
//! - [`frame`]: the header that is checked before any of that is read;
//! - [`error`]: why bytes were refused.

pub mod entry;
pub mod envelope;
pub mod error;
pub mod frame;
pub mod ids;
pub mod message;
pub mod snapshot;
pub mod wire;

pub use entry::{Entry, Item, Membership, Payload};
pub use envelope::{
    Content, Envelope, Forward, ForwardOutcome, ForwardReply, NotAppended, Operation,
};
pub use error::DecodeError;
pub use ids::{
    Boot, ClusterId, CommandNumber, GroupId, LogIndex, LogPosition, LogTime, NodeId, Round,
    SessionId, Term,
};
pub use message::{
    AppendEntries, AppendEntriesReply, AppendOutcome, Heartbeat, HeartbeatReply, Message, PreVote,
    PreVoteReply, RequestVote, RequestVoteReply, Snapshotted,
};
pub use snapshot::{SnapshotMeta, SnapshotPart, SnapshotPartReply};
