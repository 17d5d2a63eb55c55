//! The few forms of MessagePack that are written, each as short as it can be. Must never take a
//! longer form where a shorter one does: one value has one spelling.

/// A number that is not negative.
#[inline]
pub fn number(out: &mut Vec<u8>, number: u64) {
    match number {
        0..0x80 => out.push(number as u8),
        0x80..0x100 => out.extend_from_slice(&[0xcc, number as u8]),
        0x100..0x1_0000 => marked(out, 0xcd, (number as u16).to_be_bytes()),
        0x1_0000..0x1_0000_0000 => marked(out, 0xce, (number as u32).to_be_bytes()),
        _ => marked(out, 0xcf, number.to_be_bytes()),
    }
}

/// Yes or no.
#[inline]
pub fn boolean(out: &mut Vec<u8>, yes: bool) {
    out.push(if yes { 0xc3 } else { 0xc2 });
}

/// The head of an array; its elements follow.
#[inline]
pub fn array(out: &mut Vec<u8>, length: usize) {
    match length {
        0..0x10 => out.push(0x90 | length as u8),
        0x10..0x1_0000 => marked(out, 0xdc, (length as u16).to_be_bytes()),
        _ => marked(out, 0xdd, longest(length).to_be_bytes()),
    }
}

/// Bytes of any kind.
#[inline]
pub fn bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    match bytes.len() {
        length @ 0..0x100 => out.extend_from_slice(&[0xc4, length as u8]),
        length @ 0x100..0x1_0000 => marked(out, 0xc5, (length as u16).to_be_bytes()),
        length => marked(out, 0xc6, longest(length).to_be_bytes()),
    }
    out.extend_from_slice(bytes);
}

/// A marker and what belongs to it, in one piece.
#[inline]
fn marked<const N: usize>(out: &mut Vec<u8>, marker: u8, number: [u8; N]) {
    let mut piece = [marker; 9];
    piece[1..=N].copy_from_slice(&number);
    out.extend_from_slice(&piece[..=N]);
}

/// Beyond this it is far beyond the limit of frames and of commands, and refused by whoever reads it.
fn longest(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}
