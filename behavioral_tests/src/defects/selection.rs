//! Which defects a run seeds. Must never choose by chance: what a change is tested with follows from
//! the turn alone, and every defect has its turn.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};

use super::Defect;

/// Which defects a run seeds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Selection {
    /// All of them.
    #[default]
    All,
    /// Those of these names.
    Only(Vec<String>),
    /// So many, by rotation.
    Sample {
        /// How many, at most.
        count: usize,
        /// Whose turn it is; successive turns take successive defects.
        turn: u64,
    },
}

impl Selection {
    /// The chosen ones, in the order of their names.
    ///
    /// # Errors
    /// If there is no defect of a name.
    pub fn of(&self, defects: Vec<Defect>) -> Result<Vec<Defect>> {
        let chosen: Vec<bool> = match self {
            Selection::All => vec![true; defects.len()],
            Selection::Only(names) => {
                for name in names {
                    let known = defects.iter().any(|defect| defect.name == *name);
                    ensure!(known, "no defect is called {name}; --list shows all");
                }
                defects.iter().map(|defect| names.contains(&defect.name)).collect()
            }
            Selection::Sample { count, turn } => {
                let places = rotation(defects.len(), *count, *turn);
                (0..defects.len()).map(|place| places.contains(&place)).collect()
            }
        };
        Ok(defects
            .into_iter()
            .zip(chosen)
            .filter(|(_, is)| *is)
            .map(|(defect, _)| defect)
            .collect())
    }
}

/// The places of at most `count` out of `total` that have their turn: `total / count` turns in a row,
/// rounded up, take every place once.
pub fn rotation(total: usize, count: usize, turn: u64) -> Vec<usize> {
    let count = count.min(total);
    if count == 0 {
        return Vec::new();
    }
    let turns = total.div_ceil(count);
    let turn = (turn % turns as u64) as usize;
    // Neighbours by name resemble each other, so each turn takes them from all over the list.
    (turn..total).step_by(turns).collect()
}

/// A number that rises with each change of the workspace at `root`: how many commits led to it.
///
/// # Errors
/// If git cannot say.
pub fn commits(root: &Path) -> Result<u64> {
    let mut git = Command::new("git");
    let output = git.args(["rev-list", "--count", "HEAD"]).current_dir(root).output();
    let output = output.context("cannot run git")?;
    ensure!(output.status.success(), "git rev-list: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim().parse().context("git rev-list gives a number")
}
