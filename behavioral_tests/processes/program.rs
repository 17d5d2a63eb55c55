//! The program `raft` from outside: exit codes, whole messages, and what goes to which stream.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;

const THREE: &str = "127.0.0.1:11001,127.0.0.1:11002,127.0.0.1:11003";

/// Nothing ever listens there: a port below 1024 that only root could bind.
const NOBODY: &str = "127.0.0.1:1";

/// The program without what this process's environment says to it.
fn raft() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_raft"));
    for (name, _) in std::env::vars_os().filter(|(name, _)| is_ours(name)) {
        command.env_remove(name);
    }
    command.stdin(Stdio::null());
    command
}

fn is_ours(name: &std::ffi::OsStr) -> bool {
    name.to_string_lossy().starts_with("RAFT_")
}

fn run(arguments: &[&str]) -> Output {
    raft().args(arguments).output().expect("the program runs")
}

fn code(output: &Output) -> i32 {
    output.status.code().expect("it ended by itself")
}

fn stdout(output: &Output) -> &str {
    std::str::from_utf8(&output.stdout).expect("text")
}

fn stderr(output: &Output) -> &str {
    std::str::from_utf8(&output.stderr).expect("text")
}

/// The program failed with this code, printed nothing but this one line, and that on stderr.
#[track_caller]
fn failed(output: &Output, expected: i32, line: &str) {
    assert_eq!(stderr(output), format!("raft: {line}\n"));
    assert_eq!(stdout(output), "");
    assert_eq!(code(output), expected);
}

#[track_caller]
fn succeeded(output: &Output, text: &str) {
    assert_eq!(stderr(output), "");
    assert_eq!(stdout(output), text);
    assert_eq!(code(output), 0);
}

#[test]
fn usage_errors_exit_2_with_one_line() {
    let cases: [(&[&str], &str); 6] = [
        (
            &["bogus"],
            "Found argument 'bogus' which wasn't expected, or isn't valid in this context; see raft \
             --help",
        ),
        (
            &["status", "--bogus"],
            "Found argument '--bogus' which wasn't expected, or isn't valid in this context; see raft \
             status --help",
        ),
        (
            &["run", "55536"],
            "Invalid value for '<PORT>': expected a port from 1 to 55535 (peers use the port + 10000); \
             see raft run --help",
        ),
        (
            &["init", "d", "--members", "127.0.0.1:55536"],
            "Invalid value for '--members <HOST:PORT,...>...': expected a port from 1 to 55535 (peers \
             use the port + 10000); see raft init --help",
        ),
        (
            &["init", "d", "--members", "127.0.0.1:11001,127.0.0.1:11001"],
            "--members: 127.0.0.1:11001 is needed twice (each member takes its port and the port + \
             10000); see raft init --help",
        ),
        (
            &["check-config"],
            "The following required arguments were not provided: <FILE>; see raft check-config --help",
        ),
    ];
    for (arguments, line) in cases {
        failed(&run(arguments), 2, line);
    }
}

#[test]
fn without_a_subcommand_the_help_is_an_error() {
    let output = run(&[]);
    assert_eq!(code(&output), 2);
    assert_eq!(stdout(&output), "");
    assert!(stderr(&output).contains("SUBCOMMANDS:"));
}

#[test]
fn every_help_has_an_example_and_goes_to_stdout() {
    let subcommands = [
        "demo",
        "run",
        "init",
        "serve",
        "cli",
        "check-config",
        "status",
        "snapshot",
        "inspect",
        "bench",
    ];
    let help = run(&["--help"]);
    assert_eq!(code(&help), 0);
    for subcommand in subcommands {
        assert!(stdout(&help).contains(&format!("\n    {subcommand} ")), "{subcommand} is listed");
        let output = run(&[subcommand, "--help"]);
        assert_eq!((code(&output), stderr(&output)), (0, ""));
        let (_, example) = stdout(&output).split_once("EXAMPLE").expect("an example");
        assert!(example.contains(&format!("raft {subcommand}")), "{subcommand}: {example}");
    }
}

