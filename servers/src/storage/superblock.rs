//! Whose folder it is, and how often it was started: two checksummed slots that say the same, written
//! one after the other, so that one is whole whenever the machine stops and either may be lost
//! later. Must never be written while the log is not known to be this node's.

use std::collections::BTreeMap;
use std::fmt;

use crc32c::crc32c;
use messages::{Boot, ClusterId, Membership, NodeId};

use super::record::{get_u32, get_u64, put_u32};
use super::wal::Owner;
use super::{Damage, Disk, OpenError, WalError};

/// Who a node is; written once, when its cluster is founded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The cluster.
    pub cluster: ClusterId,
    /// This node: one of the members.
    pub node: NodeId,
    /// The founders, each with what people call it.
    pub members: BTreeMap<NodeId, String>,
}

/// Whom a configuration expects a folder to belong to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expected {
    /// The cluster.
    pub cluster: ClusterId,
    /// The node's name.
    pub name: String,
}

/// What a folder says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Superblock {
    /// Whose it is.
    pub identity: Identity,
    /// The newest boot; zero before the first.
    pub boot: Boot,
    /// Rises by one with each write; its lowest bit is the slot.
    generation: u64,
}

pub(super) const FILE: &str = "superblock";
pub(super) const NEW_FILE: &str = "superblock.new";
const SLOT: usize = 8192;
const MAGIC: [u8; 4] = *b"RSUP";
const VERSION: u32 = 1;
/// Before the members: magic, CRC32C, version, number of members, generation, cluster, node, boot.
const FIXED: usize = 48;

impl Identity {
    /// What people call this node.
    pub fn name(&self) -> &str {
        self.members.get(&self.node).map_or("", String::as_str)
    }

    /// What a configuration of this node expects of its folder.
    pub fn expected(&self) -> Expected {
        Expected { cluster: self.cluster, name: self.name().to_owned() }
    }

    /// The member that people call so.
    pub fn member(&self, name: &str) -> Option<NodeId> {
        self.members.iter().find(|(_, other)| *other == name).map(|(id, _)| *id)
    }

    /// The founders as the rules see them.
    pub fn membership(&self) -> Membership {
        Membership { voters: self.members.keys().copied().collect() }
    }

    /// Whose log it is.
    pub fn owner(&self) -> Owner {
        Owner { cluster: self.cluster, node: self.node }
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.members.values().map(String::as_str).collect();
        write!(
            f,
            "node {} of cluster {:016x} (members {})",
            self.name(),
            self.cluster.0,
            names.join(", ")
        )
    }
}

impl Superblock {
    /// Writes a new folder's superblock; it is durable when this returns.
    ///
    /// # Panics
    /// If the members do not fit (thousands of bytes of names), or the node is none of them.
    pub fn found(disk: &mut impl Disk, identity: &Identity) -> Result<(), OpenError> {
        assert!(identity.members.contains_key(&identity.node), "a founder is a member");
        let boot = Boot(0);
        let mut bytes = Vec::with_capacity(2 * SLOT);
        for generation in 0..2 {
            let superblock = Superblock { identity: identity.clone(), boot, generation };
            bytes.extend_from_slice(&superblock.encode());
        }
        // The name comes last: a superblock that exists is whole.
        disk.create(NEW_FILE, bytes.len() as u64)
            .and_then(|()| disk.write_at(NEW_FILE, 0, &bytes))
            .and_then(|()| disk.sync(NEW_FILE))
            .and_then(|()| disk.rename(NEW_FILE, FILE))
            .and_then(|()| disk.sync_dir())
            .map_err(|error| WalError::new(disk.describe(FILE), "create", error).into())
    }

    /// Reads a folder's superblock.
    pub fn read(disk: &impl Disk) -> Result<Superblock, OpenError> {
        let file = disk.describe(FILE);
        let names = disk.list().map_err(|error| WalError::new(disk.describe(""), "list", error))?;
        if !names.iter().any(|name| name == FILE) {
            return Err(OpenError::Empty { file });
        }
        let bytes = disk.read(FILE).map_err(|error| WalError::new(file.clone(), "read", error))?;
        Superblock::newest(&bytes, file)
    }

