//! A cluster whose nodes talk over plain TCP: it elects, replicates, loses its leader without a
//! word, and is restarted node by node.

mod common;

use common::cluster::{CALM, Cluster, ask, await_some, bulk, ok};
use common::{PATIENCE, Ports, Process, raft};
use raft::client::{Client, Reply};

/// Asks every awake node until one has done it.
fn incr(cluster: &Cluster, value: i64) {
    let leader = cluster.leader();
    assert_eq!(cluster.ask(leader, &["INCR", "hits"]), Reply::Integer(value));
}

#[test]
fn a_cluster_over_tcp_survives_the_loss_of_its_leader_and_a_rolling_restart() {
    let over_tcp = [CALM[0], CALM[1], ("RAFT_PEER_TRANSPORT", "tcp")];
    let mut cluster = Cluster::start_new(3, &over_tcp);
    for (node, value) in (1..).zip(["a", "b", "c"]) {
        assert_eq!(cluster.ask(node, &["SET", "key", value]), ok(), "whoever is asked");
    }
    cluster.caught_up();
    incr(&cluster, 1);

    let (leader, term) = cluster.leader_after(0);
    cluster.kill(leader);
    cluster.leader_after(term);
    incr(&cluster, 2);
    cluster.start(leader);
    cluster.caught_up();
    assert_eq!(cluster.ask(leader, &["GET", "key"]), bulk("c"));

    for (node, value) in cluster.all().into_iter().zip(3..) {
        cluster.process(node).signal(rustix::process::Signal::TERM);
        assert_eq!(cluster.exit_code(node), Some(0));
        incr(&cluster, value);
        cluster.start(node);
        cluster.caught_up();
    }
    for node in cluster.all() {
        assert_eq!(cluster.ask(node, &["GET", "hits"]), bulk("5"));
        assert_eq!(cluster.info(node).number("raft_refused_frames"), 0);
    }
}

/// The others are one cluster; the one that was told otherwise is no part of it, and is counted.
#[test]
fn a_node_with_another_transport_is_left_out_and_does_no_harm() {
    let mut cluster = Cluster::found(3, &[CALM[0], CALM[1], ("RAFT_PEER_TRANSPORT", "tcp")]);
    cluster.set(3, "RAFT_PEER_TRANSPORT", "zeromq");
    cluster.start_all();
    let leader = await_some("a leader of the two", || cluster.info(1).leader());
    let term = cluster.info(leader).number("raft_term");
    assert_eq!(cluster.ask(2, &["SET", "key", "1"]), ok());
    await_some("many refusals", || {
        (cluster.info(leader).number("raft_refused_frames") > 10).then_some(())
    });
    assert_eq!(cluster.info(3).number("raft_last_index"), 0);
    assert_eq!(cluster.info(3).leader(), None);
    let (info, other) = (cluster.info(leader), cluster.info(3 - leader));
    assert_eq!((info.leader(), info.number("raft_term")), (Some(leader), term));
    assert_eq!((other.leader(), other.number("raft_term")), (Some(leader), term));

    cluster.set(3, "RAFT_PEER_TRANSPORT", "tcp");
    cluster.kill(3);
    cluster.start(3);
    cluster.caught_up();
    assert_eq!(cluster.ask(3, &["GET", "key"]), bulk("1"));
}

/// What `raft init` was told stands in each file.
#[test]
fn the_transport_is_a_matter_of_founding() {
    let folder = tempfile::tempdir().expect("a folder");
    let ports = Ports::claim();
    let mut init = raft();
    init.arg("init").arg(folder.path()).args(["--members", &ports.address(0).to_string()]);
    let output = init.args(["--transport", "tcp"]).output().expect("it runs");
    assert!(output.status.success(), "{output:?}");
    let file = folder.path().join("n1.toml");
    let text = std::fs::read_to_string(&file).expect("a file");
    assert!(text.contains("\ntransport = \"tcp\"\n"), "{text}");
    let mut node = Process::start(raft().arg("serve").arg("--config").arg(&file));
    node.log_where(|line| line.contains(" ready: "));
    let mut client = Client::connect(&ports.address(0).to_string(), PATIENCE).expect("it listens");
    assert_eq!(ask(&mut client, &["SET", "key", "1"]), ok());
}

/// Proxies stand between its nodes, too.
#[test]
fn a_demonstration_over_tcp() {
    let mut demo = raft();
    demo.args(["demo", "--transport", "tcp", "-e", "incr hits", "-e", "kill leader"]);
    let output = demo.args(["-e", "incr hits"]).output().expect("it runs");
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).expect("text");
    assert!(text.lines().any(|line| line == "(integer) 2"), "{text}");
}
