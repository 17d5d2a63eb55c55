//! Runs the key-value store in simulated clusters: many seeds, or one with its last events. Exits 1 if
//! a seed fails, and prints how to repeat it, and a smaller plan that fails as well; what it prints is
//! what this program takes.

use std::cell::Cell;
use std::ops::Range;
use std::process::{Command, ExitCode, Stdio};
use std::time::Instant;

use behavioral_tests::command_line;
use behavioral_tests::keys::Keys;
use raft::simulation::{
    Failed, FailedSeed, Failure, Kind, NOT_YET, Named, Plan, Report, Seeds, kinds, nodes,
    run_traced, running, shrink, take_trace,
};
use structopt::StructOpt;
use structopt::clap::AppSettings;

/// One value of an option, for all that clap knows: `Vec` would make it several.
type Kinds = Vec<Kind>;

/// Runs the key-value store in simulated clusters, each of which follows from its seed
#[derive(Debug, StructOpt)]
#[structopt(
    name = "simulate",
    setting = AppSettings::DisableVersion,
    after_help = "EXAMPLES:\n    simulate --seeds 1..301\n    simulate --seed 17 --steps 4000 --without loss,crash"
)]
struct Options {
    /// Which seeds, without the last [default: 1..101]
    #[structopt(long, value_name = "A..B", conflicts_with = "seed", parse(try_from_str = range))]
    seeds: Option<Range<u64>>,
    /// One seed only, with its last events
    #[structopt(long, value_name = "N", parse(try_from_str = seed))]
    seed: Option<u64>,
    /// Inputs that the servers of each take
    #[structopt(long, value_name = "N", default_value = "20000")]
    steps: u64,
    /// Nodes of each cluster, instead of as many as each draws
    #[structopt(long, value_name = "N", parse(try_from_str = nodes))]
    nodes: Option<usize>,
    /// Kinds of trouble that are left out
    #[structopt(long, value_name = "KIND,...", parse(try_from_str = kinds))]
    without: Option<Kinds>,
    /// Seeds run at the same time [default: one a core]
    #[structopt(long, value_name = "N")]
    threads: Option<usize>,
    /// Looks for no smaller plan when a seed fails
    #[structopt(long)]
    brief: bool,
}

impl Options {
    fn seeds(self) -> Seeds {
        let alone = self.seed.map(|seed| seed..seed + 1);
        let usual = Seeds::new(alone.or(self.seeds).unwrap_or(1..101));
        Seeds {
            steps: self.steps,
            without: self.without.unwrap_or_default(),
            nodes: self.nodes,
            threads: self.threads.unwrap_or(usual.threads),
            shrinking: !self.brief,
            ..usual
        }
    }
}

fn range(text: &str) -> Result<Range<u64>, String> {
    let ends = text.split_once("..");
    let range = ends.and_then(|(from, to)| Some(from.parse().ok()?..to.parse().ok()?));
    let range = range.filter(|range| range.start <= range.end);
    range.ok_or_else(|| format!("'{text}': expected A..B, such as 1..301"))
}

/// The last of all numbers ends no range.
fn seed(text: &str) -> Result<u64, String> {
    let seed = text.parse().ok().filter(|seed| *seed < u64::MAX);
    seed.ok_or_else(|| format!("'{text}': expected a number below {}", u64::MAX))
}

fn main() -> ExitCode {
    let options: Options = command_line::read();
    let is_alone = options.seed.is_some();
    simulate(&options.seeds(), is_alone)
}

/// A seed that is alone comes with its trace.
fn simulate(seeds: &Seeds, is_alone: bool) -> ExitCode {
    let shrinking = seeds.shrinking;
    std::panic::set_hook(Box::new(move |panic| on_panic(&panic.to_string(), shrinking)));
    let begun = Instant::now();
    let (report, failed) = match seeds.run(Keys::default) {
        Ok(report) => (Some(report), None),
        Err(Failed::Missed(names, report)) => {
            (Some((*report).clone()), Some(Failed::Missed(names, report)))
        }
        Err(failed) => (None, Some(failed)),
    };
    if let Some(report) = report {
        if is_alone {
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

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Result<Seeds, structopt::clap::Error> {
        let words = ["simulate"].into_iter().chain(line.split_whitespace());
        Options::from_iter_safe(words).map(Options::seeds)
    }

    #[test]
    fn what_is_not_said_is_as_for_any_batch() {
        let (read, usual) = (read("").expect("options"), Seeds::new(1..101));
        assert_eq!(format!("{read:?}"), format!("{usual:?}"));
    }

    #[test]
    fn a_failed_plan_is_repeated_by_its_own_words() {
        let plain = Plan::new(17, 4_000);
        let bare = Plan { without: Kind::ALL.into(), nodes: Some(3), ..plain.clone() };
        for plan in [plain, bare] {
            let seeds = read(&format!("{plan} --brief")).expect("options");
            assert_eq!((seeds.range.clone(), seeds.shrinking), (17..18, false));
            assert_eq!(seeds.plan(17), plan);
        }
    }

    #[test]
    fn seeds_that_cannot_be_run_are_refused() {
        assert_eq!(read("--seeds 1..301 --threads 2").expect("options").range, 1..301);
        for line in [
            "--seeds 7",
            "--seeds 1..x",
            "--seeds 9..1",
            "--seed 18446744073709551615",
            "--seed 1 --seeds 1..3",
            "--nodes 8",
            "--without weather",
            "--without loss crash",
        ] {
            assert!(read(line).is_err(), "{line}");
        }
    }
}
