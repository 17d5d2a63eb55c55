//! `raft demo` as people meet it: a script's answers, and that nothing of it outlives it.

mod common;

use std::fs;
use std::io::Write;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use common::{PATIENCE, Process, descriptor, ends, raft};
use rustix::process::Signal;

/// How a demonstration went.
#[derive(Debug)]
struct Played {
    code: Option<i32>,
    lines: Vec<String>,
    errors: Vec<String>,
}

/// Runs a script through standard input.
fn play(script: &str, arguments: &[&str]) -> Played {
    let mut process = Process::start(&mut demo(arguments));
    process.input().write_all(script.as_bytes()).expect("the demonstration reads");
    process.end_input();
    let code = process.exit_code();
    while process.line().is_some() {}
    Played { code, lines: process.lines_read().to_vec(), errors: process.errors() }
}

fn demo(arguments: &[&str]) -> Command {
    let mut command = raft();
    command.arg("demo").args(arguments).stdin(Stdio::piped());
    command
}

/// The answers: what follows the banner.
fn answers(played: &Played) -> Vec<String> {
    let banner = played.lines.iter().position(|line| line.starts_with("try: "));
    played.lines[banner.unwrap_or_else(|| panic!("no banner: {played:?}")) + 1..].to_vec()
}

/// What a demonstration is made of, besides itself.
struct Parts {
    guard: OwnedFd,
    nodes: Vec<OwnedFd>,
    folder: PathBuf,
}

impl Parts {
    /// Of a demonstration with three nodes, all of which run.
    fn of(demo: &Process) -> Parts {
        let pid = demo.pid();
        let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"));
        let children = children.expect("Linux tells the children");
        let pids = children.split_whitespace().map(|pid| pid.parse().expect("a number"));
        let (nodes, others): (Vec<u32>, Vec<u32>) = pids.partition(|pid| config_of(*pid).is_some());
        assert_eq!(nodes.len(), 3);
        let [guard] = others[..] else { panic!("one guard: {others:?}") };
        let config = config_of(nodes[0]).expect("just seen");
        let folder = config.parent().expect("a file lies in a folder").to_owned();
        assert!(folder.exists());
        let nodes = nodes.into_iter().map(descriptor).collect();
        Parts { guard: descriptor(guard), nodes, folder }
    }

    fn must_go(&self) {
        for process in self.nodes.iter().chain([&self.guard]) {
            assert!(ends(process, PATIENCE), "a process stays");
        }
        assert!(!self.folder.exists(), "{} stays", self.folder.display());
    }
}

fn config_of(pid: u32) -> Option<PathBuf> {
    let line = fs::read_to_string(format!("/proc/{pid}/cmdline")).ok()?;
    let mut words = line.split('\0').skip_while(|word| *word != "--config");
    words.nth(1).map(PathBuf::from)
}

fn start_and_wait(arguments: &[&str]) -> Process {
    let mut process = Process::start(&mut demo(arguments));
    process.line_where(|line| line.starts_with("try: "));
    process
}

#[test]
fn the_script_of_the_issue() {
    let script = "incr hits\nkill leader\nincr hits\nget hits\n\
                  restart 1\nrestart 2\nrestart 3\nstatus\n";
    let played = play(script, &[]);
    assert_eq!(played.code, Some(0), "{played:?}");
    let answers = answers(&played);
    let place = |text: &str| {
        let place = answers.iter().position(|line| line == text);
        place.unwrap_or_else(|| panic!("no line {text}: {answers:#?}"))
    };
    assert!(place("(integer) 1") < place("(integer) 2"));
    assert!(place("(integer) 2") < place("\"2\""));
    assert!(answers.iter().any(|line| line.starts_with("no leader for ")), "{answers:#?}");

    let rows = table(&answers);
    assert_eq!(rows.len(), 3, "{answers:#?}");
    let column = |number: usize| rows.iter().map(move |row| row[number]).collect::<Vec<_>>();
    assert_eq!(column(0), ["1", "2", "3"]);
    assert_eq!(column(1).iter().filter(|role| **role == "leader").count(), 1, "{rows:?}");
    for equal in [2, 3] {
        assert!(column(equal).iter().all(|value| *value == rows[0][equal]), "{rows:?}");
    }
}

#[test]
fn a_failed_line_makes_the_exit_code_1_and_the_rest_runs() {
    let played = play("set a\nset a 1\nwhy\nget a\n", &["--nodes", "1"]);
    assert_eq!(played.code, Some(1), "{played:?}");
    let answers = answers(&played);
    assert_eq!(answers[0], "(error) ERR wrong number of arguments for 'set' command");
    assert_eq!(answers[1], "OK");
    assert_eq!(answers.last().map(String::as_str), Some("\"1\""));
    assert!(played.errors[0].starts_with("why: planned and not there yet"), "{played:?}");
}

