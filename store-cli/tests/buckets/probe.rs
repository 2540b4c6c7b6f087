//! Trials of a store through the driver and an S3 server; those of stores that break a promise each are in `store-core`.

use std::sync::atomic::Ordering;
use std::time::Duration;

use store_core::backend::{Effort, probe};

use crate::s3;

#[test]
fn an_s3_server_passes() {
    let server = s3::Server::start();
    server.shelf.page.store(7, Ordering::Relaxed);
    assert_eq!(probe(&server.backend("some/prefix"), Effort::default()).unwrap(), Vec::<String>::new());
    assert!(server.shelf.all().is_empty());
}

#[test]
fn an_s3_server_that_ignores_conditions_does_not() {
    let server = s3::Server::start();
    server.shelf.ignores_conditions.store(true, Ordering::Relaxed);
    let failures = probe(&server.backend(""), Effort { rounds: 3, writers: 8 }).unwrap();
    assert!(failures.iter().any(|failure| failure.starts_with("S1")), "{failures:?}");
    assert!(server.shelf.all().is_empty());
}

#[test]
fn where_nothing_may_be_deleted_that_is_said() {
    let server = s3::Server::start();
    server.shelf.keeps_all.store(true, Ordering::Relaxed);
    let failures = probe(&server.backend(""), Effort { rounds: 2, writers: 4 }).unwrap();
    assert!(matches!(&failures[..], [only] if only.starts_with("S4")), "{failures:?}");
}

#[test]
fn a_server_that_is_not_there_gives_no_result() {
    let server = s3::Server::start();
    let transport = store_core::backend::Transport { retry_for: Duration::from_millis(300), ..Default::default() };
    let backend = server.backend_through(1, "", &transport);
    drop(server);
    assert!(probe(&backend, Effort { rounds: 1, writers: 2 }).unwrap_err().is_unreachable());
}
