//! Which exit code an error of the libraries becomes, however it is wrapped (contract: 65 damaged or
//! foreign data, 73 locked or cannot be made, 74 a write or sync failed).

use std::io;
use std::sync::Arc;

use anyhow::Context;
use raft::exit::{self, Failure};
use servers::node::StartError;
use servers::storage::{Damage, OpenError, WalError};

fn failed_sync() -> WalError {
    let error = Arc::new(io::Error::other("no such device"));
    WalError { file: "n1/x.log".into(), operation: "sync", error }
}

fn verdict(error: impl Into<anyhow::Error>) -> (u8, Option<String>) {
    exit::verdict(&error.into())
}

#[test]
fn a_failed_write_or_sync_is_74_and_names_the_file() {
    let line = "cannot sync n1/x.log: no such device".to_owned();
    assert_eq!(verdict(failed_sync()), (74, Some(line)));
    assert_eq!(verdict(OpenError::Io(failed_sync())).0, 74);
    assert_eq!(verdict(StartError::Storage(OpenError::Io(failed_sync()))).0, 74);
}

#[test]
fn data_that_is_damaged_or_not_ours_is_65() {
    let damage = Damage { file: "n1/x.log".into(), offset: 7, what: "a bad checksum" };
    assert_eq!(verdict(OpenError::Damaged(damage.clone())).0, 65);
    assert_eq!(verdict(StartError::Storage(OpenError::Damaged(damage))).0, 65);
    assert_eq!(verdict(OpenError::Empty { file: "n1".into() }).0, 65);
    let unsupported = OpenError::Unsupported { file: "n1".into(), version: 9, known: 2 };
    assert_eq!(verdict(unsupported).0, 65);
}

#[test]
fn what_is_locked_or_cannot_be_made_is_73() {
    let error = Arc::new(io::Error::from(io::ErrorKind::PermissionDenied));
    assert_eq!(verdict(OpenError::Locked { folder: "n1".into() }).0, 73);
    assert_eq!(verdict(OpenError::CannotCreate { file: "n1".into(), error }).0, 73);
}

#[test]
fn context_changes_neither_code_nor_silence() {
    let failure = Failure::new(exit::CONFIGURATION, "a.toml:1: wrong");
    let wrapped = Err::<(), _>(failure).context("cannot\nstart").expect_err("an error");
    let line = "cannot start: a.toml:1: wrong".to_owned();
    assert_eq!(exit::verdict(&wrapped), (64, Some(line)), "one line, the code within");
    assert_eq!(verdict(Failure::quiet(69)), (69, None));
    assert_eq!(verdict(anyhow::anyhow!("odd")), (1, Some("odd".to_owned())));
}
