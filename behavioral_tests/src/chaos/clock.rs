//! Wall clocks that jump: a node started under libfaketime reads its wall clock as a file says. Must
//! never touch the clocks that time-outs are measured by: those of a real machine do not jump.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

/// A node's wall clock.
#[derive(Debug)]
pub struct Clock {
    file: PathBuf,
    library: OsString,
}

impl Clock {
    /// One that is right, and will be read from this file.
    ///
    /// # Errors
    /// `faketime` cannot be run, or the file not be written.
    pub fn new(file: &Path) -> Result<Clock> {
        let mut command = Command::new("faketime");
        let output = command.args(["-m", "-f", "+0", "printenv", "LD_PRELOAD"]).output();
        let output = output.context("cannot run faketime")?;
        ensure!(output.status.success(), "faketime does not say where its library is");
        let library = String::from_utf8(output.stdout)?.trim().into();
        let clock = Clock { file: file.to_owned(), library };
        clock.jump(0.0)?;
        Ok(clock)
    }

    /// What a node's environment needs so that it reads this clock.
    pub fn variables(&self) -> Vec<(&'static str, OsString)> {
        vec![
            ("LD_PRELOAD", self.library.clone()),
            ("FAKETIME_TIMESTAMP_FILE", self.file.clone().into()),
            ("FAKETIME_NO_CACHE", "1".into()),
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1".into()),
        ]
    }

    /// From now on it is so many seconds before or after the real one.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn jump(&self, offset: f64) -> Result<()> {
        let unfinished = self.file.with_extension("unfinished");
        fs::write(&unfinished, format!("{offset:+}\n")).context("cannot write a clock's file")?;
        fs::rename(&unfinished, &self.file).context("cannot write a clock's file")
    }
}
