//! A workload put together from closures: the shortest way to have a machine of one's own simulated.
//! Must never judge answers: what holds for every machine is checked elsewhere.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use servers::machine::StateMachine;

use crate::Plan;
use crate::chance::Chance;
use crate::seeds::{Failed, Seeds};
use crate::workload::Workload;
use crate::world::Report;

type Draw = Arc<dyn Fn(&mut Chance) -> Vec<u8> + Send + Sync>;

/// A machine and what its clients ask, to be run under many seeds.
pub struct Simulation<M> {
    machine: Arc<dyn Fn() -> M + Send + Sync>,
    command: Draw,
    query: Draw,
}

impl<M> Clone for Simulation<M> {
    fn clone(&self) -> Simulation<M> {
        Simulation {
            machine: self.machine.clone(),
            command: self.command.clone(),
            query: self.query.clone(),
        }
    }
}

impl<M: StateMachine> Simulation<M> {
    /// Of a machine, made by `machine` as every node starts it. Commands and queries are empty until
    /// they are given.
    pub fn of(machine: impl Fn() -> M + Send + Sync + 'static) -> Simulation<M> {
        let empty: Draw = Arc::new(|_| Vec::new());
        Simulation { machine: Arc::new(machine), command: empty.clone(), query: empty }
    }

    /// How a client's command is drawn.
    #[must_use]
    pub fn commands(
        mut self,
        draw: impl Fn(&mut Chance) -> Vec<u8> + Send + Sync + 'static,
    ) -> Simulation<M> {
        self.command = Arc::new(draw);
        self
    }

    /// How a client's query is drawn.
    #[must_use]
    pub fn queries(
        mut self,
        draw: impl Fn(&mut Chance) -> Vec<u8> + Send + Sync + 'static,
    ) -> Simulation<M> {
        self.query = Arc::new(draw);
        self
    }

    /// Runs these seeds (half-open), 20,000 inputs into servers each, on all cores.
    ///
    /// # Errors
    /// The first seed that failed: printed, it tells what did not hold, the last events, the nodes, and
    /// a smaller plan that still fails.
    pub fn run(&self, seeds: Range<u64>) -> Result<Report, Failed> {
        self.run_as(&Seeds::new(seeds))
    }

    /// Runs a plan again, as a failure has printed it: `--seed 17 --steps 312 --without loss`.
    ///
    /// # Errors
    /// As [`Simulation::run`]; or the plan cannot be read.
    pub fn repeat(&self, plan: &str) -> Result<Report, Failed> {
        let Plan { seed, steps, without, nodes } = plan.parse().map_err(Failed::Plan)?;
        self.run_as(&Seeds { steps, without, nodes, ..Seeds::new(seed..seed + 1) })
    }

    /// Runs with settings of one's own.
    ///
    /// # Errors
    /// As [`Simulation::run`].
    pub fn run_as(&self, seeds: &Seeds) -> Result<Report, Failed> {
        seeds.run(|| self.clone())
    }
}

impl<M: StateMachine> Workload for Simulation<M> {
    type Machine = M;

    fn machine(&self) -> M {
        (self.machine)()
    }

    fn command(&mut self, chance: &mut Chance) -> Bytes {
        (self.command)(chance).into()
    }

    fn query(&mut self, chance: &mut Chance) -> Bytes {
        (self.query)(chance).into()
    }
}
