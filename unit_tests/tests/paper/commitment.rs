//! Section 5.4.2, what is committed and what is not, with Figure 8.

use messages::{LogIndex, NodeId};
use states::Role;
use unit_tests::inputs::matched;
use unit_tests::roles::log;
use unit_tests::{Cluster, roles};

/// "Figure 8: A time sequence showing why a leader cannot determine commitment using log entries
/// from older terms." The entry "2" of the figure is a blank and a command here, 2@2 and 3@2, for a
/// leader of today begins with a blank.
mod figure_8 {
    use super::*;

    /// (a) "S1 is leader and partially replicates the log entry at index 2": to S2.
    fn a() -> Cluster {
        let mut cluster = Cluster::with(5, roles::one_entry_at_a_time());
        cluster.elect(1); // term 1: 1@1, everywhere
        roles::step_down(&mut cluster, 1);
        roles::silence(&mut cluster);
        cluster.timeout(1);
        cluster.deliver(None, None); // PreVote
        cluster.deliver(None, None); // the answers
        cluster.write_all(1);
        cluster.deliver(None, None); // RequestVote
        (2..=5).for_each(|id| cluster.write_all(id));
        cluster.deliver(None, None);
        [3, 4, 5].into_iter().for_each(|id| cluster.cut(id));
        assert_eq!((cluster.node(1).role(), cluster.node(1).term()), (Role::Leader, 2));
        cluster.propose(1, 5000, None);
        cluster.settle();
        assert_eq!(cluster.node(1).log(), log(&[1, 2, 2]));
        assert_eq!(cluster.node(2).log(), log(&[1, 2, 2]));
        (3..=5).for_each(|id| assert_eq!(cluster.node(id).log(), log(&[1])));
        assert_eq!(cluster.node(1).commit(), 1);
        cluster.heal();
        cluster
    }

    /// (b) "S1 crashes; S5 is elected leader for term 3 with votes from S3, S4, and itself, and
    /// accepts a different entry at log index 2."
    fn b() -> Cluster {
        let mut cluster = a();
        cluster.crash(1);
        cluster.cut(2);
        roles::silence(&mut cluster);
        cluster.timeout(5);
        for _ in 0..4 {
            cluster.deliver(None, None);
            (3..=5).for_each(|id| cluster.write_all(id));
            if cluster.node(5).role() == Role::Leader {
                break;
            }
        }
        assert_eq!((cluster.node(5).role(), cluster.node(5).term()), (Role::Leader, 3));
        cluster.lose(None, None); // what it tells of its entry is lost
        cluster.write_all(5);
        assert_eq!(cluster.node(5).durable_log(), log(&[1, 3]));
        cluster.heal();
        cluster
    }

    /// (c) "S5 crashes; S1 restarts, is elected leader, and continues replication. At this point, the
    /// log entry from term 2 has been replicated on a majority of the servers, but it is not
    /// committed."
    fn c() -> Cluster {
        let mut cluster = b();
        cluster.crash(5);
        cluster.restart(1);
        assert_eq!(cluster.node(1).log(), log(&[1, 2, 2]));
        cluster.cut(4);
        for _ in 0..2 {
            roles::silence(&mut cluster);
            cluster.timeout(1); // the first time it only learns of term 3
            for _ in 0..3 {
                cluster.deliver(Some(1), None);
                (1..=3).for_each(|id| cluster.write_all(id));
                cluster.deliver(None, Some(1));
                cluster.write_all(1);
                if cluster.node(1).role() == Role::Leader {
                    break;
                }
            }
        }
        assert_eq!((cluster.node(1).role(), cluster.node(1).term()), (Role::Leader, 4));
        assert_eq!(cluster.node(1).durable_log(), log(&[1, 2, 2, 4]));
        for _ in 0..10 {
            if cluster.node(1).state.matched(NodeId(3)) == Some(LogIndex(3)) {
                break;
            }
            cluster.deliver(Some(1), Some(3));
            cluster.write_all(3);
            cluster.deliver(Some(3), Some(1));
        }
        cluster
    }

    #[test]
    fn an_older_terms_entry_on_a_majority_is_not_committed() {
        let mut cluster = c();
        // S2 tells what it holds of the older term, and no more yet.
        cluster.input(1, matched(2, 4, 3));
        for id in 1..=3 {
            assert_eq!(cluster.node(id).log()[..3], log(&[1, 2, 2]), "S{id}");
        }
        let voters_with_it = [2, 3].map(|id| cluster.node(1).state.matched(NodeId(id)));
        assert_eq!(voters_with_it, [Some(LogIndex(3)); 2], "with S1 that is three of five");
        assert_eq!(cluster.node(1).commit(), 0, "restarted, and nothing of term 4 on a majority");
    }

    /// (d) "If S1 crashes as in (d), S5 could be elected leader (with votes from S2, S3, and S4) and
    /// overwrite the entry with its own entry from term 3."
    #[test]
    fn d_the_older_terms_entry_is_overwritten() {
        let mut cluster = c();
        cluster.input(1, matched(2, 4, 3));
        cluster.lose(Some(1), None); // 4@4 reaches nobody
        cluster.crash(1);
        cluster.restart(5);
        cluster.heal();
        for _ in 0..2 {
            roles::silence(&mut cluster);
            cluster.timeout(5); // the first time it only learns of term 4
            cluster.settle();
        }
        assert_eq!(cluster.node(5).role(), Role::Leader);
        assert_eq!(cluster.node(5).term(), 5);
        for id in 2..=5 {
            assert_eq!(cluster.node(id).log(), log(&[1, 3, 5]), "S{id}");
        }
        assert_eq!(cluster.node(5).commit(), 3);
    }

    /// (e) "However, if S1 replicates an entry from its current term on a majority of the servers
    /// before crashing, as in (e), then this entry is committed (S5 cannot win an election). At this
    /// point all preceding entries in the log are committed as well."
    #[test]
    fn e_with_an_entry_of_its_own_term_all_before_it_is_committed() {
        let mut cluster = c();
        cluster.settle(); // S2 and S3 take 4@4
        assert_eq!(cluster.node(1).commit(), 4);
        cluster.crash(1);
        cluster.restart(5);
        cluster.heal();
        for _ in 0..10 {
            roles::silence(&mut cluster);
            cluster.timeout(5);
            cluster.settle();
            assert_ne!(cluster.node(5).role(), Role::Leader, "S2 and S3 are more up-to-date");
        }
    }
}

/// "Raft never commits log entries from previous terms by counting replicas. Only log entries from
/// the leader's current term are committed by counting replicas; once an entry from the current term
/// has been committed in this way, then all prior entries are committed indirectly" (section 5.4.2).
#[test]
fn only_entries_of_the_current_term_are_committed_by_counting() {
    let mut cluster = roles::leader(4, &[1, 2, 2]);
    assert_eq!(cluster.input(1, matched(2, 4, 3)).commit, None);
    assert_eq!(cluster.input(1, matched(3, 4, 3)).commit, None, "3@2 is on all three");
    assert_eq!(cluster.input(1, matched(2, 4, 4)).commit, Some(LogIndex(4)), "4@4, and all before");
}
