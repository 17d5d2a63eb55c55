//! The gate: what enters, what is dropped, and what each drop is counted as.

mod frozen;

use bytes::Bytes;
use messages::frame;
use messages::{
    Boot, ClusterId, Content, Envelope, GroupId, Heartbeat, LogIndex, Message, NodeId, Round, Term,
};
use servers::gate::{Gate, Refused};
use servers::transport::Lane;

const CLUSTER: ClusterId = ClusterId(0x1122_3344_5566_7788);
const SENDER: NodeId = NodeId(1);
const RECEIVER: NodeId = NodeId(2);
/// The offset of the boot in a header (docs/wire.md).
const BOOT_AT: usize = 24;

fn sender() -> Gate {
    Gate::new(CLUSTER, SENDER)
}

fn receiver() -> Gate {
    Gate::new(CLUSTER, RECEIVER)
}

fn envelopes() -> Vec<Envelope> {
    let heartbeat = Heartbeat { round: Round(99), commit: LogIndex(70_000) };
    let content = Content::Raft { term: Term(7), message: Message::Heartbeat(heartbeat) };
    vec![Envelope { group: GroupId(0), content }]
}

/// A frame from the sender's boot to the receiver.
fn sealed(boot: u64) -> Vec<u8> {
    sender().seal(Boot(boot), RECEIVER, Lane::Control, &envelopes())
}

#[track_caller]
fn admits(gate: &mut Gate, boot: u64) {
    let before = gate.refused();
    assert_eq!(gate.admit(&sealed(boot).into()), Some((SENDER, Boot(boot), envelopes())));
    assert_eq!(gate.refused(), before);
}

/// Checks that the frame is dropped and counted once, as `reason`.
#[track_caller]
fn drops(gate: &mut Gate, frame: &[u8], reason: fn(&mut Refused) -> &mut u64) {
    let mut expected = gate.refused();
    *reason(&mut expected) += 1;
    assert_eq!(gate.admit(&Bytes::copy_from_slice(frame)), None);
    assert_eq!(gate.refused(), expected);
}

#[test]
fn seals_as_frozen_on_both_lanes() {
    let frozen = frozen::read(include_str!("frozen/frames.txt"));
    let boot = 5 << 32 | 0xdead_beef;
    assert_eq!(sealed(boot), frozen["frame/control"]);
    let log = sender().seal(Boot(boot), RECEIVER, Lane::Log, &envelopes());
    assert_eq!(frame::header(&log).map(|header| header.lane), Ok(1));
}

#[test]
fn what_is_meant_for_this_node_enters() {
    let mut gate = receiver();
    admits(&mut gate, 1);
    admits(&mut gate, 1); // Frames may come twice; the rules bear that.
    assert_eq!(gate.refused(), Refused::default());
    assert_eq!(gate.refused().total(), 0);
    let empty = sender().seal(Boot(1), RECEIVER, Lane::Log, &[]);
    assert_eq!(gate.admit(&empty.into()), Some((SENDER, Boot(1), vec![])));
}

#[test]
fn what_is_not_is_dropped_and_counted_by_reason() {
    let mut gate = receiver();
    let good = sealed(1);
    for garbage in [&b""[..], b"GET / HTTP/1.1\r\n\r\n", &[0; 48], &[255; 1000]] {
        drops(&mut gate, garbage, |refused| &mut refused.garbage);
    }
    drops(&mut gate, &good[..good.len() - 1], |refused| &mut refused.garbage);
    drops(&mut gate, &[&good[..], b"\0"].concat(), |refused| &mut refused.garbage);
    let mut version = good.clone();
    version[4] = 2;
    drops(&mut gate, &version, |refused| &mut refused.version);

    let stranger = Gate::new(ClusterId(1), SENDER);
    let frame = stranger.seal(Boot(1), RECEIVER, Lane::Log, &envelopes());
    drops(&mut gate, &frame, |refused| &mut refused.other_cluster);
    let frame = sender().seal(Boot(1), NodeId(3), Lane::Log, &envelopes());
    drops(&mut gate, &frame, |refused| &mut refused.other_receiver);
    let frame = receiver().seal(Boot(1), RECEIVER, Lane::Log, &envelopes());
    drops(&mut gate, &frame, |refused| &mut refused.from_myself);
    assert_eq!(gate.refused().total(), 10);
}

