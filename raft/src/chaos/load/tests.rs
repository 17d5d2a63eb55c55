//! Clients against servers that answer as the test wants.

use std::collections::BTreeSet;
use std::sync::atomic::AtomicUsize;

use linearizability::Verdict;

use super::*;
use crate::chaos::fake;

fn plan(mix: Mix) -> Plan {
    Plan {
        clients: 3,
        pipeline: 4,
        mix,
        keys: Keys { prefix: "load".into(), groups: 2, fresh_after: 100 },
        rate: None,
        most: 100_000,
        patience: Duration::from_secs(20),
        seed: 1,
    }
}

/// A server that counts, and does nothing else.
fn counter() -> String {
    server(false)
}

/// A server that counts, and may be asked for the counts.
fn server(reads: bool) -> String {
    let counts = Mutex::new(BTreeMap::<String, u64>::new());
    let answers = move |words: &[String]| match &*words[0] {
        "INCR" => {
            let mut counts = counts.lock().expect("no panic");
            let count = counts.entry(words[1].clone()).or_default();
            *count += 1;
            Some(format!(":{count}\r\n"))
        }
        "GET" if reads => {
            let count = counts.lock().expect("no panic").get(&words[1]).map(u64::to_string);
            Some(count.map_or("$-1\r\n".into(), |count| format!("${}\r\n{count}\r\n", count.len())))
        }
        _ => Some("-CLUSTERDOWN only counts\r\n".to_owned()),
    };
    fake::server(answers).to_string()
}

fn wait_for(load: &Load, what: impl Fn(&Report) -> bool) {
    let start = Instant::now();
    while !what(&load.report()) {
        assert!(start.elapsed() < Duration::from_secs(20), "{:?}", load.report());
        thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn outcomes_are_counted_by_their_words_and_only_acknowledged_writes_are_acknowledged() {
    let history = History::new();
    let load = Load::start(&history, vec![counter()], plan(Mix::Counts));
    wait_for(&load, |report| report.acknowledged > 200);
    let report = load.stop();
    let words: Vec<&str> = report.outcomes.keys().map(String::as_str).collect();
    assert_eq!(words, ["CLUSTERDOWN", "ok"], "{report}");
    assert!(report.outcomes["ok"] >= report.acknowledged);
    assert!(report.to_string().contains(" · ok "), "{report}");
    let findings = history.verify();
    assert!(findings.is_linearizable(), "{findings:?}");
    assert!(findings.checked.operations as u64 >= report.acknowledged);
}

#[test]
fn a_client_that_is_refused_goes_to_the_next_node_and_nothing_is_sent_twice() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let values = Arc::clone(&seen);
    let refuses = fake::server(move |words| {
        values.lock().expect("no panic").extend(words.get(2).cloned());
        Some("-CLUSTERDOWN no leader\r\n".to_owned())
    });
    let values = Arc::clone(&seen);
    let dies = fake::server(move |words| {
        values.lock().expect("no panic").extend(words.get(2).cloned());
        None
    });
    let history = History::new();
    let addresses = vec![refuses.to_string(), dies.to_string()];
    let load = Load::start(&history, addresses, plan(Mix::Everything));
    wait_for(&load, |report| {
        let count = |word| report.outcomes.get(word).copied().unwrap_or(0);
        count("CLUSTERDOWN") > 50 && count("no answer") > 50
    });
    assert_eq!(load.stop().acknowledged, 0);
    let values = seen.lock().expect("no panic");
    let unique = |value: &&String| value.ends_with(';');
    let sent: Vec<&String> = values.iter().filter(unique).collect();
    assert!(sent.len() > 10);
    assert_eq!(sent.iter().collect::<BTreeSet<_>>().len(), sent.len());
}

#[test]
fn the_longest_gap_counts_from_the_first_moment_to_the_last() {
    let gate = Arc::new(AtomicUsize::new(0));
    let opened = Arc::clone(&gate);
    let server = fake::server(move |_| match opened.load(Ordering::SeqCst) {
        0 => Some("-CLUSTERDOWN no leader\r\n".to_owned()),
        _ => Some(":1\r\n".to_owned()),
    });
    let load = Load::start(&History::new(), vec![server.to_string()], plan(Mix::Counts));
    thread::sleep(Duration::from_millis(120));
    gate.store(1, Ordering::SeqCst);
    wait_for(&load, |report| report.acknowledged > 0);
    let report = load.stop();
    assert!(report.longest_gap >= Duration::from_millis(120), "{report:?}");
    assert!(report.longest_gap <= report.time, "{report:?}");
}

#[test]
fn a_rate_is_not_exceeded() {
    let plan = Plan { rate: Some(500), ..plan(Mix::Counts) };
    let load = Load::start(&History::new(), vec![counter()], plan);
    wait_for(&load, |report| report.outcomes.values().sum::<u64>() > 100);
    let report = load.stop();
    let first = 3.0 * 4.0; // each client's first pipeline
    let most = 500.0 * report.time.as_secs_f64() + 2.0 * first;
    assert!(report.outcomes.values().sum::<u64>() as f64 <= most, "{report:?}");
}

#[test]
fn a_full_history_slows_clients_down_and_takes_no_more_than_it_may() {
    let keys = Keys { fresh_after: u64::MAX, ..plan(Mix::Counts).keys };
    let plan = Plan { most: 400, keys, ..plan(Mix::Counts) };
    let history = History::new();
    let load = Load::start(&history, vec![counter()], plan);
    wait_for(&load, |report| report.slowed);
    thread::sleep(Duration::from_millis(200));
    assert!(load.stop().slowed);
    assert!((200..=400).contains(&history.len()), "{}", history.len());
}

#[test]
fn keys_that_clients_are_done_with_are_judged_and_forgotten() {
    let history = History::new();
    let plan = Plan { rate: Some(2_000), ..plan(Mix::Counts) };
    let load = Load::start(&history, vec![server(true)], plan);
    wait_for(&load, |report| report.outcomes.values().sum::<u64>() > 5_000);
    let start = Instant::now();
    while history.len() > 1_000 && start.elapsed() < Duration::from_secs(20) {
        thread::sleep(Duration::from_millis(1));
    }
    assert!(history.len() <= 1_000, "{}", history.len());
    load.stop();
    let checked = history.verify().checked;
    assert_eq!((checked.verdict, checked.operations > 5_000), (Verdict::Linearizable, true));
}

#[test]
fn a_write_that_was_lost_is_missed_before_its_key_is_forgotten() {
    let forgetful = fake::server(|words| match &*words[0] {
        "INCR" => Some(":1\r\n".to_owned()),
        _ => Some("$-1\r\n".to_owned()),
    });
    let history = History::new();
    let keys = Keys { fresh_after: 1, ..plan(Mix::Counts).keys };
    let plan = Plan { clients: 1, pipeline: 1, keys, ..plan(Mix::Counts) };
    let load = Load::start(&history, vec![forgetful.to_string()], plan);
    wait_for(&load, |_| history.is_unexplained());
    load.stop();
    let kept = history.events();
    assert!(kept.iter().any(|event| matches!(event.operation.commands[0], Command::Incr(_))));
    assert!(!history.verify().is_linearizable());
}
