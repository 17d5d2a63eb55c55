//! What only sockets meet: strangers, other services on a peer's port, a port in use, and an exit
//! with work undone.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc;

use super::*;

/// A connection made by hand. Nothing on it may take long.
fn stranger(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).expect("connected");
    stream.set_read_timeout(Some(PATIENCE)).expect("a time-out");
    stream
}

/// How ZMTP 3.0 begins, with a security mechanism.
fn zmtp_greeting(mechanism: &[u8]) -> Vec<u8> {
    let mut greeting = vec![0xff, 0, 0, 0, 0, 0, 0, 0, 0, 0x7f, 3, 0];
    greeting.extend_from_slice(mechanism);
    greeting.resize(64, 0);
    greeting
}

/// The one command of a DEALER: READY, with its name.
fn zmtp_ready(name: &[u8]) -> Vec<u8> {
    let mut ready = b"\x05READY\x0bSocket-Type\x00\x00\x00\x06DEALER\x08Identity".to_vec();
    ready.extend_from_slice(&(name.len() as u32).to_be_bytes());
    ready.extend_from_slice(name);
    [&[4, ready.len() as u8], &ready[..]].concat()
}

/// A ZMTP peer by hand, ready to send frames.
fn zmtp_dealer(address: SocketAddr, name: &[u8]) -> TcpStream {
    let mut stream = stranger(address);
    stream.write_all(&zmtp_greeting(b"NULL")).expect("written");
    stream.write_all(&zmtp_ready(name)).expect("written");
    let mut greeting_and_head = [0; 66];
    stream.read_exact(&mut greeting_and_head).expect("a greeting");
    let mut ready = vec![0; usize::from(greeting_and_head[65])];
    stream.read_exact(&mut ready).expect("a command");
    assert!(ready.starts_with(b"\x05READY"), "the other end accepts");
    stream
}

/// Reads until the other end closes or resets the connection.
fn is_cut_off(mut stream: TcpStream) -> bool {
    let mut rest = Vec::new();
    match stream.read_to_end(&mut rest) {
        Ok(_) => true,
        Err(error) => error.kind() == std::io::ErrorKind::ConnectionReset,
    }
}

fn zeromq_ports(place: &Place) -> &Ports {
    match place {
        Place::ZeroMq(ports) => ports,
        Place::Memory(_) => panic!("memory has no ports"),
    }
}

#[test]
fn garbage_is_dropped_or_cut_off() {
    run(async {
        let place = Place::zeromq();
        let (mut a, mut b) = place.open_both().await;
        let address = zeromq_ports(&place).address(1);

        let mut garbage: Vec<Vec<u8>> = vec![
            b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n".to_vec(),
            b"*1\r\n$4\r\nPING\r\n".to_vec(),
            zmtp_greeting(b"NULL")[..20].to_vec(),
            zmtp_greeting(b"CURVE"),
            [zmtp_greeting(b"NULL"), vec![0xff; 300]].concat(),
            [zmtp_greeting(b"NULL"), zmtp_ready(b"x"), vec![0xff; 300]].concat(),
            vec![0xff; 64],
            Vec::new(),
        ];
        let mut random = 1_u64;
        for length in 0..60 {
            let bytes = (0..length * 5).map(|_| {
                random = random.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
                (random >> 56) as u8
            });
            garbage.push(bytes.collect());
        }
        let mut strangers = Vec::new();
        for bytes in garbage {
            let mut stream = stranger(address);
            // The other end may already have had enough.
            let _ = stream.write_all(&bytes);
            strangers.push(stream);
        }
        // ZMTP 1.0 knows no greeting: an empty name, then a frame.
        stranger(address).write_all(b"\x01\x00\x06\x00hello").expect("written");

        // Whoever takes a name is heard: what it says is for the gate to refuse.
        let mut named = zmtp_dealer(address, b"somebody");
        named.write_all(b"\x00\x07garbage").expect("written");

        // Random bytes may happen to give themselves a name, too.
        let mut arrived = Vec::new();
        while let Some(frame) = next_within(&mut *b, A_WHILE).await {
            arrived.push(frame);
        }
        assert!(arrived.contains(&b"garbage".to_vec()), "{arrived:?}");
        assert!(!arrived.contains(&b"hello".to_vec()), "{arrived:?}");
        assert!(b.counts().unnamed > 0, "what ZMTP 1.0 said is counted");
        drop(strangers);
        stream(&mut *a, &mut *b, Lane::Log, 1_000).await;
        stream(&mut *a, &mut *b, Lane::Control, 1_000).await;
    });
}

