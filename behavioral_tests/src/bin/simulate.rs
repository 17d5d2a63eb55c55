//! Runs the key-value store in simulated clusters: `simulate --seeds 1..301` (half-open), or `simulate
//! --seed 17` with its last events; `--steps N` inputs into servers each,
//! `--nodes N` in each cluster, `--without KIND,...` trouble left out, `--brief` without a smaller plan.
//! Exits 1 if a seed fails, and prints how to repeat it, and a smaller plan that fails as well.

use std::cell::Cell;
use std::process::{Command, ExitCode, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, anyhow, bail};
use behavioral_tests::keys::Keys;
use raft::simulation::{
    Failed, FailedSeed, Failure, NOT_YET, Named, Plan, Report, Seeds, kinds, nodes, run_traced,
    running, shrink, take_trace,
};

const USAGE: &str = "usage: simulate [--seeds A..B | --seed N] [--steps N] [--nodes N] [--without KIND,...] [--threads N] [--brief]";

struct Options {
    seeds: Seeds,
    /// One seed only: with its trace.
    alone: bool,
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
    let mut options = Options { seeds: Seeds::new(1..101), alone: false };
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        if word == "--brief" {
            options.seeds.shrinking = false;
            continue;
        }
        let value = words.next().with_context(|| format!("{word} wants a value"))?;
        let seeds = &mut options.seeds;
        match word.as_str() {
            "--seeds" => {
                let (from, to) = value.split_once("..").context("--seeds wants A..B")?;
                seeds.range = from.parse()?..to.parse()?;
            }
            "--seed" => {
                let seed = value.parse()?;
                seeds.range = seed..seed + 1;
                options.alone = true;
            }
            "--steps" => seeds.steps = value.parse()?,
            "--without" => seeds.without = kinds(&value).map_err(|error| anyhow!(error))?,
            "--nodes" => seeds.nodes = Some(nodes(&value).map_err(|error| anyhow!(error))?),
            "--threads" => seeds.threads = value.parse()?,
            _ => bail!("unknown option {word}"),
        }
    }
    Ok(options)
}

fn simulate(options: &Options) -> ExitCode {
    let shrinking = options.seeds.shrinking;
    std::panic::set_hook(Box::new(move |panic| on_panic(&panic.to_string(), shrinking)));
    let begun = Instant::now();
    let seeds = &options.seeds;
    let (report, failed) = match seeds.run(Keys::default) {
        Ok(report) => (Some(report), None),
        Err(Failed::Missed(names, report)) => {
            (Some((*report).clone()), Some(Failed::Missed(names, report)))
        }
        Err(failed) => (None, Some(failed)),
    };
    if let Some(report) = report {
        if options.alone {
            print_trace(seeds);
        }
        print_report(seeds, &report, begun.elapsed().as_secs_f64());
    }
    let Some(failed) = failed else { return ExitCode::SUCCESS };
    println!("\n{failed}");
    if let Failed::Seed(failed) = failed {
        print_commands(&failed);
    }
    ExitCode::FAILURE
}

/// The last events of a seed that passed.
fn print_trace(seeds: &Seeds) {
    let plan = seeds.plan(seeds.range.start);
    if run_traced(Keys::default(), &plan).is_ok() {
        take_trace().iter().for_each(|line| println!("{line}"));
    }
}

fn print_commands(failed: &FailedSeed) {
    let command = "cargo run --release -p behavioral_tests --bin simulate --";
    println!("\nrepeat:  {command} {}", failed.plan);
    if failed.smaller != failed.plan {
        println!("smaller: {command} {}", failed.smaller);
    }
}

thread_local! {
    /// This thread runs a plan again, with a trace.
    static REPEATING: Cell<bool> = const { Cell::new(false) };
}

/// An assert of the program that fails is a failed seed like any other. Panics end the process, so
/// the plan runs again, with a trace, before that; and smaller ones in processes of their own.
fn on_panic(panic: &str, shrinking: bool) {
    let Some(plan) = running() else { return eprintln!("{panic}") };
    if !REPEATING.get() {
        let repeated = plan.clone();
        let again = std::thread::spawn(move || {
            REPEATING.set(true);
            Seeds::attempt(Keys::default, &repeated).is_ok()
        });
        drop(again.join());
        return eprintln!("{plan} did not fail again: {panic}");
    }
    let failure = Failure::untold(format!("assert: {panic}"), Keys::default(), &plan);
    let smaller = if shrinking { shrink(&plan, fails_alone) } else { plan.clone() };
    let failed = FailedSeed { plan, failure, smaller };
    println!("\n{failed}");
    print_commands(&failed);
    std::process::exit(1);
}

/// Whether a plan fails, in a process of its own.
fn fails_alone(plan: &Plan) -> bool {
    let program = std::env::current_exe().expect("the program's own path");
    let mut command = Command::new(program);
    command.args(plan.to_string().split_whitespace()).arg("--brief");
    let status = command.stdout(Stdio::null()).stderr(Stdio::null()).status();
    status.expect("the program starts").code() == Some(1)
}

fn print_report(seeds: &Seeds, report: &Report, seconds: f64) {
    let line = |name: &str, value: String| println!("{name:<12}{value}");
    let count = |name: &str, value: u64| line(name, value.to_string());
    count("seeds", seeds.range.end - seeds.range.start);
    line("steps", format!("{} ({:.0}/s)", report.steps, report.steps as f64 / seconds));
    count("turns", report.turns);
    count("commits", report.commits);
    count("elections", report.elections);
    count("frames", report.frames);
    count("crashes", report.crashes);
    count("answered", report.outcomes.done);
    count("refused", report.outcomes.refused);
    count("uncertain", report.outcomes.uncertain);
    count("judged", report.judged.good);
    count("undecided", report.judged.undecided);
    line("digest", format!("{:016x}", report.digest));
    println!("\nfaults");
    report.faults.iter().for_each(|(kind, count)| println!("  {count:>9}  {}", kind.name()));
    println!("\nstarts on damaged disks");
    report.damaged.iter().for_each(|(verdict, count)| println!("  {count:>9}  {}", verdict.name()));
    println!("\nsituations");
    report.coverage.iter().for_each(|(mark, count)| println!("  {count:>9}  {}", mark.name()));
    NOT_YET.iter().for_each(|(mark, feature)| println!("  {:>9}  {mark} ({feature})", "not yet"));
}
