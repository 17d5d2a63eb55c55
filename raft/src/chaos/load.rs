//! Clients at work, all of whose operations are noted in a [`History`]. Must never send a command
//! twice: what is refused or lost is counted, and another one is drawn.
//!
//! Each client is a thread with one connection at a time, over which it sends pipelines of random
//! commands. After a refusal, an unknown outcome or a lost connection it goes to the next node, and
//! now and then without a reason: a node that was deposed while it slept is to be asked, too. One
//! thread more judges, ahead of the rest, what was asked of keys that all clients are done with: so
//! a load can go on for long.

mod commands;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use linearizability::kv::Command;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::history::{Connection, History, Outcome};
use crate::client::Reply;

pub use commands::{Keys, Mix};

/// After a node that cannot be reached, before the next is tried.
const PAUSE: Duration = Duration::from_millis(10);
/// One in so many pipelines is the last over its connection.
const STAY: u32 = 50;
/// Once half of what may be kept is there, what is left would last about so long.
const LAST_HALF: Duration = Duration::from_secs(60);

/// What clients do.
#[derive(Clone, Debug)]
pub struct Plan {
    /// How many clients.
    pub clients: usize,
    /// Commands in one pipeline, at most.
    pub pipeline: usize,
    /// Which commands.
    pub mix: Mix,
    /// Over which keys.
    pub keys: Keys,
    /// Operations a second of all clients, at most.
    pub rate: Option<u64>,
    /// Operations that the history may hold. From half of them on clients slow down, more and more.
    pub most: usize,
    /// How long an answer may take: longer than the nodes' client time-out.
    pub patience: Duration,
    /// Repeats what is drawn, though not what comes of it.
    pub seed: u64,
}

/// Clients that are at work until [`stop`](Load::stop).
#[derive(Debug)]
pub struct Load {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// How long the clients have been at work.
    pub time: Duration,
    /// Operations by outcome: `ok`, the first word of an error, `no answer` (sent, and the connection
    /// broke or nothing came in time), `not sent`.
    pub outcomes: BTreeMap<String, u64>,
    /// Writes that were acknowledged.
    pub acknowledged: u64,
    /// The longest time without an acknowledged write, from the first moment to the last.
    pub longest_gap: Duration,
    /// Whether clients have slowed down because so many operations are kept.
    pub slowed: bool,
}

#[derive(Debug)]
struct Shared {
    history: Arc<History>,
    addresses: Vec<String>,
    plan: Plan,
    start: Instant,
    stopping: AtomicBool,
    /// Operations drawn so far.
    drawn: AtomicU64,
    /// The generation of keys that each client uses.
    generations: Vec<AtomicU64>,
    slowed: AtomicBool,
    tally: Mutex<Tally>,
}

#[derive(Debug)]
struct Tally {
    outcomes: BTreeMap<String, u64>,
    acknowledged: u64,
    last_acknowledged: Instant,
    longest_gap: Duration,
}

impl Load {
    /// Starts the clients, each at another node first.
    ///
    /// # Panics
    /// If there is no address, no client or no key, or the system has no thread left.
    pub fn start(history: &Arc<History>, addresses: Vec<String>, plan: Plan) -> Load {
        assert!(!addresses.is_empty() && plan.clients > 0 && plan.pipeline > 0, "{plan:?}");
        assert!(plan.keys.groups > 0 && plan.keys.fresh_after > 0, "{plan:?}");
        let start = Instant::now();
        let tally = Tally {
            outcomes: BTreeMap::new(),
            acknowledged: 0,
            last_acknowledged: start,
            longest_gap: Duration::ZERO,
        };
        let generations = (0..plan.clients).map(|_| AtomicU64::new(0)).collect();
        let shared = Arc::new(Shared {
            history: Arc::clone(history),
            addresses,
            plan,
            start,
            stopping: AtomicBool::new(false),
            drawn: AtomicU64::new(0),
            generations,
            slowed: AtomicBool::new(false),
            tally: Mutex::new(tally),
        });
        let threads = (0..shared.plan.clients).map(|number| {
            let shared = Arc::clone(&shared);
            thread::spawn(move || Worker::new(&shared, number).work())
        });
        let mut threads: Vec<JoinHandle<()>> = threads.collect();
        let judge = Arc::clone(&shared);
        threads.push(thread::spawn(move || judge.settle()));
        Load { shared, threads }
    }

    /// What came of it so far.
    pub fn report(&self) -> Report {
        let tally = self.shared.tally();
        Report {
            time: self.shared.start.elapsed(),
            outcomes: tally.outcomes.clone(),
            acknowledged: tally.acknowledged,
            longest_gap: tally.longest_gap.max(tally.last_acknowledged.elapsed()),
            slowed: self.shared.slowed.load(Ordering::Relaxed),
        }
    }

    /// Stops the clients, waits for what they still wait for, and tells what came of it up to the
    /// call.
    pub fn stop(self) -> Report {
        let mut report = self.report();
        self.shared.stopping.store(true, Ordering::Relaxed);
        for thread in self.threads {
            // One that panicked has said so, and what it noted is noted.
            let _ = thread.join();
        }
        report.outcomes = self.shared.tally().outcomes.clone();
        report
    }
}

impl Shared {
    fn tally(&self) -> MutexGuard<'_, Tally> {
        self.tally.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn stopping(&self) -> bool {
        self.stopping.load(Ordering::Relaxed)
    }

