//! The actor that holds a state object, and its edges.
//!
//! In reading order:
//! - [`host`]: what clients' doors say to a server and get back; [`machine`]: what a user brings;
//! - [`server`]: the actor, five verbs: receive, swap, perform, apply, reply;
//! - [`proposals`]: the requests that wait, each with its time limit; [`forward`]: passing them to
//!   the leader; [`applier`]: what becomes of them when entries are applied; [`sessions`]: commands
//!   that take effect once, and outcomes that can be asked for; `due`: blank entries for what time
//!   alone brings about;
//! - [`snapshots`]: when one is taken, received, sent;
//!   [`keeping`]: the thread that has them;
//! - [`outbox`]: what a turn leaves to be done; [`status`]: how a server sees itself;
//! - [`turn`]: how a node starts and a turn begins, for every driver; [`mailbox`]: the way in;
//!   [`run`]: the real driver; [`notices`]: what it tells people of decisions;
//!   [`node`]: a whole node on its thread;
//! - [`gate`]: which frames enter; [`storage`], [`transport`]: the other edges;
//! - [`founding`]: how a cluster begins.

pub mod applier;
pub(crate) mod due;
pub mod forward;
pub mod founding;
pub mod gate;
pub mod hops;
pub mod host;
pub mod keeping;
pub mod machine;
pub mod mailbox;
pub mod node;
pub mod notices;
pub mod outbox;
pub mod proposals;
pub mod run;
pub mod server;
pub mod sessions;
pub mod snapshots;
pub mod status;
pub mod storage;
pub mod transport;
pub mod turn;
