//! A small Redis client over one blocking connection, for the program's own subcommands and tests.
//! Must never send a command twice: what it cannot know, it says.

use std::fmt;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::Duration;

/// Replies longer than this are refused before memory is taken for them.
const MAX_BULK: usize = 512 << 20;
/// A line of the protocol (a status, an error, a number) is shorter than this.
const MAX_LINE: u64 = 64 << 10;
/// Arrays in arrays: no reply nests deeper.
const MAX_DEPTH: usize = 8;

/// A reply of the Redis protocol, version 2.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// A status such as `OK`.
    Status(String),
    /// An error, with its first word.
    Error(String),
    /// A number.
    Integer(i64),
    /// A string of bytes.
    Bulk(Vec<u8>),
    /// Nothing there.
    Nil,
    /// Several replies.
    Array(Vec<Reply>),
}

/// Why a command has no reply.
#[derive(Debug)]
pub enum CallError {
    /// Not a byte of it was sent: it certainly has no effect.
    NotSent(io::Error),
    /// It was sent, wholly or in part, and the connection broke or no answer came in time: it may or
    /// may not have an effect. The connection is of no more use.
    Unknown(io::Error),
}

/// What a connection holds that is lost with it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Holds {
    /// Nothing.
    #[default]
    Nothing,
    /// Keys that are watched.
    Watched,
    /// Commands that are queued behind `MULTI`, and perhaps keys that are watched.
    Queue,
}

/// Remembers that a connection went with what it held: what belongs to a transaction must not be sent
/// by itself over the next one.
#[derive(Clone, Copy, Debug, Default)]
pub struct Lost(bool);

impl Lost {
    /// A connection is gone.
    pub fn note(&mut self, held: Holds) {
        self.0 |= held != Holds::Nothing;
    }

    /// The reply to what must not be sent: to all up to what ends the transaction.
    pub fn refuse<W: AsRef<[u8]>>(&mut self, words: &[W]) -> Option<Reply> {
        const ENDS: [&[u8]; 4] = [b"exec", b"discard", b"unwatch", b"reset"];
        let lost = self.0;
        let name = words.first().map(AsRef::as_ref).unwrap_or_default();
        self.0 &= !ENDS.iter().any(|ends| name.eq_ignore_ascii_case(ends));
        let text = "EXECABORT the connection that held the transaction is gone; not applied";
        lost.then(|| Reply::Error(text.to_owned()))
    }
}

/// A connection.
#[derive(Debug)]
pub struct Client {
    address: String,
    stream: BufReader<TcpStream>,
    holds: Holds,
}

