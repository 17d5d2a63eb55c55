//! The small worlds there are: who is in them, what may happen how often, and what must be met on
//! the way so that a run without a finding says something.

use messages::{Message, NodeId, Term};
use states::{Config, Micros};

use crate::marks::Mark;
use crate::rehearsal::Rehearsal;

/// A small world and its bounds.
pub struct Setting {
    /// `--config` calls it so.
    pub name: &'static str,
    /// What it is for.
    pub about: &'static str,
    /// n1, n2, …
    pub voters: u64,
    /// The election timeout: zero (time is always out), or at most two microseconds, so that there
    /// is one value to draw.
    pub election: Micros,
    /// The heartbeat interval.
    pub heartbeat: Micros,
    /// How pre-votes go.
    pub pre_votes: PreVotes,
    /// When writes are done.
    pub disk: DiskPace,
    /// Whether messages of a term below what is durable on their receiver are lost. Such replies are
    /// ignored, and such requests are answered so that their sender learns of the term.
    pub loses_stale: bool,
    /// What is always lost.
    pub loses: fn(term: Term, &Message) -> bool,
    /// Bytes of a command.
    pub command_bytes: usize,
    /// What each client does, one thing after the other.
    pub clients: &'static [&'static [Operation]],
    /// Whether a client waits for its answer, and what all of them saw must be linearizable.
    pub judges_clients: bool,
    /// Led up to by ordinary actions; the bounds begin after it.
    pub prelude: Option<fn(&mut Rehearsal)>,
    /// What may happen how often.
    pub bounds: Bounds,
    /// Directed links that lose everything after the prelude.
    pub lost_links: &'static [(u64, u64)],
    /// The first loses its connection to the second, and nothing else is wrong.
    pub shaky: &'static [(u64, u64)],
    /// No node may come into a term above this one.
    pub undisturbed: Option<u64>,
    /// From every state, a time without trouble among these nodes must end with a leader of all of
    /// them.
    pub recovers: &'static [u64],
    /// What must be met at least once.
    pub marks: &'static [Mark],
    /// States to generate at most, repeats included, unless told otherwise.
    pub states: usize,
}

/// What may happen how often.
#[derive(Clone, Copy)]
pub struct Bounds {
    /// No node stands for a term above this one.
    pub terms: u64,
    /// Crashes, of all nodes together.
    pub crashes: u8,
    /// Messages that arrive twice.
    pub repeats: u8,
    /// Connections that are lost, of `shaky` ones.
    pub losses: u8,
    /// How far each node's clock goes, in microseconds; not looked at where pre-votes are at once.
    pub clocks: &'static [u64],
}

impl Bounds {
    /// How far the clock of this node goes.
    pub(crate) fn clock(&self, id: NodeId) -> u64 {
        self.clocks.get(id.0 as usize - 1).copied().unwrap_or(0)
    }
}

/// How a pre-vote goes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum PreVotes {
    /// A node's time is out, one other node would vote for it, and it stands: nothing between.
    AtOnce,
    /// Each message on its own.
    Apart,
}

/// When a node's disk does what it is told.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum DiskPace {
    /// Within the action.
    Prompt,
    /// At any time after it.
    Apart,
}

/// What a client asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Operation {
    /// Set the register.
    Write(u8),
    /// Read it, by read index.
    Read,
}

impl Setting {
    pub(crate) fn config(&self) -> Config {
        Config { election: self.election, heartbeat: self.heartbeat, ..Config::default() }
    }

    /// The setting of this name.
    pub fn named(name: &str) -> Option<&'static Setting> {
        SETTINGS.iter().find(|setting| setting.name.eq_ignore_ascii_case(name))
    }
}

/// Heartbeats with their replies, and what `refusals` loses.
fn heartbeats_and_refusals(term: Term, message: &Message) -> bool {
    matches!(message, Message::Heartbeat(_) | Message::HeartbeatReply(_)) || refusals(term, message)
}

/// Refused votes from which no term can be learnt: where time is always out, nothing comes of them.
fn refusals(term: Term, message: &Message) -> bool {
    matches!(message, Message::RequestVoteReply(vote) if !vote.granted && vote.answers == term)
}

/// Nothing.
fn nothing(_: Term, _: &Message) -> bool {
    false
}

use Operation::{Read, Write};

