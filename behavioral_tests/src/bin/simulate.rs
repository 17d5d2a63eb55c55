//! Runs seeds of the simulator: `simulate --seeds 1..301` (half-open) or `simulate --seed 17`, each
//! for `--steps` inputs into servers. Exits 1 if a seed fails, and prints how to repeat it.

use std::cell::Cell;
use std::ops::Range;
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use anyhow::{Context, Result, bail};
use simulation::{Failure, Report, World, trace};

const USAGE: &str = "usage: simulate [--seeds A..B | --seed N] [--steps N]";

struct Options {
    seeds: Range<u64>,
    steps: u64,
}

fn main() -> ExitCode {
    match options() {
        Ok(options) => simulate(&options),
        Err(error) => {
            eprintln!("simulate: {error:#}\n{USAGE}");
            ExitCode::from(2)
        }
    }
}

fn options() -> Result<Options> {
    let mut options = Options { seeds: 1..101, steps: 20_000 };
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let value = words.next().with_context(|| format!("{word} wants a value"))?;
        match word.as_str() {
            "--seeds" => {
                let (from, to) = value.split_once("..").context("--seeds wants A..B")?;
                options.seeds = from.parse()?..to.parse()?;
            }
            "--seed" => {
                let seed = value.parse()?;
                options.seeds = seed..seed + 1;
            }
            "--steps" => options.steps = value.parse()?,
            _ => bail!("unknown option {word}"),
        }
    }
    Ok(options)
}

/// Two threads take seeds in turn; the first failure ends the run.
fn simulate(options: &Options) -> ExitCode {
    print_panics(options.steps);
    let begun = Instant::now();
    let next = AtomicU64::new(options.seeds.start);
    let total = Mutex::new(Report::default());
    let failure: Mutex<Option<(u64, Box<Failure>)>> = Mutex::new(None);
    let work = || {
        while failure.lock().expect("a lock").is_none() {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= options.seeds.end {
                return;
            }
            RUNNING.set(Some(seed));
            match simulation::run(seed, options.steps) {
                Ok(report) => total.lock().expect("a lock").add(&report),
                Err(failed) => *failure.lock().expect("a lock") = Some((seed, failed)),
            }
        }
    };
    std::thread::scope(|scope| {
        scope.spawn(work);
        scope.spawn(work);
    });
    let failure = failure.into_inner().expect("a lock");
    if let Some((seed, failure)) = failure {
        print_failure(seed, options.steps, &failure);
        return ExitCode::FAILURE;
    }
    let total = total.into_inner().expect("a lock");
    print_report(options, &total, begun.elapsed().as_secs_f64());
    ExitCode::SUCCESS
}

thread_local! {
    /// The seed that runs on this thread.
    static RUNNING: Cell<Option<u64>> = const { Cell::new(None) };
    /// It runs again, with a trace.
    static REPEATING: Cell<bool> = const { Cell::new(false) };
}

/// An assert of the program that fails is a failed seed like any other. A panic ends the process,
/// so the seed runs again, with a trace, before that.
fn print_panics(steps: u64) {
    std::panic::set_hook(Box::new(move |panic| {
        let Some(seed) = RUNNING.get() else { return eprintln!("{panic}") };
        if REPEATING.get() {
            let violation = panic.to_string();
            let trouble = format!("{:?}", World::new(seed, false).trouble());
            let failure = Failure { violation, trouble, trace: trace::take(), nodes: Vec::new() };
            print_failure(seed, steps, &failure);
            std::process::exit(1);
        }
        let again = std::thread::spawn(move || {
            RUNNING.set(Some(seed));
            REPEATING.set(true);
            simulation::run_traced(seed, steps)
        });
        drop(again.join());
        eprintln!("seed {seed} did not fail again: {panic}");
    }));
}

fn print_failure(seed: u64, steps: u64, failure: &Failure) {
    for line in &failure.trace {
        println!("{line}");
    }
    println!("\ndrawn: {}\n", failure.trouble);
    for node in &failure.nodes {
        println!("{node}");
    }
    println!("\nseed {seed}: {}", failure.violation);
    println!(
        "repeat: cargo run --release -p behavioral_tests --bin simulate -- --seed {seed} --steps {steps}"
    );
}

fn print_report(options: &Options, report: &Report, seconds: f64) {
    let seeds = options.seeds.end - options.seeds.start;
    println!("seeds       {seeds}");
    println!("steps       {} ({:.0}/s)", report.steps, report.steps as f64 / seconds);
    println!("turns       {}", report.turns);
    println!("commits     {}", report.commits);
    println!("elections   {}", report.elections);
    println!("frames      {}", report.frames);
    println!("crashes     {}", report.crashes);
    println!("partitions  {}", report.partitions);
    println!("pauses      {}", report.pauses);
    println!("truncations {}", report.truncations);
    println!("lost quorum {}", report.lost_quorums);
    println!("tails cut   {}", report.cuts);
    println!("answered    {}", report.outcomes.done);
    println!("refused     {}", report.outcomes.refused);
    println!("uncertain   {}", report.outcomes.uncertain);
    println!("digest      {:016x}", report.digest);
}
