//! Explores small worlds: `explore --config M1 [--depth N] [--states N] [--threads N]`, or all of them
//! without `--config`. Exits 1 if a rule is broken, and prints the way there as a golden script; or if
//! a run that no option cut short did not meet what its setting must.

use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use models::{Explored, Limits, RULES, SETTINGS, Setting};

const USAGE: &str = "usage: explore [--config NAME] [--depth N] [--states N] [--threads N]";

struct Options {
    setting: Option<&'static Setting>,
    depth: Option<usize>,
    states: Option<usize>,
    threads: usize,
}

fn main() -> ExitCode {
    match options() {
        Ok(options) => run(&options),
        Err(error) => {
            eprintln!("explore: {error:#}\n{USAGE}");
            for setting in SETTINGS {
                eprintln!("  {:<3} {}", setting.name, setting.about);
            }
            ExitCode::from(2)
        }
    }
}

fn options() -> Result<Options> {
    let mut options = Options { setting: None, depth: None, states: None, threads: 2 };
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let value = words.next().with_context(|| format!("{word} wants a value"))?;
        match word.as_str() {
            "--config" => {
                let setting = Setting::named(&value);
                options.setting = Some(setting.with_context(|| format!("no world is {value}"))?);
            }
            "--depth" => options.depth = Some(value.parse()?),
            "--states" => options.states = Some(value.parse()?),
            "--threads" => options.threads = value.parse()?,
            _ => bail!("unknown option {word}"),
        }
    }
    Ok(options)
}

fn run(options: &Options) -> ExitCode {
    print_panics();
    println!("checked: {}", RULES.map(|rule| rule.to_string()).join(" · "));
    let settings =
        SETTINGS.iter().filter(|one| options.setting.is_none_or(|only| only.name == one.name));
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
    if options.setting.is_none() {
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
