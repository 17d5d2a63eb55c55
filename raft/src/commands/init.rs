//! `raft init`: founds a cluster. Writes a configuration and a data folder for each node, and never
//! over anything.

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use messages::{ClusterId, NodeId};
use raft::config::{self, Config, Member};
use raft::exit::{self, Failure};
use raft::print;

use crate::options::{self, PEER_PORT_OFFSET};

/// Runs the subcommand.
pub fn init(options: options::Init) -> anyhow::Result<()> {
    let (cluster, nodes) = found_cluster(&options.folder, &options.members)?;
    print::text(report(&options.folder, cluster, &nodes))?;
    Ok(())
}

/// Founds a cluster of nodes whose clients reach them at these addresses, all of it in `folder`.
pub fn found_cluster(
    folder: &Path,
    addresses: &[(String, u16)],
) -> Result<(ClusterId, Vec<Node>), Failure> {
    let members = members(addresses)?;
    let cluster = ClusterId(random());
    let nodes: Vec<Node> =
        members.iter().map(|member| Node::new(folder, cluster, member, &members)).collect();
    refuse_to_overwrite(&nodes)?;
    let mut made = Vec::new();
    if let Err(failure) = write_all(folder, &nodes, &mut made) {
        remove(&made);
        return Err(failure);
    }
    Ok((cluster, nodes))
}

/// A node to be written.
pub struct Node {
    config: Config,
    file: PathBuf,
    data: PathBuf,
}

impl Node {
    fn new(folder: &Path, cluster: ClusterId, member: &Member, members: &[Member]) -> Node {
        let stem = format!("n{}", member.name);
        let config = Config {
            name: member.name.clone(),
            data: PathBuf::from(&stem),
            cluster,
            members: members.to_vec(),
            client_listen: member.client.clone(),
            peer_listen: member.peer.clone(),
            ..Config::default()
        };
        Node { config, file: folder.join(format!("{stem}.toml")), data: folder.join(&stem) }
    }
}

fn members(addresses: &[(String, u16)]) -> Result<Vec<Member>, Failure> {
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
        let name = (position + 1).to_string();
        members.push(Member { name, id: NodeId(random()), client, peer });
    }
    Ok(members)
}

/// Zero stands for nobody.
fn random() -> u64 {
    rand::random::<u64>().max(1)
}

fn refuse_to_overwrite(nodes: &[Node]) -> Result<(), Failure> {
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

fn write_all(folder: &Path, nodes: &[Node], made: &mut Vec<PathBuf>) -> Result<(), Failure> {
    fs::create_dir_all(folder).map_err(|error| cannot_create(folder, &error))?;
    for node in nodes {
        fs::create_dir(&node.data).map_err(|error| cannot_create(&node.data, &error))?;
        made.push(node.data.clone());
        found(node)?;
        let text = config::template(&node.config);
        write_new(&node.file, &text, made).map_err(|error| cannot_create(&node.file, &error))?;
    }
    let synced = File::open(folder).and_then(|folder| folder.sync_all());
    synced.map_err(|error| cannot_create(folder, &error))
}

/// Founds the data folder: it knows from now on whose it is.
fn found(_node: &Node) -> Result<(), Failure> {
    Ok(())
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

fn report(folder: &Path, cluster: ClusterId, nodes: &[Node]) -> String {
    let plural = if nodes.len() == 1 { "node" } else { "nodes" };
    let mut text = format!(
        "founded cluster {:016x} of {} {plural} in {}\nstart each:\n",
        cluster.0,
        nodes.len(),
        folder.display()
    );
    for node in nodes {
        text.push_str(&format!("  raft serve --config {}\n", node.file.display()));
    }
    let hosts: BTreeSet<&str> = nodes
        .iter()
        .filter_map(|node| Some(node.config.client_listen.rsplit_once(':')?.0))
        .collect();
    if hosts.len() > 1 {
        text.push_str("first copy each file, with the folder beside it, to its host:\n");
        for node in nodes {
            let (file, data) = (node.file.display(), node.data.display());
            text.push_str(&format!("  {file} and {data} for {}\n", node.config.client_listen));
        }
    }
    let addresses: Vec<&str> = nodes.iter().map(|node| &*node.config.client_listen).collect();
    text.push_str(&format!("then:\n  raft cli --at {}\n", addresses.join(",")));
    text
}
