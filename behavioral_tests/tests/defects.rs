//! The seeded defects themselves: every patch applies to the present sources and says what must find
//! it; the list of those that are not yet; who has its turn; and what counts as a find.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use behavioral_tests::defects::selection::{Selection, rotation};
use behavioral_tests::defects::verdict::{Ended, Verdict, of_simulation, of_test};
use behavioral_tests::defects::{Defect, Detector, load, not_yet, parse_not_yet};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("a workspace").to_owned()
}

const GOOD: &str = "The term is not kept.
Over two lines.

Rule: paper, Figure 2
Found by: simulate within 50 seeds

--- a/states/src/one.rs
+++ b/states/src/one.rs
@@ -1,3 +1,3 @@
 one
-two
+2
 three
";

/// Whoever changes the sources so that a patch no longer applies learns it here.
#[test]
fn every_patch_applies_to_the_sources() {
    for defect in load(&root()).unwrap() {
        for (file, text) in defect.applied(&root()).unwrap() {
            let before = fs::read_to_string(root().join(file)).unwrap();
            let (old, new) = (before.lines().count(), text.lines().count());
            assert!(old.abs_diff(new) <= 6, "{}: a defect is small", defect.name);
        }
    }
}

/// A test that was renamed would no longer find anything.
#[test]
fn every_test_that_must_find_a_defect_exists() {
    for defect in load(&root()).unwrap() {
        let Detector::Test { target, name } = &defect.detector else { continue };
        let short = name.rsplit("::").next().unwrap();
        let folder = root().join("unit_tests");
        let sources = texts(&folder.join("tests"), target);
        let is_function = sources.iter().any(|text| text.contains(&format!("fn {short}(")));
        let is_script = folder.join("scripts").join(target).join(short).exists();
        assert!(is_function || is_script, "{}: no test {name} in {target}", defect.name);
    }
}

/// The sources of a test target: one file, a folder of them, or both.
fn texts(folder: &Path, target: &str) -> Vec<String> {
    let beside = fs::read_dir(folder.join(target)).into_iter().flatten();
    let files = beside.map(|file| file.unwrap().path());
    let files = files.chain([folder.join(format!("{target}.rs"))]);
    files.filter(|file| file.exists()).map(|file| fs::read_to_string(file).unwrap()).collect()
}

#[test]
fn what_is_not_yet_has_no_patch() {
    let missing = not_yet(&root()).unwrap();
    for defect in load(&root()).unwrap() {
        assert!(!missing.contains_key(&defect.name), "{} is seeded, and not yet", defect.name);
    }
}

#[test]
fn a_defect_is_read_from_its_file() {
    let defect = Defect::parse("term", GOOD).unwrap();
    assert_eq!(defect.summary, "The term is not kept. Over two lines.");
    assert_eq!(defect.rule, "paper, Figure 2");
    assert_eq!(defect.detector, Detector::Simulate { seeds: 50 });
    assert_eq!(defect.files().collect::<Vec<_>>(), ["states/src/one.rs"]);
    let test: Detector = "cargo test -p unit_tests --test paper figure_7".parse().unwrap();
    let expected = Detector::Test { target: "paper".to_owned(), name: "figure_7".to_owned() };
    assert_eq!(test, expected);
    for detector in [test, defect.detector] {
        assert_eq!(detector.to_string().parse::<Detector>().unwrap(), detector);
    }
}

#[test]
fn an_incomplete_file_is_refused() {
    for (part, by, complaint) in [
        ("The term is not kept.\nOver two lines.\n", "", "no line that says what is wrong"),
        ("Rule: paper, Figure 2\n", "", "no line `Rule: …`"),
        ("Found by: simulate within 50 seeds\n", "", "no line `Found by: …`"),
        ("simulate within 50 seeds", "simulate within ten seeds", "ten is no number"),
        ("simulate within 50 seeds", "reading", "is neither"),
        ("Rule: paper", "Rule: paper\nRule: paper", "two lines `Rule:`"),
        ("seeds\n", "seeds\nBudget: 3\n", "what is \"Budget: 3\"?"),
        ("--- a/states/src/one.rs\n", "", "no diff"),
        ("a/states/src/one.rs", "a/unit_tests/src/one.rs", "is no production source"),
        ("a/states/src/one.rs", "a/states/src/../tests/one.rs", "is no production source"),
    ] {
        assert!(GOOD.contains(part), "{part}");
        let error = Defect::parse("term", &GOOD.replacen(part, by, 1)).unwrap_err();
        assert!(format!("{error:#}").contains(complaint), "{error:#}, not {complaint}");
    }
}

