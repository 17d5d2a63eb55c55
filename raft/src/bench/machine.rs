//! What a measurement took of the machine: the generator, the servers, and all others, whose work
//! makes it worthless. Read from `/proc`, in the system's ticks of 10 ms.

use std::fs;
use std::io;
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

/// Other work above this share of a core makes a measurement noisy.
pub const MOST_FOREIGN: f64 = 0.15;
/// So does a hypervisor that takes more than this share of the machine.
pub const MOST_STOLEN: f64 = 0.04;

/// A kernel's thread, in the flags of a process.
const KERNEL_THREAD: u64 = 0x0020_0000;

/// Processes that belong to a measurement; the generator, which is this one, always does.
#[derive(Clone, Debug, Default)]
pub struct Processes {
    /// The servers that are measured.
    pub servers: Vec<u32>,
    /// Others that are not, and are no foreign work either.
    pub aside: Vec<u32>,
}

/// What was used in the time between two readings. Shares are of one core: two busy cores are 2.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Usage {
    /// The generator's share.
    pub generator: f64,
    /// All servers together, if any were named and all are alive.
    pub servers: Option<Servers>,
    /// The share of work that is none of ours.
    pub foreign: f64,
    /// What a hypervisor took, as a share of the whole machine.
    pub stolen: f64,
}

/// What servers used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Servers {
    /// User and system time.
    pub cpu: Duration,
    /// Resident memory at the end, in bytes.
    pub memory: u64,
}

impl Usage {
    /// Whether others took so much that the measurement should not be quoted.
    pub fn is_noisy(&self) -> bool {
        self.foreign > MOST_FOREIGN || self.stolen > MOST_STOLEN
    }
}

/// Counters of the machine and of processes at one moment; quick to take.
#[derive(Clone, Debug)]
pub struct Reading {
    at: Instant,
    machine: Machine,
    generator: Duration,
    servers: Option<Process>,
    aside: u64,
}

/// The machine's own counters, in ticks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Machine {
    /// In processes, kernel's included, without interrupts.
    busy: u64,
    stolen: u64,
    all: u64,
}

/// A process's counters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Process {
    /// Its own user and system time, in ticks.
    own: u64,
    /// The same of its children that have ended and were waited for.
    children: u64,
    /// Resident memory, in pages.
    pages: u64,
    is_kernel: bool,
}

impl Reading {
    /// Reads them now.
    ///
    /// # Errors
    /// If the machine's counters cannot be read: where there is no `/proc` of Linux.
    pub fn take(processes: &Processes) -> io::Result<Reading> {
        let sum = |ids: &[u32]| -> Option<Process> {
            ids.iter().map(|id| Process::of(&id.to_string())).sum::<Option<Process>>()
        };
        let time = clock_gettime(ClockId::ProcessCPUTime);
        let servers = (!processes.servers.is_empty()).then(|| sum(&processes.servers)).flatten();
        Ok(Reading {
            at: Instant::now(),
            machine: Machine::read(&fs::read_to_string("/proc/stat")?)
                .ok_or_else(|| io::Error::other("/proc/stat is not as Linux writes it"))?,
            generator: Duration::new(time.tv_sec.unsigned_abs(), time.tv_nsec as u32),
            servers,
            aside: sum(&processes.aside).unwrap_or_default().own,
        })
    }

    /// What was used since an earlier reading. `others` is what [`Others`] say.
    pub fn since(&self, earlier: &Reading, others: Shares) -> Usage {
        let seconds = (self.at - earlier.at).as_secs_f64().max(1e-9);
        let generator = self.generator.saturating_sub(earlier.generator).as_secs_f64();
        let servers = self.servers.zip(earlier.servers).map(|(now, before)| Servers {
            cpu: Duration::from_secs_f64(in_seconds(now.own.saturating_sub(before.own))),
            memory: now.memory(),
        });
        let ours = generator
            + servers.map_or(0.0, |servers| servers.cpu.as_secs_f64())
            + in_seconds(self.aside.saturating_sub(earlier.aside));
        let busy = in_seconds(self.machine.busy.saturating_sub(earlier.machine.busy));
        let all = self.machine.all.saturating_sub(earlier.machine.all).max(1);
        let stolen = self.machine.stolen.saturating_sub(earlier.machine.stolen);
        Usage {
            generator: generator / seconds,
            servers,
            // Interrupts are charged to whom they meet, or to nobody, as the kernel was built: where
            // they are in ours but not in busy, the difference falls short, and others tell.
            foreign: ((busy - ours) / seconds - others.kernel).max(others.processes).max(0.0),
            stolen: stolen as f64 / all as f64,
        }
    }
}

