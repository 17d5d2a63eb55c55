//! What a connection remembers, and the commands that it answers by itself, without the log. Must
//! never touch the store.

use messages::LogPosition;
use servers::host::Status;
use states::Role;

use super::once::Once;
use super::own::Told;
use super::{Door, config, info, own};
use crate::limits::Files;
use crate::store::arguments::Arguments;
use crate::store::commands;
use crate::store::reply::{self, NOT_AN_INTEGER};

/// The Redis whose behaviour this is.
pub const REDIS_VERSION: &str = "7.0.15";

/// The longest name that a connection can have, bytes.
const MAX_NAME: usize = 1024;

/// What a connection speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// Until a client asks for another.
    Resp2,
    /// After `HELLO 3`.
    Resp3,
}

impl Protocol {
    /// Opens a map: so many pairs follow.
    pub fn put_map(self, pairs: usize, out: &mut Vec<u8>) {
        match self {
            Protocol::Resp2 => reply::array(out, 2 * pairs),
            Protocol::Resp3 => out.extend_from_slice(format!("%{pairs}\r\n").as_bytes()),
        }
    }

    /// Nil.
    pub fn put_null(self, out: &mut Vec<u8>) {
        match self {
            Protocol::Resp2 => reply::null(out),
            Protocol::Resp3 => out.extend_from_slice(b"_\r\n"),
        }
    }

    /// Nil where an array was expected.
    pub fn put_null_array(self, out: &mut Vec<u8>) {
        match self {
            Protocol::Resp2 => out.extend_from_slice(b"*-1\r\n"),
            Protocol::Resp3 => out.extend_from_slice(b"_\r\n"),
        }
    }

    /// A text for people.
    pub fn put_text(self, text: &str, out: &mut Vec<u8>) {
        match self {
            Protocol::Resp2 => reply::bulk(out, text.as_bytes()),
            Protocol::Resp3 => {
                let length = text.len() + 4;
                out.extend_from_slice(format!("={length}\r\ntxt:{text}\r\n").as_bytes());
            }
        }
    }
}

/// A connection's memory.
pub struct Session {
    id: u64,
    name: Vec<u8>,
    /// What it speaks.
    pub protocol: Protocol,
    /// Whether it takes old answers to reads.
    pub reads_stale: bool,
    /// Whether it closes when its replies are written.
    pub ends: bool,
    /// Where its last write stands in the log, if this node knows.
    pub position: Option<LogPosition>,
}

/// What a connection can say about its node.
pub struct Node<'a> {
    /// The door that it came in by.
    pub door: &'a Door,
    /// The node at this moment.
    pub status: &'a dyn Fn() -> Status,
    /// The same in JSON, with its cluster and what its files take.
    pub describe: &'a dyn Fn(Option<Files>) -> Option<String>,
    /// What the batch asks for beyond that.
    pub told: &'a Told,
}

/// One request.
pub(super) struct Call<'a> {
    pub node: &'a Node<'a>,
    /// All of it, as the log spells requests.
    request: &'a [u8],
    /// Behind the command's name.
    pub arguments: Arguments<'a>,
    pub out: &'a mut Vec<u8>,
}

struct Command {
    name: &'static str,
    /// As in [`commands::Command`]; of a subcommand, with its container counted.
    arity: i32,
    handler: fn(&mut Session, Call),
}

const fn command(name: &'static str, arity: i32, handler: fn(&mut Session, Call)) -> Command {
    Command { name, arity, handler }
}

