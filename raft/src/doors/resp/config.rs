//! `CONFIG GET`: what clients and load generators ask of a Redis, answered in its words. A small
//! table; must never grow into a second home of this node's configuration.

use std::collections::BTreeMap;

use super::Settings;
use crate::store::arguments::Arguments;
use crate::store::glob;

/// Settings that are as they are.
const FIXED: [(&str, &str); 9] = [
    // Every write is on the disks of a majority before it is answered.
    ("appendfsync", "always"),
    ("appendonly", "yes"),
    ("cluster-enabled", "no"),
    ("databases", "1"),
    ("maxmemory", "0"),
    ("maxmemory-policy", "noeviction"),
    ("save", ""),
    ("tcp-keepalive", "0"),
    ("timeout", "0"),
];

fn all(settings: &Settings) -> Vec<(&'static str, String)> {
    let fixed = FIXED.iter().map(|&(name, value)| (name, value.to_string()));
    let own = [
        ("maxclients", settings.max_clients.to_string()),
        ("port", settings.port.to_string()),
        ("proto-max-bulk-len", settings.max_request.to_string()),
    ];
    fixed.chain(own).collect()
}

/// The settings that any of the names or patterns asks for. As in Redis a name is given back as it
/// was spelt.
pub fn get(settings: &Settings, asked: Arguments) -> BTreeMap<Vec<u8>, String> {
    let all = all(settings);
    let mut found = BTreeMap::new();
    for asked in asked {
        let is_pattern = asked.iter().any(|byte| b"*?[".contains(byte));
        let lower = asked.to_ascii_lowercase();
        for (name, value) in &all {
            if is_pattern && glob::matches(&lower, name.as_bytes()) {
                found.insert(name.as_bytes().to_vec(), value.clone());
            } else if lower == name.as_bytes() {
                found.insert(asked.to_vec(), value.clone());
            }
        }
    }
    found
}
