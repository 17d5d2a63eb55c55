//! One series: what was measured at each cause, as a table, as JSON and as curves. Must never hide
//! that a series ended before its last cause, nor that a point is noisy.

use std::collections::BTreeMap;
use std::path::Path;

use raft::bench::rounds::Sample;
use serde::Serialize;

use crate::commands::bench::plots::{self, Axis, Curve, Panel};
use crate::commands::bench::report::{bytes, percent, rounded, took};
use crate::commands::bench::table::laid_out;

/// A figure that a series has at its points.
#[derive(Clone, Copy, Debug)]
pub struct Column {
    /// As JSON names it; those of a sample are `rate`, `p50`, `p99` and `cpu`.
    pub name: &'static str,
    /// As the table does.
    pub title: &'static str,
    /// How it is printed.
    pub unit: Unit,
}

/// What a figure counts.
#[derive(Clone, Copy, Debug)]
pub enum Unit {
    /// Things, or things a second.
    Number,
    /// Bytes.
    Bytes,
    /// Microseconds.
    Micros,
    /// One part of another.
    Share,
}

/// One panel of the picture: figures by name, drawn as so many times themselves.
#[derive(Clone, Copy, Debug)]
pub struct Drawn {
    /// What is drawn, with its unit.
    pub caption: &'static str,
    /// Each figure, and what it is called if there are several.
    pub figures: &'static [(&'static str, &'static str)],
    /// The figures' own unit in the picture's.
    pub scale: f64,
}

/// How a series is shown.
#[derive(Clone, Copy, Debug)]
pub struct Shown {
    /// What grows.
    pub cause: &'static str,
    /// The columns beside cause and load.
    pub columns: &'static [Column],
    /// The picture.
    pub panels: [Drawn; 2],
    /// What a reader should know.
    pub note: &'static str,
}

/// One point.
#[derive(Clone, Debug, Serialize)]
pub struct Point {
    /// The cause, for people.
    pub at: String,
    /// The cause, where it is a number.
    pub cause: Option<u64>,
    /// What was asked meanwhile.
    pub load: Option<String>,
    /// What that load has found.
    pub sample: Option<Sample>,
    /// All other figures.
    pub figures: BTreeMap<&'static str, f64>,
}

/// What was measured so far.
#[derive(Clone, Debug, Serialize)]
pub struct Series {
    /// Its name.
    pub series: &'static str,
    /// From the smallest cause on.
    pub points: Vec<Point>,
    /// Why it ends before the last cause.
    pub ended: Option<String>,
}

impl Point {
    /// A point without any figure.
    pub fn at(at: impl Into<String>, cause: Option<u64>) -> Point {
        Point { at: at.into(), cause, load: None, sample: None, figures: BTreeMap::new() }
    }

    /// The same with what a load has found.
    pub fn with(self, load: String, sample: Sample) -> Point {
        Point { load: Some(load), sample: Some(sample), ..self }
    }

    /// The same with one more figure.
    pub fn and(mut self, name: &'static str, value: f64) -> Point {
        self.figures.insert(name, value);
        self
    }

    fn figure(&self, name: &str) -> Option<f64> {
        let of = |figure: fn(&Sample) -> f64| self.sample.as_ref().map(figure);
        match name {
            "rate" => of(|sample| sample.rate),
            "p50" => of(|sample| sample.p50),
            "p99" => of(|sample| sample.p99),
            "cpu" => of(|sample| sample.cpu),
            other => self.figures.get(other).copied(),
        }
    }

    fn cells(&self, shown: &Shown) -> Vec<String> {
        let figures = shown.columns.iter().map(|column| {
            self.figure(column.name).map_or("-".to_owned(), |figure| column.unit.text(figure))
        });
        let mut cells = vec![self.at.clone()];
        cells.extend(self.load.clone());
        cells.extend(figures);
        if let Some(sample) = &self.sample {
            cells.push(percent(sample.foreign));
            cells.push(percent(sample.stolen));
            cells.push(if sample.noisy { "noisy" } else { "" }.to_owned());
        }
        cells
    }
}

impl Shown {
    fn is_of_bytes(&self, figure: &str) -> bool {
        let mut columns = self.columns.iter().filter(|column| column.name == figure);
        columns.any(|column| matches!(column.unit, Unit::Bytes))
    }
}

impl Unit {
    fn text(self, figure: f64) -> String {
        match self {
            Unit::Number => rounded(figure),
            Unit::Bytes => bytes(figure),
            Unit::Micros => took(figure),
            Unit::Share => format!("{figure:.2}"),
        }
    }
}

impl Series {
    /// For people.
    pub fn text(&self, shown: &Shown) -> String {
        let has_load = self.points.iter().any(|point| point.load.is_some());
        let mut header = vec![shown.cause];
        header.extend(has_load.then_some("load"));
        header.extend(shown.columns.iter().map(|column| column.title));
        if has_load {
            header.extend(["foreign", "stolen", ""]);
        }
        let rows = self.points.iter().map(|point| point.cells(shown));
        let mut lines = vec![format!("{}: {}", self.series, shown.note)];
        lines.extend(laid_out(&header, rows, if has_load { 2 } else { 1 }));
        lines.extend(self.ended.as_ref().map(|why| format!("ended early: {why}")));
        lines.join("\n")
    }

