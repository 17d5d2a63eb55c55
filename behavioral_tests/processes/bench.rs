//! `raft bench` as a user runs it: against a cluster of its own, and against servers that are not what
//! they should be. What it measures is never asserted, but for what cannot be shorter.

mod common;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Output};
use std::thread;
use std::time::Duration;

use common::raft;
use serde_json::Value;

/// A short load of few clients.
const SHORT: [&str; 8] = ["--time", "0.5", "--warm-up", "0.1", "--clients", "3", "--keys", "10"];

fn bench(arguments: &[&str]) -> Command {
    let mut command = raft();
    command.env_remove("RAFT_AT").arg("bench").args(arguments);
    command
}

fn run(arguments: &[&str]) -> Output {
    bench(arguments).output().expect("the program runs")
}

fn stdout(output: &Output) -> &str {
    std::str::from_utf8(&output.stdout).expect("text")
}

fn stderr(output: &Output) -> &str {
    std::str::from_utf8(&output.stderr).expect("text")
}

#[track_caller]
fn json(output: &Output) -> Value {
    serde_json::from_str(stdout(output)).unwrap_or_else(|error| panic!("{error}\n{output:?}"))
}

#[track_caller]
fn ended(output: &Output, code: i32, line: &str) {
    assert_eq!(output.status.code(), Some(code), "{output:?}");
    assert!(stderr(output).contains(line), "{output:?}");
    assert_eq!(stderr(output).lines().count(), 1, "{output:?}");
}

/// A server on a port of its own; each connection is handed to `serve` on a thread of its own.
fn server(serve: impl Fn(&mut TcpStream) + Clone + Send + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("bound");
    thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            let serve = serve.clone();
            thread::spawn(move || serve(&mut stream));
        }
    });
    address
}

/// Reads requests as they come in and answers each as `answer` says, by its number.
fn answering(stream: &mut TcpStream, answer: impl Fn(usize) -> Option<&'static str>) {
    let mut reader = BufReader::new(stream.try_clone().expect("a descriptor"));
    for number in 0.. {
        let Some(()) = read_request(&mut reader) else { return };
        let Some(reply) = answer(number) else { return };
        if stream.write_all(reply.as_bytes()).is_err() {
            return;
        }
    }
}

fn read_request(reader: &mut impl BufRead) -> Option<()> {
    let words = number_after(reader, '*')?;
    for _ in 0..words {
        let length = number_after(reader, '$')?;
        reader.read_exact(&mut vec![0; length + 2]).ok()?;
    }
    Some(())
}

fn number_after(reader: &mut impl BufRead, kind: char) -> Option<usize> {
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    line.trim_end().strip_prefix(kind)?.parse().ok()
}

#[test]
fn a_cluster_of_its_own_is_loaded_and_leaves_nothing_behind() {
    let folder = tempfile::tempdir().expect("a folder");
    let made = folder.path().join("made");
    let data = made.to_str().expect("text");
    for operation in ["set", "incr", "get", "do"] {
        let mut arguments = vec!["--cluster", "3", "--data", data, "--op", operation, "-o", "json"];
        arguments.extend(SHORT);
        let output = run(&arguments);
        assert_eq!((output.status.code(), stderr(&output)), (Some(0), ""), "{output:?}");
        let told = json(&output);
        assert!(told["operations"].as_u64().expect("a number") > 0, "{told}");
        assert_eq!((&told["nothing"], &told["unanswered"]), (&0.into(), &0.into()), "{told}");
        assert!(told["servers"]["memory_bytes"].as_u64().expect("a number") > 0, "{told}");
        assert!(told["cluster"].as_str().expect("text").contains("3 nodes over zeromq"), "{told}");
        assert_eq!(told["errors"], serde_json::json!({}), "{told}");
        let latency = &told["latency_us"];
        let figures = ["p50", "p99", "p999", "max"].map(|name| latency[name].as_f64().expect(name));
        assert!(figures[0] > 0.0 && figures.is_sorted(), "{told}");
        assert!(!made.exists(), "{operation} leaves something behind");
    }
    assert_eq!(std::fs::read_dir(folder.path()).expect("readable").count(), 0);
}