static COMMANDS: [Command; 24] = [
    command("ping", -1, Session::ping),
    command("echo", 2, Session::echo),
    command("hello", -1, Session::hello),
    command("select", 2, Session::select),
    command("client", -2, Session::client),
    command("command", -1, Session::command),
    command("info", -1, Session::info),
    command("config", -2, Session::config),
    command("time", 1, Session::time),
    command("readonly", 1, Session::readonly),
    command("readwrite", 1, Session::readwrite),
    command("quit", -1, Session::quit),
    command("reset", 1, Session::reset),
    // What these do is done when they are met: by `transactions`.
    command("multi", 1, Session::done),
    command("discard", 1, Session::done),
    command("watch", -2, Session::done),
    command("unwatch", 1, Session::done),
    command("raft.status", 1, own::status),
    command("raft.position", 1, own::position),
    command("raft.log", 2, own::log),
    command("raft.snapshot", 1, own::snapshot),
    command("raft.session", -1, Session::raft_once),
    command("raft.do", -1, Session::raft_once),
    command("raft.outcome", -1, Session::raft_once),
];

static CLIENT: [Command; 4] = [
    command("client|setname", 3, Session::client_setname),
    command("client|getname", 2, Session::client_getname),
    command("client|id", 2, Session::client_id),
    command("client|setinfo", 4, Session::client_setinfo),
];

static COMMAND: [Command; 2] = [
    command("command|count", 2, Session::command_count),
    command("command|docs", -2, Session::command_docs),
];

static CONFIG: [Command; 1] = [command("config|get", -3, Session::config_get)];

/// Whether there is such a command, of a connection's own or of sessions.
pub fn is_command(name: &[u8]) -> bool {
    COMMANDS.iter().any(|command| command.name.as_bytes().eq_ignore_ascii_case(name))
}

/// Whether a batch must end with this command: what comes behind it is to be read in its light.
pub fn ends_batch(name: &[u8]) -> bool {
    [&b"readonly"[..], b"readwrite"].iter().any(|ends| name.eq_ignore_ascii_case(ends))
}

/// Whether a request is a connection's own, with its subcommand and a number of arguments that these
/// take: what else is wrong with it is found out when it is executed.
pub fn accepts(request: &[u8]) -> bool {
    let Some(mut arguments) = Arguments::decode(request) else { return false };
    let count = arguments.len();
    let Some(command) = find(&COMMANDS, 0, arguments.shift()) else { return false };
    let (container, known) = match command.name {
        "client" => ("client", &CLIENT[..]),
        "command" if count > 1 => ("command", &COMMAND[..]),
        "config" => ("config", &CONFIG[..]),
        _ => return commands::takes(command.arity, count),
    };
    let subcommand = find(known, container.len() + 1, arguments.shift());
    subcommand.is_some_and(|subcommand| commands::takes(subcommand.arity, count))
}

