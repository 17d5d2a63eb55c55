//! The configuration file: what is in force, and the whole message of each mistake.

use std::path::{Path, PathBuf};
use std::time::Duration;

use messages::ClusterId;
use raft::config::{self, Config, Loaded, LogFormat, Member, Origin, Transport};

/// Three nodes; line 2 is the name, line 5 the cluster's id, the members begin at 7, 11 and 15.
const FILE: &str = r#"[node]
name = "1"
data = "n1"
[cluster]
id = "00000000000000c1"

[[cluster.members]]
name = "1"
client = "127.0.0.1:7001"
peer = "127.0.0.1:17001"
[[cluster.members]]
name = "2"
client = "127.0.0.1:7002"
peer = "127.0.0.1:17002"
[[cluster.members]]
name = "3"
client = "127.0.0.1:7003"
peer = "127.0.0.1:17003"
"#;

fn read(text: &str) -> Result<Loaded, String> {
    let error = |error: config::ConfigError| error.to_string();
    config::read(Path::new("conf/n1.toml"), text, |_| None, &[]).map_err(error)
}

/// The message for `FILE` with lines added at its end; the first of them is line 19.
fn mistake(added: &str) -> String {
    read(&format!("{FILE}{added}")).expect_err("a mistake")
}

/// The message for `FILE` with a text replaced.
fn mistake_of(replaced: &str, by: &str) -> String {
    assert!(FILE.contains(replaced), "{replaced} stands in the file");
    read(&FILE.replacen(replaced, by, 1)).expect_err("a mistake")
}

#[test]
fn a_short_file_is_filled_up_with_the_documented_defaults() {
    let member = |name: &str| Member {
        name: name.into(),
        client: format!("127.0.0.1:700{name}"),
        peer: format!("127.0.0.1:1700{name}"),
    };
    let expected = Config {
        name: "1".into(),
        data: PathBuf::from("conf/n1"),
        cluster: ClusterId(0xc1),
        members: vec![member("1"), member("2"), member("3")],
        peer_listen: "127.0.0.1:17001".into(),
        transport: Transport::ZeroMq,
        client_listen: "127.0.0.1:7001".into(),
        client_timeout: Duration::from_millis(2_500),
        max_request: 1_048_576,
        max_clients: 10_000,
        max_waiting: 67_108_864,
        stall: Duration::from_secs(30),
        heartbeat: Duration::from_millis(50),
        election: Duration::from_millis(300),
        max_uncommitted: 67_108_864,
        max_in_flight: 4_194_304,
        segment: 67_108_864,
        snapshot: 16_777_216,
        snapshot_rate: 12_582_912,
        log_level: log_level("INFO"),
        log_format: LogFormat::Text,
    };
    assert_eq!(read(FILE).expect("a good file").config, expected);
}

fn log_level(name: &str) -> raft::config::LevelFilter {
    name.parse().expect("a level")
}

#[test]
fn every_key_of_the_file_is_taken() {
    let text = format!(
        "{FILE}[peer]\nlisten = \"[::1]:17009\"\ntransport = \"tcp\"\n\
         [client]\nlisten = \"0.0.0.0:7009\"\ntimeout = \"15s\"\nmax_request = \"512KiB\"\n\
         max_clients = 7\nmax_waiting = \"8MiB\"\nstall = \"5s\"\n\
         [raft]\nheartbeat = \"1s\"\nelection = \"3s\"\n\
         max_uncommitted = \"3MiB\"\nmax_in_flight = \"1MiB\"\n\
         [storage]\nsegment = \"16MiB\"\nsnapshot = \"1MiB\"\n\
         snapshot_rate = \"2MiB\"\n[log]\nlevel = \"debug\"\nformat = \"json\"\n"
    );
    let config = read(&text).expect("a good file").config;
    assert_eq!(config.peer_listen, "[::1]:17009");
    assert_eq!(config.transport, Transport::Tcp);
    assert_eq!(config.client_listen, "0.0.0.0:7009");
    assert_eq!(config.client_timeout, Duration::from_secs(15));
    assert_eq!(config.max_request, 524_288);
    assert_eq!(config.max_clients, 7);
    assert_eq!((config.max_waiting, config.stall), (8_388_608, Duration::from_secs(5)));
    assert_eq!((config.max_uncommitted, config.max_in_flight), (3_145_728, 1_048_576));
    assert_eq!(config.heartbeat, Duration::from_secs(1));
    assert_eq!(config.election, Duration::from_secs(3));
    assert_eq!(config.segment, 16_777_216);
    assert_eq!((config.snapshot, config.snapshot_rate), (1_048_576, 2_097_152));
    assert_eq!(config.log_level, log_level("DEBUG"));
    assert_eq!(config.log_format, LogFormat::Json);
}

