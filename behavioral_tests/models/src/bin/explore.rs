//! Explores small worlds, one or all of them. Exits 1 if a rule is broken, and prints the way there as
//! a golden script; or if a run that no option cut short did not meet what its setting must.

use std::process::ExitCode;
use std::sync::LazyLock;

use models::{Explored, Limits, RULES, SETTINGS, Setting};
use structopt::StructOpt;
use structopt::clap::AppSettings;

#[path = "../../../src/command_line.rs"]
mod command_line;

/// Explores small worlds exhaustively, within bounds
#[derive(StructOpt)]
#[structopt(
    name = "explore",
    setting = AppSettings::DisableVersion,
    after_help = WORLDS.as_str()
)]
struct Options {
    /// One world only
    #[structopt(long, value_name = "NAME", parse(try_from_str = setting))]
    config: Option<&'static Setting>,
    /// Stops at so many actions from the beginning
    #[structopt(long, value_name = "N")]
    depth: Option<usize>,
    /// Stops at so many states, repeats included [default: the world's own bound]
    #[structopt(long, value_name = "N")]
    states: Option<usize>,
    /// How many threads explore
    #[structopt(long, value_name = "N", default_value = "2")]
    threads: usize,
}

static WORLDS: LazyLock<String> = LazyLock::new(|| {
    let world = |one: &Setting| format!("\n    {:<3} {}", one.name, one.about);
    let worlds: String = SETTINGS.iter().map(world).collect();
    format!("WORLDS:{worlds}\n\nEXAMPLE:\n    explore --config M2 --threads 4")
});

fn setting(name: &str) -> Result<&'static Setting, String> {
    Setting::named(name).ok_or_else(|| format!("no world is '{name}'; --help names all"))
}

fn main() -> ExitCode {
    let options: Options = command_line::read();
    print_panics();
    println!("checked: {}", RULES.map(|rule| rule.to_string()).join(" · "));
    let settings =
        SETTINGS.iter().filter(|one| options.config.is_none_or(|only| only.name == one.name));
    for setting in settings {
        let states = options.states.unwrap_or(setting.states);
        let limits = Limits { depth: options.depth, states, threads: options.threads };
        println!("\n{}: {}", setting.name, setting.about);
        let explored = models::explore(setting, limits);
        print(&explored);
        let is_cut_short = options.depth.is_some() || options.states.is_some();
        if explored.broken.is_some() || !(is_cut_short || explored.missing().is_empty()) {
            return ExitCode::FAILURE;
        }
    }
    if options.config.is_none() {
        println!("\nnot yet: M4 (membership) and M5 (snapshots), as the rules have neither");
    }
    ExitCode::SUCCESS
}

fn print(explored: &Explored) {
    if let Some((rule, what, script)) = &explored.broken {
        println!("{script}\nbroken: {rule}: {what}\n(the way there is above, as a golden script)");
    }
    let seconds = explored.took.as_secs_f64();
    let left = match (explored.exhausted, explored.broken.is_some()) {
        (true, _) => "nothing within the bounds is left",
        (false, true) => "stopped at the first broken rule",
        (false, false) => "stopped at a limit: more is left",
    };
    println!(
        "explored: {} unique states, {} with repeats, depth {}, {seconds:.1} s, {:.0} states/s; {left}",
        explored.unique,
        explored.generated,
        explored.depth,
        explored.generated as f64 / seconds,
    );
    for (mark, count) in explored.marks() {
        println!("  met: {mark:<44} {count:>10}");
    }
    for mark in explored.missing() {
        println!("  never met: {mark}");
    }
}

/// An assert of the rules that fails is a finding like any other, and ends the process.
fn print_panics() {
    std::panic::set_hook(Box::new(|panic| {
        if let Some((script, action)) = models::underway() {
            println!("{script}\nand then: {action:?}\nbroken: an assert of the rules: {panic}");
            std::process::exit(1);
        }
        eprintln!("{panic}");
    }));
}
