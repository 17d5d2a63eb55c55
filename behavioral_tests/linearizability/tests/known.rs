//! Bad histories by name, each beside a good one that differs in little: the first must be refused,
//! the second accepted.

use linearizability::Verdict;
use linearizability::kv::check;

mod notation;

struct Pair {
    name: &'static str,
    bad: &'static str,
    good: &'static str,
}

const TIME_AND_ORDER: [Pair; 9] = [
    Pair {
        name: "stale read",
        bad: "1 0..1 SET x a -> OK\n1 2..3 SET x b -> OK\n2 4..5 GET x -> \"a\"",
        good: "1 0..1 SET x a -> OK\n1 2..4 SET x b -> OK\n2 4..5 GET x -> \"a\"",
    },
    Pair {
        name: "read of a value that was never written",
        bad: "1 0..1 SET x a -> OK\n2 2..3 GET x -> \"c\"",
        good: "1 0..1 SET x a -> OK\n2 2..3 GET x -> \"a\"",
    },
    Pair {
        name: "read of a value that is written only later",
        bad: "2 0..1 GET x -> \"a\"\n1 2..3 SET x a -> OK",
        good: "2 0..2 GET x -> \"a\"\n1 2..3 SET x a -> OK",
    },
    Pair {
        name: "reads that go back in time",
        bad: "1 0..9 SET x a -> OK\n2 1..2 GET x -> \"a\"\n3 3..4 GET x -> nil",
        good: "1 0..9 SET x a -> OK\n2 1..3 GET x -> \"a\"\n3 3..4 GET x -> nil",
    },
    Pair {
        name: "two readers who saw two writes in different orders",
        bad: "1 0..9 SET x a -> OK\n2 0..9 SET x b -> OK\n3 1..2 GET x -> \"a\"\n\
              3 3..4 GET x -> \"b\"\n4 5..6 GET x -> \"a\"",
        good: "1 0..9 SET x a -> OK\n2 0..9 SET x b -> OK\n3 1..2 GET x -> \"a\"\n\
               3 3..4 GET x -> \"b\"\n4 5..6 GET x -> \"b\"",
    },
    Pair {
        name: "a pipelined GET that overtakes its SET",
        bad: "1 0..9 SET x a -> OK\n1 0..9 GET x -> nil",
        good: "1 0..9 SET x a -> OK\n2 0..9 GET x -> nil",
    },
    Pair {
        name: "a pipelined SET that overtakes a GET",
        bad: "1 0..9 GET x -> \"a\"\n1 0..9 SET x a -> OK",
        good: "1 0..9 GET x -> nil\n1 0..9 SET x a -> OK",
    },
    Pair {
        name: "pipelines across two keys, each seeing the other's end before its begin",
        bad: "1 0..9 GET y -> \"b\"\n1 0..9 SET x a -> OK\n2 0..9 GET x -> \"a\"\n\
              2 0..9 SET y b -> OK\n3 20..21 MGET x y -> [\"a\" \"b\"]",
        good: "1 0..9 GET y -> nil\n1 0..9 SET x a -> OK\n2 0..9 GET x -> \"a\"\n\
               2 0..9 SET y b -> OK\n3 20..21 MGET x y -> [\"a\" \"b\"]",
    },
    Pair {
        name: "order through a third connection that neither saw",
        bad: "1 0..1 SET x a -> OK\n2 2..3 SET x b -> OK\n3 4..9 GET x -> \"b\"\n\
              4 4..5 GET x -> \"a\"",
        good: "1 0..1 SET x a -> OK\n2 2..9 SET x b -> OK\n3 4..9 GET x -> \"b\"\n\
               4 4..5 GET x -> \"a\"",
    },
];

