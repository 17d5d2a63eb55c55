//! How the program ends: exit codes, and the error that carries one through `anyhow`. Must never
//! end the process itself: `main` does, after every destructor has run.

use std::error::Error;
use std::fmt;

use servers::node::StartError;
use servers::storage::{OpenError, WalError};

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

impl Error for Failure {}

/// The exit code that an error asks for, and the line to print, if any.
pub fn verdict(error: &anyhow::Error) -> (u8, Option<String>) {
    let quiet = error.downcast_ref::<Failure>().is_some_and(|failure| failure.text.is_none());
    let code = error.chain().find_map(code_of).unwrap_or(FAILED);
    (code, (!quiet).then(|| one_line(&story(error))))
}

/// An error and its causes; one that the error before it tells already is not told again.
fn story(error: &anyhow::Error) -> String {
    let mut story = error.to_string();
    for cause in error.chain().skip(1).map(ToString::to_string) {
        if !story.ends_with(&cause) {
            story.push_str(": ");
            story.push_str(&cause);
        }
    }
    story
}

fn code_of(error: &(dyn Error + 'static)) -> Option<u8> {
    if let Some(failure) = error.downcast_ref::<Failure>() {
        Some(failure.code)
    } else if let Some(error) = error.downcast_ref::<OpenError>() {
        Some(code_of_folder(error))
    } else if let Some(StartError::Storage(error)) = error.downcast_ref::<StartError>() {
        Some(code_of_folder(error))
    } else {
        error.downcast_ref::<WalError>().map(|_| STORAGE)
    }
}

fn code_of_folder(error: &OpenError) -> u8 {
    match error {
        OpenError::Empty { .. }
        | OpenError::Foreign { .. }
        | OpenError::Damaged(_)
        | OpenError::Unsupported { .. } => DATA,
        OpenError::Locked { .. } | OpenError::CannotCreate { .. } => CANNOT_CREATE,
        OpenError::Io(_) => STORAGE,
    }
}

impl From<OpenError> for Failure {
    fn from(error: OpenError) -> Failure {
        Failure::new(code_of_folder(&error), error.to_string())
    }
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
