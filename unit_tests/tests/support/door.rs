//! A Redis door over a store in this process, and a client of raw bytes.
#![allow(dead_code, reason = "each test that includes this uses a part of it")]

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, Once, OnceLock};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime};

use messages::{LogIndex, LogPosition, LogTime, NodeId, Operation, SessionId, Term};
use raft::doors::resp::{Backend, Door, Member, Settings, serve};
use raft::store::Store;
use raft::store::arguments::Arguments;
use servers::host::{Batch, Filled, NoSnapshot, Outcome, PeerStatus, Snapshot, Status, Usage};
use servers::machine::{Applied, StateMachine};
use servers::sessions::Sessions;
use states::{Role, Space, Time, WallTime};
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, oneshot};

/// How long a test waits for bytes that should come.
const PATIENCE: Duration = Duration::from_secs(20);

const SNAPSHOT: Snapshot =
    Snapshot { position: LogPosition { term: Term(2), index: LogIndex(3) }, bytes: 4_000 };

/// A clock that begins with the first question.
pub fn clock() -> Time {
    static BEGIN: OnceLock<Instant> = OnceLock::new();
    Time(BEGIN.get_or_init(Instant::now).elapsed().as_micros() as u64 + 1)
}

fn wall() -> WallTime {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("after 1970");
    WallTime(now.as_micros() as u64)
}

/// What the tests say to the server behind the door, and what they see of it.
pub struct Script {
    /// Outcomes for the next batches, instead of executing them.
    pub outcomes: Mutex<VecDeque<Outcome>>,
    /// What comes of the next wishes for a snapshot, instead of the one in place.
    pub snapshots: Mutex<VecDeque<Result<Snapshot, NoSnapshot>>>,
    /// All batches so far.
    pub batches: Mutex<Vec<Seen>>,
    /// A batch that names the key `hold` waits here for a permit.
    pub hold: Semaphore,
}

/// A batch as the server saw it.
#[derive(Clone, Debug)]
pub struct Seen {
    pub arrived: Time,
    pub submitted: Time,
    pub stale: bool,
    pub commands: usize,
    pub queries: usize,
    pub bytes: usize,
}

struct Fake {
    store: RefCell<Store>,
    sessions: RefCell<Sessions>,
    /// Of the last entry: each batch is one, all of one term.
    index: Cell<u64>,
    script: Arc<Script>,
}

impl Backend for Fake {
    async fn submit(&self, batch: Batch) -> Outcome {
        let commands = batch.operations.iter().filter(|one| one.is_command()).count();
        self.script.batches.lock().unwrap().push(Seen {
            arrived: batch.arrived,
            submitted: clock(),
            stale: batch.stale,
            commands,
            queries: batch.operations.len() - commands,
            bytes: batch.operations.iter().map(Operation::size).sum(),
        });
        if batch.operations.iter().any(names_hold) {
            self.script.hold.acquire().await.expect("open").forget();
        }
        if let Some(outcome) = self.script.outcomes.lock().unwrap().pop_front() {
            return outcome;
        }
        self.index.update(|index| index + 1);
        let index = LogIndex(self.index.get());
        let mut machine = (&mut *self.store.borrow_mut(), &mut *self.sessions.borrow_mut());
        let time = LogTime(wall().0);
        let at = |place| Applied { index, place, time };
        machine.0.advance(at(0));
        let places = batch.operations.iter().enumerate();
        let replies = places.map(|(place, one)| execute(&mut machine, at(place), one)).collect();
        Outcome::Done { replies, position: Some(LogPosition::new(5, 3)) }
    }

    fn status(&self) -> Status {
        Status {
            id: NodeId(11),
            role: Role::Leader,
            term: Term(3),
            leader: Some(NodeId(11)),
            commit_index: LogIndex(5),
            applied_index: LogIndex(4),
            last: LogPosition::new(6, 3),
            durable: LogIndex(6),
            log_base: LogPosition::new(2, 2),
            log_bytes: 88,
            space: Space::Enough,
            snapshot: Some(SNAPSHOT),
            peers: [12, 13]
                .map(|id| PeerStatus { id: NodeId(id), matched: None, heard_ago: None })
                .to_vec(),
            refused_frames: 4,
            usage: usage(),
        }
    }

    async fn log_tail(&self, count: usize) -> Vec<LogPosition> {
        let all = [4, 5, 6].map(|index| LogPosition::new(index, 3));
        all[all.len().saturating_sub(count)..].to_vec()
    }

    async fn snapshot(&self) -> Result<Snapshot, NoSnapshot> {
        self.script.snapshots.lock().unwrap().pop_front().unwrap_or(Ok(SNAPSHOT))
    }
}

