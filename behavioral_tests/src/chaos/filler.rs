//! Fills the cluster's logs with large values, under a key that no history has, until it is dropped.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use raft::client::{Client, Reply};

/// What it writes to.
const KEY: &str = "filler";
/// How much it writes at once, bytes.
const VALUE: usize = 64 << 10;
/// How long one node may leave it without an answer, and so how long the end of it may take.
const PATIENCE: Duration = Duration::from_millis(500);
/// Between two writes: other clients have their turn.
const PAUSE: Duration = Duration::from_millis(10);

/// A thread that writes.
#[derive(Debug)]
pub struct Filler {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Filler {
    /// Writes to these nodes in turn.
    pub fn start(addresses: Vec<String>) -> Filler {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = thread::spawn(move || {
            for address in addresses.iter().cycle() {
                if stopped.load(Ordering::Relaxed) {
                    return;
                }
                fill(address, &stopped);
                thread::sleep(PAUSE);
            }
        });
        Filler { stop, thread: Some(thread) }
    }
}

/// Until the first failure. Nobody wants to know whether these writes take effect.
fn fill(address: &str, stopped: &AtomicBool) {
    let Ok(mut client) = Client::connect(address, PATIENCE) else { return };
    let value = vec![b'x'; VALUE];
    let request = [b"SET", KEY.as_bytes(), &value];
    while !stopped.load(Ordering::Relaxed) && matches!(client.call(&request), Ok(Reply::Status(_)))
    {
        thread::sleep(PAUSE);
    }
}

impl Drop for Filler {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
