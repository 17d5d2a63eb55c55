//! Whole nodes on threads of their own: real clocks, real files, a transport in memory or on sockets.
//! What the rules do is tested elsewhere; here it is the wiring, and that nothing is left behind.

use std::collections::BTreeMap;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, mpsc};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use bytes::Bytes;
use messages::{
    Boot, ClusterId, Content, Envelope, GroupId, LogIndex, LogPosition, Message, NodeId, Operation,
    RequestVote, Term, frame,
};
use servers::founding::{Founder, found, found_cluster};
use servers::gate::Gate;
use servers::host::{Batch, NoSnapshot, Outcome};
use servers::keeping::Keeping;
use servers::mailbox::Mailbox;
use servers::node::{Network, Node, NodeSettings, StartError};
use servers::run::{Driver, Parts, now, wall};
use servers::server::{Server, Settings};
use servers::sessions::Sessions;
use servers::storage::{self, Expected, Identity, Writer};
use servers::transport::memory::Hub;
use servers::transport::{Change, Counts, Lane, Sent, Transport};
use simulation::SimulatedDisk;
use states::{Config, Log, Micros, Replica, Role, WallTime};
use tempfile::TempDir;
use unit_tests::counter::Counter;
use unit_tests::ports::Ports;

/// Far more than anything here takes; only a failure waits for it.
const PATIENCE: Duration = Duration::from_secs(20);

/// Data folders of a founded cluster, and how its nodes find each other.
struct Cluster {
    folder: TempDir,
    identities: Vec<Identity>,
    hub: Hub,
}

impl Cluster {
    fn found(count: usize) -> Cluster {
        let folder = TempDir::new().unwrap();
        let founders: Vec<Founder> = (1..=count)
            .map(|number| Founder {
                name: number.to_string(),
                folder: folder.path().join(number.to_string()),
            })
            .collect();
        let identities = found_cluster(&founders, &storage::Options::default()).unwrap();
        Cluster { folder, identities, hub: Hub::new() }
    }

    fn settings(&self, number: usize, network: Network) -> NodeSettings {
        let cluster = self.identities[number - 1].cluster;
        NodeSettings {
            folder: self.folder.path().join(number.to_string()),
            expected: Expected { cluster, name: number.to_string() },
            log: storage::Options::default(),
            network,
            config: Config::default(),
            client_timeout: Micros(10_000_000),
            snapshot_bytes: 16 << 20,
            snapshot_rate: 12 << 20,
            waiting_bytes: 64 << 20,
            on_leadership: Box::new(|_| {}),
        }
    }

    fn start(&self, number: usize) -> Node {
        let settings = self.settings(number, Network::Memory(self.hub.clone()));
        Node::start(settings, Counter::default(), |_| async {}).unwrap()
    }

    fn start_all(&self) -> Vec<Node> {
        (1..=self.identities.len()).map(|number| self.start(number)).collect()
    }
}

fn block_on<F: Future>(future: F) -> F::Output {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(async { tokio::time::timeout(PATIENCE, future).await.expect("in time") })
}

fn batch(operations: Vec<Operation>) -> Batch {
    Batch { arrived: now(), operations, stale: false }
}

fn add() -> Operation {
    Operation::Command(Bytes::from_static(b"add"))
}

fn count() -> Operation {
    Operation::Query(Bytes::from_static(b"count"))
}

/// The replies, as text.
fn submit(mailbox: &Mailbox, operations: Vec<Operation>) -> Vec<String> {
    match block_on(mailbox.submit(batch(operations))) {
        Outcome::Done { replies, .. } => {
            replies.iter().map(|reply| String::from_utf8(reply.to_vec()).unwrap()).collect()
        }
        other => panic!("not done: {other:?}"),
    }
}

fn leader(node: &Node) -> NodeId {
    let mut leadership = node.mailbox().leadership();
    let known = block_on(leadership.wait_for(|leadership| leadership.leader.is_some()));
    known.unwrap().leader.unwrap()
}

