//! The program `raft` for tools that were not given one. Must never find an old one: cargo says where
//! it put what it built.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

/// The workspace.
const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

/// Builds the program, release build, and says where it is.
///
/// # Errors
/// Cargo cannot be run, or failed.
pub fn build() -> Result<PathBuf> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(["build", "--release", "-p", "raft", "--bin", "raft"])
        .arg("--message-format=json-render-diagnostics")
        .current_dir(ROOT)
        .stderr(Stdio::inherit())
        .output()
        .context("cannot run cargo")?;
    ensure!(output.status.success(), "raft cannot be built");
    let text = String::from_utf8(output.stdout)?;
    let messages = text.lines().filter_map(|line| serde_json::from_str(line).ok());
    let executable = |message: serde_json::Value| Some(message["executable"].as_str()?.into());
    messages.filter_map(executable).next().context("cargo names no executable")
}
