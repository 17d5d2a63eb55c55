//! How a trace reads, the same as the nodes' own log at `debug`:
//! `n1@3 → n2 AppendEntries prev=4@3 [5@3] commit=4`. Must never hide a field that a rule looks at.

use std::fmt::Write as _;

use messages::{AppendOutcome, Entry, LogPosition, Message, NodeId, Round, Term};
use states::{Answer, Decision, Effects, Input, Space};

/// `n1`.
pub fn node(id: NodeId) -> String {
    format!("n{id}")
}

/// `[5@3 6@3]`, or `[]`.
pub fn entries(entries: &[Entry]) -> String {
    let positions: Vec<String> = entries.iter().map(|entry| entry.position.to_string()).collect();
    format!("[{}]", positions.join(" "))
}

/// A message without its sender and term.
pub fn message(message: &Message) -> String {
    let yes = |granted: bool| if granted { "granted" } else { "refused" };
    match message {
        Message::PreVote(m) => {
            format!("PreVote proposed={} last={}{}", m.proposed, m.last, round(m.round))
        }
        Message::PreVoteReply(m) => {
            format!("PreVoteReply proposed={} {}{}", m.proposed, yes(m.granted), round(m.round))
        }
        Message::RequestVote(m) => format!("RequestVote last={}", m.last),
        Message::RequestVoteReply(m) => {
            format!("RequestVoteReply answers={} {}", m.answers, yes(m.granted))
        }
        Message::AppendEntries(m) => {
            let entries = entries(&m.entries);
            format!("AppendEntries prev={} {entries} commit={}", m.previous, m.commit)
        }
        Message::AppendEntriesReply(m) => match m.outcome {
            AppendOutcome::Matched(index) => format!("AppendEntriesReply matched={index}"),
            AppendOutcome::Mismatched { rejected, try_at } => {
                format!("AppendEntriesReply mismatched={rejected} try={try_at}")
            }
        },
        Message::Heartbeat(m) => format!("Heartbeat round={} commit={}", m.round, m.commit),
        Message::HeartbeatReply(m) => {
            let full = if m.full { " full" } else { "" };
            format!("HeartbeatReply round={}{full}", m.round)
        }
        Message::Snapshotted(m) => format!("Snapshotted {}", m.position),
    }
}

/// Named only by who asks on a hint.
fn round(round: Round) -> String {
    if round == Round(0) { String::new() } else { format!(" round={round}") }
}

/// What happens to a node.
pub fn input(input: &Input) -> String {
    match input {
        Input::Message { from, term, message: body } => {
            format!("{}@{term} {}", node(*from), message(body))
        }
        Input::Timeout => "timeout".to_owned(),
        Input::Written(id) => format!("written w{}", id.0),
        Input::Propose { id, only_in: None, .. } => format!("propose #{}", id.0),
        Input::Propose { id, only_in: Some(term), .. } => {
            format!("propose #{} only in term {term}", id.0)
        }
        Input::Blank(id) => format!("blank #{}", id.0),
        Input::Read(id) => format!("read #{}", id.0),
        Input::Space(Space::Enough) => "space".to_owned(),
        Input::Space(Space::Full) => "disk full".to_owned(),
        Input::Space(Space::Exhausted) => "disk exhausted".to_owned(),
        Input::PeerLost(peer) => format!("lost {}", node(*peer)),
        Input::SnapshotTaken(meta) => format!("snapshot {} in place", meta.position),
        Input::SnapshotPart { from, term, meta, complete } => {
            let what = if *complete { "all" } else { "part" };
            format!("{}@{term} {what} of snapshot {}", node(*from), meta.position)
        }
        Input::SnapshotRestored(meta) => format!("snapshot {} restored", meta.position),
        Input::SnapshotFailed(peer) => format!("snapshot to {} failed", node(*peer)),
    }
}

/// The answer to a request.
pub fn answer(answer: &Answer) -> String {
    match answer {
        Answer::Appended(position) => format!("appended {position}"),
        Answer::ReadAt(index) => format!("read at {index}"),
        Answer::NotLeader => "not leader".to_owned(),
        Answer::Busy => "busy".to_owned(),
        Answer::Full => "full".to_owned(),
    }
}