#[test]
fn a_load_is_told_in_words_and_the_open_loop_sends_what_is_due() {
    let mut arguments = vec!["--cluster", "1", "--spread", "--rate", "200"];
    arguments.extend(SHORT);
    let output = run(&arguments);
    assert_eq!((output.status.code(), stderr(&output)), (Some(0), ""), "{output:?}");
    for text in ["SET, values of 64 bytes", "200/s are due", "p99.9", "errors      none", "logs on"]
    {
        assert!(stdout(&output).contains(text), "{text}: {}", stdout(&output));
    }
    arguments.extend(["-o", "json"]);
    let told = json(&run(&arguments));
    assert_eq!(told["rate"], 200.0, "{told}");
    assert!(told["operations"].as_u64().expect("a number") > 0, "{told}");
}

#[test]
fn a_leader_is_killed_and_paused_and_writes_are_taken_again() {
    for fault in ["kill", "pause"] {
        let output = run(&["failover", "--times", "2", "--fault", fault, "-o", "json"]);
        assert_eq!((output.status.code(), stderr(&output)), (Some(0), ""), "{output:?}");
        let told = json(&output);
        assert_eq!((&told["fault"], &told["times"]), (&fault.into(), &2.into()));
        let figures =
            ["median_ms", "p90_ms", "worst_ms"].map(|name| told[name].as_f64().expect(name));
        assert!(figures[0] > 0.0 && figures.is_sorted(), "{told}");
        assert_eq!(told["all_ms"].as_array().expect("a list").len(), 2);
    }
    let output = run(&["failover", "--cluster", "2"]);
    ended(&output, 2, "fewer than 3 nodes have no majority without their leader");
}

#[test]
fn cost_is_measured_along_its_causes_and_drawn() {
    let folder = tempfile::tempdir().expect("a folder");
    let plots = folder.path().join("made/plots");
    let shown = plots.to_str().expect("text");
    let quick = ["growth", "--quick", "--only", "restart,where", "--plots", shown];
    let output = run(&[&quick[..], &["-o", "json"]].concat());
    assert_eq!((output.status.code(), stderr(&output)), (Some(0), ""), "{output:?}");
    let told = json(&output);
    let points = |at: usize| told[at]["points"].as_array().expect("a list");
    assert_eq!([&told[0]["series"], &told[1]["series"]], ["where", "restart"], "{told}");
    let asked = ["leader", "leader", "one follower", "one follower", "all", "all"];
    for (point, at) in points(0).iter().zip(asked) {
        assert_eq!(point["at"], at, "{told}");
        assert!(point["sample"]["rate"].as_f64().expect("a number") > 0.0, "{point}");
    }
    assert_eq!([points(0).len(), points(1).len()], [asked.len(), 2]);
    for point in points(1) {
        let figure = |name: &str| point["figures"][name].as_f64().expect(name);
        assert!(figure("entries") >= point["cause"].as_f64().expect("a number"), "{point}");
        assert!(figure("log_bytes") > 64.0 * figure("writes"), "every write has 64 bytes: {point}");
        for start in ["first", "again"] {
            let [read, serves] = ["read", "serves"].map(|what| figure(&format!("{start}_{what}")));
            assert!(0.0 < read && read < serves, "{point}");
        }
    }
    assert!(told.as_array().expect("a list").iter().all(|one| one["ended"].is_null()), "{told}");
    for name in ["where", "restart"] {
        let svg = std::fs::read_to_string(plots.join(format!("growth-{name}.svg")));
        assert!(svg.expect(name).contains("polyline"), "{name}");
    }
}

