//! A node's data folder, for the subcommands: what keeps it from being opened, as exit codes.

use raft::exit::{self, Failure};
use servers::storage::OpenError;

/// How the program ends when a folder cannot be opened.
pub fn failure(error: OpenError) -> Failure {
    let code = match &error {
        OpenError::Empty { .. }
        | OpenError::Foreign { .. }
        | OpenError::Damaged(_)
        | OpenError::Unsupported { .. } => exit::DATA,
        OpenError::Locked { .. } | OpenError::CannotCreate { .. } => exit::CANNOT_CREATE,
        OpenError::Io(_) => exit::STORAGE,
    };
    Failure::new(code, error.to_string())
}