#[test]
fn the_version_names_libzmq_and_whether_it_has_curve() {
    let output = run(&["--version"]);
    let (major, minor, patch) = zmq::version();
    let curve = if zmq::has("curve") == Some(true) { "with" } else { "without" };
    let version = env!("CARGO_PKG_VERSION");
    let line = format!("raft {version} (libzmq {major}.{minor}.{patch} {curve} CURVE)\n");
    succeeded(&output, &line);
}

#[test]
fn a_closed_stdout_ends_every_subcommand_quietly() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = founded(folder.path()).join("n1.toml");
    let other = folder.path().join("other");
    let node = Fake::start(|_| Some(b"+PONG\r\n".to_vec()));
    let file = file.to_str().expect("text");
    let cases: [&[&str]; 5] = [
        &["--help"],
        &["--version"],
        &["check-config", file],
        &["cli", "--at", &node.address, "ping"],
        &["init", other.to_str().expect("text"), "--members", THREE],
    ];
    for arguments in cases {
        let (reader, writer) = std::io::pipe().expect("a pipe");
        drop(reader);
        let output = raft().args(arguments).stdout(writer).output().expect("it runs");
        assert_eq!((code(&output), stderr(&output)), (0, ""), "{arguments:?}");
    }
}

#[test]
fn a_full_stdout_is_a_failure() {
    let full = fs::OpenOptions::new().write(true).open("/dev/full").expect("/dev/full");
    let output = raft().arg("--version").stdout(full).output().expect("it runs");
    failed(&output, 1, "cannot write to stdout: No space left on device (os error 28)");
}

/// A cluster of three in `folder`/c.
fn founded(folder: &Path) -> PathBuf {
    let cluster = folder.join("c");
    let output = run(&["init", cluster.to_str().expect("text"), "--members", THREE]);
    assert_eq!((code(&output), stderr(&output)), (0, ""));
    cluster
}

#[test]
fn init_writes_files_that_pass_and_prints_how_to_start_them() {
    let folder = tempfile::tempdir().expect("a folder");
    let cluster = folder.path().join("c");
    let shown = cluster.to_str().expect("text");
    let output = run(&["init", shown, "--members", THREE]);
    assert_eq!((code(&output), stderr(&output)), (0, ""));
    for name in ["n1", "n2", "n3"] {
        let start = format!("  raft serve --config {shown}/{name}.toml\n");
        assert!(stdout(&output).contains(&start), "{}", stdout(&output));
        assert!(cluster.join(name).is_dir());
        let checked = run(&["check-config", &format!("{shown}/{name}.toml")]);
        assert_eq!((code(&checked), stderr(&checked)), (0, ""));
        let data = format!("node.data = \"{shown}/{name}\" ");
        assert!(stdout(&checked).contains(&data), "{}", stdout(&checked));
    }
    assert!(stdout(&output).contains(&format!("  raft cli --at {THREE}\n")));
}

#[test]
fn init_writes_the_same_of_the_cluster_for_each_node() {
    let folder = tempfile::tempdir().expect("a folder");
    let cluster = founded(folder.path());
    let part = |name: &str| {
        let text = fs::read_to_string(cluster.join(name)).expect("a file");
        let begin = text.find("[cluster]").expect("a cluster");
        let end = text.find("[peer]").expect("the next section");
        text[begin..end].to_owned()
    };
    assert_eq!(part("n1.toml"), part("n2.toml"));
    assert_eq!(part("n1.toml"), part("n3.toml"));
    let other = tempfile::tempdir().expect("a folder");
    let other = fs::read_to_string(founded(other.path()).join("n1.toml")).expect("a file");
    assert!(!other.contains(&part("n1.toml")), "another cluster, another id");
}

#[test]
fn init_writes_over_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let cluster = founded(folder.path());
    let before = tree(&cluster);
    let output = run(&["init", cluster.to_str().expect("text"), "--members", THREE]);
    let there = cluster.join("n1.toml");
    let line = format!(
        "{} is there already and is not written over; nothing was changed; choose another folder or \
         move it away",
        there.display()
    );
    failed(&output, 73, &line);
    assert_eq!(tree(&cluster), before);

    let other = folder.path().join("other");
    fs::create_dir(&other).expect("a folder");
    fs::write(other.join("n3"), "mine").expect("a file");
    let output = run(&["init", other.to_str().expect("text"), "--members", THREE]);
    assert_eq!(code(&output), 73);
    let kept = BTreeMap::from([(other.join("n3"), b"mine".to_vec())]);
    assert_eq!(tree(&other), kept, "nothing but what was there");
}

