//! Keeps a load up and notes what comes back: one thread, woken by its sockets. Must never wait for
//! one server while another has answered.
//!
//! **Closed loop**: a connection sends its next request when one is answered, so that a slow server is
//! asked less. **Open loop**: requests are due at a fixed rate, whatever the servers do. One that finds
//! no connection free waits, and its latency counts from when it was *due*: a server that stalls shows
//! it in every request that was due meanwhile.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use mio::event::Event;
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
    timerfd_settime,
};

use super::Load;
use super::connection::{Connection, Lost};
use super::descriptors;
use super::findings::{Findings, Tally};
use super::machine::{Others, Reading};
use super::numbering;
use super::requests::Requests;
use super::schedule::Schedule;
use crate::client;
use crate::exit::{self, Failure};

/// How long a server may take to accept a connection.
const CONNECT: Duration = Duration::from_secs(5);
/// How long answers are waited for after the end: nodes give one within 2.5 s.
const GRACE: Duration = Duration::from_secs(4);
/// How often it is looked whether to stop, at least.
const LOOK: Duration = Duration::from_millis(50);
/// One read takes so many bytes at most.
const BUFFER: usize = 64 << 10;
/// The timer of an open loop; connections have the tokens from 0.
const TIMER: Token = Token(usize::MAX);

/// Connects, keeps the load up for its time, and tells what came of it.
///
/// # Errors
/// If a server cannot be reached, or this machine has not what it takes. What goes wrong later is
/// among the findings.
pub fn run(load: &Load) -> Result<Findings, Failure> {
    run_until(load, &AtomicBool::new(false))
}

/// The same, but ends before its time when `stop` is set, as soon as it looks: within 50 ms.
///
/// # Errors
/// As [`run`].
pub fn run_until(load: &Load, stop: &AtomicBool) -> Result<Findings, Failure> {
    let mut generator = Generator::new(load, stop)?;
    generator
        .run()
        .map_err(|error| Failure::new(exit::FAILED, format!("the load ended: {error}")))?;
    Ok(generator.tally.findings)
}

struct Generator<'a> {
    load: &'a Load,
    /// Whether to end before the time is over.
    stop: &'a AtomicBool,
    began: Instant,
    requests: Requests,
    /// `None` where one was lost.
    connections: Vec<Option<Connection>>,
    /// How many are not lost.
    alive: usize,
    /// Of an open loop.
    schedule: Option<Schedule>,
    timer: OwnedFd,
    /// What it is set to.
    timer_at: u64,
    poll: Poll,
    buffer: Box<[u8]>,
    /// Whether requests are still sent as answers come.
    sends: bool,
    tally: Tally,
}

