//! All keys at one moment: what commands answer that take effect one after the other. Must never share
//! code with the store it is compared with.

use std::collections::HashMap;

use super::meaning::{self, Value, Values};
use super::{Command, Reply};

/// Keys and what they hold; to begin with none.
#[derive(Debug, Default)]
pub struct Keyspace {
    values: HashMap<Vec<u8>, Value>,
}

impl Keyspace {
    /// Does the command, and answers it.
    pub fn execute(&mut self, command: &Command) -> Reply {
        meaning::execute(command, self)
    }
}

impl Values for Keyspace {
    fn of(&mut self, key: &[u8]) -> &mut Value {
        if !self.values.contains_key(key) {
            self.values.insert(key.to_vec(), None);
        }
        self.values.get_mut(key).expect("just there")
    }
}
