//! Real Redis clients against real nodes, with the clients' defaults. They are found in the folder
//! that `RAFT_CLIENTS` names: a Python with redis-py in `venv`, node-redis in `node`.

mod common;

use std::io::{self, BufRead, BufReader, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Command, Output};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use common::Ports;
use common::cluster::{CALM, Cluster};

const SCRIPTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../behavioral_tests/processes/clients");

fn installed() -> PathBuf {
    std::env::var_os("RAFT_CLIENTS").expect("RAFT_CLIENTS names the clients' folder").into()
}

fn python(script: &str) -> Command {
    let mut command = Command::new(installed().join("venv/bin/python"));
    command.arg(format!("{SCRIPTS}/{script}"));
    command
}

fn node(script: &str) -> Command {
    let mut command = Command::new("node");
    command.env("NODE_PATH", installed().join("node/node_modules"));
    command.arg(format!("{SCRIPTS}/{script}"));
    command
}

/// Runs it to a good end; what it said on stdout and on stderr.
fn succeed(command: &mut Command) -> (String, String) {
    let Output { status, stdout, stderr } = command.output().expect("it is installed");
    let (stdout, stderr) = (String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
    assert!(status.success(), "{command:?}: {status}\n{stdout}{stderr}");
    (stdout.into_owned(), stderr.into_owned())
}

fn cluster() -> (Cluster, Vec<String>) {
    let cluster = Cluster::start_new(3, &CALM);
    let port = |node| cluster.address(node).rsplit_once(':').expect("HOST:PORT").1.to_owned();
    let ports = cluster.all().into_iter().map(port).collect();
    (cluster, ports)
}

fn redis_cli(port: &str, words: &[&str]) -> String {
    let (stdout, stderr) = succeed(Command::new("redis-cli").args(["-p", port]).args(words));
    assert_eq!(stderr, "");
    stdout
}

#[test]
#[ignore = "needs redis-cli, redis-py and node-redis; .ci/run installs them"]
fn redis_cli_reads_through_any_node_what_it_just_wrote_through_another() {
    let (_cluster, ports) = cluster();
    for writer in &ports {
        for reader in &ports {
            let value = format!("from {writer} to {reader}");
            assert_eq!(redis_cli(writer, &["set", "greeting", &value]), "OK\n");
            assert_eq!(redis_cli(reader, &["get", "greeting"]), format!("{value}\n"));
            assert_eq!(redis_cli(reader, &["-3", "get", "greeting"]), format!("{value}\n"));
        }
    }
}

#[test]
#[ignore = "needs redis-cli, redis-py and node-redis; .ci/run installs them"]
fn redis_py_works_with_its_defaults_and_with_each_protocol() {
    let (_cluster, ports) = cluster();
    let (_, warnings) = succeed(python("redis_py.py").args(ports));
    assert_eq!(warnings, "");
}

#[test]
#[ignore = "needs redis-cli, redis-py and node-redis; .ci/run installs them"]
fn node_redis_works_with_its_defaults_and_with_each_protocol() {
    let (_cluster, ports) = cluster();
    let (_, warnings) = succeed(node("node_redis.cjs").args(ports));
    assert_eq!(warnings, "");
}

#[test]
#[ignore = "needs redis-cli, redis-py and node-redis; .ci/run installs them"]
fn redis_benchmark_runs_without_a_warning() {
    let (_cluster, ports) = cluster();
    let mut command = Command::new("redis-benchmark");
    command.args(["-p", &ports[0], "-q", "-n", "400", "-c", "8", "-P", "4"]);
    let (stdout, stderr) = succeed(command.args(["-t", "ping,set,get,incr,mset"]));
    assert_eq!(stderr, "");
    let ends = stdout.lines().filter(|line| line.contains("requests per second"));
    assert_eq!(ends.count(), 6, "{stdout}"); // PING in two forms
    assert!(!stdout.contains("WARN") && !stdout.to_lowercase().contains("error"), "{stdout}");
}

/// A server that closes the connection on each `INCR`, and counts them: it dies at the worst moment.
struct Dying {
    ports: Ports,
    counts: Arc<AtomicUsize>,
}

impl Dying {
    fn start() -> Dying {
        let ports = Ports::claim();
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, ports.port(0))).expect("its port");
        let counts = Arc::new(AtomicUsize::new(0));
        let dying = Dying { ports, counts: Arc::clone(&counts) };
        // Ends with the test's process.
        thread::spawn(move || {
            for connection in listener.incoming() {
                let counts = Arc::clone(&counts);
                thread::spawn(move || connection.and_then(|open| serve(&open, &counts)));
            }
        });
        dying
    }

    /// How often a client sent the one count that it was asked for.
    fn receives(&self, client: &mut Command, way: &str) -> usize {
        self.counts.store(0, Ordering::SeqCst);
        succeed(client.args([way, &self.ports.port(0).to_string()]));
        self.counts.load(Ordering::SeqCst)
    }
}

fn serve(stream: &TcpStream, counts: &AtomicUsize) -> io::Result<()> {
    let mut requests = BufReader::new(stream);
    loop {
        let words = request(&mut requests)?;
        let mut answer: &TcpStream = stream;
        match words.first().map(|name| name.to_uppercase()).as_deref() {
            Some("INCR" | "INCRBY") => {
                counts.fetch_add(1, Ordering::SeqCst);
                return Ok(());
            }
            Some("HELLO") => answer.write_all(b"%2\r\n+server\r\n+redis\r\n+proto\r\n:3\r\n")?,
            Some("PING") => answer.write_all(b"+PONG\r\n")?,
            Some(_) => answer.write_all(b"+OK\r\n")?,
            None => return Ok(()),
        }
    }
}

/// The words of the next request; none at the end.
fn request(requests: &mut impl BufRead) -> io::Result<Vec<String>> {
    let number = |requests: &mut dyn BufRead| -> io::Result<usize> {
        let mut line = String::new();
        requests.read_line(&mut line)?;
        Ok(line.trim_end().get(1..).and_then(|digits| digits.parse().ok()).unwrap_or(0))
    };
    let mut words = Vec::new();
    for _ in 0..number(requests)? {
        let mut word = vec![0; number(requests)? + 2];
        requests.read_exact(&mut word)?;
        words.push(String::from_utf8_lossy(&word[..word.len() - 2]).into_owned());
    }
    Ok(words)
}

#[test]
#[ignore = "needs redis-cli, redis-py and node-redis; .ci/run installs them"]
fn clients_send_a_count_again_as_readme_says() {
    let dying = Dying::start();
    assert!(dying.receives(&mut python("resend_redis_py.py"), "defaults") > 1);
    assert_eq!(dying.receives(&mut python("resend_redis_py.py"), "advised"), 1);
    assert_eq!(dying.receives(&mut node("resend_node_redis.cjs"), "defaults"), 1);
    assert_eq!(dying.receives(&mut node("resend_node_redis.cjs"), "advised"), 1);
}