/// Each number another.
fn usage() -> Usage {
    let filled = |used| Filled { used, limit: 1_000 + used };
    Usage {
        since_snapshot: filled(1),
        log: filled(88),
        log_entries: 4,
        sessions: filled(3),
        answers: filled(30),
        waiting: filled(5),
        uncommitted: filled(6),
        in_flight: filled(7),
    }
}

fn names_hold(operation: &Operation) -> bool {
    let (Operation::Command(bytes) | Operation::Query(bytes)) = operation else { return false };
    Arguments::decode(bytes).expect("a request").any(|argument| argument == b"hold")
}

fn execute(
    (store, sessions): &mut (&mut Store, &mut Sessions),
    at: Applied,
    operation: &Operation,
) -> bytes::Bytes {
    let mut reply = Vec::new();
    match operation {
        Operation::Command(command) => store.apply(at, command, &mut reply),
        Operation::Query(query) => store.query(query, &mut reply),
        Operation::OpenSession => sessions.open(SessionId(at.stamp()), &mut reply),
        Operation::Session { session, number, command } => {
            sessions
                .execute(*session, *number, &mut reply, |reply| store.apply(at, command, reply));
        }
        Operation::Outcome { session, number } => sessions.outcome(*session, *number, &mut reply),
        Operation::CloseSession(session) => sessions.close(*session, &mut reply),
    }
    reply.into()
}

const THREAD: &str = "door";
static PANICKED: AtomicBool = AtomicBool::new(false);

/// A panic in a connection's task ends only that task: without this nobody would notice.
fn watch_for_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let hook = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            if std::thread::current().name() == Some(THREAD) {
                PANICKED.store(true, Ordering::SeqCst);
            }
            hook(panic);
        }));
    });
}

/// A door that is open until it is dropped.
pub struct Open {
    pub port: u16,
    pub script: Arc<Script>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// Opens a door; `adjust` changes its settings.
pub fn open(adjust: impl FnOnce(&mut Settings)) -> Open {
    let listener = (11_000..21_000)
        .cycle()
        .skip(std::process::id() as usize * 7 % 10_000)
        .take(10_000)
        .find_map(|port| std::net::TcpListener::bind(("127.0.0.1", port)).ok())
        .expect("a free port between 11000 and 20999");
    listener.set_nonblocking(true).expect("nonblocking");
    let port = listener.local_addr().expect("bound").port();
    let member =
        |name: &str, port| Member { name: name.into(), client: format!("127.0.0.1:{port}") };
    let mut settings = Settings {
        node: NodeId(11),
        members: BTreeMap::from([(NodeId(11), member("1", port)), (NodeId(12), member("2", 1))]),
        port,
        max_request: 1 << 20,
        max_clients: 100,
        write_stall: Duration::from_secs(30),
        clock,
        wall,
    };
    adjust(&mut settings);
    let script = Arc::new(Script {
        outcomes: Mutex::default(),
        snapshots: Mutex::default(),
        batches: Mutex::default(),
        hold: Semaphore::new(0),
    });
    let (stop, stopped) = oneshot::channel();
    let fake_script = Arc::clone(&script);
    watch_for_panics();
    let thread = std::thread::Builder::new()
        .name(THREAD.into())
        .spawn(move || run(listener, settings, fake_script, stopped))
        .expect("a thread");
    Open { port, script, stop: Some(stop), thread: Some(thread) }
}

fn run(
    listener: std::net::TcpListener,
    settings: Settings,
    script: Arc<Script>,
    stopped: oneshot::Receiver<()>,
) {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().expect("tokio");
    let local = tokio::task::LocalSet::new();
    local.block_on(&runtime, async {
        let listener = TcpListener::from_std(listener).expect("a listener");
        let door = Rc::new(Door::new(settings));
        let fake = Rc::new(Fake {
            store: RefCell::default(),
            sessions: RefCell::default(),
            index: Cell::new(0),
            script,
        });
        let serving = serve(listener, Rc::clone(&door), fake);
        let stopping = async {
            let _ = stopped.await;
            door.stop();
        };
        tokio::join!(serving, stopping);
        while door.connected() > 0 {
            tokio::task::yield_now().await;
        }
    });
}

impl Open {
    pub fn connect(&self) -> Client<TcpStream> {
        let stream = TcpStream::connect(("127.0.0.1", self.port)).expect("the door is open");
        stream.set_read_timeout(Some(PATIENCE)).expect("a time-out");
        stream.set_write_timeout(Some(PATIENCE)).expect("a time-out");
        stream.set_nodelay(true).expect("no delay");
        Client::new(stream)
    }

    pub fn batches(&self) -> Vec<Seen> {
        self.script.batches.lock().unwrap().clone()
    }

