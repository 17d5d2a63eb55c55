//! What only the transport over plain TCP meets: its preamble and its frames written by hand, and
//! peers that keep some of the protocol only.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};

use allocation_counter::measure;

use servers::transport::Change;

use super::changes::next_unflushed;
use super::sockets::{is_cut_off, stranger};
use super::*;

/// As the document has it: magic and version, lane, from, to, start, number.
fn preamble(from: u64, to: u64, lane: Lane, start: u64, number: u64) -> Vec<u8> {
    let mut bytes = b"\0RFT\x01".to_vec();
    bytes.push(LANES.iter().position(|other| *other == lane).expect("one of them") as u8);
    bytes.extend_from_slice(&[0, 0]);
    for number in [from, to, start, number] {
        bytes.extend_from_slice(&number.to_le_bytes());
    }
    assert_eq!(bytes.len(), 40);
    bytes
}

/// What B answers.
fn answer() -> Vec<u8> {
    [&b"\0RFT\x01\0\0\0"[..], &B.0.to_le_bytes()].concat()
}

/// A frame after its length.
pub fn framed(frame: &[u8]) -> Vec<u8> {
    [&(frame.len() as u32).to_le_bytes(), frame].concat()
}

/// A turn of a node that receives nothing. Where frames wait the wait is over at once, and sockets are
/// only looked at when the task gives way.
async fn look(transport: &mut dyn Transport) {
    let _ = timeout(PACE, readable(transport)).await;
    transport.flush();
    tokio::task::yield_now().await;
}

/// Whether B takes a connection: an answer, or an end. B has to look.
async fn is_taken(b: &mut dyn Transport, stream: &mut TcpStream) -> bool {
    let told = async {
        loop {
            stream.set_nonblocking(true).expect("it can be");
            let mut answer = [0];
            match stream.peek(&mut answer) {
                Ok(count) => break count > 0,
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
                Err(_) => break false,
            }
            look(b).await;
        }
    };
    let is_taken = timeout(PATIENCE, told).await.expect("one way or the other");
    stream.set_nonblocking(false).expect("it can be");
    if is_taken {
        let mut bytes = [0; 16];
        stream.read_exact(&mut bytes).expect("the whole answer");
        assert_eq!(bytes[..], answer());
    }
    is_taken
}

async fn greet(b: &mut dyn Transport, address: SocketAddr, bytes: &[u8]) -> Option<TcpStream> {
    let mut stream = stranger(address);
    stream.write_all(bytes).expect("written");
    is_taken(b, &mut stream).await.then_some(stream)
}

/// A connection of some node to B, which takes it.
pub async fn taken(b: &mut dyn Transport, address: SocketAddr, from: u64, lane: Lane) -> TcpStream {
    greet(b, address, &preamble(from, B.0, lane, 7, 0)).await.expect("it is taken")
}

/// All that arrives, until nothing does for a while.
async fn all(b: &mut dyn Transport) -> Vec<Vec<u8>> {
    let mut all = Vec::new();
    while let Some(frame) = next_within(b, A_WHILE / 4).await {
        all.push(frame);
    }
    all
}

#[test]
fn a_preamble_that_is_wrong_in_anything_is_refused_and_counted() {
    run(async {
        let place = Place::tcp();
        let (mut a, mut b) = place.open_both().await;
        let good = preamble(77, B.0, Lane::Log, 7, 0);
        let altered = |byte: usize, to: u8| {
            let mut bytes = good.clone();
            bytes[byte] = to;
            bytes
        };
        let wrong = [
            altered(0, 1),                           // no preamble
            altered(4, 2),                           // of another version
            altered(5, 3),                           // for no lane
            preamble(77, A.0, Lane::Log, 7, 0),      // for another node
            preamble(B.0, B.0, Lane::Control, 7, 0), // from the receiver itself
        ];
        for (bytes, count) in wrong.iter().zip(1..) {
            assert!(greet(&mut *b, place.address(B), bytes).await.is_none(), "{bytes:?}");
            assert_eq!(b.counts().unnamed, count);
        }
        // In pieces, and with a reserved byte in use, it is good.
        let mut stream = stranger(place.address(B));
        for byte in altered(6, 1) {
            stream.write_all(&[byte]).expect("written");
            let _ = timeout(PACE, readable(&mut *b)).await;
        }
        assert!(is_taken(&mut *b, &mut stream).await);
        for byte in framed(b"in pieces") {
            stream.write_all(&[byte]).expect("written");
            let _ = timeout(PACE, readable(&mut *b)).await;
        }
        assert_eq!(next(&mut *b).await, b"in pieces");
        // Who only looks whether somebody listens does nothing wrong.
        drop(stranger(place.address(B)));
        self::stream(&mut *a, &mut *b, Lane::Log, 100).await;
        assert_eq!(b.counts().unnamed, wrong.len() as u64);
    });
}

