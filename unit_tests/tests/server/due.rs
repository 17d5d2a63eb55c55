//! What time alone brings about: a machine with alarms, on servers in virtual time. Heartbeats let
//! no leader sleep for longer than 50 ms; a blank entry comes within 100 ms more.

use messages::{Operation, Payload};
use servers::host::Outcome;

use crate::bench::{Bench, command, query};
use crate::done;

fn entries(bench: &Bench) -> u64 {
    bench.server(1).replica().log().last().index.0
}

fn ask(bench: &mut Bench, at: u64, operation: Operation) -> String {
    let token = bench.submit(at, vec![operation]);
    bench.run_for(10);
    done(bench.outcome(token)).remove(0)
}

/// "A linearizable read that meets what is due by the leader's present time but not yet by applied
/// log time first has a blank entry committed."
#[test]
fn a_read_does_not_see_what_is_due_by_the_leaders_time() {
    for at in [1, 2] {
        let mut bench = Bench::elected(3);
        ask(&mut bench, at, command("alarm 500"));
        let before = entries(&bench);
        bench.run_for(460);
        assert_eq!(ask(&mut bench, at, query("alarms")), "alarms=1");
        assert_eq!(entries(&bench), before, "nothing was due, nothing was appended");
        bench.run_for(30);
        assert_eq!(entries(&bench), before, "no entry has come since it is due");
        assert_eq!(ask(&mut bench, at, query("alarms")), "alarms=0");
        let log = bench.server(1).replica().log();
        assert_eq!(log.last().index.0, before + 1);
        assert_eq!(log.entry(log.last().index).unwrap().payload, Payload::Blank);
    }
}

#[test]
fn reads_that_meet_what_is_due_share_a_blank_entry() {
    let mut bench = Bench::elected(3);
    ask(&mut bench, 1, command("alarm 500"));
    bench.run_for(500);
    let before = entries(&bench);
    let tokens: Vec<_> =
        (0..5).map(|_| bench.submit(1, vec![query("x"), query("alarms")])).collect();
    let other = bench.submit(1, vec![query("x")]);
    bench.run_for(10);
    for token in tokens {
        assert_eq!(done(bench.outcome(token)), ["x=1", "alarms=0"]);
    }
    assert_eq!(done(bench.outcome(other)), ["x=1"]);
    assert_eq!(entries(&bench), before + 1);
}

/// "READONLY stale reads are judged by applied log time."
#[test]
fn a_stale_read_is_judged_by_the_log() {
    let mut bench = Bench::elected(3);
    ask(&mut bench, 1, command("alarm 500"));
    let before = entries(&bench);
    bench.run_for(500);
    for at in [1, 2] {
        let token = bench.submit_stale(at, vec![query("alarms")]);
        bench.turn(at);
        assert_eq!(done(bench.outcome(token)), ["alarms=1"]);
    }
    assert_eq!(entries(&bench), before);
}

/// "When something is due and no entry comes, the leader must propose a blank one now and then …
/// only while something is due; an idle cluster without anything due stays silent."
#[test]
fn what_is_due_goes_without_being_asked_for_and_then_all_is_silent() {
    let mut bench = Bench::elected(3);
    bench.run_for(10_000);
    let idle = entries(&bench);
    bench.run_for(10_000);
    assert_eq!(entries(&bench), idle);

    let token = bench.submit(1, (0..9).map(|_| command("alarm 500")).collect());
    bench.run_for(400);
    assert_eq!(done(bench.outcome(token)).len(), 9);
    let before = entries(&bench);
    bench.run_for(600);
    assert_eq!(entries(&bench), before + 5, "nine alarms, two an entry");
    for at in [1, 2, 3] {
        let token = bench.submit_stale(at, vec![query("alarms")]);
        bench.run_for(1);
        assert_eq!(done(bench.outcome(token)), ["alarms=0"]);
    }
    bench.run_for(10_000);
    assert_eq!(entries(&bench), before + 5);
}

/// Alarms that are due one after the other do not cost an entry each.
#[test]
fn blank_entries_come_now_and_then() {
    let mut bench = Bench::elected(1);
    let alarms = (0..200).map(|at| command(&format!("alarm {}", 1000 + 10 * at)));
    bench.submit(1, alarms.collect());
    bench.run_for(900);
    let before = entries(&bench);
    bench.run_for(3_000);
    let blanks = entries(&bench) - before;
    assert!((100..=130).contains(&blanks), "{blanks}: two an entry are the fewest");
}

/// A read that waits for a blank entry which never is committed is answered by the next leader, or
/// not in time, but never as if it might have changed anything.
#[test]
fn a_held_read_outlives_its_leader() {
    let mut bench = Bench::elected(3);
    ask(&mut bench, 2, command("alarm 500"));
    bench.run_for(500);
    let here = bench.submit(1, vec![query("alarms")]);
    let there = bench.submit(2, vec![query("alarms")]);
    bench.turn(2);
    for at in [1, 2, 3, 1] {
        bench.turn(at); // the reads are on their way, the round is echoed, they are held
    }
    bench.isolate(1);
    bench.run_for(1_500);
    assert_eq!(done(bench.outcome(there)), ["alarms=0"]);
    bench.run_for(1_500);
    let ended = bench.outcome(here);
    assert!(matches!(ended, Some(Outcome::NoLeader { .. })), "{ended:?}");
    bench.heal();
    bench.run_for(1_000);
    assert_eq!(ask(&mut bench, 1, query("alarms")), "alarms=0");
}
