//! Whose folder it is: its superblock through every crash, and how a cluster is founded.

use std::collections::BTreeMap;
use std::io;

use messages::{Boot, ClusterId, NodeId, Term};
use servers::founding::{Founder, demonstration, found, found_cluster};
use servers::storage::{
    self, Disk, Expected, FolderDisk, Identity, OpenError, Options, Owner, Wal,
};
use simulation::{Fate, SimulatedDisk};
use states::{HardState, Write, WriteId};

const SMALL: Options = Options { first_segment: 4096, segment: 4096 };

fn identity() -> Identity {
    let members = [(NodeId(10), "n1".to_owned()), (NodeId(20), "n2".to_owned())];
    Identity { cluster: ClusterId(5), node: NodeId(20), members: BTreeMap::from(members) }
}

fn expected() -> Expected {
    Expected { cluster: ClusterId(5), name: "n2".to_owned() }
}

fn counter(boot: Boot) -> u64 {
    boot.0 >> 32
}

#[test]
fn a_founded_folder_opens_again_and_again_each_time_as_another_boot() {
    let mut disk = SimulatedDisk::new();
    found(&mut disk, &identity(), &SMALL, 1).unwrap();
    disk.crash(|| Fate::Lost);
    let mut boots = Vec::new();
    for seed in 2..10 {
        let opened = storage::open(disk.clone(), &expected(), &SMALL, seed).unwrap();
        assert_eq!(opened.identity, identity());
        boots.push(opened.boot);
        disk.crash(|| Fate::Lost); // the boot was durable
    }
    let counters: Vec<u64> = boots.iter().map(|boot| counter(*boot)).collect();
    assert_eq!(counters, [1, 2, 3, 4, 5, 6, 7, 8]);
}

/// Whatever a crash leaves of the next boot's slot, the folder opens, and no boot comes twice.
#[test]
fn a_torn_slot_falls_back_to_the_other_and_no_boot_comes_twice() {
    for kept in 0..80 {
        let mut disk = SimulatedDisk::new();
        found(&mut disk, &identity(), &SMALL, 1).unwrap();
        let first = storage::open(disk.clone(), &expected(), &SMALL, 2).unwrap().boot;
        // The log's head, its sync, the folder's, the slot that was read and its sync, the next slot.
        disk.fail_after(6, io::ErrorKind::Other);
        let torn = storage::open(disk.clone(), &expected(), &SMALL, 3);
        assert!(matches!(torn, Err(OpenError::Io(_))));
        disk.heal();
        disk.crash(|| Fate::Torn(kept));
        let next = storage::open(disk.clone(), &expected(), &SMALL, 4).unwrap().boot;
        assert!(counter(next) > counter(first), "{kept}");
        let last = storage::open(disk.clone(), &expected(), &SMALL, 5).unwrap().boot;
        assert!(counter(last) > counter(next));
    }
}

/// A sync that failed leaves a slot that can be read and is not durable. The next start must not
/// build on it: after a power failure the other slot would be the only one, and the one beside it two
/// boots behind.
#[test]
fn a_slot_whose_sync_failed_is_not_built_upon() {
    for failing in 0..9 {
        let mut disk = SimulatedDisk::new();
        found(&mut disk, &identity(), &SMALL, 1).unwrap();
        storage::open(disk.clone(), &expected(), &SMALL, 2).unwrap();
        disk.fail_after(failing, io::ErrorKind::Other);
        drop(storage::open(disk.clone(), &expected(), &SMALL, 3));
        disk.heal(); // another process on the same machine
        let newest = storage::open(disk.clone(), &expected(), &SMALL, 4).unwrap().boot;
        disk.crash(|| Fate::Lost);
        for slot in [100, 8192 + 100] {
            let copy = disk.fork();
            copy.corrupt("superblock", slot, |bytes| bytes[0] ^= 0x40);
            let boot = storage::open(copy, &expected(), &SMALL, 5).unwrap().boot;
            assert!(counter(boot) > counter(newest), "boot {} again", counter(boot));
        }
    }
}

#[test]
fn a_slot_that_is_lost_is_not_reused_and_both_lost_is_damage() {
    let mut disk = SimulatedDisk::new();
    found(&mut disk, &identity(), &SMALL, 1).unwrap();
    let boots: Vec<u64> = (2..5)
        .map(|seed| counter(storage::open(disk.clone(), &expected(), &SMALL, seed).unwrap().boot))
        .collect();
    assert_eq!(boots, [1, 2, 3]);
    let slots = [100, 8192 + 100];
    for slot in slots {
        let copy = disk.fork();
        copy.corrupt("superblock", slot, |bytes| bytes[0] ^= 0x40);
        let boot = storage::open(copy, &expected(), &SMALL, 6).unwrap().boot;
        assert!(counter(boot) > 3, "boot {} again", counter(boot));
    }
    for slot in slots {
        disk.corrupt("superblock", slot, |bytes| bytes[0] ^= 0x40);
    }
    let error = storage::open(disk, &expected(), &SMALL, 7).expect_err("both slots are bad");
    assert!(matches!(error, OpenError::Damaged(_)), "{error}");
}

/// A start that found a slot damaged leaves nothing that a second such start could fall behind.
#[test]
fn a_slot_that_is_lost_again_and_again_never_brings_a_boot_back() {
    for lost in [[0, 0, 0], [1, 1, 1], [0, 1, 0], [1, 0, 0]] {
        let mut disk = SimulatedDisk::new();
        found(&mut disk, &identity(), &SMALL, 1).unwrap();
        let mut newest = 0;
        for (seed, slot) in (2..).zip(lost) {
            disk.corrupt("superblock", slot * 8192 + 100, |bytes| bytes[0] ^= 0x40);
            let boot =
                counter(storage::open(disk.clone(), &expected(), &SMALL, seed).unwrap().boot);
            assert!(boot > newest, "slots {lost:?}: boot {boot} after {newest}");
            newest = boot;
        }
    }
}

