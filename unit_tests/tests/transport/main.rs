//! What every transport promises (`servers::transport`), asked of each: the one in memory, ZeroMQ and
//! plain TCP on real sockets. `sockets` is about what only sockets meet, `changes` about connections;
//! `zeromq` and `tcp` about what only those do.

mod changes;
mod sockets;
mod tcp;
mod zeromq;

use std::future::poll_fn;
use std::net::SocketAddr;
use std::task::Poll;
use std::time::Duration;

use messages::NodeId;
use servers::transport::memory::Hub;
use servers::transport::tcp::Tcp;
use servers::transport::zeromq::ZeroMq;
use servers::transport::{Lane, MAX_FRAME, OpenError, Sent, Transport, readable};
use tokio::time::timeout;
use unit_tests::ports::Ports;

/// All of them, the most urgent first.
const LANES: [Lane; 3] = [Lane::Control, Lane::Log, Lane::Bulk];

const A: NodeId = NodeId(0xa);
const B: NodeId = NodeId(0xb);

/// Long enough for anything that should happen at all, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long a test looks at something that should not happen: several heartbeats of ZeroMQ.
const A_WHILE: Duration = Duration::from_millis(700);
/// Between two tries at something that raises no event.
const PACE: Duration = Duration::from_millis(2);

/// Where two nodes live, so that one of them can come back at its place.
enum Place {
    Memory(Hub),
    ZeroMq(Ports),
    Tcp(Ports),
}

impl Place {
    fn memory() -> Place {
        Place::Memory(Hub::new())
    }

    fn zeromq() -> Place {
        Place::ZeroMq(Ports::claim())
    }

    fn tcp() -> Place {
        Place::Tcp(Ports::claim())
    }

    fn open(&self, id: NodeId) -> Box<dyn Transport> {
        let other = if id == A { B } else { A };
        let address = |id: NodeId| self.address(id).to_string();
        match self {
            Place::Memory(hub) => Box::new(hub.join(id)),
            Place::ZeroMq(_) => {
                Box::new(ZeroMq::open(id, &address(id), [(other, address(other))]).expect("opened"))
            }
            Place::Tcp(_) => {
                Box::new(Tcp::open(id, &address(id), [(other, address(other))]).expect("opened"))
            }
        }
    }

    /// Where a node listens.
    fn address(&self, id: NodeId) -> SocketAddr {
        match self {
            Place::Memory(_) => panic!("memory has no addresses"),
            Place::ZeroMq(ports) | Place::Tcp(ports) => ports.address(u16::from(id != A)),
        }
    }

    /// What a lane may take for a peer that never reads, bytes.
    fn bound(&self) -> u64 {
        const BACKLOG: u64 = MAX_FRAME as u64;
        match self {
            Place::Memory(_) => 2 * BACKLOG,
            // 64 frames at the sending end and 1024 at the other.
            Place::ZeroMq(_) => (64 + 1_024) * (64 << 10) + BACKLOG + kernels(),
            Place::Tcp(_) => BACKLOG + kernels(),
        }
    }

    /// Two nodes that have heard each other on all lanes.
    async fn open_both(&self) -> (Box<dyn Transport>, Box<dyn Transport>) {
        let (mut a, mut b) = (self.open(A), self.open(B));
        for lane in LANES {
            meet(&mut *a, B, &mut *b, lane).await;
            meet(&mut *b, A, &mut *a, lane).await;
        }
        (a, b)
    }
}

/// What the kernel keeps for a connection at most, both ends together.
fn kernels() -> u64 {
    let settings = std::fs::read_to_string("/proc/sys/net/ipv4/tcp_rmem").expect("Linux");
    let most = settings.split_whitespace().last().and_then(|number| number.parse::<u64>().ok());
    most.expect("three numbers") + (2 << 20)
}

/// Runs a test as a node runs: on one thread.
fn run(test: impl Future<Output = ()>) {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async { timeout(PATIENCE * 2, test).await.expect("no test takes so long") });
}

