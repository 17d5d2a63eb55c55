//! How a demonstration shows nodes, logs and durations. Must never ask anything.

use std::time::Duration;

use comfy_table::{CellAlignment, Table, presets};
use raft::chaos::links::Links;
use raft::client::Reply;

use crate::commands::local::node::Node;
use crate::commands::local::view::View;

/// The table of nodes; what is wrong with their links in a column of its own, if anything is.
pub fn status(nodes: &[Node], views: &[Option<View>], links: &Links) -> String {
    let faults: Vec<String> =
        nodes.iter().map(|node| links_of(node.number, nodes, links)).collect();
    let mut header = vec!["node", "role", "term", "commit", "applied", "last", "process"];
    let any = faults.iter().any(|fault| !fault.is_empty());
    header.extend(any.then_some("links"));
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header(header);
    for ((node, view), fault) in nodes.iter().zip(views).zip(faults) {
        let row = row(node, view.as_ref());
        table.add_row(row.into_iter().chain(any.then_some(fault)));
    }
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
        if (2..7).contains(&column.index) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    let lines = table.lines().map(|line| line.trim_end().to_owned());
    lines.collect::<Vec<_>>().join("\n")
}

/// `cut off`, `cut from 1 3`, `200 ms later`; nothing if all is well.
fn links_of(number: usize, nodes: &[Node], links: &Links) -> String {
    let others = nodes.iter().map(|node| node.number).filter(|other| *other != number);
    let others: Vec<usize> = others.collect();
    let cut: Vec<usize> =
        others.iter().copied().filter(|other| !links.connects(number, *other)).collect();
    let delay = others.iter().map(|other| links.condition(number, *other).delay).max();
    let delay = delay.filter(|delay| !delay.is_zero());
    let mut faults = Vec::new();
    match cut[..] {
        [] => {}
        _ if cut.len() == others.len() => faults.push("cut off".to_owned()),
        _ => {
            let cut: Vec<String> = cut.iter().map(usize::to_string).collect();
            faults.push(format!("cut from {}", cut.join(" ")));
        }
    }
    faults.extend(delay.map(|delay| format!("{} later", duration(delay))));
    faults.join(", ")
}

fn row(node: &Node, view: Option<&View>) -> [String; 7] {
    let number = node.number.to_string();
    let process = node.pid().map_or("-".to_owned(), |pid| pid.to_string());
    let Some(view) = view else {
        let role = why_silent(node);
        let [term, commit, applied, last] = ["-"; 4].map(str::to_owned);
        return [number, role.to_owned(), term, commit, applied, last, process];
    };
    let numbers = [view.term, view.commit, view.applied, view.last].map(|n| n.to_string());
    let [term, commit, applied, last] = numbers;
    [number, view.role.clone(), term, commit, applied, last, process]
}

/// What to call a node that does not answer.
pub fn why_silent(node: &Node) -> &'static str {
    match (node.pid(), node.is_paused()) {
        (None, _) => "down",
        (_, true) => "paused",
        (_, false) => "silent",
    }
}

/// One node's last entries, each `INDEX@TERM`, marked up to what is committed.
pub fn log(number: usize, entries: &[Reply], committed: u64) -> String {
    let mut text = format!("node {number} ");
    for entry in entries {
        let Reply::Bulk(entry) = entry else { continue };
        let entry = String::from_utf8_lossy(entry);
        let position = entry.split_whitespace().next().unwrap_or_default();
        let index = position.split('@').next().and_then(|index| index.parse::<u64>().ok());
        let mark = if index.is_some_and(|index| index <= committed) { "*" } else { "" };
        text.push_str(&format!(" {}{mark}", raft::render::plain(position)));
    }
    text
}

/// `1.8 ms`, `212 ms`, `1.53 s`.
pub fn duration(duration: Duration) -> String {
    match duration.as_micros() {
        micros if micros < 10_000 => format!("{:.1} ms", micros as f64 / 1e3),
        micros if micros < 1_000_000 => format!("{} ms", micros / 1000),
        micros => format!("{:.2} s", micros as f64 / 1e6),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_as_the_contract_writes_them() {
        assert_eq!(duration(Duration::from_micros(1_840)), "1.8 ms");
        assert_eq!(duration(Duration::from_millis(212)), "212 ms");
        assert_eq!(duration(Duration::from_millis(1_530)), "1.53 s");
    }

    #[test]
    fn committed_entries_are_marked() {
        let entries = ["4@2 INCR hits", "5@3"].map(|entry| Reply::Bulk(entry.into()));
        assert_eq!(log(2, &entries, 4), "node 2  4@2* 5@3");
    }
}
