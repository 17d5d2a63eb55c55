//! Simulated clients: each hands one batch to some node, waits for its outcome, thinks, and goes on.
//! They keep what they were told, for the checks. Must never repeat a command but in a session.

use bytes::Bytes;
use messages::Operation;
use rand::RngExt;
use servers::host::Outcome;
use states::random::SplitMix64;

use crate::chance::Chance;
use crate::checks::{Checks, Violation};
use crate::numbered::{Known, Numbered, Pending, is_of_session};
use crate::trouble::Trouble;
use crate::witness::{decode_reply, number_of, numbered, own_part};
use crate::workload::{Answer, Exchange, Request, Workload};

/// What became of batches, counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Outcomes {
    /// Answered with replies.
    pub done: u64,
    /// Answered "certainly not applied".
    pub refused: u64,
    /// Answered "may or may not be applied", or lost with the node.
    pub uncertain: u64,
}

impl Outcomes {
    /// All batches that have an outcome.
    pub fn total(self) -> u64 {
        self.done + self.refused + self.uncertain
    }
}

/// A batch under way.
pub struct Asked {
    /// Commands, each with its number, and queries.
    pub operations: Vec<Operation>,
    /// The client is content with what its node has applied.
    pub stale: bool,
    /// The list that it must see at least.
    pub floor: u64,
    /// When it was asked: the count of what clients asked and were told before.
    pub moment: u64,
}

/// The lists of commands that were there when a client asked.
#[derive(Clone, Copy, Debug)]
pub struct Floor {
    /// What is committed: no less is right.
    pub all: u64,
    /// What the node has applied: no less is right for who is content with that.
    pub node: u64,
}

/// All clients.
pub struct Clients<W> {
    /// What they ask.
    pub workload: W,
    asked: Vec<Option<Asked>>,
    sessions: Vec<Numbered>,
    next_number: u64,
    moment: u64,
    /// Bytes that mean nothing, in each command.
    pub padding: usize,
    /// What became of their batches.
    pub outcomes: Outcomes,
}

impl<W: Workload> Clients<W> {
    /// So many clients, none of which has asked anything yet.
    pub fn new(count: usize, workload: W) -> Clients<W> {
        let asked = (0..count).map(|_| None).collect();
        Clients {
            workload,
            asked,
            sessions: (0..count).map(|_| Numbered::default()).collect(),
            next_number: 0,
            moment: 0,
            padding: 0,
            outcomes: Outcomes::default(),
        }
    }

    /// Draws the client's next batch, to be handed to a node at once.
    pub fn ask(
        &mut self,
        client: usize,
        random: &mut SplitMix64,
        trouble: &Trouble,
        floor: Floor,
    ) -> (Vec<Operation>, bool) {
        if self.goes_by_session(client, random, trouble) {
            return (vec![self.ask_in_session(client, random, floor)], false);
        }
        let stale = random.random_range(0..10_000) < trouble.stale;
        let floor = if stale { floor.node } else { floor.all };
        let count = random.random_range(1..=trouble.batch);
        self.workload.begin_batch(&mut Chance(random));
        let mut operations = Vec::with_capacity(count);
        for _ in 0..count {
            let query = stale || random.random_bool(0.4);
            operations.push(self.draw(random, query));
        }
        let asked = Asked { operations: operations.clone(), stale, floor, moment: self.tick() };
        self.asked[client] = Some(asked);
        (operations, stale)
    }

    fn goes_by_session(&self, client: usize, random: &mut SplitMix64, trouble: &Trouble) -> bool {
        let under_way = self.sessions[client].is_under_way();
        under_way || trouble.sessions > 0 && random.random_range(0..10_000) < trouble.sessions
    }

    fn ask_in_session(
        &mut self,
        client: usize,
        random: &mut SplitMix64,
        floor: Floor,
    ) -> Operation {
        let moment = self.tick();
        let operation = if self.sessions[client].is_free() {
            self.workload.begin_batch(&mut Chance(random));
            let Operation::Command(command) = self.draw(random, false) else {
                unreachable!("a command was asked for")
            };
            self.sessions[client].begin(command, moment, floor.all)
        } else {
            self.sessions[client].go_on(random)
        };
        let operations = vec![operation.clone()];
        self.asked[client] = Some(Asked { operations, stale: false, floor: floor.all, moment });
        operation
    }

    fn draw(&mut self, random: &mut SplitMix64, query: bool) -> Operation {
        if query {
            return Operation::Query(self.workload.query(&mut Chance(random)));
        }
        self.next_number += 1;
        let command = self.workload.command(&mut Chance(random));
        Operation::Command(numbered(self.next_number, self.padding, &command))
    }

    fn tick(&mut self) -> u64 {
        self.moment += 1;
        self.moment
    }

    /// What the client waits for.
    pub fn asked(&self, client: usize) -> Option<&Asked> {
        self.asked[client].as_ref()
    }

    /// Whether the client waits for an outcome.
    pub fn is_waiting(&self, client: usize) -> bool {
        self.asked[client].is_some()
    }

    /// The node died with the client's batch.
    pub fn lose(&mut self, client: usize) -> Result<(), Violation> {
        let Some(asked) = self.asked[client].take() else { return Ok(()) };
        self.outcomes.uncertain += 1;
        if is_of_session(&asked.operations) {
            self.sessions[client].lose();
            return Ok(());
        }
        self.end(client, &asked, Answer::Unknown, Vec::new())
    }

