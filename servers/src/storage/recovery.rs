//! What a crash left of the log, told apart from damage. [`examine`] only reads; what is to be done
//! about it is the log's.
//!
//! Each batch says how far a sync had returned when it was written. So bad bytes at X are damage if
//! any header after X, wherever it is found, says that X was synced. Otherwise nothing from X on was
//! promised to anybody, and all of it goes, whole batches included: the sectors of a flight reach
//! the disk in any order.

use std::collections::VecDeque;

use messages::{ClusterId, Entry, LogIndex, LogPosition, SnapshotMeta, Term};
use states::HardState;

use super::record::{HEADER, Header, RecordFault, decode_records};
use super::segment::{HEAD, Head, HeadFault, SegmentId, VERSION, highest_synced, used};
use super::{Cut, Damage, Disk, OpenError, Owner, WalError, snapshot};

/// A log as it lies on the disk.
#[derive(Clone, Debug)]
pub(crate) struct Examined {
    /// Whose it is, by the first segment.
    pub(crate) owner: Option<Owner>,
    /// The segments that stay, in order.
    pub(crate) segments: Vec<Segment>,
    /// Segments that hold nothing that was promised.
    pub(crate) superfluous: Vec<String>,
    /// After the last batch that stays.
    pub(crate) hard_state: HardState,
    /// The newest snapshot that is whole.
    pub(crate) snapshot: Option<SnapshotMeta>,
    /// What of snapshots is not whole.
    pub(crate) lost: Vec<String>,
    /// The log; behind the snapshot once that was looked at.
    pub(crate) entries: Vec<Entry>,
    /// What stands before the first of these entries, as far as the log says.
    pub(crate) before: LogPosition,
    /// Where the log ends on the disk.
    pub(crate) last: LogPosition,
    /// The log does not lead up to the snapshot, which therefore stands alone.
    pub(crate) contradicted: bool,
    /// The segments, oldest first, each with the highest index of an entry in it.
    pub(crate) row: VecDeque<(SegmentId, LogIndex)>,
    /// Stands for all batches that stay.
    pub(crate) chain: u64,
    /// Where in the log the last of them ends.
    pub(crate) end: u64,
    /// Up to where some header says that a sync had returned.
    pub(crate) proven: u64,
    /// Bytes behind the end, in its file, up to the last that is not zero.
    pub(crate) trailing: u64,
    /// Where promised bytes are missing: then all the above is only what lies before.
    pub(crate) damage: Option<Damage>,
}

impl Examined {
    /// What has to go before the log can be used; none if it ends cleanly.
    pub(crate) fn cut(&self, disk: &impl Disk) -> Option<Cut> {
        let last = self.segments.last()?;
        (self.trailing > 0 || !self.superfluous.is_empty()).then(|| Cut {
            file: disk.describe(&last.id.name()),
            offset: last.end,
            bytes: self.trailing,
            removed: self.superfluous.clone(),
        })
    }
}

/// A segment whose head holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Segment {
    pub(crate) id: SegmentId,
    pub(crate) base: u64,
    /// Bytes of the file.
    pub(crate) length: u64,
    /// Its last batch ends here in the file.
    pub(crate) end: u64,
}

/// Where the row of whole batches ends before its time.
struct Break {
    file: String,
    offset: u64,
    what: &'static str,
}

/// Why a segment cannot follow what was read so far.
enum Refused {
    /// The row ends; what else the disk says decides whether that is damage.
    Break(Break),
    /// No crash leaves this, whatever else the disk says.
    Damage(Damage),
    /// Another version's.
    Unsupported(OpenError),
}

/// Reads the whole log and changes nothing. An error is only what keeps it from being read; damage
/// is part of the answer. Snapshots are of this cluster, or of that which the log says it belongs to.
pub(crate) fn examine(disk: &impl Disk, cluster: Option<ClusterId>) -> Result<Examined, OpenError> {
    let mut log = examine_log(disk)?;
    let cluster = cluster.or(log.owner.map(|owner| owner.cluster));
    if let Some(cluster) = cluster.filter(|_| log.damage.is_none()) {
        find_snapshot(disk, cluster, &mut log)?;
        log.join(disk);
    }
    Ok(log)
}

