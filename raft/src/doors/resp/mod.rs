//! The Redis door.

mod inline;
pub mod parser;
