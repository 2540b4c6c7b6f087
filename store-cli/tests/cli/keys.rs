use std::fs;
use std::os::unix::fs::PermissionsExt;

use crate::harness::{PASSWORD, Place};

#[test]
fn a_key_file_is_made_and_opens_the_repository() {
    let place = Place::new();
    place.snap(&["key", "add", "--new-key-file", "k", "--label", "robot"]).ok();
    assert_eq!(fs::metadata(place.path("k")).unwrap().permissions().mode() & 0o777, 0o600);
    let with_key = |words: &[&str]| place.command(words).env_remove("SNAP_PASSWORD").output().unwrap();
    assert!(with_key(&["--key-file", "k", "list"]).status.success());
    fs::set_permissions(place.path("k"), fs::Permissions::from_mode(0o644)).unwrap();
    assert_eq!(with_key(&["--key-file", "k", "list"]).status.code(), Some(13));
}

#[test]
fn a_repository_may_have_a_key_file_alone() {
    let place = Place::empty();
    let run = place.command(&["init", "--key-file", "k"]).env_remove("SNAP_PASSWORD").output().unwrap();
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
    let run = place.command(&["key", "list", "--json"]).env_remove("SNAP_PASSWORD").env("SNAP_KEY_FILE", "k").output().unwrap();
    assert!(String::from_utf8(run.stdout).unwrap().contains(r#""kind":"key file","current":true"#));
    place.snap(&["list"]).fails(12);
}

#[test]
fn a_password_is_replaced() {
    let place = Place::new();
    place.write("new", "battery staple\n");
    place.snap(&["key", "passwd", "--new-password-file", "new"]).ok();
    place.snap(&["list"]).fails(12);
    place.command(&["-p", "new", "list"]).env("SNAP_PASSWORD", PASSWORD).output().unwrap();
    let run = place.command(&["key", "list"]).env("SNAP_PASSWORD", "battery staple").output().unwrap();
    assert_eq!(String::from_utf8(run.stdout).unwrap().lines().count(), 2, "a heading and one slot");
}

#[test]
fn the_last_slot_stays() {
    let place = Place::new();
    let slots = place.snap(&["key", "list", "--json"]).objects();
    let id = slots[0]["id"].as_str().unwrap();
    place.snap(&["key", "remove", &id[..8]]).fails(13);
    place.snap(&["key", "remove", "0"]).fails(2);
    place.write("new", "other");
    place.snap(&["key", "add", "--new-password-file", "new"]).ok();
    place.snap(&["key", "remove", &id[..8]]).ok();
    place.snap(&["list"]).fails(12);
}

#[test]
fn a_password_comes_from_a_program() {
    let place = Place::new();
    let run = place.command(&["--password-command", &format!("echo '{PASSWORD}'"), "list"]).env_remove("SNAP_PASSWORD").output().unwrap();
    assert!(run.status.success());
}