/// Asks a promise of each of these transports.
macro_rules! ask {
    ($promise:ident of $($transport:ident),+) => {
        mod $promise {
            $(
                #[test]
                fn $transport() {
                    crate::run(super::$promise(crate::Place::$transport()));
                }
            )+
        }
    };
}
use ask;

fn numbered(number: u64) -> Vec<u8> {
    number.to_le_bytes().to_vec()
}

fn number_of(frame: &[u8]) -> u64 {
    u64::from_le_bytes(*frame.first_chunk().expect("a number"))
}

/// The next frame, if one comes within that time.
async fn next_within(transport: &mut dyn Transport, time: Duration) -> Option<Vec<u8>> {
    let frame = async {
        loop {
            if let Some(frame) = transport.receive() {
                return frame.to_vec();
            }
            readable(transport).await;
        }
    };
    timeout(time, frame).await.ok()
}

/// The next frame; there must be one.
async fn next(transport: &mut dyn Transport) -> Vec<u8> {
    next_within(transport, PATIENCE).await.expect("a frame arrives")
}

/// The next frame within a while, for what `from` has not sent yet: it is in the middle of its turns.
async fn next_from(from: &mut dyn Transport, at: &mut dyn Transport) -> Option<Vec<u8>> {
    for _ in 0..A_WHILE.as_millis() / PACE.as_millis() {
        from.flush();
        if let Some(frame) = next_within(at, PACE).await {
            return Some(frame);
        }
    }
    None
}

/// Greets until a greeting arrives, and takes all greetings off the wire.
async fn meet(from: &mut dyn Transport, to: NodeId, at: &mut dyn Transport, lane: Lane) {
    let mut under_way = 0;
    let greet = async {
        loop {
            under_way += u32::from(from.send(to, lane, b"greeting".to_vec()) == Sent::Queued);
            from.flush();
            if next_within(at, PACE).await.is_some() {
                return;
            }
        }
    };
    timeout(PATIENCE, greet).await.expect("the peers meet");
    for _ in 1..under_way {
        assert_eq!(next(at).await, b"greeting");
    }
}

/// Sends `total` numbered frames, each again for as long as it is dropped, and takes what arrives:
/// every number, once, in order.
async fn stream(a: &mut dyn Transport, b: &mut dyn Transport, lane: Lane, total: u64) {
    let (mut sent, mut received) = (0, 0);
    while received < total {
        while sent < total && a.send(B, lane, numbered(sent)) == Sent::Queued {
            sent += 1;
        }
        a.flush();
        while let Some(frame) = b.receive() {
            assert_eq!(number_of(&frame), received, "in order, none missing, none twice");
            received += 1;
        }
        if received < sent {
            let _ = timeout(PACE, readable(b)).await;
        }
    }
    assert_eq!(sent, total);
    assert!(b.receive().is_none(), "nothing more than was sent");
}

/// Sends frames of 64 KiB, numbered from zero, until one is dropped; how many were not.
fn fill(a: &mut dyn Transport, lane: Lane) -> u64 {
    for number in 0.. {
        let mut frame = numbered(number);
        frame.resize(64 << 10, 0);
        if a.send(B, lane, frame) == Sent::Dropped {
            return number;
        }
        assert!(number < 4_000, "256 MiB and no end");
    }
    unreachable!("the loop ends by returning")
}

async fn order_is_kept_within_a_lane(place: Place) {
    let (mut a, mut b) = place.open_both().await;
    for lane in LANES {
        stream(&mut *a, &mut *b, lane, 10_000).await;
    }
}

ask!(order_is_kept_within_a_lane of memory, zeromq, tcp);

async fn a_full_lane_holds_no_more_urgent_one_back(place: Place) {
    for full in [Lane::Log, Lane::Bulk] {
        for urgent in LANES.into_iter().filter(|lane| *lane < full) {
            let (mut a, mut b) = place.open_both().await;
            passes_a_full_lane(&mut *a, &mut *b, full, urgent).await;
        }
    }
}