#[test]
fn init_where_nothing_can_be_made_exits_73() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("file");
    fs::write(&file, "").expect("a file");
    let inside = file.join("c");
    let output = run(&["init", inside.to_str().expect("text"), "--members", THREE]);
    let line = format!(
        "{} cannot be made: Not a directory (os error 20); no cluster was founded",
        inside.display()
    );
    failed(&output, 73, &line);
}

/// Every file under a folder.
fn tree(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = BTreeMap::new();
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            files.extend(tree(&path));
        } else {
            files.insert(path.clone(), fs::read(&path).expect("a file"));
        }
    }
    files
}

#[test]
fn a_bad_configuration_exits_64_with_file_line_key_and_what_was_expected() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = founded(folder.path()).join("n1.toml");
    let good = fs::read_to_string(&file).expect("the file");
    let shown = file.to_str().expect("text");
    let cases = [
        (
            "timeout = \"2.5s\"",
            "timeout = \"2.5\"",
            "client.timeout = \"2.5\": expected a duration \
          from \"50ms\" to \"600s\"",
        ),
        (
            "timeout = \"2.5s\"",
            "timout = \"2.5s\"",
            "unknown key client.timout; the nearest known key \
          is client.timeout",
        ),
    ];
    for (right, wrong, text) in cases {
        let at = good.lines().position(|line| line == right).expect("the line") + 1;
        fs::write(&file, good.replacen(right, wrong, 1)).expect("the file");
        let line = format!("{shown}:{at}: {text}");
        failed(&run(&["check-config", shown]), 64, &line);
        failed(&run(&["serve", "--config", shown]), 64, &line);
    }
    let missing = folder.path().join("none.toml");
    let line =
        format!("{}: cannot be read: No such file or directory (os error 2)", missing.display());
    failed(&run(&["check-config", missing.to_str().expect("text")]), 64, &line);
}

#[test]
fn check_config_says_where_each_value_comes_from() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("n1.toml");
    let text = "[node]\nname = \"1\"\ndata = \"/data\"\n[cluster]\nid = \"00000000000000c1\"\n\
                [[cluster.members]]\nname = \"1\"\n\
                client = \"127.0.0.1:11001\"\npeer = \"127.0.0.1:21001\"\n";
    fs::write(&file, text).expect("the file");
    let shown = file.to_str().expect("text");
    let output = raft()
        .args(["check-config", shown])
        .env("RAFT_LOG_LEVEL", "warn")
        .output()
        .expect("it runs");
    let member = format!("{shown}: this node's member");
    let lines = [
        ("node.name = \"1\"", format!("{shown}:2")),
        ("node.data = \"/data\"", format!("{shown}:3")),
        ("cluster.id = \"00000000000000c1\"", format!("{shown}:5")),
        ("peer.listen = \"127.0.0.1:21001\"", member.clone()),
        ("peer.transport = \"zeromq\"", "default".into()),
        ("client.listen = \"127.0.0.1:11001\"", member),
        ("client.timeout = \"2.5s\"", "default".into()),
        ("client.max_request = \"1MiB\"", "default".into()),
        ("client.max_clients = 10000", "default".into()),
        ("client.max_waiting = \"64MiB\"", "default".into()),
        ("client.stall = \"30s\"", "default".into()),
        ("raft.heartbeat = \"50ms\"", "default".into()),
        ("raft.election = \"300ms\"", "default".into()),
        ("raft.max_uncommitted = \"64MiB\"", "default".into()),
        ("raft.max_in_flight = \"4MiB\"", "default".into()),
        ("storage.segment = \"64MiB\"", "default".into()),
        ("storage.snapshot = \"16MiB\"", "default".into()),
        ("storage.snapshot_rate = \"12MiB\"", "default".into()),
        ("log.level = \"warn\"", "environment RAFT_LOG_LEVEL".into()),
        ("log.format = \"text\"", "default".into()),
    ];
    let mut expected: String =
        lines.iter().map(|(value, origin)| format!("{value:33}  # {origin}\n")).collect();
    expected.push_str(&format!(
        "# member \"1\": clients 127.0.0.1:11001, peers 127.0.0.1:21001  # \
         {shown}:6\n"
    ));
    succeeded(&output, &expected);
}

