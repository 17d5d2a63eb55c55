//! What the tests share. The tests are targets of this package, in `tests/`.

pub mod ports;
