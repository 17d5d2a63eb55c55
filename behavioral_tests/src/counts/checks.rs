//! What must hold between the acknowledged counts and the value at the end. Pure.

/// What does not hold: one sentence each, none if all is well. `finals` are reads of the value after
/// the last count, one after the other.
pub fn violations(answers: &[i64], uncertain: u64, finals: &[i64]) -> Vec<String> {
    let acknowledged = answers.len() as i64;
    let most = acknowledged + uncertain as i64;
    let mut violations = Vec::new();
    if let Some(&least) = finals.iter().min().filter(|least| **least < acknowledged) {
        let lost = acknowledged - least;
        violations.push(format!(
            "{lost} counts are lost: the final value {least} lies below {acknowledged} acknowledged"
        ));
    }
    if let Some(&value) = finals.iter().max().filter(|value| **value > most) {
        violations.push(format!(
            "{} counts are too many: the final value {value} lies above {acknowledged} acknowledged + \
             {uncertain} uncertain",
            value - most
        ));
    }
    if let Some(pair) = finals.windows(2).find(|pair| pair[0] > pair[1]) {
        violations.push(format!("the final value fell from {} to {}", pair[0], pair[1]));
    }
    let last = finals.last().copied().unwrap_or(0);
    let outside = answers.iter().filter(|answer| !(1..=last).contains(*answer)).count();
    if outside > 0 {
        violations.push(format!("{outside} answers lie outside 1 to the final value {last}"));
    }
    violations.extend(repeated(answers));
    violations
}

fn repeated(answers: &[i64]) -> Option<String> {
    let mut sorted = answers.to_vec();
    sorted.sort_unstable();
    let mut pairs = sorted.windows(2).filter(|pair| pair[0] == pair[1]).map(|pair| pair[0]);
    let first = pairs.next()?;
    Some(format!("{} answers were given before, the lowest is {first}", 1 + pairs.count()))
}
