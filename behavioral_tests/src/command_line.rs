//! Reads a program's command line; programs of other packages of tests include this file. Must never
//! do what an option asks for.

use std::io::{self, Write};
use std::process;

use structopt::StructOpt;

/// What a wrong command line ends a program with, as it does `raft` itself.
const USAGE: i32 = 2;

/// The options that this process was started with. Help ends the process well, and a wrong command
/// line ends it with 2; clap itself would end it with 1.
pub fn read<T: StructOpt>() -> T {
    T::from_args_safe().unwrap_or_else(|error| {
        let text = error.message.trim_end();
        // Who started it may have closed the pipe.
        if error.use_stderr() {
            let _ = writeln!(io::stderr(), "{text}");
            process::exit(USAGE);
        }
        let _ = writeln!(io::stdout(), "{text}");
        process::exit(0);
    })
}
