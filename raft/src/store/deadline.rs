//! Until when keys are there, and which goes first. Must never know another time than the log's.

use std::collections::BTreeSet;
use std::num::NonZeroU64;

use messages::LogTime;

/// The last millisecond since the UNIX epoch in which a key is there: it is due once log time has
/// left it, as keys are in Redis.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Deadline(NonZeroU64);

impl Deadline {
    /// That millisecond; none for one at or before the epoch, in which nothing can still be there.
    pub fn at(millis: i64) -> Option<Deadline> {
        u64::try_from(millis).ok().and_then(NonZeroU64::new).map(Deadline)
    }

    /// Milliseconds since the UNIX epoch.
    pub fn millis(self) -> i64 {
        self.0.get() as i64
    }

    /// Whether a key with this deadline counts as absent.
    pub fn is_over(self, now: LogTime) -> bool {
        millis(now) > self.millis()
    }

    /// From when on it is over.
    pub fn over_at(self) -> LogTime {
        LogTime(self.0.saturating_add(1).get().saturating_mul(1000))
    }

    /// As a snapshot spells it.
    pub fn encode(self) -> [u8; 8] {
        self.0.get().to_le_bytes()
    }

    /// Reads what [`encode`](Deadline::encode) wrote.
    pub fn decode(bytes: &[u8]) -> Option<Deadline> {
        Deadline::at(i64::from_le_bytes(bytes.try_into().ok()?))
    }
}

/// Whole milliseconds of log time since the UNIX epoch.
pub fn millis(time: LogTime) -> i64 {
    (time.0 / 1000) as i64
}

/// All keys that have a deadline, in the order in which they go: by deadline, then by key.
#[derive(Debug, Default)]
pub struct Deadlines(BTreeSet<(Deadline, Box<[u8]>)>);

impl Deadlines {
    /// The first to go.
    pub fn first(&self) -> Option<(Deadline, &[u8])> {
        self.0.first().map(|(deadline, key)| (*deadline, &key[..]))
    }

    /// The key's deadline was this, and is that.
    pub fn change(&mut self, key: &[u8], from: Option<Deadline>, to: Option<Deadline>) {
        if from == to {
            return;
        }
        let taken = from.and_then(|from| self.0.take(&(from, key.into())));
        if let Some(to) = to {
            self.0.insert((to, taken.map_or_else(|| key.into(), |(_, key)| key)));
        }
    }
}
