//! Commands on times to live. Must never judge by anything but the store's log time, nor leave a
//! deadline behind that a refused command named.

use messages::LogTime;

use super::arguments::Arguments;
use super::deadline::{Deadline, millis};
use super::pair::Pair;
use super::reply::{self, NOT_AN_INTEGER, SYNTAX_ERROR};
use super::{Lifetime, Store};

/// How a command spells a time: its unit, and from when it counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Form {
    in_seconds: bool,
    since_epoch: bool,
}

impl Form {
    /// Seconds from now.
    pub const SECONDS: Form = Form { in_seconds: true, since_epoch: false };
    /// Milliseconds from now.
    pub const MILLISECONDS: Form = Form { in_seconds: false, since_epoch: false };
    /// Seconds since the UNIX epoch.
    const UNIX_SECONDS: Form = Form { in_seconds: true, since_epoch: true };
    /// Milliseconds since the UNIX epoch.
    const UNIX_MILLISECONDS: Form = Form { in_seconds: false, since_epoch: true };

    /// The one that this option of `SET` and `GETEX` stands for.
    pub fn named(option: &[u8]) -> Option<Form> {
        let forms = [
            (&b"EX"[..], Form::SECONDS),
            (b"PX", Form::MILLISECONDS),
            (b"EXAT", Form::UNIX_SECONDS),
            (b"PXAT", Form::UNIX_MILLISECONDS),
        ];
        forms.into_iter().find(|(name, _)| option.eq_ignore_ascii_case(name)).map(|(_, form)| form)
    }

    /// Milliseconds since the UNIX epoch; none where they do not fit in 64 bits with their sign.
    fn moment(self, number: i64, now: LogTime) -> Option<i64> {
        let span = if self.in_seconds { number.checked_mul(1000)? } else { number };
        if self.since_epoch { Some(span) } else { span.checked_add(millis(now)) }
    }
}

fn invalid_time(reply: &mut Vec<u8>, name: &str) {
    reply::error(reply, &format!("ERR invalid expire time in '{name}' command"));
}

/// What the options of `SET` and `GETEX` say about how long a key lasts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lasting<'a> {
    /// Nothing.
    Unsaid,
    /// `KEEPTTL`.
    AsBefore,
    /// `PERSIST`.
    Endless,
    /// A number, not read yet.
    For(Form, &'a [u8]),
}

impl<'a> Lasting<'a> {
    /// Takes another option in; `None` if they exclude each other. The same one may come again: of
    /// two numbers in one form the later counts.
    pub fn and(self, other: Lasting<'a>) -> Option<Lasting<'a>> {
        let together = match (self, other) {
            (Lasting::Unsaid, _) => true,
            (Lasting::For(one, _), Lasting::For(other, _)) => one == other,
            (one, other) => one == other,
        };
        together.then_some(other)
    }

    /// What that means for a key set now; answers where a number is none, or no time to come.
    pub fn lifetime(self, now: LogTime, name: &str, reply: &mut Vec<u8>) -> Option<Lifetime> {
        match self {
            Lasting::Unsaid | Lasting::Endless => Some(Lifetime::Endless),
            Lasting::AsBefore => Some(Lifetime::AsBefore),
            Lasting::For(form, number) => {
                let Some(number) = reply::parse_decimal(number) else {
                    reply::error(reply, NOT_AN_INTEGER);
                    return None;
                };
                let moment = if number > 0 { form.moment(number, now) } else { None };
                let deadline = moment.and_then(Deadline::at);
                if deadline.is_none() {
                    invalid_time(reply, name);
                }
                deadline.map(Lifetime::Until)
            }
        }
    }
}

/// Whether a deadline that is set to this moment removes the key at once.
fn is_past(moment: i64, now: LogTime) -> bool {
    moment <= millis(now)
}

pub fn expire(store: &mut Store, arguments: &mut Arguments, reply: &mut Vec<u8>) {
    set_deadline(store, arguments, reply, "expire", Form::SECONDS);
}

pub fn pexpire(store: &mut Store, arguments: &mut Arguments, reply: &mut Vec<u8>) {
    set_deadline(store, arguments, reply, "pexpire", Form::MILLISECONDS);
}

pub fn expireat(store: &mut Store, arguments: &mut Arguments, reply: &mut Vec<u8>) {
    set_deadline(store, arguments, reply, "expireat", Form::UNIX_SECONDS);
}

pub fn pexpireat(store: &mut Store, arguments: &mut Arguments, reply: &mut Vec<u8>) {
    set_deadline(store, arguments, reply, "pexpireat", Form::UNIX_MILLISECONDS);
}

fn set_deadline(
    store: &mut Store,
    arguments: &mut Arguments,
    reply: &mut Vec<u8>,
    name: &str,
    form: Form,
) {
    let (key, number) = (arguments.shift(), arguments.shift());
    let Some(conditions) = Conditions::read(arguments, reply) else { return };
    let Some(number) = reply::parse_decimal(number) else {
        return reply::error(reply, NOT_AN_INTEGER);
    };
    let Some(moment) = form.moment(number, store.now) else {
        return invalid_time(reply, name);
    };
    if !store.pair(key).is_some_and(|pair| conditions.hold(pair.deadline, moment)) {
        return reply::boolean(reply, false);
    }
    match Deadline::at(moment).filter(|_| !is_past(moment, store.now)) {
        Some(deadline) => store.change(key, 0, |pair| pair.deadline = Some(deadline)),
        None => drop(store.remove(key)),
    }
    reply::boolean(reply, true);
}

/// When `EXPIRE` and its kin do anything.
#[derive(Clone, Copy, Debug, Default)]
struct Conditions {
    if_none: bool,
    if_some: bool,
    if_later: bool,
    if_earlier: bool,
}

impl Conditions {
    /// Reads all options; answers where there is another, or some exclude each other.
    fn read(options: &mut Arguments, reply: &mut Vec<u8>) -> Option<Conditions> {
        let mut read = Conditions::default();
        for option in options {
            let is = |name: &[u8]| option.eq_ignore_ascii_case(name);
            if is(b"NX") {
                read.if_none = true;
            } else if is(b"XX") {
                read.if_some = true;
            } else if is(b"GT") {
                read.if_later = true;
            } else if is(b"LT") {
                read.if_earlier = true;
            } else {
                let quoted = reply::quotable(option, option.len());
                reply::error_bytes(reply, &[b"ERR Unsupported option ", quoted].concat());
                return None;
            }
        }
        if read.if_none && (read.if_some || read.if_later || read.if_earlier) {
            let text = "ERR NX and XX, GT or LT options at the same time are not compatible";
            reply::error(reply, text);
            return None;
        }
        if read.if_later && read.if_earlier {
            reply::error(reply, "ERR GT and LT options at the same time are not compatible");
            return None;
        }
        Some(read)
    }

