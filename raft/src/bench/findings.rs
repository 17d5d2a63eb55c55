//! What a load has found. Must never leave out what went wrong: errors and lost connections count
//! from the first request on, also before anything is measured.

use std::collections::BTreeMap;
use std::time::Duration;

use super::latencies::Latencies;
use super::machine::Usage;
use super::replies::Outcome;
use crate::render;

/// So many different words are told apart; the rest count as [`OTHER`].
const MOST_WORDS: usize = 50;
/// What all words above [`MOST_WORDS`] count as.
const OTHER: &str = "others";

/// What was found.
#[derive(Clone, Debug, Default)]
pub struct Findings {
    /// Requests that were answered within the measured time, and not with an error.
    pub operations: u64,
    /// Those of them that found nothing: `GET` of a key that is not there.
    pub nothing: u64,
    /// The measured time; shorter than asked for if all connections were lost.
    pub time: Duration,
    /// How long requests took that were due within the measured time: answered ones, and with their
    /// age those that never were.
    pub latencies: Latencies,
    /// Replies that were errors, by first word.
    pub errors: BTreeMap<String, u64>,
    /// The first of them.
    pub first_error: Option<String>,
    /// Requests that had no answer when the load ended or their connection was lost.
    pub unanswered: u64,
    /// Connections that were lost, by reason.
    pub lost: BTreeMap<String, u64>,
    /// Who used the machine in the measured time; `None` if that never began.
    pub usage: Option<Usage>,
}

impl Findings {
    /// Operations a second.
    pub fn rate(&self) -> f64 {
        let seconds = self.time.as_secs_f64();
        if seconds > 0.0 { self.operations as f64 / seconds } else { 0.0 }
    }

    /// User and system time of the servers for each operation.
    pub fn cpu_per_operation(&self) -> Option<Duration> {
        let servers = self.usage?.servers?;
        (self.operations > 0).then(|| servers.cpu.div_f64(self.operations as f64))
    }

    /// What is wrong with the servers, if so much that these findings do not stand for them.
    pub fn trouble(&self) -> Option<String> {
        let count = |map: &BTreeMap<String, u64>| map.values().sum::<u64>();
        if let Some((reason, _)) = self.lost.iter().max_by_key(|(_, count)| **count) {
            let all = count(&self.lost);
            let plural = if all == 1 { "connection was" } else { "connections were" };
            return Some(format!("{all} {plural} lost: {reason}"));
        }
        if self.unanswered > 0 {
            let plural = if self.unanswered == 1 { "request" } else { "requests" };
            return Some(format!("{} {plural} had no answer in time", self.unanswered));
        }
        let error = self.first_error.as_ref().filter(|_| self.operations == 0)?;
        Some(format!("every reply was an error: {error}"))
    }

    pub(super) fn note_error(&mut self, text: &[u8]) {
        let text = render::plain(&String::from_utf8_lossy(text));
        let word = text.split_whitespace().next().unwrap_or_default();
        if let Some(count) = self.errors.get_mut(word) {
            *count += 1;
            return;
        }
        let word = if self.errors.len() < MOST_WORDS { word } else { OTHER };
        *self.errors.entry(word.to_owned()).or_default() += 1;
        self.first_error.get_or_insert(text);
    }

    pub(super) fn note_lost(&mut self, reason: String) {
        let reason = if self.lost.len() < MOST_WORDS { reason } else { OTHER.to_owned() };
        *self.lost.entry(reason).or_default() += 1;
    }
}

/// The measured time, in nanoseconds since the load began, and what is found in it.
#[derive(Clone, Debug)]
pub(super) struct Tally {
    /// Begins here; the largest number before that is known.
    pub begin: u64,
    /// Ends here.
    pub end: u64,
    pub findings: Findings,
}

impl Tally {
    pub fn new() -> Tally {
        Tally { begin: u64::MAX, end: u64::MAX, findings: Findings::default() }
    }

    /// A request that was due then has been answered now.
    pub fn answered(&mut self, due: u64, now: u64, outcome: Outcome<'_>) {
        if let Outcome::Refused(text) = outcome {
            self.findings.note_error(text);
            return;
        }
        if (self.begin..self.end).contains(&now) {
            self.findings.operations += 1;
            self.findings.nothing += u64::from(outcome == Outcome::Nothing);
        }
        if due >= self.begin {
            self.findings.latencies.record(now - due);
        }
    }

    /// A request that was due then will never be answered.
    pub fn gave_up(&mut self, due: u64, now: u64) {
        self.findings.unanswered += 1;
        if due >= self.begin {
            self.findings.latencies.record(now.saturating_sub(due));
        }
    }
}
