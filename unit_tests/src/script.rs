//! Golden scripts: commands, `---`, and the trace that they must leave. The expected trace is
//! rewritten by `UPDATE_GOLDENFILES=1 cargo test -p unit_tests`; its diff is reviewed against the
//! paper. Must never hide what a node did: a silent command is written in parentheses.
//!
//! | command | what happens |
//! |---|---|
//! | `cluster 3 [election=300] [heartbeat=50] [window=16] [append_bytes=…] [busy_above=…] [kept=…] [pinned=…]` | new nodes n1, n2, …; times in ms |
//! | `elect n1` | its timeout passes; messages arrive and disks write until nothing is under way |
//! | `timeout n1` | time goes on to its deadline; it is told |
//! | `advance 50` | 50 ms pass |
//! | `append n2 from=n1 term=3 previous=2@1 commit=2 3@3 4@3` | a message arrives, whoever sent it |
//! | `heartbeat n2 from=n1 term=3 round=1 commit=0` | likewise, as are the next seven |
//! | `request_vote n2 from=n1 term=3 last=5@2`, `vote n1 from=n2 term=3 granted=yes` | |
//! | `pre_vote n2 from=n1 term=2 last=5@2`, `pre_vote_reply n1 from=n2 term=2 granted=yes` | |
//! | `matched n1 from=n2 term=3 at=4`, `mismatched n1 from=n2 term=3 rejected=4 try=3@2` | |
//! | `echo n1 from=n2 term=3 round=1` | |
//! | `snapshotted n1 from=n2 term=3 snapshot=4@3` | |
//! | `snapshot n1 [at=4]` | a snapshot up to there, or to its commit index, comes into its place on its disk |
//! | `part n2 from=n1 term=3 snapshot=4@3 [complete=yes]` | a part of a leader's snapshot arrives, or all of it is there |
//! | `restored n2 snapshot=4@3` | a snapshot that it received is restored beside its machine |
//! | `transfer n2 from=n1 [at=4]` | all parts of n1's newest snapshot, or that up to there, arrive as far as they are wanted, and it is restored |
//! | `snapshot_failed n1 peer=n2` | the peer took no part of its snapshot for too long |
//! | `disk n1 full`, `disk n1 exhausted`, `disk n1 free` | what room there is for its log |
//! | `lost n1 peer=n2` | its connection to that peer is lost |
//! | `propose n1 [bytes=1] [only_in=3]`, `blank n1`, `read n1` | a request |
//! | `write n1 [jobs=1]` | its disk does all that it was given, or so many jobs |
//! | `deliver [from=n1] [to=n2]` | what is under way there arrives |
//! | `lose [from=n1] [to=n2]` | or is lost |
//! | `settle` | messages arrive and disks write until nothing is under way |
//! | `cut n1`, `heal` | its messages are lost, or all arrive again |
//! | `crash n1`, `restart n1` | what was not durable is forgotten |
//! | `gather n1` … `turn n1` | inputs between them happen in one turn |
//! | `show n1` | its role, term, vote, log, commit index |
//! | `due n1` | when its deadline is, in ms from now |

use std::error::Error;
use std::fmt::Write as _;
use std::path::Path;

use goldenscript::{ArgumentConsumer, Command, Context};
use messages::{LogPosition, NodeId, SnapshotMeta, Term};
use states::{Config, Input, Micros, Space};

use crate::node::wall;
use crate::{Cluster, inputs, notation};

/// Runs one script of `unit_tests/scripts/`, like `follower/append`.
pub fn run(name: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts").join(name);
    let mut runner = Runner { cluster: Cluster::new(3) };
    goldenscript::run(&mut runner, &path).unwrap_or_else(|error| panic!("{name}: {error}"));
}

/// Runs the script in memory and gives back what it left, for tests of the runner itself.
pub fn generate(script: &str) -> std::io::Result<String> {
    goldenscript::generate(&mut Runner { cluster: Cluster::new(3) }, script)
}

/// One test for each script of a folder, and one that notices a script without a test.
#[macro_export]
macro_rules! scripts {
    ($folder:literal: $($name:ident)*) => {
        $(
            #[test]
            fn $name() {
                $crate::script::run(concat!($folder, "/", stringify!($name)));
            }
        )*

        #[test]
        fn every_script_has_a_test() {
            $crate::script::assert_complete($folder, &[$(stringify!($name)),*]);
        }
    };
}

/// Panics if the folder holds a script that is not listed.
pub fn assert_complete(folder: &str, listed: &[&str]) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts").join(folder);
    for file in std::fs::read_dir(&path).expect("a folder of scripts") {
        let name = file.expect("a readable folder").file_name().into_string().expect("a name");
        assert!(listed.contains(&name.as_str()), "scripts/{folder}/{name} is run by no test");
    }
}

