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

#[test]
fn memory_tells_who_goes_and_comes() {
    run(who_goes_is_lost_and_who_comes_is_found(Place::memory()));
}

#[test]
fn zeromq_tells_who_goes_and_comes() {
    run(who_goes_is_lost_and_who_comes_is_found(Place::zeromq()));
}

/// What a peer said before it went counts, on both lanes.
async fn what_was_said_comes_before_the_loss(place: Place) {
    let (mut a, mut b) = place.open_both().await;
    assert_eq!(next_change(&mut *a).await.1, Change::Found(B));
    for lane in [Lane::Control, Lane::Log] {
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
    assert_eq!((before.len(), change), (40, Change::Lost(B)));
}

#[test]
fn memory_tells_of_a_loss_last() {
    run(what_was_said_comes_before_the_loss(Place::memory()));
}

#[test]
fn zeromq_tells_of_a_loss_last() {
    run(what_was_said_comes_before_the_loss(Place::zeromq()));
}

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

#[test]
fn memory_gives_frames_first() {
    run(frames_are_to_be_taken_first(Place::memory()));
}

#[test]
fn zeromq_gives_frames_first() {
    run(frames_are_to_be_taken_first(Place::zeromq()));
}
