//! The file that `raft init` writes: every key with its default and a comment.

use super::{Config, KEYS, Key};
use crate::config::document::quoted;

/// A configuration as a file that says what each key is for.
pub fn template(config: &Config) -> String {
    let defaults = Config::default();
    let mut text = String::from(
        "# A node of a Raft cluster. Start it with: raft serve --config THIS-FILE\n\
         # A flag of raft serve counts more than the environment (RAFT_LOG_LEVEL for log.level), that\n\
         # more than this file, that more than the default. raft check-config FILE shows the outcome.\n",
    );
    let mut section = "";
    for key in KEYS {
        if key.section() != section {
            if section == "cluster" {
                text.push_str(&members(config));
            }
            section = key.section();
            text.push_str(&format!("\n[{section}]\n"));
        }
        text.push_str(&line(key, config, &defaults));
    }
    text
}

fn line(key: &Key, config: &Config, defaults: &Config) -> String {
    let default = (key.show)(defaults);
    let default = match default.as_str() {
        "\"\"" | "\"0000000000000000\"" => String::new(),
        default => format!("; default: {default}"),
    };
    format!("# {}{default}\n{} = {}\n", key.comment, key.field(), (key.show)(config))
}

fn members(config: &Config) -> String {
    let mut text = String::from(
        "\n# Every node of the cluster, the same on all: its name, where clients reach it, and where\n\
         # the other nodes reach it.\n",
    );
    for member in &config.members {
        text.push_str(&format!(
            "[[cluster.members]]\nname = {}\nclient = {}\npeer = {}\n\n",
            quoted(&member.name),
            quoted(&member.client),
            quoted(&member.peer),
        ));
    }
    text.truncate(text.trim_end().len());
    text.push('\n');
    text
}
