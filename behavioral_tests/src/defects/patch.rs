//! One defect as a file: what is wrong, the rule that it breaks, what finds it, and a unified diff.
//! Must never apply where the sources have changed: it says so instead.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result, anyhow, ensure};

use super::Detector;

/// Folders that hold production sources: what a defect may change.
const SOURCES: [&str; 4] = ["messages/src/", "states/src/", "servers/src/", "raft/src/"];

/// A seeded defect.
#[derive(Clone, Debug)]
pub struct Defect {
    /// The file's name without its ending.
    pub name: String,
    /// What the program does wrong.
    pub summary: String,
    /// Where the rule that it breaks is written.
    pub rule: String,
    /// What must find it.
    pub detector: Detector,
    /// The diff of each file that it changes, by the file's path in the workspace.
    diffs: BTreeMap<String, String>,
}

impl Defect {
    /// Reads a file: a summary, a line `Rule: …`, a line `Found by: …`, a unified diff.
    ///
    /// # Errors
    /// If any of these is missing or cannot be understood, or the diff changes anything but
    /// production sources.
    pub fn parse(name: &str, text: &str) -> Result<Defect> {
        let start = text.find("--- a/").context("no diff: a line that begins with `--- a/`")?;
        let (header, body) = text.split_at(start);
        let mut summary = Vec::new();
        let (mut rule, mut detector) = (None, None);
        for line in header.lines().filter(|line| !line.is_empty()) {
            if let Some(value) = line.strip_prefix("Rule: ") {
                ensure!(rule.replace(value).is_none(), "two lines `Rule:`");
            } else if let Some(value) = line.strip_prefix("Found by: ") {
                ensure!(detector.replace(value).is_none(), "two lines `Found by:`");
            } else {
                ensure!(rule.is_none() && detector.is_none(), "what is {line:?}?");
                summary.push(line.trim());
            }
        }
        ensure!(!summary.is_empty(), "no line that says what is wrong");
        Ok(Defect {
            name: name.to_owned(),
            summary: summary.join(" "),
            rule: rule.context("no line `Rule: …`")?.to_owned(),
            detector: detector.context("no line `Found by: …`")?.parse()?,
            diffs: split(body)?,
        })
    }

    /// The files that it changes.
    pub fn files(&self) -> impl Iterator<Item = &str> {
        self.diffs.keys().map(String::as_str)
    }

    /// The files as they are with the defect, made from those below `root`. Writes nothing.
    ///
    /// # Errors
    /// If the patch no longer applies.
    pub fn applied(&self, root: &Path) -> Result<Vec<(&str, String)>> {
        self.diffs
            .iter()
            .map(|(file, diff)| {
                let before = std::fs::read_to_string(root.join(file))
                    .with_context(|| format!("{}: cannot read {file}", self.name))?;
                let after = apply_diff(&before, diff).with_context(|| {
                    format!("{}: the patch no longer applies to {file}: write it anew", self.name)
                })?;
                Ok((file.as_str(), after))
            })
            .collect()
    }
}

fn apply_diff(before: &str, diff: &str) -> Result<String> {
    let patch = diffy::Patch::from_str(diff).map_err(|error| anyhow!("{error}"))?;
    let after = diffy::apply(before, &patch).map_err(|error| anyhow!("{error}"))?;
    ensure!(before != after, "it changes nothing");
    Ok(after)
}

/// The diffs of a body, one for each file.
fn split(body: &str) -> Result<BTreeMap<String, String>> {
    let mut diffs: BTreeMap<String, String> = BTreeMap::new();
    let mut file = String::new();
    for line in body.split_inclusive('\n') {
        if let Some(path) = line.strip_prefix("--- a/") {
            file = path.trim_end().to_owned();
            let is_source = SOURCES.iter().any(|folder| file.starts_with(folder));
            ensure!(is_source && !file.contains(".."), "{file} is no production source");
            ensure!(!diffs.contains_key(&file), "two diffs of {file}");
        }
        diffs.entry(file.clone()).or_default().push_str(line);
    }
    Ok(diffs)
}
