//! What a run of a detector means. Must never take for a find what the detector itself did wrong:
//! only a violation that it reports, an assert of the program, or a test that fails by name.

/// How a detector ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ended {
    /// Its exit code; none if a signal or the time limit ended it.
    pub code: Option<i32>,
    /// What it printed.
    pub output: String,
}

/// What became of a defect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It was noticed.
    Found {
        /// After how many seeds, or by which test.
        after: String,
        /// What was said.
        by: String,
    },
    /// Nothing was noticed.
    Missed,
    /// Nobody can tell: the patch, the build or the detector is at fault.
    Broken(String),
}

/// What a run of the simulator says.
pub fn of_simulation(ended: &Ended) -> Verdict {
    match ended.code {
        Some(0) => Verdict::Missed,
        Some(1) => match ended.output.lines().find_map(failed_seed) {
            // A panic in the simulator's own sources is no check that failed.
            Some((_, what)) if what.starts_with("panicked at behavioral_tests/") => {
                Verdict::Broken(format!("the simulator itself {what}"))
            }
            Some((seed, what)) => {
                Verdict::Found { after: format!("{seed} seeds"), by: what.to_owned() }
            }
            None => Verdict::Broken("the simulator failed without a seed".to_owned()),
        },
        Some(code) => Verdict::Broken(format!("the simulator exited with {code}")),
        None => Verdict::Broken("the simulator was ended by a signal or the time limit".to_owned()),
    }
}

/// The seed and the violation of a line like `seed 17: stale: …`.
fn failed_seed(line: &str) -> Option<(u64, &str)> {
    let (seed, what) = line.strip_prefix("seed ")?.split_once(": ")?;
    Some((seed.parse().ok()?, what))
}

/// What a run of one test says.
pub fn of_test(name: &str, ended: &Ended) -> Verdict {
    let said =
        |what: &str| ended.output.lines().any(|line| line == format!("test {name} ... {what}"));
    match ended.code {
        Some(0) if said("ok") => Verdict::Missed,
        Some(0) => Verdict::Broken(format!("there is no test {name}")),
        Some(101) if said("FAILED") => {
            Verdict::Found { after: "a test".to_owned(), by: name.to_owned() }
        }
        Some(code) => Verdict::Broken(format!("the test's program exited with {code}")),
        None => Verdict::Broken("the test was ended by a signal or the time limit".to_owned()),
    }
}
