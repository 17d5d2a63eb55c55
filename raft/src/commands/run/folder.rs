//! The data folder of `raft run`: founded at its first start, refused when it is of other ports.
//! Must never remove anything unless it was asked to begin anew, and never while another process
//! uses the folder.

use std::path::Path;

use anyhow::Context;
use raft::exit::{self, Failure};
use servers::founding;
use servers::storage::{FolderDisk, Identity, OpenError, Options, Superblock};

/// Opens the folder for this identity; founds it if it is empty. `fresh`: empties it first, if it is of
/// a `raft run`. `seed` must be random.
pub fn open(
    folder: &Path,
    identity: &Identity,
    options: &Options,
    fresh: bool,
    seed: u64,
) -> anyhow::Result<FolderDisk> {
    let mut disk = FolderDisk::create(folder)?;
    let found = match Superblock::read(&disk) {
        Ok(superblock) => Some(superblock.identity),
        Err(OpenError::Empty { .. }) => None,
        Err(error) => return Err(error.into()),
    };
    match &found {
        Some(found) if !is_demonstration(found) => Err(no_demonstration(folder, found).into()),
        Some(found) if !fresh && found != identity => Err(foreign(folder, found, identity).into()),
        Some(_) if !fresh => Ok(disk),
        _ => {
            founding::clear(&mut disk)
                .with_context(|| format!("cannot empty {}", folder.display()))?;
            founding::found(&mut disk, identity, options, seed)?;
            Ok(disk)
        }
    }
}

/// Whether the folder is of a `raft run`, whatever its ports: all follows from them.
fn is_demonstration(identity: &Identity) -> bool {
    let ports: Result<Vec<u16>, _> = identity.members.values().map(|name| name.parse()).collect();
    let (Ok(ports), Ok(own)) = (ports, identity.name().parse()) else { return false };
    ports.contains(&own) && founding::demonstration(&ports, own) == *identity
}

fn no_demonstration(folder: &Path, found: &Identity) -> Failure {
    let text = format!(
        "{} belongs to {found}, which raft serve runs; choose another folder with --data",
        folder.display()
    );
    Failure::new(exit::DATA, text)
}

fn foreign(folder: &Path, found: &Identity, expected: &Identity) -> Failure {
    let text = format!(
        "{} holds the data of raft run {}, not of raft run {}; start it with the same ports, choose \
         another folder with --data, or begin anew with --fresh on all nodes",
        folder.display(),
        ports(found),
        ports(expected)
    );
    Failure::new(exit::DATA, text)
}

/// The ports as one gives them: the node's own first, the others in order.
fn ports(identity: &Identity) -> String {
    let own = identity.name();
    let mut others: Vec<&str> =
        identity.members.values().map(String::as_str).filter(|name| *name != own).collect();
    others.sort_by_key(|name| (name.len(), *name));
    [&[own], &others[..]].concat().join(" ")
}