/// All processes that are none of ours, one by one: slower to read.
#[derive(Clone, Copy, Debug)]
pub struct Others {
    at: Instant,
    ticks: u64,
    kernel: u64,
}

/// What others used, as shares of a core.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Shares {
    /// Processes: foreign work.
    pub processes: f64,
    /// The kernel's own threads, which work for whoever writes and sends most: for us, or for processes
    /// that are counted themselves.
    pub kernel: f64,
}

impl Others {
    /// Reads them now. Children that were waited for count with their parents, so that the sum never
    /// falls because a process ends.
    pub fn take(processes: &Processes) -> Others {
        let own = std::process::id();
        let ours =
            |id: u32| id == own || processes.servers.contains(&id) || processes.aside.contains(&id);
        let folders = fs::read_dir("/proc").into_iter().flatten().flatten();
        let ids = folders.filter_map(|folder| folder.file_name().to_str()?.parse::<u32>().ok());
        let foreign = ids.filter(|id| !ours(*id));
        let read = foreign.filter_map(|id| Process::of(&id.to_string()));
        let (kernel, processes): (Vec<Process>, Vec<Process>) = read.partition(|one| one.is_kernel);
        let sum = |all: &[Process]| all.iter().map(|one| one.own + one.children).sum();
        Others { at: Instant::now(), ticks: sum(&processes), kernel: sum(&kernel) }
    }

    /// Their shares of a core since then.
    pub fn since(&self, earlier: &Others) -> Shares {
        let seconds = (self.at - earlier.at).as_secs_f64().max(1e-9);
        let share = |now: u64, before| in_seconds(now.saturating_sub(before)) / seconds;
        Shares {
            processes: share(self.ticks, earlier.ticks),
            kernel: share(self.kernel, earlier.kernel),
        }
    }
}

/// What a process holds in memory, in bytes; `None` if there is no such process.
pub fn resident(id: u32) -> Option<u64> {
    Process::of(&id.to_string()).map(|process| process.memory())
}

/// Bytes of memory that nobody uses, or that would be given up for whoever needs them.
pub fn available() -> Option<u64> {
    available_of(&fs::read_to_string("/proc/meminfo").ok()?)
}

fn available_of(meminfo: &str) -> Option<u64> {
    let rest = meminfo.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let kibibytes: u64 = rest.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes << 10)
}

/// Whether there is a process of this number.
pub fn is_alive(id: u32) -> bool {
    Process::of(&id.to_string()).is_some()
}

fn in_seconds(ticks: u64) -> f64 {
    ticks as f64 / rustix::param::clock_ticks_per_second() as f64
}

impl Machine {
    fn read(stat: &str) -> Option<Machine> {
        let line = stat.lines().next()?.strip_prefix("cpu ")?;
        let fields: Vec<u64> =
            line.split_whitespace().map(|f| f.parse().ok()).collect::<Option<_>>()?;
        // user nice system idle iowait irq softirq steal; guests are within user and nice.
        let [user, nice, system, .., stolen] = *fields.first_chunk::<8>()?;
        Some(Machine { busy: user + nice + system, stolen, all: fields[..8].iter().sum() })
    }
}

impl Process {
    fn memory(&self) -> u64 {
        self.pages * rustix::param::page_size() as u64
    }

    fn of(id: &str) -> Option<Process> {
        Process::read(&fs::read_to_string(format!("/proc/{id}/stat")).ok()?)
    }

    fn read(stat: &str) -> Option<Process> {
        // The name, in parentheses, may hold anything.
        let (_, rest) = stat.rsplit_once(')')?;
        let fields: Vec<&str> = rest.split_whitespace().collect();
        // Counted from 3, as the manual does.
        let field = |number: usize| fields.get(number - 3)?.parse::<u64>().ok();
        Some(Process {
            own: field(14)? + field(15)?,
            children: field(16)? + field(17)?,
            pages: field(24)?,
            is_kernel: field(9)? & KERNEL_THREAD != 0,
        })
    }
}