#[test]
fn a_flag_counts_more_than_the_environment_that_more_than_the_file_that_more_than_a_default() {
    let text = format!("{FILE}[client]\ntimeout = \"1s\"\nmax_clients = 5\nlisten = \"a:1\"\n");
    let environment = |name: &str| match name {
        "RAFT_CLIENT_TIMEOUT" => Some("2s".to_owned()),
        "RAFT_CLIENT_MAX_CLIENTS" => Some("6".to_owned()),
        "RAFT_HEARTBEAT" => Some("40ms".to_owned()),
        _ => None,
    };
    let flags = [("client-timeout", "3s".to_owned())];
    let loaded = config::read(Path::new("n1.toml"), &text, environment, &flags).expect("good");
    let value_and_place = |key: &str| {
        let setting = loaded.settings.iter().find(|setting| setting.key == key).expect("a key");
        (setting.value.clone(), setting.origin.place("n1.toml"))
    };
    let expected = [
        ("client.timeout", "\"3s\"", "--client-timeout"),
        ("client.max_clients", "6", "environment RAFT_CLIENT_MAX_CLIENTS"),
        ("raft.heartbeat", "\"40ms\"", "environment RAFT_HEARTBEAT"),
        ("client.listen", "\"a:1\"", "n1.toml:22"),
        ("peer.listen", "\"127.0.0.1:17001\"", "n1.toml: this node's member"),
        ("raft.election", "\"300ms\"", "default"),
        ("node.name", "\"1\"", "n1.toml:2"),
    ];
    for (key, value, place) in expected {
        assert_eq!(value_and_place(key), (value.into(), place.into()), "{key}");
    }
    assert_eq!(loaded.config.client_timeout, Duration::from_secs(3));
    assert_eq!(loaded.config.max_clients, 6);
}

#[test]
fn a_data_folder_counts_from_the_file_only_if_the_file_names_it() {
    let flags = [("data", "here".to_owned())];
    let file = Path::new("conf/n1.toml");
    let loaded = config::read(file, FILE, |_| None, &flags).expect("good");
    assert_eq!(loaded.config.data, PathBuf::from("here"));
    let absolute = FILE.replacen("\"n1\"", "\"/data/n1\"", 1);
    assert_eq!(read(&absolute).expect("good").config.data, PathBuf::from("/data/n1"));
}

#[test]
fn an_unknown_key_is_named_with_its_line_and_the_nearest_known_one() {
    let cases = [
        (
            "[client]\ntimout = \"1s\"\n",
            "conf/n1.toml:20: unknown key client.timout; the nearest known key is client.timeout",
        ),
        (
            "[log]\nlevel = \"info\"\nheartbeat = \"1s\"\n",
            "conf/n1.toml:21: unknown key log.heartbeat; the nearest known key is raft.heartbeat",
        ),
        (
            "[clinet]\ntimeout = \"1s\"\n",
            "conf/n1.toml:19: unknown section [clinet]; the nearest known section is [client]",
        ),
        (
            "clients = \"a:1\"
",
            "conf/n1.toml:19: unknown key clients of a member; the nearest known key is client",
        ),
    ];
    for (added, message) in cases {
        assert_eq!(mistake(added), message);
    }
}

#[test]
fn of_two_unknown_keys_the_first_in_the_file_is_named() {
    let message = mistake("[storage]\nzegment = 1\n[log]\naevel = 1\n");
    assert!(message.starts_with("conf/n1.toml:20: unknown key storage.zegment;"), "{message}");
}

#[test]
fn a_value_out_of_range_names_the_range() {
    let cases = [
        (
            "[raft]\nheartbeat = \"0ms\"\n",
            "conf/n1.toml:20: raft.heartbeat = \"0ms\": expected a duration from \"1ms\" to \"10s\"",
        ),
        (
            "[raft]\n\nelection = \"61s\"\n",
            "conf/n1.toml:21: raft.election = \"61s\": expected a duration from \"10ms\" to \"60s\"",
        ),
        (
            "[client]\nmax_clients = 0\n",
            "conf/n1.toml:20: client.max_clients = 0: expected a whole number from 1 to 1000000",
        ),
        (
            "[client]\nmax_request = \"5MiB\"\n",
            "conf/n1.toml:20: client.max_request = \"5MiB\": expected a size from \"1KiB\" to \"4MiB\"",
        ),
        (
            "[storage]\nsegment = \"1KiB\"\n",
            "conf/n1.toml:20: storage.segment = \"1KiB\": expected a size from \"1MiB\" to \"1GiB\"",
        ),
    ];
    for (added, message) in cases {
        assert_eq!(mistake(added), message);
    }
}