#[test]
fn messages_of_other_than_one_part_are_dropped_and_counted() {
    run(async {
        let place = Place::zeromq();
        let (_a, mut b) = place.open_both().await;
        let mut stream = zmtp_dealer(zeromq_ports(&place).address(1), b"somebody");
        let two_parts = b"\x01\x03one\x00\x03two";
        let three_parts = b"\x01\x03one\x01\x03two\x00\x05three";
        let bytes = [&two_parts[..], three_parts, b"\x00\x05alone"].concat();
        stream.write_all(&bytes).expect("written");
        assert_eq!(next(&mut *b).await, b"alone");
        assert_eq!(b.counts().malformed, 2);
    });
}

#[test]
fn an_oversize_frame_is_cut_off() {
    run(async {
        let place = Place::zeromq();
        let (mut a, mut b) = place.open_both().await;
        let mut stream = zmtp_dealer(zeromq_ports(&place).address(1), b"somebody");
        // A flag: the length takes eight bytes. Then the length, and all of the frame.
        let length = (MAX_FRAME as u64 + 1).to_be_bytes();
        stream.write_all(&[&[2], &length[..]].concat()).expect("written");
        let _ = stream.write_all(&vec![0; MAX_FRAME + 1]);
        assert!(is_cut_off(stream), "at the length, whatever follows");
        assert_eq!(next_within(&mut *b, A_WHILE).await.map(|frame| frame.len()), None);
        self::stream(&mut *a, &mut *b, Lane::Log, 100).await;
    });
}

const ZMTP_PING: &[u8] = b"\x04\x07\x04PING\0\0";

/// A connection that will be reset when it is closed, since bytes wait unread: those of a PONG.
fn doomed(address: SocketAddr, name: &[u8]) -> TcpStream {
    let mut stream = zmtp_dealer(address, name);
    stream.write_all(ZMTP_PING).expect("written");
    assert!(stream.peek(&mut [0]).expect("a byte") > 0);
    stream
}

/// ZeroMQ aborts the process if a PING or PONG is to leave on a connection that was reset after its
/// frames found no room: so there is room for what a node that slept for some seconds has to read.
#[test]
fn a_connection_that_is_reset_before_anybody_reads_ends_no_process() {
    run(async {
        let place = Place::zeromq();
        let (mut a, mut b) = place.open_both().await;
        let mut stream = doomed(zeromq_ports(&place).address(1), b"somebody");
        let frames = [&b"\x00\x05frame".repeat(100)[..], ZMTP_PING].concat();
        stream.write_all(&frames.repeat(10)).expect("written");
        drop(stream);
        tokio::time::sleep(A_WHILE).await;
        for _ in 0..1_000 {
            assert_eq!(next(&mut *b).await, b"frame", "what came before the reset is there");
        }
        self::stream(&mut *a, &mut *b, Lane::Log, 100).await;
    });
}

/// The same where a later connection has the name: there is no room for what comes late.
#[test]
fn a_connection_that_is_reset_after_another_took_its_name_ends_no_process() {
    run(async {
        let place = Place::zeromq();
        let (mut a, mut b) = place.open_both().await;
        let address = zeromq_ports(&place).address(1);
        let mut old = doomed(address, b"somebody");
        let mut later = zmtp_dealer(address, b"somebody");
        later.write_all(b"\x00\x05later").expect("written");
        assert_eq!(next(&mut *b).await, b"later");
        old.write_all(b"\x00\x04late").expect("written");
        assert_eq!(next_within(&mut *b, A_WHILE).await, None);
        drop(old);
        assert_eq!(next_within(&mut *b, A_WHILE).await, None);
        self::stream(&mut *a, &mut *b, Lane::Log, 100).await;
    });
}

/// Frames that waited unread when another connection took their name over are not heard after
/// newer ones.
#[test]
fn frames_of_a_name_that_was_taken_over_never_come_between_newer_ones() {
    run(async {
        let place = Place::zeromq();
        let (_a, mut b) = place.open_both().await;
        let address = zeromq_ports(&place).address(1);
        let mut old = zmtp_dealer(address, b"somebody");
        old.write_all(&b"\x00\x03old".repeat(10)).expect("written");
        assert_eq!(next(&mut *b).await, b"old");
        drop(old);
        tokio::time::sleep(A_WHILE / 10).await; // nobody reads at B
        let mut new = zmtp_dealer(address, b"somebody");
        new.write_all(&b"\x00\x03new".repeat(10)).expect("written");
        tokio::time::sleep(A_WHILE / 10).await;
        let mut heard = Vec::new();
        while let Some(frame) = next_within(&mut *b, A_WHILE).await {
            heard.push(frame);
        }
        assert!(heard.ends_with(&vec![b"new".to_vec(); 10]), "{heard:?}");
        let counts = b.counts();
        assert!(heard.len() + counts.unnamed as usize == 19, "{heard:?} {counts:?}");
    });
}