#[test]
fn a_refusal_under_at_is_an_answer() {
    let played = play("at 1 set a\nat 1 get a\n", &["--nodes", "1"]);
    assert_eq!(played.code, Some(0), "{played:?}");
    let expected = ["(error) ERR wrong number of arguments for 'set' command", "(nil)"];
    assert_eq!(answers(&played), expected);
}

#[test]
fn lines_from_arguments_and_from_a_file() {
    let played = play("", &["--nodes", "1", "-e", "incr a", "-e", "quit", "-e", "incr a"]);
    assert_eq!(played.code, Some(0), "{played:?}");
    assert_eq!(answers(&played)[0], "(integer) 1");
    assert!(!answers(&played).contains(&"(integer) 2".to_owned()));

    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("lines");
    fs::write(&file, "# a remark\n\nset b 2\nget b").expect("a file");
    let played = play("", &["--nodes", "1", file.to_str().expect("text")]);
    assert_eq!(played.code, Some(0), "{played:?}");
    assert_eq!(answers(&played).last().map(String::as_str), Some("\"2\""));
}

#[test]
fn without_a_majority_nothing_is_counted_and_restarts_heal() {
    let script = "incr hits\nkill leader\nkill leader\nincr hits\n\
                  restart 1\nrestart 2\nrestart 3\nget hits\n";
    let played = play(script, &[]);
    assert_eq!(played.code, Some(1), "{played:?}");
    let answers = answers(&played);
    assert!(answers.iter().any(|line| line.starts_with("no leader is possible: 1 of 3")));
    let failed = |word| answers.iter().any(|line| line.starts_with(&format!("(error) {word} ")));
    // A follower that still believes in the dead leader may have handed it over.
    assert!(failed("CLUSTERDOWN") || failed("UNCERTAIN"), "{answers:#?}");
    assert_eq!(answers.last().map(String::as_str), Some("\"1\""), "{answers:#?}");
}

#[test]
fn what_is_so_already_is_said_and_no_failure() {
    let script = "restart 1\nkill 1\nkill 1\nrestart 1\nresume 1\npause 1\npause 1\nresume 1\n";
    let played = play(script, &["--nodes", "1"]);
    assert_eq!(played.code, Some(0), "{played:?}");
    let answers = answers(&played);
    for said in [
        "node 1 runs already (process ",
        "node 1 does not run; ",
        "node 1 runs again (process ",
        "node 1 is not paused",
        "node 1 is paused already",
        "node 1 goes on",
    ] {
        assert!(answers.iter().any(|line| line.starts_with(said)), "{said}: {answers:#?}");
    }
}

#[test]
fn a_paused_leader_is_replaced_and_follows_when_it_goes_on() {
    let script = "incr hits\npause leader\nincr hits\nstatus\n";
    let played = play(script, &[]);
    assert_eq!(played.code, Some(0), "{played:?}");
    let answers = answers(&played);
    assert!(answers.contains(&"(integer) 2".to_owned()), "{answers:#?}");
    assert!(answers.iter().any(|line| line.contains("  paused")), "{answers:#?}");
}

/// The rows of the last table, by words.
fn table(answers: &[String]) -> Vec<Vec<&str>> {
    let header = answers.iter().rposition(|line| line.starts_with("node  ")).expect("a table");
    let rows = answers[header + 1..].iter();
    let rows = rows.take_while(|line| line.starts_with(|c: char| c.is_ascii_digit()));
    rows.map(|row| row.split_whitespace().collect()).collect()
}

#[test]
fn of_a_partition_the_majority_serves_and_healing_brings_all_together() {
    let script = "incr hits\npartition 1 | 2,3\nincr hits\nstatus\nat 1 incr hits\nheal\n\
                  at 1 get hits\nat 2 get hits\nat 3 get hits\n";
    let played = play(script, &[]);
    assert_eq!(played.code, Some(0), "{played:?}");
    let answers = answers(&played);
    assert!(answers.contains(&"partitioned 1 | 2,3".to_owned()), "{answers:#?}");
    assert!(answers.contains(&"(integer) 2".to_owned()), "{answers:#?}");
    let rows = table(&answers);
    assert!(rows[0].ends_with(&["cut", "off"]), "{rows:?}");
    assert!(rows[1].ends_with(&["cut", "from", "1"]), "{rows:?}");
    let refused = ["(error) CLUSTERDOWN ", "(error) UNCERTAIN "];
    assert!(
        answers.iter().any(|line| refused.iter().any(|word| line.starts_with(word))),
        "the minority has answered: {answers:#?}"
    );
    let healed = answers.iter().position(|line| line.starts_with("healed all links; all that run"));
    let reads = &answers[healed.unwrap_or_else(|| panic!("never healed: {answers:#?}")) + 1..];
    assert!(reads.len() == 3 && reads.iter().all(|read| *read == reads[0]), "{answers:#?}");
    assert!(["\"2\"", "\"3\""].contains(&reads[0].as_str()), "{answers:#?}");
}

