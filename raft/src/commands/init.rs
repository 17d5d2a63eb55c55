//! `raft init`: founds a cluster. Writes a configuration and a data folder for each node, and never
//! over anything.

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use messages::ClusterId;
use raft::config::{self, Config, Member, Transport};
use raft::exit::{self, Failure};
use raft::print;
use servers::founding::{self, Founder};
use servers::storage;

use crate::options::{self, PEER_PORT_OFFSET};

/// Runs the subcommand.
pub fn init(options: options::Init) -> anyhow::Result<()> {
    let transport = options.transport.unwrap_or_default();
    let cluster = found_cluster(&options.folder, &options.members, transport)?;
    print::text(report(&options.folder, &cluster))?;
    Ok(())
}

/// A founded cluster.
#[derive(Clone, Debug)]
pub struct Founded {
    /// Its id, drawn at random.
    pub cluster: ClusterId,
    /// Its nodes, in the order given: 1, 2, 3, ...
    pub nodes: Vec<FoundedNode>,
}

/// What was written for a node.
#[derive(Clone, Debug)]
pub struct FoundedNode {
    /// What people call it.
    pub name: String,
    /// Where clients reach it.
    pub client: String,
    /// Its configuration.
    pub file: PathBuf,
    /// Its data folder.
    pub data: PathBuf,
}

/// Founds a cluster in a folder: a member for each host and client port. All of it, or nothing.
pub fn found_cluster(
    folder: &Path,
    members: &[(String, u16)],
    transport: Transport,
) -> Result<Founded, Failure> {
    let members = name_members(members)?;
    let nodes: Vec<FoundedNode> = members.iter().map(|member| node(folder, member)).collect();
    refuse_to_overwrite(&nodes)?;
    let mut made = Vec::new();
    match write_all(folder, &nodes, &members, transport, &mut made) {
        Ok(cluster) => Ok(Founded { cluster, nodes }),
        Err(failure) => {
            remove(&made);
            Err(failure)
        }
    }
}

fn node(folder: &Path, member: &Member) -> FoundedNode {
    let stem = format!("n{}", member.name);
    FoundedNode {
        name: member.name.clone(),
        client: member.client.clone(),
        file: folder.join(format!("{stem}.toml")),
        data: folder.join(&stem),
    }
}

fn name_members(addresses: &[(String, u16)]) -> Result<Vec<Member>, Failure> {
    let mut taken = BTreeSet::new();
    let mut members = Vec::new();
    for (position, (host, port)) in addresses.iter().enumerate() {
        let client = format!("{host}:{port}");
        let peer = format!("{host}:{}", port + PEER_PORT_OFFSET);
        for address in [&client, &peer] {
            if !taken.insert(address.clone()) {
                let text = format!(
                    "--members: {address} is needed twice (each member takes its port and the port \
                     + {PEER_PORT_OFFSET}); see raft init --help"
                );
                return Err(Failure::new(exit::USAGE, text));
            }
        }
        members.push(Member { name: (position + 1).to_string(), client, peer });
    }
    Ok(members)
}

fn refuse_to_overwrite(nodes: &[FoundedNode]) -> Result<(), Failure> {
    let mut paths = nodes.iter().flat_map(|node| [&node.file, &node.data]);
    match paths.find(|path| path.symlink_metadata().is_ok()) {
        Some(path) => {
            let text = format!(
                "{} is there already and is not written over; nothing was changed; choose another \
                 folder or move it away",
                path.display()
            );
            Err(Failure::new(exit::CANNOT_CREATE, text))
        }
        None => Ok(()),
    }
}

fn write_all(
    folder: &Path,
    nodes: &[FoundedNode],
    members: &[Member],
    transport: Transport,
    made: &mut Vec<PathBuf>,
) -> Result<ClusterId, Failure> {
    fs::create_dir_all(folder).map_err(|error| cannot_create(folder, &error))?;
    for node in nodes {
        fs::create_dir(&node.data).map_err(|error| cannot_create(&node.data, &error))?;
        made.push(node.data.clone());
    }
    let cluster = found_folders(nodes)?;
    for (node, member) in nodes.iter().zip(members) {
        let config = Config { transport, ..configuration(cluster, node, member, members) };
        let text = config::template(&config);
        write_new(&node.file, &text, made).map_err(|error| cannot_create(&node.file, &error))?;
    }
    let synced = File::open(folder).and_then(|folder| folder.sync_all());
    synced.map_err(|error| cannot_create(folder, &error))?;
    Ok(cluster)
}

/// From now on each data folder knows whose it is.
fn found_folders(nodes: &[FoundedNode]) -> Result<ClusterId, Failure> {
    let founders: Vec<Founder> = nodes
        .iter()
        .map(|node| Founder { name: node.name.clone(), folder: node.data.clone() })
        .collect();
    let identities = founding::found_cluster(&founders, &storage::Options::default());
    Ok(identities?[0].cluster)
}

fn configuration(
    cluster: ClusterId,
    node: &FoundedNode,
    member: &Member,
    members: &[Member],
) -> Config {
    Config {
        name: node.name.clone(),
        data: PathBuf::from(format!("n{}", node.name)),
        cluster,
        members: members.to_vec(),
        client_listen: member.client.clone(),
        peer_listen: member.peer.clone(),
        ..Config::default()
    }
}

fn write_new(path: &Path, text: &str, made: &mut Vec<PathBuf>) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).open(path)?;
    made.push(path.to_owned());
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

fn cannot_create(path: &Path, error: &io::Error) -> Failure {
    let text = format!("{} cannot be made: {error}; no cluster was founded", path.display());
    Failure::new(exit::CANNOT_CREATE, text)
}

/// Half a cluster is worse than none. All of it was made by this very call.
fn remove(made: &[PathBuf]) {
    for path in made {
        let _ = if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
    }
}

fn report(folder: &Path, Founded { cluster, nodes }: &Founded) -> String {
    let plural = if nodes.len() == 1 { "node" } else { "nodes" };
    let (number, shown) = (nodes.len(), folder.display());
    let mut text = format!("founded cluster {:016x} of {number} {plural} in {shown}\n", cluster.0);
    let hosts: BTreeSet<&str> =
        nodes.iter().filter_map(|node| Some(node.client.rsplit_once(':')?.0)).collect();
    if hosts.len() > 1 {
        text.push_str("copy to each node's host, the folder beside the file:\n");
        for node in nodes {
            let (file, data) = (node.file.display(), node.data.display());
            text.push_str(&format!("  {}: {file} and {data}\n", node.client));
        }
    }
    text.push_str("start each:\n");
    for node in nodes {
        text.push_str(&format!("  raft serve --config {}\n", node.file.display()));
    }
    let addresses: Vec<&str> = nodes.iter().map(|node| &*node.client).collect();
    text.push_str(&format!("then:\n  raft cli --at {}\n", addresses.join(",")));
    text
}
