//! Why bytes were refused. Must never be made for bytes that we spelt ourselves: what we send is
//! right by construction, what others send is checked.

use std::fmt;

/// Why bytes are not what they should be. Nothing of a refused frame or entry is used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DecodeError {
    /// Fewer bytes than a frame's header has.
    Short {
        /// The bytes that there are.
        length: usize,
    },
    /// The frame does not begin as a frame does.
    Magic,
    /// The frame is of a format that this program does not speak.
    Version(u8),
    /// The frame is longer than `MAX_FRAME`.
    Long {
        /// The bytes that there are.
        length: usize,
    },
    /// The header names another length than the frame has.
    Length {
        /// Bytes of the body, as the header has it.
        claimed: u32,
        /// Bytes after the header.
        actual: usize,
    },
    /// The bytes were changed on their way.
    Checksum,
    /// Spelt rightly, but of a kind that this program does not know: a newer one made it. An entry
    /// of an unknown kind is never skipped, the node halts. Tells the type and the kind.
    UnknownKind(String),
    /// Not the MessagePack of the type that was asked for. Tells what was expected.
    Body(String),
    /// Something follows the value.
    Trailing,
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DecodeError::Short { length } => {
                write!(f, "{length} bytes are too short for a frame's header")
            }
            DecodeError::Magic => f.write_str("these bytes are no frame: they begin otherwise"),
            DecodeError::Version(version) => {
                write!(f, "the frame has format {version}, this program speaks another")
            }
            DecodeError::Long { length } => {
                write!(f, "{length} bytes are more than a frame may have")
            }
            DecodeError::Length { claimed, actual } => {
                write!(f, "the frame claims a body of {claimed} bytes, and has one of {actual}")
            }
            DecodeError::Checksum => {
                f.write_str("the frame's checksum is wrong: it was damaged on its way")
            }
            DecodeError::UnknownKind(what) => {
                write!(f, "{what}: made by a newer version of this program; upgrade this node")
            }
            DecodeError::Body(what) => {
                write!(f, "the MessagePack is not what it should be: {what}")
            }
            DecodeError::Trailing => f.write_str("something follows the value"),
        }
    }
}

impl std::error::Error for DecodeError {}
