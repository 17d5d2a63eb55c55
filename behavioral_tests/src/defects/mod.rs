//! Seeded defects: small patches that break one rule each, and what must notice. Tests that find no
//! fault may be good tests of a good program, or bad tests. Must never leave a defect in the
//! sources: patches are applied to a copy.
//!
//! In reading order: [`patch`] (a file of `behavioral_tests/defects`) · [`selection`] (which of them,
//! and in what order) · [`workspace`] (the copy, and building it) · [`verdict`] (what a run of a
//! detector means) · [`detector`] (running it) · [`run`] (all of them).

pub mod detector;
pub mod patch;
pub mod run;
pub mod selection;
pub mod verdict;
pub mod workspace;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};

pub use detector::Detector;
pub use patch::Defect;

/// The patches, in a folder of the workspace.
pub const FOLDER: &str = "behavioral_tests/defects";
/// The defects that cannot be seeded, in that folder.
pub const NOT_YET: &str = "not_yet.toml";

/// All defects of the workspace at `root`, by name.
///
/// # Errors
/// If a patch cannot be read, or its header is not complete.
pub fn load(root: &Path) -> Result<Vec<Defect>> {
    let folder = root.join(FOLDER);
    let mut defects = Vec::new();
    for file in fs::read_dir(&folder).with_context(|| folder.display().to_string())? {
        let path = file?.path();
        if path.extension().is_none_or(|extension| extension != "patch") {
            continue;
        }
        let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        let name = path.file_stem().and_then(|stem| stem.to_str()).context("a name in UTF-8")?;
        defects.push(Defect::parse(name, &text).with_context(|| path.display().to_string())?);
    }
    ensure!(!defects.is_empty(), "{}: no patch", folder.display());
    defects.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(defects)
}

/// The defects whose feature is missing, by name, each with the reason.
///
/// # Errors
/// If the list cannot be read.
pub fn not_yet(root: &Path) -> Result<BTreeMap<String, String>> {
    let path = root.join(FOLDER).join(NOT_YET);
    let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    parse_not_yet(&text).with_context(|| path.display().to_string())
}

/// Reads the list of defects whose feature is missing: `name = "why"`.
///
/// # Errors
/// If a name has no reason.
pub fn parse_not_yet(text: &str) -> Result<BTreeMap<String, String>> {
    let table: toml::Table = text.parse()?;
    let row = |(name, why): (String, toml::Value)| {
        let why = why.as_str().map(str::trim).unwrap_or_default().to_owned();
        ensure!(!why.is_empty() && !why.contains('\n'), "{name}: one line must say why");
        Ok((name, why))
    };
    table.into_iter().map(row).collect()
}
