//! Redis's patterns: `*`, `?`, `[a-c]`, `[^x]` and `\` before a byte that is meant itself. Must
//! never recurse, nor take more than length of pattern × length of text steps.

/// Whether `text` matches `pattern`, as Redis decides it, oddities included: an unclosed `[` is closed
/// by the pattern's end, and no pattern but the empty one matches an empty text.
pub fn matches(pattern: &[u8], text: &[u8]) -> bool {
    if text.is_empty() {
        return pattern.is_empty();
    }
    let (mut at, mut pattern_at) = (0, 0);
    // Where to go on from when what follows the last star does not match: only the last one counts,
    // since an earlier one that took more would leave it less.
    let mut retry: Option<(usize, usize)> = None;
    while at < text.len() {
        if pattern.get(pattern_at) == Some(&b'*') {
            pattern_at += 1;
            retry = Some((at, pattern_at));
            continue;
        }
        match element(pattern, pattern_at, text[at]) {
            Some(next) => {
                at += 1;
                pattern_at = next;
            }
            None => {
                let Some((star_at, after)) = retry else { return false };
                retry = Some((star_at + 1, after));
                at = star_at + 1;
                pattern_at = after;
            }
        }
    }
    pattern[pattern_at..].iter().all(|&byte| byte == b'*')
}

/// Matches one byte with the element at `at`; returns where the next one begins.
fn element(pattern: &[u8], at: usize, byte: u8) -> Option<usize> {
    match *pattern.get(at)? {
        b'?' => Some(at + 1),
        b'[' => class(pattern, at + 1, byte),
        b'\\' if at + 1 < pattern.len() => (pattern[at + 1] == byte).then_some(at + 2),
        own => (own == byte).then_some(at + 1),
    }
}

/// Matches one byte with the class whose first member is at `at`.
fn class(pattern: &[u8], mut at: usize, byte: u8) -> Option<usize> {
    let negated = pattern.get(at) == Some(&b'^');
    at += usize::from(negated);
    let mut found = false;
    loop {
        match pattern[at..] {
            [] => break,
            [b'\\', own, ..] => {
                found |= own == byte;
                at += 2;
            }
            [b']', ..] => {
                at += 1;
                break;
            }
            [first, b'-', last, ..] => {
                found |= is_between(byte, first, last);
                at += 3;
            }
            [own, ..] => {
                found |= own == byte;
                at += 1;
            }
        }
    }
    (found != negated).then_some(at)
}

/// Whether `byte` lies between the two, whichever is less. Bytes count as signed, as they do in
/// Redis on the machines that most people run it on.
fn is_between(byte: u8, one: u8, other: u8) -> bool {
    let (byte, one, other) = (byte as i8, one as i8, other as i8);
    (one.min(other)..=one.max(other)).contains(&byte)
}
