//! The table of sessions: its rules one by one, and against a naive model that forgets nothing.

use std::collections::BTreeMap;

use messages::{CommandNumber, LogPosition, LogTime, SessionId};
use proptest::prelude::*;
use servers::sessions::{Answer, LONGEST_ANSWER, Limits, Sessions, WINDOW};
use states::Micros;

/// An answer, as text where it is the machine's.
fn show(answer: &[u8]) -> String {
    match Answer::read(answer).expect("an answer") {
        Answer::Opened(id) => format!("opened {id}"),
        Answer::Reply(reply) => format!("reply {}", String::from_utf8_lossy(reply)),
        Answer::NotKept => "not kept".into(),
        Answer::Closed => "closed".into(),
        Answer::TooHigh { highest } => format!("too high above {highest}"),
        Answer::Forgotten => "forgotten".into(),
        Answer::NoSession => "no session".into(),
        Answer::Ended => "ended".into(),
    }
}

/// A table over a machine that counts what it applies.
struct Table {
    sessions: Sessions,
    applied: u64,
    index: u64,
    term: u64,
    time: u64,
}

impl Table {
    fn new(limits: Limits) -> Table {
        let sessions = Sessions::new(limits);
        let mut table = Table { sessions, applied: 0, index: 0, term: 1, time: 1_000 };
        table.entry(0);
        table
    }

    /// The next entry, so many microseconds after the last.
    fn entry(&mut self, after: u64) {
        self.index += 1;
        self.time += after;
        let position = LogPosition::new(self.index, self.term);
        self.sessions.advance(position, LogTime(self.time));
    }

    /// The first entry of another term, whose time is stepped.
    fn next_term(&mut self, step: u64) {
        self.term += 1;
        self.entry(step);
    }

    fn open(&mut self) -> u64 {
        self.entry(0);
        let id = self.index * 1024;
        let mut answer = Vec::new();
        self.sessions.open(SessionId(id), &mut answer);
        assert_eq!(show(&answer), format!("opened {id}"));
        id
    }

    fn answer(&mut self, id: u64, number: u64, reply: &str) -> String {
        let mut answer = b"of others".to_vec();
        let applied = &mut self.applied;
        self.sessions.execute(SessionId(id), CommandNumber(number), &mut answer, |out| {
            *applied += 1;
            out.extend_from_slice(reply.as_bytes());
        });
        show(answer.strip_prefix(b"of others").expect("answers are only appended"))
    }

    /// Executes a command that is answered with how many were applied.
    fn run(&mut self, id: u64, number: u64) -> String {
        let reply = (self.applied + 1).to_string();
        self.answer(id, number, &reply)
    }

    fn outcome(&mut self, id: u64, number: u64) -> String {
        let mut answer = Vec::new();
        self.sessions.outcome(SessionId(id), CommandNumber(number), &mut answer);
        show(&answer)
    }

    fn close(&mut self, id: u64) -> String {
        let mut answer = Vec::new();
        self.sessions.close(SessionId(id), &mut answer);
        show(&answer)
    }
}

/// "A number seen gets its first answer again."
#[test]
fn a_command_takes_effect_once() {
    let mut table = Table::new(Limits::default());
    let id = table.open();
    assert_eq!(table.run(id, 1), "reply 1");
    assert_eq!(table.run(id, 1), "reply 1");
    assert_eq!(table.run(id, 2), "reply 2");
    assert_eq!(table.run(id, 1), "reply 1");
    assert_eq!(table.applied, 2);
    let other = table.open();
    assert_eq!(table.run(other, 1), "reply 3", "another session has numbers of its own");
}

/// "A number n moves the floor to max(floor, n - 63): at or above the floor unseen numbers may come
/// in any order, below it nothing is ever applied and the outcome is unknown."
#[test]
fn the_floor_follows_the_highest_number() {
    let mut table = Table::new(Limits::default());
    let id = table.open();
    assert_eq!(table.run(id, 64), "reply 1", "64 - 63 = 1: the floor stays");
    assert_eq!(table.run(id, 1), "reply 2");
    assert_eq!(table.run(id, 66), "reply 3", "the floor is 3 now");
    for below in [0, 1, 2] {
        assert_eq!(table.run(id, below), "forgotten", "{below}");
        assert_eq!(table.outcome(id, below), "forgotten", "{below}");
    }
    for (number, reply) in [(3, 4), (65, 5), (40, 6), (64, 1), (66, 3)] {
        assert_eq!(table.run(id, number), format!("reply {reply}"), "{number}");
    }
    assert_eq!(table.applied, 6);
}

