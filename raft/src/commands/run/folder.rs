//! The data folder of `raft run`: founded at its first start, refused when it is of other ports.
//! Must never remove anything unless it was asked to begin anew, and never while another process
//! uses the folder.

use std::path::Path;

use anyhow::Context;
use raft::exit::{self, Failure};
use servers::founding;
use servers::storage::{Disk, FolderDisk, Identity, OpenError, Options, Superblock};

/// Opens the folder for this identity; founds it if it is empty. `fresh`: empties it first. `seed`
/// must be random.
pub fn open(
    folder: &Path,
    identity: &Identity,
    options: &Options,
    fresh: bool,
    seed: u64,
) -> anyhow::Result<FolderDisk> {
    let mut disk = FolderDisk::create(folder)?;
    if fresh {
        empty(&mut disk).with_context(|| format!("cannot empty {}", folder.display()))?;
    }
    match Superblock::read(&disk) {
        Ok(found) if found.identity == *identity => {}
        Ok(found) => return Err(foreign(folder, &found.identity, identity).into()),
        Err(OpenError::Empty { .. }) => {
            founding::found(&mut disk, identity, options, seed)?;
        }
        Err(error) => return Err(error.into()),
    }
    Ok(disk)
}

/// The superblock goes first: what is left if this is interrupted belongs to nobody.
fn empty(disk: &mut FolderDisk) -> std::io::Result<()> {
    let (superblock, others): (Vec<String>, Vec<String>) =
        disk.list()?.into_iter().partition(|name| name == "superblock");
    for names in [superblock, others] {
        for name in names {
            disk.remove(&name)?;
        }
        disk.sync_dir()?;
    }
    Ok(())
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
