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
    // Of the other one nobody knows whether it opens, until somebody opens it.
    assert!(place.snap(&["key", "remove", &id[..8]]).fails(13).contains("that stays"));
    place.snap(&["-p", "new", "key", "remove", &id[..8]]).ok();
    place.snap(&["list"]).fails(12);
}

#[test]
fn a_password_comes_from_a_program() {
    let place = Place::new();
    let run = place.command(&["--password-command", &format!("echo '{PASSWORD}'"), "list"]).env_remove("SNAP_PASSWORD").output().unwrap();
    assert!(run.status.success());
}

#[test]
fn a_damaged_slot_is_named_and_keeps_nobody_from_the_others() {
    let place = Place::new();
    place.write("new", "battery staple\n");
    place.snap(&["key", "add", "--new-password-file", "new", "--label", "second"]).ok();
    let slots = place.snap(&["key", "list", "--json"]).objects();
    let own = slots.iter().find(|slot| slot["current"] == true).unwrap()["id"].as_str().unwrap().to_owned();
    let other = slots.iter().find(|slot| slot["current"] == false).unwrap()["id"].as_str().unwrap().to_owned();
    let object = place.path(&format!(".snap/keys/{other}"));
    fs::set_permissions(&object, fs::Permissions::from_mode(0o600)).unwrap();
    fs::write(&object, b"SNAP, and no more").unwrap();
    let listed = place.snap(&["key", "list"]);
    assert!(
        listed.ok().contains(&other[..8]) && listed.out.contains(&own[..8]) && listed.err.contains(&other),
        "{}{}",
        listed.out,
        listed.err
    );
    assert!(place.snap(&["key", "remove", &own]).fails(13).contains("last key slot"));
    place.snap(&["key", "remove", &other[..8]]).ok();
    let listed = place.snap(&["key", "list"]);
    assert_eq!((listed.ok().lines().count(), listed.err.as_str()), (2, ""));
}

#[test]
fn a_wrong_password_is_told_soon_however_many_slots_there_are() {
    let place = Place::new();
    place.write("new", "battery staple\n");
    for _ in 0..4 {
        place.snap(&["key", "add", "--new-password-file", "new"]).ok();
    }
    let mut child = place.command(&["list"]).env("SNAP_PASSWORD", "wrong").stderr(std::process::Stdio::null()).spawn().unwrap();
    // Time of the processor, since others may keep it busy: it can be asked for until the process is waited for.
    let stat = loop {
        let stat = fs::read_to_string(format!("/proc/{}/stat", child.id())).unwrap();
        let fields: Vec<String> = stat.rsplit(')').next().unwrap().split_whitespace().map(str::to_owned).collect();
        if fields[0] == "Z" {
            break fields;
        }
        std::thread::sleep(std::time::Duration::from_millis(5));
    };
    assert_eq!(child.wait().unwrap().code(), Some(12));
    let ticks: u64 = stat[11].parse::<u64>().unwrap() + stat[12].parse::<u64>().unwrap();
    assert!(ticks < 200, "{ticks} hundredths of a second for five slots");
}

#[test]
fn the_cache_is_for_its_owner_alone() {
    let place = Place::new();
    place.write("d/a", "a");
    place.push(&["d"]);
    let caches: Vec<_> = fs::read_dir(place.home(".cache/snap")).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(caches.len(), 1);
    assert_eq!(fs::metadata(&caches[0]).unwrap().permissions().mode() & 0o777, 0o700);
}

#[test]
fn a_snapshot_says_who_took_it() {
    let place = Place::new();
    place.write("d/a", "a");
    place.push(&["d"]);
    let name = std::process::Command::new("id").arg("-un").output().unwrap().stdout;
    let listed = place.snap(&["list", "--json"]).objects();
    assert_eq!(listed[0]["username"].as_str().unwrap(), String::from_utf8(name).unwrap().trim());
}

#[test]
fn a_key_file_that_was_typed_beats_a_password_of_the_environment() {
    let place = Place::empty();
    place.snap(&["init", "--key-file", "k"]).ok();
    let run = place.command(&["list", "--key-file", "k"]).env_remove("SNAP_PASSWORD").output().unwrap();
    assert!(run.status.success());
    place.snap(&["list"]).fails(12);
}