#[test]
fn a_node_alone_elects_itself_and_answers() {
    let cluster = Cluster::found(1);
    let node = cluster.start(1);
    assert_eq!(submit(node.mailbox(), vec![count(), add(), count()]), ["0", "1", "1"]);
    let status = node.status();
    assert_eq!(status.role, Role::Leader);
    assert_eq!(status.leader, Some(node.identity().node));
    assert_eq!(status.applied_index, LogIndex(2), "the blank entry and the batch");
    node.shutdown().unwrap();
}

#[test]
fn three_nodes_answer_at_any_of_them() {
    let cluster = Cluster::found(3);
    let nodes = cluster.start_all();
    for (place, node) in nodes.iter().enumerate() {
        let expected = (place + 1).to_string();
        assert_eq!(submit(node.mailbox(), vec![add()]), [expected]);
    }
    for node in &nodes {
        assert_eq!(submit(node.mailbox(), vec![count()]), ["3"]);
        assert_eq!(leader(node), leader(&nodes[0]));
    }
}

#[test]
fn many_clients_at_once_lose_and_double_nothing() {
    let cluster = Cluster::found(3);
    let nodes = cluster.start_all();
    let clients: Vec<_> = (0..24)
        .map(|client| {
            let mailbox = nodes[client % 3].mailbox().clone();
            std::thread::spawn(move || {
                for _ in 0..25 {
                    submit(&mailbox, vec![add()]);
                }
            })
        })
        .collect();
    for client in clients {
        client.join().unwrap();
    }
    assert_eq!(submit(nodes[0].mailbox(), vec![count()]), ["600"]);
}

#[test]
fn another_node_takes_over_and_nothing_is_lost() {
    let cluster = Cluster::found(3);
    let mut nodes = cluster.start_all();
    submit(nodes[0].mailbox(), vec![add(), add()]);
    let first = leader(&nodes[0]);
    let place = nodes.iter().position(|node| node.identity().node == first).unwrap();
    nodes.remove(place).shutdown().unwrap();
    assert_eq!(submit(nodes[0].mailbox(), vec![add()]), ["3"]);
    let back = cluster.start(place + 1);
    assert_eq!(submit(back.mailbox(), vec![count()]), ["3"]);
}

#[test]
fn a_node_goes_on_from_its_disk_in_a_later_boot() {
    let cluster = Cluster::found(1);
    let node = cluster.start(1);
    submit(node.mailbox(), vec![add(), add()]);
    let (boot, term) = (node.boot(), node.status().term);
    node.shutdown().unwrap();
    let node = cluster.start(1);
    assert_eq!(submit(node.mailbox(), vec![count()]), ["2"]);
    assert!(node.boot() > boot);
    assert!(node.status().term > term);
}

#[test]
fn a_stopped_node_answers_so_and_frees_its_folder() {
    let cluster = Cluster::found(1);
    let node = cluster.start(1);
    submit(node.mailbox(), vec![add()]);
    let mailbox = node.mailbox().clone();
    let begun = Instant::now();
    node.shutdown().unwrap();
    assert!(begun.elapsed() < Duration::from_secs(5), "the contract's limit (section 6)");
    assert_eq!(block_on(mailbox.submit(batch(vec![add()]))), Outcome::Stopped);
    drop(cluster.start(1)); // the folder is not locked; dropping stops it
    drop(cluster.start(1));
}

/// "Finish what is in flight": nobody who was let in is left uncertain.
#[test]
fn a_stop_finishes_what_is_under_way() {
    let cluster = Cluster::found(1);
    let node = cluster.start(1);
    submit(node.mailbox(), vec![add()]);
    let (say, said) = mpsc::channel();
    let clients: Vec<_> = (0..8)
        .map(|_| {
            let (mailbox, say) = (node.mailbox().clone(), say.clone());
            std::thread::spawn(move || {
                loop {
                    match block_on(mailbox.submit(batch(vec![add()]))) {
                        Outcome::Done { .. } => say.send(()).unwrap(),
                        other => return other,
                    }
                }
            })
        })
        .collect();
    for _ in 0..40 {
        said.recv_timeout(PATIENCE).unwrap();
    }
    node.shutdown().unwrap();
    for client in clients {
        assert_eq!(client.join().unwrap(), Outcome::Stopped);
    }
}