/// Answers one command; `None` closes the connection.
type Script = dyn Fn(&[String]) -> Option<Vec<u8>> + Send + Sync;

/// A server that answers as told, and remembers what it was asked. It keeps its listener, so nobody
/// else can be given its port; its threads end with the test process.
struct Fake {
    address: String,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Fake {
    fn start(script: impl Fn(&[String]) -> Option<Vec<u8>> + Send + Sync + 'static) -> Fake {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address").to_string();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (script, remembered): (Arc<Script>, _) = (Arc::new(script), Arc::clone(&asked));
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (script, remembered) = (Arc::clone(&script), Arc::clone(&remembered));
                thread::spawn(move || serve(stream, &*script, &remembered));
            }
        });
        Fake { address, asked }
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().expect("no panic").clone()
    }
}

fn serve(stream: TcpStream, script: &Script, asked: &Mutex<Vec<String>>) {
    let mut reader = BufReader::new(stream);
    while let Some(words) = request(&mut reader) {
        asked.lock().expect("no panic").push(words.join(" "));
        let Some(reply) = script(&words) else { return };
        if reader.get_mut().write_all(&reply).is_err() {
            return;
        }
    }
}

fn request(reader: &mut BufReader<TcpStream>) -> Option<Vec<String>> {
    let count = number(reader, '*')?;
    let mut words = Vec::new();
    for _ in 0..count {
        let mut word = vec![0; number(reader, '$')? + 2];
        reader.read_exact(&mut word).ok()?;
        word.truncate(word.len() - 2);
        words.push(String::from_utf8_lossy(&word).into_owned());
    }
    Some(words)
}

fn number(reader: &mut BufReader<TcpStream>, kind: char) -> Option<usize> {
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    line.trim_end().strip_prefix(kind)?.parse().ok()
}

#[test]
fn cli_prints_replies_as_redis_cli_does_on_a_terminal() {
    let node = Fake::start(|words| {
        Some(match words[0].as_str() {
            "status" => b"+OK\r\n".to_vec(),
            "integer" => b":-7\r\n".to_vec(),
            "bulk" => b"$5\r\na\"\n\x1b\xff\r\n".to_vec(),
            "nil" => b"$-1\r\n".to_vec(),
            "nilarray" => b"*-1\r\n".to_vec(),
            "empty" => b"*0\r\n".to_vec(),
            "nested" => b"*2\r\n:1\r\n*2\r\n$1\r\na\r\n$-1\r\n".to_vec(),
            "ten" => [b"*10\r\n".to_vec(), b":5\r\n".repeat(10)].concat(),
            _ => b"+?\r\n".to_vec(),
        })
    });
    let cases = [
        ("status", "OK\n"),
        ("integer", "(integer) -7\n"),
        ("bulk", "\"a\\\"\\n\\x1b\\xff\"\n"),
        ("nil", "(nil)\n"),
        ("nilarray", "(nil)\n"),
        ("empty", "(empty array)\n"),
        ("nested", "1) (integer) 1\n2) 1) \"a\"\n   2) (nil)\n"),
    ];
    for (command, text) in cases {
        succeeded(&run(&["cli", "--at", &node.address, command]), text);
    }
    let ten = run(&["cli", "--at", &node.address, "ten"]);
    assert!(stdout(&ten).starts_with(" 1) (integer) 5\n 2) "), "{}", stdout(&ten));
    assert!(stdout(&ten).ends_with("10) (integer) 5\n"), "{}", stdout(&ten));
}

