//! A frame: the fixed header that says who speaks to whom, then the envelopes. Must never let a
//! byte of the body be looked at before the checksum was found right.

use bytes::Bytes;

use crate::{Boot, ClusterId, DecodeError, Envelope, NodeId, wire};

/// Bytes of the header.
pub const HEADER: usize = 48;

/// Bytes that a frame may have, header included. A longer one is refused by whoever gets it: the
/// sender keeps what it puts into one frame below this.
pub const MAX_FRAME: usize = 8 << 20;

/// How many times larger than the commands in it a frame may be that is kept for them.
const MOST_KEPT: usize = 4;

/// The format of frames. The header keeps its layout in all versions, the body need not.
pub const VERSION: u8 = 1;

const MAGIC: [u8; 4] = *b"RFT1";

/// Where the checksum stands; it covers all that is before it and all that is after it.
const CHECKSUM: usize = 44;

/// Who speaks to whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Which of the connections between the two it takes: 0 control, 1 log.
    pub lane: u8,
    /// The cluster of both.
    pub cluster: ClusterId,
    /// The sender.
    pub from: NodeId,
    /// The sender's run.
    pub boot: Boot,
    /// The receiver.
    pub to: NodeId,
}

/// Spells a frame.
pub fn encode(header: &Header, envelopes: &[Envelope]) -> Vec<u8> {
    let size: usize = envelopes.iter().map(|envelope| envelope.content.size()).sum();
    let mut frame = Vec::with_capacity(HEADER + size);
    frame.extend_from_slice(&MAGIC);
    frame.extend_from_slice(&[VERSION, header.lane, 0, 0]);
    for number in [header.cluster.0, header.from.0, header.boot.0, header.to.0] {
        frame.extend_from_slice(&number.to_le_bytes());
    }
    frame.resize(HEADER, 0);
    wire::encode(envelopes, &mut frame);
    // Beyond u32 it is far beyond MAX_FRAME, and refused in any case.
    let body = u32::try_from(frame.len() - HEADER).unwrap_or(u32::MAX);
    frame[CHECKSUM - 4..CHECKSUM].copy_from_slice(&body.to_le_bytes());
    let checksum = checksum(&frame);
    frame[CHECKSUM..HEADER].copy_from_slice(&checksum.to_le_bytes());
    frame
}

/// Reads a frame: header, checksum, body, in this order.
pub fn decode(frame: &[u8]) -> Result<(Header, Vec<Envelope>), DecodeError> {
    let (header, body) = open(frame)?;
    Ok((header, wire::decode(body)?))
}

/// Reads the header alone and checks magic, version and length. The checksum is *not* checked yet:
/// what it says may refuse a frame, and must not be remembered.
pub fn header(frame: &[u8]) -> Result<Header, DecodeError> {
    if frame.len() < HEADER {
        return Err(DecodeError::Short { length: frame.len() });
    }
    if frame[..4] != MAGIC {
        return Err(DecodeError::Magic);
    }
    if frame[4] != VERSION {
        return Err(DecodeError::Version(frame[4]));
    }
    if frame.len() > MAX_FRAME {
        return Err(DecodeError::Long { length: frame.len() });
    }
    let (claimed, actual) = (u32_at(frame, CHECKSUM - 4), frame.len() - HEADER);
    if claimed as usize != actual {
        return Err(DecodeError::Length { claimed, actual });
    }
    Ok(Header {
        lane: frame[5],
        cluster: ClusterId(u64_at(frame, 8)),
        from: NodeId(u64_at(frame, 16)),
        boot: Boot(u64_at(frame, 24)),
        to: NodeId(u64_at(frame, 32)),
    })
}

/// Reads the header, checks the checksum, and hands out the body, which `envelopes` reads.
pub fn open(frame: &[u8]) -> Result<(Header, &[u8]), DecodeError> {
    let header = header(frame)?;
    if u32_at(frame, CHECKSUM) != checksum(frame) {
        return Err(DecodeError::Checksum);
    }
    Ok((header, &frame[HEADER..]))
}

/// Reads the body of a frame that was opened. Commands in it are parts of the frame and keep it in
/// memory; of a frame that is much larger than they are, they are copies.
pub fn envelopes(frame: &Bytes) -> Result<Vec<Envelope>, DecodeError> {
    let envelopes: Vec<Envelope> = wire::decode_parts(frame, HEADER)?;
    let commands: usize = envelopes.iter().map(|envelope| envelope.content.commands_size()).sum();
    if commands == 0 || commands * MOST_KEPT >= frame.len() {
        return Ok(envelopes);
    }
    wire::decode(&frame[HEADER..])
}

fn checksum(frame: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&frame[..CHECKSUM]), &frame[HEADER..])
}

fn u32_at(frame: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(frame[at..at + 4].try_into().expect("four bytes"))
}

fn u64_at(frame: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(frame[at..at + 8].try_into().expect("eight bytes"))
}
