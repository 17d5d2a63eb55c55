//! Whether this process may open as many connections as a load needs. Raises its own limit as far as
//! the system allows, and says what is missing.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::exit::{self, Failure};

/// Descriptors for all else.
const OTHERS: u64 = 64;

/// Makes sure that so many connections can be opened, for what `asked` names.
///
/// # Errors
/// If the hard limit is too low.
pub fn allow(connections: usize, asked: impl FnOnce() -> String) -> Result<(), Failure> {
    let needed = connections as u64 + OTHERS;
    let limit = getrlimit(Resource::Nofile);
    if limit.current.is_none_or(|most| most >= needed) {
        return Ok(());
    }
    let raised = Rlimit { current: Some(needed), maximum: limit.maximum };
    setrlimit(Resource::Nofile, raised).map_err(|_| {
        let most = limit.maximum.or(limit.current).unwrap_or_default();
        let asked = asked();
        let text = format!(
            "{asked} needs {needed} open files, and this process may have {most} at \
             most: raise that limit (ulimit -Hn, or LimitNOFILE of a service) or ask for fewer"
        );
        Failure::new(exit::USAGE, text)
    })
}