    fn count(&self, command: &Command, outcome: &Outcome) {
        let word = match outcome {
            Outcome::Answered(Reply::Error(text))
            | Outcome::Refused(text)
            | Outcome::Unknown(text) => word(text),
            Outcome::Answered(_) => "ok",
        };
        let mut tally = self.tally();
        match tally.outcomes.get_mut(word) {
            Some(count) => *count += 1,
            None => drop(tally.outcomes.insert(word.to_owned(), 1)),
        }
        if word == "ok" && command.is_write() {
            tally.acknowledged += 1;
            let gap = tally.last_acknowledged.elapsed();
            tally.longest_gap = tally.longest_gap.max(gap);
            tally.last_acknowledged = Instant::now();
        }
    }

    /// Counts so many operations as drawn; how long they shall last, if all clients do alike.
    fn pause_after(&self, operations: usize) -> Duration {
        let Plan { clients, rate, most, .. } = self.plan;
        self.drawn.fetch_add(operations as u64, Ordering::Relaxed);
        let kept = self.history.len();
        let slowly = (kept * 2 > most).then(|| {
            self.slowed.store(true, Ordering::Relaxed);
            most.saturating_sub(kept) as f64 / LAST_HALF.as_secs_f64()
        });
        let rate = rate.map(|rate| rate as f64).into_iter().chain(slowly).reduce(f64::min);
        let pause = rate.map_or(0.0, |rate| (clients * operations) as f64 / rate.max(1e-6));
        Duration::try_from_secs_f64(pause).unwrap_or(Duration::MAX)
    }

    /// Judges each generation of keys that all clients are done with, until the end.
    fn settle(&self) {
        let mut next = 0;
        while !self.stopping() {
            let used = self.generations.iter().map(|used| used.load(Ordering::SeqCst)).min();
            while next < used.unwrap_or(0) && !self.stopping() {
                let prefix = self.plan.keys.generation(next).into_bytes();
                self.look_back(&prefix);
                self.history.settle(&prefix);
                next += 1;
            }
            thread::sleep(PAUSE);
        }
    }

    /// Reads all keys that begin so, for the last time: a write that was lost is missed now at the
    /// latest.
    fn look_back(&self, prefix: &[u8]) {
        let reads: Vec<Command> = self.history.keys(prefix).into_iter().map(Command::Get).collect();
        for address in self.addresses.iter().cycle().take_while(|_| !self.stopping()) {
            if let Ok(mut node) = Connection::open(&self.history, address, self.plan.patience)
                && node.pipeline(&reads).0.iter().all(Outcome::is_answer)
            {
                return;
            }
            thread::sleep(PAUSE);
        }
    }
}

/// `CLUSTERDOWN no leader...`, and what is said of operations without an answer.
fn word(text: &str) -> &str {
    match text {
        "no answer" | "not sent" => text,
        _ => text.split(' ').next().unwrap_or_default(),
    }
}

/// One client.
struct Worker<'a> {
    shared: &'a Shared,
    number: usize,
    random: StdRng,
    /// Which node is next, counted without end.
    turn: usize,
    connection: Option<Connection>,
    drawer: commands::Drawer,
}

impl Worker<'_> {
    fn new(shared: &Shared, number: usize) -> Worker<'_> {
        let seed = shared.plan.seed.wrapping_add(number as u64);
        Worker {
            shared,
            number,
            random: StdRng::seed_from_u64(seed),
            turn: number,
            connection: None,
            drawer: commands::Drawer::new(number),
        }
    }

    fn work(mut self) {
        let mut due = Instant::now();
        while !self.shared.stopping() {
            let Some(mut connection) = self.connection.take().or_else(|| self.connect()) else {
                thread::sleep(PAUSE);
                continue;
            };
            let plan = &self.shared.plan;
            let operations = self.random.random_range(1..=plan.pipeline);
            let generation = self.shared.drawn.load(Ordering::Relaxed) / plan.keys.fresh_after;
            // Never falls: what a client is done with it never names again.
            self.shared.generations[self.number].store(generation, Ordering::SeqCst);
            let commands: Vec<Command> = (0..operations)
                .map(|_| self.drawer.draw(&mut self.random, plan.mix, &plan.keys, generation))
                .collect();
            // What was not used while nobody answered is not made up for.
            due = due.max(Instant::now()) + self.shared.pause_after(operations);
            let (outcomes, result) = connection.pipeline(&commands);
            for (command, outcome) in commands.iter().zip(&outcomes) {
                self.shared.count(command, outcome);
            }
            let content = outcomes.iter().all(Outcome::is_answer);
            if result.is_ok() && content && self.random.random_range(0..STAY) > 0 {
                self.connection = Some(connection);
            } else {
                self.turn += 1;
            }
            self.wait_until(due);
        }
    }

    fn connect(&mut self) -> Option<Connection> {
        let Shared { history, addresses, plan, .. } = self.shared;
        let address = &addresses[self.turn % addresses.len()];
        let connection = Connection::open(history, address, plan.patience);
        connection.inspect_err(|_| self.turn += 1).ok()
    }

    fn wait_until(&self, due: Instant) {
        while !self.shared.stopping() {
            let left = due.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            thread::sleep(left.min(PAUSE));
        }
    }
}

impl fmt::Display for Report {
    /// `ok 4711 · CLUSTERDOWN 12 · no answer 3`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let outcomes = self.outcomes.iter().map(|(word, count)| format!("{word} {count}"));
        f.write_str(&outcomes.collect::<Vec<_>>().join(" · "))
    }
}

#[cfg(test)]
mod tests;
