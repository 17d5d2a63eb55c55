//! What each line does. Must never send a command twice unless it certainly was not sent the first
//! time. What is done to links is in `cuts`, what is done under load and judged in `trial`.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{anyhow, bail};
use raft::chaos::history::{Connection, History};
use raft::chaos::load::Load;
use raft::client::{CallError, Client, Holds, Lost, Reply, reason};
use raft::render;

use super::line::{HELP, Line, Target};
use super::show;
use crate::commands::local::cluster::Cluster;

/// What came of a line.
#[derive(Debug)]
pub enum Answer {
    /// To be printed; nothing if empty.
    Text(String),
    /// To be printed, and the line has failed: the cluster refused it.
    Refused(String),
    /// The end was asked for.
    Quit,
}

/// A cluster and the connections that lines go over.
#[derive(Debug)]
pub struct Session {
    /// The cluster.
    pub cluster: Cluster,
    /// To the cluster: one connection to one node, as long as that works.
    connection: Option<(usize, Connection)>,
    lost: Lost,
    /// Where the last write over it stands.
    position: Option<String>,
    /// To each node, for `at`: what `READONLY` does there stays there.
    direct: Vec<Option<Connection>>,
    /// What lines, load and chaos asked and heard.
    pub(super) history: Arc<History>,
    /// What counts in the background.
    pub(super) load: Option<Load>,
    /// How many loads there were: each has keys of its own.
    pub(super) loads: usize,
}

impl Session {
    /// A session with a cluster that runs.
    pub fn new(cluster: Cluster) -> Session {
        let direct = cluster.nodes.iter().map(|_| None).collect();
        Session {
            cluster,
            connection: None,
            lost: Lost::default(),
            position: None,
            direct,
            history: History::new(),
            load: None,
            loads: 0,
        }
    }

    /// Runs a line to its end. An error is a line that failed.
    pub fn run(&mut self, line: &str) -> anyhow::Result<Answer> {
        let line = Line::parse(line, self.cluster.nodes.len()).map_err(|error| anyhow!(error))?;
        self.mourn()?;
        match line {
            Line::Empty => Ok(Answer::Text(String::new())),
            Line::Quit => Ok(Answer::Quit),
            Line::Client(words) => self.client(&words),
            Line::At(number, words) => self.at(number, &words).map(Answer::Text),
            Line::Status => Ok(Answer::Text(self.status())),
            Line::Log(count) => self.log(count).map(Answer::Text),
            Line::Kill(target) => self.kill(target).map(Answer::Text),
            Line::Restart(number) => self.restart(number).map(Answer::Text),
            Line::Pause(target) => self.pause(target).map(Answer::Text),
            Line::Resume(number) => self.resume(number).map(Answer::Text),
            Line::Partition(groups) => self.partition(&groups).map(Answer::Text),
            Line::Isolate(target) => self.isolate(target).map(Answer::Text),
            Line::Slow(target, delay) => self.slow(target, delay).map(Answer::Text),
            Line::Heal => self.heal().map(Answer::Text),
            Line::Load(true) => self.load_on().map(Answer::Text),
            Line::Load(false) => self.load_off().map(Answer::Text),
            Line::Chaos(time) => self.chaos(time).map(Answer::Text),
            Line::Verify => Ok(self.verify()),
            Line::Help => Ok(Answer::Text(HELP.to_owned())),
        }
    }

    /// Notices nodes that have died on their own: that is never silent.
    fn mourn(&mut self) -> anyhow::Result<()> {
        let mut obituaries = Vec::new();
        for number in 1..=self.cluster.nodes.len() {
            if let Some(obituary) = self.cluster.node(number).ended() {
                self.disconnect(number);
                obituaries.push(obituary);
            }
        }
        if obituaries.is_empty() { Ok(()) } else { bail!("{}", obituaries.join("\n")) }
    }

    fn client(&mut self, words: &[Vec<u8>]) -> anyhow::Result<Answer> {
        let (reply, time) = self.call(words)?;
        let mut text = render::reply(&reply);
        if let Reply::Error(_) = reply {
            return Ok(Answer::Refused(text));
        }
        if let Some(position) = self.position() {
            text.push_str(&format!("\n  {position}, {}", show::duration(time)));
        }
        Ok(Answer::Text(text))
    }

