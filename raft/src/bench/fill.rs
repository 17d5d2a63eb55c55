//! Writes every key that a load of `GET` asks for, so that it finds them. Must never go on after an
//! error: a load on half of the keys would measure something else.

use std::net::SocketAddr;
use std::time::Duration;

use super::requests;
use crate::client::{Client, Reply};
use crate::exit::{self, Failure};
use crate::render;

/// Bytes that are under way at once, or one key's.
const BATCH: usize = 256 << 10;
/// A batch takes no longer on any disk.
const PATIENCE: Duration = Duration::from_secs(30);

/// Writes all keys, each with a value of `size` bytes.
///
/// # Errors
/// If the server cannot be reached, or one write is not acknowledged.
pub fn fill(address: SocketAddr, keys: u64, size: usize) -> Result<(), Failure> {
    let failed = |what: String| {
        let text = format!("{address}: the keys cannot be written: {what}");
        Failure::new(exit::UNAVAILABLE, text)
    };
    let mut client = Client::connect(&address.to_string(), PATIENCE)
        .map_err(|error| failed(crate::client::reason(&error)))?;
    let batch = (BATCH / (size + 64)).clamp(1, 1_000);
    let mut commands = requests::fill(keys, size).peekable();
    while commands.peek().is_some() {
        let sent: Vec<Vec<String>> = commands.by_ref().take(batch).collect();
        client.send_all(&sent).map_err(|error| failed(error.to_string()))?;
        for _ in sent {
            match client.receive() {
                Ok(Reply::Status(_)) => (),
                Ok(other) => return Err(failed(render::reply(&other))),
                Err(error) => return Err(failed(crate::client::reason(&error))),
            }
        }
    }
    Ok(())
}
