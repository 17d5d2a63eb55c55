//! What each node has shown so far in its present run, kept outside it: what may only grow, and what
//! must stay within its limits. Must never ask a node what it remembers of itself.

use std::collections::VecDeque;

use messages::{Entry, LogIndex, LogPosition, NodeId, Term};
use servers::status::Load;
use states::{Config, Log, Role};

use crate::checks::Violation;

/// A node after one of its turns.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    /// The node.
    pub id: NodeId,
    /// How often it was started.
    pub run: u32,
    /// Its role.
    pub role: Role,
    /// Its term.
    pub term: Term,
    /// Its log, in memory.
    pub log: &'a Log,
    /// How far it believes that to be committed.
    pub commit: LogIndex,
    /// How far it has applied it.
    pub applied: LogIndex,
}

impl View<'_> {
    /// Whether it leads.
    pub fn leads(&self) -> bool {
        self.role == Role::Leader
    }
}

/// One node's run.
#[derive(Debug, Default)]
pub struct Seat {
    run: u32,
    term: Term,
    commit: LogIndex,
    applied: LogIndex,
    office: Option<Office>,
}

/// One node's time as a leader.
#[derive(Debug)]
struct Office {
    term: Term,
    /// Where its log ended.
    last: LogPosition,
    /// Entries that are not committed, or not durable on the node, with their bytes: the log itself may
    /// have forgotten them in the turn in which they were settled.
    unsettled: VecDeque<(LogIndex, usize)>,
    /// Their bytes.
    open: usize,
}

impl Seat {
    /// Term, commit index and what is applied never fall while a node runs.
    pub fn on_turn(&mut self, view: &View) -> Result<(), Violation> {
        if self.run != view.run {
            *self = Seat { run: view.run, ..Seat::default() };
        }
        let before = (self.term, self.commit, self.applied);
        let now = (view.term, view.commit, view.applied);
        if now.0 < before.0 || now.1 < before.1 || now.2 < before.2 || now.2 > now.1 {
            return Err(format!(
                "never falls: {} went from {before:?} to {now:?} (term, commit index, applied)",
                view.id
            ));
        }
        (self.term, self.commit, self.applied) = now;
        Ok(())
    }

    /// Whether it led this very term at the end of its last turn.
    pub fn has_led(&self, view: &View) -> bool {
        self.run == view.run && self.office.as_ref().is_some_and(|office| office.term == view.term)
    }

    /// Leader Append-Only: "a leader never overwrites or deletes entries in its log; it only appends
    /// new entries" (Figure 3); and it takes no proposals beyond its limit. `written` is what it
    /// handed to its disk in this turn.
    pub fn on_leader<'a>(
        &mut self,
        view: &View,
        written: impl Iterator<Item = &'a Entry>,
        config: &Config,
    ) -> Result<(), Violation> {
        if !view.leads() {
            self.office = None;
            return Ok(());
        }
        let settled = view.commit.min(view.log.durable());
        if !self.has_led(view) {
            let unsettled: VecDeque<_> =
                view.log.slice(settled.next(), usize::MAX).map(sized).collect();
            let open = unsettled.iter().map(|(_, size)| size).sum();
            let (term, last) = (view.term, view.log.last());
            self.office = Some(Office { term, last, unsettled, open });
            return Ok(());
        }
        let office = self.office.as_mut().expect("it leads");
        let kept = view.log.term_at(office.last.index) == Some(office.last.term);
        if view.log.last().index < office.last.index || !kept {
            return Err(format!("leader append-only: {} lost {}", view.id, office.last));
        }
        for entry in written {
            if entry.position.index <= office.last.index {
                let position = entry.position;
                return Err(format!("leader append-only: {} wrote {position} again", view.id));
            }
            if office.open > 0 && office.open + entry.payload.size() > config.uncommitted_bytes {
                return Err(format!(
                    "bounds: {} has {} uncommitted bytes and takes {}",
                    view.id, office.open, entry.position
                ));
            }
            office.open += entry.size();
            office.unsettled.push_back(sized(entry));
        }
        while let Some((_, size)) = office.unsettled.pop_front_if(|(index, _)| *index <= settled) {
            office.open -= size;
        }
        office.last = view.log.last();
        Ok(())
    }
}

fn sized(entry: &Entry) -> (LogIndex, usize) {
    (entry.position.index, entry.size())
}

/// Everything that waits in a node has a limit, and belongs to a request that waits.
pub fn check_load(
    id: NodeId,
    load: &Load,
    limit: usize,
    (clients, present): (usize, usize),
) -> Result<(), Violation> {
    if load.request_bytes > limit && load.requests > 1 {
        let (bytes, requests) = (load.request_bytes, load.requests);
        return Err(format!("bounds: {bytes} bytes of {requests} requests wait at {id}"));
    }
    if load.proposals + load.reads + load.held + load.copies > load.requests || clients > present {
        return Err(format!("bounds: at {id} something waits for nobody: {load:?}, {clients}"));
    }
    Ok(())
}

/// What is under way to a follower has a limit.
pub fn check_in_flight(
    id: NodeId,
    (messages, bytes): (usize, usize),
    largest: usize,
    config: &Config,
) -> Result<(), Violation> {
    let most = config.window_bytes + config.append_bytes.max(largest);
    if messages > config.window_messages.max(1) || bytes > most {
        return Err(format!("bounds: {id} has {messages} appends of {bytes} bytes in flight"));
    }
    Ok(())
}
