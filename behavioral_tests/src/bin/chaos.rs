//! Real faults on a real cluster: nodes are killed, paused, stopped and started again, cut off,
//! slowed down, their disks fail and fill and their clocks jump, while clients record what they see.
//! Exits 1 if that history is not linearizable, a node ended without reason, too little was
//! acknowledged, or the cluster does not come back; then the folder is kept. `--seed` repeats which
//! faults are drawn, not what comes of them. Builds `raft` first, or takes `--raft PATH`.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail, ensure};
use behavioral_tests::chaos::{self, Plan, kinds, needs};
use behavioral_tests::folder::Folder;
use behavioral_tests::ports::Ports;
use behavioral_tests::program;
use raft::exit;

const USAGE: &str = "usage: chaos [--minutes M] [--nodes N] [--seed N] [--without KIND,...] \
                     [--raft PATH] [--data DIR]";

struct Options {
    minutes: f64,
    nodes: u16,
    seed: Option<u64>,
    without: BTreeSet<&'static str>,
    raft: Option<PathBuf>,
    data: Option<PathBuf>,
}

fn main() -> ExitCode {
    let options = match options() {
        Ok(options) => options,
        Err(error) => {
            eprintln!("chaos: {error:#}\n{USAGE}");
            return ExitCode::from(exit::USAGE);
        }
    };
    match run(options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let (code, line) = exit::verdict(&error);
            eprintln!("chaos: {}", line.unwrap_or_default());
            ExitCode::from(code)
        }
    }
}

fn options() -> Result<Options> {
    let mut options = Options {
        minutes: 3.0,
        nodes: 5,
        seed: None,
        without: BTreeSet::new(),
        raft: None,
        data: None,
    };
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let value = words.next().with_context(|| format!("{word} wants a value"))?;
        match word.as_str() {
            "--minutes" => options.minutes = value.parse().context("--minutes wants a number")?,
            "--nodes" => options.nodes = value.parse().context("--nodes wants a number")?,
            "--seed" => options.seed = Some(value.parse().context("--seed wants a number")?),
            "--without" => options.without = value.split(',').map(kind).collect::<Result<_>>()?,
            "--raft" => options.raft = Some(PathBuf::from(value)),
            "--data" => options.data = Some(PathBuf::from(value)),
            _ => bail!("unknown option {word}"),
        }
    }
    ensure!((0.05..=10_000.0).contains(&options.minutes), "--minutes wants 0.05 to 10000");
    ensure!((3..=9).contains(&options.nodes), "--nodes wants 3 to 9");
    Ok(options)
}

fn kind(word: &str) -> Result<&'static str> {
    let words = || kinds::all().into_iter().map(kinds::word).collect::<Vec<_>>().join(", ");
    kinds::of_word(word)
        .with_context(|| format!("--without: no kind {word}; there are {}", words()))
}

fn run(options: Options) -> Result<()> {
    let kinds = kinds::all().into_iter().filter(|kind| !options.without.contains(*kind)).collect();
    needs::check_programs(&kinds)?;
    let program = options.raft.clone().map_or_else(program::build, Ok)?;
    if needs::lacks_own_mounts(&kinds) {
        let mut arguments: Vec<String> = std::env::args().skip(1).collect();
        if options.raft.is_none() {
            arguments.extend(["--raft".into(), program.to_string_lossy().into_owned()]);
        }
        needs::enter_own_mounts(&arguments)?;
    }
    let folder = match options.data.clone() {
        Some(path) => Folder::Given(path),
        None => Folder::temporary("chaos-")?,
    };
    let ports = Ports::claim();
    let plan = Plan {
        program: std::path::absolute(&program)?,
        folder: std::path::absolute(folder.path())?,
        addresses: (0..options.nodes).map(|node| ports.address(node).to_string()).collect(),
        seed: options.seed.unwrap_or_else(fresh_seed),
        time: Duration::from_secs_f64(options.minutes * 60.0),
        without: options.without.clone(),
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
    if !options.without.is_empty() {
        let without: Vec<String> = options.without.iter().map(|kind| kinds::word(kind)).collect();
        command.push_str(&format!(" --without {}", without.join(",")));
    }
    if let Some(raft) = &options.raft {
        command.push_str(&format!(" --raft {}", raft.display()));
    }
    command
}

fn fresh_seed() -> u64 {
    let time = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    time.as_micros() as u64 % 1_000_000
}