const WRITES: [Pair; 12] = [
    Pair {
        name: "lost update",
        bad: "1 0..5 INCR n -> 1\n2 0..5 INCR n -> 2\n3 6..7 GET n -> \"1\"",
        good: "1 0..5 INCR n -> 1\n2 0..5 INCR n -> 2\n3 6..7 GET n -> \"2\"",
    },
    Pair {
        name: "two increments with the same answer",
        bad: "1 0..5 INCR n -> 1\n2 0..5 INCR n -> 1",
        good: "1 0..5 INCR n -> 2\n2 0..5 INCR n -> 1",
    },
    Pair {
        name: "increments out of order",
        bad: "1 0..1 INCR n -> 2\n2 2..3 INCR n -> 1",
        good: "1 0..2 INCR n -> 2\n2 2..3 INCR n -> 1",
    },
    Pair {
        name: "an increment counted twice",
        bad: "1 0..1 INCR n -> 1\n1 2..3 GET n -> \"2\"",
        good: "1 0..1 INCR n -> 1\n2 2.. INCR n\n1 2..3 GET n -> \"2\"",
    },
    Pair {
        name: "an increment of what is no number",
        bad: "1 0..1 SET x a -> OK\n1 2..3 INCR x -> 1",
        good: "1 0..1 SET x a -> OK\n1 2..3 INCR x -> ERR\n1 4..5 GET x -> \"a\"",
    },
    Pair {
        name: "an overflow that changed something",
        bad: "1 0..1 SET n 9223372036854775807 -> OK\n1 2..3 INCR n -> ERR\n\
              1 4..5 GET n -> \"-9223372036854775808\"",
        good: "1 0..1 SET n 9223372036854775807 -> OK\n1 2..3 INCR n -> ERR\n\
               1 4..5 INCRBY n -7 -> 9223372036854775800",
    },
    Pair {
        name: "an error that was none",
        bad: "1 0..1 SET n 7 -> OK\n1 2..3 INCR n -> ERR",
        good: "1 0..1 SET n 07 -> OK\n1 2..3 INCR n -> ERR",
    },
    Pair {
        name: "two who both took the lock",
        bad: "1 0..5 SETNX x a -> 1\n2 0..5 SETNX x b -> 1",
        good: "1 0..5 SETNX x a -> 1\n2 0..5 SETNX x b -> 0\n2 6..7 GET x -> \"a\"",
    },
    Pair {
        name: "two who both removed it",
        bad: "1 0..1 SET x a -> OK\n1 2..5 GETDEL x -> \"a\"\n2 2..5 GETDEL x -> \"a\"",
        good: "1 0..1 SET x a -> OK\n1 2..5 GETDEL x -> \"a\"\n2 2..5 GETDEL x -> nil",
    },
    Pair {
        name: "a lost append",
        bad: "1 0..5 APPEND x a -> 1\n2 0..5 APPEND x b -> 1",
        good: "1 0..5 APPEND x a -> 2\n2 0..5 APPEND x b -> 1\n3 6..7 GET x -> \"ba\"",
    },
    Pair {
        name: "appends in an order that their lengths exclude",
        bad: "1 0..5 APPEND x a -> 1\n2 0..5 APPEND x b -> 2\n3 6..7 GET x -> \"ba\"",
        good: "1 0..5 APPEND x a -> 1\n2 0..5 APPEND x b -> 2\n3 6..7 STRLEN x -> 2",
    },
    Pair {
        name: "an exchange that returned what the other took",
        bad: "1 0..5 GETSET x a -> nil\n2 0..5 GETSET x b -> nil",
        good: "1 0..5 GETSET x a -> nil\n2 0..5 GETSET x b -> \"a\"",
    },
];

