//! How a simulated node's turns and syncs go: one effect after the other, and between any two of
//! them the node may crash or stand still. Must never decide what the effects are.

use std::collections::VecDeque;

use rand::RngExt;
use servers::host::Outcome;
use servers::outbox::{Job, Parcel};
use servers::snapshots::Task;

use crate::checks::Violation;
use crate::coverage::Mark;
use crate::node::TurnEnd;
use crate::trace;
use crate::trouble::Kind;
use crate::workload::Workload;
use crate::world::{Event, World};

/// One thing that is left to be done.
pub(crate) enum Effect {
    /// A frame leaves, with or without promises in it.
    Send(Parcel),
    /// The writer gets work.
    Queue(Job),
    /// A client is answered.
    Reply(usize, Outcome),
    /// Whoever keeps its snapshots gets work.
    Keep(Task),
}

impl TurnEnd {
    /// What is to be done, in the order of the outbox.
    fn effects(self) -> VecDeque<Effect> {
        let sends = self.sends.into_iter().map(Effect::Send);
        let jobs = self.jobs.into_iter().map(Effect::Queue);
        let replies = self.replies.into_iter().map(|(client, reply)| Effect::Reply(client, reply));
        let tasks = self.tasks.into_iter().map(Effect::Keep);
        tasks.chain(sends).chain(jobs).chain(replies).collect()
    }
}

impl<W: Workload> World<W> {
    pub(crate) fn schedule_turn(&mut self, node: usize, at: u64) {
        if let Some(run) = self.nodes[node].wants_turn(at) {
            self.schedule(at, Event::Turn { node, run });
        }
    }

    pub(crate) fn on_turn(&mut self, node: usize, run: u32) -> Result<(), Violation> {
        if !self.nodes[node].is_due(run, self.now) {
            return Ok(());
        }
        self.note_all(|| trace::describe_mailbox(&self.nodes[node]));
        if self.happens(self.trouble.pause_at_clock) && self.nodes[node].gather_early() {
            self.report.faults.add(Kind::PauseAtClock);
            self.pause(node);
        }
        self.before_turn(node);
        let Some(turn) = self.nodes[node].turn(self.now)? else { return Ok(()) };
        self.report.turns += 1;
        self.report.steps += turn.inputs;
        self.check(node, &turn)?;
        let pauses = self.happens(self.trouble.pause_in_turn);
        let interruption = if pauses { Kind::PauseInTurn } else { Kind::CrashInTurn };
        let interrupted = pauses || self.happens(self.trouble.crash_in_turn);
        self.perform(node, turn.effects(), interrupted.then_some(interruption))?;
        if let Some(at) = self.nodes[node].deadline() {
            // A turn takes a while, also where one follows the other without a pause.
            let at = at.max(self.now + self.random.random_range(5..200));
            self.schedule_turn(node, at);
        }
        Ok(())
    }

    /// Does these things, one after the other. Before one of them, or after all, the node may be
    /// interrupted.
    pub(crate) fn perform(
        &mut self,
        node: usize,
        mut effects: VecDeque<Effect>,
        interruption: Option<Kind>,
    ) -> Result<(), Violation> {
        let cut = interruption.map(|_| self.random.random_range(0..=effects.len()));
        let undone = effects.split_off(cut.unwrap_or(effects.len()));
        let mut jobs = false;
        for effect in effects {
            match effect {
                Effect::Send(parcel) => self.send(node, parcel)?,
                Effect::Queue(job) => {
                    self.nodes[node].queue(job);
                    jobs = true;
                }
                Effect::Reply(client, outcome) => self.reply(node, client, outcome)?,
                Effect::Keep(task) => {
                    self.nodes[node].keep(task);
                    self.schedule_keeping(node);
                }
            }
        }
        let Some(kind) = interruption else {
            return if jobs { self.begin_sync(node) } else { Ok(()) };
        };
        self.report.faults.add(kind);
        if kind == Kind::CrashInSync {
            self.note_unsaid(&undone);
        }
        self.nodes[node].leave_undone(undone);
        if jobs && self.random.random_bool(0.5) {
            self.begin_sync(node)?; // the writer is a thread of its own
        }
        if kind == Kind::PauseInTurn {
            self.pause(node);
            return Ok(());
        }
        self.crash(node)
    }

