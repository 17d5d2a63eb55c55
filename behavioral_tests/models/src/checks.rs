//! What must hold of every small world, after the paper: its Figure 3, and when a promise may leave.
//! Must never take a node's word for what lies on its disk or was promised to others: all is compared
//! with the disks, and with what the observer remembers.

use std::fmt;
use std::sync::Arc;

use messages::{AppendOutcome, Entry, Item, LogPosition, Message, NodeId, Payload};
use states::{Decision, Effects};

use crate::marks::Mark;
use crate::node::{Node, Outgoing};
use crate::stage::Stage;
use crate::world::World;

/// What must hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// "at most one leader can be elected in a given term" (paper, Figure 3).
    ElectionSafety,
    /// "a leader never overwrites or deletes entries in its log" (Figure 3).
    AppendOnly,
    /// Logs with a common position are equal up to there (Figure 3).
    LogMatching,
    /// What was committed is in the log of every later leader (Figure 3).
    LeaderCompleteness,
    /// No two nodes commit different entries at an index (Figure 3).
    StateMachineSafety,
    /// Committed is what a majority holds durably, of the leader's own term (section 5.4.2).
    CommitRule,
    /// A vote or an acknowledgement leaves when what it rests on is on the disk.
    Promises,
    /// What a node would count itself for is on its disk.
    Durability,
    /// Nobody promises two votes in a term, a crash or not.
    OneVote,
    /// A read runs no earlier than what was committed when it was asked.
    FreshReads,
    /// What clients see of a register could have happened one after the other.
    Linearizability,
    /// What an honest node sends is never dropped as impossible.
    HonestMessages,
    /// Nobody comes into a new term while a leader is heard (thesis, section 4.2.3).
    Undisturbed,
    /// A time without trouble ends with a leader.
    Recovery,
}

/// All of them, in the order of the report.
pub const RULES: [Rule; 14] = [
    Rule::ElectionSafety,
    Rule::AppendOnly,
    Rule::LogMatching,
    Rule::LeaderCompleteness,
    Rule::StateMachineSafety,
    Rule::CommitRule,
    Rule::Promises,
    Rule::Durability,
    Rule::OneVote,
    Rule::FreshReads,
    Rule::Linearizability,
    Rule::HonestMessages,
    Rule::Undisturbed,
    Rule::Recovery,
];

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Rule::ElectionSafety => "election safety",
            Rule::AppendOnly => "leader append-only",
            Rule::LogMatching => "log matching",
            Rule::LeaderCompleteness => "leader completeness",
            Rule::StateMachineSafety => "state machine safety",
            Rule::CommitRule => "commit rule",
            Rule::Promises => "promises only when durable",
            Rule::Durability => "what counts as durable is",
            Rule::OneVote => "one vote a term, also over a crash",
            Rule::FreshReads => "read index freshness",
            Rule::Linearizability => "linearizability of a register",
            Rule::HonestMessages => "no honest message is taken for a hostile one",
            Rule::Undisturbed => "who hears a leader is not disturbed",
            Rule::Recovery => "a leader after trouble",
        })
    }
}

/// The register's value that an entry sets.
pub(crate) fn value(entry: &Entry) -> Option<u8> {
    match &entry.payload {
        Payload::Blank => None,
        Payload::Command(items) => {
            items.first().and_then(Item::command).and_then(|command| command.first().copied())
        }
    }
}

fn majority(stage: &Stage) -> usize {
    stage.setting.voters as usize / 2 + 1
}

/// After one turn of the node that now stands in the world.
pub(crate) fn turn(stage: &mut Stage, before: &Node, effects: &Effects) {
    let node = Arc::clone(stage.world.node(before.id()));
    append_only(stage, before, &node);
    commit(stage, before, &node);
    sends(stage, &node, effects);
    for decision in &effects.decisions {
        match decision {
            Decision::Impossible(from, why) => {
                let what = format!("n{} drops a message of n{from}: {why}", node.id());
                stage.breaks(Rule::HonestMessages, what);
            }
            Decision::Truncated(position) => replaced(stage, before, *position),
            _ => {}
        }
    }
}

/// Figure 8 (d): an entry of a majority gives way.
fn replaced(stage: &Stage, before: &Node, position: LogPosition) {
    let Some(old) = before.log().get(position.index.0 as usize - 1) else { return };
    let others = stage.world.nodes.iter().filter(|other| other.id() != before.id());
    let holders = others.filter(|other| other.replica().log().holds(old.position)).count() + 1;
    if holders >= majority(stage) {
        stage.met.add(Mark::MajorityReplaced);
    }
}