const SEVERAL_KEYS: [Pair; 9] = [
    Pair {
        name: "a torn MSET",
        bad: "1 0..1 MSET x a y a -> OK\n2 2..9 MSET x b y b -> OK\n\
              3 3..4 MGET x y -> [\"b\" \"a\"]",
        good: "1 0..1 MSET x a y a -> OK\n2 2..9 MSET x b y b -> OK\n\
               3 3..4 MGET x y -> [\"b\" \"b\"]",
    },
    Pair {
        name: "a torn MSET seen by two reads",
        bad: "1 0..9 MSET x a y a -> OK\n2 1..2 GET x -> \"a\"\n2 3..4 GET y -> nil",
        good: "1 0..9 MSET x a y a -> OK\n2 1..2 GET x -> nil\n2 3..4 GET y -> \"a\"",
    },
    Pair {
        name: "two MSETs that each won one key",
        bad: "1 0..9 MSET x a y a -> OK\n2 0..9 MSET x b y b -> OK\n\
              3 10..11 GET x -> \"a\"\n3 12..13 GET y -> \"b\"",
        good: "1 0..9 MSET x a y a -> OK\n2 0..9 MSET x b y b -> OK\n\
               3 10..11 GET x -> \"a\"\n3 12..13 GET y -> \"a\"",
    },
    Pair {
        name: "an MGET of values that were never there together",
        bad: "1 0..1 MSET x a y a -> OK\n1 2..3 SET x b -> OK\n1 4..5 SET y b -> OK\n\
              2 0..9 MGET x y -> [\"a\" \"b\"]",
        good: "1 0..1 MSET x a y a -> OK\n1 2..3 SET x b -> OK\n1 4..5 SET y b -> OK\n\
               2 0..9 MGET x y -> [\"b\" \"a\"]",
    },
    Pair {
        name: "a DEL that counted too few",
        bad: "1 0..1 MSET x a y a -> OK\n1 2..3 DEL x y -> 1",
        good: "1 0..1 SET x a -> OK\n1 2..3 DEL x y -> 1\n1 4..5 EXISTS x y -> 0",
    },
    Pair {
        name: "an EXISTS that counted what was not there",
        bad: "1 0..1 SET x a -> OK\n1 2..3 EXISTS x y x -> 1",
        good: "1 0..1 SET x a -> OK\n1 2..3 EXISTS x y x -> 2",
    },
    Pair {
        name: "an MSETNX that set although a key was there",
        bad: "1 0..1 SET y a -> OK\n1 2..3 MSETNX x b y b -> 1",
        good: "1 0..1 SET y a -> OK\n1 2..3 MSETNX x b y b -> 0\n1 4..5 GET x -> nil",
    },
    Pair {
        name: "an MSETNX that refused although no key was there",
        bad: "1 0..1 MSETNX x b y b -> 0",
        good: "2 0.. SET y a\n1 0..1 MSETNX x b y b -> 0",
    },
    Pair {
        name: "commands of one operation, seen apart",
        bad: "1 0..9 SET x a; SET x b -> OK; OK\n2 1..2 GET x -> \"a\"",
        good: "1 0..9 SET x a; SET x b -> OK; OK\n2 1..2 GET x -> \"b\"",
    },
];

const UNKNOWN: [Pair; 9] = [
    Pair {
        name: "an unknown write seen and then unseen",
        bad: "1 0.. SET x a\n2 1..2 GET x -> \"a\"\n2 3..4 GET x -> nil",
        good: "1 0.. SET x a\n2 1..2 GET x -> nil\n2 3..4 GET x -> \"a\"",
    },
    Pair {
        name: "an operation answered \"not applied\" that shows up",
        // What certainly had no effect is not in the history: nobody wrote this.
        bad: "2 1..2 GET x -> \"a\"",
        good: "1 0.. SET x a\n2 1..2 GET x -> \"a\"",
    },
    Pair {
        name: "an unknown write that took effect before it was asked",
        bad: "2 1..2 GET x -> \"a\"\n1 3.. SET x a",
        good: "2 1..3 GET x -> \"a\"\n1 3.. SET x a",
    },
    Pair {
        name: "an unknown increment that counted twice",
        bad: "1 0.. INCR n\n2 1..2 GET n -> \"2\"",
        good: "1 0.. INCR n\n3 0.. INCR n\n2 1..2 GET n -> \"2\"",
    },
    Pair {
        name: "an unknown write that came back after it was overwritten",
        bad: "1 0.. SET x a\n2 1..2 GET x -> \"a\"\n2 3..4 SET x b -> OK\n2 5..6 GET x -> \"a\"",
        good: "1 0.. SET x a\n2 3..4 SET x b -> OK\n2 5..6 GET x -> \"a\"",
    },
    Pair {
        name: "half of an unknown MSET",
        bad: "1 0.. MSET x a y a\n2 1..2 MGET x y -> [\"a\" nil]",
        good: "1 0.. MSET x a y a\n2 1..2 MGET x y -> [\"a\" \"a\"]",
    },
    Pair {
        name: "an unknown MSETNX that set one key only",
        bad: "1 0.. MSETNX x a y a\n2 1..2 SET y b -> OK\n2 3..4 GET x -> \"a\"\n\
              2 5..6 GET y -> nil",
        good: "1 0.. MSETNX x a y a\n2 1..2 SET y b -> OK\n2 3..4 GET x -> \"a\"\n\
               2 5..6 GET y -> \"b\"",
    },
    Pair {
        name: "an unknown batch whose MSETNX was refused, and which yet set both",
        bad: "2 0..1 SET x b -> OK\n1 2.. MSETNX x a y a; SET z c\n2 3..4 GET z -> \"c\"\n\
              2 5..6 GET y -> \"a\"",
        good: "2 0..1 SET x b -> OK\n1 2.. MSETNX x a y a; SET z c\n2 3..4 GET z -> \"c\"\n\
               2 5..6 GET y -> nil",
    },
    Pair {
        name: "a value that no subset of unknown appends makes",
        bad: "1 0.. APPEND x a\n2 0.. APPEND x b\n3 0.. APPEND x c\n4 1..2 GET x -> \"aca\"",
        good: "1 0.. APPEND x a\n2 0.. APPEND x b\n3 0.. APPEND x c\n4 1..2 GET x -> \"ca\"",
    },
];

