//! The comparison as a table and as JSON.

use comfy_table::{CellAlignment, Table, presets};
use raft::bench::rounds::{self, Round, Sample, Verdict};
use serde::Serialize;

use super::report::{percent, rounded, took};

/// One row: a load, and what each round of it has found.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    pub operation: &'static str,
    pub clients: usize,
    pub pipeline: usize,
    pub transport: String,
    /// So many rounds must be clean.
    pub enough: usize,
    pub rounds: Vec<Round>,
}

/// A row as JSON has it.
#[derive(Serialize)]
struct Told<'a> {
    #[serde(flatten)]
    row: &'a Row,
    verdict: Option<Verdict>,
}

impl Row {
    fn verdict(&self) -> Option<Verdict> {
        rounds::verdict(&self.rounds, self.enough)
    }

    fn name(&self) -> String {
        let Row { operation, clients, pipeline, .. } = self;
        match pipeline {
            1 => format!("{operation} {clients}"),
            _ => format!("{operation} {clients} × {pipeline}"),
        }
    }

    fn cells(&self) -> Vec<String> {
        let mut cells = vec![self.name(), self.transport.clone()];
        let Some(verdict) = self.verdict() else { return cells };
        let Verdict { ours, theirs, .. } = verdict;
        let both = |figure: &dyn Fn(Sample) -> String| {
            let theirs = theirs.map_or("-".to_owned(), figure);
            format!("{} / {theirs}", figure(ours))
        };
        let most =
            |figure: fn(Sample) -> f64| percent(figure(ours).max(theirs.map_or(0.0, figure)));
        cells.extend([
            rounded(ours.rate),
            theirs.map_or("-".to_owned(), |theirs| rounded(theirs.rate)),
            ratio(&verdict),
            both(&|sample| took(sample.p50)),
            both(&|sample| took(sample.p99)),
            both(&|sample| format!("{:.1}", sample.cpu)),
            most(|sample| sample.foreign),
            most(|sample| sample.stolen),
            format!("{}/{}", verdict.clean, verdict.rounds),
        ]);
        cells
    }
}

fn ratio(verdict: &Verdict) -> String {
    match verdict.ratio {
        _ if verdict.noisy => "noisy".to_owned(),
        Some(ratio) => format!("{:.2} ({:.2}–{:.2})", ratio.median, ratio.min, ratio.max),
        None => "-".to_owned(),
    }
}

/// The lines of a table: the first `names` columns begin at the left, the rest, numbers, end at the
/// right.
pub fn laid_out(
    header: &[&str],
    rows: impl Iterator<Item = Vec<String>>,
    names: usize,
) -> Vec<String> {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header(header);
    table.add_rows(rows);
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
        if column.index >= names {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table.lines().map(|line| line.trim_end().to_owned()).collect()
}

/// For people.
pub fn text(rows: &[Row]) -> String {
    let header = [
        "load", "over", "ours/s", "Redis/s", "ratio", "p50", "p99", "CPU µs", "foreign", "stolen",
        "clean",
    ];
    let mut lines = laid_out(&header, rows.iter().map(Row::cells), 2);
    lines.push(
        "values of 64 bytes, 10,000 keys; medians of the clean rounds, ours / Redis; ratio of the same \
         round (lowest–highest); CPU of all processes for an operation"
            .to_owned(),
    );
    if rows.iter().filter_map(Row::verdict).any(|verdict| verdict.noisy) {
        lines.push(
            "noisy: other work took over 15 % of a core, or the hypervisor over 4 %, in too many \
             rounds; figures of such rows are of all rounds, and not to be quoted"
                .to_owned(),
        );
    }
    lines.join("\n")
}

/// One line of JSON: rows with their rounds.
pub fn json(rows: &[Row]) -> serde_json::Result<String> {
    let told: Vec<Told> = rows.iter().map(|row| Told { row, verdict: row.verdict() }).collect();
    serde_json::to_string(&told)
}
