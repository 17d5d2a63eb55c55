//! SIGTERM and SIGINT: for a node, the first asks the node to stop, a second one ends the process at once, and so
//! does a stop that takes too long. On a thread of its own, so that a node that hangs can be ended.

use std::io;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use raft::exit;
use tokio::runtime;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

/// A stop takes less than 5 s; what is unfinished then was answered to nobody.
const STOP_LIMIT: Duration = Duration::from_millis(4_500);

/// Tells when the node is to stop.
#[derive(Clone, Debug)]
pub struct Stop {
    requested: watch::Receiver<bool>,
}

impl Stop {
    /// Waits for the first signal.
    pub async fn requested(&mut self) {
        // The sender lives as long as the process, or has asked to stop before.
        let _ = self.requested.wait_for(|requested| *requested).await;
    }
}

/// Takes the signals over; from the return of this on none is missed.
pub fn take_over() -> io::Result<Stop> {
    let (request, requested) = watch::channel(false);
    let (ready, installed) = mpsc::channel();
    thread::Builder::new().name("signals".into()).spawn(move || {
        match install() {
            Ok((runtime, signals)) => {
                let _ = ready.send(Ok(()));
                runtime.block_on(watch_signals(signals, request));
            }
            Err(error) => {
                let _ = ready.send(Err(error));
            }
        };
    })?;
    installed.recv().map_err(io::Error::other)??;
    Ok(Stop { requested })
}

/// The first signal ends the process, also where it was started with SIGINT ignored, as shells start
/// what runs in the background. For a process whose end others see to.
pub fn end_at_first() -> io::Result<()> {
    let (ready, installed) = mpsc::channel();
    thread::Builder::new().name("signals".into()).spawn(move || match install() {
        Ok((runtime, mut signals)) => {
            let _ = ready.send(Ok(()));
            let signal = runtime.block_on(signals.next());
            std::process::exit(if signal == "SIGINT" { 130 } else { 143 });
        }
        Err(error) => {
            let _ = ready.send(Err(error));
        }
    })?;
    installed.recv().map_err(io::Error::other)?
}

/// Both signals as streams, and the runtime that they live in.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}

fn install() -> io::Result<(runtime::Runtime, Signals)> {
    let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
    let within = runtime.enter();
    let terminate = signal(SignalKind::terminate())?;
    let interrupt = signal(SignalKind::interrupt())?;
    drop(within);
    Ok((runtime, Signals { terminate, interrupt }))
}

async fn watch_signals(mut signals: Signals, request: watch::Sender<bool>) {
    let first = signals.next().await;
    log::info!("{first}: stopping; a second signal ends at once");
    request.send_replace(true);
    tokio::select! {
        second = signals.next() => log::warn!("{second}: ended at once"),
        () = tokio::time::sleep(STOP_LIMIT) => {
            log::error!("did not stop within {} ms: ended", STOP_LIMIT.as_millis());
        }
    }
    // Nothing on the node's thread can be waited for any more.
    std::process::exit(i32::from(exit::FAILED));
}
