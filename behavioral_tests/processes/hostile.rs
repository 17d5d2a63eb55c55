//! What comes in at either port and should not: it is refused and counted, it takes no memory, and the
//! node serves on.

mod common;

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;

use common::PATIENCE;
use common::cluster::{Cluster, ask, await_some, ok};
use messages::{
    Boot, ClusterId, Content, Envelope, GroupId, Heartbeat, LogIndex, Message, NodeId, Round, Term,
    frame,
};
use raft::client::{Client, Reply};

/// No one else's busy processes start an election here.
const PATIENT: [(&str, &str); 2] = [("RAFT_HEARTBEAT", "100ms"), ("RAFT_ELECTION", "3s")];
const ALONE: [(&str, &str); 2] = [("RAFT_HEARTBEAT", "20ms"), ("RAFT_ELECTION", "100ms")];

/// What a node's memory may grow by, KiB.
const FEW_MIB: u64 = 16 << 10;

/// What a process holds in memory, KiB.
fn resident(cluster: &mut Cluster, node: u16) -> u64 {
    let pid = cluster.process(node).pid();
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("Linux tells");
    line.trim().trim_end_matches(" kB").parse().expect("a number")
}

fn check_memory(cluster: &mut Cluster, node: u16, before: u64) {
    let now = resident(cluster, node);
    assert!(now < before + FEW_MIB, "{before} KiB before, {now} KiB now");
}

/// Bytes that mean nothing, the same in each run.
fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed * 2 + 1;
    let step = || {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8
    };
    std::iter::repeat_with(step).take(length).collect()
}

