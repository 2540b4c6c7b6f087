use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

use crate::harness::{Place, noise, objects_of};

#[test]
fn no_repository_is_10_and_says_how_to_make_one() {
    let place = Place::empty();
    assert!(place.snap(&["list"]).fails(10).contains("snap init"));
    assert!(place.snap(&["-r", "nowhere", "list"]).fails(10).contains("snap init"));
    fs::create_dir(place.path("folder")).unwrap();
    place.snap(&["-r", "folder", "list"]).fails(10);
}

#[test]
fn a_wrong_password_is_12_and_soon() {
    let place = Place::new();
    let started = Instant::now();
    let run = place.command(&["list"]).env("SNAP_PASSWORD", "wrong").output().unwrap();
    assert!(started.elapsed() < Duration::from_secs(2));
    assert_eq!(run.status.code(), Some(12));
    assert!(!String::from_utf8(run.stderr).unwrap().contains("wrong'"), "a secret is never printed");
}

#[test]
fn bad_usage_is_2() {
    let place = Place::new();
    for words in [
        &["frobnicate"][..],
        &["push"],
        &["push", "-", "x"],
        &["list", "--frob"],
        &["list", "--since", "yesterday"],
        &["--threads", "0", "list"],
        &["--memory", "lots", "list"],
        &["--compression", "extreme", "list"],
        &["check", "--read-data-subset", "4/3"],
        &["push", "no/such/path"],
        &["init", "-n"],
        &["restore", "latest", "-t", "x"],
    ] {
        let run = place.snap(words);
        assert!(run.fails(2).contains(':'), "{words:?}");
        assert_eq!(run.out, "", "{words:?}");
    }
}

#[test]
fn without_a_password_and_a_terminal_nothing_is_asked() {
    let place = Place::new();
    let run = place.command(&["list"]).env_remove("SNAP_PASSWORD").output().unwrap();
    assert_eq!(run.status.code(), Some(2));
    assert!(String::from_utf8(run.stderr).unwrap().contains("SNAP_PASSWORD_FILE"));
}

#[test]
fn a_repository_is_not_made_twice() {
    let place = Place::new();
    place.snap(&["init"]).fails(13);
}

#[test]
fn what_cannot_be_read_makes_a_partial_snapshot_and_3() {
    let place = Place::new();
    place.write("d/good", "good");
    place.write("d/bad", "bad");
    fs::set_permissions(place.path("d/bad"), fs::Permissions::from_mode(0o0)).unwrap();
    if fs::read(place.path("d/bad")).is_ok() {
        // Root reads everything; a list with a path that is gone is as good.
        place.write("list", format!("{}\n{}\n", place.path("d/good").display(), place.path("d/gone").display()));
        let run = place.snap(&["-q", "push", "--files-from", "list"]);
        assert!(run.fails(3).contains("gone"));
        assert_eq!(run.out.trim().len(), 64, "the snapshot is made");
        return;
    }
    let run = place.snap(&["-q", "push", "d"]);
    assert!(run.fails(3).contains("bad"));
    assert_eq!(run.out.trim().len(), 64, "the snapshot is made");
}

#[test]
fn damage_is_found_and_is_15() {
    let place = Place::new();
    place.write("d/a", noise(1, 1_000_000));
    place.push(&["d"]);
    place.snap(&["check", "--read-data"]).ok();
    let pack = objects_of(&place.path(".snap"), "packs").pop().unwrap();
    let mut bytes = fs::read(&pack).unwrap();
    bytes[5000] ^= 1;
    fs::set_permissions(&pack, fs::Permissions::from_mode(0o600)).unwrap();
    fs::write(&pack, bytes).unwrap();
    let run = place.snap(&["check", "--read-data"]);
    run.fails(15);
    assert!(run.out.contains("1 finding") || run.out.contains(" findings"), "{}", run.out);
    assert!(run.out.contains(":a") || run.out.contains(":/a"), "the file that is hit is named: {}", run.out);
    let json = place.snap(&["check", "--read-data", "--json"]);
    assert_eq!(json.code, Some(15));
    let objects = json.objects();
    assert_eq!(objects[0]["message_type"], "finding");
    assert_eq!(objects.last().unwrap()["num_errors"], objects.len() - 1);
}

#[test]
fn a_lost_index_is_rebuilt() {
    let place = Place::new();
    place.write("d/a", noise(1, 100_000));
    place.push(&["d"]);
    place.snap(&["repair", "index", "-n"]).ok();
    for segment in objects_of(&place.path(".snap"), "index") {
        fs::remove_file(segment).unwrap();
    }
    fs::remove_dir_all(place.home(".cache")).unwrap();
    place.snap(&["repair", "index"]).ok();
    place.snap(&["restore", "latest", "-t", "out"]).ok();
    assert_eq!(fs::read(place.path("out/a")).unwrap(), noise(1, 100_000));
}

/// Runs the program with a standard output that nobody reads.
fn unread(place: &Place, words: &[&str]) -> Option<i32> {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    place.command(words).stdout(writer).output().unwrap().status.code()
}

#[test]
fn that_nobody_reads_the_result_makes_it_no_better() {
    let place = Place::new();
    place.write("d/sub/a", noise(1, 300_000));
    place.push(&["d"]);
    place.write("out/sub", "a file where a folder should be");
    assert_eq!(unread(&place, &["restore", "latest", "-t", "out", "--overwrite", "never"]), Some(1));
    for words in [&["list"][..], &["check"], &["dump", "latest"], &["push", "d"], &["prune"]] {
        assert_eq!(unread(&place, words), Some(0), "{words:?}");
    }
    for pack in objects_of(&place.path(".snap"), "packs") {
        fs::remove_file(pack).unwrap();
    }
    assert_eq!(unread(&place, &["check"]), Some(15));
    assert_eq!(unread(&place, &["repair", "packs"]), Some(15));
}
