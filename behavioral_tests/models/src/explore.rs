//! Explores a small world, breadth first, and tells what was explored. Must never call what was
//! explored proved: it says how far it went, and whether anything within the bounds is left.

use std::cell::RefCell;
use std::sync::Arc;
use std::time::{Duration, Instant};

use stateright::{Checker, HasDiscoveries, Model, Property};

use crate::action::{self, Action};
use crate::checks::Rule;
use crate::marks::{MARKS, Mark, Met};
use crate::rehearsal::Rehearsal;
use crate::settings::Setting;
use crate::world::{Step, World, actions};
use crate::{quiet, script, stage};

/// How far to go.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Actions in a row; none for no limit.
    pub depth: Option<usize>,
    /// States to generate, repeats included.
    pub states: usize,
    /// Threads.
    pub threads: usize,
}

/// What was explored.
pub struct Explored {
    /// The small world.
    pub setting: &'static Setting,
    /// States that differ from each other.
    pub unique: usize,
    /// States generated, repeats included.
    pub generated: usize,
    /// The most actions in a row.
    pub depth: usize,
    /// Whether nothing within the bounds is left.
    pub exhausted: bool,
    /// How long it took.
    pub took: Duration,
    /// What was come across.
    pub met: Arc<Met>,
    /// The shortest way to a broken rule, if one was found: the rule, what was seen, the way as a
    /// golden script.
    pub broken: Option<(Rule, String, String)>,
}

impl Explored {
    /// What should have been come across and was not.
    pub fn missing(&self) -> Vec<Mark> {
        let is_missing = |mark: &&Mark| self.met.count(**mark) == 0;
        self.setting.marks.iter().filter(is_missing).copied().collect()
    }

    /// What was come across, with how often.
    pub fn marks(&self) -> impl Iterator<Item = (Mark, u64)> {
        MARKS.into_iter().map(|mark| (mark, self.met.count(mark))).filter(|(_, count)| *count > 0)
    }
}

/// Explores a small world until a rule is broken, a limit is reached, or nothing is left.
///
/// # Panics
///
/// If an assert of the rules does not hold; see [`underway`].
pub fn explore(setting: &'static Setting, limits: Limits) -> Explored {
    let met = Arc::new(Met::default());
    let begun = Instant::now();
    let builder = SmallWorld { setting, met: Arc::clone(&met) }
        .checker()
        .threads(limits.threads)
        .target_state_count(limits.states)
        .finish_when(HasDiscoveries::AnyFailures);
    // Several threads go a little deeper on one side than on the other: with a limit to the depth, what
    // lies behind a state that was first met too deep would be missed.
    let builder = match limits.depth {
        Some(depth) => builder.target_max_depth(depth).threads(1),
        None => builder,
    };
    let checker = builder.spawn_bfs().join();
    let took = begun.elapsed();
    let (generated, depth) = (checker.state_count(), checker.max_depth());
    let broken = checker.discovery(UNBROKEN).and_then(|path| {
        let world = path.last_state();
        let broken = world.broken()?;
        Some((
            broken.rule,
            broken.what.clone(),
            script::tell(setting, &actions(world.path.as_ref())),
        ))
    });
    let exhausted = broken.is_none()
        && generated < limits.states
        && limits.depth.is_none_or(|limit| depth < limit);
    let unique = checker.unique_state_count();
    Explored { setting, unique, generated, depth, exhausted, took, met, broken }
}

const UNBROKEN: &str = "no rule is broken";

/// A setting as the checker sees it.
struct SmallWorld {
    setting: &'static Setting,
    met: Arc<Met>,
}

impl Model for SmallWorld {
    type State = World;
    type Action = Action;

    fn init_states(&self) -> Vec<World> {
        vec![Rehearsal::of(self.setting)]
    }

    fn actions(&self, world: &World, actions: &mut Vec<Action>) {
        action::possible(self.setting, world, actions);
    }

    fn next_state(&self, world: &World, action: Action) -> Option<World> {
        UNDERWAY.set(Some((self.setting, world.path.clone(), action.clone())));
        let next = stage::act(self.setting, &self.met, world, &action)?;
        Some(quiet::judge(self.setting, &self.met, next))
    }

    fn properties(&self) -> Vec<Property<SmallWorld>> {
        vec![Property::always(UNBROKEN, |_, world: &World| world.broken().is_none())]
    }
}

/// An action that is being carried out, and the way to it.
type Underway = (&'static Setting, Option<Arc<Step>>, Action);

thread_local! {
    static UNDERWAY: RefCell<Option<Underway>> = const { RefCell::new(None) };
}

/// The way to the action that this thread carries out, as a golden script up to before it, and the
/// action: for whoever reports that an assert of the rules did not hold.
pub fn underway() -> Option<(String, Action)> {
    let (setting, path, action) = UNDERWAY.take()?;
    Some((script::tell(setting, &actions(path.as_ref())), action))
}
