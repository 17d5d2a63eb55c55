//! What only sockets meet: strangers, nodes that use another transport, a port in use, addresses that
//! make no sense, and an exit with work undone.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::mpsc;

use super::tcp::{framed, taken};
use super::zeromq::{zmtp_dealer, zmtp_greeting, zmtp_ready};
use super::*;

/// A connection made by hand. Nothing on it may take long.
pub fn stranger(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).expect("connected");
    stream.set_read_timeout(Some(PATIENCE)).expect("a time-out");
    stream
}

/// Reads until the other end closes or resets the connection.
pub fn is_cut_off(mut stream: TcpStream) -> bool {
    let mut rest = Vec::new();
    match stream.read_to_end(&mut rest) {
        Ok(_) => true,
        Err(error) => error.kind() == std::io::ErrorKind::ConnectionReset,
    }
}

/// What has no sense for any transport, and what has some for the other one.
fn garbage() -> Vec<Vec<u8>> {
    let mut garbage: Vec<Vec<u8>> = vec![
        b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n".to_vec(),
        b"*1\r\n$4\r\nPING\r\n".to_vec(),
        zmtp_greeting(b"NULL")[..20].to_vec(),
        zmtp_greeting(b"CURVE"),
        [zmtp_greeting(b"NULL"), vec![0xff; 300]].concat(),
        [zmtp_greeting(b"NULL"), zmtp_ready(b"x"), vec![0xff; 300]].concat(),
        b"\0RFT\x01".to_vec(),
        vec![0; 300],
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
    garbage
}

async fn garbage_is_dropped_or_cut_off(place: Place) {
    let (mut a, mut b) = place.open_both().await;
    let address = place.address(B);
    let mut strangers = Vec::new();
    for bytes in garbage() {
        let mut stream = stranger(address);
        // The other end may already have had enough.
        let _ = stream.write_all(&bytes);
        strangers.push(stream);
    }
    // ZMTP 1.0 knows no greeting: an empty name, then a frame.
    stranger(address).write_all(b"\x01\x00\x06\x00hello").expect("written");

    // Whoever takes a name is heard: what it says is for the gate to refuse.
    let mut named = match &place {
        Place::Tcp(_) => taken(&mut *b, address, 77, Lane::Log).await,
        _ => zmtp_dealer(address, b"somebody"),
    };
    let frame = match &place {
        Place::Tcp(_) => framed(b"garbage"),
        _ => b"\x00\x07garbage".to_vec(),
    };
    named.write_all(&frame).expect("written");

    // Random bytes may happen to give themselves a name, too.
    let mut arrived = Vec::new();
    while let Some(frame) = next_within(&mut *b, A_WHILE).await {
        arrived.push(frame);
    }
    assert!(arrived.contains(&b"garbage".to_vec()), "{arrived:?}");
    assert!(!arrived.contains(&b"hello".to_vec()), "{arrived:?}");
    assert!(b.counts().unnamed > 0, "what ZMTP 1.0 said is counted");
    drop(strangers);
    for lane in LANES {
        stream(&mut *a, &mut *b, lane, 1_000).await;
    }
}

ask!(garbage_is_dropped_or_cut_off of zeromq, tcp);

/// Opens one of the ends at the same addresses with the other transport.
fn open_otherwise(place: &Place, id: NodeId) -> Box<dyn Transport> {
    let (own, other) = (place.address(id), place.address(if id == A { B } else { A }));
    let peers = [(if id == A { B } else { A }, other.to_string())];
    match place {
        Place::Tcp(_) => Box::new(ZeroMq::open(id, &own.to_string(), peers).expect("opened")),
        _ => Box::new(Tcp::open(id, &own.to_string(), peers).expect("opened")),
    }
}

/// Each connects to the other all the time, and hears nothing; once both are alike, they meet.
async fn a_peer_with_another_transport_is_nobody(place: Place) {
    let mut a = place.open(A);
    let mut b = open_otherwise(&place, B);
    for number in 0..200 {
        for lane in LANES {
            assert_eq!(a.send(B, lane, numbered(number)), Sent::Dropped);
            assert_eq!(b.send(A, lane, numbered(number)), Sent::Dropped);
        }
        a.flush();
        b.flush();
        assert_eq!(next_within(&mut *a, PACE).await, None);
        assert_eq!(next_within(&mut *b, PACE).await, None);
    }
    let refused = a.counts().unnamed + b.counts().unnamed;
    assert!((1..200).contains(&refused), "{refused} connections refused: with pauses, and counted");
    drop(b);
    let mut b = place.open(B);
    for lane in LANES {
        meet(&mut *a, B, &mut *b, lane).await;
        meet(&mut *b, A, &mut *a, lane).await;
    }
    stream(&mut *a, &mut *b, Lane::Log, 100).await;
}

ask!(a_peer_with_another_transport_is_nobody of zeromq, tcp);

/// Opens a transport of either kind as node A.
type Open = fn(&str, Vec<(NodeId, String)>) -> Result<SocketAddr, OpenError>;

const OPEN: [Open; 2] = [
    |listen, peers| Ok(ZeroMq::open(A, listen, peers)?.local_address().expect("an address")),
    |listen, peers| Ok(Tcp::open(A, listen, peers)?.local_address().expect("an address")),
];

#[test]
fn a_port_in_use_is_an_error_that_names_the_address() {
    run(async {
        for open in OPEN {
            let ports = Ports::claim();
            let address = ports.address(0).to_string();
            assert_eq!(open(&address, Vec::new()).expect("opened"), ports.address(0));
            let _first = std::net::TcpListener::bind(ports.address(0)).expect("closed again");
            let Err(error) = open(&address, Vec::new()) else {
                panic!("two listen at one address")
            };
            assert!(matches!(&error, OpenError::Listen { address: at, error }
                if *at == address && error.kind() == std::io::ErrorKind::AddrInUse));
            let text = error.to_string();
            assert!(text.contains(&address) && text.contains("in use"), "{text}");
        }
    });
}

#[test]
fn addresses_that_make_no_sense_are_errors() {
    run(async {
        for open in OPEN {
            for address in ["", "nonsense", "127.0.0.1", "127.0.0.1:port", "127.0.0.1:99999"] {
                let error = open(address, Vec::new()).err();
                let resolve = matches!(error, Some(OpenError::Resolve { .. }));
                assert!(resolve, "{address:?}: {error:?}");
            }
            let error = open("192.0.2.1:11000", Vec::new()).err();
            let listen = matches!(error, Some(OpenError::Listen { .. }));
            assert!(listen, "not of this machine: {error:?}");
            for address in ["", "nonsense", "127.0.0.1", "two words:1", "nul\0:1", "host:port"] {
                let ports = Ports::claim();
                let peers = vec![(B, address.to_owned())];
                let error = open(&ports.address(0).to_string(), peers).err();
                let named = matches!(&error, Some(OpenError::Peer { peer: B, address: of, .. })
                    if of == address);
                assert!(named, "{address:?}: {error:?}");
            }
        }
    });
}

/// Dropped with frames in every queue, beside a peer that never answered.
fn exit(place: fn() -> Place) {
    let (done, is_done) = mpsc::channel();
    std::thread::spawn(move || {
        run(async {
            let (mut a, b) = place().open_both().await;
            fill(&mut *a, Lane::Log);
            drop(a);
            let alone = place();
            let mut lonely = alone.open(A);
            let _ = lonely.send(B, Lane::Log, numbered(0));
            let _ = timeout(PACE, readable(&mut *lonely)).await;
            drop(lonely);
            drop(b);
        });
        done.send(()).expect("somebody waits");
    });
    is_done.recv_timeout(PATIENCE).expect("the exit does not hang");
}

#[test]
fn an_exit_waits_for_nobody() {
    exit(Place::zeromq);
    exit(Place::tcp);
}