/// What most settings share: three nodes, two terms, time always out, and nobody who asks for anything.
pub const PLAIN: Setting = Setting {
    name: "plain",
    about: "",
    voters: 3,
    election: Micros(0),
    heartbeat: Micros(1),
    pre_votes: PreVotes::AtOnce,
    disk: DiskPace::Prompt,
    loses_stale: true,
    loses: heartbeats_and_refusals,
    command_bytes: 1,
    clients: &[],
    judges_clients: false,
    prelude: None,
    bounds: Bounds { terms: 2, crashes: 0, repeats: 0, losses: 0, clocks: &[] },
    lost_links: &[],
    shaky: &[],
    undisturbed: None,
    recovers: &[],
    marks: &[],
    states: 5_000_000,
};

/// With clocks: an election timeout is two heartbeats.
const TIMED: Setting =
    Setting { election: Micros(2), heartbeat: Micros(1), pre_votes: PreVotes::Apart, ..PLAIN };

/// All small worlds, the smallest first.
pub const SETTINGS: &[Setting] = &[
    Setting {
        name: "M0",
        about: "a sole voter, two crashes, two writes: what is not durable never counts",
        voters: 1,
        pre_votes: PreVotes::Apart,
        disk: DiskPace::Apart,
        clients: &[&[Write(1)], &[Write(2)]],
        bounds: Bounds { terms: 3, crashes: 2, repeats: 0, losses: 0, clocks: &[0] },
        marks: &[Mark::Elected, Mark::Committed, Mark::CrashLost],
        ..PLAIN
    },
    Setting {
        name: "M1",
        about: "two terms, two writes, a network that loses and reorders, no crash",
        clients: &[&[Write(1)], &[Write(2)]],
        marks: &[Mark::Elected, Mark::Committed, Mark::TwoLeaders, Mark::Truncated],
        states: 8_000_000,
        ..PLAIN
    },
    Setting {
        name: "M1b",
        about: "from where n1 was just elected: messages of older terms come late, and one comes twice",
        loses_stale: false,
        clients: &[&[Write(1)]],
        prelude: Some(n1_is_elected),
        bounds: Bounds { terms: 2, crashes: 0, repeats: 1, losses: 0, clocks: &[] },
        marks: &[Mark::Elected, Mark::Committed, Mark::TwoLeaders, Mark::Truncated],
        states: 2_000_000,
        ..PLAIN
    },
    Setting {
        name: "M1c",
        about: "a third term, from where n1 once appended alone and n2 leads term 2",
        clients: &[&[Write(1)], &[Write(2)], &[Write(3)]],
        prelude: Some(|play| {
            n1_leads(play);
            play.request(0, 1);
            play.request(1, 1);
            play.lose_all(); // 2@1 and 3@1, on n1 alone
            play.stand(2, 3);
            play.deliver(2, 1); // n1 hears of term 2 and refuses
            play.deliver(2, 3);
            play.deliver(3, 2); // 2@2, on n2
        }),
        bounds: Bounds { terms: 3, crashes: 0, repeats: 0, losses: 0, clocks: &[] },
        marks: &[Mark::Elected, Mark::Committed, Mark::TwoLeaders, Mark::Truncated],
        states: 2_000_000,
        ..PLAIN
    },
    Setting {
        name: "M2",
        about: "as M1 with one write, disks that lag, and one crash that forgets what was not durable",
        disk: DiskPace::Apart,
        clients: &[&[Write(1)]],
        bounds: Bounds { terms: 2, crashes: 1, repeats: 0, losses: 0, clocks: &[] },
        marks: &[Mark::Elected, Mark::CrashLost, Mark::VoteLostAndRepeated],
        ..PLAIN
    },
    Setting {
        name: "M2b",
        about: "as M2, from where n1 leads and all hold its blank entry",
        disk: DiskPace::Apart,
        clients: &[&[Write(1)]],
        prelude: Some(n1_leads),
        bounds: Bounds { terms: 2, crashes: 1, repeats: 0, losses: 0, clocks: &[] },
        marks: &[Mark::TwoLeaders, Mark::Committed, Mark::CrashLost, Mark::VoteLostAndRepeated],
        states: 8_000_000,
        ..PLAIN
    },
    Setting {
        name: "M3",
        about: "reads by read index while a leader may be deposed and not know it; two clients",
        loses: refusals,
        clients: &[&[Write(1)], &[Read]],
        judges_clients: true,
        prelude: Some(n1_leads),
        marks: &[Mark::TwoLeaders, Mark::Committed, Mark::ReadAnswered, Mark::ReadRefused],
        ..PLAIN
    },
    Setting {
        name: "M3b",
        about: "as M3, from where n1 leads and nobody has answered it yet",
        loses: refusals,
        clients: &[&[Write(1)], &[Read]],
        judges_clients: true,
        prelude: Some(n1_is_elected),
        marks: &[Mark::TwoLeaders, Mark::Committed, Mark::ReadAnswered, Mark::ReadRefused],
        states: 1_500_000,
        ..PLAIN
    },
    Setting {
        name: "M6a",
        about: "n1 and n2 hear each other; n3 asks for votes, and disturbs nobody",
        loses_stale: false,
        loses: nothing,
        clients: &[&[Write(1)]],
        prelude: Some(timed_n1_leads),
        bounds: Bounds { terms: 3, crashes: 0, repeats: 0, losses: 0, clocks: &[3, 1, 8] },
        undisturbed: Some(1),
        marks: &[Mark::Committed, Mark::HeardLeader],
        states: 1_500_000,
        ..TIMED
    },
    Setting {
        name: "M6b",
        about: "n1 led and is gone: from every state, n2 and n3 come to a leader",
        loses: nothing,
        prelude: Some(timed_n1_leads),
        bounds: Bounds { terms: 3, crashes: 0, repeats: 0, losses: 0, clocks: &[2, 8, 8] },
        lost_links: &[(1, 2), (1, 3), (2, 1), (3, 1)],
        recovers: &[2, 3],
        marks: &[Mark::Elected, Mark::HeardLeader, Mark::Recovered],
        states: 400_000,
        ..TIMED
    },
    Setting {
        name: "M7a",
        about: "n1 and n2 hear each other; n3 loses its connection to n1 twice, and disturbs nobody",
        loses_stale: false,
        loses: nothing,
        clients: &[&[Write(1)]],
        prelude: Some(timed_n1_leads),
        bounds: Bounds { terms: 3, crashes: 0, repeats: 0, losses: 2, clocks: &[3, 1, 4] },
        shaky: &[(3, 1)],
        undisturbed: Some(1),
        marks: &[Mark::Committed, Mark::HeardLeader, Mark::Suspected, Mark::HeardAgain],
        states: 1_500_000,
        ..TIMED
    },
    Setting {
        name: "M7b",
        about: "n2 and n3 lose their connections to n1, which leads on and does not know it",
        loses: nothing,
        clients: &[&[Write(1)], &[Read]],
        judges_clients: true,
        prelude: Some(timed_n1_leads),
        bounds: Bounds { terms: 2, crashes: 0, repeats: 0, losses: 2, clocks: &[1, 1, 1] },
        shaky: &[(2, 1), (3, 1)],
        marks: &[Mark::Elected, Mark::Committed, Mark::TwoLeaders, Mark::Suspected],
        states: 1_500_000,
        ..TIMED
    },
    Setting {
        name: "F8",
        about: "from Figure 8 (c) on: n1 leads again, and sends on what it once appended alone",
        command_bytes: 4096, // so that a probe carries it alone
        clients: &[&[Write(1)], &[Write(2)]],
        prelude: Some(|play| {
            play.stand(1, 2);
            play.settle();
            play.request(0, 1); // 2@1, on n1 alone
            play.lose_all();
            play.stand(3, 2);
            play.deliver(3, 1); // n1 hears of term 2 and refuses
            play.deliver(3, 2);
            play.deliver(2, 3);
            play.lose_all(); // 2@2, on n3 alone
            play.stand(1, 2);
            play.deliver(1, 2);
            play.deliver(2, 1); // 3@3, on n1
        }),
        bounds: Bounds { terms: 4, crashes: 0, repeats: 0, losses: 0, clocks: &[] },
        marks: &[Mark::OldEntryOnMajority, Mark::MajorityReplaced, Mark::Committed],
        ..PLAIN
    },
];

/// n1 leads term 1, with the vote of n2, and nothing it sent has arrived.
fn n1_is_elected(play: &mut Rehearsal) {
    play.stand(1, 2);
    play.deliver(1, 2);
    play.deliver(2, 1);
}

/// n1 leads term 1, and everything it sent has arrived.
fn n1_leads(play: &mut Rehearsal) {
    play.stand(1, 2);
    play.settle();
}

/// The same, with clocks.
fn timed_n1_leads(play: &mut Rehearsal) {
    play.timeout(1);
    play.settle();
}
