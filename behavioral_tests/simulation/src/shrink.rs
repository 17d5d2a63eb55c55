//! Makes a failing plan smaller: fewer kinds of trouble, then fewer steps. Must never make it
//! another plan than one that was seen to fail.

use crate::Plan;
use crate::tally::Named;
use crate::trouble::Kind;

/// The smallest plan found that still fails, as `fails` says; it may be asked a few dozen times.
pub fn shrink(plan: &Plan, mut fails: impl FnMut(&Plan) -> bool) -> Plan {
    let mut smallest = plan.clone();
    for kind in Kind::ALL {
        if smallest.without.contains(kind) {
            continue;
        }
        let mut smaller = smallest.clone();
        smaller.without.push(*kind);
        if fails(&smaller) {
            smallest = smaller;
        }
    }
    // Fewer steps also end the trouble sooner, so that this is no threshold: halves are tried, then
    // ever smaller parts.
    let mut part = smallest.steps / 2;
    while part > 0 {
        let smaller = Plan { steps: smallest.steps - part, ..smallest.clone() };
        if fails(&smaller) {
            smallest = smaller;
            part = part.min(smallest.steps / 2);
        } else {
            part /= 2;
        }
    }
    smallest
}

#[cfg(test)]
mod tests {
    use super::*;

    fn needs(kinds: &'static [Kind], steps: u64) -> impl FnMut(&Plan) -> bool {
        move |plan| plan.steps >= steps && !plan.without.iter().any(|kind| kinds.contains(kind))
    }

    #[test]
    fn leaves_what_the_failure_needs() {
        let kinds = &[Kind::Crash, Kind::Loss];
        let small = shrink(&Plan::new(7, 20_000), needs(kinds, 317));
        assert_eq!((small.seed, small.steps), (7, 317));
        let left: Vec<Kind> =
            Kind::ALL.iter().copied().filter(|kind| !small.without.contains(kind)).collect();
        assert_eq!(left, [Kind::Loss, Kind::Crash]);
    }

    #[test]
    fn keeps_a_plan_that_needs_all() {
        let plan = Plan { without: vec![Kind::Pause], ..Plan::new(1, 1) };
        let all_but_pause: &[Kind] = Kind::ALL;
        let kept = shrink(&plan, |smaller| {
            smaller.steps >= 1 && smaller.without.len() == 1 && all_but_pause.len() > 1
        });
        assert_eq!(kept, plan);
    }
}