/// Finds the newest snapshot that is whole.
fn find_snapshot(
    disk: &impl Disk,
    cluster: ClusterId,
    log: &mut Examined,
) -> Result<(), OpenError> {
    for position in snapshot::all(disk)?.into_iter().rev() {
        let name = snapshot::name(position);
        match snapshot::check(disk, &name, cluster) {
            Ok(meta) if meta.position == position => {
                log.snapshot = Some(meta);
                return Ok(());
            }
            Ok(_) => log.lost.push(format!("{} is renamed", disk.describe(&name))),
            Err(OpenError::Damaged(damage)) => log.lost.push(damage.to_string()),
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

impl Examined {
    /// Puts snapshot and log together (paper, section 7): what the snapshot covers of the log goes; all
    /// of it if it does not lead up to the snapshot.
    fn join(&mut self, disk: &impl Disk) {
        let covered = self.snapshot.as_ref().map_or(LogPosition::ZERO, |meta| meta.position);
        let damage = |position, what| {
            let file = disk.describe(&snapshot::name(position));
            Some(Damage { file, offset: 0, what })
        };
        if self.before.index > covered.index {
            let what = "the log begins after a snapshot that is not there";
            self.damage = damage(self.before, what);
            return;
        }
        if covered.term > self.hard_state.term {
            // A term is durable before a snapshot of it comes into its place.
            self.damage = damage(covered, "the snapshot is of a term above the node's");
            return;
        }
        let place = (covered.index.0 - self.before.index.0) as usize;
        let there = match place.checked_sub(1) {
            None if self.before.term == Term(0) => Some(covered), // nothing known speaks against it
            None => Some(self.before),
            Some(place) => self.entries.get(place).map(|entry| entry.position),
        };
        if there == Some(covered) {
            self.entries.drain(..place);
        } else {
            self.entries.clear();
            self.contradicted = true;
        }
    }
}

fn examine_log(disk: &impl Disk) -> Result<Examined, OpenError> {
    let ids = segment_ids(disk)?;
    let mut reader = Reader::new();
    let mut broken: Option<Break> = None;
    let first = ids.first().map_or(0, |id| id.sequence);
    if first == 0 || (first > 1 && snapshot::all(disk)?.is_empty()) {
        let what = "the log's first segment is missing";
        reader.log.damage =
            Some(Damage { file: disk.describe("0000000001-*.log"), offset: 0, what });
        return Ok(reader.log);
    }
    for (place, id) in ids.iter().enumerate() {
        let file = disk.describe(&id.name());
        let bytes =
            disk.read(&id.name()).map_err(|error| WalError::new(file.clone(), "read", error))?;
        let mut unread = 0; // from here on the bytes only count as witnesses
        if broken.is_none() {
            match reader.read_segment(*id, first + place as u64, &file, &bytes) {
                Ok(end) => unread = end,
                Err(Refused::Break(found)) => broken = Some(found),
                Err(Refused::Damage(damage)) => {
                    reader.log.damage = Some(damage);
                    return Ok(reader.log);
                }
                Err(Refused::Unsupported(error)) => return Err(error),
            }
        }
        if broken.is_some() {
            reader.log.superfluous.push(id.name());
        }
        reader.hear(&ids, &bytes, unread);
    }
    Ok(reader.judge(broken))
}

fn segment_ids(disk: &impl Disk) -> Result<Vec<SegmentId>, OpenError> {
    let names = disk.list().map_err(|error| WalError::new(disk.describe(""), "list", error))?;
    let mut ids: Vec<SegmentId> = names.iter().filter_map(|name| SegmentId::parse(name)).collect();
    ids.sort_unstable();
    for pair in ids.windows(2) {
        if pair[0].sequence == pair[1].sequence {
            let what = "another segment has the same number";
            return Err(Damage { file: disk.describe(&pair[1].name()), offset: 0, what }.into());
        }
    }
    Ok(ids)
}

/// What was read so far.
struct Reader {
    log: Examined,
    /// Where the last batch ended, and why the row did not go on there.
    stopped: Option<Break>,
}

impl Reader {
    fn new() -> Reader {
        Reader {
            log: Examined {
                owner: None,
                segments: Vec::new(),
                superfluous: Vec::new(),
                hard_state: HardState::default(),
                snapshot: None,
                lost: Vec::new(),
                entries: Vec::new(),
                before: LogPosition::ZERO,
                last: LogPosition::ZERO,
                contradicted: false,
                row: VecDeque::new(),
                chain: 0,
                end: 0,
                proven: 0,
                trailing: 0,
                damage: None,
            },
            stopped: None,
        }
    }

    /// Reads a segment that should continue the row; returns where its batches end.
    fn read_segment(
        &mut self,
        id: SegmentId,
        sequence: u64,
        file: &str,
        bytes: &[u8],
    ) -> Result<usize, Refused> {
        let head = match Head::decode(bytes, id) {
            Ok(head) => head,
            Err(HeadFault::Unsupported(version)) => {
                let (file, known) = (file.to_owned(), VERSION);
                return Err(Refused::Unsupported(OpenError::Unsupported { file, version, known }));
            }
            Err(HeadFault::Changed) if self.log.segments.is_empty() || bytes.len() < HEAD => {
                // The first head was durable before the node had an identity, or the segments before
                // it went; and a file has its length before it has a name.
                return Err(damage(file, 0, "the segment's head is not what was written"));
            }
            Err(HeadFault::Changed) => {
                return Err(self.stop(file, 0, "the segment's head is not what was written"));
            }
        };
        if self.log.segments.is_empty() {
            self.begin(&head);
        }
        self.check_head(&head, id, sequence, file, bytes)?;
        self.log.row.push_back((id, LogIndex(0)));
        self.log.owner.get_or_insert(head.owner);
        self.log.proven = self.log.proven.max(head.synced);
        self.log.end = head.base + HEAD as u64;
        let (end, what) = self
            .read_batches(&head, id, bytes)
            .map_err(|(offset, what)| damage(file, offset, what))?;
        self.log.trailing = used(bytes).saturating_sub(end) as u64;
        self.log.segments.push(Segment {
            id,
            base: head.base,
            length: head.length,
            end: end as u64,
        });
        self.stopped = Some(Break { file: file.to_owned(), offset: end as u64, what });
        Ok(end)
    }

    /// The row begins with this segment: what came before it is gone, and was as the head says.
    fn begin(&mut self, head: &Head) {
        self.log.end = head.base;
        self.log.chain = head.chain;
        self.log.hard_state = head.hard_state;
        (self.log.before, self.log.last) = (head.last, head.last);
    }

    /// Whether the segment continues the row.
    fn check_head(
        &mut self,
        head: &Head,
        id: SegmentId,
        sequence: u64,
        file: &str,
        bytes: &[u8],
    ) -> Result<(), Refused> {
        if bytes.len() as u64 != head.length {
            return Err(damage(
                file,
                bytes.len() as u64,
                "the file has another length than it was made with",
            ));
        }
        if self.log.owner.is_some_and(|owner| owner != head.owner) {
            return Err(damage(file, 0, "the segment belongs to another node"));
        }
        if head.base < self.log.end {
            return Err(damage(file, 0, "the segment begins before the one before it ends"));
        }
        let follows = id.sequence == sequence
            && head.base == self.log.end
            && head.chain == self.log.chain
            && head.hard_state == self.log.hard_state
            && head.last == self.log.last;
        if follows {
            Ok(())
        } else {
            Err(self.stop(file, 0, "the segment does not follow the one before it"))
        }
    }

    /// The row ends here, or where the segment before ended if something lies behind that.
    fn stop(&mut self, file: &str, offset: u64, what: &'static str) -> Refused {
        let here = Break { file: file.to_owned(), offset, what };
        let before = self.stopped.take().filter(|_| self.log.trailing > 0);
        Refused::Break(before.unwrap_or(here))
    }

    /// Takes batches as long as they are whole; returns where they end, and what is there instead.
    fn read_batches(
        &mut self,
        head: &Head,
        id: SegmentId,
        bytes: &[u8],
    ) -> Result<(usize, &'static str), (u64, &'static str)> {
        let mut at = HEAD;
        loop {
            let rest = &bytes[at..];
            let Some((header, chain)) = Header::decode(rest, id.salt) else {
                return Ok((at, "no batch is where one was"));
            };
            if header.offset != head.base + at as u64 || header.chain != self.log.chain {
                return Ok((at, "a batch does not follow the one before it"));
            }
            let (reset, entries) = match decode_records(&rest[HEADER..], header.records) {
                Ok(records) => records,
                Err(RecordFault::Changed) => return Ok((at, "a batch is not what was written")),
                Err(RecordFault::Unknown) => {
                    return Err((at as u64, "it holds an entry that this version cannot read"));
                }
            };
            self.take(&header, reset, entries).map_err(|what| (at as u64, what))?;
            at += HEADER + header.records.length as usize;
            self.log.chain = chain;
            self.log.end = head.base + at as u64;
        }
    }

    /// Adds a batch to the log, if it is one that the rules can have written.
    fn take(
        &mut self,
        header: &Header,
        reset: Option<LogPosition>,
        entries: Vec<Entry>,
    ) -> Result<(), &'static str> {
        let (old, new) = (self.log.hard_state, header.hard_state);
        if new.term < old.term {
            return Err("the term falls");
        }
        if new.term == old.term && old.voted_for.is_some() && new.voted_for != old.voted_for {
            return Err("there are two votes in one term");
        }
        if let Some(position) = reset {
            self.log.entries.clear();
            (self.log.before, self.log.last) = (position, position);
        }
        splice(&mut self.log, entries)?;
        if self.log.last.term > new.term {
            return Err("an entry is of a term above the node's");
        }
        if let Some((_, highest)) = self.log.row.back_mut() {
            *highest = self.log.last.index.max(*highest);
        }
        self.log.hard_state = new;
        self.log.proven = self.log.proven.max(header.synced);
        Ok(())
    }

    /// Hears what headers beyond the row say, be it under another segment's name: a file that was
    /// renamed is as good a witness.
    fn hear(&mut self, ids: &[SegmentId], bytes: &[u8], unread: usize) {
        let heads = ids.iter().filter_map(|id| Head::decode(bytes, *id).ok());
        let begun = heads.map(|head| head.synced).max().unwrap_or(0);
        let said = highest_synced(bytes, unread, ids);
        self.log.proven = self.log.proven.max(said).max(begun);
    }

    /// Cut or damage (design: bad bytes at X are damage if X was synced).
    fn judge(mut self, broken: Option<Break>) -> Examined {
        if self.log.proven > self.log.end {
            let at = broken.or(self.stopped).expect("a first segment was read");
            self.log.damage = Some(Damage { file: at.file, offset: at.offset, what: at.what });
        }
        self.log
    }
}

fn damage(file: &str, offset: u64, what: &'static str) -> Refused {
    Refused::Damage(Damage { file: file.to_owned(), offset, what })
}

/// Entries replace everything from their first on (paper, section 5.3). What stood before the row's
/// first entries may be replaced by the first that come: of those that went only the last is known.
fn splice(log: &mut Examined, entries: Vec<Entry>) -> Result<(), &'static str> {
    let Some(first) = entries.first().map(|entry| entry.position) else { return Ok(()) };
    if first.index == LogIndex(0) || first.index > log.last.index.next() {
        return Err("there is a gap in the log");
    }
    match first.index.0.checked_sub(log.before.index.0 + 1) {
        Some(kept) => log.entries.truncate(kept as usize),
        None => {
            log.entries.clear();
            // The term of what stands there went with its segment: at most that of what follows.
            log.before = LogPosition { term: Term(0), index: LogIndex(first.index.0 - 1) };
        }
    }
    log.last = log.entries.last().map_or(log.before, |entry| entry.position);
    for entry in entries {
        if entry.position.index != log.last.index.next() {
            return Err("there is a gap in the log");
        }
        if log.last.term > entry.position.term {
            return Err("terms fall along the log");
        }
        log.last = entry.position;
        log.entries.push(entry);
    }
    Ok(())
}