/// "More than 64 above the highest is an error without effect."
#[test]
fn a_number_far_above_the_highest_is_refused_without_effect() {
    let mut table = Table::new(Limits::default());
    let id = table.open();
    for number in [65, 1 << 63, u64::MAX] {
        assert_eq!(table.run(id, number), "too high above 0");
        assert_eq!(table.outcome(id, number), "too high above 0");
    }
    assert_eq!(table.run(id, 64), "reply 1");
    assert_eq!(table.run(id, 129), "too high above 64");
    assert_eq!(table.run(id, 128), "reply 2", "64 above the highest");
    assert_eq!(table.run(id, 64), "forgotten", "128 - 63 = 65");
    assert_eq!(table.applied, 2);
}

/// "An answer over 4 KiB is kept as 'applied, answer not kept'."
#[test]
fn a_long_answer_is_given_once_and_its_outcome_kept() {
    let mut table = Table::new(Limits::default());
    let id = table.open();
    let (kept, long) = ("x".repeat(LONGEST_ANSWER), "y".repeat(LONGEST_ANSWER + 1));
    assert_eq!(table.answer(id, 1, &kept), format!("reply {kept}"));
    assert_eq!(table.answer(id, 2, &long), format!("reply {long}"));
    assert_eq!(table.answer(id, 1, ""), format!("reply {kept}"));
    assert_eq!(table.answer(id, 2, ""), "not kept");
    assert_eq!(table.outcome(id, 1), format!("reply {kept}"));
    assert_eq!(table.outcome(id, 2), "not kept");
    for (number, length) in (3..).zip([0, 1, 21, 22, 23, 24, 255, 256]) {
        let reply = "z".repeat(length);
        for _ in 0..2 {
            assert_eq!(table.answer(id, number, &reply), format!("reply {reply}"), "{length}");
        }
    }
}

/// A batch of a thousand reads of long values must not take gigabytes. What is remembered does not
/// depend on who waits, and for how much.
#[test]
fn replies_of_a_batch_are_bounded_and_the_table_is_the_same() {
    let (mut waits, mut alone) = (Table::new(Limits::default()), Table::new(Limits::default()));
    let id = waits.open();
    assert_eq!(alone.open(), id);
    let mut replies = vec![b'x'; 64 << 20];
    let before = replies.len();
    let apply = |out: &mut Vec<u8>| out.extend_from_slice(b"reply");
    waits.sessions.execute(SessionId(id), CommandNumber(1), &mut replies, apply);
    assert_eq!(show(&replies[before..]), "not kept");
    assert_eq!(alone.answer(id, 1, "reply"), "reply reply");
    assert_eq!(waits.sessions.digest(), alone.sessions.digest());
    assert_eq!(waits.outcome(id, 1), "reply reply");
}

/// "`RAFT.OUTCOME` … applied (with the first answer); or not applied, and by being applied it closes
/// the number, so that a later copy is refused for ever."
#[test]
fn an_outcome_that_is_not_applied_closes_the_number() {
    let mut table = Table::new(Limits::default());
    let id = table.open();
    assert_eq!(table.run(id, 1), "reply 1");
    assert_eq!(table.outcome(id, 1), "reply 1");
    assert_eq!(table.outcome(id, 2), "closed");
    assert_eq!(table.run(id, 2), "closed");
    assert_eq!(table.outcome(id, 2), "closed");
    assert_eq!(table.run(id, 3), "reply 2");
    assert_eq!(table.outcome(id, 50), "closed", "a number that skips is seen by being closed");
    assert_eq!(table.run(id, 4), "reply 3");
    assert_eq!(table.run(id, 114), "reply 4", "64 above the highest, which is closed");
    assert_eq!(table.outcome(id, 50), "forgotten");
    assert_eq!(table.run(id, 2), "forgotten");
    assert_eq!(table.applied, 4);
}