/// ZeroMQ 4.3.4 aborts the process if it is to send a heartbeat over a connection that was reset
/// while it was full. A node that is busy for a moment must not die of that.
#[test]
fn connections_that_are_reset_while_full_do_no_harm() {
    run(async {
        let place = Place::zeromq();
        let (mut a, mut b) = place.open_both().await;
        let address = zeromq_ports(&place).address(1);
        let full: Vec<TcpStream> = (0..8)
            .map(|number| {
                let mut stream = doomed(address, format!("peer {number}").as_bytes());
                stream.write_all(&b"\x00\x07unheard".repeat(2_000)).expect("written");
                stream
            })
            .collect();
        tokio::time::sleep(A_WHILE / 10).await; // nobody reads at B
        drop(full);
        tokio::time::sleep(A_WHILE).await;
        while next_within(&mut *b, PACE).await.is_some_and(|frame| frame == b"unheard") {}
        stream(&mut *a, &mut *b, Lane::Log, 1_000).await;
    });
}

/// ZeroMQ never reconnects to what once broke the protocol; the transport does.
#[test]
fn another_service_on_a_peers_port_for_a_moment_does_no_lasting_harm() {
    run(async {
        let place = Place::zeromq();
        let other = TcpListener::bind(zeromq_ports(&place).address(1)).expect("bound");
        let mut a = place.open(A);
        // One connection for each lane is answered with a mechanism that ZeroMQ refuses.
        let service = std::thread::spawn(move || {
            for _ in 0..2 {
                let (mut stream, _) = other.accept().expect("a connection");
                stream.write_all(&zmtp_greeting(b"PLAIN")).expect("written");
                stream.set_read_timeout(Some(PATIENCE)).expect("a time-out");
                assert!(is_cut_off(stream), "refused");
            }
        });
        service.join().expect("both lanes were refused");
        let mut b = place.open(B);
        meet(&mut *a, B, &mut *b, Lane::Control).await;
        meet(&mut *a, B, &mut *b, Lane::Log).await;
        stream(&mut *a, &mut *b, Lane::Log, 100).await;
    });
}

#[test]
fn a_port_in_use_is_an_error_that_names_the_address() {
    run(async {
        let ports = Ports::claim();
        let address = ports.address(0).to_string();
        let first = ZeroMq::open(A, &address, []).expect("opened");
        assert_eq!(first.local_address().expect("an address"), ports.address(0));
        let Err(error) = ZeroMq::open(A, &address, []) else { panic!("two listen at one address") };
        assert!(matches!(&error, OpenError::Listen { address: at, error }
            if *at == address && error.kind() == std::io::ErrorKind::AddrInUse));
        let text = error.to_string();
        assert!(text.contains(&address) && text.contains("in use"), "{text}");
    });
}

#[test]
fn addresses_that_make_no_sense_are_errors() {
    run(async {
        for address in ["", "nonsense", "127.0.0.1", "127.0.0.1:port", "127.0.0.1:99999"] {
            let error = ZeroMq::open(A, address, []).err();
            assert!(matches!(error, Some(OpenError::Resolve { .. })), "{address:?}: {error:?}");
        }
        let error = ZeroMq::open(A, "192.0.2.1:11000", []).err();
        assert!(matches!(error, Some(OpenError::Listen { .. })), "not of this machine: {error:?}");
        for address in ["", "nonsense", "127.0.0.1", "two words:1", "nul\0:1", "host:port"] {
            let ports = Ports::claim();
            let peers = [(B, address.to_owned())];
            let error = ZeroMq::open(A, &ports.address(0).to_string(), peers).err();
            let named = matches!(&error, Some(OpenError::Peer { peer: B, address: of, .. })
                if of == address);
            assert!(named, "{address:?}: {error:?}");
        }
    });
}

/// Dropped with frames in every queue, beside a peer that never answered.
#[test]
fn an_exit_waits_for_nobody() {
    let (done, is_done) = mpsc::channel();
    std::thread::spawn(move || {
        run(async {
            let place = Place::zeromq();
            let (mut a, b) = place.open_both().await;
            fill(&mut *a, Lane::Log);
            drop(a);
            let alone = Ports::claim();
            let peers = [(B, alone.address(1).to_string())];
            let mut lonely = ZeroMq::open(A, &alone.address(0).to_string(), peers).expect("opened");
            let _ = lonely.send(B, Lane::Log, numbered(0));
            drop(lonely);
            drop(b);
        });
        done.send(()).expect("somebody waits");
    });
    is_done.recv_timeout(PATIENCE).expect("the exit does not hang");
}