struct Runner {
    cluster: Cluster,
}

type Outcome<T> = Result<T, Box<dyn Error>>;

impl goldenscript::Runner for Runner {
    type Command = Command;

    fn run(&mut self, command: &Command, _: &Context) -> Outcome<String> {
        let mut arguments = command.consume_args();
        let mut output = String::new();
        match command.name.as_str() {
            "cluster" => {
                let voters = arguments.next_pos().ok_or("how many nodes?")?.parse()?;
                self.cluster = Cluster::with(voters, config(&mut arguments)?);
            }
            "advance" => {
                let millis: u64 = arguments.next_pos().ok_or("how many ms?")?.parse()?;
                self.cluster.advance(Micros(millis * 1000));
            }
            "deliver" => {
                let (from, to) = (peer(&mut arguments, "from")?, peer(&mut arguments, "to")?);
                self.cluster.deliver(from, to);
            }
            "lose" => {
                let (from, to) = (peer(&mut arguments, "from")?, peer(&mut arguments, "to")?);
                let lost = self.cluster.lose(from, to);
                writeln!(output, "{lost} lost")?;
            }
            "settle" => self.cluster.settle(),
            "heal" => self.cluster.heal(),
            name => {
                let node = arguments.next_pos().ok_or("which node?")?;
                let node = notation::node_id(node)?.0;
                output = self.run_on(node, name, &mut arguments)?;
            }
        }
        arguments.reject_next()?;
        output.insert_str(0, &self.cluster.take_trace());
        Ok(output)
    }
}

impl Runner {
    /// What happens to one node.
    fn run_on(
        &mut self,
        node: u64,
        name: &str,
        arguments: &mut ArgumentConsumer,
    ) -> Outcome<String> {
        let cluster = &mut self.cluster;
        match name {
            "elect" => cluster.elect(node),
            "timeout" => drop(cluster.timeout(node)),
            "propose" => {
                let only_in = number(arguments, "only_in")?.map(Term);
                let bytes = number(arguments, "bytes")?.unwrap_or(1) as usize;
                cluster.propose(node, bytes, only_in);
            }
            "blank" => drop(cluster.blank(node)),
            "read" => drop(cluster.read(node)),
            "lost" => {
                let lost = peer(arguments, "peer")?.ok_or("whose connection?")?;
                cluster.input(node, Input::PeerLost(NodeId(lost)));
            }
            "disk" => {
                let space = arguments.next_pos().ok_or("full, exhausted or free?")?;
                let space = match space {
                    "full" => Space::Full,
                    "exhausted" => Space::Exhausted,
                    "free" => Space::Enough,
                    other => return Err(format!("no disk is {other:?}").into()),
                };
                cluster.input(node, Input::Space(space));
            }
            "snapshot" => cluster.take_snapshot(node, number(arguments, "at")?),
            "restored" => {
                let meta = snapshot(cluster, arguments)?;
                cluster.input(node, Input::SnapshotRestored(meta));
            }
            "transfer" => {
                let from = peer(arguments, "from")?.ok_or("whose snapshot?")?;
                cluster.transfer(node, from, number(arguments, "at")?);
            }
            "snapshot_failed" => {
                let peer = peer(arguments, "peer")?.ok_or("to whom?")?;
                cluster.input(node, Input::SnapshotFailed(NodeId(peer)));
            }
            "write" => match number(arguments, "jobs")? {
                Some(jobs) => (0..jobs).for_each(|_| drop(cluster.write_one(node))),
                None => cluster.write_all(node),
            },
            "cut" => cluster.cut(node),
            "crash" => cluster.crash(node),
            "restart" => cluster.restart(node),
            "gather" => cluster.begin_turn(node),
            "turn" => drop(cluster.end_turn(node)),
            "show" => return Ok(self.show(node)),
            "due" => {
                let (due, now) = (cluster.node(node).state.deadline(), cluster.now);
                let span = (due.ok_or("it has no deadline")? - now).0;
                return Ok(format!("n{node} is due in {} ms\n", span as f64 / 1000.0));
            }
            _ => {
                let input = self.message(name, arguments)?;
                self.cluster.input(node, input);
            }
        }
        Ok(String::new())
    }

