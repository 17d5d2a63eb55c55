//! Frames into a production server, through the gate and the codec, over a production log on a
//! simulated disk: peers say anything, with any numbers, clients ask, time passes, writes end, power
//! fails. Never a panic; and what can be seen of one server alone of the paper's Figures 2 and 3.

use servers::machine::{Applied, Pieces, StateMachine, Unreadable};

use super::sequence_checks::Checks;
use super::sequence_node::Node;
use super::{Choices, Marks, Target};

/// The property of a server among hostile peers.
pub const TARGET: Target = Target {
    name: "peer_sequence",
    check,
    marks: &[
        "a vote was granted",
        "it led",
        "it led and committed",
        "it followed and committed",
        "entries were truncated",
        "a frame was refused",
        "a frame came twice",
        "a client was answered",
        "a batch was forwarded",
        "power failed",
        "a part of a snapshot was stored",
        "a part of a snapshot that does not follow was not",
        "what was received of a snapshot was thrown away",
        "it needed no snapshot",
        "the term rose by a hostile jump",
        // What was dropped because no honest peer sends it.
        "a term far beyond this node's",
        "two leaders in one term",
        "a match beyond the leader's log",
        "a refusal beyond the leader's log",
        "an echo of a round never sent",
        "a heartbeat commits beyond what matched",
        "committed entries are never replaced",
        "an append builds on a later term than its sender's",
        "a gap between entries",
        "terms fall along the entries, or pass their leader's",
        "a snapshot of a later term than its sender's",
        "a snapshot beyond the leader's log",
        "an append contradicts what a snapshot covers",
        "log time falls along the entries",
    ],
    longest: 700,
};

/// Steps of one run at most.
const MOST_STEPS: usize = 150;

fn check(bytes: &[u8]) -> Marks {
    let mut choices = Choices::new(bytes);
    let mut checks = Checks::default();
    let mut node = Node::start(choices.one_of(&[3, 1, 5]));
    checks.on_start(&node);
    match choices.below(3) {
        0 => {}
        1 => node.lead(&mut checks),
        _ => node.follow(&mut checks),
    }
    for _ in 0..MOST_STEPS {
        if choices.is_over() {
            break;
        }
        step(&mut node, &mut choices, &mut checks);
    }
    checks.marks
}

fn step(node: &mut Node, choices: &mut Choices, checks: &mut Checks) {
    match choices.below(16) {
        0..=4 => node.hear_anything(choices),
        5 | 6 => node.hear_honest_answers(choices),
        7 => node.hear_again(choices, checks),
        8 => node.ask(choices),
        9 | 10 => node.wait(choices),
        11 | 12 => node.sync(checks),
        13 => node.refuse_to_send(choices),
        14 => {
            node.turn(checks); // several frames in one turn otherwise
        }
        _ if choices.one_in(4) => {
            node.lose_power(choices);
            checks.on_start(node);
            checks.marks.insert("power failed");
            return;
        }
        _ => node.hear_garbage(choices),
    }
    if !choices.one_in(4) {
        node.turn(checks);
    }
}

/// The store, and what was applied to it.
#[derive(Debug, Default)]
pub struct Witnessed {
    store: raft::store::Store,
    /// Commands in the order in which they came.
    pub applied: Vec<(Applied, Vec<u8>)>,
}

impl StateMachine for Witnessed {
    fn apply(&mut self, at: Applied, command: &[u8], reply: &mut Vec<u8>) {
        if let Some((last, _)) = self.applied.last() {
            assert!(last.index <= at.index && last.time <= at.time, "commands in the log's order");
        }
        self.applied.push((at, command.to_vec()));
        self.store.apply(at, command, reply);
    }

    fn query(&self, query: &[u8], reply: &mut Vec<u8>) {
        self.store.query(query, reply);
    }

    fn fresh(&self) -> Witnessed {
        Witnessed::default()
    }

    fn snapshot(&mut self) -> Box<dyn Pieces> {
        self.store.snapshot()
    }

    fn restore(&mut self, piece: &[u8]) -> Result<(), Unreadable> {
        self.store.restore(piece)
    }

    fn digest(&self) -> u64 {
        self.store.digest()
    }
}