    /// Asks the nodes in turn until one takes the command.
    fn call(&mut self, words: &[Vec<u8>]) -> anyhow::Result<(Reply, Duration)> {
        let mut refusals = Vec::new();
        for number in self.order() {
            let start = Instant::now();
            self.let_go(|connected| connected != number);
            if let Some(refusal) = self.lost.refuse(words) {
                return Ok((refusal, start.elapsed()));
            }
            let called = self.connect(number).and_then(|connection| connection.call(words));
            match called {
                Ok(reply) => return Ok((reply, start.elapsed())),
                Err(CallError::NotSent(error)) => {
                    self.disconnect(number);
                    refusals.push(format!("node {number}: {}", reason(&error)));
                }
                Err(CallError::Unknown(error)) => {
                    self.disconnect(number);
                    self.lost.refuse(words);
                    bail!(
                        "no answer from node {number} ({}): the outcome is unknown, it may or may \
                         not have been applied; read the key before repeating",
                        reason(&error)
                    );
                }
            }
        }
        match &refusals[..] {
            [] => bail!("no node runs; 'restart 1' starts one"),
            _ => bail!("{}; not sent, safe to repeat", refusals.join(", ")),
        }
    }

    /// Which nodes to ask: those that a majority hears before the others; of them first the one that
    /// is connected, else the leader.
    fn order(&mut self) -> Vec<usize> {
        let heard = self.cluster.heard();
        let connected = self.connection.as_ref().map(|(number, _)| *number);
        let connected = connected.filter(|number| heard.contains(number));
        let first = connected.or_else(|| self.cluster.leader().map(|(number, _)| number));
        let awake = self.cluster.nodes.iter().filter(|node| node.is_awake());
        let mut order: Vec<usize> = awake.map(|node| node.number).collect();
        order.sort_by_key(|number| (!heard.contains(number), Some(*number) != first));
        order
    }

    /// The connection for client commands, made to this node if there is none to it.
    fn connect(&mut self, number: usize) -> Result<&mut Connection, CallError> {
        if self.connection.as_ref().is_none_or(|(connected, _)| *connected != number) {
            let address = &self.cluster.nodes[number - 1].address;
            let patience = self.cluster.pace.client_patience();
            let connection = Connection::open(&self.history, address, patience);
            self.connection = Some((number, connection.map_err(CallError::NotSent)?));
            self.position = None;
        }
        Ok(&mut self.connection.as_mut().expect("just made").1)
    }

    /// Where the last command stands in the log, if it was a write and the node knows.
    fn position(&mut self) -> Option<String> {
        let (_, connection) = self.connection.as_mut()?;
        if connection.holds() == Holds::Queue {
            return None; // the question would be queued, too
        }
        let position = match connection.call(&[b"raft.position".to_vec()]) {
            Ok(Reply::Bulk(position)) => Some(render::plain(&String::from_utf8_lossy(&position))),
            _ => None,
        };
        // The node tells of the last write, which need not have been the last command.
        let before = std::mem::replace(&mut self.position, position.clone());
        position.filter(|position| before.as_ref() != Some(position))
    }

    /// Asks one node; what it answers is the answer, an error too.
    fn at(&mut self, number: usize, words: &[Vec<u8>]) -> anyhow::Result<String> {
        self.must_be_awake(number)?;
        let patience = self.cluster.pace.client_patience();
        let address = self.cluster.node(number).address.clone();
        let slot = &mut self.direct[number - 1];
        let mut connection = match slot.take() {
            Some(connection) => connection,
            None => Connection::open(&self.history, &address, patience)
                .map_err(|error| anyhow!("node {number}: {}", reason(&error)))?,
        };
        match connection.call(words) {
            Ok(reply) => {
                *slot = Some(connection);
                Ok(render::reply(&reply))
            }
            Err(error) => bail!("node {number}: {error}"),
        }
    }

    fn must_be_awake(&mut self, number: usize) -> anyhow::Result<()> {
        let node = self.cluster.node(number);
        if node.is_paused() {
            bail!("node {number} is paused; 'resume {number}' lets it go on");
        }
        if node.pid().is_none() {
            bail!("node {number} does not run; 'restart {number}' starts it");
        }
        Ok(())
    }

    fn status(&mut self) -> String {
        let views = self.cluster.views();
        show::status(&self.cluster.nodes, &views, &self.cluster.links)
    }

