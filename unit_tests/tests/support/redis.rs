//! A `redis-server` 7.0 of a test's own, to compare with.
#![allow(dead_code, reason = "each test that includes this uses a part of it")]

use std::io::{BufRead, BufReader};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::door::Client;

/// A Redis of this test, behind a socket in a folder of its own.
pub struct Redis {
    process: Child,
    socket: PathBuf,
    _folder: tempfile::TempDir,
}

impl Redis {
    pub fn start() -> Redis {
        let folder = tempfile::tempdir().expect("a folder");
        let socket = folder.path().join("redis");
        let mut process = Command::new("redis-server")
            .args(["--port", "0", "--save", "", "--appendonly", "no", "--unixsocket"])
            .arg(&socket)
            .current_dir(folder.path())
            .stdout(Stdio::piped())
            .spawn()
            .expect("redis-server starts: this test compares with it, install Redis 7.0");
        let lines = BufReader::new(process.stdout.take().expect("piped")).lines();
        let mut lines = lines.map(|line| line.expect("text"));
        assert!(
            lines.any(|line| line.contains("ready to accept connections")),
            "redis-server ended before it was ready"
        );
        let mut redis = Redis { process, socket, _folder: folder };
        let server = String::from_utf8(redis.connect().call("info server")).expect("text");
        assert!(server.contains("redis_version:7.0."), "not Redis 7.0: {server}");
        redis
    }

    pub fn connect(&mut self) -> Client<UnixStream> {
        let stream = UnixStream::connect(&self.socket).expect("redis-server listens");
        stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a time-out");
        Client::new(stream)
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Redis does not order keys.
pub fn in_order(sent: &[u8], reply: Vec<u8>) -> Vec<u8> {
    if !sent.to_ascii_lowercase().windows(10).any(|part| part == b"$4\r\nkeys\r\n") {
        return reply;
    }
    let text: String = reply.iter().map(|&byte| char::from(byte)).collect();
    let mut parts: Vec<&str> = text.split("\r\n$").collect();
    parts[1..].sort_unstable();
    let joined = parts.join("\r\n$");
    let mut letters: Vec<u8> = joined.chars().map(|letter| letter as u8).collect();
    letters.sort_unstable();
    letters
}
