//! What only ZeroMQ meets: its protocol spoken by hand, and what its library makes of resets.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};

use super::sockets::{is_cut_off, stranger};
use super::*;

/// How ZMTP 3.0 begins, with a security mechanism.
pub fn zmtp_greeting(mechanism: &[u8]) -> Vec<u8> {
    let mut greeting = vec![0xff, 0, 0, 0, 0, 0, 0, 0, 0, 0x7f, 3, 0];
    greeting.extend_from_slice(mechanism);
    greeting.resize(64, 0);
    greeting
}

/// The one command of a DEALER: READY, with its name.
pub fn zmtp_ready(name: &[u8]) -> Vec<u8> {
    let mut ready = b"\x05READY\x0bSocket-Type\x00\x00\x00\x06DEALER\x08Identity".to_vec();
    ready.extend_from_slice(&(name.len() as u32).to_be_bytes());
    ready.extend_from_slice(name);
    [&[4, ready.len() as u8], &ready[..]].concat()
}

/// A ZMTP peer by hand, ready to send frames.
pub fn zmtp_dealer(address: SocketAddr, name: &[u8]) -> TcpStream {
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

#[test]
fn messages_of_other_than_one_part_are_dropped_and_counted() {
    run(async {
        let place = Place::zeromq();
        let (_a, mut b) = place.open_both().await;
        let mut stream = zmtp_dealer(place.address(B), b"somebody");
        let two_parts = b"\x01\x03one\x00\x03two";
        let three_parts = b"\x01\x03one\x01\x03two\x00\x05three";
        let bytes = [&two_parts[..], three_parts, b"\x00\x05alone"].concat();
        stream.write_all(&bytes).expect("written");
        assert_eq!(next(&mut *b).await, b"alone");
        assert_eq!(b.counts().malformed, 2);
    });
}

#[test]
fn an_oversize_frame_of_zmtp_is_cut_off() {
    run(async {
        let place = Place::zeromq();
        let (mut a, mut b) = place.open_both().await;
        let mut stream = zmtp_dealer(place.address(B), b"somebody");
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
        let mut stream = doomed(place.address(B), b"somebody");
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
        let address = place.address(B);
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
        let address = place.address(B);
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
        let address = place.address(B);
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
        let other = TcpListener::bind(place.address(B)).expect("bound");
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
