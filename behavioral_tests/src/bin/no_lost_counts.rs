//! Whether a cluster of processes loses a count: 8 clients count one key up to 100,000 acknowledged
//! counts, while leaders are killed and started again ten times, and then all nodes five times: at
//! once, or, every other time, the leader a moment after the others. With `--sessions` each counts in a
//! session, through nodes drawn by chance, and asks what became of what it lost: then the value must be
//! the number of acknowledged counts. Builds `raft` first, or takes `--raft PATH`. Exits 1 if a check fails, and keeps the data.

use std::process::ExitCode;

use anyhow::{Result, ensure};
use behavioral_tests::cluster_options::ClusterOptions;
use behavioral_tests::command_line;
use behavioral_tests::counts::{self, Plan, Report};
use behavioral_tests::ports::Ports;
use structopt::StructOpt;
use structopt::clap::AppSettings;

/// Whether a cluster of processes loses a count while its nodes are killed
#[derive(StructOpt)]
#[structopt(
    name = "no_lost_counts",
    setting = AppSettings::DisableVersion,
    after_help = "EXAMPLE:\n    no_lost_counts --counts 20000"
)]
struct Options {
    /// Ends when so many counts are acknowledged
    #[structopt(long, value_name = "N", default_value = "100000")]
    counts: u64,
    /// Each client counts in a session: no count may be uncertain at the end
    #[structopt(long)]
    sessions: bool,
    #[structopt(flatten)]
    cluster: ClusterOptions,
}

fn main() -> ExitCode {
    match run(&command_line::read()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("no_lost_counts: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options) -> Result<()> {
    let program = options.cluster.program()?;
    let folder = options.cluster.folder("no_lost_counts-")?;
    let ports = Ports::claim();
    let plan = Plan {
        program,
        folder: folder.path().to_owned(),
        addresses: (0..3).map(|node| format!("127.0.0.1:{}", ports.port(node))).collect(),
        settings: &[],
        counts: options.counts,
        clients: 8,
        sessions: options.sessions,
        leader_kills: 10,
        kills_of_all: 5,
    };
    println!("data          {}", plan.folder.display());
    let checked = counts::run(&plan).and_then(|report| check(&report, &plan));
    if checked.is_err() {
        folder.keep();
        println!("data is kept  {}", plan.folder.display());
    }
    checked
}

fn check(report: &Report, plan: &Plan) -> Result<()> {
    println!("{report}");
    let uncertain = if plan.sessions { 0 } else { report.uncertain };
    let violations = counts::violations(&report.answers, uncertain, &report.finals);
    ensure!(violations.is_empty(), "a check failed: {}", violations.join("; "));
    Ok(())
}