#[test]
fn a_patch_applies_where_its_lines_are_and_nowhere_else() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir_all(folder.path().join("states/src")).unwrap();
    let file = folder.path().join("states/src/one.rs");
    let defect = Defect::parse("term", GOOD).unwrap();
    for (before, after) in [
        ("one\ntwo\nthree\n", Some("one\n2\nthree\n")),
        ("zero\none\ntwo\nthree\n", Some("zero\none\n2\nthree\n")),
        ("one\nTwo\nthree\n", None),
        ("one\n2\nthree\n", None),
        ("one\ntwo\nfour\n", None),
    ] {
        fs::write(&file, before).unwrap();
        match (defect.applied(folder.path()), after) {
            (Ok(found), Some(after)) => {
                assert_eq!(found, [("states/src/one.rs", after.to_owned())]);
            }
            (Err(error), None) => {
                assert!(format!("{error:#}").contains("no longer applies"), "{error:#}");
            }
            (found, _) => panic!("{before:?}: {found:?}"),
        }
        assert_eq!(fs::read_to_string(&file).unwrap(), before, "nothing is written");
    }
}

#[test]
fn the_list_of_what_is_not_yet_gives_a_reason_each() {
    let list = parse_not_yet("# Why.\nlease = \"no leases\"\nsnapshot = \"none\"\n").unwrap();
    assert_eq!(
        list.into_iter().collect::<Vec<_>>(),
        [("lease".to_owned(), "no leases".to_owned()), ("snapshot".to_owned(), "none".to_owned())]
    );
    for bad in ["lease = \"\"", "lease = 3", "lease = \"\"\"two\nlines\"\"\"", "lease", "[lease]"] {
        assert!(parse_not_yet(bad).is_err(), "{bad}");
    }
}

#[test]
fn every_defect_has_its_turn() {
    for total in 1..60_usize {
        for count in 1..8 {
            let turns = total.div_ceil(count) as u64;
            for first in [0, 1, 17, 1 << 40] {
                let mut seen = BTreeSet::new();
                for turn in first..first + turns {
                    let places = rotation(total, count, turn);
                    assert!((1..=count).contains(&places.len()), "{total}, {count} a turn: {turn}");
                    assert!(places.iter().all(|place| seen.insert(*place)), "none twice");
                }
                assert_eq!(seen, (0..total).collect(), "{total}, {count} a turn, from {first}");
            }
        }
    }
    assert_eq!(rotation(10, 0, 3), [0; 0]);
}

#[test]
fn a_selection_keeps_the_order_and_knows_all_names() {
    let defects = || ["a", "b", "c", "d"].map(|name| Defect::parse(name, GOOD).unwrap()).to_vec();
    let names = |selection: Selection| -> Vec<String> {
        selection.of(defects()).unwrap().into_iter().map(|defect| defect.name).collect()
    };
    assert_eq!(names(Selection::All), ["a", "b", "c", "d"]);
    assert_eq!(names(Selection::Only(vec!["d".to_owned(), "b".to_owned()])), ["b", "d"]);
    assert_eq!(names(Selection::Sample { count: 2, turn: 0 }), ["a", "c"]);
    assert_eq!(names(Selection::Sample { count: 2, turn: 1 }), ["b", "d"]);
    assert!(Selection::Only(vec!["e".to_owned()]).of(defects()).is_err());
}

fn ended(code: Option<i32>, output: &str) -> Ended {
    Ended { code, output: output.to_owned() }
}

/// Only what the simulator reports is a find; a run that ended in any other way proves nothing.
#[test]
fn a_find_of_the_simulator_names_its_seed() {
    let found = of_simulation(&ended(Some(1), "n1 …\n\nseed 17: stale: an answer\nrepeat: …\n"));
    let by = "stale: an answer".to_owned();
    assert_eq!(found, Verdict::Found { after: "17 seeds".to_owned(), by });
    let assert = of_simulation(&ended(Some(1), "seed 2: panicked at states/src/log.rs:9:9:\ngap"));
    assert!(matches!(assert, Verdict::Found { .. }), "{assert:?}");
    assert_eq!(of_simulation(&ended(Some(0), "seeds       40\n")), Verdict::Missed);
    for (code, output) in [
        (None, "seed 17: stale: an answer"),
        (Some(101), "seed 17 did not fail again: panicked"),
        (Some(2), "simulate: unknown option"),
        (Some(1), "seeds cannot fail like this: 1"),
        (Some(1), "seed 4: panicked at behavioral_tests/simulation/src/lib.rs:60:9:\nno"),
    ] {
        let verdict = of_simulation(&ended(code, output));
        assert!(matches!(verdict, Verdict::Broken(_)), "{output}: {verdict:?}");
    }
}

/// A test finds a defect if it ran and failed; one that does not exist passes too.
#[test]
fn a_find_of_a_test_names_it() {
    let failed = "running 1 test\ntest a::b ... FAILED\n";
    let found = of_test("a::b", &ended(Some(101), failed));
    let by = "a::b".to_owned();
    assert_eq!(found, Verdict::Found { after: "a test".to_owned(), by });
    assert_eq!(of_test("a::b", &ended(Some(0), "test a::b ... ok\n")), Verdict::Missed);
    for (code, output) in [
        (Some(0), "running 0 tests\n"),
        (Some(101), "test a::c ... FAILED\n"),
        (Some(101), "error: unknown flag"),
        (None, failed),
    ] {
        let verdict = of_test("a::b", &ended(code, output));
        assert!(matches!(verdict, Verdict::Broken(_)), "{output}: {verdict:?}");
    }
}