#[test]
fn known_bad_histories_are_refused_and_their_good_likeness_accepted() {
    for Pair { name, bad, good } in
        TIME_AND_ORDER.iter().chain(&WRITES).chain(&SEVERAL_KEYS).chain(&UNKNOWN)
    {
        let verdict = check(&notation::history(bad)).verdict;
        assert!(matches!(verdict, Verdict::NotLinearizable(_)), "{name}: {verdict:?}");
        let verdict = check(&notation::history(good)).verdict;
        assert_eq!(verdict, Verdict::Linearizable, "the good likeness of: {name}");
    }
}

#[test]
fn what_no_store_answers_is_refused() {
    for odd in [
        "1 0..1 SET x a -> nil",
        "1 0..1 GET x -> OK",
        "1 0..1 MGET x y -> [nil]",
        "1 0..1 DEL x y -> 3",
        "1 0..1 DEL x y -> OK",
        "1 0..1 EXISTS x -> -1",
        "1 0..1 MSET x a y b -> 1",
        "1 0..1 MSETNX x a y b -> 2",
        "1 0..1 SET x a; SET y b -> OK",
        "1 5..1 SET x a -> ERR",
    ] {
        let verdict = check(&notation::history(odd)).verdict;
        assert!(matches!(verdict, Verdict::NotLinearizable(_)), "{odd}: {verdict:?}");
    }
}

/// A verdict names the operation that found no place, and what the key could hold there.
#[test]
fn a_verdict_helps() {
    let mut text = String::new();
    for number in 0..50 {
        text += &format!("1 {0}..{0} SET x v{number} -> OK\n", number * 2);
    }
    text += "2 200..201 GET x -> \"v48\"\n3 200..300 SET x z -> OK";
    let Verdict::NotLinearizable(why) = check(&notation::history(&text)).verdict else {
        panic!("a stale read was accepted");
    };
    assert!(why.starts_with("key x: 51 of 52 operations"), "{why}");
    for words in ["  \"v49\"", "  \"z\"", "#50 of process 2, 200..201: GET x -> \"v48\""] {
        assert!(why.contains(words), "{words} is not in:\n{why}");
    }
    assert!(why.lines().count() <= 30, "{why}");
}

#[test]
fn what_was_judged_is_counted() {
    let text = "1 0..1 MSET a 1 b 1 -> OK\n1 2..3 DEL b c -> 1\n1 4..5 SET d 1 -> OK\n2 0.. GET e";
    let checked = check(&notation::history(text));
    assert_eq!((checked.operations, checked.keys, checked.components), (4, 4, 2));
    let empty = check(&[]);
    assert_eq!((empty.verdict, empty.operations), (Verdict::Linearizable, 0));
}
