//! A stopped node's folder, looked at: nothing is changed.

use messages::Entry;
use states::HardState;

use super::recovery::{self, Examined};
use super::{Cut, Damage, Disk, OpenError, Superblock};

/// What a data folder holds.
#[derive(Clone, Debug)]
pub struct Inspection {
    /// Whose it is; a bad superblock does not keep the log from being read.
    pub superblock: Result<Superblock, OpenError>,
    /// Term and vote; with damage, before it.
    pub hard_state: HardState,
    /// The log; with damage, before it.
    pub entries: Vec<Entry>,
    /// The log's files, in order.
    pub segments: Vec<SegmentReport>,
    /// What the next start would say.
    pub verdict: Verdict,
}

/// One file of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SegmentReport {
    /// The file.
    pub file: String,
    /// Its number in the row, from one.
    pub sequence: u64,
    /// Where in the log it begins, bytes.
    pub base: u64,
    /// Bytes of the file.
    pub length: u64,
    /// Bytes of it that hold whole batches.
    pub used: u64,
}

/// What recovery would do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing.
    Whole,
    /// Cut this off: it was promised to nobody.
    Cut(Cut),
    /// Refuse: promised bytes are missing.
    Damaged(Damage),
}

/// Reads a data folder without changing it. An error is only what keeps it from being read.
pub fn inspect(disk: &impl Disk) -> Result<Inspection, OpenError> {
    let superblock = Superblock::read(disk);
    let examined = recovery::examine(disk, None)?;
    let verdict = match (&examined.damage, examined.cut(disk)) {
        (Some(damage), _) => Verdict::Damaged(damage.clone()),
        (None, Some(cut)) => Verdict::Cut(cut),
        (None, None) => Verdict::Whole,
    };
    let segments = segment_reports(disk, &examined);
    let Examined { hard_state, entries, .. } = examined;
    Ok(Inspection { superblock, hard_state, entries, segments, verdict })
}

fn segment_reports(disk: &impl Disk, examined: &Examined) -> Vec<SegmentReport> {
    let report = |segment: &recovery::Segment| SegmentReport {
        file: disk.describe(&segment.id.name()),
        sequence: segment.id.sequence,
        base: segment.base,
        length: segment.length,
        used: segment.end,
    };
    examined.segments.iter().map(report).collect()
}
