//! Reads the frozen bytes that `make.py` made.

use std::collections::BTreeMap;

/// The lines of one file, `name: hex`.
pub fn read(file: &'static str) -> BTreeMap<&'static str, Vec<u8>> {
    let bytes = |hex: &str| {
        let digits = hex.as_bytes().chunks(2).map(|pair| std::str::from_utf8(pair).unwrap());
        digits.map(|pair| u8::from_str_radix(pair, 16).unwrap()).collect()
    };
    file.lines()
        .map(|line| line.split_once(": ").expect("a name and hex"))
        .map(|(name, hex)| (name, bytes(hex)))
        .collect()
}