#[test]
fn a_connection_without_a_preamble_is_closed() {
    run(async {
        let place = Place::tcp();
        let (mut a, mut b) = place.open_both().await;
        let mut silent = stranger(place.address(B));
        let mut slow = stranger(place.address(B));
        slow.write_all(&preamble(77, B.0, Lane::Log, 7, 0)[..39]).expect("written");
        assert!(!is_taken(&mut *b, &mut silent).await);
        assert!(!is_taken(&mut *b, &mut slow).await);
        assert_eq!(b.counts().unnamed, 1, "of the one that said something");
        stream(&mut *a, &mut *b, Lane::Log, 100).await;
    });
}

/// However many connect and say nothing, or give themselves names that nobody knows.
#[test]
fn strangers_take_no_more_than_a_few_places() {
    run(async {
        let place = Place::tcp();
        let mut b = place.open(B);
        let address = place.address(B);
        let silent: Vec<TcpStream> = (0..100)
            .map(|_| {
                let stream = stranger(address);
                stream.set_nonblocking(true).expect("it can be");
                stream
            })
            .collect();
        let _ = timeout(A_WHILE, readable(&mut *b)).await;
        let is_open = |stream: &&TcpStream| {
            stream.peek(&mut [0]).is_err_and(|error| error.kind() == std::io::ErrorKind::WouldBlock)
        };
        assert_eq!(silent.iter().filter(is_open).count(), 64);
        assert!(silent[99..].iter().all(|stream| is_open(&stream)), "the oldest go");

        let mut unknown = Vec::new();
        for from in 100..130 {
            unknown.extend(greet(&mut *b, address, &preamble(from, B.0, Lane::Log, 1, 0)).await);
        }
        assert_eq!(unknown.len(), 16);
        assert_eq!(b.counts().unnamed, 14);
        let mut a = place.open(A);
        meet(&mut *a, B, &mut *b, Lane::Log).await;
        stream(&mut *a, &mut *b, Lane::Log, 100).await;
    });
}

/// Of two connections of one name the later one counts: by number for one process, else by arrival.
#[test]
fn a_later_connection_takes_the_place_of_an_earlier_one() {
    run(async {
        let place = Place::tcp();
        let mut b = place.open(B);
        let address = place.address(B);
        let connect = |start, number| preamble(77, B.0, Lane::Log, start, number);
        let mut old = greet(&mut *b, address, &connect(7, 5)).await.expect("taken");
        old.write_all(&framed(b"old").repeat(10)).expect("written");
        assert_eq!(next(&mut *b).await, b"old");

        for number in [4, 5] {
            let late = greet(&mut *b, address, &connect(7, number)).await;
            assert!(late.is_none(), "it was opened before");
        }
        assert_eq!(next(&mut *b).await, b"old", "the other one stays");

        let mut newer = greet(&mut *b, address, &connect(7, 6)).await.expect("taken");
        newer.write_all(&framed(b"newer").repeat(10)).expect("written");
        let _ = old.write_all(&framed(b"late"));
        assert_eq!(all(&mut *b).await, vec![b"newer"; 10]);
        assert_eq!(b.counts().unnamed, 2 + 8, "two refused, eight frames that are void");
        assert!(is_cut_off(old));

        // Another process of that node; nobody knows whose numbers are higher.
        let mut restarted = greet(&mut *b, address, &connect(3, 0)).await.expect("taken");
        restarted.write_all(&framed(b"restarted")).expect("written");
        assert_eq!(next(&mut *b).await, b"restarted");
        assert!(is_cut_off(newer));

        // The other lane has a name of its own.
        let other = preamble(77, B.0, Lane::Control, 3, 0);
        let _other = greet(&mut *b, address, &other).await.expect("taken");
        restarted.write_all(&framed(b"still")).expect("written");
        assert_eq!(next(&mut *b).await, b"still");
    });
}

