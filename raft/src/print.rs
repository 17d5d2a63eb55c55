//! Results on stdout. `println!` panics when the reader of a pipe has gone away; here that is an
//! error like any other, which travels up with `?` and ends the program quietly.

use std::fmt::Display;
use std::io::{self, Write};

use crate::exit::{self, Failure};

/// Prints a line on stdout, at once.
pub fn line(text: impl Display) -> Result<(), Failure> {
    write(format_args!("{text}\n"))
}

/// Prints text on stdout as it is, at once.
pub fn text(text: impl Display) -> Result<(), Failure> {
    write(format_args!("{text}"))
}

fn write(text: impl Display) -> Result<(), Failure> {
    let mut stdout = io::stdout().lock();
    write!(stdout, "{text}").and_then(|()| stdout.flush()).map_err(|error| match error.kind() {
        io::ErrorKind::BrokenPipe => Failure::quiet(0),
        _ => Failure::new(exit::FAILED, format!("cannot write to stdout: {error}")),
    })
}

/// Whether colour may be used on stdout: only on a terminal, and never with `NO_COLOR`.
pub fn colour() -> bool {
    use std::io::IsTerminal;
    let refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    !refused && io::stdout().is_terminal()
}
