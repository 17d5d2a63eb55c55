//! Seeds defects one after the other and says which were found. Must never trust a detector that was
//! not seen to pass without a defect: then everything would be "found".

use std::collections::BTreeSet;
use std::time::Instant;

use anyhow::{Result, ensure};

use super::verdict::Verdict;
use super::workspace::Workspace;
use super::{Defect, Detector};

/// Seeds that must hold before any defect is seeded.
const HEALTHY_SEEDS: u64 = 40;

/// What became of the defects of a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Noticed within their budgets.
    pub found: usize,
    /// Not noticed.
    pub missed: usize,
    /// Of which nobody can tell.
    pub broken: usize,
}

/// Runs the detectors of these defects on the copy as it is: all must pass.
///
/// # Errors
/// If one does not.
pub fn check_healthy(workspace: &Workspace, defects: &[Defect]) -> Result<()> {
    let simulation = Detector::Simulate { seeds: HEALTHY_SEEDS };
    let of_defect = |defect: &Defect| match &defect.detector {
        Detector::Simulate { .. } => simulation.clone(),
        test @ Detector::Test { .. } => test.clone(),
    };
    let detectors: BTreeSet<Detector> = defects.iter().map(of_defect).collect();
    let target = |detector: &Detector| match detector {
        Detector::Simulate { .. } => None,
        Detector::Test { target, .. } => Some(target.clone()),
    };
    let targets: BTreeSet<String> = detectors.iter().filter_map(target).collect();
    workspace.tests(&targets.iter().map(String::as_str).collect())?; // at once is quicker
    for detector in detectors {
        let verdict = detector.run(workspace, "without-a-defect")?;
        ensure!(
            verdict == Verdict::Missed,
            "without any defect, `{detector}` should pass: {verdict:?}"
        );
    }
    Ok(())
}

/// Seeds each defect, runs its detector, takes it out again, and prints a line of the table.
pub fn run(workspace: &Workspace, defects: &[Defect]) -> Tally {
    let mut tally = Tally::default();
    println!(
        "{:<38} {:<9} {:<11} {:>7}  rule, and what was said",
        "defect", "", "after", "seconds"
    );
    for defect in defects {
        let begun = Instant::now();
        let verdict =
            seeded(workspace, defect).unwrap_or_else(|error| Verdict::Broken(format!("{error:#}")));
        let (word, after, said) = match &verdict {
            Verdict::Found { after, by } => ("found", after.as_str(), by.as_str()),
            Verdict::Missed => ("NOT FOUND", "", ""),
            Verdict::Broken(why) => ("BROKEN", "", why.as_str()),
        };
        let seconds = begun.elapsed().as_secs_f64();
        println!("{:<38} {word:<9} {after:<11} {seconds:>7.1}  {}", defect.name, defect.rule);
        match &verdict {
            Verdict::Found { .. } => tally.found += 1,
            Verdict::Missed => tally.missed += 1,
            Verdict::Broken(_) => tally.broken += 1,
        }
        match verdict {
            Verdict::Found { .. } => println!("    {}", clip(said)),
            Verdict::Missed => println!("    should be found by: {}", defect.detector),
            Verdict::Broken(_) => println!("    {said}"),
        }
    }
    tally
}

fn seeded(workspace: &Workspace, defect: &Defect) -> Result<Verdict> {
    let verdict =
        workspace.seed(defect).and_then(|()| defect.detector.run(workspace, &defect.name));
    workspace.mend(defect)?;
    verdict
}

/// What fits into a line.
fn clip(text: &str) -> String {
    let line = text.lines().next().unwrap_or_default();
    line.chars().take(110).collect()
}
