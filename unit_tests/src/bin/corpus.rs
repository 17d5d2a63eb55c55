//! Makes the corpus of the properties: `cargo run -p unit_tests --bin corpus -- TARGET [FOLDER...]`
//! searches random inputs, or tries the files of the folders (what a fuzzer found), and keeps those
//! that meet cases in a combination that no file of `unit_tests/corpus/TARGET` meets yet, the
//! shortest first; one that meets a case for the first time goes before all others. Must never remove a file: some are there for what they once found.

use std::path::{Path, PathBuf};
use std::{fs, io};

use states::random::SplitMix64;
use structopt::StructOpt;
use structopt::clap::AppSettings;
use unit_tests::properties::{Marks, TARGETS, Target};

#[path = "../../../behavioral_tests/src/command_line.rs"]
mod command_line;

/// Inputs to search.
const SEARCHED: usize = 20_000;
/// Files of a corpus that come from here; the others are left for what is found later.
const MOST: usize = 120;
/// Bytes of a file.
const LONGEST: usize = 4096;

/// Makes the corpus of a property: of random inputs, or of what a fuzzer found
#[derive(StructOpt)]
#[structopt(
    name = "corpus",
    setting = AppSettings::DisableVersion,
    after_help = "EXAMPLE:\n    corpus wal_open unit_tests/fuzz/corpus/wal_open"
)]
struct Options {
    /// The property
    #[structopt(value_name = "TARGET", parse(try_from_str = target))]
    target: &'static Target,
    /// Folders of inputs to try, instead of random ones
    #[structopt(value_name = "FOLDER", parse(from_os_str))]
    folders: Vec<PathBuf>,
}

fn target(name: &str) -> Result<&'static Target, String> {
    let names = || TARGETS.each_ref().map(|target| target.name).join(", ");
    let target = TARGETS.iter().find(|target| target.name == name);
    target.ok_or_else(|| format!("no property is '{name}'; there are {}", names()))
}

fn main() -> io::Result<()> {
    let Options { target, folders } = command_line::read();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target.name);
    fs::create_dir_all(&folder)?;
    let met = read(&folder)?.iter().map(|input| (target.check)(input)).collect();
    let mut corpus = Corpus { target, folder, met };
    let tried: Vec<(Vec<u8>, Marks)> = candidates(target, &folders)?
        .into_iter()
        .map(|input| {
            let marks = (target.check)(&input);
            (input, marks)
        })
        .collect();
    for (input, marks) in &tried {
        if !marks.is_subset(&corpus.cases()) {
            corpus.keep(input, marks)?;
        }
    }
    for (input, marks) in &tried {
        if corpus.met.len() < MOST && !corpus.met.contains(marks) {
            corpus.keep(input, marks)?;
        }
    }
    let seen = corpus.cases();
    let missing: Vec<&&str> = target.marks.iter().filter(|mark| !seen.contains(**mark)).collect();
    println!("{} files; cases not met: {missing:?}", corpus.met.len());
    Ok(())
}

/// A folder of inputs.
struct Corpus {
    target: &'static Target,
    folder: PathBuf,
    /// The cases that each of them meets.
    met: Vec<Marks>,
}

impl Corpus {
    /// All cases met.
    fn cases(&self) -> Marks {
        self.met.iter().flatten().copied().collect()
    }

    fn keep(&mut self, input: &[u8], marks: &Marks) -> io::Result<()> {
        let mut number = self.met.len();
        while self.folder.join(format!("case-{number:03}")).exists() {
            number += 1;
        }
        let cases: Vec<&str> = marks.iter().copied().collect();
        println!("{}/case-{number:03}: {}", self.target.name, cases.join(", "));
        self.met.push(marks.clone());
        fs::write(self.folder.join(format!("case-{number:03}")), input)
    }
}

/// Inputs, the shortest first.
fn candidates(target: &Target, folders: &[PathBuf]) -> io::Result<Vec<Vec<u8>>> {
    let mut candidates = Vec::new();
    for folder in folders {
        candidates.extend(read(folder)?);
    }
    if folders.is_empty() {
        let mut random = SplitMix64::new(4);
        candidates.extend((0..SEARCHED).map(|_| drawn(&mut random, target.longest)));
    }
    candidates.retain(|input| input.len() <= LONGEST);
    candidates.sort_by_key(Vec::len);
    Ok(candidates)
}

/// Random bytes; small ones are more often decisions.
fn drawn(random: &mut SplitMix64, longest: usize) -> Vec<u8> {
    use rand::RngExt;
    let small = random.random_bool(0.3);
    let length = random.random_range(0..longest);
    let byte = |random: &mut SplitMix64| random.random::<u8>();
    (0..length).map(|_| if small { byte(random) % 24 } else { byte(random) }).collect()
}

fn read(folder: &Path) -> io::Result<Vec<Vec<u8>>> {
    let mut paths: Vec<PathBuf> =
        fs::read_dir(folder)?.map(|file| Ok(file?.path())).collect::<io::Result<_>>()?;
    paths.sort();
    paths.iter().map(fs::read).collect()
}