/// The command that has this name behind its prefix, in any case.
fn find(known: &'static [Command], prefix: usize, name: &[u8]) -> Option<&'static Command> {
    known.iter().find(|known| name.eq_ignore_ascii_case(&known.name.as_bytes()[prefix..]))
}

impl Session {
    /// The memory of a new connection.
    pub fn new(id: u64) -> Session {
        Session {
            id,
            name: Vec::new(),
            protocol: Protocol::Resp2,
            reads_stale: false,
            ends: false,
            position: None,
        }
    }

    /// Answers a request that is not the store's, or that nobody knows.
    pub fn execute(&mut self, node: &Node, request: &[u8], out: &mut Vec<u8>) {
        let Some(mut arguments) = Arguments::decode(request) else { return };
        let all = arguments.clone();
        let name = arguments.shift();
        if let Some(known) = commands::find(name) {
            return known.refuse(all, out);
        }
        match find(&COMMANDS, 0, name) {
            Some(known) => self.call(known, all.len(), Call { node, request, arguments, out }),
            None => reply::unknown_command(out, all),
        }
    }

    fn call(&mut self, command: &Command, count: usize, call: Call) {
        if commands::takes(command.arity, count) {
            (command.handler)(self, call);
        } else {
            reply::wrong_arity(call.out, command.name);
        }
    }

    fn subcommand(&mut self, container: &str, known: &'static [Command], mut call: Call) {
        let count = 1 + call.arguments.len();
        let name = call.arguments.shift();
        match find(known, container.len() + 1, name) {
            Some(sub) => self.call(sub, count, call),
            None => reply::unknown_subcommand(call.out, container, name),
        }
    }

    fn ping(&mut self, mut call: Call) {
        match call.arguments.len() {
            0 => reply::status(call.out, "PONG"),
            1 => reply::bulk(call.out, call.arguments.shift()),
            _ => reply::wrong_arity(call.out, "ping"),
        }
    }

    fn echo(&mut self, mut call: Call) {
        reply::bulk(call.out, call.arguments.shift());
    }

    fn select(&mut self, mut call: Call) {
        match reply::parse_decimal(call.arguments.shift()) {
            Some(0) => reply::ok(call.out),
            Some(index) if i32::try_from(index).is_ok() => {
                reply::error(call.out, "ERR DB index is out of range");
            }
            Some(_) => reply::error(
                call.out,
                "ERR value is out of range, value must between -2147483648 and 2147483647",
            ),
            None => reply::error(call.out, NOT_AN_INTEGER),
        }
    }

    fn quit(&mut self, call: Call) {
        self.ends = true;
        reply::ok(call.out);
    }

    /// As a new connection, but for its number.
    fn reset(&mut self, call: Call) {
        *self = Session { position: self.position, ..Session::new(self.id) };
        reply::status(call.out, "RESET");
    }

    fn done(&mut self, call: Call) {
        reply::ok(call.out);
    }

    fn readonly(&mut self, call: Call) {
        self.reads_stale = true;
        reply::ok(call.out);
    }

    fn readwrite(&mut self, call: Call) {
        self.reads_stale = false;
        reply::ok(call.out);
    }

    fn time(&mut self, call: Call) {
        let now = (call.node.door.settings.wall)().0;
        reply::array(call.out, 2);
        reply::bulk(call.out, (now / 1_000_000).to_string().as_bytes());
        reply::bulk(call.out, (now % 1_000_000).to_string().as_bytes());
    }

    fn hello(&mut self, mut call: Call) {
        let protocol = match call.arguments.next().map(reply::parse_decimal) {
            None => self.protocol,
            Some(Some(2)) => Protocol::Resp2,
            Some(Some(3)) => Protocol::Resp3,
            Some(Some(_)) => return reply::error(call.out, "NOPROTO unsupported protocol version"),
            Some(None) => {
                let text = "ERR Protocol version is not an integer or out of range";
                return reply::error(call.out, text);
            }
        };
        if self.hello_options(&mut call) {
            self.protocol = protocol;
            self.put_hello(call);
        }
    }

    /// Reads `AUTH user password` and `SETNAME name`; answers what is wrong with them. There is no
    /// password yet, so the default user comes in with any, as in Redis.
    fn hello_options(&mut self, call: &mut Call) -> bool {
        while let Some(option) = call.arguments.next() {
            let more = call.arguments.len();
            if option.eq_ignore_ascii_case(b"AUTH") && more >= 2 {
                let user = call.arguments.shift();
                call.arguments.shift();
                if user != b"default" {
                    let text = "WRONGPASS invalid username-password pair or user is disabled.";
                    reply::error(call.out, text);
                    return false;
                }
            } else if option.eq_ignore_ascii_case(b"SETNAME") && more >= 1 {
                if !self.set_name(call.arguments.shift(), call.out) {
                    return false;
                }
            } else {
                let option = reply::quotable(option, usize::MAX);
                let text = [b"ERR Syntax error in HELLO option '", option, b"'"].concat();
                reply::error_bytes(call.out, &text);
                return false;
            }
        }
        true
    }

    fn put_hello(&self, call: Call) {
        let out = call.out;
        let leads = (call.node.status)().role == Role::Leader;
        let version = if self.protocol == Protocol::Resp3 { 3 } else { 2 };
        self.protocol.put_map(7, out);
        reply::bulk(out, b"server");
        reply::bulk(out, b"redis");
        reply::bulk(out, b"version");
        reply::bulk(out, REDIS_VERSION.as_bytes());
        reply::bulk(out, b"proto");
        reply::integer(out, version);
        reply::bulk(out, b"id");
        reply::integer(out, self.id as i64);
        reply::bulk(out, b"mode");
        reply::bulk(out, b"standalone");
        reply::bulk(out, b"role");
        reply::bulk(out, if leads { b"master" } else { b"replica" });
        reply::bulk(out, b"modules");
        reply::array(out, 0);
    }

    fn client(&mut self, call: Call) {
        self.subcommand("CLIENT", &CLIENT, call);
    }

    fn client_setname(&mut self, mut call: Call) {
        if self.set_name(call.arguments.shift(), call.out) {
            reply::ok(call.out);
        }
    }

    /// Takes a name, or answers what is wrong with it.
    fn set_name(&mut self, name: &[u8], out: &mut Vec<u8>) -> bool {
        if !name.iter().all(u8::is_ascii_graphic) {
            let text = "ERR Client names cannot contain spaces, newlines or special characters.";
            reply::error(out, text);
            return false;
        }
        if name.len() > MAX_NAME {
            reply::error(out, &format!("ERR Client names cannot be over {MAX_NAME} bytes."));
            return false;
        }
        self.name = name.to_vec();
        true
    }

    fn client_getname(&mut self, call: Call) {
        if self.name.is_empty() {
            self.protocol.put_null(call.out);
        } else {
            reply::bulk(call.out, &self.name);
        }
    }

    fn client_id(&mut self, call: Call) {
        reply::integer(call.out, self.id as i64);
    }

    /// Client libraries tell what they are, unasked. It is checked as Redis 7.2 does, which brought
    /// the command, and not kept.
    fn client_setinfo(&mut self, mut call: Call) {
        let (option, value) = (call.arguments.shift(), call.arguments.shift());
        let known = ["lib-name", "lib-ver"];
        let Some(name) = known.iter().find(|name| option.eq_ignore_ascii_case(name.as_bytes()))
        else {
            let option = reply::quotable(option, usize::MAX);
            let text = [b"ERR Unrecognized option '", option, b"'"].concat();
            return reply::error_bytes(call.out, &text);
        };
        if value.iter().all(u8::is_ascii_graphic) {
            reply::ok(call.out);
        } else {
            let text = format!("ERR {name} cannot contain spaces, newlines or special characters.");
            reply::error(call.out, &text);
        }
    }

    /// `COMMAND` alone would list all commands with their flags; clients live without it.
    fn command(&mut self, call: Call) {
        if call.arguments.len() == 0 {
            reply::array(call.out, 0);
        } else {
            self.subcommand("COMMAND", &COMMAND, call);
        }
    }

    /// Only those come here that the log need not answer.
    fn raft_once(&mut self, call: Call) {
        if let Err(refusal) = Once::read(call.request) {
            call.out.extend_from_slice(&refusal);
        }
    }

    fn command_count(&mut self, call: Call) {
        reply::count(call.out, commands::all().len() + COMMANDS.len() + 1); // EXEC
    }

    fn command_docs(&mut self, call: Call) {
        self.protocol.put_map(0, call.out);
    }

    fn info(&mut self, call: Call) {
        let text = info::report(call.node, call.arguments);
        self.protocol.put_text(&text, call.out);
    }

    fn config(&mut self, call: Call) {
        self.subcommand("CONFIG", &CONFIG, call);
    }

    fn config_get(&mut self, call: Call) {
        let found = config::get(&call.node.door.settings, call.arguments);
        self.protocol.put_map(found.len(), call.out);
        for (name, value) in found {
            reply::bulk(call.out, &name);
            reply::bulk(call.out, value.as_bytes());
        }
    }
}