/// "An ended session answers unknown: may have been applied, never a guess."
#[test]
fn a_session_that_is_not_there_knows_nothing() {
    let mut table = Table::new(Limits::default());
    assert_eq!(table.run(5, 1), "no session");
    assert_eq!(table.outcome(5, 1), "no session");
    assert!(table.sessions.is_empty());
    assert_eq!(table.applied, 0);
}

/// "RAFT.SESSION CLOSE: the session ends; later numbers answer as for an ended session."
#[test]
fn a_session_that_is_closed_has_ended_and_takes_nothing() {
    let mut table = Table::new(Limits::default());
    let (id, other) = (table.open(), table.open());
    let long = "x".repeat(4_000);
    assert_eq!(table.answer(id, 1, &long), format!("reply {long}"));
    assert_eq!(table.run(other, 1), "reply 2");
    assert_eq!([table.close(id), table.close(id), table.close(7)], ["ended", "ended", "ended"]);
    assert_eq!((table.sessions.len(), table.sessions.answer_bytes()), (1, 0));
    for number in [1, 2] {
        assert_eq!(table.run(id, number), "no session");
        assert_eq!(table.outcome(id, number), "no session");
    }
    assert_eq!(table.applied, 2);
    table.entry(Limits::default().idle.0 + 1);
    assert_eq!(table.sessions.len(), 0, "the other ends by itself");
}

#[test]
fn two_sessions_never_share_an_id() {
    let mut table = Table::new(Limits::default());
    let id = table.open();
    table.run(id, 1);
    let mut answer = Vec::new();
    table.sessions.open(SessionId(id), &mut answer);
    assert_eq!(show(&answer), "no session", "nobody may use it");
    assert_eq!(table.run(id, 1), "reply 1");
}

const HOUR: u64 = 3_600_000_000;

/// "Sessions end by log time without use."
#[test]
fn a_session_ends_when_it_was_not_used_for_an_hour() {
    let mut table = Table::new(Limits::default());
    let (used, asked, idle) = (table.open(), table.open(), table.open());
    table.run(idle, 1);
    table.entry(HOUR / 2);
    table.run(used, 1);
    table.outcome(asked, 1);
    table.entry(HOUR / 2);
    assert_eq!(table.sessions.len(), 3, "an hour is not too long");
    table.entry(1);
    assert_eq!(table.sessions.len(), 2);
    assert_eq!(table.run(idle, 1), "no session");
    assert_eq!(table.outcome(idle, 1), "no session");
    assert_eq!(table.run(used, 1), "reply 2");
    assert_eq!(table.outcome(asked, 1), "closed");
}

/// A refusal is no use of a session: else who asks in vain would keep it for ever.
#[test]
fn refusals_do_not_keep_a_session() {
    let mut table = Table::new(Limits::default());
    let id = table.open();
    table.entry(HOUR);
    table.run(id, 0);
    table.run(id, 1_000);
    table.entry(1);
    assert_eq!(table.run(id, 1), "no session");
}

/// "The first entry of a term may step log time forward …; that step ends no session."
#[test]
fn the_step_of_a_new_term_ends_no_session() {
    let mut table = Table::new(Limits::default());
    let id = table.open();
    table.entry(HOUR / 2);
    table.next_term(1_000 * HOUR);
    assert_eq!(table.sessions.len(), 1);
    table.entry(HOUR / 2);
    assert_eq!(table.run(id, 1), "reply 1", "within terms one hour has passed");
    table.next_term(HOUR);
    table.entry(HOUR);
    assert_eq!(table.sessions.len(), 1);
    table.entry(1);
    assert_eq!(table.run(id, 1), "no session");
}

