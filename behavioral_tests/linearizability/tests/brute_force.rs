//! Small histories, judged alike by the checker and by trying every order. The one that tries every
//! order shares nothing with the checker: its rules of time and its store are written down here and
//! in `generator`.

use std::collections::BTreeMap;

use generator::{Random, Shape, answer};
use linearizability::kv::{self, Bytes, Command, Operation, Reply};
use linearizability::{Event, Model, Verdict, check};

mod generator;

type Store = BTreeMap<Bytes, Bytes>;

/// Whether any order of the operations explains the answers. Operations without an answer may be
/// left out.
fn some_order_explains(history: &[Event<Operation>], done: &mut Vec<bool>, store: &Store) -> bool {
    let is_open = |done: &[bool], place: usize| !done[place] && history[place].returned.is_some();
    if !(0..history.len()).any(|place| is_open(done, place)) {
        return true;
    }
    for next in 0..history.len() {
        let must_wait = (0..history.len()).any(|other| {
            let (first, then) = (&history[other], &history[next]);
            let is_earlier = first.returned.is_some_and(|returned| returned < then.invoked);
            let is_before_on_connection =
                first.process == then.process && other < next && then.returned.is_some();
            other != next && is_open(done, other) && (is_earlier || is_before_on_connection)
        });
        if done[next] || must_wait {
            continue;
        }
        let mut after = store.clone();
        let Operation { commands, replies } = &history[next].operation;
        let given: Vec<Reply> = commands.iter().map(|one| answer(&mut after, one)).collect();
        if replies.as_ref().is_none_or(|replies| *replies == given) {
            done[next] = true;
            let is_explained = some_order_explains(history, done, &after);
            done[next] = false;
            if is_explained {
                return true;
            }
        }
    }
    false
}

fn brute_force(history: &[Event<Operation>]) -> bool {
    some_order_explains(history, &mut vec![false; history.len()], &Store::new())
}

/// All keys at once, for the general check.
struct AllKeys;

impl Model for AllKeys {
    type State = Store;
    type Operation = Operation;

    fn initial(&self) -> Store {
        Store::new()
    }

    fn step(&self, state: &Store, operation: &Operation) -> Option<Store> {
        let mut after = state.clone();
        let given: Vec<Reply> =
            operation.commands.iter().map(|one| answer(&mut after, one)).collect();
        let holds = operation.replies.as_ref().is_none_or(|replies| *replies == given);
        holds.then_some(after)
    }

    fn only_reads(&self, operation: &Operation) -> bool {
        !operation.commands.iter().any(Command::is_write)
    }

    fn same_effect(&self, one: &Operation, other: &Operation) -> bool {
        one == other
    }
}

/// Changes something that may make the history a bad one, or not.
fn spoil(random: &mut Random, history: &mut Vec<Event<Operation>>) {
    let count = history.len() as u64;
    let (one, other) = (random.below(count) as usize, random.below(count) as usize);
    match random.below(7) {
        0 => {
            let taken = history[one].operation.replies.clone();
            let replies = std::mem::replace(&mut history[other].operation.replies, taken);
            history[one].operation.replies = replies;
            fit(&mut history[one]);
            fit(&mut history[other]);
        }
        1 => {
            if let Some(returned) = history[one].returned {
                let invoked = history[one].invoked;
                history[one].returned = Some(invoked + (returned - invoked) / 2);
            }
        }
        2 => {
            if let Some(returned) = history[one].returned {
                let invoked = &mut history[one].invoked;
                *invoked += (returned - *invoked) / 2;
            }
        }
        3 => {
            history.remove(one);
        }
        4 => history.swap(one, other),
        5 => {
            let is_lost = history[one].returned.take().is_some();
            if is_lost {
                history[one].operation.replies = None;
            }
        }
        _ => {
            let replies = history[one].operation.replies.iter_mut().flatten();
            for reply in replies {
                spoil_reply(random, reply);
            }
        }
    }
}

