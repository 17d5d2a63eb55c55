//! `raft check-config`: prints what is in force and where each value comes from, as TOML.

use raft::config::{self, Loaded};
use raft::exit::{self, Failure};
use raft::print;

use crate::options;

/// Runs the subcommand.
pub fn check_config(options: options::CheckConfig) -> anyhow::Result<()> {
    let loaded = config::load(&options.file, &[])
        .map_err(|error| Failure::new(exit::CONFIGURATION, error.to_string()))?;
    print::text(effective(&loaded))?;
    Ok(())
}

/// The configuration as TOML, each value's origin in a comment beside it.
fn effective(loaded: &Loaded) -> String {
    let mut lines: Vec<(String, String)> = Vec::new();
    for setting in &loaded.settings {
        let origin = setting.origin.place(&loaded.file);
        lines.push((format!("{} = {}", setting.key, setting.value), origin));
    }
    for (member, line) in loaded.config.members.iter().zip(&loaded.member_lines) {
        let text =
            format!("member \"{}\": clients {}, peers {}", member.name, member.client, member.peer);
        lines.push((format!("# {text}"), format!("{}:{line}", loaded.file)));
    }
    let settings = loaded.settings.len();
    let width = lines[..settings].iter().map(|(text, _)| text.len()).max().unwrap_or(0);
    lines.iter().map(|(text, origin)| format!("{text:width$}  # {origin}\n")).collect()
}
