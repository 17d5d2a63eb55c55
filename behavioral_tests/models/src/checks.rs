//! What must hold of every small world, after the paper: its Figure 3, and when a promise may leave.
//! Must never take a node's word for what lies on its disk or was promised to others: all is compared
//! with the disks, and with what the observer remembers.

use std::sync::Arc;

use messages::{AppendOutcome, Entry, Item, Message, NodeId, Payload};
use states::{Decision, Effects};

use crate::marks::Mark;
use crate::node::{Node, Outgoing};
use crate::stage::Stage;
use crate::world::World;

/// The rules, as the report names them.
pub const RULES: [&str; 14] = [
    "election safety",
    "leader append-only",
    "log matching",
    "leader completeness",
    "state machine safety",
    "commit rule",
    "promises only when durable",
    "what counts as durable is",
    "one vote a term, also over a crash",
    "read index freshness",
    "linearizability of a register",
    "no honest message is taken for a hostile one",
    "who hears a leader is not disturbed",
    "a leader after trouble",
];

/// The register's value that an entry sets.
pub(crate) fn value(entry: &Entry) -> Option<u8> {
    match &entry.payload {
        Payload::Blank => None,
        Payload::Command(items) => {
            items.first().and_then(|Item::Plain(command)| command.first().copied())
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
                stage.breaks("no honest message is taken for a hostile one", what);
            }
            Decision::Truncated(position) => {
                let holds = |other: &&Arc<Node>| other.replica().log().holds(*position);
                let replaced = before.log().get(position.index.0 as usize - 1);
                let old = replaced.map(|entry| entry.position);
                let held =
                    |other: &&Arc<Node>| old.is_some_and(|old| other.replica().log().holds(old));
                let others = stage.world.nodes.iter().filter(|other| other.id() != node.id());
                if others.filter(held).filter(|other| !holds(other)).count() + 1 >= majority(stage)
                {
                    stage.met.add(Mark::MajorityReplaced);
                }
            }
            _ => {}
        }
    }
}

/// "a leader never overwrites or deletes entries in its log; it only appends new entries" (Figure 3).
fn append_only(stage: &mut Stage, before: &Node, after: &Node) {
    let led_on = before.leads() && after.leads() && before.term() == after.term();
    if led_on && !after.log().starts_with(before.log()) {
        let what = format!("n{} changed its log while it led", after.id());
        stage.breaks("leader append-only", what);
    }
}

/// Paper, sections 5.3 and 5.4.2: a leader commits an entry of its own term that a majority holds,
/// durably, and all before it; others commit only what a leader has committed.
fn commit(stage: &mut Stage, before: &Node, after: &Node) {
    let (old, new) = (before.commit(), after.commit());
    let id = after.id();
    if new < old {
        stage.breaks("commit rule", format!("n{id}'s commit index falls from {old} to {new}"));
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
            stage.breaks("commit rule", what);
        }
        if holders < majority(stage) {
            let what = format!("n{id} commits {}, durable on {holders}", last.position);
            stage.breaks("commit rule", what);
        }
        let added: Vec<_> =
            (known..new).map(|place| (after.log()[place as usize].clone(), after.term())).collect();
        Arc::make_mut(&mut stage.world.memory).committed.extend(added);
    } else if new > known {
        let what = format!("n{id} commits {new}; a leader committed only {known}");
        stage.breaks("commit rule", what);
    }
    for (place, (entry, _)) in stage.world.memory.committed.clone().iter().enumerate() {
        let own = after.log()[..new as usize].get(place);
        if own.is_some_and(|own| own != entry) {
            let what = format!("n{id} commits another entry at {}", entry.position.index);
            stage.breaks("state machine safety", what);
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
            stage.breaks("promises only when durable", what);
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
            stage.breaks("promises only when durable", what);
        }
        let memory = Arc::make_mut(&mut stage.world.memory);
        let given = *memory.votes.entry((id, term)).or_insert(candidate);
        if given != candidate {
            let what = format!("n{id} votes for n{given} and n{candidate} in term {term}");
            stage.breaks("one vote a term, also over a crash", what);
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
            stage.breaks("promises only when durable", what);
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
            stage.breaks("who hears a leader is not disturbed", what);
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
        stage.breaks("election safety", format!("n{id} is a second leader of term {term}"));
    }
    let durable = node.disk().hard_state;
    if durable.term != term || durable.voted_for != Some(id) {
        let what = format!("n{id} leads term {term}, and its vote is not durable");
        stage.breaks("promises only when durable", what);
    }
    let missing = stage.world.memory.committed.iter().find(|(entry, committed_in)| {
        *committed_in <= term && node.log().get(entry.position.index.0 as usize - 1) != Some(entry)
    });
    if let Some((entry, committed_in)) = missing {
        let position = entry.position;
        let what = format!(
            "n{id} leads term {term} without {position}, which was committed in term {committed_in}"
        );
        stage.breaks("leader completeness", what);
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
                stage.breaks("log matching", what);
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
        stage.breaks("what counts as durable is", what);
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
