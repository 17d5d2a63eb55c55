//! Links between nodes.

use servers::transport::Lane;
use states::random::SplitMix64;

use crate::network::{Handed, Network, Room, corrupt};

const LINK: (usize, usize) = (0, 1);

fn network() -> Network {
    Network::new(3, false, &mut SplitMix64::new(1))
}

fn held(network: &mut Network, now: u64) -> Vec<u8> {
    network.release(LINK, now).into_iter().map(|(_, frame)| frame[0]).collect()
}

#[test]
fn a_link_is_whole_when_no_partition_cuts_it() {
    let mut network = network();
    let first = network.cut(vec![LINK, (1, 0)]);
    let second = network.cut(vec![LINK]);
    network.heal(first);
    network.heal(first);
    assert!(network.is_cut(LINK) && !network.is_cut((1, 0)));
    network.heal(second);
    assert!(!network.is_cut(LINK));
}

#[test]
fn a_partition_that_flaps_ends_whole() {
    let mut network = network();
    let partition = network.cut(vec![LINK]);
    assert!(network.flap(partition) && !network.is_cut(LINK));
    assert!(network.flap(partition) && network.is_cut(LINK));
    assert!(network.flap(partition));
    network.heal(partition);
    assert!(!network.is_cut(LINK));
    assert!(!network.flap(partition) && !network.is_cut(LINK), "it is over");
}

#[test]
fn a_link_that_is_stuck_delivers_all_in_order_and_later() {
    let mut network = network();
    network.stick(LINK, 100, Room::Endless);
    network.stick(LINK, 10, Room::RefusesNewest(0)); // it is stuck already
    for frame in 1..4 {
        assert_eq!(network.hand(LINK, Lane::Log, vec![frame]), Handed::Held);
    }
    assert_eq!(held(&mut network, 99), []);
    assert_eq!(held(&mut network, 100), [1, 2, 3]);
    assert_eq!(network.hand(LINK, Lane::Log, vec![4]), Handed::Free(vec![4]));
}

#[test]
fn a_full_queue_refuses_the_newest_or_drops_the_oldest() {
    let mut network = network();
    for (room, outcome, kept) in [
        (Room::RefusesNewest(2), Handed::Refused, [1, 2]),
        (Room::DropsOldest(2), Handed::Held, [2, 3]),
    ] {
        network.stick(LINK, 100, room);
        for frame in 1..3 {
            assert_eq!(network.hand(LINK, Lane::Log, vec![frame]), Handed::Held);
        }
        assert_eq!(network.hand(LINK, Lane::Log, vec![3]), outcome);
        assert_eq!(held(&mut network, 100), kept);
    }
}

#[test]
fn a_process_takes_its_queues_with_it_and_not_what_is_on_the_way() {
    let mut network = network();
    for (room, left) in [(Room::Endless, &[1][..]), (Room::DropsOldest(9), &[])] {
        network.stick(LINK, 100, room);
        network.hand(LINK, Lane::Log, vec![1]);
        network.forget_queues(0);
        assert_eq!(held(&mut network, 100), left);
    }
}

#[test]
fn frames_of_a_node_are_recalled_once() {
    let mut network = network();
    network.remember(LINK, vec![1]);
    network.remember((1, 2), vec![2]);
    assert_eq!(network.recall(0), [(1, vec![1])]);
    assert_eq!(network.recall(0), []);
    assert_eq!(network.recall(2), [(2, vec![2])]);
}

#[test]
fn a_corrupt_frame_is_another() {
    let mut random = SplitMix64::new(7);
    let frame = vec![0x55; 60];
    for _ in 0..2_000 {
        assert_ne!(corrupt(&mut random, frame.clone()), frame);
    }
}
