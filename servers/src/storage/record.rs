//! A batch as bytes: one write of the rules, whole or absent. Must never trust a length or a count
//! before the checksum over it holds.
//!
//! ```text
//! header, 72 bytes, little endian, at a multiple of 8:
//!    0 magic u32 · 4 CRC32C of the segment's salt and of bytes 8..72
//!    8 offset u64: where in the log the batch begins
//!   16 synced u64: up to where a sync had returned when the batch was written
//!   24 chain  u64: stands for all batches before this one
//!   32 run    u64: random, one for each opening of the log
//!   40 term   u64 · 48 voted for u64 · 56 length of the records u32 · 60 their number u32
//!   64 CRC32C of the records' heads · 68 flags u32 (bit 0: there is a vote, bit 1: a reset)
//! records, one an entry: length u32 · CRC32C u32 · the entry · zeros up to a multiple of 8;
//!   with a reset the first of them is a position instead: the log begins after it
//! ```
//!
//! The header vouches for the heads of the records and each head for its entry, so every byte is
//! checked and none twice.

use crc32c::{crc32c, crc32c_append};
use messages::wire::{decode, decode_entry, encode, encode_entry};
use messages::{Entry, LogPosition, NodeId, Term};
use states::HardState;

use super::segment::mix;

/// Bytes of a batch's header.
pub(crate) const HEADER: usize = 72;
/// Everything begins at a multiple of this.
pub(crate) const ALIGNMENT: usize = 8;

const MAGIC: [u8; 4] = *b"RBCH";
const RECORD_HEAD: usize = 8;
const HAS_VOTE: u32 = 1;
const HAS_RESET: u32 = 2;

/// What a batch's header says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) offset: u64,
    pub(crate) synced: u64,
    pub(crate) chain: u64,
    pub(crate) run: u64,
    pub(crate) hard_state: HardState,
    pub(crate) records: Records,
}

/// What a header says of its records.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Records {
    /// Bytes.
    pub(crate) length: u32,
    /// One for each entry, and for a reset.
    pub(crate) count: u32,
    /// Whether the first is a reset.
    pub(crate) resets: bool,
    /// CRC32C of their heads.
    pub(crate) checksum: u32,
}

impl Header {
    /// The header as bytes, and the chain value that stands for this batch too.
    pub(crate) fn encode(&self, salt: u64) -> ([u8; HEADER], u64) {
        let mut bytes = [0; HEADER];
        let (vote, flags) = spell_vote(self.hard_state.voted_for);
        bytes[0..4].copy_from_slice(&MAGIC);
        put_u64(&mut bytes, 8, self.offset);
        put_u64(&mut bytes, 16, self.synced);
        put_u64(&mut bytes, 24, self.chain);
        put_u64(&mut bytes, 32, self.run);
        put_u64(&mut bytes, 40, self.hard_state.term.0);
        put_u64(&mut bytes, 48, vote);
        put_u32(&mut bytes, 56, self.records.length);
        put_u32(&mut bytes, 60, self.records.count);
        put_u32(&mut bytes, 64, self.records.checksum);
        let reset = if self.records.resets { HAS_RESET } else { 0 };
        put_u32(&mut bytes, 68, flags | reset);
        let checksum = salted(salt, &bytes[8..]);
        put_u32(&mut bytes, 4, checksum);
        let chain = chain_after(&bytes);
        (bytes, chain)
    }

    /// Whether a header may stand at the front of `bytes`; quickly tells that none does.
    pub(crate) fn may_begin(bytes: &[u8]) -> bool {
        bytes.starts_with(&MAGIC)
    }

    /// Reads the header at the front of `bytes`, with the chain value after it; none if these bytes
    /// are not a header of the segment with this salt.
    pub(crate) fn decode(bytes: &[u8], salt: u64) -> Option<(Header, u64)> {
        let bytes: &[u8; HEADER] = bytes.first_chunk()?;
        if bytes[0..4] != MAGIC || get_u32(bytes, 4) != salted(salt, &bytes[8..]) {
            return None;
        }
        let header = Header {
            offset: get_u64(bytes, 8),
            synced: get_u64(bytes, 16),
            chain: get_u64(bytes, 24),
            run: get_u64(bytes, 32),
            hard_state: HardState {
                term: Term(get_u64(bytes, 40)),
                voted_for: read_vote(get_u64(bytes, 48), get_u32(bytes, 68)),
            },
            records: Records {
                length: get_u32(bytes, 56),
                count: get_u32(bytes, 60),
                checksum: get_u32(bytes, 64),
                resets: get_u32(bytes, 68) & HAS_RESET != 0,
            },
        };
        Some((header, chain_after(bytes)))
    }
}