    /// Waits until the server has seen so many batches.
    pub fn await_batches(&self, count: usize) {
        let begin = Instant::now();
        while self.batches().len() < count {
            assert!(begin.elapsed() < PATIENCE, "only {} batches came", self.batches().len());
            std::thread::yield_now();
        }
    }

    pub fn stop(&mut self) {
        if let Some(stop) = self.stop.take() {
            let _ = stop.send(());
        }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.stop();
        // A thread that panicked has said so; a client that a failed test left behind is no reason
        // to wait.
        if let Some(thread) = self.thread.take().filter(|_| !std::thread::panicking()) {
            thread.join().expect("the door's thread");
            assert!(!PANICKED.load(Ordering::SeqCst), "a connection's task panicked");
        }
    }
}

/// A client that sees every byte.
pub struct Client<S> {
    pub stream: S,
    buffer: Vec<u8>,
}

impl<S: Read + Write> Client<S> {
    pub fn new(stream: S) -> Client<S> {
        Client { stream, buffer: Vec::new() }
    }

    pub fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).expect("written");
    }

    /// Sends words as one request and returns the bytes of the reply.
    pub fn call(&mut self, words: &str) -> Vec<u8> {
        self.send(&request(&words.split(' ').collect::<Vec<_>>()));
        self.reply()
    }

    pub fn text(&mut self, words: &str) -> String {
        String::from_utf8(self.call(words)).expect("text")
    }

    /// The bytes of one whole reply, whatever nests in it.
    pub fn reply(&mut self) -> Vec<u8> {
        let (mut left, mut at) = (1, 0);
        while left > 0 {
            let end = self.line_end(at);
            let (kind, line) = (self.buffer[at], &self.buffer[at + 1..end - 2]);
            let number = str::from_utf8(line).ok().and_then(|line| line.parse::<i64>().ok());
            let count = || number.expect("a length").max(0) as usize;
            at = end;
            left -= 1;
            match kind {
                b'*' | b'~' | b'>' => left += count(),
                b'%' => left += 2 * count(),
                b'$' | b'=' if number != Some(-1) => {
                    at += count() + 2;
                    self.fill(at);
                }
                b'$' | b'+' | b'-' | b':' | b'_' => {}
                other => panic!("no reply begins with {}", other.escape_ascii()),
            }
        }
        let rest = self.buffer.split_off(at);
        std::mem::replace(&mut self.buffer, rest)
    }

    fn line_end(&mut self, from: usize) -> usize {
        loop {
            if let Some(at) = self.buffer[from..].iter().position(|&byte| byte == b'\n') {
                return from + at + 1;
            }
            self.fill(self.buffer.len() + 1);
        }
    }

    fn fill(&mut self, length: usize) {
        let mut piece = vec![0; 64 << 10];
        while self.buffer.len() < length {
            let bytes = self.stream.read(&mut piece).expect("bytes in time");
            let so_far = self.buffer.escape_ascii();
            assert!(bytes > 0, "closed in the middle of a reply: {so_far}");
            self.buffer.extend_from_slice(&piece[..bytes]);
        }
    }

    /// All bytes up to the end of the connection, which must be an orderly one.
    pub fn rest(&mut self) -> Vec<u8> {
        self.stream.read_to_end(&mut self.buffer).expect("the end in time");
        std::mem::take(&mut self.buffer)
    }

    /// As [`Self::rest`] of a server that closes without reading what else was sent, which a socket
    /// reports as a reset.
    pub fn rest_or_reset(&mut self) -> Vec<u8> {
        let end = self.stream.read_to_end(&mut self.buffer).map_err(|error| error.kind());
        assert!(
            matches!(end, Ok(_) | Err(ErrorKind::ConnectionReset)),
            "{end:?} instead of an end"
        );
        std::mem::take(&mut self.buffer)
    }
}

/// A request as clients send it.
pub fn request<W: AsRef<[u8]>>(words: &[W]) -> Vec<u8> {
    let mut bytes = format!("*{}\r\n", words.len()).into_bytes();
    for word in words.iter().map(AsRef::as_ref) {
        bytes.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
        bytes.extend_from_slice(word);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes
}

/// Requests of words, one a line, in one piece.
pub fn pipeline(lines: &str) -> Vec<u8> {
    let lines = lines.lines().map(str::trim).filter(|line| !line.is_empty());
    lines.flat_map(|line| request(&line.split(' ').collect::<Vec<_>>())).collect()
}

/// SplitMix64.
pub struct Random(pub u64);

impl Random {
    pub fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) % limit as u64) as usize
    }

    pub fn pick<'a, T: ?Sized>(&mut self, from: &[&'a T]) -> &'a T {
        from[self.below(from.len())]
    }
}
