//! Whether a cluster of processes loses a count: 8 clients count one key up to 100,000 acknowledged
//! counts, while leaders are killed and started again ten times, and then all nodes five times: at
//! once, or, every other time, the leader a moment after the others. Builds `raft` first, or takes
//! `--raft PATH`. Exits 1 if a check fails, and keeps the data.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context, Result, bail, ensure};
use behavioral_tests::counts::{self, Plan, Report};
use behavioral_tests::ports::Ports;
use rustix::fs::statfs;
use tempfile::TempDir;

const USAGE: &str = "usage: no_lost_counts [--counts N] [--raft PATH] [--data DIR]";
/// The workspace.
const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
/// What `statfs` calls the file systems that live in memory: tmpfs, ramfs.
const IN_MEMORY: [u64; 2] = [0x0102_1994, 0x8584_58f6];

#[derive(Default)]
struct Options {
    counts: Option<u64>,
    raft: Option<PathBuf>,
    data: Option<PathBuf>,
}

/// Where the cluster lives.
enum Folder {
    Given(PathBuf),
    Temporary(TempDir),
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
    let program = options.raft.clone().map_or_else(build, Ok)?;
    let folder = options.data.clone().map_or_else(temporary, |path| Ok(Folder::Given(path)))?;
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

/// Builds the program, and says where it is.
fn build() -> Result<PathBuf> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(["build", "--release", "-p", "raft", "--bin", "raft"])
        .arg("--message-format=json-render-diagnostics")
        .current_dir(ROOT)
        .stderr(Stdio::inherit())
        .output()
        .context("cannot run cargo")?;
    ensure!(output.status.success(), "raft cannot be built");
    let text = String::from_utf8(output.stdout)?;
    let messages = text.lines().filter_map(|line| serde_json::from_str(line).ok());
    let executable = |message: serde_json::Value| Some(message["executable"].as_str()?.into());
    messages.filter_map(executable).next().context("cargo names no executable")
}

/// A folder on a real disk: the page cache of one is what survives a killed process.
fn temporary() -> Result<Folder> {
    let places = [std::env::temp_dir(), "/var/tmp".into(), Path::new(ROOT).join("target")];
    let on_disk = |place: &&PathBuf| {
        statfs(place.as_path()).is_ok_and(|found| !IN_MEMORY.contains(&(found.f_type as u64)))
    };
    let place = places.iter().find(on_disk).context("no folder on a disk; name one: --data DIR")?;
    let folder = tempfile::Builder::new().prefix("no_lost_counts-").tempdir_in(place);
    Ok(Folder::Temporary(folder.with_context(|| format!("in {}", place.display()))?))
}

impl Folder {
    fn path(&self) -> &Path {
        match self {
            Folder::Given(path) => path,
            Folder::Temporary(folder) => folder.path(),
        }
    }

    fn keep(self) {
        if let Folder::Temporary(folder) = self {
            let _ = folder.keep();
        }
    }
}