#[test]
fn an_isolated_leader_is_replaced_and_follows_when_it_is_healed() {
    let script = "incr hits\nisolate leader\nincr hits\nheal\nincr hits\nstatus\n";
    let played = play(script, &["--nodes", "5"]);
    assert_eq!(played.code, Some(0), "{played:?}");
    let answers = answers(&played);
    assert!(answers.iter().any(|line| line.starts_with("isolated node ")), "{answers:#?}");
    assert!(answers.iter().any(|line| line.starts_with("no leader for ")), "{answers:#?}");
    assert!(answers.contains(&"(integer) 3".to_owned()), "{answers:#?}");
    let rows = table(&answers);
    assert_eq!(rows.iter().filter(|row| row[1] == "leader").count(), 1, "{rows:?}");
    assert!(rows.iter().all(|row| row.len() == 7), "no fault is left to show: {rows:?}");
}

#[test]
fn where_no_group_has_a_majority_nobody_serves() {
    let script = "partition 1\nincr hits\nstatus\nheal\nincr hits\n";
    let played = play(script, &[]);
    assert_eq!(played.code, Some(1), "{played:?}");
    let answers = answers(&played);
    assert!(answers.contains(&"partitioned 1 | 2 | 3".to_owned()), "{answers:#?}");
    let none = "no leader is possible: nowhere do 2 of 3 nodes hear each other";
    assert!(answers.contains(&none.to_owned()), "{answers:#?}");
    assert!(table(&answers).iter().all(|row| row.ends_with(&["cut", "off"])), "{answers:#?}");
    let count = answers.iter().rfind(|line| line.starts_with("(integer) "));
    assert!(count.is_some_and(|line| ["(integer) 1", "(integer) 2"].contains(&line.as_str())));
}

#[test]
fn a_slow_leader_takes_its_time_until_it_is_healed() {
    // Slow elections: the delay itself must not depose it.
    let script = "slow leader 300ms\nincr hits\nstatus\nheal\nstatus\n";
    let played = play(script, &["--slow"]);
    assert_eq!(played.code, Some(0), "{played:?}");
    let answers = answers(&played);
    let said = "says and hears comes 300 ms later";
    assert!(answers[0].ends_with(said), "{answers:#?}");
    // Out and back again: the followers' links to it are slow, too.
    let took = answers[2].rsplit_once(", ").expect("position and time").1;
    let millis = match took.rsplit_once(' ') {
        Some((number, "ms")) => number.parse::<f64>().expect("a number"),
        Some((number, "s")) => number.parse::<f64>().expect("a number") * 1e3,
        _ => panic!("{took}"),
    };
    assert!(millis >= 600.0, "{answers:#?}");
    assert_eq!(answers.iter().filter(|line| line.contains("300 ms later")).count(), 4);
    assert!(table(&answers).iter().all(|row| row.len() == 7), "{answers:#?}");
}

#[test]
fn chaos_under_load_is_survived_and_judged() {
    let script = "incr hits\nkill 2\nload on\nchaos 4s\nload off\nincr hits\nstatus\nverify\n";
    let played = play(script, &[]);
    assert_eq!(played.code, Some(0), "{played:?}");
    let answers = answers(&played);
    let line = |begin: &str| {
        let found = answers.iter().find(|line| line.starts_with(begin));
        found.unwrap_or_else(|| panic!("no line {begin}: {answers:#?}"))
    };
    line("faults: ");
    assert!(line("operations: ").contains("ok "));
    line("longest time without an acknowledged write: ");
    line("healed; all nodes run and have applied entry ");
    assert!(answers.iter().any(|line| line.contains(" counts in ")), "{answers:#?}");
    assert!(answers.contains(&"(integer) 2".to_owned()), "{answers:#?}");
    assert!(table(&answers).iter().all(|row| row.len() == 7 && row[6] != "-"), "{answers:#?}");
    let verdict: Vec<&str> = line("linearizable: ").split(' ').collect();
    assert!(verdict[1].parse::<u64>().expect("operations") > 100, "{verdict:?}");
    assert_eq!(verdict[2..4], ["operations", "over"]);
}