/// "a leader never overwrites or deletes entries in its log; it only appends new entries" (Figure 3).
fn append_only(stage: &mut Stage, before: &Node, after: &Node) {
    let led_on = before.leads() && after.leads() && before.term() == after.term();
    if led_on && !after.log().starts_with(before.log()) {
        let what = format!("n{} changed its log while it led", after.id());
        stage.breaks(Rule::AppendOnly, what);
    }
}

/// Paper, sections 5.3 and 5.4.2: a leader commits an entry of its own term that a majority holds,
/// durably, and all before it; others commit only what a leader has committed.
fn commit(stage: &mut Stage, before: &Node, after: &Node) {
    let (old, new) = (before.commit(), after.commit());
    let id = after.id();
    if new < old {
        stage.breaks(Rule::CommitRule, format!("n{id}'s commit index falls from {old} to {new}"));
    }
    if new <= old {
        return;
    }
    let known = stage.world.memory.committed.len() as u64;
    if after.leads() {
        stage.met.add(Mark::Committed);
        let last = &after.log()[new as usize - 1];
        let holders = stage.world.nodes.iter().filter(|node| {
            node.disk().entries.get(new as usize - 1).is_some_and(|entry| entry == last)
        });
        let holders = holders.count();
        if last.position.term != after.term() {
            let what = format!("n{id} leads term {} and commits {}", after.term(), last.position);
            stage.breaks(Rule::CommitRule, what);
        }
        if holders < majority(stage) {
            let what = format!("n{id} commits {}, durable on {holders}", last.position);
            stage.breaks(Rule::CommitRule, what);
        }
        let added: Vec<_> =
            (known..new).map(|place| (after.log()[place as usize].clone(), after.term())).collect();
        Arc::make_mut(&mut stage.world.memory).committed.extend(added);
    } else if new > known {
        let what = format!("n{id} commits {new}; a leader committed only {known}");
        stage.breaks(Rule::CommitRule, what);
    }
    for (place, (entry, _)) in stage.world.memory.committed.clone().iter().enumerate() {
        let own = after.log()[..new as usize].get(place);
        if own.is_some_and(|own| own != entry) {
            let what = format!("n{id} commits another entry at {}", entry.position.index);
            stage.breaks(Rule::StateMachineSafety, what);
        }
    }
}

/// What may leave beside the write must be right even if the turn is forgotten: nobody speaks as the
/// leader of a term that is not durable on it.
fn sends(stage: &mut Stage, node: &Node, effects: &Effects) {
    let durable = node.disk().hard_state.term;
    for (_, term, message) in &effects.sends {
        let leads = matches!(message, Message::AppendEntries(_) | Message::Heartbeat(_));
        if leads && *term > durable {
            let what = format!("n{} leads term {term}; durable is {durable}", node.id());
            stage.breaks(Rule::Promises, what);
        }
    }
}

/// A promise on its way out of the node that now stands in the world.
pub(crate) fn promise(stage: &mut Stage, id: NodeId, promise: &Outgoing) {
    let (to, term, message) = promise;
    let disk = stage.world.node(id).disk().clone();
    let vote = match message {
        Message::RequestVote(_) => Some((*term, id)),
        Message::RequestVoteReply(reply) if reply.granted => Some((reply.answers, *to)),
        _ => None,
    };
    let durable = disk.hard_state;
    if let Some((term, candidate)) = vote {
        let holds =
            durable.term > term || (durable.term == term && durable.voted_for == Some(candidate));
        if !holds {
            let what = format!("n{id} votes for n{candidate} in term {term}, not durably");
            stage.breaks(Rule::Promises, what);
        }
        let memory = Arc::make_mut(&mut stage.world.memory);
        let given = *memory.votes.entry((id, term)).or_insert(candidate);
        if given != candidate {
            let what = format!("n{id} votes for n{given} and n{candidate} in term {term}");
            stage.breaks(Rule::OneVote, what);
        }
    }
    if let Message::AppendEntriesReply(reply) = message
        && let AppendOutcome::Matched(index) = reply.outcome
    {
        let leader = Arc::clone(stage.world.node(*to));
        let count = index.0 as usize;
        let still_leads = leader.leads() && leader.term() == *term;
        let differs = still_leads && disk.entries.get(..count) != leader.log().get(..count);
        if durable.term < *term || disk.entries.len() < count || differs {
            let what = format!("n{id} says that it holds n{to}'s log up to {index}, not durably");
            stage.breaks(Rule::Promises, what);
        }
    }
}

