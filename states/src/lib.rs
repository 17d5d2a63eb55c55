//! The rules of Raft, as a function: *(state, input, now) → (state, effects)*.

pub mod config;
pub mod effects;
pub mod input;
pub mod log;
pub mod quorum;
pub mod random;
pub mod replica;
pub mod time;

pub use config::Config;
pub use effects::{Decision, Effects, HardState, Refusal, Role, Turn, Write};
pub use input::{Answer, Input, RequestId, WriteId};
pub use log::Log;
pub use replica::Replica;
pub use time::{Micros, Time, WallTime};