/// What is shown is what is in force: a duration has no part below what the rules count in.
#[test]
fn durations_are_whole_microseconds() {
    for (given, micros, shown) in [
        ("50.0005ms", 50_001, "\"50001us\""),
        ("50.0004ms", 50_000, "\"50ms\""),
        ("1.0000001s", 1_000_000, "\"1s\""),
        ("1.234567s", 1_234_567, "\"1234567us\""),
    ] {
        let loaded = read(&format!("{FILE}[client]\ntimeout = \"{given}\"\n")).expect(given);
        assert_eq!(loaded.config.client_timeout, Duration::from_micros(micros), "{given}");
        let setting = loaded.settings.iter().find(|each| each.key == "client.timeout");
        assert_eq!(setting.expect("a setting").value, shown, "{given}");
    }
}

#[test]
fn a_value_of_the_wrong_type_is_told_what_was_expected() {
    let cases = [
        (
            "[client]\nlisten = 7001\n",
            "conf/n1.toml:20: client.listen = 7001: expected HOST:PORT, such as \"127.0.0.1:7001\"",
        ),
        (
            "[client]\nmax_clients = \"7\"\n",
            "conf/n1.toml:20: client.max_clients = \"7\": expected a whole number from 1 to 1000000",
        ),
        (
            "[client]\ntimeout = 2.5\n",
            "conf/n1.toml:20: client.timeout = 2.5: expected a duration from \"50ms\" to \"600s\"",
        ),
        (
            "[client]\ntimeout = \"2.5\"\n",
            "conf/n1.toml:20: client.timeout = \"2.5\": expected a duration from \"50ms\" to \"600s\"",
        ),
        (
            "[log]\nlevel = [\"info\"]\n",
            "conf/n1.toml:20: log.level = [\"info\"]: expected one of \"error\", \"warn\", \"info\", \
             \"debug\", \"trace\", \"off\"",
        ),
        (
            "[peer]\ntransport = \"udp\"\n",
            "conf/n1.toml:20: peer.transport = \"udp\": expected one of \"zeromq\", \"tcp\"",
        ),
    ];
    for (added, message) in cases {
        assert_eq!(mistake(added), message);
    }
}

#[test]
fn relations_between_values_are_checked() {
    assert_eq!(
        mistake("[raft]\nheartbeat = \"151ms\"\n"),
        "conf/n1.toml:20: raft.heartbeat = \"151ms\": expected at most half of raft.election, which is \"300ms\""
    );
    assert_eq!(
        mistake("[raft]\nelection = \"99ms\"\n"),
        "conf/n1.toml:20: raft.election = \"99ms\": expected at least twice raft.heartbeat, which is \"50ms\""
    );
    assert!(read(&format!("{FILE}[raft]\nheartbeat = \"150ms\"\n")).is_ok());
    assert_eq!(
        mistake("[client]\nlisten = \"127.0.0.1:17001\"\n"),
        "conf/n1.toml: this node's member: peer.listen = \"127.0.0.1:17001\": expected another \
         address than client.listen"
    );
    assert_eq!(
        mistake_of("name = \"1\"", "name = \"4\""),
        "conf/n1.toml:2: node.name = \"4\": expected the name of a member: 1, 2, 3"
    );
}

#[test]
fn members_share_nothing() {
    let cases = [
        (
            "name = \"2\"",
            "name = \"1\"",
            "conf/n1.toml:11: cluster.members: the name \"1\" stands there twice; expected another for \
             each member",
        ),
        (
            "127.0.0.1:7003",
            "127.0.0.1:17002",
            "conf/n1.toml:15: cluster.members: \"2\" and \"3\" share 127.0.0.1:17002; expected another \
             for each member",
        ),
    ];
    for (replaced, by, message) in cases {
        assert_eq!(mistake_of(replaced, by), message);
    }
}

