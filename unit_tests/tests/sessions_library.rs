//! Sessions and snapshots of the library, with a machine of one's own.

use messages::LogIndex;
use raft::{At, Node, Outcome, Pieces, ProposeError, StateMachine, Unreadable, one_piece};

/// Adds up the lengths of commands; a command is answered with the sum and its own bytes.
#[derive(Clone, Default)]
struct Sum(u64);

impl StateMachine for Sum {
    fn apply(&mut self, _at: At, command: &[u8], reply: &mut Vec<u8>) {
        self.0 += command.len() as u64;
        reply.extend_from_slice(format!("{} ", self.0).as_bytes());
        reply.extend_from_slice(command);
    }

    fn query(&self, _query: &[u8], reply: &mut Vec<u8>) {
        reply.extend_from_slice(self.0.to_string().as_bytes());
    }

    fn fresh(&self) -> Sum {
        Sum::default()
    }

    fn snapshot(&mut self) -> Box<dyn Pieces> {
        one_piece(self.0.to_le_bytes().to_vec())
    }

    fn restore(&mut self, piece: &[u8]) -> Result<(), Unreadable> {
        self.0 = u64::from_le_bytes(piece.try_into().map_err(|_| Unreadable("eight bytes"))?);
        Ok(())
    }

    fn digest(&self) -> u64 {
        self.0
    }
}

async fn sum(node: &Node) -> Vec<u8> {
    node.query("", raft::Consistency::Linearizable).await.expect("answered").to_vec()
}

fn on_a_cluster(test: impl AsyncFnOnce(&[Node])) {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    runtime.block_on(async {
        let cluster = raft::testing::cluster(3, Sum::default()).await.expect("a cluster");
        test(&cluster.nodes).await;
        cluster.shutdown().await;
    });
}

#[test]
fn a_number_is_applied_once_whichever_node_it_is_sent_through() {
    on_a_cluster(async |nodes| {
        let mut session = nodes[0].session().await.expect("a session");
        assert_eq!(&session.propose("abc").await.expect("applied").reply[..], b"3 abc");
        assert_eq!(&session.propose("de").await.expect("applied").reply[..], b"5 de");
        assert_eq!(session.last_number(), 2);
        for node in nodes {
            let mut again = node.resume_session(session.id(), 1);
            assert_eq!(&again.propose("de").await.expect("applied").reply[..], b"5 de");
        }
        assert_eq!(sum(&nodes[2]).await, b"5");
    });
}

/// Numbers more than 64 above the highest in the log are refused there: what never came into it must not
/// use any up.
#[test]
fn numbers_of_refused_commands_are_given_out_again() {
    on_a_cluster(async |nodes| {
        let mut session = nodes[0].session().await.expect("a session");
        session.propose("a").await.expect("applied");
        for _ in 0..70 {
            let refused = session.propose(vec![0; 16 << 20]).await;
            assert!(matches!(refused, Err(ProposeError::Refused(_))), "too large");
        }
        assert_eq!(session.last_number(), 1);
        assert_eq!(&session.propose("bc").await.expect("applied").reply[..], b"3 bc");
    });
}

#[test]
fn outcomes_are_told_and_what_is_not_applied_never_is() {
    on_a_cluster(async |nodes| {
        let mut session = nodes[1].session().await.expect("a session");
        session.propose("abc").await.expect("applied");
        session.propose(vec![b'x'; 5_000]).await.expect("applied");
        let applied = Outcome::Applied(Some("3 abc".into()));
        assert_eq!(session.outcome(1).await, Ok(applied));
        assert_eq!(session.outcome(2).await, Ok(Outcome::Applied(None)));
        assert_eq!(session.outcome(3).await, Ok(Outcome::NotApplied));
        assert_eq!(session.last_number(), 3, "what is closed is not given out");
        session.propose("d").await.expect("applied");

        let mut late = nodes[0].resume_session(session.id(), 1);
        assert_eq!(late.propose("lost").await, Err(ProposeError::AnswerNotKept));
        let refused = late.propose("late").await;
        assert!(matches!(refused, Err(ProposeError::NotApplied(_))), "{refused:?}");
        assert_eq!(sum(&nodes[0]).await, b"5004");
    });
}

#[test]
fn a_session_that_never_was_answers_so() {
    on_a_cluster(async |nodes| {
        let mut nobodys = nodes[0].resume_session(7, 0);
        let refused = nobodys.propose("abc").await;
        assert_eq!(refused, Err(ProposeError::Unresolved { session: 7, number: 1 }));
        assert_eq!(nobodys.outcome(1).await, Ok(Outcome::Unknown));
        let large = nobodys.propose(vec![0; raft::node::MAX_COMMAND + 1]).await;
        assert!(matches!(large, Err(ProposeError::Refused(_))), "{large:?}");
        assert_eq!(sum(&nodes[0]).await, b"0");
    });
}

#[test]
fn a_session_that_is_closed_takes_no_more() {
    on_a_cluster(async |nodes| {
        let mut session = nodes[0].session().await.expect("a session");
        session.propose("abc").await.expect("applied");
        assert_eq!(session.close().await, Ok(()));
        assert_eq!(session.close().await, Ok(()), "it has ended already");
        assert_eq!(session.outcome(1).await, Ok(Outcome::Unknown));
        let refused = session.propose("de").await;
        let unresolved = ProposeError::Unresolved { session: session.id(), number: 2 };
        assert_eq!(refused, Err(unresolved), "what is said of every session that has ended");
        assert_eq!(sum(&nodes[0]).await, b"3");
    });
}

/// One is in place when it is told, whichever node it is.
#[test]
fn a_node_takes_a_snapshot_when_it_is_told_to() {
    on_a_cluster(async |nodes| {
        for node in nodes {
            node.propose("abc").await.expect("applied");
            // A follower is told by the leader, and applies it a moment later.
            while node.status().applied_index == LogIndex(0) {
                tokio::task::yield_now().await;
            }
            let applied = node.status().applied_index;
            let snapshot = node.snapshot().await.expect("something is applied");
            assert!(snapshot.position.index >= applied, "{snapshot:?} covers {applied}");
            assert_eq!(node.status().snapshot, Some(snapshot));
        }
    });
}