/// A preamble that arrives late is of an older process than one whose connection came later.
#[test]
fn of_two_processes_the_one_that_connected_later_counts() {
    run(async {
        let place = Place::tcp();
        let mut b = place.open(B);
        let mut early = stranger(place.address(B));
        let _ = timeout(A_WHILE / 10, readable(&mut *b)).await;
        let later = preamble(77, B.0, Lane::Log, 8, 0);
        let mut later = greet(&mut *b, place.address(B), &later).await.expect("taken");
        early.write_all(&preamble(77, B.0, Lane::Log, 9, 0)).expect("written");
        assert!(!is_taken(&mut *b, &mut early).await);
        later.write_all(&framed(b"later")).expect("written");
        assert_eq!(next(&mut *b).await, b"later");
    });
}

#[test]
fn what_was_sent_before_an_end_arrives() {
    run(async {
        let place = Place::tcp();
        let mut b = place.open(B);
        let mut stream = taken(&mut *b, place.address(B), 77, Lane::Log).await;
        let bytes = [&framed(b"last words").repeat(100)[..], b"\x05\0\0\0half"].concat();
        stream.write_all(&bytes).expect("written");
        drop(stream);
        assert_eq!(all(&mut *b).await, vec![b"last words"; 100]);
    });
}

#[test]
fn a_length_above_the_limit_ends_the_connection_and_is_counted() {
    run(async {
        let place = Place::tcp();
        let (mut a, mut b) = place.open_both().await;
        for (length, count) in [(MAX_FRAME as u32 + 1, 1), (u32::MAX, 2)] {
            let mut stream = taken(&mut *b, place.address(B), 77, Lane::Log).await;
            let bytes = [&framed(b"before")[..], &length.to_le_bytes(), &[7; 100]].concat();
            stream.write_all(&bytes).expect("written");
            assert_eq!(next(&mut *b).await, b"before");
            assert_eq!(next_within(&mut *b, A_WHILE / 4).await, None);
            assert!(is_cut_off(stream));
            assert_eq!(b.counts().malformed, count);
        }
        self::stream(&mut *a, &mut *b, Lane::Log, 100).await;
    });
}

/// Memory is for what has arrived, not for what is claimed.
#[test]
fn a_claimed_length_takes_no_memory() {
    run(async {
        let place = Place::tcp();
        let mut b = place.open(B);
        let mut stream = taken(&mut *b, place.address(B), 77, Lane::Log).await;
        let length = (MAX_FRAME as u32).to_le_bytes();
        stream.write_all(&[&length[..], &[7; 1_000]].concat()).expect("written");
        tokio::time::sleep(A_WHILE / 10).await; // so that it has arrived
        let used = measure(|| assert_eq!(b.receive(), None));
        assert!(used.bytes_max > 0, "it was read");
        assert!(used.bytes_max <= 256 << 10, "{} bytes", used.bytes_max);
    });
}

/// Writes what the other end takes within a while, though nobody receives there.
async fn flood(b: &mut dyn Transport, stream: &mut TcpStream, bytes: &[u8]) -> u64 {
    stream.set_nonblocking(true).expect("it can be");
    let (mut written, mut refused) = (0, 0);
    while refused < 100 {
        match stream.write(bytes) {
            Ok(count) => written += count as u64,
            Err(_) => {
                refused += 1;
                look(b).await;
            }
        }
        assert!(written < 256 << 20, "256 MiB and no end");
    }
    written
}

#[test]
fn a_connection_whose_frames_nobody_takes_is_not_read() {
    run(async {
        let place = Place::tcp();
        let mut b = place.open(B);
        let mut hasty = taken(&mut *b, place.address(B), 77, Lane::Log).await;
        let mut a = place.open(A);
        meet(&mut *a, B, &mut *b, Lane::Log).await;
        let written = flood(&mut *b, &mut hasty, &framed(&[1; 1_000]).repeat(100)).await;
        assert!(written <= kernels() + (2 << 20), "{written} bytes were taken");

        // It holds nobody back: another one is heard after a bounded number of its frames.
        assert_eq!(next(&mut *b).await, [1; 1_000]);
        assert_eq!(a.send(B, Lane::Log, b"patient".to_vec()), Sent::Queued);
        tokio::time::sleep(A_WHILE / 10).await;
        let before = std::iter::from_fn(|| b.receive()).position(|frame| *frame == *b"patient");
        assert!(before.is_some_and(|before| before <= 3 * 64), "{before:?} frames before it");
        drop(hasty);
        while next_within(&mut *b, A_WHILE).await.is_some() {}
        stream(&mut *a, &mut *b, Lane::Log, 100).await;
    });
}

