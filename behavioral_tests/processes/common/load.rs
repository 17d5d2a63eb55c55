//! Clients that never rest, and what every node must hold when they do: each counts on a counter of
//! its own, and overwrites large keys of its own while the log is to grow fast. Must never take for
//! acknowledged what was not, nor forget what was.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use raft::client::{CallError, Client, Reply};

use super::PATIENCE;
use super::cluster::{Cluster, is_refused, is_uncertain, ok};

/// How much is written.
#[derive(Clone, Copy, Debug)]
pub struct Size {
    /// Clients.
    pub clients: usize,
    /// Large keys of each.
    pub keys: usize,
    /// Bytes of a large value.
    pub bytes: usize,
}

/// Clients at work. They stop with this.
pub struct Load {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<Known>>,
    began: Instant,
}

struct Shared {
    stop: AtomicBool,
    heavy: AtomicBool,
    counted: AtomicU64,
}

/// What a client knows of what it wrote.
pub struct Known {
    number: usize,
    counted: i64,
    /// Counts that may have been applied or not.
    uncertain: i64,
    /// For each large key the numbers of the values that it may have.
    values: Vec<Vec<u64>>,
    bytes: usize,
    written: u64,
}

/// What was acknowledged in all.
pub struct Acknowledged {
    /// Writes.
    pub writes: u64,
    /// Writes of which nobody knows.
    pub uncertain: i64,
    /// How long the clients were at work.
    pub time: Duration,
}

impl fmt::Display for Acknowledged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Acknowledged { writes, uncertain, time } = self;
        write!(f, "{writes} writes acknowledged in {time:.1?}, {uncertain} uncertain; none lost")
    }
}

impl Load {
    /// Clients that talk to these nodes, in turn; returns when each large key has a value.
    pub fn start(cluster: &Cluster, nodes: &[u16], size: Size) -> Load {
        let shared = Arc::new(Shared {
            stop: AtomicBool::new(false),
            heavy: AtomicBool::new(false),
            counted: AtomicU64::new(0),
        });
        let began = Instant::now();
        let mut filled = Vec::new();
        for number in 0..size.clients {
            let address = cluster.address(nodes[number % nodes.len()]);
            filled.push(thread::spawn(move || {
                let mut known = Known::new(number, size);
                let mut client = connect(&address);
                (0..size.keys).for_each(|key| known.overwrite(&mut client, key));
                (known, client)
            }));
        }
        let filled: Vec<_> =
            filled.into_iter().map(|thread| thread.join().expect("it fills")).collect();
        let at_work = |(known, client)| {
            let shared = Arc::clone(&shared);
            thread::spawn(move || shared.work(known, client))
        };
        let threads = filled.into_iter().map(at_work).collect();
        Load { shared, threads, began }
    }

    /// Whether large values are written, too.
    pub fn set_heavy(&self, heavy: bool) {
        self.shared.heavy.store(heavy, Ordering::Relaxed);
    }

    /// Counts that were acknowledged so far.
    pub fn counted(&self) -> u64 {
        self.shared.counted.load(Ordering::Relaxed)
    }

    /// Stops the clients, and checks that every node has, by itself, what they know.
    pub fn check(mut self, cluster: &Cluster) -> Acknowledged {
        let known = self.stop();
        cluster.caught_up();
        let mut seen = Vec::new();
        for node in cluster.all() {
            let mut client = cluster.client(node);
            assert_eq!(client.call(&["READONLY"]).expect("an answer"), ok());
            let held = known.iter().map(|known| known.check(&mut client, node)).collect::<Vec<_>>();
            seen.push((held, client.call(&["DBSIZE"]).expect("an answer")));
        }
        assert!(seen.windows(2).all(|pair| pair[0] == pair[1]), "the nodes differ");
        Acknowledged {
            writes: known.iter().map(|known| known.counted as u64 + known.written).sum(),
            uncertain: known.iter().map(|known| known.uncertain).sum(),
            time: self.began.elapsed(),
        }
    }

