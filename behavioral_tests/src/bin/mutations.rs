//! Whether the tests still find known faults: applies each patch of `behavioral_tests/defects` to a
//! copy of the sources, builds it, and runs what must find it. Exits 1 if one is not found within
//! its budget, or no longer applies or compiles. With `--build NAME` builds `raft` with that defect
//! and prints the program's path as the last line.

use std::io::Write;
use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use behavioral_tests::defects::selection::{Selection, commits};
use behavioral_tests::defects::workspace::Workspace;
use behavioral_tests::defects::{self, run};

const USAGE: &str =
    "usage: mutations [--only NAME,NAME | --sample COUNT [--turn N]] | --build NAME | --list
    --only      only these defects
    --sample    so many by rotation; the turn is the number of commits, unless given
    --build     build `raft` with this defect; the last line is its path
    --list      what there is, and what is not yet";
/// The workspace.
const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

enum Task {
    Run(Selection),
    Build(String),
    List,
}

fn main() -> ExitCode {
    let task = match task() {
        Ok(task) => task,
        Err(error) => {
            eprintln!("mutations: {error:#}\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    match perform(task) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("mutations: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn task() -> Result<Task> {
    let mut task = None;
    let mut turn = None;
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let mut value = || words.next().with_context(|| format!("{word} wants a value"));
        let chosen = match word.as_str() {
            "--only" => {
                let names = value()?.split(',').map(str::to_owned).collect();
                Task::Run(Selection::Only(names))
            }
            "--sample" => {
                let count = value()?.parse().context("--sample wants a number")?;
                Task::Run(Selection::Sample { count, turn: 0 })
            }
            "--turn" => {
                turn = Some(value()?.parse().context("--turn wants a number")?);
                continue;
            }
            "--build" => Task::Build(value()?),
            "--list" => Task::List,
            _ => bail!("unknown option {word}"),
        };
        if task.replace(chosen).is_some() {
            bail!("{word} does not go with what is before it");
        }
    }
    match (task.unwrap_or(Task::Run(Selection::All)), turn) {
        (Task::Run(Selection::Sample { count, .. }), Some(turn)) => {
            Ok(Task::Run(Selection::Sample { count, turn }))
        }
        (Task::Run(Selection::Sample { count, .. }), None) => {
            Ok(Task::Run(Selection::Sample { count, turn: commits(Path::new(ROOT))? }))
        }
        (_, Some(_)) => bail!("--turn goes with --sample"),
        (task, None) => Ok(task),
    }
}

/// Whether all was as it should be.
fn perform(task: Task) -> Result<bool> {
    let root = Path::new(ROOT).canonicalize()?;
    let all = defects::load(&root)?;
    match task {
        Task::List => list(&root, &all).map(|()| true),
        Task::Build(name) => build(&root, all, name).map(|()| true),
        Task::Run(selection) => seed(&root, all, &selection),
    }
}

/// Who reads the list may close the pipe before its end.
fn list(root: &Path, all: &[defects::Defect]) -> Result<()> {
    let mut out = std::io::stdout().lock();
    for defect in all {
        let (rule, detector) = (&defect.rule, &defect.detector);
        let text = format!("{}\n    Rule: {rule}\n    Found by: {detector}", defect.summary);
        let _ = writeln!(out, "{}\n    {text}", defect.name);
    }
    let _ = writeln!(out, "\nnot yet:");
    for (name, why) in defects::not_yet(root)? {
        let _ = writeln!(out, "{name}\n    {why}");
    }
    Ok(())
}

fn build(root: &Path, all: Vec<defects::Defect>, name: String) -> Result<()> {
    let chosen = Selection::Only(vec![name]).of(all)?;
    let defect = chosen.first().context("a defect of that name")?;
    let workspace = Workspace::copy(root)?;
    eprintln!("builds raft with a defect: {}", defect.summary);
    let built = workspace.seed(defect).and_then(|()| workspace.raft(&defect.name));
    workspace.mend(defect)?;
    println!("{}", built?.display());
    Ok(())
}

fn seed(root: &Path, all: Vec<defects::Defect>, selection: &Selection) -> Result<bool> {
    let begun = Instant::now();
    let total = all.len();
    let chosen = selection.of(all)?;
    if let Selection::Sample { turn, .. } = selection {
        println!("{} of {total} defects, turn {turn}", chosen.len());
    }
    let workspace = Workspace::copy(root)?;
    println!("without a defect");
    run::check_healthy(&workspace, &chosen)?;
    println!("    all detectors pass, after {:.0} s\n", begun.elapsed().as_secs_f64());
    let tally = run::run(&workspace, &chosen);
    println!(
        "\n{} found, {} not found, {} broken, {} not yet, {:.0} s",
        tally.found,
        tally.missed,
        tally.broken,
        defects::not_yet(root)?.len(),
        begun.elapsed().as_secs_f64()
    );
    Ok(tally.missed + tally.broken == 0)
}
