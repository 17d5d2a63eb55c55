//! How a way through a small world is told: as a golden script, each command followed by what came of
//! it. Must never leave out an input.
//!
//! A message arrives by a command that makes it by hand, whatever else is under way. Scripts have one
//! clock for all nodes, in milliseconds: where a setting has clocks, the script repeats the inputs
//! and not the times, and says where one passed.

use std::fmt::Write as _;

use messages::{AppendOutcome, Message, Round};
use states::Micros;

use crate::action::{Action, Parcel};
use crate::marks::Met;
use crate::notation::entries;
use crate::settings::Setting;
use crate::stage::Stage;
use crate::world::World;

impl Stage<'_> {
    /// Writes down a script's command; what comes of it follows.
    pub(crate) fn say(&mut self, command: impl FnOnce() -> String) {
        if let Some(trace) = &mut self.trace {
            end_block(trace);
            let _ = write!(trace, "\n{}\n---\n", command());
        }
    }

    /// Writes down what a script has no command for.
    pub(crate) fn remark(&mut self, remark: impl FnOnce() -> String) {
        if let Some(trace) = &mut self.trace {
            end_block(trace);
            let _ = write!(trace, "\n# {}\n", remark());
        }
    }
}

/// The way through a small world that these actions are.
pub fn tell(setting: &Setting, actions: &[Action]) -> String {
    let met = Met::default();
    let mut stage = Stage::new(setting, &met, World::start(setting));
    stage.trace = Some(opening(setting));
    for action in actions {
        let before = stage.world.clone();
        stage.perform(&before, action);
    }
    let mut told = stage.trace.unwrap_or_default();
    end_block(&mut told);
    told
}

/// Of a command of which nothing came, a script says so.
fn end_block(trace: &mut String) {
    if trace.ends_with("---\n") {
        trace.push_str("ok\n");
    }
}

fn opening(setting: &Setting) -> String {
    let (voters, election) = (setting.voters, setting.election.0);
    let heartbeat = setting.heartbeat.0;
    let clocks = if setting.election > Micros(0) { "# in µs, not ms:\n" } else { "" };
    format!("{clocks}(cluster {voters} election={election} heartbeat={heartbeat})\n")
}

/// The command by which this message arrives.
pub(crate) fn arrival(parcel: &Parcel) -> String {
    let Parcel { from, to, term, message, .. } = parcel;
    let yes = |granted: bool| if granted { "yes" } else { "no" };
    let named = |round: Round| match round {
        Round(0) => String::new(),
        _ => format!(" round={round}"),
    };
    let (name, rest) = match message {
        Message::PreVote(m) => ("pre_vote", format!("last={}{}", m.last, named(m.round))),
        Message::PreVoteReply(m) => {
            let (granted, round) = (yes(m.granted), named(m.round));
            ("pre_vote_reply", format!("proposed={} granted={granted}{round}", m.proposed))
        }
        Message::RequestVote(m) => ("request_vote", format!("last={}", m.last)),
        Message::RequestVoteReply(m) => {
            ("vote", format!("answers={} granted={}", m.answers, yes(m.granted)))
        }
        Message::AppendEntries(m) => {
            let entries = entries(&m.entries);
            let entries = entries.trim_matches(['[', ']']);
            ("append", format!("previous={} commit={} {entries}", m.previous, m.commit))
        }
        Message::AppendEntriesReply(m) => match m.outcome {
            AppendOutcome::Matched(index) => ("matched", format!("at={index}")),
            AppendOutcome::Mismatched { rejected, try_at } => {
                ("mismatched", format!("rejected={rejected} try={try_at}"))
            }
        },
        Message::Heartbeat(m) => ("heartbeat", format!("round={} commit={}", m.round, m.commit)),
        Message::HeartbeatReply(m) => ("echo", format!("round={}", m.round)),
        Message::Snapshotted(m) => ("snapshotted", format!("snapshot={}", m.position)),
    };
    format!("{name} n{to} from=n{from} term={term} {rest}").trim_end().to_owned()
}
