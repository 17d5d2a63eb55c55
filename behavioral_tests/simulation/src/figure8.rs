//! The paper's Figure 8, played: links are cut and healed at the right moments, so that an entry of an
//! older term comes to lie on a majority of disks and is replaced all the same. Drawn trouble gets
//! there too seldom. Must never do more than cut and heal links: what comes of it is the nodes' own.

use messages::{LogIndex, LogPosition, NodeId};
use states::Role;

use crate::checks::Violation;
use crate::coverage::Mark;
use crate::network::LinkId;
use crate::workload::Workload;
use crate::world::World;

/// Bytes added to each command meanwhile: a leader finds out where logs meet with less than this, so
/// that it sends its old entries before its own first one.
const PADDING: usize = 6_000;
/// Election timeouts that each act may take.
const PATIENCE: u64 = 20;

impl<W: Workload> World<W> {
    /// In a cluster of three or four, in which two nodes can be kept from winning by one that is
    /// ahead. The letters are the figure's.
    pub(crate) fn play_figure_8(&mut self) -> Result<(), Violation> {
        self.await_leader()?;
        self.clients.padding = PADDING;
        let played = self.play();
        self.clients.padding = 0;
        self.asked = (0..self.nodes.len()).collect();
        self.mend_links();
        played
    }

    fn play(&mut self) -> Result<(), Violation> {
        // (a) S1 leads, and what it is asked reaches nobody else.
        let Some(first) = self.nodes.iter().position(|node| node.leads()) else { return Ok(()) };
        self.asked = vec![first];
        let alone = self.cut_all(|&(from, to)| from == first || to == first);
        if !self.until(|world| world.old_tail(first).is_some())? {
            return Ok(());
        }
        self.asked.clear();
        // (b) Another wins the next term by the votes of the rest, and is heard by nobody from then
        // on: the entry with which it begins its term is on its own disk only.
        if !self.until(|world| world.stands(first).is_some())? {
            return Ok(());
        }
        let Some(second) = self.stands(first) else { return Ok(()) };
        let unheard = self.cut_all(|&(from, _)| from == second);
        if !self.until(|world| world.leads_alone(second))? {
            return Ok(());
        }
        let deaf = self.cut_all(|&(_, to)| to == second);
        // (c) S1 is back, wins, and brings its old entry to a majority.
        self.network.heal(alone);
        let Some(old) = self.old_tail(first) else { return Ok(()) };
        if !self.until(|world| {
            2 * world.checks.holders(old).count_ones() as usize > world.nodes.len()
        })? {
            return Ok(());
        }
        // (d) Before it commits anything it is gone, and the other wins by its later term.
        self.cut_all(|&(from, to)| from == first || to == first);
        self.network.heal(unheard);
        self.network.heal(deaf);
        let before = self.report.coverage.of(Mark::Figure8);
        self.until(|world| world.report.coverage.of(Mark::Figure8) > before)?;
        Ok(())
    }

    fn cut_all(&mut self, cut: impl FnMut(&LinkId) -> bool) -> u64 {
        let links = self.network.all().filter(cut).collect();
        self.note(|| format!("figure 8: cut are {links:?}"));
        self.network.cut(links)
    }

    /// Goes on, event by event; whether it came to be so in good time.
    fn until(&mut self, so: impl Fn(&mut World<W>) -> bool) -> Result<bool, Violation> {
        let end = self.now + PATIENCE * self.trouble.election;
        while self.now < end {
            if so(self) {
                return Ok(true);
            }
            self.happen()?;
        }
        Ok(false)
    }

    /// The first of the node's entries that nobody has committed, if its own disk alone holds it and
    /// it is a large one.
    fn old_tail(&mut self, node: usize) -> Option<LogPosition> {
        let log = self.nodes[node].replica()?.log();
        let entry = log.entry(LogIndex(self.checks.committed() + 1))?;
        let (position, size) = (entry.position, entry.size());
        let alone = self.checks.holders(position) == 1 << node;
        (alone && size > PADDING).then_some(position)
    }

    /// Another node than this, whose requests for votes have left.
    fn stands(&mut self, but: usize) -> Option<usize> {
        (0..self.nodes.len()).find(|place| {
            let node = &self.nodes[*place];
            let own = |term| node.promises().voted_in(term) == Some(node.id);
            *place != but
                && node.role() == Role::Candidate
                && node.replica().is_some_and(|replica| own(replica.term()))
        })
    }

    fn leads_alone(&mut self, node: usize) -> bool {
        let Some(last) = self.nodes[node].replica().map(|replica| replica.log().last()) else {
            return false;
        };
        let leader: Option<NodeId> = self.checks.leader_of(last.term);
        leader == Some(self.nodes[node].id) && self.checks.holders(last) == 1 << node
    }
}
