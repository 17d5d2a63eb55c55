//! The actor that holds a state object, and its edges.

pub mod founding;
pub mod gate;
pub mod host;
pub mod machine;
pub mod storage;
pub mod transport;
