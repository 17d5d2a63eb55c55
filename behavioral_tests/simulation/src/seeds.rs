//! Runs many seeds on all cores and stops at the first that fails; tells a failure so that somebody
//! can go on from it. Must never let a batch pass in which too little happened.

use std::any::Any;
use std::fmt;
use std::num::NonZero;
use std::ops::{Range, RangeInclusive};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::str::FromStr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use crate::coverage::{BATCH, OF_TIME};
use crate::shrink::shrink;
use crate::tally::Named;
use crate::trouble::Kind;
use crate::{Failure, Plan, Report, Workload, run, run_traced};

/// Inputs that the servers of a seed take, unless said otherwise.
pub const STEPS: u64 = 20_000;

/// How many nodes a simulated cluster can have.
const NODES: RangeInclusive<usize> = 1..=7;

/// Which seeds to run, and how.
#[derive(Clone, Debug)]
pub struct Seeds {
    /// The seeds.
    pub range: Range<u64>,
    /// Inputs that the servers of each take.
    pub steps: u64,
    /// Kinds of trouble left out of all of them.
    pub without: Vec<Kind>,
    /// How many nodes all of them have, instead of as many as each draws: at least one.
    pub nodes: Option<usize>,
    /// Seeds run at the same time; each uses one core.
    pub threads: usize,
    /// Whether a smaller plan is looked for when one fails.
    pub shrinking: bool,
}

/// Why a batch of seeds did not pass.
#[derive(Debug)]
pub enum Failed {
    /// A plan that cannot be read.
    Plan(String),
    /// A seed failed.
    Seed(Box<FailedSeed>),
    /// All seeds passed, and together they never came into these situations, or met this trouble.
    Missed(Vec<&'static str>, Box<Report>),
}

/// A seed that failed.
#[derive(Debug)]
pub struct FailedSeed {
    /// What was run.
    pub plan: Plan,
    /// What became of it.
    pub failure: Failure,
    /// A smaller plan that fails, too.
    pub smaller: Plan,
}

impl Seeds {
    /// These seeds (half-open) with [`STEPS`] each, on all cores.
    pub fn new(range: Range<u64>) -> Seeds {
        let threads = thread::available_parallelism().map_or(1, NonZero::get);
        Seeds { range, steps: STEPS, without: Vec::new(), nodes: None, threads, shrinking: true }
    }

    /// The plan for one of the seeds.
    pub fn plan(&self, seed: u64) -> Plan {
        Plan { seed, steps: self.steps, without: self.without.clone(), nodes: self.nodes }
    }

    /// Runs them. An assert that fails is a failure like any other, unless panics end the process;
    /// then a panic hook can find out the plan by [`running`].
    ///
    /// # Errors
    /// The first seed that failed, with a smaller plan that fails as well; or the situations missed by a
    /// batch of [`BATCH`] seeds or more with all kinds of trouble.
    pub fn run<W: Workload>(&self, workload: impl Fn() -> W + Sync) -> Result<Report, Failed> {
        let next = AtomicU64::new(self.range.start);
        let total = Mutex::new(Report::default());
        let failed: Mutex<Option<(Plan, Box<Failure>)>> = Mutex::new(None);
        let work = || {
            while failed.lock().expect("no panic under it").is_none() {
                let seed = next.fetch_add(1, Ordering::Relaxed);
                if seed >= self.range.end {
                    return;
                }
                let plan = self.plan(seed);
                match Seeds::attempt(&workload, &plan) {
                    Ok(report) => total.lock().expect("no panic under it").add(&report),
                    Err(failure) => {
                        *failed.lock().expect("no panic under it") = Some((plan, failure));
                    }
                }
            }
        };
        thread::scope(|scope| {
            for _ in 0..self.threads.max(1) {
                scope.spawn(work);
            }
        });
        if let Some((plan, failure)) = failed.into_inner().expect("no panic under it") {
            let smaller = if self.shrinking {
                let bounded = Plan { steps: failure.steps.min(plan.steps), ..plan.clone() };
                shrink(&bounded, |smaller| Seeds::attempt(&workload, smaller).is_err())
            } else {
                plan.clone()
            };
            return Err(Failed::Seed(Box::new(FailedSeed { plan, failure: *failure, smaller })));
        }
        self.judge(total.into_inner().expect("no panic under it"))
    }

    /// Runs one plan; a panic is a failure like any other, unless panics end the process.
    ///
    /// # Errors
    /// What did not hold.
    pub fn attempt<W: Workload>(
        workload: impl Fn() -> W,
        plan: &Plan,
    ) -> Result<Report, Box<Failure>> {
        RUNNING.set(Some(plan.clone()));
        let outcome = catch_unwind(AssertUnwindSafe(|| run(&workload, plan)));
        let outcome = outcome.unwrap_or_else(|panic| {
            let violation = format!("assert: {}", panic_text(panic.as_ref()));
            // For its trace only.
            drop(catch_unwind(AssertUnwindSafe(|| run_traced(workload(), plan))));
            Err(Box::new(Failure::untold(violation, workload(), plan)))
        });
        RUNNING.set(None);
        outcome
    }

