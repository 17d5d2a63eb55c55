//! The last events of the run on this thread, where a panic can still find them, and how they are
//! told. Must never cost anything while nobody wants a trace.

use std::cell::RefCell;
use std::collections::VecDeque;

use messages::{AppendEntries, Content, Envelope, ForwardOutcome, Message, Operation};
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

/// What the node will take in its next turn.
pub(crate) fn describe_mailbox<M: StateMachine>(node: &Node<M>) -> String {
    let event = |event: &server::Event| match event {
        server::Event::Batch { batch, .. } => {
            format!("client: {}", describe_operations(&batch.operations))
        }
        server::Event::Envelopes { from, envelopes, .. } => {
            format!("{from}: {}", describe(envelopes))
        }
        server::Event::Written(write) => format!("{write:?}"),
    };
    let events: Vec<String> = node.mailbox().iter().map(event).collect();
    format!("{} ← {}", node.id, events.join(" | "))
}

pub(crate) fn describe_operations(operations: &[Operation]) -> String {
    let operation = |operation: &Operation| match operation {
        Operation::Command(command) => format!("#{}", number_of(command)),
        Operation::Query(_) => "?".to_string(),
    };
    operations.iter().map(operation).collect::<Vec<_>>().join(" ")
}

pub(crate) fn describe(envelopes: &[Envelope]) -> String {
    envelopes.iter().map(|envelope| content(&envelope.content)).collect::<Vec<_>>().join("; ")
}

/// What is said, without the bytes of commands.
fn content(content: &Content) -> String {
    match content {
        Content::Raft { term, message: Message::AppendEntries(append) } => {
            let AppendEntries { previous, entries, commit } = append;
            let positions: Vec<_> =
                entries.iter().map(|entry| entry.position.to_string()).collect();
            format!("@{term} AppendEntries prev={previous} {positions:?} commit={commit}")
        }
        Content::Raft { term, message } => format!("@{term} {message:?}"),
        Content::Forward(forward) => {
            let operations = describe_operations(&forward.operations);
            format!("Forward {} only in {}: {operations}", forward.number, forward.only_in)
        }
        Content::ForwardReply(reply) => {
            let outcome = match &reply.outcome {
                ForwardOutcome::Done(replies) => format!("{} replies", replies.len()),
                ForwardOutcome::NotAppended(why) => format!("not appended: {why:?}"),
            };
            format!("ForwardReply {} {outcome}", reply.number)
        }
    }
}
