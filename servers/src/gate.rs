//! Which frames enter: from this cluster, to this node, undamaged, of the sender's newest boot. Must
//! never judge what a frame says, nor whether its sender is a member: that is for the rules.

use std::collections::BTreeMap;

use bytes::Bytes;
use messages::{Boot, ClusterId, DecodeError, Envelope, NodeId, frame};

use crate::transport::Lane;

/// Senders whose boot is remembered. A cluster has a handful in its life; the limit is there so
/// that made-up ones cannot fill the memory.
const MAX_SENDERS: usize = 4096;

/// Guards one node's entrance, and seals what leaves by it.
#[derive(Debug)]
pub struct Gate {
    cluster: ClusterId,
    own: NodeId,
    newest: BTreeMap<NodeId, Boot>,
    refused: Refused,
}

/// Frames dropped, by reason. Each counts for one reason only: the first that applies, in this
/// order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Refused {
    /// No frame, or one that was cut, grown or damaged on its way.
    pub garbage: u64,
    /// Of a format that this program does not speak.
    pub version: u64,
    /// Of another cluster.
    pub other_cluster: u64,
    /// Meant for another node.
    pub other_receiver: u64,
    /// Claims to come from this very node.
    pub from_myself: u64,
    /// From a run of its sender that a later run has followed.
    pub older_boot: u64,
    /// From one sender more than can be remembered.
    pub too_many_senders: u64,
    /// Undamaged, but its body cannot be read: its sender is newer than this program, or wrong.
    pub body: u64,
}

impl Refused {
    /// All of them together.
    pub fn total(&self) -> u64 {
        let Refused {
            garbage,
            version,
            other_cluster,
            other_receiver,
            from_myself,
            older_boot,
            too_many_senders,
            body,
        } = self;
        garbage
            + version
            + other_cluster
            + other_receiver
            + from_myself
            + older_boot
            + too_many_senders
            + body
    }
}

impl Gate {
    /// The gate of node `own` of `cluster`.
    pub fn new(cluster: ClusterId, own: NodeId) -> Gate {
        Gate { cluster, own, newest: BTreeMap::new(), refused: Refused::default() }
    }

    /// Lets a frame in and tells who sent it, in which run, and what it says; or drops and counts it.
    pub fn admit(&mut self, frame: &Bytes) -> Option<(NodeId, Boot, Vec<Envelope>)> {
        match self.check(frame) {
            Ok(admitted) => Some(admitted),
            Err(reason) => {
                *reason(&mut self.refused) += 1;
                None
            }
        }
    }

    /// Spells a frame from this node, for the gate of `to`.
    pub fn seal(&self, boot: Boot, to: NodeId, lane: Lane, envelopes: &[Envelope]) -> Vec<u8> {
        let lane = match lane {
            Lane::Control => 0,
            Lane::Log => 1,
            Lane::Bulk => 2,
        };
        let header = frame::Header { lane, cluster: self.cluster, from: self.own, boot, to };
        frame::encode(&header, envelopes)
    }

    /// The frames dropped so far.
    pub fn refused(&self) -> Refused {
        self.refused
    }

    fn check(&mut self, frame: &Bytes) -> Result<(NodeId, Boot, Vec<Envelope>), Reason> {
        let header = frame::header(frame).map_err(reason)?;
        if header.cluster != self.cluster {
            return Err(|refused| &mut refused.other_cluster);
        }
        if header.to != self.own {
            return Err(|refused| &mut refused.other_receiver);
        }
        if header.from == self.own {
            return Err(|refused| &mut refused.from_myself);
        }
        let (frame::Header { from, boot, .. }, _) = frame::open(frame).map_err(reason)?;
        self.remember(from, boot)?;
        Ok((from, boot, frame::envelopes(frame).map_err(reason)?))
    }

    /// Refuses boots older than the newest that was seen, and keeps that. Only for undamaged
    /// frames: a flipped bit in a boot would shut its sender out for good.
    fn remember(&mut self, from: NodeId, boot: Boot) -> Result<(), Reason> {
        match self.newest.get(&from) {
            Some(newest) if boot < *newest => return Err(|refused| &mut refused.older_boot),
            None if self.newest.len() >= MAX_SENDERS => {
                return Err(|refused| &mut refused.too_many_senders);
            }
            Some(_) | None => self.newest.insert(from, boot),
        };
        Ok(())
    }
}

/// The counter that a refusal goes to.
type Reason = fn(&mut Refused) -> &mut u64;

fn reason(error: DecodeError) -> Reason {
    match error {
        DecodeError::Short { .. }
        | DecodeError::Magic
        | DecodeError::Long { .. }
        | DecodeError::Length { .. }
        | DecodeError::Checksum => |refused| &mut refused.garbage,
        DecodeError::Version(_) => |refused| &mut refused.version,
        DecodeError::UnknownKind(_) | DecodeError::Body(_) | DecodeError::Trailing => {
            |refused| &mut refused.body
        }
    }
}