#[test]
fn cli_passes_arguments_on_as_they_are() {
    let node = Fake::start(|words| Some(opens(words).unwrap_or(b"+OK\r\n".to_vec())));
    succeeded(&run(&["cli", "--at", &node.address, "set", "a b", "-1", "--at", ""]), "OK\n");
    let write = "RAFT.DO 1024 1 set a b -1 --at ";
    let asked = ["RAFT.SESSION OPEN", write, "RAFT.SESSION CLOSE 1024"];
    assert_eq!(node.asked(), asked, "a write is a session's");
    let node = Fake::start(|_| Some(b"+OK\r\n".to_vec()));
    succeeded(&run(&["cli", "--at", &node.address, "config", "a b", "-1", "--at", ""]), "OK\n");
    assert_eq!(node.asked(), ["config a b -1 --at "]);
}

#[test]
fn cli_tells_a_refusal_by_its_exit_code() {
    let node = Fake::start(|words| {
        Some(match words[0].as_str() {
            "down" => b"-CLUSTERDOWN no leader for 2.0 s\r\n".to_vec(),
            _ => b"-ERR unknown\x1b command\r\n".to_vec(),
        })
    });
    let down = run(&["cli", "--at", &node.address, "down"]);
    assert_eq!(stdout(&down), "(error) CLUSTERDOWN no leader for 2.0 s\n");
    assert_eq!((code(&down), stderr(&down)), (69, ""));
    let wrong = run(&["cli", "--at", &node.address, "wrong"]);
    assert_eq!(stdout(&wrong), "(error) ERR unknown\\u{1b} command\n");
    assert_eq!((code(&wrong), stderr(&wrong)), (1, ""));
}

#[test]
fn cli_runs_the_lines_of_its_input() {
    let node = Fake::start(|words| {
        Some(match words[0].as_str() {
            "bad" => b"-ERR bad\r\n".to_vec(),
            _ => format!("${}\r\n{}\r\n", words[1].len(), words[1]).into_bytes(),
        })
    });
    let lines = "echo 'a b'\n\nbad\necho \"x\\x41\"\necho \"open\nquit\necho never\n";
    let mut child = raft()
        .args(["cli", "--at", &node.address])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it runs");
    child.stdin.take().expect("a pipe").write_all(lines.as_bytes()).expect("written");
    let output = child.wait_with_output().expect("it ends");
    assert_eq!(stdout(&output), "\"a b\"\n(error) ERR bad\n\"xA\"\n");
    assert_eq!(stderr(&output), "raft: a closing quote is missing\n");
    assert_eq!(code(&output), 1, "a line failed");
    assert_eq!(node.asked(), ["echo a b", "bad", "echo xA"]);
}

#[test]
fn cli_tries_the_next_address_and_exits_69_when_none_answers() {
    let node = Fake::start(|_| Some(b":1\r\n".to_vec()));
    let at = format!("{NOBODY},{}", node.address);
    succeeded(&run(&["cli", "--at", &at, "incr", "hits"]), "(integer) 1\n");

    let variable = raft().args(["cli", "incr", "hits"]).env("RAFT_AT", &node.address).output();
    succeeded(&variable.expect("it runs"), "(integer) 1\n");

    let line = format!(
        "nothing answers at {NOBODY} (connection refused); start a node, or name another with --at"
    );
    failed(&run(&["cli", "--at", NOBODY, "incr", "hits"]), 69, &line);
    failed(&run(&["status", "--at", NOBODY]), 69, &line);
    failed(
        &run(&["cli", "--at", "7001", "incr", "hits"]),
        2,
        "--at: '7001': expected HOST:PORT,HOST:PORT,...",
    );
}

/// Opens a session for whoever asks.
fn opens(words: &[String]) -> Option<Vec<u8>> {
    (words[0] == "RAFT.SESSION").then(|| b":1024\r\n".to_vec())
}

#[test]
fn cli_sends_a_write_again_with_its_number() {
    let dying = Fake::start(opens);
    let other = Fake::start(|_| Some(b":1\r\n".to_vec()));
    let at = format!("{},{}", dying.address, other.address);
    succeeded(&run(&["cli", "--at", &at, "incr", "hits"]), "(integer) 1\n");
    assert_eq!(dying.asked(), ["RAFT.SESSION OPEN", "RAFT.DO 1024 1 incr hits"]);
    assert_eq!(other.asked(), ["RAFT.DO 1024 1 incr hits", "RAFT.SESSION CLOSE 1024"]);
}

