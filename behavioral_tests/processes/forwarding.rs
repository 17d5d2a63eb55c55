//! Every node serves every client: what a follower passes on arrives once and in order, and without a
//! majority nothing is promised.

mod common;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use common::PATIENCE;
use common::cluster::{CALM, Cluster, await_some, bulk, is_refused, is_uncertain, ok};
use raft::client::{self, Client, Reply};

/// A cluster in which nothing is uncertain because the machine is slow.
fn unhurried() -> Cluster {
    let settings = [CALM[0], ("RAFT_ELECTION", "2s"), ("RAFT_CLIENT_TIMEOUT", "20s")];
    let cluster = Cluster::start_new(3, &settings);
    cluster.caught_up();
    cluster
}

#[test]
fn what_was_written_through_any_node_is_read_through_every_node() {
    let cluster = unhurried();
    let mut clients: Vec<Client> = cluster.all().iter().map(|at| cluster.client(*at)).collect();
    for value in 0..30 {
        let text = value.to_string();
        let words = ["SET", "key", &text];
        assert_eq!(clients[value % 3].call(&words).expect("an answer"), ok());
        for client in &mut clients {
            assert_eq!(client.call(&["GET", "key"]).expect("an answer"), bulk(&text));
        }
    }
}

/// Sends all commands in one write, and meanwhile reads as many replies as there are bytes expected.
fn pipeline(address: &str, commands: &[u8], replies: usize) -> Vec<u8> {
    let mut stream = TcpStream::connect(address).expect("it listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("a time-out");
    let mut got = vec![0; replies];
    thread::scope(|scope| {
        let mut writer = stream.try_clone().expect("a second handle");
        scope.spawn(move || writer.write_all(commands).expect("it reads"));
        stream.read_exact(&mut got).expect("all replies");
    });
    got
}

#[test]
fn pipelined_commands_are_answered_in_order_with_what_came_before_them() {
    let cluster = unhurried();
    for node in cluster.all() {
        let key = format!("n{node}");
        let requests: [&[&str]; 8] = [
            &["SET", &key, "1"],
            &["GET", &key],
            &["INCR", &key],
            &["GET", &key],
            &["PING"],
            &["APPEND", &key, "0"],
            &["DEL", &key],
            &["GET", &key],
        ];
        let bytes: Vec<u8> = requests.iter().flat_map(|words| client::request(words)).collect();
        let replies = "+OK\r\n$1\r\n1\r\n:2\r\n$1\r\n2\r\n+PONG\r\n:2\r\n:1\r\n$-1\r\n";
        let got = pipeline(&cluster.address(node), &bytes, replies.len());
        assert_eq!(String::from_utf8_lossy(&got), replies, "through node {node}");
    }
}

#[test]
fn ten_thousand_pipelined_commands_through_the_leader_and_through_a_follower() {
    let cluster = unhurried();
    let leader = cluster.leader();
    for node in [leader, cluster.others(leader)[0]] {
        let key = format!("n{node}");
        let (mut commands, mut replies) = (Vec::new(), String::new());
        for number in 1..=5_000 {
            commands.extend(client::request(&["INCR", &key]));
            commands.extend(client::request(&["GET", &key]));
            let text = number.to_string();
            replies.push_str(&format!(":{text}\r\n${}\r\n{text}\r\n", text.len()));
        }
        let got = pipeline(&cluster.address(node), &commands, replies.len());
        assert!(got == replies.as_bytes(), "{}", first_difference(&got, replies.as_bytes()));
    }
}

fn first_difference(got: &[u8], expected: &[u8]) -> String {
    let at = got.iter().zip(expected).take_while(|(one, other)| one == other).count();
    let part =
        |bytes: &[u8]| String::from_utf8_lossy(&bytes[at..bytes.len().min(at + 80)]).into_owned();
    format!("at {at}: {:?} instead of {:?}", part(got), part(expected))
}

/// Clients are told before a leader gives up, and before a paused node's connections are cut.
const IMPATIENT: [(&str, &str); 3] =
    [CALM[0], ("RAFT_ELECTION", "1500ms"), ("RAFT_CLIENT_TIMEOUT", "500ms")];

/// The time-out, and what a busy machine may add.
const LATEST: Duration = Duration::from_millis(500 + 5_000);

/// What each of the requests sent to the one node that is left was told.
fn ask_alone(cluster: &Cluster, node: u16, prefix: &str) -> Vec<(String, Reply)> {
    let key = |number| format!("{prefix}{number}");
    let mut clients: Vec<(String, Client)> =
        (0..12).map(|number| (key(number), cluster.client(node))).collect();
    let asked = Instant::now();
    for (number, (key, client)) in clients.iter_mut().enumerate() {
        let words: [&[&str]; 3] = [&["INCR", key], &["GET", "before"], &["SET", key, "1"]];
        client.send(words[number % 3]).expect("sent");
    }
    let replies = clients.into_iter().enumerate().map(|(number, (key, mut client))| {
        let reply = client.receive().expect("an answer");
        assert!(asked.elapsed() < LATEST, "{:?}", asked.elapsed());
        let is_read = number % 3 == 1;
        assert!(is_refused(&reply) || (is_uncertain(&reply) && !is_read), "{reply:?}");
        (key, reply)
    });
    replies.collect()
}

/// The words are kept: what was refused never happens, what is uncertain happens once or never.
fn check_words(cluster: &mut Cluster, told: &[(String, Reply)]) {
    cluster.start_all();
    cluster.leader();
    assert_eq!(cluster.ask(1, &["GET", "before"]), bulk("1"));
    cluster.caught_up();
    for (key, reply) in told {
        for node in cluster.all() {
            let value = cluster.ask(node, &["GET", key]);
            let never = value == Reply::Nil;
            assert!(
                never || (is_uncertain(reply) && value == bulk("1")),
                "{key}: {value:?}, {reply:?}"
            );
        }
    }
    cluster.kill_all();
    for (key, _) in told.iter().filter(|(_, reply)| is_refused(reply)) {
        for node in cluster.all() {
            let names_it = |line: &String| line.split(' ').any(|word| word == key);
            assert_eq!(cluster.entries(node).iter().find(|line| names_it(line)), None);
        }
    }
}

fn without_a_majority(survivor: impl FnOnce(&Cluster) -> u16) {
    let mut cluster = Cluster::start_new(3, &IMPATIENT);
    assert_eq!(cluster.ask(1, &["SET", "before", "1"]), ok());
    cluster.caught_up();
    let left = survivor(&cluster);
    cluster.kill_at_once(&cluster.others(left));
    let mut told = ask_alone(&cluster, left, "soon");
    await_some("a node that knows that nobody leads", || {
        cluster.info(left).leader().is_none().then_some(())
    });
    for (key, reply) in ask_alone(&cluster, left, "late") {
        assert!(is_refused(&reply), "{reply:?}");
        told.push((key, reply));
    }
    check_words(&mut cluster, &told);
}

#[test]
fn a_leader_without_a_majority_acknowledges_nothing_and_keeps_its_words() {
    without_a_majority(Cluster::leader);
}

#[test]
fn a_follower_without_a_majority_acknowledges_nothing_and_keeps_its_words() {
    without_a_majority(|cluster| cluster.others(cluster.leader())[0]);
}

/// The two others are only slow to answer: what was passed on to the leader waits in its socket, and
/// it still leads when it goes on.
#[test]
fn requests_of_a_follower_whose_others_are_paused_keep_their_words() {
    let mut cluster = Cluster::start_new(3, &IMPATIENT);
    assert_eq!(cluster.ask(1, &["SET", "before", "1"]), ok());
    cluster.caught_up();
    let left = cluster.others(cluster.leader())[0];
    let others = cluster.others(left);
    for node in &others {
        cluster.pause(*node);
    }
    let told = ask_alone(&cluster, left, "soon");
    for node in &others {
        cluster.resume(*node);
    }
    check_words(&mut cluster, &told);
}