/// Who has a reply sees what it brought.
#[test]
fn the_status_is_never_older_than_a_reply() {
    let cluster = Cluster::found(1);
    let node = cluster.start(1);
    for number in 1..=100 {
        submit(node.mailbox(), vec![add()]);
        assert!(node.status().applied_index >= LogIndex(number + 1));
    }
}

/// However much comes before the server looks, it is woken once.
#[test]
fn the_mailbox_wakes_the_server_once() {
    let cluster = Cluster::found(1);
    let node = cluster.start(1);
    let mailbox = Mailbox::new(node.status(), *node.mailbox().leadership().borrow());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(async {
        let mut first = pin!(mailbox.submit(batch(vec![add()])));
        let mut second = pin!(mailbox.submit(batch(vec![add()])));
        assert!(is_pending(first.as_mut()) && is_pending(second.as_mut()));
        assert!(!is_pending(pin!(mailbox.news())));
        assert!(is_pending(pin!(mailbox.news())), "one wake for both");
        for (_, sender) in mailbox.take() {
            sender.send(Outcome::Busy).unwrap();
        }
        assert_eq!((first.await, second.await), (Outcome::Busy, Outcome::Busy));
        let mut third = pin!(mailbox.submit(batch(vec![add()])));
        assert!(is_pending(third.as_mut()));
        assert!(!is_pending(pin!(mailbox.news())), "and another for the next");
        mailbox.close();
        assert_eq!(third.await, Outcome::Stopped);
    });
}

fn is_pending<F: Future>(future: Pin<&mut F>) -> bool {
    future.poll(&mut Context::from_waker(Waker::noop())).is_pending()
}

/// A write that cannot finish is not left without an answer.
#[test]
fn a_stop_answers_what_it_cannot_finish() {
    let cluster = Cluster::found(3);
    let mut nodes = cluster.start_all();
    submit(nodes[0].mailbox(), vec![add()]);
    let first = leader(&nodes[0]);
    let place = nodes.iter().position(|node| node.identity().node == first).unwrap();
    let alone = nodes.remove(place);
    for node in &nodes {
        drop(cluster.hub.join(node.identity().node)); // from now on it hears nothing
    }
    let mailbox = alone.mailbox().clone();
    let client = std::thread::spawn(move || block_on(mailbox.submit(batch(vec![add()]))));
    let begun = Instant::now();
    while alone.status().last.index < LogIndex(3) {
        assert!(begun.elapsed() < PATIENCE, "it is appended");
        std::thread::yield_now();
    }
    let begun = Instant::now();
    alone.shutdown().unwrap();
    assert!(begun.elapsed() < Duration::from_secs(5), "the contract's limit (section 6)");
    assert!(matches!(client.join().unwrap(), Outcome::Uncertain { position: Some(_) }));
}

#[test]
fn doors_run_on_the_nodes_thread_and_are_told_of_the_end() {
    let cluster = Cluster::found(1);
    let settings = cluster.settings(1, Network::Memory(cluster.hub.clone()));
    let (say, said) = mpsc::channel();
    let node = Node::start(settings, Counter::default(), move |mailbox| async move {
        let name = std::thread::current().name().map(str::to_owned);
        let outcome = mailbox.submit(batch(vec![add()])).await;
        say.send((name, matches!(outcome, Outcome::Done { .. }))).unwrap();
        mailbox.stopping().await;
        say.send((None, true)).unwrap();
    })
    .unwrap();
    assert_eq!(said.recv_timeout(PATIENCE).unwrap(), (Some("node".to_owned()), true));
    node.shutdown().unwrap();
    assert_eq!(said.recv_timeout(PATIENCE).unwrap(), (None, true));
}