/// What was lost may have been applied, whoever refuses later copies: then the log is asked.
#[test]
fn cli_asks_for_the_outcome_of_a_write_that_was_lost() {
    for (outcome, printed) in [
        ("*2\r\n+applied\r\n:7\r\n", "(integer) 7\n"),
        ("*1\r\n+applied\r\n", "(error) APPLIED as number 1 of session 1024, once\n"),
        ("*1\r\n+not-applied\r\n", "(error) CLUSTERDOWN not applied, safe to repeat\n"),
        (
            "*1\r\n+unknown\r\n",
            "(error) UNCERTAIN number 1 of session 1024 may or may not be applied; \
             ask RAFT.OUTCOME 1024 1\n",
        ),
    ] {
        let dying = Fake::start(opens);
        let other = Fake::start(move |words| {
            Some(match words[0].as_str() {
                "RAFT.DO" => b"-CLUSTERDOWN no leader for 2.5 s; not applied\r\n".to_vec(),
                _ => outcome.as_bytes().to_vec(),
            })
        });
        let at = format!("{},{}", dying.address, other.address);
        let output = run(&["cli", "--at", &at, "incr", "hits"]);
        assert_eq!((stdout(&output), stderr(&output)), (printed, ""));
        let mut asked = other.asked();
        if !printed.contains("UNCERTAIN") {
            let last = asked.pop().expect("asked");
            assert_eq!(last, "RAFT.SESSION CLOSE 1024", "nobody need ask again");
        }
        assert_eq!(asked.last().expect("asked"), "RAFT.OUTCOME 1024 1");
    }
}

#[test]
fn cli_writes_without_a_session_where_there_are_none() {
    let redis = Fake::start(|words| {
        Some(match words[0].as_str() {
            "RAFT.SESSION" => b"-ERR unknown command 'RAFT.SESSION'\r\n".to_vec(),
            _ => b":1\r\n".to_vec(),
        })
    });
    succeeded(&run(&["cli", "--at", &redis.address, "incr", "hits"]), "(integer) 1\n");
    assert_eq!(redis.asked(), ["RAFT.SESSION OPEN", "incr hits"]);
}

#[test]
fn cli_never_sends_a_command_again_whose_outcome_is_unknown() {
    let dying = Fake::start(|_| None);
    let other = Fake::start(|_| Some(b":1\r\n".to_vec()));
    let at = format!("{},{}", dying.address, other.address);
    let line = format!(
        "{}: the server closed the connection; it may or may not have been applied",
        dying.address
    );
    failed(&run(&["cli", "--at", &at, "raft.do", "1024", "1", "incr", "hits"]), 1, &line);
    assert_eq!(dying.asked(), ["raft.do 1024 1 incr hits"]);
    assert_eq!(other.asked(), [""; 0]);
}

#[test]
fn cli_survives_what_is_no_redis_server() {
    for garbage in
        [&b"HTTP/1.1 400 Bad Request\r\n\r\n"[..], b"$9999999999\r\n", b"*-5\r\n", b"\r\n"]
    {
        let node = Fake::start(move |_| Some(garbage.to_vec()));
        let output = run(&["cli", "--at", &node.address, "ping"]);
        assert_eq!((code(&output), stdout(&output)), (1, ""), "{garbage:?}");
        assert!(stderr(&output).contains("the server sent "), "{}", stderr(&output));
    }
    let deep = Fake::start(|_| Some(b"*1\r\n".repeat(100_000)));
    assert_eq!(code(&run(&["cli", "--at", &deep.address, "ping"])), 1);
}