#[test]
fn nothing_is_linearizable_that_was_not_checked() {
    let played = play("verify\nping\nverify\nset a 1\nget a\nverify\n", &["--nodes", "1"]);
    assert_eq!(played.code, Some(1), "{played:?}");
    let answers = answers(&played);
    let verdicts: Vec<&String> = answers.iter().filter(|line| line.contains("operation")).collect();
    assert!(verdicts[0].starts_with("nothing to check"), "{answers:#?}");
    assert!(verdicts[1].starts_with("nothing to check"), "{answers:#?}");
    assert!(verdicts[2].starts_with("linearizable: 2 operations over 1 key,"), "{answers:#?}");
}

#[test]
fn every_log_shows_positions() {
    let played = play("incr hits\nlog 1\n", &["--nodes", "1"]);
    assert_eq!(played.code, Some(0), "{played:?}");
    // The leader's blank entry is 1@1, the command 2@1.
    assert!(answers(&played).contains(&"node 1  2@1*".to_owned()), "{played:?}");
}

#[test]
fn nothing_outlives_the_end_of_the_input() {
    let mut process = start_and_wait(&[]);
    let parts = Parts::of(&process);
    process.input().write_all(b"quit\n").expect("it reads");
    assert_eq!(process.exit_code(), Some(0));
    parts.must_go();
}

#[test]
fn nothing_outlives_a_killed_demonstration_not_even_a_paused_node() {
    let mut process = start_and_wait(&[]);
    let parts = Parts::of(&process);
    process.input().write_all(b"pause 2\n").expect("it reads");
    process.line_where(|line| line.starts_with("paused node 2"));
    process.kill();
    parts.must_go();
}

#[test]
fn no_node_outlives_the_demonstration_even_if_the_guard_is_gone() {
    let mut process = start_and_wait(&[]);
    let parts = Parts::of(&process);
    rustix::process::pidfd_send_signal(&parts.guard, Signal::KILL).expect("it runs");
    assert!(ends(&parts.guard, PATIENCE));
    process.kill();
    for node in &parts.nodes {
        assert!(ends(node, PATIENCE), "a node stays");
    }
    fs::remove_dir_all(&parts.folder).expect("nobody else removed it");
}

#[test]
fn nothing_outlives_a_demonstration_that_is_killed_amid_chaos() {
    let mut process = start_and_wait(&[]);
    let parts = Parts::of(&process);
    process.input().write_all(b"isolate 1\nload on\nchaos 1m\n").expect("it reads");
    process.line_where(|line| line.starts_with("counting "));
    process.kill();
    parts.must_go();
}

#[test]
fn nothing_outlives_ctrl_c() {
    let process = start_and_wait(&[]);
    let parts = Parts::of(&process);
    process.signal(Signal::INT);
    parts.must_go();
}

#[test]
fn kept_data_stays() {
    let folder = tempfile::tempdir().expect("a folder");
    let kept = folder.path().join("kept");
    let arguments = ["--nodes", "1", "--keep", kept.to_str().expect("text"), "-e", "incr hits"];
    let played = play("", &arguments);
    assert_eq!(played.code, Some(0), "{played:?}");
    assert!(kept.join("n1.toml").exists());
    assert!(kept.join("n1").is_dir());
    // What was kept is of use without the demonstration: peers are not behind its proxies.
    let config = fs::read_to_string(kept.join("n1.toml")).expect("a configuration");
    let port = |key: &str| {
        let line = config.lines().find(|line| line.starts_with(key)).expect("a member");
        line.trim_end_matches('"').rsplit(':').next().and_then(|port| port.parse::<u16>().ok())
    };
    assert_eq!(port("peer = "), port("client = ").map(|port| port + 10_000));
}

#[test]
fn a_transaction_is_one_command_and_one_that_is_lost_lets_nothing_through() {
    let script = "multi\nincr hits\nincr hits\nexec\nget hits\nset a 1\nget a\nverify\n\
                  multi\nincr hits\nkill leader\nincr hits\nexec\nget hits\n";
    let played = play(script, &[]);
    let answers = answers(&played).join("\n");
    let (before, after) = answers.split_once("linearizable").expect("a verdict");
    assert!(before.starts_with("OK\n  ") || before.starts_with("OK\nQUEUED\n"), "{before}");
    assert!(before.contains("QUEUED\nQUEUED\n1) (integer) 1\n2) (integer) 2\n"), "{before}");
    assert!(before.contains("\n\"2\"\n"), "{before}");
    let lost = "(error) EXECABORT the connection that held the transaction is gone; not applied";
    assert_eq!(after.matches(lost).count(), 2, "{after}");
    assert!(after.trim_end().ends_with("\"2\""), "{after}");
    assert_eq!(played.code, Some(1));
}