    fn log(&mut self, count: usize) -> anyhow::Result<String> {
        let views = self.cluster.views();
        let mut text = Vec::new();
        for number in 1..=views.len() {
            let committed = match &views[number - 1] {
                Some(view) => view.commit,
                None => {
                    let why = show::why_silent(self.cluster.node(number));
                    text.push(format!("node {number}  {why}"));
                    continue;
                }
            };
            let address = &self.cluster.nodes[number - 1].address;
            let mut connection = Client::connect(address, self.cluster.pace.client_patience())?;
            match connection.call(&["raft.log", &count.to_string()])? {
                Reply::Array(entries) => text.push(show::log(number, &entries, committed)),
                other => bail!("node {number}: {}", render::reply(&other)),
            }
        }
        text.push("* committed".to_owned());
        Ok(text.join("\n"))
    }

    fn kill(&mut self, target: Target) -> anyhow::Result<String> {
        let leader = self.cluster.leader();
        let number = resolve(target, leader.as_ref().map(|(number, _)| *number))?;
        let Some(pid) = self.cluster.node(number).pid() else {
            return Ok(format!("node {number} does not run; 'restart {number}' starts it"));
        };
        self.disconnect(number);
        let start = Instant::now();
        self.cluster.node(number).kill()?;
        let led = leader.as_ref().is_some_and(|(leader, _)| *leader == number);
        let role = if led { "leader, " } else { "" };
        let first = format!("killed node {number} ({role}process {pid})");
        Ok(format!("{first}\n{}", self.succession(start, leader.is_some() && !led)?))
    }

    fn restart(&mut self, number: usize) -> anyhow::Result<String> {
        let committed = self.cluster.committed();
        let node = self.cluster.node(number);
        let first = match (node.pid(), node.is_paused()) {
            (Some(_), true) => {
                return Ok(format!("node {number} is paused; 'resume {number}' lets it go on"));
            }
            (Some(pid), false) => format!("node {number} runs already (process {pid})"),
            (None, _) => {
                self.cluster.start_node(number)?;
                let pid = self.cluster.node(number).pid().unwrap_or_default();
                format!("node {number} runs again (process {pid})")
            }
        };
        if let Some(lack) = self.cluster.lacks_majority() {
            return Ok(format!("{first}; {lack}"));
        }
        self.cluster.wait_until_applied(committed)?;
        let cut_off = self.cluster.heard().len() < self.cluster.awake();
        let heard = if cut_off { " and are not cut off" } else { "" };
        Ok(format!("{first}; all that run{heard} have applied entry {committed}"))
    }

    fn pause(&mut self, target: Target) -> anyhow::Result<String> {
        let leader = self.cluster.leader();
        let number = resolve(target, leader.as_ref().map(|(number, _)| *number))?;
        let node = self.cluster.node(number);
        if node.is_paused() {
            return Ok(format!("node {number} is paused already"));
        }
        self.must_be_awake(number)?;
        self.disconnect(number);
        let start = Instant::now();
        self.cluster.node(number).pause()?;
        let led = leader.as_ref().is_some_and(|(leader, _)| *leader == number);
        let first = format!("paused node {number}{}", if led { " (leader)" } else { "" });
        Ok(format!("{first}\n{}", self.succession(start, leader.is_some() && !led)?))
    }

    fn resume(&mut self, number: usize) -> anyhow::Result<String> {
        let node = self.cluster.node(number);
        if !node.is_paused() {
            self.must_be_awake(number)?;
            return Ok(format!("node {number} is not paused"));
        }
        node.resume()?;
        Ok(format!("node {number} goes on"))
    }

    /// Who leads now, and how long nobody did.
    pub(super) fn succession(
        &mut self,
        start: Instant,
        leader_stays: bool,
    ) -> anyhow::Result<String> {
        if let Some(lack) = self.cluster.lacks_majority() {
            return Ok(lack);
        }
        let (number, view, gap) = self.cluster.wait_for_leader(start)?;
        let term = view.term;
        Ok(if leader_stays {
            format!("node {number} leads term {term}")
        } else {
            format!("no leader for {}; node {number} leads term {term}", show::duration(gap))
        })
    }

    /// Forgets connections to a node that will not answer on them.
    pub(super) fn disconnect(&mut self, number: usize) {
        self.direct[number - 1] = None;
        self.let_go(|connected| connected == number);
    }

    /// Forgets the connection for client commands if it is to such a node.
    fn let_go(&mut self, to: impl Fn(usize) -> bool) {
        if let Some((_, gone)) = self.connection.take_if(|(connected, _)| to(*connected)) {
            self.lost.note(gone.holds());
        }
    }
}

/// The number of the node that is meant.
pub fn resolve(target: Target, leader: Option<usize>) -> anyhow::Result<usize> {
    match target {
        Target::Node(number) => Ok(number),
        Target::Leader => leader.ok_or_else(|| anyhow!("nobody leads now")),
    }
}
