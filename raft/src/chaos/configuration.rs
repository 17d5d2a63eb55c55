//! Sends a node's frames through the links: its configuration, written again under another name, with
//! its peers where the proxies listen. Must never change the file that it reads: started with that
//! one, the node talks to its peers directly.

use std::fs;
use std::path::Path;

use anyhow::{Context, ensure};

use crate::config;

use super::links::Links;

/// Reads `file`, the configuration of node `number`, and writes it to `behind`, with each peer's
/// address replaced by that of the link to it. Members are numbered in the file's order, from 1. All
/// else is as in the file, but the data folder has its whole path.
///
/// # Errors
/// If a file cannot be read or written, or the configuration is wrong.
///
/// # Panics
/// If there is no link for a peer.
pub fn write_behind(
    file: &Path,
    number: usize,
    links: &Links,
    behind: &Path,
) -> anyhow::Result<()> {
    ensure!(file != behind, "{} would be written over", file.display());
    let text = fs::read_to_string(file);
    let text = text.with_context(|| format!("cannot read {}", file.display()))?;
    let mut config = config::read(file, &text, |_| None, &[])?.config;
    for (member, other) in config.members.iter_mut().zip(1..) {
        if other != number {
            member.peer = links.address(number, other).to_string();
        }
    }
    config.data = std::path::absolute(&config.data).context("cannot tell the working directory")?;
    fs::write(behind, config::template(&config))
        .with_context(|| format!("cannot write {}", behind.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, Member};

    #[test]
    fn peers_are_behind_proxies_and_all_else_is_as_it_was() {
        let folder = tempfile::tempdir().expect("a folder");
        let members = [7001, 7002, 7003].map(|port| Member {
            name: (port - 7000).to_string(),
            client: format!("127.0.0.1:{port}"),
            peer: format!("127.0.0.1:{}", port + 10_000),
        });
        let config = Config {
            name: "2".into(),
            data: "n2".into(),
            cluster: messages::ClusterId(7),
            members: members.to_vec(),
            client_listen: members[1].client.clone(),
            peer_listen: members[1].peer.clone(),
            ..Config::default()
        };
        let (file, behind) = (folder.path().join("n2.toml"), folder.path().join("n2.links.toml"));
        fs::write(&file, config::template(&config)).expect("a file");
        let targets = [17001, 17002, 17003].map(|port| ([127, 0, 0, 1], port).into());
        let links = Links::between_all(&targets).expect("ports");

        write_behind(&file, 2, &links, &behind).expect("it is right");
        let written = config::load(&behind, &[]).expect("it is right").config;
        let mut expected = config::load(&file, &[]).expect("it is right").config;
        expected.members[0].peer = links.address(2, 1).to_string();
        expected.members[2].peer = links.address(2, 3).to_string();
        assert_eq!(written, expected);
    }
}