fn spoil_reply(random: &mut Random, reply: &mut Reply) {
    let value = random.below(3).to_string().into_bytes();
    match reply {
        Reply::Integer(number) => *number += random.below(3) as i64 - 1,
        Reply::Value(_) | Reply::Nil => {
            *reply = if random.percent(30) { Reply::Nil } else { Reply::Value(value) };
        }
        Reply::Values(values) => {
            let place = random.below(values.len() as u64) as usize;
            values[place] = random.percent(70).then_some(value);
        }
        Reply::Error => *reply = Reply::Integer(1),
        Reply::Ok => {}
    }
}

/// An operation has as many replies as commands, and returned if it has any.
fn fit(event: &mut Event<Operation>) {
    match &mut event.operation.replies {
        Some(replies) => {
            replies.resize(event.operation.commands.len(), Reply::Ok);
            event.returned.get_or_insert(event.invoked + 3);
        }
        None => event.returned = None,
    }
}

fn shape(random: &mut Random) -> Shape {
    Shape {
        processes: 1 + random.below(4),
        operations: 2 + random.below(6) as usize,
        keys: 1 + random.below(3),
        pipeline: 1 + random.below(3),
        unknown: [0, 20, 40][random.below(3) as usize],
        several: [0, 30, 60][random.below(3) as usize],
        batches: [0, 0, 30][random.below(3) as usize],
        unique: random.percent(30),
    }
}

fn is_good(verdict: &Verdict) -> bool {
    match verdict {
        Verdict::Linearizable => true,
        Verdict::NotLinearizable(_) => false,
        Verdict::Unknown => panic!("a small history was given up"),
    }
}

/// Judges one history in all three ways. How many were bad is counted.
fn judge(seed: u64, history: &[Event<Operation>], bad: &mut usize) {
    let expected = brute_force(history);
    *bad += usize::from(!expected);
    let general = is_good(&check(&AllKeys, history, 1_000_000));
    assert_eq!(general, expected, "seed {seed}: {history:#?}");
    let checked = kv::check(history);
    // Keys that nothing joins are judged one by one, without the connections' order across them.
    if expected || checked.components <= 1 {
        assert_eq!(is_good(&checked.verdict), expected, "seed {seed}: {history:#?}");
    }
    if let Verdict::NotLinearizable(why) = checked.verdict {
        assert!(why.lines().count() <= 30 && why.contains('#'), "{why}");
    }
}

#[test]
fn small_histories_are_judged_as_by_brute_force() {
    let (mut good, mut bad) = (0, 0);
    for seed in 0..6_000 {
        let random = &mut Random(seed);
        let shape = shape(random);
        let mut history = generator::history(random, shape);
        assert!(brute_force(&history), "seed {seed} is not correct by construction");
        judge(seed, &history, &mut bad);
        for _ in 0..3 {
            spoil(random, &mut history);
            if history.is_empty() {
                break;
            }
            judge(seed, &history, &mut bad);
            good += 1;
        }
    }
    assert!(bad > good / 5 && bad < good * 4 / 5, "{bad} of {good} spoilt ones were bad");
}

/// Longer ones, which only the two checks of the crate can judge.
#[test]
fn longer_histories_are_judged_alike() {
    let mut bad = 0;
    for seed in 0..300 {
        let random = &mut Random(seed);
        let shape = Shape { operations: 40, keys: 2, several: 30, ..shape(random) };
        let mut history = generator::history(random, shape);
        assert_eq!(kv::check(&history).verdict, Verdict::Linearizable, "seed {seed}");
        for _ in 0..2 {
            spoil(random, &mut history);
            let checked = kv::check(&history);
            let general = check(&AllKeys, &history, 1_000_000);
            if checked.components == 1 && general != Verdict::Unknown {
                let is_good = is_good(&checked.verdict);
                assert_eq!(is_good, general == Verdict::Linearizable, "seed {seed}: {history:#?}");
                bad += usize::from(!is_good);
            }
        }
    }
    assert!(bad > 50, "only {bad} bad ones");
}
