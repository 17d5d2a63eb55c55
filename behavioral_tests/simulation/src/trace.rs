//! The last events of the run on this thread, where a panic can still find them, and how they are
//! told: in the
//! notation of the scripts. Must never cost anything while nobody wants a trace.

use std::cell::RefCell;
use std::collections::VecDeque;

use messages::{Content, Envelope, ForwardOutcome, NodeId, Operation};
use servers::hops::MessageLine;
use servers::host::Outcome;
use servers::machine::StateMachine;
use servers::server;

use crate::node::Node;
use crate::witness::number_of;

/// How many are kept.
const KEPT: usize = 200;

thread_local! {
    static EVENTS: RefCell<VecDeque<String>> = const { RefCell::new(VecDeque::new()) };
}

/// Adds an event.
pub(crate) fn add(event: String) {
    EVENTS.with_borrow_mut(|events| {
        if events.len() == KEPT {
            events.pop_front();
        }
        events.push_back(event);
    });
}

/// Takes all that are kept.
pub fn take() -> Vec<String> {
    EVENTS.take().into()
}

pub(crate) fn kind_of(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Done { replies, position } => format!("{} replies, {position:?}", replies.len()),
        other => format!("{other:?}"),
    }
}

/// What the node takes in this turn, a line each.
pub(crate) fn describe_mailbox<M: StateMachine>(node: &Node<M>) -> Vec<String> {
    let Some(replica) = node.replica() else { return Vec::new() };
    let name = format!("n{}@{} {}", node.id, replica.term(), node.role());
    let lines = |event: &server::Event| match event {
        server::Event::Batch { batch, .. } => {
            vec![format!("{name} ← client {}", describe_operations(&batch.operations))]
        }
        server::Event::Envelopes { from, envelopes, .. } => envelopes
            .iter()
            .map(|envelope| format!("{name} ← n{from}{}", content(envelope)))
            .collect(),
        server::Event::Written(id) => vec![format!("{name} ← written w{}", id.0)],
        server::Event::Space(space) => vec![format!("{name} ← space: {space:?}")],
        server::Event::Lost(peer) => vec![format!("{name} ← lost n{peer}")],
        server::Event::Told(told) => vec![format!("{name} ← {told:?}")],
    };
    let mut lines: Vec<String> = node.mailbox().iter().flat_map(lines).collect();
    lines.extend(node.lost().map(|peer| format!("{name} ← lost n{peer}")));
    if lines.is_empty() { vec![format!("{name} ← timeout")] } else { lines }
}

/// What leaves a node for another, a line each.
pub(crate) fn describe_parcel(from: NodeId, to: NodeId, envelopes: &[Envelope]) -> Vec<String> {
    envelopes.iter().map(|envelope| format!("n{from}{}", sent(to, envelope))).collect()
}

fn sent(to: NodeId, envelope: &Envelope) -> String {
    match &envelope.content {
        Content::Raft { term, message } => format!("@{term} → n{to} {}", MessageLine(message)),
        Content::Forward(_)
        | Content::ForwardReply(_)
        | Content::SnapshotPart(_)
        | Content::SnapshotPartReply(_) => format!(" → n{to}{}", content(envelope)),
    }
}

pub(crate) fn describe_operations(operations: &[Operation]) -> String {
    let operation = |operation: &Operation| match operation {
        Operation::Command(command) => format!("#{}", number_of(command)),
        Operation::Query(_) => "?".to_string(),
        Operation::Session { number, command, .. } => format!("#{}/{number}", number_of(command)),
        Operation::OpenSession => "open".to_string(),
        Operation::Outcome { number, .. } => format!("outcome/{number}"),
        Operation::CloseSession(_) => "close".to_string(),
    };
    operations.iter().map(operation).collect::<Vec<_>>().join(" ")
}

/// What is said, without the bytes of commands.
fn content(envelope: &Envelope) -> String {
    match &envelope.content {
        Content::Raft { term, message } => format!("@{term} {}", MessageLine(message)),
        Content::Forward(forward) => {
            let operations = describe_operations(&forward.operations);
            format!(" Forward f{} only in term {}: {operations}", forward.number, forward.only_in)
        }
        Content::ForwardReply(reply) => {
            let outcome = match &reply.outcome {
                ForwardOutcome::Done(replies) => format!("{} replies", replies.len()),
                ForwardOutcome::NotAppended(why) => format!("not appended: {why:?}"),
            };
            format!(" ForwardReply f{} {outcome}", reply.number)
        }
        Content::SnapshotPart(part) => {
            let (from, to) = (part.offset, part.offset + part.bytes.len() as u64);
            format!(
                "@{} SnapshotPart {} {from}..{to} of {}",
                part.term, part.meta.position, part.size
            )
        }
        Content::SnapshotPartReply(reply) => {
            format!(" SnapshotPartReply {} wanted={}", reply.position, reply.wanted)
        }
    }
}