#[test]
fn changes_of_leadership_are_told() {
    let cluster = Cluster::found(1);
    let (say, said) = mpsc::channel();
    let mut settings = cluster.settings(1, Network::Memory(cluster.hub.clone()));
    settings.on_leadership = Box::new(move |leadership| say.send(leadership.role).unwrap());
    let node = Node::start(settings, Counter::default(), |_| async {}).unwrap();
    let roles = std::iter::from_fn(|| said.recv_timeout(PATIENCE).ok());
    assert!(roles.into_iter().any(|role| role == Role::Leader));
    node.shutdown().unwrap();
}

#[test]
fn a_folder_of_another_node_is_refused() {
    let cluster = Cluster::found(2);
    let mut settings = cluster.settings(1, Network::Memory(cluster.hub.clone()));
    settings.expected.name = "2".to_owned();
    let refused = Node::start(settings, Counter::default(), |_| async {}).unwrap_err();
    assert!(
        matches!(refused, StartError::Storage(storage::OpenError::Foreign { .. })),
        "{refused}"
    );
}

#[test]
fn a_member_without_an_address_is_named() {
    let cluster = Cluster::found(2);
    let ports = Ports::claim();
    let listen = format!("127.0.0.1:{}", ports.port(0));
    let settings = cluster.settings(1, Network::ZeroMq { listen, peers: BTreeMap::new() });
    let refused = Node::start(settings, Counter::default(), |_| async {}).unwrap_err();
    assert!(refused.to_string().contains("member 2"), "{refused}");
}

#[test]
fn three_nodes_over_zeromq() {
    three_nodes_over(|listen, peers| Network::ZeroMq { listen, peers });
}

#[test]
fn three_nodes_over_tcp() {
    three_nodes_over(|listen, peers| Network::Tcp { listen, peers });
}

fn three_nodes_over(network: fn(String, BTreeMap<String, String>) -> Network) {
    let cluster = Cluster::found(3);
    let ports = Ports::claim();
    let address = |number: usize| format!("127.0.0.1:{}", ports.port(number as u16 - 1));
    let peers: BTreeMap<String, String> =
        (1..=3).map(|number| (number.to_string(), address(number))).collect();
    let nodes: Vec<Node> = (1..=3)
        .map(|number| {
            let settings = cluster.settings(number, network(address(number), peers.clone()));
            Node::start(settings, Counter::default(), |_| async {}).unwrap()
        })
        .collect();
    for (place, node) in nodes.iter().enumerate() {
        assert_eq!(submit(node.mailbox(), vec![add()]), [(place + 1).to_string()]);
    }
    for node in nodes {
        assert_eq!(node.status().refused_frames, 0);
        node.shutdown().unwrap();
    }
}

/// A snapshot that somebody wants is in its folder when it is told, and what the node starts from.
#[test]
fn a_snapshot_that_is_wanted_is_in_place_and_started_from() {
    let cluster = Cluster::found(1);
    let node = cluster.start(1);
    for number in 1..=3 {
        assert_eq!(submit(node.mailbox(), vec![add()]), [number.to_string()]);
    }
    let applied = node.status().applied_index;
    let snapshot = block_on(node.mailbox().snapshot()).unwrap();
    assert!(snapshot.position.index >= applied, "{snapshot:?} covers {applied}");
    assert_eq!(node.status().snapshot, Some(snapshot));
    assert_eq!(block_on(node.mailbox().snapshot()), Ok(snapshot), "nothing was applied since");
    let files = std::fs::read_dir(cluster.folder.path().join("1")).unwrap();
    let names = files.map(|file| file.unwrap().file_name().into_string().unwrap());
    let snapshots: Vec<String> = names.filter(|name| name.contains("snap")).collect();
    assert_eq!(snapshots.len(), 1, "{snapshots:?}");
    assert_eq!(submit(node.mailbox(), vec![add()]), ["4"]);
    let applied = node.status().applied_index;
    let snapshot = block_on(node.mailbox().snapshot()).unwrap();
    assert!(snapshot.position.index >= applied, "{snapshot:?} covers {applied}");
    let mailbox = node.mailbox().clone();
    node.shutdown().unwrap();
    assert_eq!(block_on(mailbox.snapshot()), Err(NoSnapshot::Stopped));

    let node = cluster.start(1);
    assert_eq!(node.status().snapshot, Some(snapshot));
    assert_eq!(submit(node.mailbox(), vec![add()]), ["5"]);
    node.shutdown().unwrap();
}