    /// The run is over: what is still under way in sessions nobody knows.
    pub fn give_up(&mut self) -> Result<(), Violation> {
        for client in 0..self.sessions.len() {
            if let Some(pending) = self.sessions[client].take() {
                self.end_pending(client, pending, Known::Unknown)?;
            }
        }
        Ok(())
    }

    fn on_session_outcome(
        &mut self,
        client: usize,
        asked: &Asked,
        outcome: &Outcome,
        checks: &mut Checks<W::Machine>,
    ) -> Result<(), Violation> {
        match outcome {
            Outcome::Done { .. } => self.outcomes.done += 1,
            Outcome::NoLeader { .. } | Outcome::Busy | Outcome::Full | Outcome::Stopped => {
                self.outcomes.refused += 1;
            }
            Outcome::Uncertain { .. } => self.outcomes.uncertain += 1,
        }
        let session = &mut self.sessions[client];
        let Some(known) = session.on_outcome(&asked.operations[0], outcome, checks)? else {
            return Ok(());
        };
        let pending = session.take().expect("something is known of it");
        self.end_pending(client, pending, known)
    }

    fn end_pending(
        &mut self,
        client: usize,
        pending: Pending,
        known: Known,
    ) -> Result<(), Violation> {
        let Pending { command, moment, floor, .. } = pending;
        let operations = vec![Operation::Command(command)];
        let asked = Asked { operations, stale: false, floor, moment };
        let (answer, places) = match known {
            Known::Done(own, place) => (Answer::Done(vec![own]), vec![place]),
            Known::Refused => (Answer::Refused, Vec::new()),
            Known::Unknown => (Answer::Unknown, Vec::new()),
        };
        self.end(client, &asked, answer, places)
    }

    /// The client's batch has its outcome.
    pub fn on_outcome(
        &mut self,
        client: usize,
        outcome: Outcome,
        checks: &mut Checks<W::Machine>,
    ) -> Result<(), Violation> {
        let asked = self.asked[client].take().ok_or("an outcome for a batch nobody waits for")?;
        if is_of_session(&asked.operations) {
            return self.on_session_outcome(client, &asked, &outcome, checks);
        }
        check_outcome(&asked, &outcome, checks)?;
        let mut places = Vec::new();
        let answer = match outcome {
            Outcome::Done { replies, .. } => {
                self.outcomes.done += 1;
                let read: Vec<_> = replies.iter().filter_map(decode_reply).collect();
                places = read.iter().map(|(seen, _)| seen.length).collect();
                Answer::Done(read.into_iter().map(|(_, own)| own).collect())
            }
            Outcome::NoLeader { .. } | Outcome::Busy | Outcome::Full | Outcome::Stopped => {
                self.outcomes.refused += 1;
                Answer::Refused
            }
            Outcome::Uncertain { .. } => {
                self.outcomes.uncertain += 1;
                Answer::Unknown
            }
        };
        self.end(client, &asked, answer, places)
    }

    fn end(
        &mut self,
        client: usize,
        asked: &Asked,
        answer: Answer,
        places: Vec<u64>,
    ) -> Result<(), Violation> {
        let request = |operation: &Operation| match operation {
            Operation::Query(query) => Some(Request::Query(query.clone())),
            other => other.command().map(|command| Request::Command(own_part(command))),
        };
        let exchange = Exchange {
            client,
            asked: asked.moment,
            answered: self.tick(),
            stale: asked.stale,
            operations: asked.operations.iter().filter_map(request).collect(),
            answer,
            places,
        };
        self.workload.on_end(exchange)
    }
}

/// Whether a batch may have this outcome.
pub fn check_outcome<M: servers::machine::StateMachine>(
    asked: &Asked,
    outcome: &Outcome,
    checks: &mut Checks<M>,
) -> Result<(), Violation> {
    match outcome {
        Outcome::Done { replies, .. } => check_replies(asked, replies, checks),
        Outcome::NoLeader { .. } | Outcome::Busy | Outcome::Full | Outcome::Stopped => {
            numbers(asked).try_for_each(|number| checks.on_refused(number))
        }
        Outcome::Uncertain { .. } if numbers(asked).next().is_none() => {
            Err("outcome: a read was answered UNCERTAIN".to_string())
        }
        Outcome::Uncertain { .. } => Ok(()),
    }
}

fn numbers(asked: &Asked) -> impl Iterator<Item = u64> {
    let commands = asked.operations.iter().filter_map(Operation::command);
    commands.map(|command| number_of(command))
}

/// Each operation of a batch sees the list right after those before it, and nothing in between.
fn check_replies<M: servers::machine::StateMachine>(
    asked: &Asked,
    replies: &[Bytes],
    checks: &mut Checks<M>,
) -> Result<(), Violation> {
    let (given, wanted) = (replies.len(), asked.operations.len());
    if given != wanted {
        return Err(format!("outcome: {given} replies for {wanted} operations"));
    }
    let mut last = None;
    for (operation, reply) in asked.operations.iter().zip(replies) {
        let (seen, own) = decode_reply(reply).ok_or("outcome: a reply that no machine gave")?;
        checks.on_answer(operation, seen, &own, asked.floor)?;
        let commands = u64::from(operation.command().is_some());
        if let Some(last) = last
            && seen.length != last + commands
        {
            let length = seen.length;
            return Err(format!("batch: it saw {length} after {last}: not in one piece"));
        }
        last = Some(seen.length);
    }
    Ok(())
}
