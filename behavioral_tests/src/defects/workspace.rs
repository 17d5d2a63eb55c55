//! A copy of the workspace's sources with a target folder of its own, both below `target/mutations`.
//! Must never write to the sources themselves, and never build what differs from them by anything
//! but the one patch.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use anyhow::{Context, Result, bail, ensure};

use super::Defect;

/// What the copy is built with.
const PROFILE: &str = "mutations";
/// These share their features when built together, so that nothing is built twice.
const PACKAGES: [&str; 4] = ["-p", "behavioral_tests", "-p", "unit_tests"];

/// The copy.
#[derive(Debug)]
pub struct Workspace {
    root: PathBuf,
    /// `target/mutations` of the original.
    folder: PathBuf,
    /// Held for as long as the copy is used.
    _lock: File,
}

/// A test's program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TestProgram {
    /// The file.
    pub executable: PathBuf,
    /// Where tests of its package run.
    pub folder: PathBuf,
}

impl Workspace {
    /// Makes the copy equal the sources at `root`: what git tracks as it lies in the folder, and what
    /// it neither tracks nor ignores. Waits for another run that uses the copy.
    ///
    /// # Errors
    /// If git or the file system fails.
    pub fn copy(root: &Path) -> Result<Workspace> {
        let folder = root.join("target").join("mutations");
        let source = folder.join("source");
        fs::create_dir_all(&source).with_context(|| source.display().to_string())?;
        let lock = File::create(folder.join("lock"))?;
        lock.lock().context("cannot lock target/mutations")?;
        let files = files(root)?;
        for file in &files {
            copy_file(&root.join(file), &source.join(file))
                .with_context(|| format!("cannot copy {file}"))?;
        }
        remove_others(&source, &source, &files)?;
        Ok(Workspace { root: root.to_owned(), folder, _lock: lock })
    }

    /// Where the copied sources lie.
    pub fn source(&self) -> PathBuf {
        self.folder.join("source")
    }

    /// Where the output of a detector goes.
    pub fn output(&self, name: &str) -> Result<PathBuf> {
        let folder = self.folder.join("output");
        fs::create_dir_all(&folder)?;
        Ok(folder.join(format!("{name}.txt")))
    }

    /// Seeds a defect.
    ///
    /// # Errors
    /// If the patch no longer applies.
    pub fn seed(&self, defect: &Defect) -> Result<()> {
        for (file, text) in defect.applied(&self.root)? {
            fs::write(self.source().join(file), text)?;
        }
        Ok(())
    }

    /// Takes the defect out again.
    ///
    /// # Errors
    /// If the file system fails.
    pub fn mend(&self, defect: &Defect) -> Result<()> {
        for file in defect.files() {
            copy_file(&self.root.join(file), &self.source().join(file))?;
        }
        Ok(())
    }

    /// Builds the simulator; its program.
    ///
    /// # Errors
    /// If it does not compile.
    pub fn simulator(&self) -> Result<PathBuf> {
        let mut cargo = self.cargo("build");
        cargo.args(["--profile", PROFILE]).args(PACKAGES).args(["--bin", "simulate"]);
        built(cargo)?;
        Ok(self.folder.join("target").join(PROFILE).join("simulate"))
    }

    /// Builds test targets of the packages of tests; the program of each.
    ///
    /// # Errors
    /// If one does not compile, or does not exist.
    pub fn tests(&self, targets: &BTreeSet<&str>) -> Result<BTreeMap<String, TestProgram>> {
        if targets.is_empty() {
            return Ok(BTreeMap::new());
        }
        let mut cargo = self.cargo("test");
        cargo.args(["--profile", PROFILE]).args(PACKAGES).arg("--no-run");
        cargo.arg("--message-format=json-render-diagnostics");
        for target in targets {
            cargo.args(["--test", target]);
        }
        let output = built(cargo)?;
        let output = String::from_utf8_lossy(&output.stdout).into_owned();
        let programs: BTreeMap<_, _> = output.lines().filter_map(test_program).collect();
        let missing = targets.iter().find(|target| !programs.contains_key(**target));
        ensure!(missing.is_none(), "cargo built no test target {missing:?}");
        Ok(programs)
    }

    /// Builds `raft` as a release, and keeps it under the defect's name.
    ///
    /// # Errors
    /// If it does not compile.
    pub fn raft(&self, name: &str) -> Result<PathBuf> {
        let mut cargo = self.cargo("build");
        cargo.args(["--release", "-p", "raft", "--bin", "raft"]);
        built(cargo)?;
        let kept = self.folder.join("built").join(name);
        fs::create_dir_all(&kept)?;
        let program = kept.join("raft");
        fs::copy(self.folder.join("target").join("release").join("raft"), &program)?;
        Ok(program)
    }

    fn cargo(&self, command: &str) -> Command {
        let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        cargo.current_dir(self.source()).args([command, "--quiet", "--locked", "--target-dir"]);
        cargo.arg(self.folder.join("target")).stdin(Stdio::null());
        cargo
    }
}

fn built(mut cargo: Command) -> Result<Output> {
    let output = cargo.output().context("cannot run cargo")?;
    if !output.status.success() {
        bail!("does not compile:\n{}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(output)
}

/// The test target that this line of cargo's output names, and its program.
fn test_program(line: &str) -> Option<(String, TestProgram)> {
    let message: serde_json::Value = serde_json::from_str(line).ok()?;
    let target = message.get("target")?;
    if !target.get("kind")?.as_array()?.iter().any(|kind| kind == "test") {
        return None;
    }
    let executable = PathBuf::from(message.get("executable")?.as_str()?);
    let folder = Path::new(message.get("manifest_path")?.as_str()?).parent()?.to_owned();
    let name = target.get("name")?.as_str()?.to_owned();
    Some((name, TestProgram { executable, folder }))
}

/// The workspace's files, as git sees them.
fn files(root: &Path) -> Result<BTreeSet<String>> {
    let mut git = Command::new("git");
    git.args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"]).current_dir(root);
    let output = git.output().context("cannot run git")?;
    ensure!(output.status.success(), "git ls-files: {}", String::from_utf8_lossy(&output.stderr));
    let names = String::from_utf8(output.stdout).context("names of files in UTF-8")?;
    let exists = |name: &&str| !name.is_empty() && root.join(name).is_file();
    Ok(names.split('\0').filter(exists).map(str::to_owned).collect())
}

/// Leaves a file that is the same alone, so that it is not built again.
fn copy_file(from: &Path, to: &Path) -> Result<()> {
    let bytes = fs::read(from)?;
    match fs::read(to) {
        Ok(old) if old == bytes => return Ok(()),
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error.into()),
        Ok(_) | Err(_) => {}
    }
    fs::create_dir_all(to.parent().context("a file lies in a folder")?)?;
    Ok(fs::write(to, bytes)?)
}

/// Removes from the copy what the original does not have.
fn remove_others(source: &Path, folder: &Path, files: &BTreeSet<String>) -> Result<()> {
    for file in fs::read_dir(folder)? {
        let path = file?.path();
        if path.is_dir() {
            remove_others(source, &path, files)?;
            drop(fs::remove_dir(&path)); // stays if something is in it
        } else {
            let name = path.strip_prefix(source)?.to_str().context("names of files in UTF-8")?;
            if !files.contains(name) {
                fs::remove_file(&path)?;
            }
        }
    }
    Ok(())
}