    fn reply(&mut self, node: usize, client: usize, outcome: Outcome) -> Result<(), Violation> {
        self.note(|| format!("client {client}: {}", trace::kind_of(&outcome)));
        self.note_outcome(node, client, &outcome);
        self.clients.on_outcome(client, outcome, &mut self.checks)?;
        let at = self.now + self.random.random_range(0..self.trouble.think);
        self.schedule(at, Event::Ask { client });
        Ok(())
    }

    /// Whoever keeps the node's snapshots goes on soon, if there is something to do.
    pub(crate) fn schedule_keeping(&mut self, node: usize) {
        if let Some(run) = self.nodes[node].wants_keeping() {
            let longest = self.trouble.sync.max(21);
            let at = self.now + self.random.random_range(20..=longest);
            self.schedule(at, Event::Keep { node, run });
        }
    }

    /// One step of it: a task, or a piece.
    pub(crate) fn on_keep(&mut self, node: usize, run: u32) -> Result<(), Violation> {
        match self.nodes[node].go_on_keeping(run) {
            Ok(told) => {
                if told {
                    self.wake(node);
                }
                self.schedule_keeping(node);
                Ok(())
            }
            Err(error) => self.on_disk_error(node, error),
        }
    }

    /// The writer takes all that is queued, if it is idle.
    pub(crate) fn begin_sync(&mut self, node: usize) -> Result<(), Violation> {
        let queued = self.nodes[node].queued();
        if queued > 0 && self.happens(self.trouble.crash_in_staging) {
            let some = self.random.random_range(0..=queued);
            return match self.nodes[node].stage(some) {
                Ok(None) => Ok(()),
                Ok(Some(_)) => {
                    self.report.faults.add(Kind::CrashInStaging);
                    self.crash(node)
                }
                Err(error) => self.on_disk_error(node, error),
            };
        }
        match self.nodes[node].stage(queued) {
            Ok(None) => {}
            Ok(Some(run)) => {
                if self.nodes[node].take_waited_for_room() {
                    self.report.coverage.add(Mark::FullWaited);
                }
                let longest = match self.nodes[node].is_gray(self.now) {
                    true => LONGEST_SYNC,
                    false => self.trouble.sync.max(21),
                };
                let least = if self.nodes[node].is_stalled() { LOOK } else { 20 };
                let at = self.now + self.random.random_range(least..=longest.max(least));
                self.schedule(at, Event::Sync { node, run });
            }
            Err(error) => return self.on_disk_error(node, error),
        }
        Ok(())
    }

    /// Nothing is tried again: the process ends. What it wrote and did not sync can still be read,
    /// unless the machine fails with its disk.
    fn on_disk_error(&mut self, node: usize, error: Violation) -> Result<(), Violation> {
        if !self.nodes[node].disk_fails() {
            return Err(error);
        }
        self.note(|| format!("n{}: {error}", self.nodes[node].id));
        if self.nodes[node].disk_is_full() {
            self.report.coverage.add(Mark::DiskFull);
        }
        match self.random.random_bool(0.6) {
            true => self.kill(node),
            false => self.crash(node),
        }
    }

    pub(crate) fn on_sync(&mut self, node: usize, run: u32) -> Result<(), Violation> {
        let promises = match self.nodes[node].sync(run) {
            Ok(None) => return Ok(()),
            Ok(Some(promises)) => promises,
            Err(error) => {
                self.report.coverage.add(Mark::SyncFailed);
                return self.on_disk_error(node, error);
            }
        };
        self.note_durable(node);
        let interruption = self.happens(self.trouble.crash_in_sync).then_some(Kind::CrashInSync);
        let promises = promises.into_iter().map(Effect::Send).collect();
        self.perform(node, promises, interruption)?;
        self.wake(node);
        self.begin_sync(node)?;
        if self.random.random_bool(0.02)
            && let Err(error) = self.nodes[node].mark()
        {
            return self.on_disk_error(node, error);
        }
        Ok(())
    }
}

/// How soon it is tried again to write what waits for room, microseconds.
const LOOK: u64 = 50_000;

/// How long a sync of a failing disk may take, microseconds.
const LONGEST_SYNC: u64 = 2_000_000;
