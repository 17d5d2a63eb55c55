//! What came of a run, and whether it is good. Must never call good what rests on too little.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use linearizability::Verdict;
use raft::chaos::{history, load};

use super::cluster::Ends;

/// Fewer acknowledged operations a second prove nothing.
const LEAST_RATE: f64 = 100.0;

/// What came of a run.
#[derive(Debug)]
pub struct Report {
    /// What clients heard.
    pub load: load::Report,
    /// Faults by kind.
    pub faults: BTreeMap<&'static str, u64>,
    /// How often nodes ended by themselves, as they must.
    pub ends: Ends,
    /// How long all nodes took to serve again when all was healed, if they did.
    pub back: Option<Duration>,
    /// The judgement of the history.
    pub findings: history::Findings,
    /// What is not as it must be: one sentence each, none if all is well.
    pub failures: Vec<String>,
}

impl Report {
    /// Adds to the failures what the figures say.
    pub fn judge(&mut self) {
        match &self.findings.checked.verdict {
            Verdict::Linearizable => {}
            Verdict::NotLinearizable(why) => {
                // Before what followed from it.
                self.failures.insert(0, format!("not linearizable: {why}"));
            }
            Verdict::Unknown => self.failures.push("the history is too hard to judge".into()),
        }
        let acknowledged = self.load.outcomes.get("ok").copied().unwrap_or(0);
        let rate = acknowledged as f64 / self.load.time.as_secs_f64();
        if rate < LEAST_RATE {
            let text = format!(
                "only {rate:.0} operations a second were acknowledged, {LEAST_RATE} at least"
            );
            self.failures.push(text);
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = |time: Duration| format!("{:.1} s", time.as_secs_f64());
        let faults = self.faults.iter().map(|(kind, count)| format!("{kind} {count}"));
        let checked = &self.findings.checked;
        writeln!(f, "operations      {}, in {}", self.load, seconds(self.load.time))?;
        writeln!(f, "faults          {}", faults.collect::<Vec<_>>().join(" · "))?;
        let Ends { storage, stopped, full } = self.ends;
        writeln!(f, "ends            {storage} by a disk, with 74 · {stopped} by SIGTERM, with 0")?;
        writeln!(f, "full disks      {full} found no room and went on")?;
        writeln!(f, "without service {} at most", seconds(self.load.longest_gap))?;
        writeln!(f, "healed          {}", self.back.map_or("never".into(), seconds))?;
        writeln!(
            f,
            "checked         {} operations, {} keys in {} components, in {:.2} s",
            checked.operations,
            checked.keys,
            checked.components,
            self.findings.took.as_secs_f64()
        )?;
        let verdict = match &checked.verdict {
            Verdict::Linearizable => "linearizable",
            Verdict::NotLinearizable(_) => "NOT linearizable",
            Verdict::Unknown => "unknown",
        };
        write!(f, "verdict         {verdict}")
    }
}
