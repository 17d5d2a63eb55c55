//! A simulated node's disk and writer: what is queued, written and synced, and how the disk fails.
//! Must never make an error of the disk one of the node, or the other way round.

use std::io;

use rand::RngExt;
use servers::keeping::{perform, restored};
use servers::machine::StateMachine;
use servers::outbox::{Job, Parcel};
use servers::server::Event;
use servers::snapshots::{Task, Told};
use states::random::SplitMix64;

use super::Node;
use crate::checks::Violation;
use crate::disk::{Fate, Room};

impl<M: StateMachine> Node<M> {
    /// What its disk had not synced is kept or lost, sector by sector. To be followed by `kill`.
    pub fn lose_power(&mut self, random: &mut SplitMix64) {
        self.disk.crash(|| match random.random_range(0..10) {
            0..4 => Fate::Kept,
            4..9 => Fate::Lost,
            _ => Fate::Torn(random.random_range(0..512)),
        });
    }

    /// Whether an error of its disk is no fault of its own.
    pub fn disk_fails(&self) -> bool {
        self.disk_fails || self.disk.is_full()
    }

    /// Whether its disk has no room.
    pub fn disk_is_full(&self) -> bool {
        self.disk.is_full()
    }

    /// Its disk fails after so many more operations, until the process ends or has started.
    pub fn fail_disk(&mut self, after: usize) {
        self.disk.fail_after(after, io::ErrorKind::Other);
        self.disk_fails = true;
    }

    /// Its disk fails as soon as a snapshot has its name.
    pub fn fail_disk_after_rename(&mut self) {
        self.disk.fail_after_rename();
        self.disk_fails = true;
    }

    /// The next sync of its disk fails.
    pub fn fail_sync(&mut self) {
        if self.is_up() {
            self.disk.fail_sync();
            self.disk_fails = true;
        }
    }

    /// Soon its disk has no room any more.
    pub fn fill_disk(&mut self, random: &mut SplitMix64) {
        let most = [66_000, 200_000][random.random_range(0..2)];
        self.disk.fill(match random.random_bool(0.7) {
            true => Room::Bytes(random.random_range(0..most)),
            false => Room::Operations(random.random_range(0..20)),
        });
    }

    /// Its disk has room again.
    pub fn free_disk(&mut self) {
        self.disk.free();
    }

    /// Its syncs take long until then.
    pub fn gray_until(&mut self, until: u64) {
        self.gray_until = until;
    }

    /// Whether its syncs take long.
    pub fn is_gray(&self, now: u64) -> bool {
        now < self.gray_until
    }

    /// Its disk works again.
    pub fn mend_disk(&mut self) {
        self.disk.free();
        self.disk.heal();
        self.disk_fails = false;
        self.gray_until = 0;
    }

    /// Work for whoever keeps its snapshots.
    pub fn keep(&mut self, task: Task) {
        if let Some(up) = &mut self.up {
            up.tasks.push_back(task);
        }
    }

    /// Whether a snapshot is under way in it.
    pub fn keeps_something(&self) -> bool {
        self.up.as_ref().is_some_and(|up| up.keeper.is_taking() || !up.tasks.is_empty())
    }

    /// Whether a snapshot has its name, and the folder was not synced since.
    pub fn renames_snapshot(&self) -> bool {
        self.disk.has_unsynced_name(".snap")
    }

    /// Notes that a step for its snapshots is wanted; the run it belongs to, unless one is due already.
    pub fn wants_keeping(&mut self) -> Option<u32> {
        let up = self.up.as_mut().filter(|_| self.paused.is_none())?;
        if up.keeping || (up.tasks.is_empty() && !up.keeper.is_taking()) {
            return None;
        }
        up.keeping = true;
        Some(self.run)
    }