async fn passes_a_full_lane(
    a: &mut dyn Transport,
    b: &mut dyn Transport,
    full: Lane,
    urgent: Lane,
) {
    let filled = fill(a, full);
    assert_eq!(a.send(B, urgent, b"urgent".to_vec()), Sent::Queued);
    let mut before = 0;
    while next_from(a, b).await.expect("urgent arrives") != b"urgent" {
        before += 1;
    }
    let mut after = 0;
    while before + after < filled {
        a.flush();
        after += u64::from(next_within(b, PACE).await.is_some());
    }
    assert!(after > 0, "{urgent:?} came after all {before} that {full:?} had taken before it");
}

ask!(a_full_lane_holds_no_more_urgent_one_back of memory, zeromq, tcp);

async fn a_peer_that_never_reads_costs_no_more_than_its_bound(place: Place) {
    for lane in [Lane::Log, Lane::Bulk] {
        never_read(&place, lane).await;
    }
}

async fn never_read(place: &Place, lane: Lane) {
    let bound = place.bound();
    let (mut a, mut b) = place.open_both().await;
    let before = a.counts();
    let mut taken = fill(&mut *a, lane);
    let mut dropped = 1;
    // ZeroMQ ends a connection that nobody reads, after a second; the bound is of one connection.
    while dropped < 500 && a.counts().unconnected == before.unconnected {
        a.flush();
        match a.send(B, lane, vec![0xff; 64 << 10]) {
            Sent::Queued => taken += 1,
            Sent::Dropped => dropped += 1,
        }
        let _ = timeout(PACE / 4, readable(&mut *a)).await;
    }
    assert!(taken * (64 << 10) <= bound, "{taken} frames of 64 KiB were taken");
    let counts = a.counts();
    assert_eq!(
        counts.full - before.full + counts.unconnected - before.unconnected,
        dropped,
        "each drop is counted"
    );
    assert!(counts.full > before.full);

    // What arrives once the peer reads is in order; the last ones bear no number.
    let mut last = 0;
    while let Some(frame) = next_from(&mut *a, &mut *b).await {
        assert!(number_of(&frame) >= last, "{} after {last}", number_of(&frame));
        last = number_of(&frame);
    }
    assert!(last > 0);
    stream(&mut *a, &mut *b, lane, 100).await;
}

ask!(a_peer_that_never_reads_costs_no_more_than_its_bound of memory, zeromq, tcp);

async fn nothing_stale_reaches_a_peer_that_returns(place: Place) {
    for lane in [Lane::Log, Lane::Bulk] {
        goes_and_returns(&place, lane).await;
    }
}

async fn goes_and_returns(place: &Place, lane: Lane) {
    const FRESH: u64 = 1_000_000;
    let (mut a, b) = place.open_both().await;
    // It goes with frames at every stage: unread, in the kernel, in queues, in the backlog.
    fill(&mut *a, lane);
    drop(b);

    let mut dropped_in_a_row = 0;
    for number in 10_000.. {
        match a.send(B, lane, numbered(number)) {
            Sent::Dropped => dropped_in_a_row += 1,
            Sent::Queued => dropped_in_a_row = 0,
        }
        let left = a.flush();
        if dropped_in_a_row >= 500 && !left {
            break;
        }
        let _ = timeout(PACE / 4, readable(&mut *a)).await;
    }

    let mut b = place.open(B);
    let mut number = FRESH;
    let first = loop {
        let _ = a.send(B, lane, numbered(number));
        a.flush();
        number += 1;
        if let Some(frame) = next_within(&mut *b, PACE).await {
            break number_of(&frame);
        }
    };
    assert!(first >= FRESH, "frame {first} was sent before the peer returned");
    let mut last = first;
    while let Some(frame) = next_within(&mut *b, A_WHILE).await {
        assert!(number_of(&frame) > last, "{} after {last}", number_of(&frame));
        last = number_of(&frame);
    }
    stream(&mut *a, &mut *b, lane, 100).await;
}