/// However many sessions are over at once, an entry ends few of them; none of them serves.
#[test]
fn sessions_that_are_over_go_in_slices() {
    let mut table = Table::new(Limits::default());
    let ids: Vec<u64> = (0..200).map(|_| table.open()).collect();
    table.entry(HOUR + 1);
    assert!(!table.sessions.is_empty(), "not all at once");
    for id in &ids {
        assert_eq!(table.run(*id, 1), "no session");
    }
    for _ in 0..4 {
        table.entry(0);
    }
    assert!(table.sessions.is_empty());
}

/// "… or oldest first over a limit": the one that was not used for longest.
#[test]
fn the_longest_unused_session_makes_way() {
    let mut table = Table::new(Limits { sessions: 3, ..Limits::default() });
    let ids: Vec<u64> = (0..3)
        .map(|_| {
            table.entry(1);
            table.open()
        })
        .collect();
    table.entry(1);
    table.run(ids[0], 1);
    table.entry(1);
    let fourth = table.open();
    assert_eq!(table.sessions.len(), 3);
    assert_eq!(table.run(ids[1], 1), "no session");
    assert_eq!(table.run(ids[2], 1), "reply 2");
    assert_eq!(table.run(ids[0], 1), "reply 1");
    assert_eq!(table.run(fourth, 1), "reply 3");
}

/// "100,000 sessions opened by one client": the oldest end, memory is bounded.
#[test]
fn a_hundred_thousand_sessions_are_ten_thousand() {
    let mut table = Table::new(Limits::default());
    let ids: Vec<u64> = (0..100_000).map(|_| table.open()).collect();
    assert_eq!(table.sessions.len(), 10_000);
    assert_eq!(table.run(ids[89_999], 1), "no session");
    assert_eq!(table.run(ids[90_000], 1), "reply 1");
    assert_eq!(table.run(ids[99_999], 1), "reply 2");
}

/// Long answers have a limit of their own: 10,000 sessions could hold 2.6 GB of them.
#[test]
fn answers_are_bounded_in_bytes() {
    let limits = Limits { bytes: 1 << 20, ..Limits::default() };
    let mut table = Table::new(limits);
    let long = "x".repeat(LONGEST_ANSWER);
    let ids: Vec<u64> = (0..20)
        .map(|_| {
            table.entry(1);
            let id = table.open();
            for number in 1..=64 {
                table.answer(id, number, &long);
            }
            id
        })
        .collect();
    assert_eq!(table.sessions.answer_bytes(), 1 << 20);
    assert_eq!(table.sessions.len(), 4, "a full session holds 256 KiB");
    assert_eq!(table.run(ids[15], 1), "no session");
    assert_eq!(table.answer(ids[16], 1, ""), format!("reply {long}"));
    for number in 65..=128 {
        table.answer(ids[16], number, "short");
    }
    assert_eq!(table.sessions.answer_bytes(), 3 << 18, "what is forgotten no longer counts");
}

/// "10,000 sessions: under 20 MB", even when each remembers all it can of short answers.
#[test]
fn ten_thousand_full_sessions_take_less_than_twenty_megabytes() {
    let mut kept = None;
    let measured = allocation_counter::measure(|| {
        let mut table = Table::new(Limits::default());
        for _ in 0..10_000 {
            let id = table.open();
            for number in 1..=100 {
                table.run(id, number);
            }
        }
        kept = Some(table);
    });
    let bytes = measured.bytes_current;
    assert_eq!(kept.expect("a table").sessions.len(), 10_000);
    println!("10,000 full sessions: {bytes} bytes");
    assert!(bytes < 20_000_000, "{bytes} bytes");
}

/// The table put together again from its snapshot.
fn restored(sessions: &Sessions) -> Sessions {
    let mut fresh = sessions.fresh();
    let mut pieces = sessions.snapshot();
    while let Some(piece) = pieces.next() {
        fresh.restore(&piece).expect("our own piece");
    }
    fresh
}