#[test]
fn the_header_decides_before_the_checksum_and_that_before_the_body() {
    let mut gate = receiver();
    let mut damaged = sender().seal(Boot(1), NodeId(3), Lane::Log, &envelopes());
    *damaged.last_mut().unwrap() ^= 1;
    drops(&mut gate, &damaged, |refused| &mut refused.other_receiver);
    let mut damaged = Gate::new(ClusterId(1), SENDER).seal(Boot(1), NodeId(3), Lane::Log, &[]);
    *damaged.last_mut().unwrap() ^= 1;
    drops(&mut gate, &damaged, |refused| &mut refused.other_cluster);
    // To the reader of MessagePack it would be a list that is cut short.
    let mut damaged = sealed(1);
    damaged[frame::HEADER] = 0x9f;
    drops(&mut gate, &damaged, |refused| &mut refused.garbage);
}

#[test]
fn every_flipped_bit_is_dropped() {
    let mut gate = receiver();
    let good = sealed(1);
    for bit in 0..good.len() * 8 {
        let mut flipped = good.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(gate.admit(&flipped.into()), None, "bit {bit}");
    }
    assert_eq!(gate.refused().total(), good.len() as u64 * 8);
    admits(&mut gate, 1);
}

#[test]
fn older_boots_are_dropped_sender_by_sender() {
    let mut gate = receiver();
    admits(&mut gate, 5);
    drops(&mut gate, &sealed(4), |refused| &mut refused.older_boot);
    admits(&mut gate, 5);
    admits(&mut gate, 6);
    drops(&mut gate, &sealed(5), |refused| &mut refused.older_boot);

    let other = Gate::new(CLUSTER, NodeId(9)).seal(Boot(1), RECEIVER, Lane::Log, &envelopes());
    assert_eq!(gate.admit(&other.into()), Some((NodeId(9), Boot(1), envelopes())));
    admits(&mut gate, 6);
}

#[test]
fn a_damaged_frame_teaches_no_boot() {
    let mut gate = receiver();
    admits(&mut gate, 5);
    let mut damaged = sealed(5);
    damaged[BOOT_AT + 7] = 0xff;
    drops(&mut gate, &damaged, |refused| &mut refused.garbage);
    admits(&mut gate, 5);
}

#[test]
fn an_undamaged_frame_teaches_its_boot_even_if_its_body_cannot_be_read() {
    let refused = frozen::read(include_str!("frozen/refused.txt"));
    for frame in refused.values() {
        let mut gate = receiver();
        admits(&mut gate, 1);
        drops(&mut gate, frame, |refused| &mut refused.body);
        let boot_of_the_frame = 5 << 32 | 0xdead_beef;
        drops(&mut gate, &sealed(boot_of_the_frame - 1), |refused| &mut refused.older_boot);
        admits(&mut gate, boot_of_the_frame);
    }
}

#[test]
fn made_up_senders_do_not_fill_the_memory() {
    let mut gate = receiver();
    let from = |id| Gate::new(CLUSTER, NodeId(id)).seal(Boot(7), RECEIVER, Lane::Control, &[]);
    for id in 10..10 + 4096 {
        assert!(gate.admit(&from(id).into()).is_some());
    }
    drops(&mut gate, &from(9999), |refused| &mut refused.too_many_senders);
    assert!(gate.admit(&from(10).into()).is_some(), "those who are known are heard");
    assert_eq!(gate.refused().total(), 1);
}

#[test]
fn the_total_counts_each_reason() {
    let refused = Refused {
        garbage: 1,
        version: 10,
        other_cluster: 100,
        other_receiver: 1_000,
        from_myself: 10_000,
        older_boot: 100_000,
        too_many_senders: 1_000_000,
        body: 10_000_000,
    };
    assert_eq!(refused.total(), 11_111_111);
}