#[test]
fn snapshots_and_sessions_are_measured_on_nodes_that_have_them() {
    let only = "once,sessions,snapshot,catchup,time";
    let output = run(&["growth", "--quick", "--only", only, "-o", "json"]);
    assert_eq!((output.status.code(), stderr(&output)), (Some(0), ""), "{output:?}");
    let told = json(&output);
    let names: Vec<&Value> =
        told.as_array().expect("a list").iter().map(|one| &one["series"]).collect();
    assert_eq!(names, ["once", "sessions", "snapshot", "catchup", "time"], "{told}");
    let points = |at: usize| told[at]["points"].as_array().expect("a list");
    let figure = |point: &Value, name: &str| point["figures"][name].as_f64().expect(name);

    for pair in points(0).chunks(2) {
        assert_eq!([&pair[0]["load"], &pair[1]["load"]], ["SET", "RAFT.DO SET"], "{told}");
        assert_eq!(pair[0]["at"], pair[1]["at"], "{told}");
        assert!(pair.iter().all(|one| one["sample"]["rate"].as_f64() > Some(0.0)), "{told}");
    }
    assert_eq!([0, 1, 2, 3, 4].map(|at| points(at).len()), [8, 2, 1, 1, 8], "{told}");
    for point in points(1) {
        let [empty, open, full] = ["empty", "open", "full"].map(|name| figure(point, name));
        assert!(0.0 < empty && empty <= open && open < full, "{point}");
    }
    let keys = 10_000.0;
    let (snapshot, catchup) = (&points(2)[0], &points(3)[0]);
    assert!(figure(snapshot, "longest") >= snapshot["sample"]["p99"].as_f64().expect("p99"));
    assert!(figure(snapshot, "again_read") < figure(snapshot, "again_serves"), "{snapshot}");
    assert!(figure(catchup, "p99_before") > 0.0 && figure(catchup, "serves") > 0.0, "{catchup}");
    for point in [snapshot, catchup] {
        assert!(figure(point, "snapshot_bytes") > 64.0 * keys, "all keys are in it: {point}");
    }
    let seconds: Vec<&Value> = points(4).iter().map(|point| &point["cause"]).collect();
    assert_eq!(seconds, (1..=8).collect::<Vec<u64>>(), "{told}");
    for point in points(4) {
        assert!(figure(point, "memory") > 0.0 && figure(point, "disk") > 64.0 * keys, "{point}");
    }
}

#[test]
fn what_was_measured_is_kept_when_descriptors_end_a_series() {
    let program = env!("CARGO_BIN_EXE_raft");
    let script = format!(
        "ulimit -Sn 300 && ulimit -Hn 1000 && exec {program} bench growth --quick --only idle"
    );
    let output = Command::new("sh").args(["-c", &script]).output().expect("it runs");
    ended(&output, 2, "a load beside 1000 idle connections needs");
    let lines: Vec<&str> = stdout(&output).lines().collect();
    let begins = |text: &str| lines.iter().any(|line| line.starts_with(text));
    assert!(begins("0  ") && begins("100  ") && !begins("1,000  "), "{lines:?}");
    assert!(begins("ended early: a load beside 1000 idle connections"), "{lines:?}");
}

#[test]
fn without_redis_our_column_is_printed_and_how_to_install_it() {
    let empty = tempfile::tempdir().expect("a folder");
    let mut command = bench(&["compare", "--quick", "--rounds", "1"]);
    let output = command.env("PATH", empty.path()).output().expect("it runs");
    ended(&output, 69, "apt-get install redis-server");
    for row in ["SET 1 ", "SET 256 × 16", "GET 50 × 16", "CPU µs"] {
        assert!(stdout(&output).contains(row), "{row}: {}", stdout(&output));
    }
}

#[test]
#[ignore = "needs redis-server"]
fn beside_redis_every_row_has_a_ratio_or_is_noisy() {
    let output = run(&["compare", "--quick", "--rounds", "1", "-o", "json"]);
    assert_eq!((output.status.code(), stderr(&output)), (Some(0), ""), "{output:?}");
    let rows = json(&output);
    let rows = rows.as_array().expect("a list");
    assert_eq!(rows.len(), 8);
    for row in rows {
        let verdict = &row["verdict"];
        assert_ne!(verdict["noisy"] == true, verdict["ratio"].is_object(), "{row}");
        for server in ["ours", "theirs"] {
            for figure in ["rate", "p50", "p99", "cpu"] {
                assert!(verdict[server][figure].as_f64().expect(figure) > 0.0, "{row}");
            }
        }
    }
}

