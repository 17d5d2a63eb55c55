//! What time alone brings about in the machine, where no entry comes to tell it the time: the leader
//! proposes a blank one. Must never propose any while nothing is due, nor let a read see what is due
//! by the leader's time.

use messages::Operation;
use states::{Answer, Input, Micros, RequestId, Time, Turn};

use crate::applier::AsOf;
use crate::host::Outcome;
use crate::machine::StateMachine;
use crate::proposals::Stage;
use crate::server::Server;

/// What is due by the leader's time waits so long for an entry, unless a read asks for it.
const PATIENCE: Micros = Micros(100_000);

/// Between two blank entries while more is due than the last one could do.
const BACKLOG_PACE: Micros = Micros(5_000);

/// Names the blank entries that are proposed here; no request is called so.
pub const BLANK: RequestId = RequestId(0);

impl<M: StateMachine> Server<M> {
    /// Proposes a blank entry if a read waits for one, or something is due.
    pub(crate) fn propose_blank(&mut self, turn: &mut Turn) {
        self.log_time = self.state().log_time(turn.now, turn.wall);
        if !self.held.is_empty() || self.blank_due().is_some_and(|due| due <= self.now) {
            self.last_blank = self.now;
            self.swap(turn, Input::Blank(BLANK));
        }
    }

    /// When the leader should propose a blank entry, if nothing else happens; none while an entry is
    /// under way, which does the same.
    pub(crate) fn blank_due(&self) -> Option<Time> {
        let now = self.log_time?;
        let due = self.applier.machine().next_due()?;
        let log = self.replica.log();
        if self.applier.applied() < log.last().index {
            return None;
        }
        if due <= log.last_time() {
            return Some(self.last_blank + BACKLOG_PACE);
        }
        let ahead = Micros(due.0.saturating_sub(now.0));
        let behind = now.0.saturating_sub(due.0);
        Some(Time((self.now + ahead + PATIENCE).0.saturating_sub(behind)))
    }

    /// A read met what is due.
    pub(crate) fn hold(&mut self, id: RequestId, queries: Vec<Operation>) {
        self.requests.put_operations(id, queries);
        self.requests.set(id, Stage::Asked);
        self.held.push(id);
    }

    /// The blank entry stands in the log, or never will.
    pub(crate) fn on_blank(&mut self, answer: Answer) {
        for id in std::mem::take(&mut self.held) {
            if self.requests.get(id).is_none() {
                continue; // its time was over
            }
            match answer {
                Answer::Appended(position) => self.read_at(id, position.index, AsOf::Applied),
                Answer::ReadAt(_) | Answer::NotLeader => self.not_appended(id),
                Answer::Busy => self.reply(id, Outcome::Busy),
                Answer::Full => self.reply(id, Outcome::Full),
            }
        }
    }
}
