//! The program `raft`. Reads the command line, hands it to a subcommand, and turns what comes back
//! into one line on stderr and an exit code.

mod commands;
mod options;

use std::io::{self, Write};
use std::process::{self, ExitCode};

use options::Options;
use raft::{exit, print};
use structopt::StructOpt;
use structopt::clap::ErrorKind;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    die_of_panics();
    let ended = parse().and_then(dispatch);
    let Err(error) = ended else { return ExitCode::SUCCESS };
    let (code, line) = exit::verdict(&error);
    if let Some(line) = line {
        complain(&line);
    }
    ExitCode::from(code)
}

fn dispatch(options: Options) -> anyhow::Result<()> {
    match options {
        Options::Demo(options) => commands::demo::demo(options),
        Options::Run(options) => commands::run::run(options),
        Options::Init(options) => commands::init::init(options),
        Options::Serve(options) => commands::serve::serve(options),
        Options::Cli(options) => commands::cli::cli(options),
        Options::CheckConfig(options) => commands::check_config::check_config(options),
        Options::Status(options) => commands::status::status(options),
        Options::Snapshot(options) => commands::snapshot::snapshot(options),
        Options::Inspect(options) => commands::inspect::inspect(options),
        Options::Bench(options) => commands::bench::bench(options),
        Options::Guard(options) => commands::local::guard::guard(options),
    }
}

/// Reads the command line. Help and version go to stdout and end well; clap itself would exit with 1
/// for a usage error.
fn parse() -> anyhow::Result<Options> {
    let version = commands::version();
    // clap would print it by itself, and panic or pass an odd error when that fails.
    if std::env::args_os().nth(1).is_some_and(|word| word == "--version" || word == "-V") {
        print::line(format_args!("raft {version}"))?;
        return Err(exit::Failure::quiet(0).into());
    }
    let matches =
        Options::clap().version(version.as_str()).get_matches_from_safe(std::env::args_os());
    let error = match matches {
        Ok(matches) => return Ok(Options::from_clap(&matches)),
        Err(error) => error,
    };
    match error.kind {
        ErrorKind::HelpDisplayed => {
            print::line(error.message.trim_end())?;
            Err(exit::Failure::quiet(0).into())
        }
        ErrorKind::MissingArgumentOrSubcommand => {
            let _ = writeln!(io::stderr(), "{}", error.message.trim_end());
            Err(exit::Failure::quiet(exit::USAGE).into())
        }
        _ => Err(exit::Failure::new(exit::USAGE, usage_text(&error.message)).into()),
    }
}

/// What was wrong, in one line, and where help is.
fn usage_text(message: &str) -> String {
    let what = message.split("\n\n").next().unwrap_or(message);
    let what = what.strip_prefix("error: ").unwrap_or(what);
    let subcommand = std::env::args().nth(1).filter(|word| is_subcommand(word));
    let help = subcommand.map_or("raft --help".into(), |name| format!("raft {name} --help"));
    format!("{}; see {help}", what.trim_end().trim_end_matches('.'))
}

fn is_subcommand(word: &str) -> bool {
    let names = [
        "demo",
        "run",
        "init",
        "serve",
        "cli",
        "check-config",
        "status",
        "snapshot",
        "inspect",
        "bench",
    ];
    names.contains(&word)
}

/// One line on stderr; a closed stderr is nobody's problem.
fn complain(line: &str) {
    let _ = writeln!(io::stderr(), "raft: {line}");
}

/// A panic in any thread ends the whole process at once: half a node must not go on.
fn die_of_panics() {
    std::panic::set_hook(Box::new(|panic| {
        complain(&format!("internal error, please report it: {panic}").replace('\n', " "));
        process::abort();
    }));
}
