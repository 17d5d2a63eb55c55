//! Whether a cluster of processes loses a count: 8 clients count one key up to 100,000 acknowledged
//! counts, while leaders are killed and started again ten times, and then all nodes five times: at
//! once, or, every other time, the leader a moment after the others. Builds `raft` first, or takes
//! `--raft PATH`. Exits 1 if a check fails, and keeps the data.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result, bail, ensure};
use behavioral_tests::counts::{self, Plan, Report};
use behavioral_tests::folder::Folder;
use behavioral_tests::ports::Ports;
use behavioral_tests::program;

const USAGE: &str = "usage: no_lost_counts [--counts N] [--raft PATH] [--data DIR]";

#[derive(Default)]
struct Options {
    counts: Option<u64>,
    raft: Option<PathBuf>,
    data: Option<PathBuf>,
}

fn main() -> ExitCode {
    let options = match options() {
        Ok(options) => options,
        Err(error) => {
            eprintln!("no_lost_counts: {error:#}\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    match run(&options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("no_lost_counts: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn options() -> Result<Options> {
    let mut options = Options::default();
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let value = words.next().with_context(|| format!("{word} wants a value"))?;
        match word.as_str() {
            "--counts" => options.counts = Some(value.parse().context("--counts wants a number")?),
            "--raft" => options.raft = Some(PathBuf::from(value)),
            "--data" => options.data = Some(PathBuf::from(value)),
            _ => bail!("unknown option {word}"),
        }
    }
    Ok(options)
}

fn run(options: &Options) -> Result<()> {
    let program = options.raft.clone().map_or_else(program::build, Ok)?;
    let folder = options
        .data
        .clone()
        .map_or_else(|| Folder::temporary("no_lost_counts-"), |path| Ok(Folder::Given(path)))?;
    let ports = Ports::claim();
    let plan = Plan {
        program,
        folder: folder.path().to_owned(),
        addresses: (0..3).map(|node| format!("127.0.0.1:{}", ports.port(node))).collect(),
        settings: &[],
        counts: options.counts.unwrap_or(100_000),
        clients: 8,
        leader_kills: 10,
        kills_of_all: 5,
    };
    println!("data          {}", plan.folder.display());
    let checked = counts::run(&plan).and_then(|report| check(&report));
    if checked.is_err() {
        folder.keep();
        println!("data is kept  {}", plan.folder.display());
    }
    checked
}

fn check(report: &Report) -> Result<()> {
    println!("{report}");
    let violations = counts::violations(&report.answers, report.uncertain, &report.finals);
    ensure!(violations.is_empty(), "a check failed: {}", violations.join("; "));
    Ok(())
}