impl<'a> Generator<'a> {
    fn new(load: &'a Load, stop: &'a AtomicBool) -> Result<Generator<'a>, Failure> {
        let cannot = |error: io::Error| Failure::new(exit::FAILED, error.to_string());
        numbering::allow(load.operation, load.pipeline)?;
        let requests = Requests::new(load.operation, load.keys, load.size, load.seed);
        let poll = Poll::new().map_err(cannot)?;
        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        let timer = timerfd_create(TimerfdClockId::Monotonic, flags);
        let timer = timer.map_err(|error| cannot(error.into()))?;
        let mut generator = Generator {
            load,
            stop,
            began: Instant::now(),
            connections: connect(load, &requests)?,
            requests,
            alive: load.clients,
            schedule: load.rate.map(|rate| Schedule::new(rate, load.clients)),
            timer,
            timer_at: u64::MAX,
            poll,
            buffer: vec![0; BUFFER].into_boxed_slice(),
            sends: true,
            tally: Tally::new(),
        };
        generator.register().map_err(cannot)?;
        Ok(generator)
    }

    fn register(&mut self) -> io::Result<()> {
        let registry = self.poll.registry();
        for (connection, number) in self.connections.iter_mut().flatten().zip(0..) {
            let both = Interest::READABLE | Interest::WRITABLE;
            registry.register(&mut connection.stream, Token(number), both)?;
        }
        registry.register(&mut SourceFd(&self.timer.as_raw_fd()), TIMER, Interest::READABLE)
    }

    fn now(&self) -> u64 {
        nanos(self.began.elapsed())
    }

    fn run(&mut self) -> io::Result<()> {
        let mut events = Events::with_capacity(1_024);
        let processes = &self.load.processes;
        self.began = Instant::now();
        self.start();
        self.keep_up(&mut events, nanos(self.load.warm_up))?;
        let others = Others::take(processes);
        let reading = Reading::take(processes)?;
        self.tally.begin = self.now();
        let end = self.tally.begin + nanos(self.load.time);
        self.keep_up(&mut events, end)?;
        self.tally.end = self.now().min(end);
        let reading_at_end = Reading::take(processes)?;
        self.tally.findings.time = Duration::from_nanos(self.tally.end - self.tally.begin);
        self.finish(&mut events)?;
        let others = Others::take(processes).since(&others);
        self.tally.findings.usage = Some(reading_at_end.since(&reading, others));
        Ok(())
    }

    /// The first requests of a closed loop.
    fn start(&mut self) {
        if self.schedule.is_none() {
            for number in 0..self.connections.len() {
                self.pump(number, self.now());
            }
        }
    }

    /// Keeps the load up until then, or until it is to stop or all connections are lost.
    fn keep_up(&mut self, events: &mut Events, end: u64) -> io::Result<()> {
        loop {
            let now = self.issue_due(end);
            if now >= end || self.alive == 0 || self.stop.load(Ordering::Relaxed) {
                return Ok(());
            }
            self.wait(events, (end - now).min(nanos(LOOK)))?;
        }
    }

    /// Waits for the answers that are missing, and sends what was due but found no connection free.
    fn finish(&mut self, events: &mut Events) -> io::Result<()> {
        self.sends = false;
        let end = self.tally.end;
        let patience = end + nanos(GRACE);
        loop {
            let now = self.issue_due(end);
            let waits = self.connections.iter().flatten().any(|one| one.unanswered().len() > 0);
            let is_owed = self.schedule.as_ref().is_some_and(|schedule| schedule.is_due(end));
            if now >= patience || self.alive == 0 || !(waits || is_owed) {
                break;
            }
            self.wait(events, patience - now)?;
        }
        let now = self.now();
        for due in self.connections.iter().flatten().flat_map(Connection::unanswered) {
            self.tally.gave_up(due, now);
        }
        if let Some(schedule) = &mut self.schedule {
            while let Some(due) = schedule.next_due(end) {
                self.tally.gave_up(due, now);
            }
        }
        Ok(())
    }

    /// Waits for events, at most so long, and does what they ask for.
    fn wait(&mut self, events: &mut Events, most: u64) -> io::Result<()> {
        match self.poll.poll(events, Some(Duration::from_nanos(most))) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(()),
            polled => polled?,
        }
        for event in events.iter() {
            if event.token() != TIMER {
                self.on_event(event);
            }
        }
        Ok(())
    }

    fn on_event(&mut self, event: &Event) {
        let number = event.token().0;
        let Some(connection) = &mut self.connections[number] else { return };
        let mut read_at = None;
        let (tally, began) = (&mut self.tally, self.began);
        let read = connection.read(&mut self.buffer, |due, outcome| {
            let now = *read_at.get_or_insert_with(|| nanos(began.elapsed()));
            tally.answered(due, now, outcome);
        });
        match read {
            Ok(()) => self.pump(number, read_at.unwrap_or_else(|| self.now())),
            Err(lost) => self.lose(number, lost),
        }
    }

    /// Sends what a connection may send now.
    fn pump(&mut self, number: usize, now: u64) {
        let Some(connection) = &mut self.connections[number] else { return };
        loop {
            if let Some(schedule) = &mut self.schedule {
                schedule.set_free(number, connection.has_room());
            } else {
                while self.sends && connection.has_room() {
                    connection.add(&mut self.requests, now);
                }
            }
            if let Err(lost) = connection.flush() {
                return self.lose(number, lost);
            }
            if self.schedule.is_some() || !self.sends || !connection.has_room() {
                return;
            }
        }
    }

    /// Sends what is due by now and before `end`, on connections that are free, and sets the timer for
    /// what comes next. Returns the time.
    fn issue_due(&mut self, end: u64) -> u64 {
        let now = self.now();
        let Some(mut schedule) = self.schedule.take() else { return now };
        while schedule.is_due(end.min(now + 1))
            && let Some(number) = schedule.take_free()
        {
            let Some(connection) = &mut self.connections[number] else { continue };
            while connection.has_room()
                && let Some(due) = schedule.next_due(end.min(now + 1))
            {
                connection.add(&mut self.requests, due);
                if schedule.has_free() {
                    break; // the next one is another's
                }
            }
            let sent = connection.flush();
            schedule.set_free(number, connection.has_room());
            if let Err(lost) = sent {
                self.lose(number, lost);
            }
        }
        let (free, next) = (schedule.has_free(), schedule.next());
        self.schedule = Some(schedule);
        if free && next < end && next != self.timer_at {
            self.set_timer(next, now);
        }
        now
    }

    /// Events are waited for in whole milliseconds: a timer of its own is finer.
    fn set_timer(&mut self, at: u64, now: u64) {
        self.timer_at = at;
        let after = Duration::from_nanos(at.saturating_sub(now).max(1));
        let value =
            Timespec { tv_sec: after.as_secs() as i64, tv_nsec: after.subsec_nanos().into() };
        let once = Itimerspec { it_interval: Timespec { tv_sec: 0, tv_nsec: 0 }, it_value: value };
        let set = timerfd_settime(&self.timer, TimerfdTimerFlags::empty(), &once);
        set.expect("a timer takes every time above zero");
    }

    fn lose(&mut self, number: usize, lost: Lost) {
        let Some(mut connection) = self.connections[number].take() else { return };
        let now = self.now();
        for due in connection.unanswered() {
            self.tally.gave_up(due, now);
        }
        // It is closed on return; the system forgets it then, too.
        let _ = self.poll.registry().deregister(&mut connection.stream);
        self.tally.findings.note_lost(lost.0);
        self.alive -= 1;
    }
}

