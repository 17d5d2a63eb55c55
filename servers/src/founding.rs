//! How a cluster begins: one author writes every node's identity, offline, so that two foundings
//! cannot differ. Must never write over anything.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use messages::{ClusterId, NodeId};
use rand::Rng;

use crate::storage::{
    self, Disk, FolderDisk, Identity, OpenError, Options, Superblock, Wal, WalError,
};

/// A node to be founded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Founder {
    /// What people will call it.
    pub name: String,
    /// Its data folder; made if it does not exist.
    pub folder: PathBuf,
}

/// Founds a cluster: ids at random, one folder a node. Returns who they are, in the order given.
///
/// # Panics
/// If two founders have one name.
pub fn found_cluster(founders: &[Founder], options: &Options) -> Result<Vec<Identity>, OpenError> {
    let mut random = rand::rng();
    let cluster = ClusterId(random.next_u64());
    let ids: Vec<NodeId> = founders.iter().map(|_| NodeId(random.next_u64())).collect();
    let names = founders.iter().map(|founder| founder.name.clone());
    let members: BTreeMap<NodeId, String> = ids.iter().copied().zip(names).collect();
    let mut identities = Vec::new();
    for (founder, node) in founders.iter().zip(&ids) {
        let identity = Identity { cluster, node: *node, members: members.clone() };
        assert_eq!(identity.member(&founder.name), Some(*node), "names differ");
        let mut disk = FolderDisk::create(&founder.folder)?;
        found(&mut disk, &identity, options, random.next_u64())?;
        identities.push(identity);
    }
    Ok(identities)
}

/// Makes an empty folder this node's: an empty log first, then the superblock, so that whoever has
/// an identity has a log. `seed` must be random.
pub fn found(
    disk: &mut impl Disk,
    identity: &Identity,
    options: &Options,
    seed: u64,
) -> Result<(), OpenError> {
    clear_interrupted(disk)?;
    Wal::create(disk, identity.owner(), options, seed)?;
    Superblock::found(disk, identity)
}

/// Removes the identity and the log of a node from its folder, and nothing else that may lie there.
/// The identity goes first: what is left if this is interrupted belongs to nobody.
pub fn clear(disk: &mut impl Disk) -> io::Result<()> {
    let ours = disk.list()?.into_iter().filter(|name| storage::is_ours(name));
    let (identity, log): (Vec<String>, Vec<String>) =
        ours.partition(|name| storage::is_identity(name));
    for names in [identity, log] {
        for name in names {
            disk.remove(&name)?;
        }
        disk.sync_dir()?;
    }
    Ok(())
}

/// Removes what a founding left that did not finish; refuses whatever else may be there.
fn clear_interrupted(disk: &mut impl Disk) -> Result<(), OpenError> {
    let list = disk.list();
    let names = list.map_err(|error| WalError::new(disk.describe(""), "list", error))?;
    for name in names.iter().filter(|name| storage::is_ours(name)) {
        let unused = storage::is_unused(disk, name);
        let removed = unused.and_then(|unused| match unused {
            true => disk.remove(name),
            false => Err(io::ErrorKind::AlreadyExists.into()),
        });
        removed.map_err(|error| OpenError::CannotCreate {
            file: disk.describe(name),
            error: Arc::new(error),
        })?;
    }
    Ok(())
}

/// Who a node of a demonstration is: [`by_names`] of the ports of its clients.
///
/// # Panics
/// If `own` is not among `ports`.
pub fn demonstration(ports: &[u16], own: u16) -> Identity {
    let names: Vec<String> = ports.iter().map(u16::to_string).collect();
    by_names(&names, &own.to_string())
}

/// Who a node is if all follows from the members' names, so that nodes that were started with the
/// same names find each other without a founder; hence an emptied folder cannot be told from a new
/// one.
///
/// # Panics
/// If `own` is not among `names`.
pub fn by_names(names: &[String], own: &str) -> Identity {
    assert!(names.iter().any(|name| name == own), "a node is a member of its cluster");
    let sorted: BTreeSet<&str> = names.iter().map(String::as_str).collect();
    let node = |name: &str| NodeId(hash(sorted.iter().copied().chain([name])));
    Identity {
        cluster: ClusterId(hash(sorted.iter().copied())),
        node: node(own),
        members: sorted.iter().map(|name| (node(name), (*name).to_owned())).collect(),
    }
}

/// FNV-1a over the names, each ended by a zero: the same on every machine, for all time.
fn hash<'a>(names: impl Iterator<Item = &'a str>) -> u64 {
    let bytes = names.flat_map(|name| name.bytes().chain([0]));
    bytes.fold(0xCBF2_9CE4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01B3)
    })
}

/// A seed for what is random in a founding.
pub fn seed() -> u64 {
    rand::rng().next_u64()
}

/// Makes sure that the folder is this node's: founds it if there is nothing in it. `seed` must be
/// random.
///
/// # Errors
/// `Foreign` if it belongs to another node or cluster.
pub fn found_if_new(
    folder: &Path,
    identity: &Identity,
    options: &Options,
    seed: u64,
) -> Result<(), OpenError> {
    let mut disk = FolderDisk::create(folder)?;
    match Superblock::read(&disk) {
        Err(OpenError::Empty { .. }) => found(&mut disk, identity, options, seed),
        Err(other) => Err(other),
        Ok(superblock) => superblock.check(&disk, &identity.expected()),
    }
}
