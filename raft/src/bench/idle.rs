//! Connections that have been served and ask for nothing more. Must never count one that the server
//! has refused.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use super::descriptors;
use crate::client;
use crate::exit::{self, Failure};
use crate::render;

/// How long connecting may take, and each answer.
const PATIENCE: Duration = Duration::from_secs(5);
const PONG: &[u8] = b"+PONG\r\n";
/// Of an answer that is another, so much is told.
const MOST_WORDS: u64 = 200;

/// Connections that are open until this goes out of scope.
#[derive(Debug)]
pub struct Idle {
    _connections: Vec<TcpStream>,
}

impl Idle {
    /// Opens so many, each of which asks `PING` once. Descriptors for `others` more are made sure of.
    ///
    /// # Errors
    /// If this process may not open as many, or the server does not take and answer each.
    pub fn open(address: SocketAddr, count: usize, others: usize) -> Result<Idle, Failure> {
        descriptors::allow(count + others, || format!("a load beside {count} idle connections"))?;
        let mut connections = Vec::with_capacity(count);
        for number in 1..=count {
            let connection = greeted(address).map_err(|why| {
                let text = format!("{address}: idle connection {number} of {count}: {why}");
                Failure::new(exit::UNAVAILABLE, text)
            })?;
            connections.push(connection);
        }
        Ok(Idle { _connections: connections })
    }
}

fn greeted(address: SocketAddr) -> Result<TcpStream, String> {
    let why = |error: io::Error| client::reason(&error);
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE).map_err(why)?;
    stream.set_read_timeout(Some(PATIENCE)).map_err(why)?;
    stream.write_all(b"*1\r\n$4\r\nPING\r\n").map_err(why)?;
    let mut answer = [0; PONG.len()];
    stream.read_exact(&mut answer).map_err(why)?;
    if answer == PONG {
        return Ok(stream);
    }
    // What it says more is only for people: it may end in an error.
    let mut text = answer.to_vec();
    let _ = stream.take(MOST_WORDS).read_to_end(&mut text);
    Err(render::plain(String::from_utf8_lossy(&text).trim_end()))
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::thread;

    use super::*;

    #[test]
    fn a_connection_that_is_refused_is_not_counted() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("bound");
        thread::spawn(move || {
            for (stream, answer) in listener.incoming().zip(["+PONG\r\n", "-ERR too many\r\n"]) {
                let mut stream = stream.expect("a connection");
                let _ = stream.read(&mut [0; 64]);
                let _ = stream.write_all(answer.as_bytes());
            }
        });
        let failure = Idle::open(address, 2, 0).expect_err("the second one is refused");
        assert_eq!(failure.code(), exit::UNAVAILABLE);
        let text = failure.to_string();
        assert!(text.ends_with("idle connection 2 of 2: -ERR too many"), "{text}");
    }
}
