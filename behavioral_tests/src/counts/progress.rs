//! How far all clients together are. Must never count what was not acknowledged.

use std::sync::{Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use crate::nodes::{Nodes, PATIENCE};

/// How often a wait looks after the nodes.
const ROUND: Duration = Duration::from_millis(200);

/// Shared by all clients and the one who kills.
#[derive(Debug)]
pub struct Progress {
    state: Mutex<State>,
    advanced: Condvar,
}

#[derive(Debug)]
struct State {
    /// Counts that no client has begun.
    left: u64,
    acknowledged: u64,
    stopped: bool,
}

impl Progress {
    /// So many counts are to be made.
    pub fn new(counts: u64) -> Progress {
        let state = State { left: counts, acknowledged: 0, stopped: false };
        Progress { state: Mutex::new(state), advanced: Condvar::new() }
    }

    /// Hands out one count to make; `false` when there is none.
    pub fn take(&self) -> bool {
        let mut state = self.lock();
        let more = state.left > 0;
        state.left = state.left.saturating_sub(1);
        more
    }

    /// One of those handed out is acknowledged.
    pub fn acknowledge(&self) {
        self.lock().acknowledged += 1;
        self.advanced.notify_all();
    }

    /// Ends all clients, done or not.
    pub fn stop(&self) {
        self.lock().stopped = true;
        self.advanced.notify_all();
    }

    /// Whether clients shall end.
    pub fn stopped(&self) -> bool {
        self.lock().stopped
    }

    /// Returns when so many counts are acknowledged, or it cannot come to that any more.
    pub fn wait_for(&self, counts: u64, nodes: &mut Nodes) -> Result<()> {
        let mut state = self.lock();
        let mut seen = (state.acknowledged, Instant::now());
        while state.acknowledged < counts && !state.stopped {
            let waited = self.advanced.wait_timeout(state, ROUND);
            state = waited.expect("nobody panics with the lock").0;
            if state.acknowledged > seen.0 {
                seen = (state.acknowledged, Instant::now());
            } else if seen.1.elapsed() > PATIENCE {
                bail!("nothing was acknowledged for {PATIENCE:?}, after {} counts", seen.0);
            }
            nodes.check_alive()?;
        }
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("nobody panics with the lock")
    }
}