#[test]
fn a_snapshot_holds_all_and_shows_nothing_later() {
    let mut table = Table::new(Limits::default());
    let ids: Vec<u64> = (0..300).map(|_| table.open()).collect();
    for (at, id) in ids.iter().enumerate() {
        table.entry(7);
        for number in 0..(at as u64 % 70) {
            table.answer(*id, 1 + number, &"r".repeat(at * number as usize % 6_000));
        }
        table.outcome(*id, 1 + (at as u64 * 3) % 64);
    }
    let (before, mut pieces) = (table.sessions.digest(), table.sessions.snapshot());
    table.run(ids[7], 60);
    table.open();
    assert_ne!(table.sessions.digest(), before, "what came later is another table");
    let mut fresh = table.sessions.fresh();
    let mut count = 0;
    while let Some(piece) = pieces.next() {
        assert!(piece.len() < (64 << 10) + 64 * (LONGEST_ANSWER + 3) + 100, "{}", piece.len());
        fresh.restore(&piece).expect("our own piece");
        count += 1;
    }
    assert!(count > 3, "{count} pieces");
    assert_eq!(fresh.digest(), before);
    assert_eq!(fresh.len(), 300);
    assert_eq!(restored(&table.sessions).digest(), table.sessions.digest());
    assert_eq!(restored(&table.sessions).answer_bytes(), table.sessions.answer_bytes());
}

/// Whatever the bytes: an error or a table, never a panic; and no table that no log can leave.
#[test]
fn damaged_pieces_are_refused() {
    let mut table = Table::new(Limits::default());
    let id = table.open();
    table.answer(id, 1, "reply");
    table.outcome(id, 3);
    table.answer(id, 2, &"long".repeat(10));
    let mut pieces = table.sessions.snapshot();
    let all: Vec<Vec<u8>> = std::iter::from_fn(|| pieces.next()).collect();
    let [clock, sessions] = &all[..] else { panic!("{} pieces", all.len()) };
    for cut in 0..clock.len() {
        assert!(table.sessions.fresh().restore(&clock[..cut]).is_err(), "{cut}");
    }
    let with_clock = || {
        let mut fresh = table.sessions.fresh();
        fresh.restore(clock).expect("our own piece");
        fresh
    };
    for cut in (0..sessions.len()).filter(|cut| *cut != 1) {
        assert!(with_clock().restore(&sessions[..cut]).is_err(), "{cut}");
    }
    assert!(with_clock().restore(&[sessions.clone(), sessions[1..].to_vec()].concat()).is_err());
    let mut fresh = with_clock();
    fresh.restore(sessions).expect("our own piece");
    assert!(fresh.restore(clock).is_err(), "time stands before the sessions");
    for at in 0..sessions.len() {
        for bit in 0..8 {
            let mut damaged = sessions.clone();
            damaged[at] ^= 1 << bit;
            let mut fresh = with_clock();
            if fresh.restore(&damaged).is_ok() {
                assert_eq!(restored(&fresh).digest(), fresh.digest());
                for number in 0..70 {
                    fresh.outcome(SessionId(id), CommandNumber(number), &mut Vec::new());
                }
            }
        }
    }
}

#[test]
fn answers_are_read_as_they_are_spelt() {
    let all = [
        Answer::Opened(SessionId(1 << 40)),
        Answer::Reply(b"+OK\r\n"),
        Answer::Reply(b""),
        Answer::NotKept,
        Answer::Closed,
        Answer::TooHigh { highest: CommandNumber(7) },
        Answer::Forgotten,
        Answer::NoSession,
        Answer::Ended,
    ];
    for answer in all {
        let mut bytes = Vec::new();
        answer.write(&mut bytes);
        assert_eq!(Answer::read(&bytes), Some(answer));
    }
    let frozen: [(&[u8], Answer); 3] = [
        (&[1, 0, 4, 0, 0, 0, 0, 0, 0], Answer::Opened(SessionId(1024))),
        (b"\x02:1\r\n", Answer::Reply(b":1\r\n")),
        (&[5, 7, 0, 0, 0, 0, 0, 0, 0], Answer::TooHigh { highest: CommandNumber(7) }),
    ];
    for (bytes, answer) in frozen {
        assert_eq!(Answer::read(bytes), Some(answer));
    }
    for bytes in
        [&[][..], &[0], &[9], &[8, 0], &[1], &[1, 0], &[3, 0], &[4, 1], &[5], &[6, 0], &[7, 7]]
    {
        assert_eq!(Answer::read(bytes), None, "{bytes:?}");
    }
}