/// Why something was done or refused.
pub fn decision(decision: &Decision) -> String {
    match decision {
        Decision::Became(new, term) => format!("becomes {new} in term {term}"),
        Decision::NewTerm(term) => format!("adopts term {term}"),
        Decision::VoteGranted(to, term) => format!("votes for {} in term {term}", node(*to)),
        Decision::VoteRefused(to, why) => format!("refuses {}: {why:?}", node(*to)),
        Decision::LostQuorum => "hears no quorum".to_owned(),
        Decision::Truncated(at) => format!("replaces its log from {at} on"),
        Decision::Mismatched(from, at) => format!("does not hold {at} of {}", node(*from)),
        Decision::ElectionFailed(term) => format!("is not elected in term {term}"),
        Decision::Suspects(leader) => format!("suspects that {} is gone", node(*leader)),
        Decision::HeardAgain(leader) => format!("hears {} again", node(*leader)),
        Decision::MadeWay(for_whom) => format!("makes way for {}", node(*for_whom)),
        Decision::Probing(to) => format!("probes {} again", node(*to)),
        Decision::NeedsSnapshot(to) => format!("holds no more what {} needs", node(*to)),
        Decision::SnapshotFailed(to) => format!("gives up sending {} its snapshot", node(*to)),
        Decision::Unpinned(of) => format!("keeps no more of what {} needs", node(*of)),
        Decision::Snapshotted(from, at) => format!("hears that {} has all up to {at}", node(*from)),
        Decision::Installed(at) => format!("replaces its log by a snapshot up to {at}"),
        Decision::NoSpace => "has no space".to_owned(),
        Decision::StrangerIgnored(from) => format!("ignores {}: no member", node(*from)),
        Decision::Impossible(from, why) => format!("drops {}'s message: {why}", node(*from)),
    }
}

/// Reads `5@3`.
pub fn position(text: &str) -> Result<LogPosition, String> {
    let parts = text.split_once('@').ok_or(format!("{text:?} is no position like 5@3"))?;
    match (parts.0.parse(), parts.1.parse()) {
        (Ok(index), Ok(term)) => Ok(LogPosition::new(index, term)),
        _ => Err(format!("{text:?} is no position like 5@3")),
    }
}

/// Reads `n1`.
pub fn node_id(text: &str) -> Result<NodeId, String> {
    let number = text.strip_prefix('n').and_then(|number| number.parse().ok());
    number.map(NodeId).ok_or(format!("{text:?} is no node like n1"))
}

/// What leaves at once, like `@3 → n2 Heartbeat round=1 commit=0`.
pub fn sends(effects: &Effects) -> Vec<String> {
    effects.sends.iter().map(outgoing).collect()
}

/// What leaves when all that was handed to the disk is durable.
pub fn promises(effects: &Effects) -> Vec<String> {
    effects.promises.iter().map(outgoing).collect()
}

fn outgoing((to, term, body): &(NodeId, Term, Message)) -> String {
    format!("@{term} → {} {}", node(*to), message(body))
}

/// What must become durable, like `term=3 vote=n1 [5@3]`, with `reset=5@3` before the entries if the
/// log now begins after that; empty if nothing.
pub fn write(effects: &Effects) -> String {
    effects.write.as_ref().map_or(String::new(), |write| {
        let vote = write.hard_state.voted_for.map_or("none".to_owned(), node);
        let reset = write.reset.map_or(String::new(), |position| format!("reset={position} "));
        format!("term={} vote={vote} {reset}{}", write.hard_state.term, entries(&write.entries))
    })
}

/// What a turn asked for, a line each; a promise that waits for the disk has a dashed arrow.
pub fn turn(id: NodeId, term: Term, effects: &Effects, promises_wait: bool) -> String {
    let mut lines = String::new();
    for made in &effects.decisions {
        let _ = writeln!(lines, "n{id} {}", decision(made));
    }
    for sent in sends(effects) {
        let _ = writeln!(lines, "n{id}{sent}");
    }
    if let Some(written) = &effects.write {
        let _ = writeln!(lines, "n{id} writes w{}: {}", written.id.0, write(effects));
    }
    let arrow = if promises_wait { "⇢" } else { "→" };
    for promise in promises(effects) {
        let _ = writeln!(lines, "n{id}{}", promise.replacen('→', arrow, 1));
    }
    for (request, given) in &effects.answers {
        let _ = writeln!(lines, "n{id}@{term} answers #{}: {}", request.0, answer(given));
    }
    if let Some(commit) = effects.commit {
        let _ = writeln!(lines, "n{id}@{term} commits {commit}");
    }
    lines.push_str(&snapshots(id, term, effects));
    lines
}

/// What a turn asked for of snapshots, a line each.
fn snapshots(id: NodeId, term: Term, effects: &Effects) -> String {
    let mut lines = String::new();
    for follower in &effects.snapshots {
        let _ = writeln!(lines, "n{id}@{term} sends {} its snapshot", node(*follower));
    }
    for (from, position) in &effects.receive {
        let _ = writeln!(lines, "n{id}@{term} takes snapshot {position} of {}", node(*from));
    }
    if let Some(meta) = &effects.restore {
        let _ = writeln!(lines, "n{id}@{term} restores snapshot {}", meta.position);
    }
    if let Some(meta) = &effects.install {
        let _ = writeln!(lines, "n{id}@{term} installs snapshot {}", meta.position);
    }
    lines
}