    /// Draws it into a file.
    pub fn draw(&self, shown: &Shown, path: &Path) -> anyhow::Result<()> {
        let mut names: Vec<String> = Vec::new();
        for point in &self.points {
            if !names.contains(&point.at) {
                names.push(point.at.clone());
            }
        }
        let panels = shown.panels.map(|drawn| self.panel(shown, &drawn, &names));
        plots::draw(path, &Axis { text: shown.cause.to_owned(), names }, &panels)
    }

    /// A curve for each load and figure. Noisy points are left out, but for bytes, which nodes take
    /// whoever else works.
    fn panel(&self, shown: &Shown, drawn: &Drawn, names: &[String]) -> Panel {
        let mut curves: Vec<Curve> = Vec::new();
        for point in &self.points {
            let is_noisy = point.sample.is_some_and(|sample| sample.noisy);
            let place = names.iter().position(|name| *name == point.at).expect("all are named");
            for (figure, title) in drawn.figures {
                let Some(value) = point.figure(figure) else { continue };
                if is_noisy && !shown.is_of_bytes(figure) {
                    continue;
                }
                let load = point.load.as_deref().unwrap_or_default();
                let words: Vec<&str> =
                    [load, title].into_iter().filter(|word| !word.is_empty()).collect();
                let name = words.join(", ");
                let at = curves.iter().position(|curve| curve.name == name).unwrap_or_else(|| {
                    curves.push(Curve { name, points: Vec::new() });
                    curves.len() - 1
                });
                curves[at].points.push((place, value * drawn.scale));
            }
        }
        Panel { caption: drawn.caption.to_owned(), curves }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHOWN: Shown = Shown {
        cause: "nodes",
        columns: &[
            Column { name: "rate", title: "operations/s", unit: Unit::Number },
            Column { name: "memory", title: "memory", unit: Unit::Bytes },
        ],
        panels: [
            Drawn { caption: "operations a second", figures: &[("rate", "")], scale: 1.0 },
            Drawn { caption: "p99 in ms", figures: &[("p99", "p99")], scale: 1e-3 },
        ],
        note: "how it is done",
    };

    fn sample(rate: f64, noisy: bool) -> Sample {
        Sample {
            rate,
            p50: 1.0,
            p99: 2_000.0,
            cpu: 1.0,
            generator: 0.1,
            foreign: 0.05,
            stolen: 0.0,
            noisy,
        }
    }

    fn series() -> Series {
        let point =
            |at: &str, load: &str, sample| Point::at(at, None).with(load.to_owned(), sample);
        let points = vec![
            point("3", "SET 1", sample(10_000.0, false)).and("memory", 2_048.0),
            point("3", "SET 2", sample(20_000.0, false)),
            point("5", "SET 1", sample(5_000.0, true)),
            point("5", "SET 2", sample(6_000.0, false)),
        ];
        Series { series: "nodes", points, ended: Some("no room for 7".into()) }
    }

    #[test]
    fn a_table_tells_what_is_noisy_and_why_it_ends() {
        let text = series().text(&SHOWN);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 7, "{text}");
        assert_eq!(lines[0], "nodes: how it is done");
        assert!(lines[2].contains("10,000") && lines[2].contains("2.00 KiB"), "{text}");
        let noisy = |line: &&str| line.contains("noisy");
        assert!(noisy(&lines[4]) && lines.iter().filter(|line| noisy(line)).count() == 1, "{text}");
        assert_eq!(lines[6], "ended early: no room for 7");
    }

    #[test]
    fn each_load_has_a_curve_without_its_noisy_points() {
        let names = ["3".to_owned(), "5".to_owned()];
        let [rates, times] = SHOWN.panels.map(|drawn| series().panel(&SHOWN, &drawn, &names));
        let curve = |panel: &Panel, name: &str| {
            let found = panel.curves.iter().find(|curve| curve.name == name);
            found.map(|curve| curve.points.clone())
        };
        assert_eq!(curve(&rates, "SET 1"), Some(vec![(0, 10_000.0)]));
        assert_eq!(curve(&rates, "SET 2"), Some(vec![(0, 20_000.0), (1, 6_000.0)]));
        assert_eq!(curve(&times, "SET 2, p99"), Some(vec![(0, 2.0), (1, 2.0)]));
    }

    #[test]
    fn bytes_are_drawn_of_noisy_points_too() {
        let drawn = Drawn { caption: "KiB", figures: &[("memory", "")], scale: 1.0 / 1_024.0 };
        let point = Point::at("3", None).with("SET 1".to_owned(), sample(1.0, true));
        let points = vec![point.and("memory", 2_048.0)];
        let series = Series { series: "time", points, ended: None };
        let panel = series.panel(&SHOWN, &drawn, &["3".to_owned()]);
        assert_eq!(panel.curves.len(), 1);
        assert_eq!(panel.curves[0].points, [(0, 2.0)]);
    }
}