/// What every number of every session came to, from the rules' words alone. Forgets nothing.
#[derive(Default)]
struct Naive {
    /// By id: when it was last used, and what became of its numbers.
    open: BTreeMap<u64, (u64, BTreeMap<u64, Option<String>>)>,
    now: u64,
    applied: u64,
}

impl Naive {
    fn end(&mut self, limits: Limits) {
        let now = self.now;
        self.open.retain(|_, (used, _)| now - *used <= limits.idle.0);
        while self.open.len() > limits.sessions {
            let oldest = self.open.iter().map(|(id, (used, _))| (*used, *id)).min();
            self.open.remove(&oldest.expect("some").1);
        }
    }

    fn open(&mut self, id: u64, limits: Limits) {
        self.open.insert(id, (self.now, BTreeMap::new()));
        self.end(limits);
    }

    /// A command, or else the question for its outcome.
    fn ask(&mut self, id: u64, number: u64, is_command: bool) -> String {
        let Some((used, fates)) = self.open.get_mut(&id) else { return "no session".into() };
        let highest = fates.last_key_value().map_or(0, |(highest, _)| *highest);
        if number < 1 || number + 63 < highest {
            return "forgotten".into();
        }
        if number > highest + 64 {
            return format!("too high above {highest}");
        }
        *used = self.now;
        let fate = fates.entry(number).or_insert_with(|| {
            self.applied += u64::from(is_command);
            is_command.then(|| self.applied.to_string())
        });
        fate.as_ref().map_or("closed".into(), |reply| format!("reply {reply}"))
    }
}

/// What happens to a table.
#[derive(Clone, Debug)]
enum Step {
    Entry(u64),
    Term(u64),
    Open,
    /// The session, counted among all there ever were, and a number near or far.
    Run(prop::sample::Index, u64),
    Outcome(prop::sample::Index, u64),
    Close(prop::sample::Index),
    Restore,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let number = prop_oneof![8 => 0..12u64, 4 => 0..200u64, 1 => any::<u64>().prop_map(|n| n / 2)];
    let session = any::<prop::sample::Index>;
    prop::collection::vec(
        prop_oneof![
            3 => (0..50u64).prop_map(Step::Entry),
            1 => (0..1_000u64).prop_map(Step::Term),
            2 => Just(Step::Open),
            12 => (session(), number.clone()).prop_map(|(s, n)| Step::Run(s, n)),
            4 => (session(), number).prop_map(|(s, n)| Step::Outcome(s, n)),
            1 => session().prop_map(Step::Close),
            1 => Just(Step::Restore),
        ],
        1..300,
    )
}

proptest! {
    #[test]
    fn a_table_does_as_the_rules_say(steps in steps()) {
        let limits = Limits { idle: Micros(100), sessions: 4, ..Limits::default() };
        let (mut table, mut naive, mut ids) = (Table::new(limits), Naive::default(), vec![3]);
        for step in steps {
            match step {
                Step::Entry(after) => {
                    table.entry(after);
                    naive.now += after;
                    naive.end(limits);
                }
                Step::Term(after) => table.next_term(after),
                Step::Open => {
                    let id = table.open();
                    naive.open(id, limits);
                    ids.push(id);
                }
                Step::Run(session, number) => {
                    let id = *session.get(&ids);
                    prop_assert_eq!(table.run(id, number), naive.ask(id, number, true));
                }
                Step::Outcome(session, number) => {
                    let id = *session.get(&ids);
                    prop_assert_eq!(table.outcome(id, number), naive.ask(id, number, false));
                }
                Step::Close(session) => {
                    let id = *session.get(&ids);
                    prop_assert_eq!(table.close(id), "ended");
                    naive.open.remove(&id);
                }
                Step::Restore => {
                    let again = restored(&table.sessions);
                    prop_assert_eq!(again.digest(), table.sessions.digest());
                    table.sessions = again;
                }
            }
            prop_assert_eq!(table.applied, naive.applied);
            prop_assert_eq!(table.sessions.len(), naive.open.len());
        }
    }
}

const _: () = assert!(WINDOW == 64, "the texts above say 64");