ask!(nothing_stale_reaches_a_peer_that_returns of memory, zeromq, tcp);

async fn who_is_not_there_is_sent_nothing(place: Place) {
    let mut a = place.open(A);
    for number in 0..100 {
        assert_eq!(a.send(B, Lane::Control, numbered(number)), Sent::Dropped, "not there");
        assert_eq!(a.send(NodeId(99), Lane::Log, numbered(number)), Sent::Dropped, "unknown");
    }
    assert!(!a.flush(), "nothing waits");
    assert_eq!(a.counts().unconnected, 200);
}

ask!(who_is_not_there_is_sent_nothing of memory, zeromq, tcp);

async fn the_largest_frame_passes_and_none_larger(place: Place) {
    let (mut a, mut b) = place.open_both().await;
    let largest: Vec<u8> = (0..MAX_FRAME).map(|place| (place % 251) as u8).collect();
    for (lane, refused) in LANES.into_iter().zip(1..) {
        assert_eq!(a.send(B, lane, vec![7; MAX_FRAME + 1]), Sent::Dropped);
        assert_eq!(a.counts().oversize, refused);
        assert_eq!(a.send(B, lane, largest.clone()), Sent::Queued);
        let arrived = next_from(&mut *a, &mut *b).await;
        assert!(arrived.is_some_and(|frame| frame == largest), "it arrives as it was sent");
        assert_eq!(a.send(B, lane, Vec::new()), Sent::Queued);
        assert_eq!(next(&mut *b).await, b"", "the smallest, too");
    }
}

ask!(the_largest_frame_passes_and_none_larger of memory, zeromq, tcp);

/// Waits for a frame; how often the waiting task ran, and how often it ran for nothing.
async fn next_counting(transport: &mut dyn Transport) -> (u32, u32) {
    let (mut polls, mut in_vain) = (0, 0);
    loop {
        poll_fn(|context| {
            polls += 1;
            transport.poll_readable(context)
        })
        .await;
        match transport.receive() {
            Some(_) => return (polls, in_vain),
            None => in_vain += 1,
        }
    }
}

/// Takes all there is, until nothing more comes for a while.
async fn settle(transport: &mut dyn Transport) {
    loop {
        while transport.receive().is_some() {}
        while transport.change().is_some() {}
        if timeout(A_WHILE / 4, readable(transport)).await.is_err() {
            return;
        }
    }
}

async fn waiting_costs_nothing(place: Place) {
    let (mut a, mut b) = place.open_both().await;
    settle(&mut *b).await; // its connection to the other stands, which is news
    let (mut polls, mut in_vain) = (0, 0);
    for number in 0..300 {
        // The first poll finds nothing, so that each frame is truly waited for.
        let early = poll_fn(|context| Poll::Ready(b.poll_readable(context))).await;
        assert!(early.is_pending(), "ready before frame {number} was sent");
        assert_eq!(a.send(B, Lane::Control, numbered(number)), Sent::Queued);
        let (more, more_in_vain) = next_counting(&mut *b).await;
        polls += more;
        in_vain += more_in_vain;
    }
    assert!(polls <= 4 * 300, "{polls} polls for 300 frames");
    assert_eq!(in_vain, 0, "ready without a frame");

    let mut polls = 0;
    let idle = poll_fn(|context| {
        polls += 1;
        b.poll_readable(context)
    });
    assert!(timeout(A_WHILE, idle).await.is_err(), "readable, but nothing was sent");
    assert!(polls <= 4, "{polls} polls while nothing was sent");
}

ask!(waiting_costs_nothing of memory, zeromq, tcp);

