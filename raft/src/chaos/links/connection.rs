//! One connection over a link. Must never pass another byte once it has dropped one.

use std::collections::VecDeque;
use std::future::pending;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::Interest;
use tokio::net::TcpStream;
use tokio::sync::watch::Receiver;
use tokio::time::{Instant, sleep, sleep_until};

use super::{Condition, Cut};

/// The most that is read at once, bytes.
const PIECE: usize = 64 << 10;
/// What waits in a slow link at most, bytes; then the sender waits.
const MOST_WAITING: usize = 16 << 20;
/// A throttled link passes its bytes in so many pieces a second.
const PIECES_A_SECOND: u64 = 50;
/// A silent connection is kept no longer: if its opener's end has not been seen by then, it stands
/// behind bytes that fill the buffers. Nodes give up far earlier.
const LONGEST_SILENCE: Duration = Duration::from_secs(60);

/// Serves a connection that was opened, until an end closes it or the link breaks it.
pub async fn serve(opened: TcpStream, target: SocketAddr, conditions: Receiver<Condition>) {
    let mut cuts = conditions.clone();
    let mut onward = None;
    tokio::select! {
        biased;
        _ = cuts.wait_for(|condition| condition.cut.is_some()) => {}
        // How a connection ends is for its ends to tell.
        _ = pass(&opened, target, &mut onward, conditions) => return,
    }
    // A black hole tells neither end of the other's; what is half written stays so.
    tokio::select! {
        _ = cuts.wait_for(|condition| condition.cut != Some(Cut::Silent)) => {}
        () = hung_up(&opened) => {}
        () = sleep(LONGEST_SILENCE) => {}
    }
}

/// Passes bytes both ways until an end closes.
async fn pass(
    opened: &TcpStream,
    target: SocketAddr,
    onward: &mut Option<TcpStream>,
    conditions: Receiver<Condition>,
) -> io::Result<()> {
    let onward = onward.insert(TcpStream::connect(target).await?);
    opened.set_nodelay(true)?;
    onward.set_nodelay(true)?;
    tokio::select! {
        ended = forward(opened, onward, conditions.clone()) => ended,
        ended = backward(onward, opened, conditions) => ended,
    }
}

/// Passes what the opener says, as the link's condition wants it, until the opener closes and all
/// that it said has passed.
async fn forward(
    from: &TcpStream,
    to: &TcpStream,
    mut conditions: Receiver<Condition>,
) -> io::Result<()> {
    let mut waiting = Waiting::default();
    let mut open = true;
    loop {
        let condition = *conditions.borrow_and_update();
        if condition.cut.is_some() {
            return pending().await; // what was read meanwhile does not pass
        }
        let due = waiting.due(condition);
        if due.is_some_and(|due| due <= Instant::now()) {
            write(to, &waiting.take(condition)).await?;
            continue;
        }
        if due.is_none() && !open {
            return Ok(());
        }
        tokio::select! {
            changed = conditions.changed() => changed.map_err(io::Error::other)?,
            () = until(due) => {}
            piece = read(from), if open && waiting.bytes < MOST_WAITING => match piece? {
                Some(piece) => waiting.put(piece),
                None => open = false,
            },
        }
    }
}

/// Passes what the other side answers, as fast as can be, until it closes.
async fn backward(
    from: &TcpStream,
    to: &TcpStream,
    conditions: Receiver<Condition>,
) -> io::Result<()> {
    while let Some(piece) = read(from).await? {
        if conditions.borrow().cut.is_some() {
            return pending().await;
        }
        write(to, &piece).await?;
    }
    Ok(())
}

/// What was read and has not passed yet.
#[derive(Debug)]
struct Waiting {
    /// In order, each with the time at which it was read.
    pieces: VecDeque<(Instant, Bytes)>,
    bytes: usize,
    /// When a throttle lets the next piece pass.
    free_at: Instant,
}

impl Default for Waiting {
    fn default() -> Waiting {
        Waiting { pieces: VecDeque::new(), bytes: 0, free_at: Instant::now() }
    }
}

impl Waiting {
    fn put(&mut self, piece: Bytes) {
        self.bytes += piece.len();
        self.pieces.push_back((Instant::now(), piece));
    }

    /// When the next piece is to pass.
    fn due(&self, condition: Condition) -> Option<Instant> {
        let (read, _) = self.pieces.front()?;
        let arrives = *read + condition.delay;
        Some(if condition.rate.is_some() { arrives.max(self.free_at) } else { arrives })
    }

    /// Takes the next piece, or the part of it that a throttle lets pass at once.
    fn take(&mut self, condition: Condition) -> Bytes {
        let Some((_, piece)) = self.pieces.front_mut() else { return Bytes::new() };
        let most = condition.rate.map_or(u64::MAX, |rate| (rate / PIECES_A_SECOND).max(1));
        let part = piece.split_to(piece.len().min(usize::try_from(most).unwrap_or(usize::MAX)));
        if !piece.has_remaining() {
            self.pieces.pop_front();
        }
        self.bytes -= part.len();
        if let Some(rate) = condition.rate {
            let pause = Duration::from_secs_f64(part.len() as f64 / rate as f64);
            self.free_at = Instant::now().max(self.free_at) + pause;
        }
        part
    }
}

async fn until(due: Option<Instant>) {
    match due {
        Some(due) => sleep_until(due).await,
        None => pending().await,
    }
}

/// The next bytes; `None` at the end. May be given up and called again: nothing is lost.
async fn read(from: &TcpStream) -> io::Result<Option<Bytes>> {
    loop {
        from.readable().await?;
        // Made only now: an idle connection holds no buffer.
        let mut piece = BytesMut::with_capacity(PIECE);
        match from.try_read_buf(&mut piece) {
            Ok(0) => return Ok(None),
            Ok(_) => return Ok(Some(piece.freeze())),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
}

async fn write(to: &TcpStream, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        to.writable().await?;
        match to.try_write(bytes) {
            Ok(written) => bytes = &bytes[written..],
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Until the other end closes; leaves unread what it sent before.
async fn hung_up(stream: &TcpStream) {
    while let Ok(ready) = stream.ready(Interest::READABLE).await {
        if ready.is_read_closed() {
            return;
        }
        // Bytes wait, which nobody will read: sleeps until there is news.
        let unread = || Err::<(), _>(io::ErrorKind::WouldBlock.into());
        let _ = stream.try_io(Interest::READABLE, unread);
    }
}