/// After an action.
pub(crate) fn world(stage: &mut Stage, before: &World) {
    let changed: Vec<Arc<Node>> = stage
        .world
        .nodes
        .iter()
        .zip(&before.nodes)
        .filter(|(after, before)| after.digest() != before.digest())
        .map(|(after, _)| Arc::clone(after))
        .collect();
    for node in &changed {
        leadership(stage, node);
        log_matching(stage, node);
        durability(stage, node);
        old_entries(stage, node);
        let limit = stage.setting.undisturbed.unwrap_or(u64::MAX);
        if node.term().0 > limit {
            let what = format!("n{} comes into term {}", node.id(), node.term());
            stage.breaks(Rule::Undisturbed, what);
        }
    }
    let leaders = stage.world.nodes.iter().filter(|node| node.leads()).count();
    if leaders > 1 && changed.iter().any(|node| node.leads()) {
        stage.met.add(Mark::TwoLeaders);
    }
}

/// Election Safety and Leader Completeness (Figure 3), and that a leader's own vote is durable.
fn leadership(stage: &mut Stage, node: &Node) {
    if !node.leads() {
        return;
    }
    let (id, term) = (node.id(), node.term());
    let known = stage.world.memory.leaders.get(&term).copied();
    if known.is_none() {
        Arc::make_mut(&mut stage.world.memory).leaders.insert(term, id);
    }
    if known.is_some_and(|leader| leader != id) {
        stage.breaks(Rule::ElectionSafety, format!("n{id} is a second leader of term {term}"));
    }
    let durable = node.disk().hard_state;
    if durable.term != term || durable.voted_for != Some(id) {
        let what = format!("n{id} leads term {term}, and its vote is not durable");
        stage.breaks(Rule::Promises, what);
    }
    let missing = stage.world.memory.committed.iter().find(|(entry, committed_in)| {
        *committed_in <= term && node.log().get(entry.position.index.0 as usize - 1) != Some(entry)
    });
    if let Some((entry, committed_in)) = missing {
        let position = entry.position;
        let what = format!(
            "n{id} leads term {term} without {position}, which was committed in term {committed_in}"
        );
        stage.breaks(Rule::LeaderCompleteness, what);
    }
}

/// "if two logs contain an entry with the same index and term, then the logs are identical in all
/// entries up through the given index" (Figure 3): in memory and on the disks.
fn log_matching(stage: &mut Stage, node: &Node) {
    for other in stage.world.nodes.clone() {
        let logs = [other.log(), &other.disk().entries];
        for (mine, theirs) in logs
            .into_iter()
            .flat_map(|theirs| [node.log(), &node.disk().entries].map(|mine| (mine, theirs)))
        {
            let meet = mine
                .iter()
                .zip(theirs)
                .rposition(|(mine, theirs)| mine.position.term == theirs.position.term);
            if meet.is_some_and(|place| mine[..=place] != theirs[..=place]) {
                let what = format!("the logs of n{} and n{} differ", node.id(), other.id());
                stage.breaks(Rule::LogMatching, what);
            }
        }
    }
}

/// What a node counts itself for, if it leads, lies on its disk.
fn durability(stage: &mut Stage, node: &Node) {
    let durable = node.replica().log().durable();
    let count = durable.0 as usize;
    if node.log().get(..count).is_none_or(|log| node.disk().entries.get(..count) != Some(log)) {
        let what = format!("n{} takes its log up to {durable} for durable", node.id());
        stage.breaks(Rule::Durability, what);
    }
}

/// Figure 8 (c): an entry of an older term lies on a majority, and is not committed.
fn old_entries(stage: &mut Stage, node: &Node) {
    if !node.leads() {
        return;
    }
    let uncommitted = &node.log()[node.commit() as usize..];
    let old = uncommitted.iter().rev().find(|entry| entry.position.term < node.term());
    if let Some(old) = old {
        let place = old.position.index.0 as usize - 1;
        let holds = |other: &&Arc<Node>| other.disk().entries.get(place) == Some(old);
        if stage.world.nodes.iter().filter(holds).count() >= majority(stage) {
            stage.met.add(Mark::OldEntryOnMajority);
        }
    }
}