impl Client {
    /// Connects to `HOST:PORT`. `timeout` bounds the connecting, and each later read and write.
    pub fn connect(address: &str, timeout: Duration) -> io::Result<Client> {
        let mut last = io::Error::new(io::ErrorKind::NotFound, "no address of that name");
        for socket in address.to_socket_addrs()? {
            match TcpStream::connect_timeout(&socket, timeout) {
                Ok(stream) => return Client::over(stream, address, timeout),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    fn over(stream: TcpStream, address: &str, timeout: Duration) -> io::Result<Client> {
        stream.set_nodelay(true)?;
        let address = address.to_owned();
        let client = Client { address, stream: BufReader::new(stream), holds: Holds::default() };
        client.set_timeout(timeout)?;
        Ok(client)
    }

    /// The address it was connected to.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Bounds each later read and write.
    pub fn set_timeout(&self, timeout: Duration) -> io::Result<()> {
        self.stream.get_ref().set_read_timeout(Some(timeout))?;
        self.stream.get_ref().set_write_timeout(Some(timeout))
    }

    /// Sends one command and waits for its reply.
    pub fn call<W: AsRef<[u8]>>(&mut self, words: &[W]) -> Result<Reply, CallError> {
        self.check_open().map_err(CallError::NotSent)?;
        self.send(words).map_err(CallError::Unknown)?;
        let reply = self.receive().map_err(CallError::Unknown)?;
        if let Some(name) = words.first() {
            self.holds = self.holds_after(name.as_ref(), &reply);
        }
        Ok(reply)
    }

    /// What the server holds for it, by the answers to [`call`](Client::call).
    pub fn holds(&self) -> Holds {
        self.holds
    }

    fn holds_after(&self, name: &[u8], reply: &Reply) -> Holds {
        let Reply::Status(status) = reply else {
            // Whatever came of it, `EXEC` ends what was queued.
            let ends = self.holds == Holds::Queue && name.eq_ignore_ascii_case(b"exec");
            return if ends { Holds::Nothing } else { self.holds };
        };
        match (name.to_ascii_lowercase().as_slice(), status.as_str()) {
            (b"multi", "OK") => Holds::Queue,
            (b"watch", "OK") => Holds::Watched,
            (b"discard" | b"unwatch", "OK") | (b"reset", _) => Holds::Nothing,
            _ => self.holds,
        }
    }

    /// Sends one command without waiting: replies come in the order of the commands.
    pub fn send<W: AsRef<[u8]>>(&mut self, words: &[W]) -> io::Result<()> {
        self.stream.get_mut().write_all(&request(words))
    }

    /// Sends several commands at once without waiting: replies come in the order of the commands.
    pub fn send_all<W: AsRef<[u8]>>(&mut self, commands: &[Vec<W>]) -> Result<(), CallError> {
        self.check_open().map_err(CallError::NotSent)?;
        let bytes: Vec<u8> = commands.iter().flat_map(|words| request(words)).collect();
        self.stream.get_mut().write_all(&bytes).map_err(CallError::Unknown)
    }

    /// Waits for the next reply.
    pub fn receive(&mut self) -> io::Result<Reply> {
        self.reply(MAX_DEPTH)
    }

    /// Finds out whether the server has closed the connection since the last reply, so that a
    /// command is not sent into it.
    fn check_open(&mut self) -> io::Result<()> {
        if !self.stream.buffer().is_empty() {
            return Err(invalid("bytes that nobody asked for"));
        }
        let stream = self.stream.get_ref();
        stream.set_nonblocking(true)?;
        let seen = stream.peek(&mut [0]);
        stream.set_nonblocking(false)?;
        match seen {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(()),
            Err(error) => Err(error),
            Ok(0) => Err(closed()),
            Ok(_) => Err(invalid("bytes that nobody asked for")),
        }
    }

    fn reply(&mut self, depth: usize) -> io::Result<Reply> {
        let line = self.line()?;
        let (kind, rest) = line.split_at_checked(1).ok_or_else(|| invalid("an empty line"))?;
        match kind {
            "+" => Ok(Reply::Status(rest.to_owned())),
            "-" => Ok(Reply::Error(rest.to_owned())),
            ":" => Ok(Reply::Integer(number(rest)?)),
            "$" => self.bulk(number(rest)?),
            "*" => self.array(number(rest)?, depth),
            _ => Err(invalid("a reply of an unknown kind")),
        }
    }

    fn bulk(&mut self, length: i64) -> io::Result<Reply> {
        if length == -1 {
            return Ok(Reply::Nil);
        }
        let length = usize::try_from(length).map_err(|_| invalid("a negative length"))?;
        if length > MAX_BULK {
            return Err(invalid("a string above 512 MiB"));
        }
        let mut bytes = Vec::new();
        self.stream.by_ref().take(length as u64).read_to_end(&mut bytes)?;
        let mut end = [0; 2];
        self.stream.read_exact(&mut end)?;
        if bytes.len() != length || &end != b"\r\n" {
            return Err(invalid("a string without its end"));
        }
        Ok(Reply::Bulk(bytes))
    }

    fn array(&mut self, length: i64, depth: usize) -> io::Result<Reply> {
        if length == -1 {
            return Ok(Reply::Nil);
        }
        if length < 0 || depth == 0 {
            return Err(invalid("an array of negative length or nested too deep"));
        }
        let mut replies = Vec::new();
        for _ in 0..length {
            replies.push(self.reply(depth - 1)?);
        }
        Ok(Reply::Array(replies))
    }

    fn line(&mut self) -> io::Result<String> {
        let mut line = Vec::new();
        self.stream.by_ref().take(MAX_LINE).read_until(b'\n', &mut line)?;
        if line.is_empty() {
            return Err(closed());
        }
        let line = line.strip_suffix(b"\r\n").ok_or_else(|| invalid("a line without its end"))?;
        Ok(String::from_utf8_lossy(line).into_owned())
    }
}

/// The bytes of one command.
pub fn request<W: AsRef<[u8]>>(words: &[W]) -> Vec<u8> {
    let mut bytes = format!("*{}\r\n", words.len()).into_bytes();
    for word in words {
        let word = word.as_ref();
        bytes.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
        bytes.extend_from_slice(word);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes
}

fn number(text: &str) -> io::Result<i64> {
    text.parse().map_err(|_| invalid("a number that is none"))
}

fn invalid(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("the server sent {what}"))
}

fn closed() -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, "the server closed the connection")
}

impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CallError::NotSent(error) => write!(f, "{}; not sent", reason(error)),
            CallError::Unknown(error) => {
                write!(f, "{}; it may or may not have been applied", reason(error))
            }
        }
    }
}

impl std::error::Error for CallError {}

/// An error of a socket in words; a time-out is "Resource temporarily unavailable" otherwise.
pub fn reason(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => "no answer in time".into(),
        io::ErrorKind::ConnectionRefused => "connection refused".into(),
        _ => error.to_string(),
    }
}
