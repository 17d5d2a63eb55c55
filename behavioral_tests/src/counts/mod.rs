//! Clients count one key up while nodes are killed and started again; afterwards no acknowledged
//! count may be missing. In sessions none may be uncertain either; without them none is sent twice.

mod checks;
mod client;
mod once;
mod progress;

use std::fmt;
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

pub use checks::violations;
use client::Tally;
use progress::Progress;

use crate::nodes::{Changes, Founding, Nodes};

/// The key that is counted up.
const KEY: &str = "counts";
/// How long a leader outlives its followers, every other time that all are killed.
const ALONE: Duration = Duration::from_millis(20);

/// What is to be done.
#[derive(Debug)]
pub struct Plan {
    /// The program `raft`.
    pub program: PathBuf,
    /// Where the cluster is founded, and where each node's stderr goes.
    pub folder: PathBuf,
    /// Where clients reach each node, `HOST:PORT`; peers' ports are these + 10000.
    pub addresses: Vec<String>,
    /// Settings of the nodes: variables of the environment and their values.
    pub settings: &'static [(&'static str, &'static str)],
    /// Ends when so many counts are acknowledged.
    pub counts: u64,
    /// Clients at the same time.
    pub clients: usize,
    /// Whether each counts in a session, and asks what became of what it lost.
    pub sessions: bool,
    /// How often the leader is killed, in equal steps of progress.
    pub leader_kills: u64,
    /// How often all nodes are killed at once, after that and in the same steps.
    pub kills_of_all: u64,
}

/// What came of it.
#[derive(Debug)]
pub struct Report {
    /// The answers of all acknowledged counts, in no order.
    pub answers: Vec<i64>,
    /// Counts sent that may or may not have been applied; in sessions, answers that said so for a time.
    pub uncertain: u64,
    /// Refusals with a promise of no effect.
    pub refused: u64,
    /// Of sessions: connections lost over a count, counts told as not applied, counts sent again
    /// after their answer.
    pub in_sessions: [u64; 3],
    /// The key's value at the end, read through each node in turn.
    pub finals: Vec<i64>,
    /// Leaders killed.
    pub leader_kills: u64,
    /// Times all nodes were killed.
    pub kills_of_all: u64,
    /// From the first start to the last read.
    pub elapsed: Duration,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "acknowledged  {}", self.answers.len())?;
        writeln!(f, "uncertain     {}", self.uncertain)?;
        writeln!(f, "refused       {}", self.refused)?;
        let [lost, closed, repeated] = self.in_sessions;
        writeln!(f, "in sessions   {lost} lost, {closed} not applied, {repeated} repeated")?;
        writeln!(f, "final         {}", self.finals.last().copied().unwrap_or(0))?;
        writeln!(f, "kills         {} leaders, {} x all", self.leader_kills, self.kills_of_all)?;
        write!(f, "seconds       {:.1}", self.elapsed.as_secs_f64())
    }
}

/// Carries the plan out. The nodes live as long as the calling thread at most, however that ends.
///
/// # Errors
/// The cluster could not be founded, a node ended by itself, nothing was acknowledged for a minute,
/// or a node gave an answer that nobody may give.
pub fn run(plan: &Plan) -> Result<Report> {
    let begun = Instant::now();
    let mut nodes = Nodes::found(&Founding {
        program: &plan.program,
        folder: &plan.folder,
        addresses: &plan.addresses,
        settings: plan.settings,
    })?;
    nodes.start_all()?;
    let progress = Progress::new(plan.counts);
    let tallies = thread::scope(|scope| {
        let count = |first| {
            if plan.sessions {
                once::count(&plan.addresses, &progress)
            } else {
                client::count(first, &plan.addresses, &progress)
            }
        };
        let spawn = |first| scope.spawn(move || count(first));
        let clients: Vec<_> = (0..plan.clients).map(spawn).collect();
        // On this thread: a guarded node ends with the thread that started it.
        let killed = kill_and_restart(plan, &mut nodes, &progress);
        progress.stop();
        let join = clients.into_iter().map(|client| client.join().expect("a client never panics"));
        let tallies: Result<Vec<Tally>> = join.collect();
        // A client's complaint tells more than the silence that followed from it.
        let tallies = tallies?;
        killed.map(|()| tallies)
    })?;
    let sum = |of: fn(&Tally) -> u64| tallies.iter().map(of).sum::<u64>();
    Ok(Report {
        finals: nodes.read_everywhere(KEY)?,
        uncertain: sum(|tally| tally.uncertain),
        refused: sum(|tally| tally.refused),
        in_sessions: [
            sum(|tally| tally.lost),
            sum(|tally| tally.closed),
            sum(|tally| tally.repeated),
        ],
        answers: tallies.into_iter().flat_map(|tally| tally.answers).collect(),
        leader_kills: plan.leader_kills,
        kills_of_all: plan.kills_of_all,
        elapsed: begun.elapsed(),
    })
}

/// Returns when every count is acknowledged.
fn kill_and_restart(plan: &Plan, nodes: &mut Nodes, progress: &Progress) -> Result<()> {
    let kills = plan.leader_kills + plan.kills_of_all;
    let step = plan.counts / (kills + 1);
    for kill in 1..=kills {
        progress.wait_for(kill * step, nodes)?;
        if kill <= plan.leader_kills {
            let leader = nodes.leader()?;
            nodes.kill(leader);
            // The others go on without it, and it has something to catch up on.
            progress.wait_for(kill * step + step / 4, nodes).context("after a leader's death")?;
            nodes.start(leader, &Changes::default())?;
        } else {
            kill_all(kill - plan.leader_kills, nodes)?;
            nodes.start_all()?;
        }
    }
    progress.wait_for(plan.counts, nodes)
}

/// Every other time the leader is the last to die: what it acknowledged alone would be lost.
fn kill_all(time: u64, nodes: &mut Nodes) -> Result<()> {
    if time.is_multiple_of(2) {
        let leader = nodes.leader()?;
        nodes.kill_all_but(leader);
        thread::sleep(ALONE);
    }
    nodes.kill_all();
    Ok(())
}
