//! How a request is spelt in a log entry: the number of its arguments, then each with its length
//! before it. Numbers are little-endian base 128, seven bits a byte, the high bit of all but the last
//! set. Must never change: logs hold it. Reading borrows and takes any bytes.

/// The most bytes that a number takes.
const MAX_NUMBER: usize = 5;

/// The arguments of a request, the command's name first. Borrows from its spelling.
#[derive(Clone, Debug)]
pub struct Arguments<'a> {
    left: usize,
    rest: &'a [u8],
}

impl<'a> Arguments<'a> {
    /// Reads a request, all of it, so that what follows cannot fail. `None` for anything else than
    /// at least one argument, exactly filling `bytes`.
    pub fn decode(bytes: &'a [u8]) -> Option<Arguments<'a>> {
        let mut rest = bytes;
        let left = take_number(&mut rest)?;
        let arguments = Arguments { left, rest };
        for _ in 0..left {
            take_argument(&mut rest)?;
        }
        (left > 0 && rest.is_empty()).then_some(arguments)
    }

    /// Whether a request begins with this name, in any case. Looks no further.
    pub fn are_named(bytes: &[u8], name: &[u8]) -> bool {
        let mut rest = bytes;
        let first = take_number(&mut rest).and_then(|_| take_argument(&mut rest));
        first.is_some_and(|first| first.eq_ignore_ascii_case(name))
    }

    /// The argument behind the name of what may be a request. Looks no further.
    pub fn first_behind_name(mut bytes: &[u8]) -> Option<&[u8]> {
        take_number(&mut bytes)?;
        take_argument(&mut bytes)?;
        take_argument(&mut bytes)
    }

    /// None.
    pub fn none() -> Arguments<'a> {
        Arguments { left: 0, rest: &[] }
    }

    /// Those that are left as a request of their own; takes no more memory than that.
    pub fn spell_rest(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(number_size(self.left) + self.rest.len());
        put_number(&mut bytes, self.left);
        bytes.extend_from_slice(self.rest);
        bytes
    }

    /// The next argument, or an empty one where arity was not checked.
    pub fn shift(&mut self) -> &'a [u8] {
        self.next().unwrap_or_default()
    }
}

impl<'a> Iterator for Arguments<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        self.left = self.left.checked_sub(1)?;
        take_argument(&mut self.rest)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl ExactSizeIterator for Arguments<'_> {}

fn take_argument<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = take_number(rest)?;
    let (argument, after) = rest.split_at_checked(length)?;
    *rest = after;
    Some(argument)
}

fn take_number(rest: &mut &[u8]) -> Option<usize> {
    let mut number = 0u64;
    for at in 0..MAX_NUMBER {
        let (&byte, after) = rest.split_first()?;
        *rest = after;
        number |= u64::from(byte & 0x7f) << (7 * at);
        if byte < 0x80 {
            return usize::try_from(number).ok();
        }
    }
    None
}

/// Spells a number: of arguments, or of the bytes that follow.
pub fn put_number(into: &mut Vec<u8>, mut number: usize) {
    while number >= 0x80 {
        into.push(0x80 | (number & 0x7f) as u8);
        number >>= 7;
    }
    into.push(number as u8);
}

/// Bytes that [`put_number`] takes.
pub fn number_size(number: usize) -> usize {
    let bits = usize::BITS - number.leading_zeros();
    bits.div_ceil(7).max(1) as usize
}

/// Spells a request, in as much memory as it needs.
pub fn encode<'a>(
    arguments: impl IntoIterator<Item = &'a [u8], IntoIter: ExactSizeIterator + Clone>,
) -> Vec<u8> {
    let arguments = arguments.into_iter();
    let sizes = arguments.clone().map(|argument| number_size(argument.len()) + argument.len());
    let mut bytes = Vec::with_capacity(number_size(arguments.len()) + sizes.sum::<usize>());
    put_number(&mut bytes, arguments.len());
    for argument in arguments {
        put_number(&mut bytes, argument.len());
        bytes.extend_from_slice(argument);
    }
    bytes
}
