//! One load of one server as a sample. Must never make a sample of a server that failed.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use anyhow::{Context, anyhow};
use raft::bench::findings::Findings;
use raft::bench::rounds::Sample;
use raft::bench::{Load, generator};
use raft::exit::{self, Failure};

/// Loads a server, which people call `name`.
///
/// # Errors
/// If it cannot be reached, loses connections, does not answer, or answers nothing but errors.
pub fn sample(load: &Load, name: &str) -> anyhow::Result<Sample> {
    found(load, name).map(|(_, sample)| sample)
}

/// The same with all that was found.
///
/// # Errors
/// As [`sample`].
pub fn found(load: &Load, name: &str) -> anyhow::Result<(Findings, Sample)> {
    let findings = generator::run(load)?;
    let sample = judged(load, name, &findings)?;
    Ok((findings, sample))
}

/// Loads a server for as long as something else is done, within the load's time. What came of that,
/// and what the load has found.
///
/// # Errors
/// As [`sample`], and if what is done fails.
pub fn beside<T>(
    load: &Load,
    name: &str,
    work: impl FnOnce() -> anyhow::Result<T>,
) -> anyhow::Result<(T, Findings, Sample)> {
    let stop = AtomicBool::new(false);
    let (done, findings) = thread::scope(|scope| {
        let loading = scope.spawn(|| generator::run_until(load, &stop));
        let done = work();
        stop.store(true, Ordering::Relaxed);
        (done, loading.join())
    });
    let done = done?;
    let findings = findings.map_err(|_| anyhow!("{name}: the load has ended in a panic"))??;
    let sample = judged(load, name, &findings)?;
    Ok((done, findings, sample))
}

/// What was found as a sample, if the server has not failed.
fn judged(load: &Load, name: &str, findings: &Findings) -> anyhow::Result<Sample> {
    let Load { operation, clients, pipeline, .. } = load;
    let what = || format!("{name}, {} of {clients} × {pipeline}", operation.name());
    if let Some(trouble) = findings.trouble() {
        return Err(Failure::new(exit::UNAVAILABLE, format!("{}: {trouble}", what())).into());
    }
    Sample::of(findings).with_context(|| format!("{}: nothing was measured", what()))
}

/// The first sample in which the machine did no other work, of so many tries; else the last one. A
/// sample is taken with the number of its try, as a seed.
pub fn first_clean(
    tries: u64,
    mut sample: impl FnMut(u64) -> anyhow::Result<Sample>,
) -> anyhow::Result<Sample> {
    for seed in 1..tries {
        let taken = sample(seed)?;
        if !taken.noisy {
            return Ok(taken);
        }
    }
    sample(tries)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(noisy: bool, rate: f64) -> Sample {
        let figure = 1.0;
        Sample {
            rate,
            p50: figure,
            p99: figure,
            cpu: figure,
            generator: figure,
            foreign: figure,
            stolen: figure,
            noisy,
        }
    }

    #[test]
    fn a_noisy_sample_is_taken_again_and_a_clean_one_is_not() {
        for (noisy, tries) in [(&[false][..], 1), (&[true, false], 2), (&[true, true, true], 3)] {
            let mut seen = 0;
            let last = first_clean(3, |seed| {
                seen += 1;
                assert_eq!(seed, seen as u64);
                Ok(taken(noisy[seen - 1], seed as f64))
            });
            assert_eq!(seen, tries);
            assert_eq!(last.expect("taken"), taken(noisy[tries - 1], tries as f64));
        }
    }

    #[test]
    fn a_server_that_fails_is_not_tried_again() {
        let mut seen = 0;
        let failed = first_clean(3, |_| {
            seen += 1;
            anyhow::bail!("it is gone")
        });
        assert_eq!((failed.expect_err("failed").to_string(), seen), ("it is gone".to_owned(), 1));
    }
}
