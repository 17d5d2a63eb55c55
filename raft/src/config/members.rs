//! The members: every node's name and addresses. No two may share any of them.

use super::document::{Document, Found, FoundMember, MEMBER_KEYS};
use super::{Config, ConfigError, Member, keys};

/// More nodes than this are a mistake: each write would wait for half of them.
const MOST: usize = 99;

/// Takes the members of the file.
pub(super) fn read(config: &mut Config, document: &Document) -> Result<(), ConfigError> {
    for (position, found) in document.members.iter().enumerate() {
        let place = format!("{}:{}", document.file, found.line);
        if position == MOST {
            let text = format!("cluster.members: expected at most {MOST} members");
            return Err(ConfigError::new(place, text));
        }
        let member = member(found, document)?;
        if let Some(shared) = config.members.iter().find_map(|other| shared(&member, other)) {
            let text = format!("cluster.members: {shared}; expected another for each member");
            return Err(ConfigError::new(place, text));
        }
        config.members.push(member);
    }
    Ok(())
}

fn member(found: &FoundMember, document: &Document) -> Result<Member, ConfigError> {
    let [name, client, peer] = MEMBER_KEYS;
    Ok(Member {
        name: field(found, name, document, keys::name)?,
        client: field(found, client, document, keys::address)?,
        peer: field(found, peer, document, keys::address)?,
    })
}

fn field<T>(
    member: &FoundMember,
    name: &str,
    document: &Document,
    read: fn(&super::Value) -> Result<T, String>,
) -> Result<T, ConfigError> {
    let place = |line: usize| format!("{}:{line}", document.file);
    let Some(Found { value, line, .. }) = member.fields.iter().find(|field| field.name == name)
    else {
        let text = format!("cluster.members: {name} is missing; expected name, client and peer");
        return Err(ConfigError::new(place(member.line), text));
    };
    let key = format!("cluster.members.{name}");
    read(value).map_err(|expected| ConfigError::value(place(*line), &key, value, &expected))
}

/// What two members must not share and do.
fn shared(member: &Member, other: &Member) -> Option<String> {
    let addresses = [&other.client, &other.peer];
    let address = [&member.client, &member.peer].into_iter().find(|own| addresses.contains(own));
    if member.name == other.name {
        Some(format!("the name \"{}\" stands there twice", member.name))
    } else {
        let address = address?;
        Some(format!("\"{}\" and \"{}\" share {address}", other.name, member.name))
    }
}