/// A peer by hand: takes one connection, of the control lane, of which it has read the preamble.
async fn listening_peer(a: &mut dyn Transport, listener: &TcpListener) -> TcpStream {
    listener.set_nonblocking(true).expect("it can be");
    let accept = async {
        loop {
            look(a).await;
            let Ok((mut stream, _)) = listener.accept() else { continue };
            stream.set_nonblocking(true).expect("it can be");
            let mut bytes = [0; 40];
            while !stream.peek(&mut bytes).is_ok_and(|count| [0, 40].contains(&count)) {
                look(a).await;
            }
            stream.set_nonblocking(false).expect("it can be");
            let is_whole = stream.read_exact(&mut bytes).is_ok();
            if is_whole && bytes[5] == 0 && !has_ended(&stream) {
                return stream;
            }
        }
    };
    timeout(PATIENCE, accept).await.expect("it connects")
}

/// Whether the other end has closed it, and said nothing more.
fn has_ended(stream: &TcpStream) -> bool {
    stream.set_nonblocking(true).expect("it can be");
    let has_ended = match stream.peek(&mut [0]) {
        Ok(count) => count == 0,
        Err(error) => error.kind() != std::io::ErrorKind::WouldBlock,
    };
    stream.set_nonblocking(false).expect("it can be");
    has_ended
}

#[test]
fn nothing_is_sent_to_a_peer_that_has_not_answered() {
    run(async {
        let place = Place::tcp();
        let listener = TcpListener::bind(place.address(B)).expect("bound");
        let mut a = place.open(A);
        let another = [&b"\0RFT\x01\0\0\0"[..], &[9; 8]].concat();
        for answer in [&b""[..], b"HTTP/1.1 200 OK\r\n", &another] {
            let mut stream = listening_peer(&mut *a, &listener).await;
            stream.write_all(answer).expect("written");
            for number in 0..20 {
                look(&mut *a).await;
                assert_eq!(a.send(B, Lane::Control, numbered(number)), Sent::Dropped);
            }
            let ends = async {
                while !has_ended(&stream) {
                    look(&mut *a).await;
                }
            };
            timeout(PATIENCE, ends).await.expect("it is given up");
            assert_eq!((a.receive(), a.change()), (None, None));
        }
        let mut stream = listening_peer(&mut *a, &listener).await;
        stream.write_all(&answer()).expect("written");
        assert_eq!(next_unflushed(&mut *a).await, Change::Found(B));
        assert_eq!(a.send(B, Lane::Control, b"in time".to_vec()), Sent::Queued);
        let mut frame = [0; 11];
        stream.read_exact(&mut frame).expect("a frame");
        assert_eq!(frame[..], framed(b"in time"));
        // Here a peer only listens.
        stream.write_all(b"!").expect("written");
        assert_eq!(next_unflushed(&mut *a).await, Change::Lost(B));
    });
}

/// The kernel takes no more, and nothing moves: such a peer is given up, with what waited for it.
#[test]
fn a_peer_that_stands_still_is_given_up() {
    run(async {
        let place = Place::tcp();
        let listener = TcpListener::bind(place.address(B)).expect("bound");
        let mut a = place.open(A);
        let mut stream = listening_peer(&mut *a, &listener).await;
        stream.write_all(&answer()).expect("written");
        assert_eq!(next_unflushed(&mut *a).await, Change::Found(B));
        fill(&mut *a, Lane::Control);
        assert!(a.flush(), "some is left");
        assert_eq!(next_unflushed(&mut *a).await, Change::Lost(B));
        assert!(a.counts().lost > 0);
        assert!(!a.flush(), "nothing waits for it");
        drop(listener);
    });
}

#[test]
fn another_service_on_a_peers_port_for_a_moment_does_no_lasting_harm() {
    run(async {
        let place = Place::tcp();
        let listener = TcpListener::bind(place.address(B)).expect("bound");
        let mut a = place.open(A);
        for _ in 0..3 {
            drop(listening_peer(&mut *a, &listener).await);
        }
        drop(listener);
        let mut b = place.open(B);
        meet(&mut *a, B, &mut *b, Lane::Control).await;
        meet(&mut *a, B, &mut *b, Lane::Log).await;
        stream(&mut *a, &mut *b, Lane::Log, 100).await;
    });
}

/// A peer may be named instead of numbered.
#[test]
fn a_peer_is_found_by_its_name() {
    run(async {
        let place = Place::tcp();
        let peers = [(B, format!("localhost:{}", place.address(B).port()))];
        let mut a = Tcp::open(A, &place.address(A).to_string(), peers).expect("opened");
        let mut b = place.open(B);
        meet(&mut a, B, &mut *b, Lane::Log).await;
        stream(&mut a, &mut *b, Lane::Log, 100).await;
    });
}
