//! Whether the tests still find known faults: applies each patch of `behavioral_tests/defects` to a
//! copy of the sources, builds it, and runs what must find it. Exits 1 if one is not found within
//! its budget, or no longer applies or compiles. With `--build NAME` builds `raft` with that defect
//! and prints the program's path as the last line.

use std::io::Write;
use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Context, Result};
use behavioral_tests::command_line;
use behavioral_tests::defects::selection::{Selection, commits};
use behavioral_tests::defects::workspace::Workspace;
use behavioral_tests::defects::{self, run};
use structopt::StructOpt;
use structopt::clap::AppSettings;

/// The workspace.
const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

/// One value of an option, for all that clap knows: `Vec` would make it several.
type Names = Vec<String>;

/// Whether the tests still find known faults: all of them, unless some are chosen
#[derive(Debug, StructOpt)]
#[structopt(
    name = "mutations",
    setting = AppSettings::DisableVersion,
    after_help = "EXAMPLES:\n    mutations --only storm,no-sync\n    mutations --sample 6"
)]
struct Options {
    /// Only these defects
    #[structopt(long, value_name = "NAME,...", group = "task", parse(from_str = names))]
    only: Option<Names>,
    /// So many defects by rotation
    #[structopt(long, value_name = "COUNT", group = "task")]
    sample: Option<usize>,
    /// Whose turn the rotation has come to [default: the number of commits]
    #[structopt(long, value_name = "N", requires = "sample")]
    turn: Option<u64>,
    /// Builds `raft` with this defect; the last line is its path
    #[structopt(long, value_name = "NAME", group = "task")]
    build: Option<String>,
    /// Lists the defects that there are, and those that are not yet
    #[structopt(long, group = "task")]
    list: bool,
}

fn main() -> ExitCode {
    match perform(command_line::read()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("mutations: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn names(text: &str) -> Names {
    text.split(',').map(str::to_owned).collect()
}

impl Options {
    fn selection(self, root: &Path) -> Result<Selection> {
        Ok(match (self.only, self.sample) {
            (Some(names), _) => Selection::Only(names),
            (None, Some(count)) => {
                let turn = self.turn.map_or_else(|| commits(root), Ok)?;
                Selection::Sample { count, turn }
            }
            (None, None) => Selection::All,
        })
    }
}

/// Whether all was as it should be.
fn perform(options: Options) -> Result<bool> {
    let root = Path::new(ROOT).canonicalize()?;
    let all = defects::load(&root)?;
    if options.list {
        list(&root, &all).map(|()| true)
    } else if let Some(name) = options.build {
        build(&root, all, name).map(|()| true)
    } else {
        seed(&root, all, &options.selection(&root)?)
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

#[cfg(test)]
mod tests {
    use super::*;

    fn read(words: &[&str]) -> Result<Options, structopt::clap::Error> {
        Options::from_iter_safe([&["mutations"], words].concat())
    }

    fn selection(words: &[&str]) -> Selection {
        read(words).expect("options").selection(Path::new(ROOT)).expect("a selection")
    }

    #[test]
    fn all_are_seeded_unless_some_are_chosen() {
        assert_eq!(selection(&[]), Selection::All);
        let some = Selection::Only(vec!["storm".into(), "no-sync".into()]);
        assert_eq!(selection(&["--only", "storm,no-sync"]), some);
        assert_eq!(selection(&["--only", ""]), Selection::Only(vec![String::new()]));
    }

    #[test]
    fn a_turn_belongs_to_a_sample_and_is_the_number_of_commits_otherwise() {
        let sixth = Selection::Sample { count: 6, turn: 3 };
        assert_eq!(selection(&["--sample", "6", "--turn", "3"]), sixth);
        assert_eq!(selection(&["--turn", "3", "--sample", "6"]), sixth);
        let turn = commits(Path::new(ROOT)).expect("git counts");
        assert_eq!(selection(&["--sample", "6"]), Selection::Sample { count: 6, turn });
        for words in [&["--turn", "3"][..], &["--turn", "3", "--list"], &["--sample", "six"]] {
            assert!(read(words).is_err(), "{words:?}");
        }
    }

    #[test]
    fn two_tasks_at_once_are_refused() {
        let tasks =
            [&["--only", "storm"][..], &["--sample", "6"], &["--build", "storm"], &["--list"]];
        for (one, two) in tasks.iter().flat_map(|one| tasks.iter().map(move |two| (one, two))) {
            assert!(read(&[*one, *two].concat()).is_err(), "{one:?} {two:?}");
        }
    }
}
