//! What a simulated node's turn begins with: what has come, and its clock. Must never show a clock
//! later than what was gathered could be.

use std::collections::VecDeque;

use servers::server::Event;
use servers::transport::Change;
use servers::turn::{Edges, Moment};
use states::{Time, WallTime};

use crate::checks::Violation;

/// Both clocks of a node whose own clock shows this; its wall clock was set forward or back by
/// `wall`.
pub(super) fn moment(clock: u64, wall: i64) -> Moment {
    (Time(clock), WallTime((1_700_000_000_000_000 + clock).saturating_add_signed(wall)))
}

/// Between a look at the clock and the gathering, in whatever order, a pause may fall: what is done
/// first is done when the pause began.
pub(super) struct SimulatedEdges<'a> {
    /// What had come when a pause began that fell between the two.
    pub(super) early: Option<Vec<Event>>,
    /// What has come; after `early`, if there is that.
    pub(super) mailbox: &'a mut Vec<Event>,
    /// What became of its connections, behind what has come.
    pub(super) changes: &'a mut VecDeque<Change>,
    /// All that has come was gathered.
    pub(super) drained: bool,
    /// It was gathered.
    pub(super) gathered: bool,
    /// What the clock shows if it is read first, and if not.
    pub(super) before: u64,
    pub(super) after: u64,
    pub(super) wall: i64,
    /// What it showed when it was read.
    pub(super) read: Option<u64>,
}

impl Edges for SimulatedEdges<'_> {
    type Error = Violation;

    fn gather(&mut self, events: &mut Vec<Event>) -> Result<(), Violation> {
        if std::mem::replace(&mut self.gathered, true) {
            return Err("turn: it gathers twice".to_string());
        }
        match self.early.take() {
            None => {
                std::mem::swap(events, self.mailbox);
                self.drained = true;
            }
            Some(early) => {
                *events = early;
                if self.read.is_some() {
                    events.append(self.mailbox);
                }
            }
        }
        Ok(())
    }

    fn change(&mut self) -> Option<Change> {
        if self.drained { self.changes.pop_front() } else { None }
    }

    fn clock(&mut self) -> Moment {
        let shown = if self.gathered { self.after } else { self.before };
        self.read = Some(shown);
        moment(shown, self.wall)
    }
}
