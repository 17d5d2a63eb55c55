//! How the program ends: exit codes, and the error that carries one through `anyhow`. Must never
//! end the process itself: `main` does, after every destructor has run.

use std::fmt;

/// Failed while running.
pub const FAILED: u8 = 1;
/// The command line is wrong.
pub const USAGE: u8 = 2;
/// The configuration is wrong.
pub const CONFIGURATION: u8 = 64;
/// A data folder is damaged, or belongs to another cluster or node.
pub const DATA: u8 = 65;
/// No leader, nothing reachable, or a needed program is missing.
pub const UNAVAILABLE: u8 = 69;
/// A data folder is locked, or something cannot be made.
pub const CANNOT_CREATE: u8 = 73;
/// A write or a sync failed.
pub const STORAGE: u8 = 74;

/// Why the program ends, and with which code. Any other error in an `anyhow::Error` ends it with
/// [`FAILED`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    code: u8,
    text: Option<String>,
}

impl Failure {
    /// Ends with `code` and one line: what happened, where, what to do.
    pub fn new(code: u8, text: impl Into<String>) -> Failure {
        Failure { code, text: Some(text.into()) }
    }

    /// Ends with `code` and says nothing: all has been said, or nobody listens.
    pub fn quiet(code: u8) -> Failure {
        Failure { code, text: None }
    }

    /// The exit code.
    pub fn code(&self) -> u8 {
        self.code
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text.as_deref().unwrap_or_default())
    }
}

impl std::error::Error for Failure {}

/// The exit code that an error asks for, and the line to print, if any.
pub fn verdict(error: &anyhow::Error) -> (u8, Option<String>) {
    let found = error.chain().find_map(|cause| cause.downcast_ref::<Failure>());
    match found {
        Some(Failure { code, text: None }) => (*code, None),
        Some(Failure { code, .. }) => (*code, Some(one_line(&format!("{error:#}")))),
        None => (FAILED, Some(one_line(&format!("{error:#}")))),
    }
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