    /// A batch that is large enough, of all kinds of trouble, must have met every kind and come into
    /// every situation.
    ///
    /// # Errors
    /// The situations that it missed.
    pub fn judge(&self, total: Report) -> Result<Report, Failed> {
        let seeds = self.range.end.saturating_sub(self.range.start);
        let timeless = OF_TIME.iter().all(|mark| total.coverage.of(*mark) == 0);
        let asked = |name: &&str| !timeless || OF_TIME.iter().all(|mark| mark.name() != *name);
        let situations = total.coverage.missed().filter(asked);
        let missed: Vec<_> = situations.chain(total.faults.missed()).collect();
        let is_whole = seeds >= BATCH && self.without.is_empty() && self.nodes.is_none();
        if !is_whole || missed.is_empty() {
            return Ok(total);
        }
        Err(Failed::Missed(missed, Box::new(total)))
    }
}

thread_local! {
    static RUNNING: std::cell::RefCell<Option<Plan>> = const { std::cell::RefCell::new(None) };
}

/// The plan that runs on this thread.
pub fn running() -> Option<Plan> {
    RUNNING.with_borrow(Clone::clone)
}

fn panic_text(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().cloned();
    text.or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string)).unwrap_or_default()
}

impl fmt::Display for Plan {
    /// As options of the program `simulate`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "--seed {} --steps {}", self.seed, self.steps)?;
        if let Some(nodes) = self.nodes {
            write!(f, " --nodes {nodes}")?;
        }
        let names: Vec<&str> = self.without.iter().map(|kind| kind.name()).collect();
        if names.is_empty() { Ok(()) } else { write!(f, " --without {}", names.join(",")) }
    }
}

impl FromStr for Plan {
    type Err = String;

    /// Reads what `Display` writes.
    fn from_str(text: &str) -> Result<Plan, String> {
        let mut plan = Plan::new(0, STEPS);
        let mut words = text.split_whitespace();
        while let Some(option) = words.next() {
            let value = words.next().ok_or_else(|| format!("{option} wants a value"))?;
            let number = || value.parse().map_err(|_| format!("{option} wants a number: {value}"));
            match option {
                "--seed" => plan.seed = number()?,
                "--steps" => plan.steps = number()?,
                "--without" => plan.without = kinds(value)?,
                "--nodes" => plan.nodes = Some(nodes(value)?),
                _ => {
                    let known = "--seed, --steps, --nodes or --without";
                    return Err(format!("expected {known}, not {option}"));
                }
            }
        }
        Ok(plan)
    }
}

/// Reads how many nodes a cluster is to have.
///
/// # Errors
/// Not a number from 1 to 7.
pub fn nodes(text: &str) -> Result<usize, String> {
    let number = text.parse().ok().filter(|nodes| NODES.contains(nodes));
    number.ok_or_else(|| format!("a cluster has 1 to 7 nodes, not {text}"))
}

/// Reads names of kinds of trouble with commas between them.
///
/// # Errors
/// A name that there is not, with those that there are.
pub fn kinds(names: &str) -> Result<Vec<Kind>, String> {
    let kind = |name: &str| {
        Kind::by_name(name).ok_or_else(|| {
            let known: Vec<&str> = Kind::ALL.iter().map(|kind| kind.name()).collect();
            format!("no kind of trouble is called {name:?}; there are {}", known.join(", "))
        })
    };
    names.split(',').map(kind).collect()
}

impl fmt::Display for Failure {
    /// The last events, what was drawn, the nodes.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for line in &self.trace {
            writeln!(f, "{line}")?;
        }
        writeln!(f, "\ndrawn: {}\n", self.trouble)?;
        for node in &self.nodes {
            writeln!(f, "{node}")?;
        }
        Ok(())
    }
}

impl fmt::Display for FailedSeed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let FailedSeed { plan, failure, smaller } = self;
        writeln!(f, "{failure}\nseed {}: {}", plan.seed, failure.violation)?;
        writeln!(f, "repeat:  {plan}")?;
        if smaller == plan { Ok(()) } else { writeln!(f, "smaller: {smaller}") }
    }
}

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failed::Plan(error) => error.fmt(f),
            Failed::Seed(seed) => seed.fmt(f),
            Failed::Missed(names, _) => {
                write!(f, "never came up in the whole batch: {}", names.join("; "))
            }
        }
    }
}

impl std::error::Error for Failed {}