/// A peer that asks for a vote: its frame is there at once, but takes a moment to be read.
struct Asking {
    frame: Option<Bytes>,
    /// When the frame had been read.
    read: WallTime,
    mailbox: Mailbox,
    /// What the answer says of the time, beside when the question was read.
    answered: Arc<Mutex<Option<(WallTime, WallTime)>>>,
}

impl Transport for Asking {
    fn send(&mut self, _to: NodeId, _lane: Lane, frame: Vec<u8>) -> Sent {
        frame::open(&frame).unwrap();
        for envelope in frame::envelopes(&frame.into()).unwrap() {
            if let Content::Raft { message: Message::RequestVoteReply(reply), .. } =
                envelope.content
            {
                *self.answered.lock().unwrap() = Some((WallTime(reply.wall), self.read));
                self.mailbox.stop();
            }
        }
        Sent::Queued
    }

    fn receive(&mut self) -> Option<Bytes> {
        let frame = self.frame.take()?;
        let begun = wall();
        while wall() <= begun {}
        self.read = wall();
        Some(frame)
    }

    fn change(&mut self) -> Option<Change> {
        None
    }

    fn flush(&mut self) -> bool {
        false
    }

    fn poll_readable(&mut self, _context: &mut Context<'_>) -> Poll<()> {
        if self.frame.is_some() { Poll::Ready(()) } else { Poll::Pending }
    }

    fn counts(&self) -> Counts {
        Counts::default()
    }
}

/// Rule 8: drain the mailbox first, then read the clock, so that nothing is judged by a time before
/// it arrived.
#[test]
fn the_clock_is_read_after_what_waits_was_gathered() {
    let (cluster, own, peer) = (ClusterId(7), NodeId(1), NodeId(2));
    let members = [own, peer].map(|node| (node, node.to_string())).into();
    let identity = Identity { cluster, node: own, members };
    let options = storage::Options { first_segment: 4096, segment: 4096 };
    let mut disk = SimulatedDisk::new();
    found(&mut disk, &identity, &options, 1).unwrap();
    let opened = storage::open(disk, &identity.expected(), &options, 2).unwrap();
    let replica = Replica::recovered(
        own,
        identity.membership(),
        Config { election: Micros(60_000_000), ..Config::default() },
        3,
        opened.recovered.hard_state,
        None,
        Log::recovered(opened.recovered.entries),
    );
    let server = Server::new(
        Settings::default(),
        replica,
        (Counter::default(), Sessions::default()),
        0,
        now(),
        wall(),
    );
    let mailbox = Mailbox::new(server.status(), server.leadership());
    let content = Content::Raft {
        term: Term(1),
        message: Message::RequestVote(RequestVote { last: LogPosition::ZERO }),
    };
    let envelopes = [Envelope { group: GroupId(0), content }];
    let frame = Gate::new(cluster, peer).seal(Boot(1), own, Lane::Control, &envelopes);
    let answered = Arc::new(Mutex::new(None));
    let (waker, keeping_waker) = (mailbox.clone(), mailbox.clone());
    let keeping = Keeping::start(opened.wal.keeper(), move || keeping_waker.wake()).unwrap();
    let driver = Driver::new(Parts {
        server,
        transport: Asking {
            frame: Some(frame.into()),
            read: WallTime(0),
            mailbox: mailbox.clone(),
            answered: Arc::clone(&answered),
        },
        gate: Gate::new(cluster, own),
        boot: opened.boot,
        writer: Writer::start(opened.wal, move || waker.wake()),
        keeping,
        mailbox,
        names: BTreeMap::new(),
        on_leadership: Box::new(|_| {}),
    });
    block_on(driver.run()).unwrap();
    let (told, read) = answered.lock().unwrap().expect("an answer");
    assert!(told >= read, "the question was read at {read:?}, and answered as of {told:?}");
}