fn connect(address: &str) -> TcpStream {
    let stream = TcpStream::connect(address).expect("it listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("a time-out");
    stream
}

/// Sends, and reads up to the end of the connection.
fn told(address: &str, bytes: &[u8]) -> String {
    let mut stream = connect(address);
    let _ = stream.write_all(bytes); // it may have heard enough before the end
    let mut reply = Vec::new();
    let _ = stream.read_to_end(&mut reply);
    String::from_utf8_lossy(&reply).into_owned()
}

#[test]
fn broken_requests_get_the_error_that_redis_gives_and_are_counted() {
    let mut cluster = Cluster::start_new(1, &ALONE);
    let address = cluster.address(1);
    let mut client = cluster.client(1);
    let nested = b"*1\r\n".repeat(200_000);
    let line = vec![b'a'; 1 << 20];
    let endless = [b"*".to_vec(), vec![b'1'; 1 << 20]].concat();
    let cases: [(&[u8], &str); 9] = [
        (b"*x\r\n", "invalid multibulk length"),
        (b"*1048577\r\n", "invalid multibulk length"),
        (&nested, "expected '$', got '*'"),
        (b"*2\r\n$3\r\nGET\r\n$4294967296\r\n", "invalid bulk length"),
        (b"*2\r\n$3\r\nGET\r\n$-2\r\n", "invalid bulk length"),
        (b"*1\r\n:4\r\n", "expected '$', got ':'"),
        (&line, "too big inline request"),
        (&endless, "too big mbulk count string"),
        (b"get \"a\r\n", "unbalanced quotes in request"),
    ];
    assert_eq!(ask(&mut client, &["SET", "key", "0"]), ok());
    let before = resident(&mut cluster, 1);
    let refused = || cluster.info(1).number("raft_refused_requests");
    for (number, (bytes, error)) in (1..).zip(cases) {
        assert_eq!(refused(), number - 1);
        assert_eq!(told(&address, bytes), format!("-ERR Protocol error: {error}\r\n"));
        assert_eq!(refused(), number, "{error}");
        let counted = client.call(&["INCR", "key"]).expect("an answer");
        assert_eq!(counted, Reply::Integer(number as i64), "{error}");
    }
    // Said before it stands in the error's way: requests ahead of the broken one are answered.
    let mixed = b"INCR key\r\n*1\r\n$x\r\nINCR key\r\n";
    assert_eq!(told(&address, mixed), ":10\r\n-ERR Protocol error: invalid bulk length\r\n");
    check_memory(&mut cluster, 1, before);
}

#[test]
fn half_requests_take_no_memory_for_what_they_claim() {
    let mut cluster = Cluster::start_new(1, &ALONE);
    let address = cluster.address(1);
    assert_eq!(cluster.ask(1, &["SET", "key", "0"]), ok());
    let before = resident(&mut cluster, 1);
    let halves: [&[u8]; 4] = [
        b"*3\r\n$3\r\nSET\r\n$3\r\nkey\r\n$1040000\r\nabc",
        b"*1048576\r\n$3\r\nDEL\r\n",
        b"SET key 1",
        b"*3\r",
    ];
    let send = |number: usize| {
        let mut stream = connect(&address);
        stream.write_all(halves[number % 4]).expect("sent");
        stream
    };
    let held: Vec<TcpStream> = (0..400).map(send).collect();
    let mut client = cluster.client(1);
    assert_eq!(client.call(&["INCR", "key"]).expect("an answer"), Reply::Integer(1));
    assert_eq!(cluster.info(1).number("connected_clients"), 402);
    check_memory(&mut cluster, 1, before);
    drop(held);
    drop(client);
    await_some("nobody but the one who asks", || {
        (cluster.info(1).number("connected_clients") == 1).then_some(())
    });
    assert_eq!(cluster.ask(1, &["GET", "key"]), Reply::Bulk(b"1".to_vec()));
}

#[test]
fn noise_on_the_clients_port_is_answered_with_errors_or_a_closed_connection() {
    let mut cluster = Cluster::start_new(1, &ALONE);
    let address = cluster.address(1);
    assert_eq!(cluster.ask(1, &["SET", "key", "0"]), ok());
    let before = resident(&mut cluster, 1);
    for seed in 0..50 {
        let mut stream = connect(&address);
        let _ = stream.write_all(&noise(seed, 8 << 10));
        let _ = stream.shutdown(std::net::Shutdown::Write);
        let mut replies = Vec::new();
        let _ = stream.read_to_end(&mut replies);
        assert!(matches!(replies.first(), None | Some(b'-')), "{seed}: {replies:?}");
    }
    assert_eq!(cluster.ask(1, &["INCR", "key"]), Reply::Integer(1));
    check_memory(&mut cluster, 1, before);
}

/// The greeting of ZMTP 3.0, mechanism NULL.
fn zmtp3() -> Vec<u8> {
    let mut greeting = vec![0xff, 0, 0, 0, 0, 0, 0, 0, 1, 0x7f, 3, 0];
    greeting.extend(b"NULL");
    greeting.resize(64, 0);
    greeting
}

/// READY of a DEALER that calls itself `x`, as a short command.
fn ready() -> Vec<u8> {
    let mut body = b"\x05READY\x0bSocket-Type\0\0\0\x06DEALER".to_vec();
    body.extend(b"\x08Identity\0\0\0\x01x");
    [vec![4, body.len() as u8], body].concat()
}

#[test]
fn noise_on_the_peers_port_stops_nothing() {
    let mut cluster = Cluster::start_new(3, &PATIENT);
    cluster.caught_up();
    let (leader, term) = cluster.leader_after(0);
    let mut client = cluster.client(leader);
    assert_eq!(client.call(&["SET", "key", "0"]).expect("an answer"), ok());
    let before = resident(&mut cluster, leader);
    let endless = [2, 0x3f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff];
    let openings = [
        Vec::new(),
        b"GET / HTTP/1.1\r\n\r\n".to_vec(),
        b"PING\r\n".to_vec(),
        b"\x01\0".to_vec(),               // ZMTP 1.0, nameless
        b"\x05\0name\x05\0body".to_vec(), // ZMTP 1.0, with a name and a frame
        b"\x05\0name\xff\x3f\xff\xff\xff\xff\xff\xff\xff\0".to_vec(), // and an endless one
        zmtp3(),
        [zmtp3(), ready()].concat(),
        [zmtp3(), ready(), endless.to_vec()].concat(),
        [zmtp3(), vec![4, 200]].concat(),
    ];
    let address = cluster.peer_address(leader);
    let mut held = Vec::new();
    for seed in 0..5 {
        for opening in &openings {
            let mut stream = connect(&address);
            let _ = stream.write_all(opening);
            held.push(stream.try_clone().expect("a second handle"));
            let mut noisy = connect(&address);
            let _ = noisy.write_all(&[opening.clone(), noise(seed, 4 << 10)].concat());
            held.push(noisy);
        }
        for node in cluster.all() {
            let reply = ask(&mut cluster.client(node), &["INCR", "key"]);
            assert!(matches!(reply, Reply::Integer(_)), "{reply:?}");
        }
    }
    assert_eq!(client.call(&["GET", "key"]).expect("an answer"), Reply::Bulk(b"15".to_vec()));
    assert_eq!(cluster.leader_after(0), (leader, term));
    check_memory(&mut cluster, leader, before);
    drop(held);
}

/// Who is attacked, and how frames for it would have to look.
struct Target {
    header: frame::Header,
    envelopes: Vec<Envelope>,
    term: u64,
}

impl Target {
    /// Node 1 of a cluster; the sender pretends to be node 2, in a run after its last.
    fn node_1(cluster: &Cluster) -> Target {
        let status = cluster.status(1);
        let number = |value: &serde_json::Value| {
            u64::from_str_radix(value.as_str().expect("hexadecimal"), 16).expect("a number")
        };
        let id = |node: usize| NodeId(number(&status["members"][node - 1]["id"]));
        let header = frame::Header {
            lane: 0,
            cluster: ClusterId(number(&status["cluster"])),
            from: id(2),
            boot: Boot(u64::MAX),
            to: id(1),
        };
        let term = status["term"].as_u64().expect("a term");
        let beat = Heartbeat { round: Round(1), commit: LogIndex(0) };
        let content = Content::Raft { term: Term(term + 50), message: Message::Heartbeat(beat) };
        Target { header, envelopes: vec![Envelope { group: GroupId(0), content }], term }
    }

    /// A frame under another header.
    fn under(&self, header: frame::Header) -> Vec<u8> {
        frame::encode(&header, &self.envelopes)
    }

    /// A frame of which nothing is wrong.
    fn good(&self) -> Vec<u8> {
        self.under(self.header)
    }

    /// All frames of which something is wrong, but not to the eye of ZeroMQ.
    fn spoilt(&self) -> Vec<Vec<u8>> {
        let header = self.header;
        let mut frames = vec![
            Vec::new(),
            noise(1, 40),
            noise(2, 4_000),
            self.under(frame::Header { cluster: ClusterId(header.cluster.0 ^ 1), ..header }),
            self.under(frame::Header { to: NodeId(header.to.0 ^ 1), ..header }),
            self.under(frame::Header { from: header.to, ..header }),
        ];
        let good = self.good();
        for bit in 0..good.len() * 8 {
            let mut flipped = good.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            frames.push(flipped);
        }
        frames.extend((0..good.len()).map(|length| good[..length].to_vec()));
        // Cut, but with the length and the checksum that belong to it. Of nobody: such a frame is
        // undamaged, so its sender's boot counts.
        let whole = self.under(frame::Header { from: NodeId(77), ..header });
        frames.extend((frame::HEADER..whole.len()).map(|length| reseal(&whole[..length])));
        frames.push(reseal(&[&whole[..], b"\xc0"].concat()));
        frames
    }
}

/// Gives a frame the length and the checksum that its bytes should have.
fn reseal(bytes: &[u8]) -> Vec<u8> {
    let mut frame = bytes.to_vec();
    let body = (frame.len() - frame::HEADER) as u32;
    frame[40..44].copy_from_slice(&body.to_le_bytes());
    let covered = [&frame[..44], &frame[frame::HEADER..]].concat();
    frame[44..48].copy_from_slice(&crc32c(&covered).to_le_bytes());
    frame
}

/// Castagnoli's polynomial, bit by bit.
fn crc32c(bytes: &[u8]) -> u32 {
    let shift = |crc: u32, _| if crc & 1 == 1 { crc >> 1 ^ 0x82f6_3b78 } else { crc >> 1 };
    !bytes.iter().fold(!0, |crc, byte| (0..8).fold(crc ^ u32::from(*byte), shift))
}

/// A socket as nodes have them.
fn dealer(context: &zmq::Context, name: &str, address: &str) -> zmq::Socket {
    let dealer = context.socket(zmq::DEALER).expect("a socket");
    if !name.is_empty() {
        dealer.set_identity(name.as_bytes()).expect("a name");
    }
    dealer.set_linger(0).expect("an option");
    dealer.set_sndtimeo(PATIENCE.as_millis() as i32).expect("an option");
    dealer.connect(&format!("tcp://{address}")).expect("an address");
    dealer
}

fn refused_frames(client: &mut Client) -> u64 {
    common::cluster::Info::ask(client).number("raft_refused_frames")
}

#[test]
fn frames_of_which_anything_is_wrong_are_dropped_and_counted() {
    let mut cluster = Cluster::start_new(3, &PATIENT);
    assert_eq!(cluster.ask(1, &["SET", "key", "0"]), ok());
    cluster.caught_up();
    let target = Target::node_1(&cluster);
    let leader = cluster.leader();
    let mut client = cluster.client(1);
    let (before, memory) = (refused_frames(&mut client), resident(&mut cluster, 1));

    let context = zmq::Context::new();
    let intruder = dealer(&context, "intruder", &cluster.peer_address(1));
    let spoilt = target.spoilt();
    for frame in &spoilt {
        intruder.send(frame, 0).expect("sent");
    }
    let mut expected = before + spoilt.len() as u64;
    let nameless = dealer(&context, "", &cluster.peer_address(1));
    nameless.send(target.good(), 0).expect("sent");
    intruder.send_multipart([target.good(), target.good()], 0).expect("sent");
    intruder.send_multipart([Vec::new(), target.good()], 0).expect("sent");
    expected += 3;
    await_some("all counted", || (refused_frames(&mut client) >= expected).then_some(()));
    assert_eq!(refused_frames(&mut client), expected);
    // ZeroMQ itself cuts the connection of one who sends more than a frame may have.
    let large = dealer(&context, "large", &cluster.peer_address(1));
    large.send(vec![0; frame::MAX_FRAME + 1], 0).expect("sent");

    let status = cluster.status(1);
    assert_eq!(status["term"].as_u64(), Some(target.term));
    assert_eq!(status["leader"], leader.to_string());
    for (value, node) in (1..).zip(cluster.all()) {
        assert_eq!(cluster.ask(node, &["INCR", "key"]), Reply::Integer(value));
    }
    cluster.caught_up(); // node 2 is heard as before, though its name was used
    check_memory(&mut cluster, 1, memory);

    // With nothing wrong it would have had its effect.
    intruder.send(target.good(), 0).expect("sent");
    await_some("the later term", || {
        (cluster.info(1).number("raft_term") >= target.term + 50).then_some(())
    });
    assert_eq!(refused_frames(&mut client), expected);
}
