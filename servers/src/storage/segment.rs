//! A file of batches: its name and its head. Must never decide what a missing or bad one means: that
//! is recovery's.
//!
//! A segment is made of zeros and gets its name when they are durable; the name carries its number
//! in the row and its salt, so that the headers in it can be told even if its head is lost. The head
//! repeats what the log amounts to at its beginning, so that older segments can go.

use messages::{ClusterId, LogIndex, LogPosition, NodeId, Term};
use states::HardState;

use super::Owner;
use super::record::{
    ALIGNMENT, Header, get_u32, get_u64, put_u32, put_u64, read_vote, salted, spell_vote,
};

/// Bytes of a segment's head: one sector.
pub(crate) const HEAD: usize = 512;
/// The format that this version writes, and the only one it reads.
pub(crate) const VERSION: u32 = 2;

const MAGIC: [u8; 4] = *b"RSEG";
const SUFFIX: &str = ".log";

/// What a segment's name says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct SegmentId {
    /// Its number in the row, from one.
    pub(crate) sequence: u64,
    /// Random, and its own.
    pub(crate) salt: u64,
}

/// What a segment's head says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) owner: Owner,
    /// Where in the log the head itself begins.
    pub(crate) base: u64,
    /// Up to where a sync had returned when the segment was begun.
    pub(crate) synced: u64,
    /// Stands for all batches before.
    pub(crate) chain: u64,
    /// Bytes of the file.
    pub(crate) length: u64,
    /// After all batches before.
    pub(crate) hard_state: HardState,
    /// Where the log ended when the segment was begun.
    pub(crate) last: LogPosition,
}

/// Why a head cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HeadFault {
    /// It is not what was written.
    Changed,
    /// It is, in a format of this version.
    Unsupported(u32),
}

impl SegmentId {
    /// The file's name.
    pub(crate) fn name(self) -> String {
        format!("{:010}-{:016x}{SUFFIX}", self.sequence, self.salt)
    }

    /// The segment with this name; none if the file is not a segment.
    pub(crate) fn parse(name: &str) -> Option<SegmentId> {
        let (sequence, salt) = name.strip_suffix(SUFFIX)?.split_once('-')?;
        let sequence = sequence.parse().ok()?;
        let id = SegmentId { sequence, salt: u64::from_str_radix(salt, 16).ok()? };
        (id.name() == name).then_some(id)
    }
}

impl Head {
    /// The head as bytes.
    pub(crate) fn encode(&self, id: SegmentId) -> [u8; HEAD] {
        let mut bytes = [0; HEAD];
        let (vote, flags) = spell_vote(self.hard_state.voted_for);
        bytes[0..4].copy_from_slice(&MAGIC);
        put_u32(&mut bytes, 8, VERSION);
        put_u32(&mut bytes, 12, flags);
        let numbers = [
            id.sequence,
            self.owner.cluster.0,
            self.owner.node.0,
            self.base,
            self.synced,
            self.chain,
            self.length,
            self.hard_state.term.0,
            vote,
            self.last.term.0,
            self.last.index.0,
        ];
        for (place, number) in numbers.into_iter().enumerate() {
            put_u64(&mut bytes, 16 + 8 * place, number);
        }
        let checksum = salted(id.salt, &bytes[8..]);
        put_u32(&mut bytes, 4, checksum);
        bytes
    }

    /// Reads the head at the front of a segment's bytes.
    pub(crate) fn decode(bytes: &[u8], id: SegmentId) -> Result<Head, HeadFault> {
        let bytes: &[u8; HEAD] = bytes.first_chunk().ok_or(HeadFault::Changed)?;
        if bytes[0..4] != MAGIC || get_u32(bytes, 4) != salted(id.salt, &bytes[8..]) {
            return Err(HeadFault::Changed);
        }
        match get_u32(bytes, 8) {
            VERSION => {}
            version => return Err(HeadFault::Unsupported(version)),
        }
        let number = |place: usize| get_u64(bytes, 16 + 8 * place);
        if number(0) != id.sequence {
            return Err(HeadFault::Changed); // renamed by somebody
        }
        Ok(Head {
            owner: Owner { cluster: ClusterId(number(1)), node: NodeId(number(2)) },
            base: number(3),
            synced: number(4),
            chain: number(5),
            length: number(6),
            hard_state: HardState {
                term: Term(number(7)),
                voted_for: read_vote(number(8), get_u32(bytes, 12)),
            },
            last: LogPosition { term: Term(number(9)), index: LogIndex(number(10)) },
        })
    }
}

/// The highest `synced` that any header from byte `from` on says, wherever it stands: the row of
/// lengths may be broken before it, and the file may have another segment's name. What a header
/// says of syncs stays true for ever, so it does not matter whether it belongs to the row, or is a
/// copy within an entry.
pub(crate) fn highest_synced(bytes: &[u8], from: usize, ids: &[SegmentId]) -> u64 {
    // A header may end in zeros, but never begins with them.
    (from.next_multiple_of(ALIGNMENT)..used(bytes))
        .step_by(ALIGNMENT)
        .map(|at| &bytes[at..])
        .filter(|bytes| Header::may_begin(bytes))
        .filter_map(|bytes| ids.iter().find_map(|id| Header::decode(bytes, id.salt)))
        .map(|(header, _)| header.synced)
        .max()
        .unwrap_or(0)
}

/// Bytes up to the last that is not zero.
pub(crate) fn used(bytes: &[u8]) -> usize {
    const ZEROS: [u8; 4096] = [0; 4096];
    let mut end = bytes.len();
    while let Some(chunk) = end.checked_sub(ZEROS.len()).map(|from| &bytes[from..end]) {
        if chunk != ZEROS {
            break;
        }
        end -= ZEROS.len();
    }
    bytes[..end].iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1)
}

/// Spreads a number over all bits, and can be undone (SplitMix64's last step).
pub(crate) fn mix(number: u64) -> u64 {
    let mut mixed = number.wrapping_add(0x9E37_79B9_7F4A_7C15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    mixed ^ (mixed >> 31)
}
