//! The doors that clients come in by. A door parses, hands batches to a server and prints replies;
//! it must never decide what a command does.

pub mod resp;
