//! What must find a defect, and running it in the copy. Must never let a detector run on for ever,
//! nor leave its process behind.

use std::collections::BTreeSet;
use std::fmt;
use std::fs::{self, File};
use std::path::Path;
use std::process::{Command, Stdio};
use std::str::FromStr;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::verdict::{self, Ended, Verdict};
use super::workspace::Workspace;

/// A detector that takes longer is stopped.
const LIMIT: Duration = Duration::from_secs(900);
/// How often a detector is looked at.
const LOOK: Duration = Duration::from_millis(5);

/// What must find a defect.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Detector {
    /// `simulate within N seeds`: seeds 1 to N of the simulator.
    Simulate {
        /// How many.
        seeds: u64,
    },
    /// `cargo test -p unit_tests --test TARGET NAME`: where random search misses the defect.
    Test {
        /// The test target.
        target: String,
        /// The test's full name in it.
        name: String,
    },
}

impl FromStr for Detector {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Detector> {
        let words: Vec<&str> = text.split_whitespace().collect();
        match words[..] {
            ["simulate", "within", seeds, "seeds"] => {
                let seeds = seeds.parse().with_context(|| format!("{seeds} is no number"))?;
                Ok(Detector::Simulate { seeds })
            }
            ["cargo", "test", "-p", "unit_tests", "--test", target, name] => {
                Ok(Detector::Test { target: target.to_owned(), name: name.to_owned() })
            }
            _ => bail!(
                "{text:?} is neither `simulate within N seeds` nor \
                 `cargo test -p unit_tests --test TARGET NAME`"
            ),
        }
    }
}

impl fmt::Display for Detector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Detector::Simulate { seeds } => write!(f, "simulate within {seeds} seeds"),
            Detector::Test { target, name } => {
                write!(f, "cargo test -p unit_tests --test {target} {name}")
            }
        }
    }
}

impl Detector {
    /// Builds the copy as it is and runs the detector on it; its output is kept in a file named
    /// `output`.
    ///
    /// # Errors
    /// If the copy does not compile, or the detector cannot be started.
    pub fn run(&self, workspace: &Workspace, output: &str) -> Result<Verdict> {
        let output = workspace.output(output)?;
        match self {
            Detector::Simulate { seeds } => {
                let mut command = Command::new(workspace.simulator()?);
                command.arg("--seeds").arg(format!("1..{}", seeds + 1));
                Ok(verdict::of_simulation(&end_of(command, &output)?))
            }
            Detector::Test { target, name } => {
                let programs = workspace.tests(&BTreeSet::from([target.as_str()]))?;
                let program = &programs[target];
                let mut command = Command::new(&program.executable);
                command.current_dir(&program.folder).args([name, "--exact"]);
                Ok(verdict::of_test(name, &end_of(command, &output)?))
            }
        }
    }
}

/// Runs the command to its end, or to the limit.
fn end_of(mut command: Command, output: &Path) -> Result<Ended> {
    let file = File::create(output)?;
    let mut child = command
        .stdin(Stdio::null())
        .stdout(file.try_clone()?)
        .stderr(file)
        .spawn()
        .with_context(|| format!("cannot run {command:?}"))?;
    let end = Instant::now() + LIMIT;
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        if Instant::now() >= end {
            child.kill()?;
            break child.wait()?;
        }
        std::thread::sleep(LOOK);
    };
    let bytes = fs::read(output)?;
    Ok(Ended { code: status.code(), output: String::from_utf8_lossy(&bytes).into_owned() })
}
