//! Links with real sockets at both ends.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use super::*;

/// How long anything may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);
/// How long nothing must come where nothing may.
const SILENCE: Duration = Duration::from_millis(100);

/// A link from 1 to 2, and who listens behind it.
struct Pair {
    links: Links,
    listener: TcpListener,
}

impl Pair {
    fn new() -> Pair {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        let target = listener.local_addr().expect("an address");
        let links = Links::start(vec![Link { from: 1, to: 2, target }]).expect("a thread");
        Pair { links, listener }
    }

    fn open(&self) -> TcpStream {
        let stream = TcpStream::connect(self.links.address(1, 2)).expect("the proxy listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("a time-out");
        stream
    }

    /// Both ends of a connection over which a byte has passed.
    fn connect(&self) -> (TcpStream, TcpStream) {
        let mut near = self.open();
        let mut far = accept(&self.listener);
        near.write_all(b"!").expect("it is open");
        far.read_exact(&mut [0]).expect("it passes");
        (near, far)
    }
}

/// The connection onward; a link that makes none must not hold the test for ever.
fn accept(listener: &TcpListener) -> TcpStream {
    listener.set_nonblocking(true).expect("a socket");
    let start = Instant::now();
    let far = loop {
        match listener.accept() {
            Ok((far, _)) => break far,
            Err(_) => assert!(start.elapsed() < PATIENCE, "it never connects onward"),
        }
        thread::sleep(Duration::from_millis(1));
    };
    far.set_nonblocking(false).expect("a socket");
    far.set_read_timeout(Some(PATIENCE)).expect("a time-out");
    far
}

fn silent(stream: &TcpStream) -> bool {
    stream.set_read_timeout(Some(SILENCE)).expect("a time-out");
    let seen = stream.peek(&mut [0]);
    stream.set_read_timeout(Some(PATIENCE)).expect("a time-out");
    matches!(seen, Err(error) if error.kind() == io::ErrorKind::WouldBlock)
}

/// Whether it ends without another byte.
fn ends(stream: &mut TcpStream) -> bool {
    match stream.read(&mut [0]) {
        Ok(count) => count == 0,
        Err(error) => error.kind() == io::ErrorKind::ConnectionReset,
    }
}

fn received(stream: &mut TcpStream, count: usize) -> Vec<u8> {
    let mut bytes = vec![0; count];
    stream.read_exact(&mut bytes).expect("all of it comes");
    bytes
}

#[test]
fn bytes_pass_both_ways_unchanged() {
    let pair = Pair::new();
    let (mut near, mut far) = pair.connect();
    let sent: Vec<u8> = (0..3_000_000_u32).map(|number| (number * 7 / 3) as u8).collect();
    let writer = std::thread::spawn({
        let (mut near, sent) = (near.try_clone().expect("a copy"), sent.clone());
        move || near.write_all(&sent)
    });
    assert_eq!(received(&mut far, sent.len()), sent);
    writer.join().expect("no panic").expect("all is written");
    far.write_all(b"pong").expect("it is open");
    assert_eq!(received(&mut near, 4), b"pong");
}

#[test]
fn what_was_said_before_the_end_arrives_before_the_end() {
    let pair = Pair::new();
    pair.links.delay(1, 2, Duration::from_millis(50));
    let (mut near, mut far) = pair.connect();
    near.write_all(b"last words").expect("it is open");
    near.shutdown(Shutdown::Both).expect("it was open");
    assert_eq!(received(&mut far, 10), b"last words");
    assert!(ends(&mut far));
}

#[test]
fn an_end_is_passed_backward() {
    let pair = Pair::new();
    let (mut near, far) = pair.connect();
    drop(far);
    assert!(ends(&mut near));
}

#[test]
fn where_nobody_listens_connections_are_closed() {
    let Pair { links, listener } = Pair::new();
    drop(listener);
    let mut near = TcpStream::connect(links.address(1, 2)).expect("the proxy listens");
    near.set_read_timeout(Some(PATIENCE)).expect("a time-out");
    assert!(ends(&mut near));
}

#[test]
fn a_silent_cut_keeps_connections_and_healing_breaks_them() {
    let pair = Pair::new();
    let (mut near, mut far) = pair.connect();
    pair.links.cut(1, 2, Cut::Silent);
    near.write_all(b"lost").expect("buffers take it");
    far.write_all(b"lost").expect("buffers take it");
    assert!(silent(&near) && silent(&far));
    let mut opened_meanwhile = pair.open();
    opened_meanwhile.write_all(b"lost").expect("buffers take it");
    assert!(silent(&opened_meanwhile));

    pair.links.heal();
    for stream in [&mut near, &mut far, &mut opened_meanwhile] {
        assert!(ends(stream), "not a byte after the hole");
    }
    pair.connect();
}

#[test]
fn a_silent_cut_tells_nobody_that_the_other_end_closed() {
    let pair = Pair::new();
    let (near, far) = pair.connect();
    pair.links.cut(1, 2, Cut::Silent);
    assert!(silent(&near));
    drop(far);
    assert!(silent(&near));
}

#[test]
fn an_opener_that_gives_up_in_the_dark_costs_nothing_more() {
    let pair = Pair::new();
    let (mut near, mut far) = pair.connect();
    pair.links.cut(1, 2, Cut::Silent);
    assert!(silent(&far));
    near.write_all(b"unread").expect("buffers take it");
    drop(near);
    assert!(ends(&mut far), "the proxy has let both go");
}

#[test]
fn a_refused_link_closes_connections_old_and_new() {
    let pair = Pair::new();
    let (mut near, mut far) = pair.connect();
    pair.links.cut(1, 2, Cut::Refused);
    assert!(ends(&mut near) && ends(&mut far));
    assert!(ends(&mut pair.open()));
    assert!(!pair.links.connects(1, 2));
}

#[test]
fn a_delay_keeps_order_and_is_forward_only() {
    let pair = Pair::new();
    let delay = Duration::from_millis(150);
    let (mut near, mut far) = pair.connect();
    pair.links.delay(1, 2, delay);
    let start = Instant::now();
    for number in 0..100_u8 {
        near.write_all(&[number]).expect("it is open");
    }
    assert_eq!(received(&mut far, 100), (0..100).collect::<Vec<u8>>());
    assert!(start.elapsed() >= delay);

    pair.links.delay(1, 2, Duration::from_secs(3600));
    near.write_all(b"later").expect("it is open");
    far.write_all(b"now").expect("it is open");
    assert_eq!(received(&mut near, 3), b"now");
    assert!(silent(&far));
    pair.links.heal();
    assert_eq!(received(&mut far, 5), b"later", "healed, nothing was lost");
}

#[test]
fn a_delayed_link_takes_in_more_while_the_first_bytes_wait() {
    let pair = Pair::new();
    let delay = Duration::from_millis(300);
    let (near, mut far) = pair.connect();
    pair.links.delay(1, 2, delay);
    let sent = vec![7; 8 << 20];
    let start = Instant::now();
    let writer = std::thread::spawn({
        let (mut near, sent) = (near.try_clone().expect("a copy"), sent.clone());
        move || near.write_all(&sent)
    });
    assert_eq!(received(&mut far, sent.len()), sent);
    writer.join().expect("no panic").expect("all is written");
    // One window of 64 KiB each delay would take 128 delays.
    assert!(start.elapsed() < 20 * delay, "{:?}", start.elapsed());
}

#[test]
fn a_throttled_link_passes_so_many_bytes_a_second() {
    let pair = Pair::new();
    let (mut near, mut far) = pair.connect();
    pair.links.throttle(1, 2, Some(10_000));
    let start = Instant::now();
    near.write_all(&[1; 3_000]).expect("buffers take it");
    received(&mut far, 3_000);
    assert!(start.elapsed() >= Duration::from_millis(250), "{:?}", start.elapsed());
    near.write_all(&vec![2; 1 << 20]).expect("buffers take it");
    pair.links.throttle(1, 2, None);
    received(&mut far, 1 << 20);
}

#[test]
fn faults_are_of_one_direction_alone() {
    let listeners: Vec<TcpListener> =
        (0..2).map(|_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port")).collect();
    let targets: Vec<SocketAddr> =
        listeners.iter().map(|listener| listener.local_addr().expect("an address")).collect();
    let links = Links::between_all(&targets).expect("a thread");
    assert_eq!(links.all().collect::<Vec<_>>(), [(1, 2), (2, 1)]);
    links.cut(1, 2, Cut::Silent);
    let mut near = TcpStream::connect(links.address(2, 1)).expect("the proxy listens");
    near.write_all(b"!").expect("it is open");
    let mut far = accept(&listeners[0]);
    assert_eq!(received(&mut far, 1), b"!");
    assert_eq!(links.condition(1, 2).cut, Some(Cut::Silent));
    assert_eq!(links.condition(2, 1), Condition::default());
}
