//! What can go wrong with a data folder. Each error says what happened, where, and what to do; the
//! program maps it to an exit code.

use std::fmt;
use std::io;
use std::sync::Arc;

use messages::ClusterId;

use super::Identity;
use super::disk::is_no_space;

/// Why a data folder or its log cannot be opened. Nothing was changed.
#[derive(Clone, Debug)]
pub enum OpenError {
    /// There is neither a superblock nor a log: under a configuration that names a founded cluster
    /// this node is a stranger with an old name (exit 65).
    Empty {
        /// The folder, or the file that is missing.
        file: String,
    },
    /// The folder belongs to another node or cluster (exit 65).
    Foreign {
        /// Its superblock.
        file: String,
        /// Whose it is.
        found: Box<Identity>,
        /// The cluster that was expected.
        cluster: ClusterId,
        /// The node's name that was expected.
        name: String,
    },
    /// Bytes that were promised to be there are not (exit 65).
    Damaged(Damage),
    /// Another version of this program wrote it (exit 65).
    Unsupported {
        /// The file.
        file: String,
        /// Its format's version.
        version: u32,
        /// The only version of this format that this program reads.
        known: u32,
    },
    /// Another process has the folder open (exit 73).
    Locked {
        /// The folder.
        folder: String,
    },
    /// The folder or its lock cannot be made (exit 73).
    CannotCreate {
        /// The folder or file.
        file: String,
        /// The system's word.
        error: Arc<io::Error>,
    },
    /// A file cannot be read or written (exit 74).
    Io(WalError),
}

/// Where promised bytes are missing or changed. They are never cut off.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// The file.
    pub file: String,
    /// The first bad byte's batch begins here in the file.
    pub offset: u64,
    /// What is wrong there.
    pub what: &'static str,
}

/// What was cut off at start: written after the last sync that returned, promised to nobody.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cut {
    /// The file.
    pub file: String,
    /// The log now ends here in the file.
    pub offset: u64,
    /// How many bytes of the file after that were zeroed.
    pub bytes: u64,
    /// Later segments that were removed.
    pub removed: Vec<String>,
}

/// A read, write or sync that failed. For the log it is fatal: after it nothing is known about what
/// the disk holds, so it is never tried again.
#[derive(Clone, Debug)]
pub struct WalError {
    /// The file.
    pub file: String,
    /// What was tried.
    pub operation: &'static str,
    /// The system's word.
    pub error: Arc<io::Error>,
}

impl OpenError {
    /// What is wrong with a file that was received: the folder is as it was, whatever it is.
    pub(crate) fn of_received(&self) -> String {
        match self {
            OpenError::Damaged(damage) => damage.to_string(),
            other => other.to_string(),
        }
    }
}

impl WalError {
    /// Whether the disk, or what this user may have of it, is full.
    pub(crate) fn is_full(&self) -> bool {
        is_no_space(&self.error)
    }

    pub(crate) fn new(file: String, operation: &'static str, error: io::Error) -> WalError {
        WalError { file, operation, error: Arc::new(error) }
    }
}

impl fmt::Display for WalError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot {} {}: {}", self.operation, self.file, self.error)
    }
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is damaged at byte {}: {}", self.file, self.offset, self.what)
    }
}

impl fmt::Display for Cut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cut {} at byte {}: {} bytes after it", self.file, self.offset, self.bytes)?;
        if !self.removed.is_empty() {
            write!(f, " and {}", self.removed.join(", "))?;
        }
        write!(f, " were written after the last sync that returned, and promised to nobody")
    }
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            OpenError::Empty { file } => write!(
                f,
                "{file} does not exist: this folder was never founded, or was emptied; a node \
                 without its folder is a stranger to its cluster. Found the cluster with `raft \
                 init`, or put the folder back"
            ),
            OpenError::Foreign { file, found, cluster, name } => write!(
                f,
                "{file} belongs to {found}, but node {name} of cluster {:016x} was expected. Use \
                 another folder, or the configuration that belongs to this one",
                cluster.0
            ),
            OpenError::Damaged(damage) => write!(
                f,
                "{damage}. Nothing was changed. Look at it with `raft inspect`; this node must not \
                 vote or acknowledge until its folder is put back or rebuilt from its peers"
            ),
            OpenError::Unsupported { file, version, known } if version < known => write!(
                f,
                "{file} has format version {version}, of an older version of this program; this one \
                 reads {known}. Nothing was changed. Start the program that wrote it; to go on with \
                 this one, found another cluster and write the keys into it"
            ),
            OpenError::Unsupported { file, version, known } => write!(
                f,
                "{file} has format version {version}, of a newer version of this program; this one \
                 reads {known}. Nothing was changed. Start the program that wrote it"
            ),
            OpenError::Locked { folder } => {
                write!(f, "{folder} is in use by another process. Stop that one first")
            }
            OpenError::CannotCreate { file, error } => write!(
                f,
                "cannot make {file}: {error}. Choose a folder that this user may write to"
            ),
            OpenError::Io(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for WalError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&*self.error)
    }
}

impl std::error::Error for OpenError {}

impl From<WalError> for OpenError {
    fn from(error: WalError) -> OpenError {
        OpenError::Io(error)
    }
}

impl From<Damage> for OpenError {
    fn from(damage: Damage) -> OpenError {
        OpenError::Damaged(damage)
    }
}
