//! What became of connections and is not yet told. Must never tell of a loss before all frames that
//! came before it were taken, nor keep more than two changes a peer, however long nobody asks.

use std::collections::VecDeque;

use super::Change;

/// Changes in the order in which they happened.
#[derive(Default)]
pub(super) struct Changes {
    waiting: VecDeque<Change>,
    /// Of these, so many are older than a moment at which no frame waited.
    ripe: usize,
    /// Nobody was woken for the latest of them.
    is_news: bool,
}

impl Changes {
    /// Keeps a change. A loss makes all that is older of that peer worthless.
    pub fn tell(&mut self, change: Change) {
        if let Change::Lost(peer) = change {
            let outdated = [Change::Lost(peer), Change::Found(peer)];
            let ripe = self.waiting.iter().take(self.ripe);
            self.ripe = ripe.filter(|older| !outdated.contains(older)).count();
            self.waiting.retain(|older| !outdated.contains(older));
        }
        self.waiting.push_back(change);
        self.is_news = true;
    }

    /// No frame waits that came before what is known by now.
    pub fn ripen(&mut self) {
        self.ripe = self.waiting.len();
    }

    /// The next one that may be told.
    pub fn next(&mut self) -> Option<Change> {
        self.ripe = self.ripe.checked_sub(1)?;
        self.waiting.pop_front()
    }

    /// Whether something happened since the last call.
    pub fn take_news(&mut self) -> bool {
        std::mem::take(&mut self.is_news)
    }
}