    /// Whether they allow to move a deadline; none is later than any.
    fn hold(self, old: Option<Deadline>, new: i64) -> bool {
        let old = old.map(Deadline::millis);
        (!self.if_none || old.is_none())
            && (!self.if_some || old.is_some())
            && (!self.if_later || old.is_some_and(|old| new > old))
            && (!self.if_earlier || old.is_none_or(|old| new < old))
    }
}

pub fn persist(store: &mut Store, arguments: &mut Arguments, reply: &mut Vec<u8>) {
    let key = arguments.shift();
    let had_one = store.pair(key).is_some_and(|pair| pair.deadline.is_some());
    if had_one {
        store.change(key, 0, |pair| pair.deadline = None);
    }
    reply::boolean(reply, had_one);
}

/// Reads the options of `GETEX`; `None` is a syntax error.
fn getex_options<'a>(options: &mut Arguments<'a>) -> Option<Lasting<'a>> {
    let mut read = Lasting::Unsaid;
    while let Some(option) = options.next() {
        read = read.and(match option.eq_ignore_ascii_case(b"PERSIST") {
            true => Lasting::Endless,
            false => Lasting::For(Form::named(option)?, options.next()?),
        })?;
    }
    Some(if read == Lasting::Unsaid { Lasting::AsBefore } else { read })
}

pub fn getex(store: &mut Store, arguments: &mut Arguments, reply: &mut Vec<u8>) {
    let key = arguments.shift();
    let Some(lasting) = getex_options(arguments) else {
        return reply::error(reply, SYNTAX_ERROR);
    };
    let Some(string) = store.get(key) else {
        return reply::null(reply);
    };
    let Some(lifetime) = lasting.lifetime(store.now, "getex", reply) else { return };
    reply::bulk(reply, string);
    match lifetime {
        Lifetime::Until(deadline) if is_past(deadline.millis(), store.now) => {
            store.remove(key);
        }
        Lifetime::Until(deadline) => store.change(key, 0, |pair| pair.deadline = Some(deadline)),
        Lifetime::Endless => store.change(key, 0, |pair| pair.deadline = None),
        Lifetime::AsBefore => {}
    }
}

/// Answers what `show` makes of a key's deadline, or that it has none, or is not there.
fn show(
    store: &Store,
    arguments: &mut Arguments,
    reply: &mut Vec<u8>,
    show: impl FnOnce(i64) -> i64,
) {
    let deadline = |pair: &Pair| pair.deadline.map_or(-1, |deadline| show(deadline.millis()));
    reply::integer(reply, store.pair(arguments.shift()).map_or(-2, deadline));
}

/// Milliseconds to seconds, the nearer ones.
fn rounded(millis: i64) -> i64 {
    millis.saturating_add(500) / 1000
}

pub fn ttl(store: &Store, arguments: &mut Arguments, reply: &mut Vec<u8>) {
    show(store, arguments, reply, |deadline| rounded(deadline - millis(store.now)));
}

pub fn pttl(store: &Store, arguments: &mut Arguments, reply: &mut Vec<u8>) {
    show(store, arguments, reply, |deadline| deadline - millis(store.now));
}

pub fn expiretime(store: &Store, arguments: &mut Arguments, reply: &mut Vec<u8>) {
    show(store, arguments, reply, rounded);
}

pub fn pexpiretime(store: &Store, arguments: &mut Arguments, reply: &mut Vec<u8>) {
    show(store, arguments, reply, |deadline| deadline);
}
