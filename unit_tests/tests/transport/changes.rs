//! Connections that are lost and found, as every transport tells of them.

use servers::transport::Change;

use super::*;

/// What comes of one look: frames first, then what became of connections.
async fn look(transport: &mut dyn Transport) -> (Vec<Vec<u8>>, Vec<Change>) {
    let mut frames = Vec::new();
    while let Some(frame) = transport.receive() {
        frames.push(frame.to_vec());
    }
    let changes = std::iter::from_fn(|| transport.change()).collect();
    transport.flush();
    (frames, changes)
}

/// The next change, and the frames that came before it.
async fn next_change(transport: &mut dyn Transport) -> (Vec<Vec<u8>>, Change) {
    let mut before = Vec::new();
    let change = async {
        loop {
            let (frames, changes) = look(transport).await;
            before.extend(frames);
            match changes[..] {
                [] => readable(transport).await,
                [change] => return change,
                _ => panic!("one after the other: {changes:?}"),
            }
        }
    };
    let change = timeout(PATIENCE, change).await.expect("a change is told");
    (before, change)
}

/// Nothing changes for a while, though everything is looked at.
async fn nothing_changes(transport: &mut dyn Transport) {
    let end = tokio::time::Instant::now() + A_WHILE;
    while tokio::time::timeout_at(end, readable(transport)).await.is_ok() {
        assert_eq!(look(transport).await.1, []);
    }
}

async fn who_goes_is_lost_and_who_comes_is_found(place: Place) {
    let mut a = place.open(A);
    nothing_changes(&mut *a).await;
    for _ in 0..3 {
        let mut b = place.open(B);
        assert_eq!(next_change(&mut *a).await.1, Change::Found(B));
        assert_eq!(next_change(&mut *b).await.1, Change::Found(A));
        nothing_changes(&mut *a).await;
        drop(b);
        assert_eq!(next_change(&mut *a).await.1, Change::Lost(B));
    }
    nothing_changes(&mut *a).await;
}

// Over TCP nobody is found who does not look: `the_loss_and_the_return_of_a_peer_are_told`.
ask!(who_goes_is_lost_and_who_comes_is_found of memory, zeromq);

/// What a peer said before it went counts, on all lanes.
async fn what_was_said_comes_before_the_loss(place: Place) {
    let (mut a, mut b) = place.open_both().await;
    assert_eq!(next_change(&mut *a).await.1, Change::Found(B));
    for lane in LANES {
        for number in 0..20 {
            assert_eq!(b.send(A, lane, numbered(number)), Sent::Queued);
        }
    }
    b.flush();
    // The last of them has arrived, so that all have left; they are taken after it went.
    readable(&mut *a).await;
    tokio::time::sleep(PACE * 20).await;
    drop(b);
    let (before, change) = next_change(&mut *a).await;
    assert_eq!((before.len(), change), (60, Change::Lost(B)));
}

ask!(what_was_said_comes_before_the_loss of memory, zeromq, tcp);

/// Who looks for a change without having looked for frames is told nothing yet.
async fn frames_are_to_be_taken_first(place: Place) {
    let (mut a, mut b) = place.open_both().await;
    assert_eq!(next_change(&mut *a).await.1, Change::Found(B));
    assert_eq!(b.send(A, Lane::Control, b"farewell".to_vec()), Sent::Queued);
    readable(&mut *a).await;
    drop(b);
    for _ in 0..20 {
        readable(&mut *a).await;
        assert_eq!(a.change(), None, "a frame waits");
        tokio::time::sleep(PACE).await;
    }
    assert_eq!(next(&mut *a).await, b"farewell");
    assert_eq!(next_change(&mut *a).await, (vec![], Change::Lost(B)));
}

ask!(frames_are_to_be_taken_first of memory, zeromq, tcp);

/// The next change; what arrives meanwhile is taken and forgotten, and nothing is flushed.
pub async fn next_unflushed(transport: &mut dyn Transport) -> Change {
    let change = async {
        loop {
            while transport.receive().is_some() {}
            if let Some(change) = transport.change() {
                return change;
            }
            readable(transport).await;
        }
    };
    timeout(PATIENCE, change).await.expect("a change")
}

/// Nothing is sent and nothing flushed: the wait itself ends with the news.
async fn the_loss_and_the_return_of_a_peer_are_told(place: Place) {
    let (mut a, mut b) = place.open_both().await;
    for _ in 0..2 {
        assert_eq!(next_unflushed(&mut *a).await, Change::Found(B));
        drop(b);
        assert_eq!(next_unflushed(&mut *a).await, Change::Lost(B));
        assert_eq!(a.change(), None);
        b = place.open(B);
        let looks = async { while timeout(PATIENCE, readable(&mut *b)).await.is_ok() {} };
        tokio::select! {
            () = looks => panic!("nobody connects"),
            change = next_unflushed(&mut *a) => assert_eq!(change, Change::Found(B)),
        }
        drop(b);
        assert_eq!(next_unflushed(&mut *a).await, Change::Lost(B));
        b = place.open(B);
        meet(&mut *a, B, &mut *b, Lane::Control).await;
    }
}

ask!(the_loss_and_the_return_of_a_peer_are_told of memory, zeromq, tcp);

/// Who never asks for changes is neither woken again and again, nor made to keep all of them.
async fn changes_that_nobody_asks_for_do_no_harm(place: Place) {
    let mut a = place.open(A);
    for _ in 0..4 {
        let mut b = place.open(B);
        meet(&mut *a, B, &mut *b, Lane::Control).await;
        drop(b);
        let lost = async {
            while a.send(B, Lane::Control, Vec::new()) == Sent::Queued {
                let _ = timeout(PACE, readable(&mut *a)).await;
            }
        };
        timeout(PATIENCE, lost).await.expect("it is noticed");
    }
    assert_eq!(next_within(&mut *a, A_WHILE).await, None, "and the wait is a wait");
    let changes: Vec<Change> = std::iter::from_fn(|| a.change()).collect();
    assert_eq!(changes, [Change::Lost(B)], "the latest, and nothing of what it outdates");
}

ask!(changes_that_nobody_asks_for_do_no_harm of memory, zeromq, tcp);