/// Opens all connections, spread over the addresses.
fn connect(load: &Load, requests: &Requests) -> Result<Vec<Option<Connection>>, Failure> {
    descriptors::allow(load.clients, || format!("--clients {}", load.clients))?;
    let mut connections = Vec::with_capacity(load.clients);
    for address in load.addresses.iter().cycle().take(load.clients) {
        let connection = Connection::open(*address, load.pipeline, requests, CONNECT);
        connections.push(Some(connection.map_err(|error| unreachable(load, *address, &error))?));
    }
    Ok(connections)
}

fn unreachable(load: &Load, address: SocketAddr, error: &io::Error) -> Failure {
    let mut text = format!("{address}: {}", client::reason(error));
    if error.kind() == io::ErrorKind::AddrNotAvailable {
        let clients = load.clients;
        text.push_str(&format!(
            "; {clients} connections need as many ports of this host for each address in --at: ask \
             for fewer, or name more addresses"
        ));
    }
    Failure::new(exit::UNAVAILABLE, text)
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpListener;
    use std::thread;

    use super::super::machine::Processes;
    use super::super::requests::Operation;
    use super::*;

    /// Answers each request on one connection; sets `stop` with the tenth answer.
    fn serve(listener: &TcpListener, stop: &AtomicBool) {
        let (mut stream, _) = listener.accept().expect("a connection");
        let mut answers = 0;
        while stream.read(&mut [0; 1_024]).is_ok_and(|count| count > 0) {
            answers += 1;
            stop.fetch_or(answers >= 10, Ordering::Relaxed);
            stream.write_all(b"+OK\r\n").expect("the load reads to its end");
        }
    }

    #[test]
    fn a_load_ends_when_it_is_to_stop_and_leaves_no_request_unanswered() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let load = Load {
            addresses: vec![listener.local_addr().expect("bound")],
            operation: Operation::Set,
            clients: 1,
            pipeline: 1,
            size: 8,
            keys: 1,
            time: Duration::from_secs(30),
            warm_up: Duration::ZERO,
            rate: None,
            seed: 1,
            processes: Processes::default(),
        };
        let stop = AtomicBool::new(false);
        let findings = thread::scope(|scope| {
            scope.spawn(|| serve(&listener, &stop));
            run_until(&load, &stop).expect("a server")
        });
        assert!(findings.operations >= 9, "{findings:?}");
        assert_eq!((findings.unanswered, findings.lost.len()), (0, 0), "{findings:?}");
        assert!(findings.time < load.time, "{findings:?}");
    }
}