    fn stop(&mut self) -> Vec<Known> {
        self.shared.stop.store(true, Ordering::Relaxed);
        self.threads.drain(..).map(|thread| thread.join().expect("a client at work")).collect()
    }
}

/// Before the nodes go, in a failed test.
impl Drop for Load {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            let _ = thread.join(); // what it has to say it has said
        }
    }
}

impl Shared {
    fn work(&self, mut known: Known, mut client: Client) -> Known {
        let mut turn = 0;
        while !self.stop.load(Ordering::Relaxed) {
            if known.count(&mut client) {
                self.counted.fetch_add(1, Ordering::Relaxed);
            }
            if self.heavy.load(Ordering::Relaxed) {
                known.overwrite(&mut client, turn % known.values.len());
                turn += 1;
            }
        }
        known
    }
}

impl Known {
    fn new(number: usize, size: Size) -> Known {
        Known {
            number,
            counted: 0,
            uncertain: 0,
            values: vec![Vec::new(); size.keys],
            bytes: size.bytes,
            written: 0,
        }
    }

    fn counter(&self) -> String {
        format!("counter-{}", self.number)
    }

    fn key(&self, key: usize) -> String {
        format!("large-{}-{key}", self.number)
    }

    /// The value of this number: no two writes have the same.
    fn value(&self, key: usize, number: u64) -> String {
        format!("{:>1$}", format!("{} {number}", self.key(key)), self.bytes)
    }

    /// Whether it was acknowledged.
    fn count(&mut self, client: &mut Client) -> bool {
        match write(client, &["INCR", &self.counter()]) {
            Some(Reply::Integer(value)) => {
                let possible = self.counted + 1..=self.counted + 1 + self.uncertain;
                assert!(possible.contains(&value), "{value}, not in {possible:?}");
                (self.counted, self.uncertain) = (value, 0);
                true
            }
            Some(reply) => panic!("a number: {reply:?}"),
            None => {
                self.uncertain += 1;
                false
            }
        }
    }

    fn overwrite(&mut self, client: &mut Client, key: usize) {
        let number = self.values[key].last().map_or(1, |last| last + 1);
        match write(client, &["SET", &self.key(key), &self.value(key, number)]) {
            Some(reply) => {
                assert_eq!(reply, ok());
                self.values[key] = vec![number];
                self.written += 1;
            }
            None => self.values[key].push(number),
        }
    }

    /// Whether what a node holds can be; what it holds.
    fn check(&self, client: &mut Client, node: u16) -> Vec<Reply> {
        let count = client.call(&["GET", &self.counter()]).expect("an answer");
        let possible = self.counted..=self.counted + self.uncertain;
        let texts: Vec<String> = possible.map(|count| count.to_string()).collect();
        assert!(is_one_of(&count, &texts), "node {node}: {count:?}, not in {texts:?}");
        let mut held = vec![count];
        for (key, numbers) in self.values.iter().enumerate() {
            let value = client.call(&["GET", &self.key(key)]).expect("an answer");
            let texts: Vec<String> =
                numbers.iter().map(|number| self.value(key, *number)).collect();
            assert!(
                is_one_of(&value, &texts),
                "node {node}: {}: not of {numbers:?}",
                self.key(key)
            );
            held.push(value);
        }
        held
    }
}

fn is_one_of(reply: &Reply, texts: &[String]) -> bool {
    matches!(reply, Reply::Bulk(bytes) if texts.iter().any(|text| text.as_bytes() == bytes))
}

fn connect(address: &str) -> Client {
    Client::connect(address, PATIENCE).expect("it listens")
}

/// A write's reply; none if nobody knows whether it was applied. What was refused is asked again.
fn write(client: &mut Client, words: &[&str]) -> Option<Reply> {
    let start = Instant::now();
    loop {
        match client.call(words) {
            Ok(reply) if is_refused(&reply) => {}
            Ok(reply) if is_uncertain(&reply) => return None,
            Ok(reply) => return Some(reply),
            Err(CallError::NotSent(_) | CallError::Unknown(_)) => {
                *client = connect(client.address());
                return None;
            }
        }
        assert!(start.elapsed() < PATIENCE, "refused all the time: {words:?}");
    }
}