/// A full lane is for the next turn to try again, not for the wait.
async fn a_wait_beside_a_full_lane_costs_nothing(place: Place) {
    let (mut a, _b) = place.open_both().await;
    fill(&mut *a, Lane::Log);
    let _ = timeout(A_WHILE, readable(&mut *a)).await; // whatever still moves in the kernel
    let mut polls = 0;
    let full = poll_fn(|context| {
        polls += 1;
        a.poll_readable(context)
    });
    assert!(timeout(A_WHILE, full).await.is_err(), "readable, but nothing was sent to it");
    assert!(polls <= 8, "{polls} polls while nothing moved");
}

ask!(a_wait_beside_a_full_lane_costs_nothing of memory, zeromq, tcp);

/// What has arrived but was not taken in one turn is still announced in the next.
async fn what_is_left_is_announced_again(place: Place) {
    let (mut a, mut b) = place.open_both().await;
    settle(&mut *b).await;
    for number in 0..20 {
        assert_eq!(a.send(B, Lane::Log, numbered(number)), Sent::Queued);
    }
    for number in 0..20 {
        timeout(PATIENCE, readable(&mut *b)).await.expect("readable again");
        let frame = b.receive().expect("readable means that there is one");
        assert_eq!(number_of(&frame), number);
    }
}

ask!(what_is_left_is_announced_again of memory, zeromq, tcp);

/// A node that stands still is cut off, then connected to anew, while frames of the old connection
/// still wait for it. Those must not come between newer ones.
async fn order_is_kept_across_a_reconnect(place: Place) {
    for lane in [Lane::Log, Lane::Bulk] {
        cut_off_and_connected_anew(&place, lane).await;
    }
}

async fn cut_off_and_connected_anew(place: &Place, lane: Lane) {
    let (mut a, mut b) = place.open_both().await;
    let unconnected = a.counts().unconnected;
    let mut number = fill(&mut *a, lane);
    while a.counts().unconnected == unconnected {
        a.flush();
        let _ = timeout(PACE, readable(&mut *a)).await;
        let _ = a.send(B, lane, numbered(number));
        number += 1;
    }
    let newer = number;
    assert!(newer > 64, "the old connection leaves frames unread");
    let mut taken = 0;
    while taken < 50 {
        taken += u32::from(a.send(B, lane, numbered(number)) == Sent::Queued);
        number += 1;
        let _ = timeout(PACE, readable(&mut *b)).await; // it looks, but takes nothing
        let _ = timeout(PACE, readable(&mut *a)).await;
    }
    let mut last = number_of(&next(&mut *b).await);
    while let Some(frame) = next_from(&mut *a, &mut *b).await {
        assert!(number_of(&frame) > last, "{} after {last}", number_of(&frame));
        last = number_of(&frame);
    }
    assert!(last >= newer, "frame {last} of the old connection");
}

ask!(order_is_kept_across_a_reconnect of zeromq, tcp);

#[test]
fn memory_connects_threads() {
    let hub = Hub::new();
    let (mut a, mut b) = (hub.join(A), hub.join(B));
    let echo = std::thread::spawn(move || {
        run(async {
            for _ in 0..1_000 {
                let frame = next(&mut b).await;
                assert_eq!(b.send(A, Lane::Log, frame), Sent::Queued);
            }
        });
    });
    run(async {
        for number in 0..1_000 {
            assert_eq!(a.send(B, Lane::Log, numbered(number)), Sent::Queued);
            assert_eq!(number_of(&next(&mut a).await), number);
        }
    });
    echo.join().expect("the other thread is content");
}

#[test]
fn memory_knows_the_latest_of_one_name() {
    run(async {
        let hub = Hub::new();
        let (mut a, mut old) = (hub.join(A), hub.join(B));
        let mut new = hub.join(B);
        assert_eq!(a.send(B, Lane::Log, b"news".to_vec()), Sent::Queued);
        assert!(old.receive().is_none());
        assert_eq!(next(&mut new).await, b"news");
        drop(old);
        assert_eq!(a.send(B, Lane::Log, b"more".to_vec()), Sent::Queued, "the new one stays");
        drop(new);
        assert_eq!(a.send(B, Lane::Log, b"late".to_vec()), Sent::Dropped);
    });
}