    /// The newer of the slots that can be read.
    fn newest(bytes: &[u8], file: String) -> Result<Superblock, OpenError> {
        let slots = [bytes.get(..SLOT), bytes.get(SLOT..2 * SLOT)];
        let mut newest: Option<Superblock> = None;
        for slot in slots {
            match slot.ok_or(SlotFault::Changed).and_then(Superblock::decode) {
                Ok(read) if newest.as_ref().is_none_or(|old| old.generation < read.generation) => {
                    newest = Some(read);
                }
                Ok(_) => {}
                Err(SlotFault::Changed) => {}
                Err(SlotFault::Unsupported(version)) => {
                    return Err(OpenError::Unsupported { file, version, known: VERSION });
                }
            }
        }
        let what = "neither of its two slots is what was written";
        newest.ok_or_else(|| Damage { file, offset: 0, what }.into())
    }

    /// Whether the folder is the one that the configuration means.
    pub fn check(&self, disk: &impl Disk, expected: &Expected) -> Result<(), OpenError> {
        let identity = &self.identity;
        if identity.cluster == expected.cluster && identity.name() == expected.name {
            return Ok(());
        }
        Err(OpenError::Foreign {
            file: disk.describe(FILE),
            found: Box::new(identity.clone()),
            cluster: expected.cluster,
            name: expected.name.clone(),
        })
    }

    /// Counts this start; the boot returned is durable and was never returned before. It is in both
    /// slots by then: whichever is lost later, the other one knows it.
    pub fn next_boot(&self, disk: &mut impl Disk, random: u32) -> Result<Boot, OpenError> {
        let boot = self.boot.next(random);
        // The older slot goes first: until it is durable, the newer one is all there is.
        for generation in [self.generation + 1, self.generation + 2] {
            let next = Superblock { identity: self.identity.clone(), boot, generation };
            let slot = (generation % 2) * SLOT as u64;
            disk.write_at(FILE, slot, &next.encode())
                .and_then(|()| disk.sync(FILE))
                .map_err(|error| WalError::new(disk.describe(FILE), "write", error))?;
        }
        Ok(boot)
    }

    fn encode(&self) -> Vec<u8> {
        let identity = &self.identity;
        let mut bytes = MAGIC.to_vec();
        bytes.extend_from_slice(&[0; 4]);
        bytes.extend_from_slice(&VERSION.to_le_bytes());
        bytes.extend_from_slice(&(identity.members.len() as u32).to_le_bytes());
        for number in [self.generation, identity.cluster.0, identity.node.0, self.boot.0] {
            bytes.extend_from_slice(&number.to_le_bytes());
        }
        for (id, name) in &identity.members {
            bytes.extend_from_slice(&id.0.to_le_bytes());
            bytes.extend_from_slice(&(name.len() as u32).to_le_bytes());
            bytes.extend_from_slice(name.as_bytes());
        }
        assert!(bytes.len() <= SLOT, "the members' names fit into a superblock");
        bytes.resize(SLOT, 0);
        let checksum = crc32c(&bytes[8..]);
        put_u32(&mut bytes, 4, checksum);
        bytes
    }

    fn decode(bytes: &[u8]) -> Result<Superblock, SlotFault> {
        if bytes[0..4] != MAGIC || get_u32(bytes, 4) != crc32c(&bytes[8..]) {
            return Err(SlotFault::Changed);
        }
        match get_u32(bytes, 8) {
            VERSION => {}
            version => return Err(SlotFault::Unsupported(version)),
        }
        let members = read_members(&bytes[FIXED..], get_u32(bytes, 12));
        let identity = Identity {
            cluster: ClusterId(get_u64(bytes, 24)),
            node: NodeId(get_u64(bytes, 32)),
            members: members.ok_or(SlotFault::Changed)?,
        };
        let (generation, boot) = (get_u64(bytes, 16), Boot(get_u64(bytes, 40)));
        Ok(Superblock { identity, boot, generation })
    }
}

/// Why a slot cannot be read.
enum SlotFault {
    Changed,
    Unsupported(u32),
}

fn read_members(mut bytes: &[u8], count: u32) -> Option<BTreeMap<NodeId, String>> {
    let mut members = BTreeMap::new();
    for _ in 0..count {
        let (head, rest) = bytes.split_at_checked(12)?;
        let (name, rest) = rest.split_at_checked(get_u32(head, 8) as usize)?;
        members.insert(NodeId(get_u64(head, 0)), String::from_utf8(name.to_vec()).ok()?);
        bytes = rest;
    }
    Some(members)
}