    /// A message made by hand, as some peer might send it.
    fn message(&self, name: &str, arguments: &mut ArgumentConsumer) -> Outcome<Input> {
        let from = peer(arguments, "from")?.ok_or("from whom?")?;
        let term = number(arguments, "term")?.ok_or("of which term?")?;
        Ok(match name {
            "append" => {
                let previous = position(arguments, "previous")?;
                let commit = number(arguments, "commit")?.unwrap_or(0);
                let time = wall(self.cluster.now).0;
                let mut entries = Vec::new();
                while let Some(text) = arguments.next_pos() {
                    entries.push(inputs::entry(notation::position(text)?, time));
                }
                inputs::append_entries(from, term, previous, entries, commit)
            }
            "heartbeat" => {
                let round = number(arguments, "round")?.ok_or("of which round?")?;
                let commit = number(arguments, "commit")?.unwrap_or(0);
                inputs::heartbeat(from, term, round, commit)
            }
            "request_vote" => inputs::request_vote(from, term, position(arguments, "last")?),
            "pre_vote" => {
                let round = number(arguments, "round")?.unwrap_or(0);
                inputs::pre_vote_in(from, term, position(arguments, "last")?, round)
            }
            "vote" => {
                let answers = number(arguments, "answers")?.unwrap_or(term);
                inputs::vote_reply(from, term, answers, yes(arguments, "granted")?)
            }
            "pre_vote_reply" => {
                let proposed = number(arguments, "proposed")?.unwrap_or(term + 1);
                let granted = yes(arguments, "granted")?;
                let round = number(arguments, "round")?.unwrap_or(0);
                inputs::pre_vote_reply_in(from, term, proposed, granted, round)
            }
            "matched" => {
                inputs::matched(from, term, number(arguments, "at")?.ok_or("up to where?")?)
            }
            "mismatched" => {
                let rejected = number(arguments, "rejected")?.ok_or("where?")?;
                inputs::mismatched(from, term, rejected, position(arguments, "try")?)
            }
            "echo" => {
                inputs::echo(from, term, number(arguments, "round")?.ok_or("of which round?")?)
            }
            "snapshotted" => inputs::snapshotted(from, term, position(arguments, "snapshot")?),
            "part" => {
                let complete =
                    arguments.take_key("complete").is_some_and(|complete| complete == "yes");
                inputs::part(from, term, snapshot(&self.cluster, arguments)?, complete)
            }
            name => return Err(format!("no command is called {name:?}").into()),
        })
    }

    fn show(&self, id: u64) -> String {
        let node = self.cluster.node(id);
        let vote = node.replica.hard_state().voted_for.map_or("none".to_owned(), notation::node);
        let leader = node.state.leader(&node.replica).map_or("none".to_owned(), notation::node);
        let base = match node.replica.log().base() {
            LogPosition::ZERO => String::new(),
            base => format!("{base}…"),
        };
        let log: Vec<String> = node.log().iter().map(ToString::to_string).collect();
        format!(
            "n{id} is {} in term {}, vote={vote} leader={leader} log={base}[{}] durable={} commit={}\n",
            node.role(),
            node.term(),
            log.join(" "),
            node.replica.log().durable(),
            node.commit(),
        )
    }
}

fn config(arguments: &mut ArgumentConsumer) -> Outcome<Config> {
    let mut config = Config::default();
    if let Some(millis) = number(arguments, "heartbeat")? {
        config.heartbeat = Micros(millis * 1000);
    }
    if let Some(millis) = number(arguments, "election")? {
        config.election = Micros(millis * 1000);
    }
    if let Some(messages) = number(arguments, "window")? {
        config.window_messages = messages as usize;
    }
    if let Some(bytes) = number(arguments, "append_bytes")? {
        config.append_bytes = bytes as usize;
    }
    if let Some(bytes) = number(arguments, "busy_above")? {
        config.uncommitted_bytes = bytes as usize;
    }
    if let Some(bytes) = number(arguments, "kept")? {
        config.kept_bytes = bytes as usize;
    }
    if let Some(bytes) = number(arguments, "pinned")? {
        config.pinned_bytes = bytes as usize;
    }
    Ok(config)
}

fn number(arguments: &mut ArgumentConsumer, key: &str) -> Outcome<Option<u64>> {
    Ok(arguments.take_key(key).map(str::parse).transpose()?)
}

fn position(arguments: &mut ArgumentConsumer, key: &str) -> Outcome<messages::LogPosition> {
    let text = arguments.take_key(key).ok_or(format!("{key}=… is missing"))?;
    Ok(notation::position(text)?)
}

/// What a snapshot made now, of all nodes, stands for.
fn snapshot(cluster: &Cluster, arguments: &mut ArgumentConsumer) -> Outcome<SnapshotMeta> {
    let voters = cluster.nodes.len() as u64;
    Ok(inputs::snapshot(position(arguments, "snapshot")?, wall(cluster.now).0, voters))
}

fn peer(arguments: &mut ArgumentConsumer, key: &str) -> Outcome<Option<u64>> {
    let id = arguments.take_key(key).map(notation::node_id).transpose()?;
    Ok(id.map(|id| id.0))
}

fn yes(arguments: &mut ArgumentConsumer, key: &str) -> Outcome<bool> {
    match arguments.take_key(key) {
        Some("yes") => Ok(true),
        Some("no") => Ok(false),
        other => Err(format!("{key} is yes or no, not {other:?}").into()),
    }
}