/// Appends the records of a reset and of entries to `buffer`.
pub(crate) fn encode_records(
    buffer: &mut Vec<u8>,
    reset: Option<LogPosition>,
    entries: &[Entry],
) -> Records {
    let start = buffer.len();
    let mut checksum = 0;
    if let Some(position) = reset {
        checksum = encode_record(buffer, checksum, |bytes| encode(&position, bytes));
    }
    for entry in entries {
        checksum = encode_record(buffer, checksum, |bytes| encode_entry(entry, bytes));
    }
    let count = entries.len() + usize::from(reset.is_some());
    Records {
        length: u32::try_from(buffer.len() - start).expect("a batch is below 4 GiB"),
        count: u32::try_from(count).expect("a batch has below 2^32 entries"),
        checksum,
        resets: reset.is_some(),
    }
}

/// Appends one record; returns the checksum over the heads with its own.
fn encode_record(buffer: &mut Vec<u8>, checksum: u32, spell: impl FnOnce(&mut Vec<u8>)) -> u32 {
    let head = buffer.len();
    buffer.extend_from_slice(&[0; RECORD_HEAD]);
    spell(buffer);
    let bytes = &buffer[head + RECORD_HEAD..];
    let length = u32::try_from(bytes.len()).expect("an entry is below 4 GiB");
    let own_checksum = crc32c(bytes);
    put_u32(buffer, head, length);
    put_u32(buffer, head + 4, own_checksum);
    let checksum = crc32c_append(checksum, &buffer[head..head + RECORD_HEAD]);
    buffer.resize(buffer.len().next_multiple_of(ALIGNMENT), 0);
    checksum
}

/// Why records cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RecordFault {
    /// They are not the bytes that were written.
    Changed,
    /// They are, but no entry that this version knows.
    Unknown,
}

/// Reads the records that follow a header: a reset, and entries. `bytes` may go on beyond them, or end
/// before.
pub(crate) fn decode_records(
    bytes: &[u8],
    records: Records,
) -> Result<(Option<LogPosition>, Vec<Entry>), RecordFault> {
    let bytes = bytes.get(..records.length as usize).ok_or(RecordFault::Changed)?;
    let mut spelt = split_records(bytes, records).ok_or(RecordFault::Changed)?.into_iter();
    let mut reset = None;
    if records.resets {
        let position = spelt.next().ok_or(RecordFault::Unknown)?;
        reset = Some(decode(position).map_err(|_| RecordFault::Unknown)?);
    }
    let entries = spelt.map(|entry| decode_entry(entry).map_err(|_| RecordFault::Unknown));
    Ok((reset, entries.collect::<Result<_, _>>()?))
}

/// The entries as bytes, each checked.
fn split_records(mut bytes: &[u8], records: Records) -> Option<Vec<&[u8]>> {
    let mut spelt = Vec::new();
    let mut checksum = 0;
    while !bytes.is_empty() {
        let (head, rest) = bytes.split_at_checked(RECORD_HEAD)?;
        let length = get_u32(head, 0) as usize;
        let (entry, rest) = rest.split_at_checked(length)?;
        let (padding, rest) = rest.split_at_checked(length.next_multiple_of(ALIGNMENT) - length)?;
        if crc32c(entry) != get_u32(head, 4) || padding.iter().any(|byte| *byte != 0) {
            return None;
        }
        checksum = crc32c_append(checksum, head);
        spelt.push(entry);
        bytes = rest;
    }
    (checksum == records.checksum && spelt.len() == records.count as usize).then_some(spelt)
}

/// CRC32C under a segment's salt: bytes of another segment, or of an older life of the same blocks,
/// do not pass.
pub(crate) fn salted(salt: u64, bytes: &[u8]) -> u32 {
    crc32c_append(crc32c(&salt.to_le_bytes()), bytes)
}

/// The header names the chain before it, so its own bytes stand for all there is.
fn chain_after(header: &[u8; HEADER]) -> u64 {
    // Each step can be undone, so that no word is forgotten.
    (0..HEADER).step_by(8).fold(0, |chain, at| mix(chain ^ get_u64(header, at)))
}

/// A vote as a number and a flag.
pub(crate) fn spell_vote(vote: Option<NodeId>) -> (u64, u32) {
    vote.map_or((0, 0), |node| (node.0, HAS_VOTE))
}

/// A vote from a number and a flag.
pub(crate) fn read_vote(vote: u64, flags: u32) -> Option<NodeId> {
    (flags & HAS_VOTE != 0).then_some(NodeId(vote))
}

pub(crate) fn put_u32(bytes: &mut [u8], at: usize, number: u32) {
    bytes[at..at + 4].copy_from_slice(&number.to_le_bytes());
}

pub(crate) fn put_u64(bytes: &mut [u8], at: usize, number: u64) {
    bytes[at..at + 8].copy_from_slice(&number.to_le_bytes());
}

/// The number at `at`; the caller has checked that it is there.
pub(crate) fn get_u32(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(*bytes[at..].first_chunk().expect("four bytes"))
}

/// The number at `at`; the caller has checked that it is there.
pub(crate) fn get_u64(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(*bytes[at..].first_chunk().expect("eight bytes"))
}
