//! `raft status`: the cluster as one node sees it, filled up with what the leader and the other
//! members say of themselves.

use std::io::IsTerminal;
use std::thread;
use std::time::Duration;

use comfy_table::{CellAlignment, Table, presets};
use raft::client::{Client, Reply};
use raft::cluster::Cluster;
use raft::exit::{self, Failure};
use raft::print;
use raft::status::{ClusterStatus, MemberStatus};

use crate::options;

/// What a member may take to answer: one that is slow counts as one that is silent.
const MEMBER_TIMEOUT: Duration = Duration::from_secs(1);

/// Runs the subcommand.
pub fn status(options: options::Status) -> anyhow::Result<()> {
    let mut cluster = Cluster::new(options.at.as_deref())?;
    if !options.watch {
        return show(&mut cluster, &options);
    }
    loop {
        if std::io::stdout().is_terminal() {
            print::text("\x1b[H\x1b[2J")?;
        }
        if let Err(error) = show(&mut cluster, &options) {
            match exit::verdict(&error) {
                (exit::UNAVAILABLE, None) => (),
                (exit::UNAVAILABLE, Some(line)) => print::line(line)?,
                _ => return Err(error),
            }
        }
        thread::sleep(Duration::from_secs(1));
    }
}

fn show(cluster: &mut Cluster, options: &options::Status) -> anyhow::Result<()> {
    let status = whole_view(ask(cluster)?);
    if options.output == "json" {
        print::line(serde_json::to_string(&status)?)?;
    } else {
        print::line(table(&status))?;
        if options.limits {
            print::line(limits(&status))?;
        }
    }
    match status.leader {
        Some(_) => Ok(()),
        None => Err(Failure::quiet(exit::UNAVAILABLE).into()),
    }
}

fn ask(cluster: &mut Cluster) -> anyhow::Result<ClusterStatus> {
    let reply = cluster.call(&["RAFT.STATUS"]).map_err(|error| error.failure())?;
    let answer = match &reply {
        Reply::Bulk(json) => serde_json::from_slice(json).ok(),
        _ => None,
    };
    let wrong = || format!("{} gives no status: is it a node of raft?", cluster.address());
    Ok(answer.ok_or_else(|| Failure::new(exit::FAILED, wrong()))?)
}

/// What the asked node said, with each member's own word on its role and its log, and the leader's
/// word on the followers.
fn whole_view(mut status: ClusterStatus) -> ClusterStatus {
    let answers: Vec<Option<ClusterStatus>> = thread::scope(|scope| {
        let asked: Vec<_> = status
            .members
            .iter()
            .map(|member| scope.spawn(|| ask_member(&member.address)))
            .collect();
        asked.into_iter().map(|thread| thread.join().ok().flatten()).collect()
    });
    // An answer of another cluster at a member's address says nothing of this one.
    let ours = answers.iter().flatten().filter(|answer| answer.cluster == status.cluster);
    let ours: Vec<&ClusterStatus> = ours.collect();
    let leader = ours.iter().filter(|answer| answer.role == "leader").max_by_key(|a| a.term);
    if let Some(leader) = leader.filter(|leader| leader.term >= status.term) {
        status.leader = Some(leader.node.clone());
        status.leader_address = leader.leader_address.clone();
        status.term = leader.term;
        status.survives = leader.survives;
    }
    for member in &mut status.members {
        let said = |answer: &&ClusterStatus| -> Option<MemberStatus> {
            answer.members.iter().find(|row| row.name == member.name).cloned()
        };
        let by_itself = ours.iter().find(|answer| answer.node == member.name).and_then(said);
        let by_leader = leader.and_then(said);
        fill(member, by_itself, by_leader);
    }
    status
}

fn fill(
    member: &mut MemberStatus,
    by_itself: Option<MemberStatus>,
    by_leader: Option<MemberStatus>,
) {
    match (by_itself, &by_leader) {
        (Some(own), _) => {
            member.role = own.role;
            member.commit = own.commit;
            member.applied = own.applied;
            member.last = own.last;
        }
        (None, Some(seen)) => member.role = seen.role.clone(),
        (None, None) => member.role = Some("silent".into()),
    }
    if let Some(seen) = by_leader {
        member.matched = seen.matched;
        member.lag_ms = seen.lag_ms;
    }
}

fn ask_member(address: &str) -> Option<ClusterStatus> {
    let mut client = Client::connect(address, MEMBER_TIMEOUT).ok()?;
    match client.call(&["RAFT.STATUS"]).ok()? {
        Reply::Bulk(json) => serde_json::from_slice(&json).ok(),
        _ => None,
    }
}

fn table(status: &ClusterStatus) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header(["node", "address", "role", "match", "commit", "applied", "last", "heard"]);
    for member in &status.members {
        let number = |number: Option<u64>| number.map_or("-".into(), |number| number.to_string());
        table.add_row([
            member.name.clone(),
            member.address.clone(),
            member.role.clone().unwrap_or_else(|| "-".into()),
            number(member.matched),
            number(member.commit),
            number(member.applied),
            number(member.last),
            member.lag_ms.map_or("-".into(), |lag| format!("{lag} ms ago")),
        ]);
    }
    for column in table.column_iter_mut().skip(3) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    format!("{}\n{}", table.trim_fmt(), summary(status))
}

/// What the asked node holds, beside what it may.
fn limits(status: &ClusterStatus) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header(["holds", "used", "limit", "key", "at the limit"]);
    for limit in &status.limits {
        table.add_row([
            limit.name.replace('_', " "),
            limit.used_text(),
            limit.limit_text(),
            limit.key.clone().unwrap_or_else(|| "-".into()),
            limit.then.clone(),
        ]);
    }
    format!("\nnode {}\n{}", status.node, table.trim_fmt())
}

fn summary(status: &ClusterStatus) -> String {
    let Some(leader) = &status.leader else {
        return format!("term {}, no leader; writes wait for one", status.term);
    };
    let survives = match status.survives {
        None => String::new(),
        Some(1) => "; survives 1 more failure".into(),
        Some(number) if number >= 0 => format!("; survives {number} more failures"),
        Some(_) => "; without a majority: writes wait".into(),
    };
    format!("term {}, leader {leader}{survives}", status.term)
}