#[test]
fn a_server_that_cannot_be_reached_is_named() {
    ended(&run(&["--at", "127.0.0.1:1"]), 69, "127.0.0.1:1: connection refused");
    ended(&run(&["--at", "no.such.host.invalid:1"]), 69, "no.such.host.invalid:1: ");
}

#[test]
fn wrong_usage_exits_2_and_says_what_was_expected() {
    let none = u32::MAX.to_string();
    for (arguments, line) in [
        (&["--op", "del"][..], "'del': expected set, incr, get or do"),
        (&["--op", "do", "--pipeline", "65"], "a session has 64 commands under way at most"),
        (&["--clients", "0"], "expected a number from 1 to 1000000"),
        (&["--time", "0"], "expected a time such as 10, 2.5 or 1m"),
        (&["--rate", "nan"], "expected a number of requests a second"),
        (&["--keys", "0"], "expected a number from 1 to 1000000000000"),
        (&["--at", "nowhere"], "--at: 'nowhere': expected HOST:PORT"),
        (&["--at", "127.0.0.1:1", "--pid", &none], "there is no such process"),
        (&["--cluster", "10"], "expected a number of nodes from 1 to 9"),
        (&["--cluster", "3", "--at", "127.0.0.1:1"], "--at"),
        (&["--cluster", "3", "--transport", "pigeon"], "pigeon"),
        (&["--transport", "zeromq"], "--transport and --data are for --cluster"),
        (&["--clients", "3", "compare"], "compare"),
        (&["--cluster", "3", "--data", "/dev/shm"], "/dev/shm is on tmpfs, in memory"),
        (&["growth", "--only", "size,weather"], "weather"),
        (&["growth", "--data", "/dev/shm"], "/dev/shm is on tmpfs, in memory"),
        (&["failover", "--fault", "fire"], "'fire': expected kill or pause"),
    ] {
        let output = run(arguments);
        ended(&output, 2, line);
        assert_eq!(stdout(&output), "", "{arguments:?}");
    }
}

#[test]
fn more_clients_than_descriptors_are_refused_before_one_connects() {
    let program = env!("CARGO_BIN_EXE_raft");
    let limited = |clients: &str| {
        let script = format!(
            "ulimit -Sn 20 && ulimit -Hn 200 && exec {program} bench --at 127.0.0.1:1 --clients {clients}"
        );
        Command::new("sh").args(["-c", &script]).output().expect("it runs")
    };
    ended(&limited("100000"), 2, "needs 100064 open files, and this process may have 200 at most");
    // The soft limit is no obstacle: it is raised, and then nobody listens there.
    ended(&limited("100"), 69, "connection refused");
}

#[test]
fn a_server_that_answers_errors_is_told_with_its_words() {
    let address = server(|stream| answering(stream, |_| Some("-NOAUTH who are you?\r\n")));
    let mut arguments = vec!["-o", "json", "--at"];
    let address = address.to_string();
    arguments.push(&address);
    arguments.extend(SHORT);
    let output = run(&arguments);
    ended(&output, 69, "every reply was an error: NOAUTH who are you?");
    let told = json(&output);
    assert!(told["errors"]["NOAUTH"].as_u64().expect("counted") > 0, "{told}");
    assert_eq!((&told["operations"], &told["lost"]), (&0.into(), &serde_json::json!({})));
}

#[test]
fn errors_among_answers_are_counted_and_no_failure() {
    let address = server(|stream| {
        answering(stream, |number| {
            Some(if number % 2 == 0 { "+OK\r\n" } else { "-TRYAGAIN later\r\n" })
        });
    });
    let address = address.to_string();
    let output = run(&[&["--pipeline", "4", "--at", &address][..], &SHORT].concat());
    assert_eq!((output.status.code(), stderr(&output)), (Some(0), ""));
    assert!(stdout(&output).contains("TRYAGAIN "), "{}", stdout(&output));
    assert!(stdout(&output).contains("; the first: TRYAGAIN later"), "{}", stdout(&output));
}

