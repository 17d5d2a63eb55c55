//! Two servers, measured in turns: what several rounds say together. Must never quote a round in which
//! the machine did other work, nor figures of different rounds against each other.

use serde::Serialize;

use super::findings::Findings;
use super::machine::Usage;

/// What one load has found of one server.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Sample {
    /// Operations a second.
    pub rate: f64,
    /// Microseconds, as the next.
    pub p50: f64,
    /// 99 of 100 took at most this.
    pub p99: f64,
    /// CPU of all its processes for an operation, in microseconds.
    pub cpu: f64,
    /// The generator's share of a core.
    pub generator: f64,
    /// Other work's share of a core.
    pub foreign: f64,
    /// What a hypervisor took, of the whole machine.
    pub stolen: f64,
    /// Whether that was too much.
    pub noisy: bool,
}

impl Sample {
    /// `None` if it never was measured.
    pub fn of(findings: &Findings) -> Option<Sample> {
        let Usage { generator, foreign, stolen, .. } = findings.usage?;
        let micros = |share| findings.latencies.quantile(share).as_secs_f64() * 1e6;
        Some(Sample {
            rate: findings.rate(),
            p50: micros(0.5),
            p99: micros(0.99),
            cpu: findings.cpu_per_operation()?.as_secs_f64() * 1e6,
            generator,
            foreign,
            stolen,
            noisy: findings.usage?.is_noisy(),
        })
    }

    /// It as one that is quoted with another: noisy if either is.
    #[must_use]
    pub fn quoted_with(self, other: &Sample) -> Sample {
        Sample {
            foreign: self.foreign.max(other.foreign),
            stolen: self.stolen.max(other.stolen),
            noisy: self.noisy || other.noisy,
            ..self
        }
    }
}

/// Both servers within one round; the second may be missing on this machine.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Round {
    /// Ours.
    pub ours: Sample,
    /// The one it is compared with.
    pub theirs: Option<Sample>,
}

impl Round {
    /// Whether it may be quoted.
    pub fn is_clean(&self) -> bool {
        !self.ours.noisy && !self.theirs.is_some_and(|theirs| theirs.noisy)
    }

    fn ratio(&self, figure: fn(&Sample) -> f64) -> Option<f64> {
        let theirs = figure(&self.theirs?);
        (theirs > 0.0).then(|| figure(&self.ours) / theirs)
    }
}

/// A middle, and how far the rest lies from it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Spread {
    /// Half are below.
    pub median: f64,
    /// The lowest.
    pub min: f64,
    /// The highest.
    pub max: f64,
}

impl Spread {
    /// Of some numbers; of none there is none.
    pub fn of(numbers: impl IntoIterator<Item = f64>) -> Option<Spread> {
        let mut sorted: Vec<f64> = numbers.into_iter().collect();
        sorted.sort_by(f64::total_cmp);
        let (min, max) = (*sorted.first()?, *sorted.last()?);
        let middle = sorted.len() / 2;
        let median = match sorted.len() % 2 {
            0 => f64::midpoint(sorted[middle - 1], sorted[middle]),
            _ => sorted[middle],
        };
        Some(Spread { median, min, max })
    }
}

/// What several rounds say.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Verdict {
    /// Our rate over theirs, round by round; `None` if too few rounds were clean, or there is no other.
    pub ratio: Option<Spread>,
    /// The same of the CPU for an operation.
    pub cpu: Option<Spread>,
    /// How many rounds were clean.
    pub clean: usize,
    /// Of so many.
    pub rounds: usize,
    /// Whether too few were.
    pub noisy: bool,
    /// Medians of the clean rounds; of all, if too few were clean.
    pub ours: Sample,
    /// The same of the other one.
    pub theirs: Option<Sample>,
}

/// What rounds say together, of which `enough` must be clean. `None` without rounds.
pub fn verdict(rounds: &[Round], enough: usize) -> Option<Verdict> {
    let clean: Vec<Round> = rounds.iter().copied().filter(Round::is_clean).collect();
    let noisy = clean.len() < enough;
    let told = if noisy { rounds } else { &clean };
    let ratio = |figure: fn(&Sample) -> f64| {
        let ratios: Option<Vec<f64>> = told.iter().map(|round| round.ratio(figure)).collect();
        ratios.filter(|_| !noisy).and_then(Spread::of)
    };
    Some(Verdict {
        ratio: ratio(|sample| sample.rate),
        cpu: ratio(|sample| sample.cpu),
        clean: clean.len(),
        rounds: rounds.len(),
        noisy,
        ours: middle(told.iter().map(|round| round.ours))?,
        theirs: middle(told.iter().filter_map(|round| round.theirs)),
    })
}

