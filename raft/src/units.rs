//! Durations and sizes as people write them: `50ms`, `2.5s`, `64MiB`. Must never guess: a bare
//! number is refused, except zero.

use std::time::Duration;

/// Reads `50ms`, `2.5s`, `1m`, `250us` or `0`; rounds to microseconds, which is what [`duration_text`]
/// prints.
pub fn duration(text: &str) -> Result<Duration, String> {
    let units = [("us", 1e-6), ("ms", 1e-3), ("s", 1.0), ("m", 60.0), ("h", 3600.0)];
    let seconds = quantity(text, &units).ok_or("a duration such as \"50ms\" or \"2.5s\"")?;
    let micros = (seconds * 1e6).round();
    if micros > (1_u64 << 53) as f64 {
        return Err("a shorter duration".into());
    }
    Ok(Duration::from_micros(micros as u64))
}

/// Reads `64MiB`, `512KiB`, `100B` or `0`. Powers of 1024 only: `MB` could mean either.
pub fn size(text: &str) -> Result<u64, String> {
    let kib = 1024.0;
    let units = [("B", 1.0), ("KiB", kib), ("MiB", kib * kib), ("GiB", kib * kib * kib)];
    let bytes = quantity(text, &units).ok_or("a size such as \"64MiB\" or \"512KiB\"")?;
    if bytes.fract() != 0.0 || bytes > (1_u64 << 53) as f64 {
        return Err("a whole number of bytes".into());
    }
    Ok(bytes as u64)
}

/// Prints a duration so that [`duration`] reads it back: `50ms`, `2.5s`.
pub fn duration_text(duration: Duration) -> String {
    let micros = duration.as_micros();
    if micros == 0 {
        "0".into()
    } else if !micros.is_multiple_of(1_000) {
        format!("{micros}us")
    } else if micros < 1_000_000 {
        format!("{}ms", micros / 1_000)
    } else {
        format!("{}s", duration.as_secs_f64())
    }
}

/// Prints a size so that [`size`] reads it back: `64MiB`, `100B`.
pub fn size_text(bytes: u64) -> String {
    let units = [("GiB", 30), ("MiB", 20), ("KiB", 10)];
    let fitting = units.iter().find(|(_, shift)| bytes > 0 && bytes.is_multiple_of(1 << shift));
    match fitting {
        Some((unit, shift)) => format!("{}{unit}", bytes >> shift),
        None => format!("{bytes}B"),
    }
}

/// Prints a size for people: `812 B`, `12.3 MiB`. Rounded: not to be read back.
pub fn rounded_size(bytes: u64) -> String {
    let units = [("GiB", 30), ("MiB", 20), ("KiB", 10)];
    match units.iter().find(|(_, shift)| bytes >= 1 << shift) {
        Some((unit, shift)) => format!("{:.1} {unit}", bytes as f64 / (1_u64 << shift) as f64),
        None => format!("{bytes} B"),
    }
}

/// A number and one of the units, in the units' own base; negative and odd numbers are none.
fn quantity(text: &str, units: &[(&str, f64)]) -> Option<f64> {
    if text == "0" {
        return Some(0.0);
    }
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.')?;
    let (number, unit) = text.split_at(end);
    let factor = units.iter().find(|(name, _)| *name == unit.trim_start())?.1;
    if !number.starts_with(|c: char| c.is_ascii_digit()) || number.ends_with('.') {
        return None;
    }
    Some(number.parse::<f64>().ok()? * factor)
}