#[test]
fn a_folder_of_another_node_or_cluster_is_refused_and_not_changed() {
    let mut disk = SimulatedDisk::new();
    found(&mut disk, &identity(), &SMALL, 1).unwrap();
    let before = disk.contents();
    for (cluster, name) in [(5, "n1"), (6, "n2")] {
        let other = Expected { cluster: ClusterId(cluster), name: name.to_owned() };
        let error = storage::open(disk.clone(), &other, &SMALL, 2).expect_err("another's");
        let OpenError::Foreign { found, .. } = &error else { panic!("{error}") };
        assert_eq!(**found, identity());
        assert!(error.to_string().contains("members n1, n2"), "{error}");
    }
    assert_eq!(disk.contents(), before);
}

#[test]
fn an_emptied_folder_is_told_from_a_log_that_was_lost() {
    let empty = storage::open(SimulatedDisk::new(), &expected(), &SMALL, 1);
    assert!(matches!(empty, Err(OpenError::Empty { .. })));
    let mut disk = SimulatedDisk::new();
    found(&mut disk, &identity(), &SMALL, 1).unwrap();
    for name in disk.list().unwrap() {
        if name.ends_with(".log") {
            disk.remove(&name).unwrap();
        }
    }
    let lost = storage::open(disk, &expected(), &SMALL, 1);
    assert!(matches!(lost, Err(OpenError::Damaged(_))));
}

/// A founding that is interrupted at any step can be done again; one that is done cannot.
#[test]
fn founding_is_all_or_nothing() {
    for steps in 0..20 {
        let mut disk = SimulatedDisk::new();
        disk.fail_after(steps, io::ErrorKind::Other);
        let founded = found(&mut disk, &identity(), &SMALL, 1).is_ok();
        disk.heal();
        let mut lots = steps;
        disk.crash(|| {
            lots = (lots * 5 + 3) % 4093;
            if lots % 2 == 0 { Fate::Kept } else { Fate::Torn(lots % 512) }
        });
        match storage::open(disk.clone(), &expected(), &SMALL, 2) {
            Ok(_) => {
                let again = found(&mut disk, &identity(), &SMALL, 3);
                assert!(matches!(again, Err(OpenError::CannotCreate { .. })));
            }
            Err(OpenError::Empty { .. }) => {
                assert!(!founded, "what was founded stays");
                found(&mut disk, &identity(), &SMALL, 3).expect("founded again");
                storage::open(disk, &expected(), &SMALL, 4).expect("a founded folder");
            }
            Err(error) => panic!("after {steps} steps: {error}"),
        }
    }
}

#[test]
fn a_log_without_its_superblock_is_not_founded_over() {
    let mut disk = SimulatedDisk::new();
    let owner = Owner { cluster: ClusterId(5), node: NodeId(20) };
    Wal::create(&mut disk, owner, &SMALL, 1).unwrap();
    let (mut wal, _) = Wal::open(disk.clone(), owner, &SMALL, 2).unwrap();
    let hard_state = HardState { term: Term(1), voted_for: None };
    let write = Write { id: WriteId(1), hard_state, reset: None, entries: vec![] };
    wal.stage(&write).unwrap();
    wal.sync().unwrap();
    let error = found(&mut disk, &identity(), &SMALL, 3).expect_err("a log is there");
    assert!(matches!(error, OpenError::CannotCreate { .. }), "{error}");
}

#[test]
fn founding_a_cluster_gives_each_node_its_folder() {
    let folder = tempfile::tempdir().unwrap();
    let founders: Vec<Founder> = ["1", "2", "3"]
        .map(|name| Founder { name: name.to_owned(), folder: folder.path().join(name) })
        .into();
    let identities = found_cluster(&founders, &SMALL).unwrap();
    assert_eq!(identities.len(), 3);
    for (founder, identity) in founders.iter().zip(&identities) {
        assert_eq!(identity.name(), founder.name);
        assert_eq!(identity.members, identities[0].members);
        assert_eq!(identity.membership().voters.len(), 3);
        let expected = Expected { cluster: identities[0].cluster, name: founder.name.clone() };
        let disk = FolderDisk::open(&founder.folder).unwrap();
        let opened = storage::open(disk, &expected, &SMALL, 5).unwrap();
        assert_eq!(opened.identity, *identity);
        assert_eq!(opened.recovered.entries, []);
    }
    let again = found_cluster(&founders, &SMALL).expect_err("nothing is written over");
    assert!(matches!(again, OpenError::CannotCreate { .. }), "{again}");
}

#[test]
fn nodes_of_a_demonstration_find_each_other_by_their_ports() {
    let first = demonstration(&[4000, 3000, 2000], 4000);
    let second = demonstration(&[2000, 3000, 4000], 3000);
    assert_eq!(first.cluster, second.cluster);
    assert_eq!(first.members, second.members);
    assert_eq!(first.name(), "4000");
    assert_eq!(second.member("4000"), Some(first.node));
    assert_ne!(demonstration(&[4000], 4000).cluster, first.cluster);
    assert_ne!(demonstration(&[4000], 4000).node, first.node);
    // FNV-1a of "2000", "3000" and "4000", each ended by a zero; worked out apart from the code.
    assert_eq!(first.cluster, ClusterId(0x4268_CC2A_6D43_9FF2));
}