/// What node 1 of a cluster of three says.
fn said(leader: Option<&str>, role: &str, own: &str) -> Vec<u8> {
    let leader = leader.map_or("null".into(), |name| format!("\"{name}\""));
    let others = ["2", "3"].map(|name| {
        format!(
            r#"{{"name":"{name}","id":"0","address":"{NOBODY}","role":"silent","voter":true,"match":4,"commit":null,"applied":null,"last":null,"lag_ms":9000}}"#
        )
    });
    let json = format!(
        r#"{{"cluster":"00000000000000c1","node":"1","role":"{role}","leader":{leader},"leader_address":null,"term":3,"survives":{survives},"refused_frames":0,"members":[{{"name":"1","id":"0","address":"{own}","role":"{role}","voter":true,"match":5,"commit":4,"applied":4,"last":5,"lag_ms":0}},{}]}}"#,
        others.join(","),
        survives = if role == "leader" { "-1" } else { "null" },
    );
    format!("${}\r\n{json}\r\n", json.len()).into_bytes()
}

#[test]
fn status_exits_69_without_a_leader_and_0_with_one() {
    let lost = Fake::start(|_| Some(said(None, "candidate", NOBODY)));
    let output = run(&["status", "--at", &lost.address]);
    assert_eq!((code(&output), stderr(&output)), (69, ""));
    assert!(stdout(&output).ends_with("term 3, no leader; writes wait for one\n"));

    let address = Arc::new(Mutex::new(String::new()));
    let own = Arc::clone(&address);
    let node =
        Fake::start(move |_| Some(said(Some("1"), "leader", &own.lock().expect("no panic"))));
    node.address.clone_into(&mut address.lock().expect("no panic"));
    let output = run(&["status", "--at", &node.address]);
    assert_eq!((code(&output), stderr(&output)), (0, ""));
    let lines: Vec<&str> = stdout(&output).lines().collect();
    let words = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
    assert_eq!(words(lines[0]), "node address role match commit applied last heard");
    assert_eq!(words(lines[1]), format!("1 {} leader 5 4 4 5 0 ms ago", node.address));
    assert_eq!(words(lines[2]), format!("2 {NOBODY} silent 4 - - - 9000 ms ago"));
    assert_eq!(lines[4], "term 3, leader 1; without a majority: writes wait");
}

#[test]
fn status_as_json_has_the_documented_fields() {
    let node = Fake::start(|_| Some(said(Some("1"), "leader", NOBODY)));
    let output = run(&["status", "--at", &node.address, "-o", "json"]);
    assert_eq!((code(&output), stderr(&output)), (0, ""));
    let json: serde_json::Value = serde_json::from_str(stdout(&output)).expect("JSON");
    for field in ["cluster", "node", "leader", "term", "members"] {
        assert!(json.get(field).is_some(), "{field} is there");
    }
    let fields =
        ["name", "address", "role", "voter", "match", "commit", "applied", "last", "lag_ms"];
    for member in json["members"].as_array().expect("members") {
        assert!(fields.iter().all(|field| member.get(field).is_some()), "{member}");
    }
}

#[test]
fn snapshot_prints_one_line_or_says_why_there_is_none() {
    let node = Fake::start(|_| Some(b"*3\r\n$3\r\n5@3\r\n:12897485\r\n$2\r\nn1\r\n".to_vec()));
    let taken = run(&["snapshot", "--at", &node.address]);
    succeeded(&taken, "node n1 has a snapshot up to 5@3, 12.3 MiB\n");
    let cases: [(&[u8], i32, &str); 3] = [
        (b"-CLUSTERDOWN no snapshot: x\r\n", 69, "CLUSTERDOWN no snapshot: x"),
        (b"-ERR broken\r\n", 1, "ERR broken"),
        (b"-ERR unknown command 'RAFT.SNAPSHOT'\r\n", 1, ""),
    ];
    for (reply, code, text) in cases {
        let node = Fake::start(move |_| Some(reply.to_vec()));
        let address = &node.address;
        let line = match text {
            "" => format!("{address} takes no snapshot: is it a node of raft?"),
            text => format!("{address}: {text}"),
        };
        failed(&run(&["snapshot", "--at", address]), code, &line);
    }
    let nobody = run(&["snapshot", "--at", NOBODY]);
    assert_eq!((code(&nobody), stdout(&nobody)), (69, ""));
}