#[test]
fn what_must_be_given_is_missed() {
    let cases = [
        (
            "data = \"n1\"\n",
            "conf/n1.toml: node.data is missing; it is the data folder; a relative path counts from \
             this file's folder",
        ),
        (
            "id = \"00000000000000c1\"\n",
            "conf/n1.toml: cluster.id is missing; it is the same on every node of the cluster; raft \
             init drew it at random",
        ),
        (
            "client = \"127.0.0.1:7002\"\n",
            "conf/n1.toml:11: cluster.members: client is missing; expected name, client and peer",
        ),
    ];
    for (removed, message) in cases {
        assert_eq!(mistake_of(removed, ""), message);
    }
    let (before, _) = FILE.split_once("[[").expect("members");
    assert_eq!(
        read(before).expect_err("a mistake"),
        "conf/n1.toml: [[cluster.members]] is missing: expected one for each node, with name, client \
         and peer"
    );
}

#[test]
fn odd_forms_are_mistakes_with_a_line_and_never_a_panic() {
    let cases = [
        ("client = 5\n", "conf/n1.toml:19: not TOML: duplicate key"),
        ("[client]\nlisten = \"a:1\"\nlisten = \"a:2\"\n", "conf/n1.toml:21: not TOML: "),
        ("[client\n", "conf/n1.toml:19: not TOML: "),
        ("[cluster.members.x]\n", "conf/n1.toml:19: unknown key x of a member"),
        (
            "[client]\nmax_clients = 99999999999999999999\n",
            "conf/n1.toml:20: client.max_clients = 9",
        ),
        ("[client]\nmax_clients = -1\n", "conf/n1.toml:20: client.max_clients = -1: expected"),
        ("[client]\nlisten = \"a b:1\"\n", "conf/n1.toml:20: client.listen = \"a b:1\": expected"),
        ("[client]\nlisten = \"::1:7001\"\n", "conf/n1.toml:20: client.listen = "),
        ("[client]\nlisten = \"a:0\"\n", "conf/n1.toml:20: client.listen = "),
        ("[client]\nlisten = \"a:65536\"\n", "conf/n1.toml:20: client.listen = "),
    ];
    for (added, beginning) in cases {
        let message = mistake(added);
        assert!(message.starts_with(beginning), "{added:?} gives {message}");
        assert!(!message.contains('\n'), "one line: {message}");
    }
    let scalar = read("client = 5\n").expect_err("a mistake");
    assert_eq!(scalar, "conf/n1.toml:1: client: expected a section, which begins with [client]");
    let members = read("[cluster]\nmembers = [1]\n").expect_err("a mistake");
    assert_eq!(
        members,
        "conf/n1.toml:2: cluster.members: expected one [[cluster.members]] for each node"
    );
}

#[test]
fn every_beginning_of_a_file_is_read_or_refused() {
    let text = format!("{FILE}[raft]\nheartbeat = \"40ms\"\n");
    for end in 0..text.len() {
        let _ = read(&text[..end]);
    }
}

#[test]
fn a_mistake_in_the_environment_or_a_flag_names_it() {
    let file = Path::new("n1.toml");
    let environment = |name: &str| (name == "RAFT_ELECTION").then(|| "soon".to_owned());
    let error = config::read(file, FILE, environment, &[]).expect_err("a mistake");
    assert_eq!(
        error.to_string(),
        "environment RAFT_ELECTION: raft.election = \"soon\": expected a duration from \"10ms\" to \
         \"60s\""
    );
    let flags = [("client-listen", "here".to_owned())];
    let error = config::read(file, FILE, |_| None, &flags).expect_err("a mistake");
    assert_eq!(
        error.to_string(),
        "--client-listen: client.listen = \"here\": expected HOST:PORT, such as \"127.0.0.1:7001\""
    );
}

#[test]
fn a_file_that_cannot_be_read_says_so() {
    let error = config::load(Path::new("/nowhere/n1.toml"), &[]).expect_err("no such file");
    assert_eq!(
        error.to_string(),
        "/nowhere/n1.toml: cannot be read: No such file or directory (os error 2)"
    );
}

#[test]
fn the_written_file_has_every_key_and_reads_back_as_it_was() {
    let config = read(FILE).expect("good").config;
    let written = config::template(&config);
    for key in config::KEYS {
        let heading = format!("[{}]", key.section());
        let after = written.split_once(&heading).expect("its section").1;
        let line = format!("\n{} = ", key.field());
        let comment = format!("# {}", key.comment);
        assert!(after.contains(&line) && after.contains(&comment), "{} stands there", key.name);
    }
    let again = config::read(Path::new("n1.toml"), &written, |_| None, &[]).expect("a good file");
    assert_eq!(again.config, config);
    let origins = again.settings.iter().map(|setting| setting.origin);
    assert!(origins.into_iter().all(|origin| matches!(origin, Origin::File(_))));
}