    /// Does a task for its snapshots, or writes a piece of one; whether the node has something to hear.
    pub fn go_on_keeping(&mut self, run: u32) -> Result<bool, Violation> {
        let Some(up) = self.up.as_mut().filter(|_| run == self.run) else { return Ok(false) };
        up.keeping = false;
        if self.paused.is_some() {
            return Ok(false);
        }
        let told = match up.tasks.pop_front() {
            None => up.keeper.go_on().map(|whole| whole.map(Told::Taken)),
            Some(Task::Restore(whole)) => {
                let fresh = up.server.fresh();
                restored(&up.keeper, &whole, fresh).map(|restored| {
                    if let Some(restored) = restored {
                        up.server.restored(whole.meta, restored);
                    }
                    Some(Told::Restored)
                })
            }
            Some(task) => perform(&mut up.keeper, task),
        };
        let told = told.map_err(|error| error.to_string())?;
        let news = told.is_some();
        up.mailbox.extend(told.map(Event::Told));
        Ok(news)
    }

    /// Work for the writer.
    pub fn queue(&mut self, job: Job) {
        if let Some(up) = &mut self.up {
            up.queued.push_back(job);
        }
    }

    /// Jobs that the writer has not taken yet.
    pub fn queued(&self) -> usize {
        self.up.as_ref().map_or(0, |up| up.queued.len())
    }

    /// Whether what is queued waits for room on the disk.
    pub fn is_stalled(&self) -> bool {
        self.up.as_ref().is_some_and(|up| up.stalled)
    }

    /// The writer takes so many jobs and writes them, or looks for room that it waits for; the run in
    /// which its sync must end.
    pub fn stage(&mut self, jobs: usize) -> Result<Option<u32>, Violation> {
        let Some(up) = self.up.as_mut().filter(|_| self.paused.is_none()) else { return Ok(None) };
        let looks = up.rounds.awaits_room() && !self.disk.is_full();
        if up.syncing || (up.queued.is_empty() && !looks) {
            return Ok(None);
        }
        up.syncing = true;
        let mut writes = Vec::new();
        let mut written = Ok(());
        for _ in 0..jobs {
            let Some(job) = up.queued.pop_front() else { break };
            let write = job.write.clone();
            match up.rounds.stage(job) {
                Ok(Some(job)) => {
                    up.queued.push_front(job);
                    up.stalled = true;
                    break;
                }
                Ok(None) => {}
                Err(error) => written = Err(error.to_string()),
            }
            if let Some(write) = write {
                self.promises.on_staged(&write);
                self.waited_for_room |= std::mem::take(&mut up.stalled) && written.is_ok();
                writes.push(write);
            }
            if written.is_err() {
                break;
            }
        }
        let written = written.and_then(|()| up.rounds.write().map_err(|error| error.to_string()));
        if let Some(ledger) = &mut self.ledger {
            ledger.on_written(&writes, &self.disk.take_writes());
        }
        written?;
        Ok(Some(self.run))
    }

    /// The sync returns: the promises that it lets go.
    pub fn sync(&mut self, run: u32) -> Result<Option<Vec<Parcel>>, Violation> {
        let Some(up) = self.up.as_mut().filter(|_| run == self.run) else { return Ok(None) };
        up.sync_waits = self.paused.is_some();
        if up.sync_waits {
            return Ok(None);
        }
        let done = up.rounds.sync().map_err(|error| error.to_string())?;
        self.change = self.promises.on_synced();
        if let Some(ledger) = &mut self.ledger {
            ledger.on_synced();
        }
        up.syncing = false;
        up.mailbox.extend(done.written.map(Event::Written));
        up.mailbox.extend(done.space.map(Event::Space));
        up.mailbox.extend(done.kept.into_iter().map(|kept| Event::Told(Told::Kept(kept))));
        Ok(Some(done.promises))
    }

    /// Whether something was written that had waited for room, since somebody asked.
    pub fn take_waited_for_room(&mut self) -> bool {
        std::mem::take(&mut self.waited_for_room)
    }

    /// The run whose sync was over while it stood still.
    pub fn sync_waits(&self) -> Option<u32> {
        self.up.as_ref().filter(|up| up.sync_waits).map(|_| self.run)
    }

    /// The writer had no work for a while.
    pub fn mark(&mut self) -> Result<(), Violation> {
        let up = self.up.as_mut().filter(|up| !up.syncing && self.paused.is_none());
        let Some(up) = up else { return Ok(()) };
        up.rounds.mark().map_err(|error| error.to_string())?;
        let places = self.disk.take_writes();
        if let Some(ledger) = self.ledger.as_mut().filter(|_| !places.is_empty()) {
            ledger.on_marked(places);
        }
        Ok(())
    }
}
