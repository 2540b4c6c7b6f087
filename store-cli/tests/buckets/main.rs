//! The driver of buckets against an S3 server in this process.

#![cfg(feature = "object")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod conformance;
#[path = "../../../store-core/tests/disk/mod.rs"]
mod disk;
mod faults;
mod probe;
#[path = "../s3/proxy.rs"]
mod proxy;
#[path = "../../../store-core/tests/rig/mod.rs"]
mod rig;
#[path = "../s3/mod.rs"]
mod s3;
#[path = "../../../store-core/tests/disk/tiny.rs"]
mod tiny;