#[test]
fn what_was_measured_is_printed_when_a_server_closes() {
    let address = server(|stream| answering(stream, |number| (number < 50).then_some("+OK\r\n")));
    let address = address.to_string();
    let output = run(&["-o", "json", "--at", &address, "--clients", "3", "--warm-up", "0"]);
    ended(&output, 69, "3 connections were lost: closed by the server");
    let told = json(&output);
    assert_eq!(told["operations"], 150, "{told}");
    assert_eq!(told["lost"]["closed by the server"], 3, "{told}");
}

#[test]
fn what_is_no_redis_is_told_so() {
    let address = server(|stream| {
        let _ = stream.read(&mut [0; 1_024]);
        let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n");
    });
    let address = address.to_string();
    let output = run(&[&["--at", &address][..], &SHORT].concat());
    ended(&output, 69, "3 connections were lost: it sent what is no reply of the Redis protocol");
}

#[test]
fn a_server_that_stalls_shows_in_what_was_due_meanwhile() {
    const STALL: Duration = Duration::from_millis(300);
    let address = server(|stream| {
        answering(stream, |number| {
            if number == 20 {
                thread::sleep(STALL);
            }
            Some("+OK\r\n")
        });
    });
    let address = address.to_string();
    let output = run(&[
        "--at",
        &address,
        "--rate",
        "200",
        "--clients",
        "1",
        "--time",
        "1",
        "--warm-up",
        "0",
        "-o",
        "json",
    ]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    // 60 of 200 requests were due in those 300 ms, the middle one of them 150 ms before its end.
    let latency = &json(&output)["latency_us"];
    let [p99, max] = ["p99", "max"].map(|name| latency[name].as_f64().expect(name));
    assert!(max >= 295e3, "{latency}");
    assert!(p99 >= 250e3, "{latency}");
}

#[test]
fn a_server_that_never_answers_is_given_up() {
    let address = server(|stream| {
        let _ = stream.read_to_end(&mut Vec::new());
    });
    let address = address.to_string();
    let output = run(&[&["--at", &address, "-o", "json"][..], &SHORT].concat());
    ended(&output, 69, "3 requests had no answer in time");
    let told = json(&output);
    assert_eq!((&told["operations"], &told["unanswered"]), (&0.into(), &3.into()), "{told}");
}

#[test]
fn nothing_of_a_killed_bench_is_left() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().to_str().expect("text");
    let mut command = bench(&["--cluster", "3", "--time", "60", "--data", data]);
    let mut process = common::Process::start(&mut command);
    let nodes = nodes_within(folder.path());
    process.kill();
    for node in nodes {
        assert!(common::ends(&node, common::PATIENCE), "a node outlives it");
    }
    let start = std::time::Instant::now();
    while std::fs::read_dir(folder.path()).expect("readable").count() > 0 {
        assert!(start.elapsed() < common::PATIENCE, "the folder is left");
        thread::sleep(Duration::from_millis(5));
    }
}

/// Waits until three nodes have their data in this folder, and returns them.
fn nodes_within(folder: &Path) -> Vec<std::os::fd::OwnedFd> {
    let start = std::time::Instant::now();
    let prefix = folder.to_str().expect("text");
    loop {
        let nodes: Vec<u32> = std::fs::read_dir("/proc")
            .expect("Linux")
            .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u32>().ok())
            .filter(|id| {
                let words = std::fs::read(format!("/proc/{id}/cmdline")).unwrap_or_default();
                let words = String::from_utf8_lossy(&words).into_owned();
                words.contains("\0serve\0") && words.contains(prefix)
            })
            .collect();
        if nodes.len() == 3 {
            return nodes.into_iter().map(common::descriptor).collect();
        }
        assert!(start.elapsed() < common::PATIENCE, "three nodes never run");
        thread::sleep(Duration::from_millis(5));
    }
}
