//! Real faults on a real cluster: nodes are killed, paused, stopped and started again, cut off,
//! slowed down, their disks fail and fill and their clocks jump, while clients record what they see.
//! Exits 1 if that history is not linearizable, a node ended without reason, too little was
//! acknowledged, or the cluster does not come back; then the folder is kept. `--seed` repeats which
//! faults are drawn, not what comes of them. Builds `raft` first, or takes `--raft PATH`.

use std::collections::BTreeSet;
use std::env;
use std::ffi::OsString;
use std::process::ExitCode;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Result, ensure};
use behavioral_tests::chaos::{self, Plan, kinds, needs};
use behavioral_tests::cluster_options::ClusterOptions;
use behavioral_tests::command_line;
use behavioral_tests::ports::Ports;
use raft::exit;
use structopt::StructOpt;
use structopt::clap::AppSettings;

/// Kinds of fault by name.
type Kinds = BTreeSet<&'static str>;

/// Real faults on a real cluster, and whether what its clients see is linearizable
#[derive(Debug, StructOpt)]
#[structopt(
    name = "chaos",
    setting = AppSettings::DisableVersion,
    after_help = "EXAMPLE:\n    chaos --minutes 3 --nodes 5 --without disk-full,clocks"
)]
struct Options {
    /// How long faults come, 0.05 to 10000 minutes
    #[structopt(long, value_name = "M", default_value = "3", parse(try_from_str = minutes))]
    minutes: f64,
    /// Nodes of the cluster, 3 to 9
    #[structopt(long, value_name = "N", default_value = "5", parse(try_from_str = nodes))]
    nodes: u16,
    /// Which faults and commands are drawn [default: another one each time]
    #[structopt(long, value_name = "N")]
    seed: Option<u64>,
    /// Kinds of fault that are left out
    #[structopt(long, value_name = "KIND,...", parse(try_from_str = kinds_of))]
    without: Option<Kinds>,
    #[structopt(flatten)]
    cluster: ClusterOptions,
}

fn main() -> ExitCode {
    match run(command_line::read()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let (code, line) = exit::verdict(&error);
            eprintln!("chaos: {}", line.unwrap_or_default());
            ExitCode::from(code)
        }
    }
}

fn minutes(text: &str) -> Result<f64, String> {
    let number = text.parse().ok().filter(|minutes| (0.05..=10_000.0).contains(minutes));
    number.ok_or_else(|| format!("'{text}': expected 0.05 to 10000"))
}

fn nodes(text: &str) -> Result<u16, String> {
    let number = text.parse().ok().filter(|nodes| (3..=9).contains(nodes));
    number.ok_or_else(|| format!("'{text}': expected 3 to 9"))
}

fn kinds_of(words: &str) -> Result<Kinds, String> {
    let kind = |word| {
        let all = || kinds::all().into_iter().map(kinds::word).collect::<Vec<_>>().join(", ");
        kinds::of_word(word).ok_or_else(|| format!("no kind '{word}'; there are {}", all()))
    };
    words.split(',').map(kind).collect()
}

fn run(options: Options) -> Result<()> {
    let without = options.without.clone().unwrap_or_default();
    let kinds = kinds::all().into_iter().filter(|kind| !without.contains(*kind)).collect();
    needs::check_programs(&kinds)?;
    let program = options.cluster.program()?;
    if needs::lacks_own_mounts(&kinds) {
        let mut arguments: Vec<OsString> = env::args_os().skip(1).collect();
        if options.cluster.raft.is_none() {
            arguments.splice(..0, ["--raft".into(), program.clone().into_os_string()]);
        }
        needs::enter_own_mounts(&arguments)?;
    }
    let folder = options.cluster.folder("chaos-")?;
    let ports = Ports::claim();
    let plan = Plan {
        program: std::path::absolute(&program)?,
        folder: std::path::absolute(folder.path())?,
        addresses: (0..options.nodes).map(|node| ports.address(node).to_string()).collect(),
        seed: options.seed.unwrap_or_else(fresh_seed),
        time: Duration::from_secs_f64(options.minutes * 60.0),
        without,
    };
    println!("data            {}", plan.folder.display());
    println!("seed            {}", plan.seed);
    let checked = chaos::run(&plan).and_then(|report| {
        println!("{report}");
        ensure!(report.failures.is_empty(), "{}", report.failures.join("; "));
        Ok(())
    });
    if checked.is_err() {
        folder.keep();
        println!("kept            {}: faults.txt, history.txt, nN.stderr", plan.folder.display());
        println!("again           {}", command(&options, plan.seed));
    }
    checked
}

fn command(options: &Options, seed: u64) -> String {
    let mut command = format!(
        "cargo run --release -p behavioral_tests --bin chaos -- --minutes {} --nodes {} --seed {seed}",
        options.minutes, options.nodes
    );
    if let Some(without) = &options.without {
        let without: Vec<String> = without.iter().map(|kind| kinds::word(kind)).collect();
        command.push_str(&format!(" --without {}", without.join(",")));
    }
    if let Some(raft) = &options.cluster.raft {
        command.push_str(&format!(" --raft {}", raft.display()));
    }
    command
}

fn fresh_seed() -> u64 {
    let time = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    time.as_micros() as u64 % 1_000_000
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Result<Options, structopt::clap::Error> {
        Options::from_iter_safe(["chaos"].into_iter().chain(line.split_whitespace()))
    }

    #[test]
    fn three_minutes_on_five_nodes_unless_told_otherwise() {
        let options = read("").expect("options");
        assert_eq!((options.minutes, options.nodes, options.seed), (3.0, 5, None));
        assert_eq!(
            (options.without, options.cluster.raft, options.cluster.data),
            (None, None, None)
        );
    }

    #[test]
    fn the_command_for_another_time_says_what_this_one_did() {
        let line = "--minutes 0.5 --nodes 3 --seed 7 --without disk-full,clocks --raft /bin/raft";
        let again = command(&read(line).expect("options"), 7);
        let (_, words) = again.split_once(" -- ").expect("words of the program");
        let words = format!("{:?}", read(words).expect("options"));
        assert_eq!(words, format!("{:?}", read(line).expect("options")));
    }

    #[test]
    fn what_cannot_be_done_is_refused() {
        for line in [
            "--minutes 0.01",
            "--minutes NaN",
            "--nodes 2",
            "--nodes 10",
            "--without weather",
            "--without clocks disk-full",
            "--data",
        ] {
            assert!(read(line).is_err(), "{line}");
        }
    }
}