/// The median of each figure; of what others took, the most.
fn middle(samples: impl Iterator<Item = Sample>) -> Option<Sample> {
    let samples: Vec<Sample> = samples.collect();
    let spread = |figure: fn(&Sample) -> f64| Spread::of(samples.iter().map(figure));
    Some(Sample {
        rate: spread(|sample| sample.rate)?.median,
        p50: spread(|sample| sample.p50)?.median,
        p99: spread(|sample| sample.p99)?.median,
        cpu: spread(|sample| sample.cpu)?.median,
        generator: spread(|sample| sample.generator)?.median,
        foreign: spread(|sample| sample.foreign)?.max,
        stolen: spread(|sample| sample.stolen)?.max,
        noisy: samples.iter().any(|sample| sample.noisy),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(rate: f64, noisy: bool) -> Sample {
        let foreign = if noisy { 0.5 } else { 0.02 };
        let (p50, p99) = (1e6 / rate, 2e6 / rate);
        Sample { rate, p50, p99, cpu: 20.0, generator: 0.3, foreign, stolen: 0.0, noisy }
    }

    fn round(ours: f64, theirs: f64) -> Round {
        Round { ours: sample(ours, false), theirs: Some(sample(theirs, false)) }
    }

    fn disturbed(ours: f64, theirs: f64) -> Round {
        Round { ours: sample(ours, false), theirs: Some(sample(theirs, true)) }
    }

    #[test]
    fn ratios_are_of_the_same_round() {
        // The machine is twice as fast in the second round: the ratio is not.
        let rounds = [round(50.0, 100.0), round(100.0, 200.0), round(60.0, 100.0)];
        let verdict = verdict(&rounds, 3).expect("rounds");
        assert_eq!(verdict.ratio, Some(Spread { median: 0.5, min: 0.5, max: 0.6 }));
        assert_eq!((verdict.ours.rate, verdict.theirs.map(|one| one.rate)), (60.0, Some(100.0)));
    }

    #[test]
    fn the_cpu_for_an_operation_has_a_ratio_of_its_own() {
        let mut costly = round(50.0, 100.0);
        costly.ours.cpu *= 1.5;
        let verdict = verdict(&[costly], 1).expect("a round");
        assert_eq!(verdict.cpu, Some(Spread { median: 1.5, min: 1.5, max: 1.5 }));
        assert_eq!(super::verdict(&[disturbed(1.0, 1.0)], 1).and_then(|none| none.cpu), None);
    }

    #[test]
    fn what_is_quoted_with_a_noisy_one_is_noisy() {
        let (quiet, noisy) = (sample(50.0, false), sample(70.0, true));
        assert_eq!(quiet.quoted_with(&quiet), quiet);
        let both = quiet.quoted_with(&noisy);
        assert_eq!((both.rate, both.noisy, both.foreign), (50.0, true, 0.5));
        assert_eq!(noisy.quoted_with(&quiet), noisy);
    }

    #[test]
    fn a_noisy_round_is_left_out() {
        let rounds = [round(50.0, 100.0), disturbed(50.0, 10.0), round(70.0, 100.0)];
        let verdict = verdict(&rounds, 2).expect("rounds");
        assert_eq!((verdict.clean, verdict.rounds, verdict.noisy), (2, 3, false));
        assert_eq!(verdict.ratio, Some(Spread { median: 0.6, min: 0.5, max: 0.7 }));
        assert!(verdict.ours.foreign < 0.1, "of the clean rounds");
    }

    #[test]
    fn too_few_clean_rounds_have_no_ratio() {
        let rounds = [round(50.0, 100.0), disturbed(50.0, 10.0), disturbed(1.0, 1.0)];
        let verdict = verdict(&rounds, 2).expect("rounds");
        assert!(verdict.noisy && verdict.ratio.is_none());
        assert_eq!(verdict.ours.rate, 50.0, "figures of all, not to be quoted");
        assert_eq!(verdict.ours.foreign.max(verdict.theirs.map_or(0.0, |one| one.foreign)), 0.5);
    }

    #[test]
    fn without_the_other_there_is_no_ratio_and_no_noise_of_it() {
        let alone = Round { ours: sample(50.0, false), theirs: None };
        let verdict = verdict(&[alone], 1).expect("a round");
        assert!(verdict.ratio.is_none() && !verdict.noisy && verdict.theirs.is_none());
        assert_eq!(super::verdict(&[], 1), None);
    }

    #[test]
    fn the_median_of_an_even_number_lies_between_two() {
        let spread = Spread { median: 2.5, min: 1.0, max: 9.0 };
        assert_eq!(Spread::of([9.0, 2.0, 1.0, 3.0]), Some(spread));
        assert_eq!(Spread::of([]), None);
    }
}