impl std::iter::Sum for Process {
    fn sum<I: Iterator<Item = Process>>(all: I) -> Process {
        all.fold(Process::default(), |sum, one| Process {
            own: sum.own + one.own,
            children: sum.children + one.children,
            pages: sum.pages + one.pages,
            is_kernel: false,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_machines_counters_are_read() {
        let stat = "cpu  100 20 30 1000 40 5 6 7 8 9\ncpu0 1 2 3 4 5 6 7 8 9 0\n";
        assert_eq!(Machine::read(stat), Some(Machine { busy: 150, stolen: 7, all: 1_208 }));
        assert_eq!(Machine::read("cpu 1 2 3\n"), None);
        assert_eq!(Machine::read("intr 1"), None);
    }

    #[test]
    fn a_process_is_read_whatever_its_name() {
        let stat =
            "42 (a) R (b) 7) S 1 42 42 0 -1 4194304 9 8 7 6 11 22 33 44 20 0 3 0 555 666 777 1";
        let process = Process { own: 33, children: 77, pages: 777, is_kernel: false };
        assert_eq!(Process::read(stat), Some(process));
        assert_eq!(Process::read("42 (raft) S 1"), None);
    }

    #[test]
    fn memory_that_is_left_is_read() {
        let meminfo = "MemTotal:       9000 kB\nMemAvailable:   1000 kB\nBuffers: 7 kB\n";
        assert_eq!(available_of(meminfo), Some(1_024_000));
        assert_eq!(available_of("MemTotal: 9000 kB"), None);
        assert!(available() > Some(0));
    }

    #[test]
    fn a_process_that_is_gone_has_no_figures() {
        assert!(is_alive(std::process::id()) && !is_alive(u32::MAX));
        let servers = |id| Processes { servers: vec![id], aside: vec![] };
        let reading = Reading::take(&servers(std::process::id())).expect("Linux");
        assert!(reading.servers.expect("alive").pages > 0);
        assert!(resident(std::process::id()) > Some(0) && resident(u32::MAX).is_none());
        assert_eq!(Reading::take(&servers(u32::MAX)).expect("Linux").servers, None);
    }

    fn reading(at: Instant, ticks: (u64, u64, u64), generator: u64, servers: u64) -> Reading {
        let (busy, stolen, all) = ticks;
        Reading {
            at,
            machine: Machine { busy, stolen, all },
            generator: Duration::from_millis(generator),
            servers: Some(Process { own: servers, ..Process::default() }),
            aside: 0,
        }
    }

    #[test]
    fn what_is_neither_the_generators_nor_the_servers_is_foreign() {
        let second = rustix::param::clock_ticks_per_second();
        let begin = Instant::now();
        let before = reading(begin, (0, 0, 0), 0, 0);
        let all = 2 * second;
        let after = |busy, stolen| {
            reading(begin + Duration::from_secs(1), (busy, stolen, all), 250, second / 2)
        };
        let share = |busy, stolen, processes| {
            after(busy, stolen).since(&before, Shares { processes, kernel: 0.0 })
        };
        let quiet = share(second * 3 / 4, 0, 0.0);
        assert_eq!((quiet.generator, quiet.foreign, quiet.stolen), (0.25, 0.0, 0.0));
        assert_eq!(quiet.servers.expect("alive").cpu, Duration::from_millis(500));
        assert!(!quiet.is_noisy());
        assert!(share(second * 95 / 100, 0, 0.0).is_noisy(), "20 % of a core were foreign");
        assert!(!share(second * 85 / 100, 0, 0.0).is_noisy(), "10 % of a core were foreign");
        assert!(share(second / 2, 0, 0.2).is_noisy(), "other processes tell of 20 %");
        let busy_kernel = Shares { processes: 0.0, kernel: 0.2 };
        assert!(!after(second * 95 / 100, 0).since(&before, busy_kernel).is_noisy(), "for us");
        assert!(share(second / 2, second / 10, 0.0).is_noisy(), "5 % of two cores were stolen");
        assert!(!share(second / 2, second / 20, 0.0).is_noisy(), "2.5 % were");
    }
}
