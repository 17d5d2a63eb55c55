//! The smallest worlds, so that `cargo test` meets them, and what the model itself must do: find what
//! is there, and tell the way as a script that leaves the same trace. `explore` goes further.

use models::settings::{Bounds, DiskPace, Operation, PLAIN, PreVotes};
use models::{Explored, Limits, Rule, Setting};

fn explore(setting: &'static Setting, states: usize) -> Explored {
    let explored = models::explore(setting, Limits { depth: None, states, threads: 2 });
    if let Some((rule, what, script)) = &explored.broken {
        println!("{script}\n{}: {rule}: {what}", setting.name);
    }
    explored
}

#[test]
fn nothing_is_broken_in_the_smallest_world() {
    let explored = explore(Setting::named("M0").expect("a setting"), usize::MAX);
    assert!(explored.broken.is_none());
    assert!(explored.exhausted, "nothing is left of it");
    assert_eq!(explored.missing(), []);
}

#[test]
fn nothing_is_broken_at_the_beginning_of_the_others() {
    for setting in models::SETTINGS {
        let explored = explore(setting, 1_000);
        assert!(explored.broken.is_none(), "{}", setting.name);
        assert!(explored.unique > 200, "{}", setting.name);
    }
}

/// Nobody may come into term 2, which a second election of course does.
const NO_SECOND_TERM: Setting = Setting {
    name: "no second term",
    disk: DiskPace::Apart,
    clients: &[&[Operation::Write(1)]],
    undisturbed: Some(1),
    ..PLAIN
};

/// A sole voter comes into term 2 only over a crash.
static NO_SECOND_TERM_ALONE: Setting = Setting {
    name: "no second term, alone",
    voters: 1,
    pre_votes: PreVotes::Apart,
    bounds: Bounds { terms: 2, crashes: 1, repeats: 0, losses: 0, clocks: &[0] },
    ..NO_SECOND_TERM
};

#[test]
fn the_way_to_a_broken_rule_is_a_script_with_the_same_trace() {
    for setting in [&NO_SECOND_TERM, &NO_SECOND_TERM_ALONE] {
        let explored = explore(setting, usize::MAX);
        let (rule, what, told) = explored.broken.expect("a broken rule");
        assert_eq!(told.contains("restart n1"), setting.voters == 1, "{told}");
        assert_eq!(rule, Rule::Undisturbed);
        assert!(what.ends_with("comes into term 2"), "{what}");
        assert!(!explored.exhausted);
        assert_eq!(unit_tests::script::generate(&told).expect("a script"), told);
    }
}
