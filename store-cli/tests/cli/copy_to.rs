use std::fs;
use std::io::{BufRead as _, BufReader};
use std::net::TcpListener;
use std::process::Stdio;

use rustix::process::{Pid, Signal, kill_process};

use crate::harness::{PASSWORD, Place, Run, noise, objects_of, tree};

const OTHER: &str = "battery staple";

/// A place with a second repository, at `second`, that another password opens.
fn place() -> Place {
    let place = Place::new();
    let made = place.command(&["init", "-r", "second"]).env("SNAP_PASSWORD", OTHER).output().unwrap();
    Run::from(made).ok();
    place.write("run/model", noise(1, 400_000));
    place
}

fn push_with(place: &Place, password: &str, to: &str, args: &[&str]) -> Run {
    let mut command = place.command(&[&["push", "run", "--series", "s", "--copy-to", to], args].concat());
    command.env("SNAP_TO_PASSWORD", password).output().unwrap().into()
}

fn push(place: &Place, args: &[&str]) -> Run {
    push_with(place, OTHER, "second", args)
}

fn second(place: &Place, args: &[&str]) -> Run {
    place.command(&[&["-r", "second"], args].concat()).env("SNAP_PASSWORD", OTHER).output().unwrap().into()
}

fn snapshots(place: &Place) -> [usize; 2] {
    [".snap", "second"].map(|repo| objects_of(&place.path(repo), "snapshots").len())
}

#[test]
fn a_push_is_copied_once_it_is_done() {
    let place = place();
    let run = push(&place, &["--ref", "v1", "--meta", "step=1"]);
    let lines: Vec<&str> = run.ok().lines().collect();
    assert_eq!(lines.len(), 2, "{}", run.out);
    assert!(lines[1].starts_with(&format!("{} -> ", &lines[0][..8])), "{}", run.out);
    second(&place, &["restore", "v1", "-t", "out", "--verify"]).ok();
    assert_eq!(tree(&place.path("out")), tree(&place.path("run")));
    second(&place, &["check", "--read-data"]).ok();
    // What has not changed is there, and stays the one copy.
    assert!(push(&place, &["--skip-if-unchanged"]).ok().contains("unchanged since"));
    assert_eq!(snapshots(&place), [1, 1]);

    place.write("run/model", noise(2, 400_000));
    let quiet = push(&place, &["-q"]);
    let id = quiet.ok().trim().to_owned();
    assert_eq!((id.len(), snapshots(&place)), (64, [2, 2]), "the id that was pushed, alone: {}", quiet.out);
    assert!(place.snap(&["list", "-q"]).ok().contains(&id));

    place.write("run/model", noise(3, 400_000));
    let json = push(&place, &["--json", "--verify"]);
    json.ok();
    let told: Vec<_> = json.objects().into_iter().filter(|line| line["message_type"] != "status").collect();
    assert_eq!((told.len(), &told[0]["message_type"], &told[1]["message_type"]), (2, &"summary".into(), &"copied".into()));
    assert_eq!((&told[0]["snapshot_id"], &told[1]["action"]), (&told[1]["source_snapshot_id"], &"copied".into()));
    assert!(second(&place, &["list", "--json"]).ok().contains(told[1]["copy_id"].as_str().unwrap()));
    push(&place, &["-n", "--force"]).ok();
    assert_eq!(snapshots(&place), [3, 3], "a dry run copies nothing");
}

#[test]
fn whatever_keeps_it_from_being_copied_the_push_is_done() {
    let place = place();
    let wrong = push_with(&place, "no", "second", &[]);
    assert!(wrong.fails(18).contains("was pushed, and is not copied to second"), "{}", wrong.err);
    assert!(wrong.err.contains("wrong password") && wrong.err.contains("snap copy"), "{}", wrong.err);
    assert!(place.snap(&["list", "-q"]).ok().contains(&wrong.out[..8]));
    let nowhere = push_with(&place, OTHER, "nowhere", &["-q"]);
    nowhere.fails(18);
    assert!(place.snap(&["list", "-q"]).ok().contains(nowhere.out.trim()));
    // It opens, and cannot be written.
    let folder = place.path("second/packs");
    fs::rename(&folder, place.path("packs")).unwrap();
    fs::write(&folder, "a file").unwrap();
    place.write("run/model", noise(4, 400_000));
    let json = push(&place, &["--json"]);
    json.fails(18);
    let told: Vec<_> = json.objects().into_iter().filter(|line| line["message_type"] != "status").collect();
    assert_eq!((&told[0]["message_type"], &told[1]["action"]), (&"summary".into(), &"failed".into()));
    assert_eq!(told[0]["snapshot_id"], told[1]["source_snapshot_id"]);
    let error = crate::harness::objects(&json.err).pop().unwrap();
    assert_eq!((&error["message_type"], &error["code"]), (&"exit_error".into(), &18.into()));
    assert_eq!(snapshots(&place)[0], 3);
    // Once that is mended a copy brings all of them.
    fs::remove_file(&folder).unwrap();
    fs::rename(place.path("packs"), &folder).unwrap();
    let copied = place.command(&["copy", "--to", "second"]).env("SNAP_TO_PASSWORD", OTHER).output().unwrap();
    Run::from(copied).ok();
    assert_eq!(second(&place, &["list", "-q"]).ok().lines().count(), 3);
    second(&place, &["check", "--read-data"]).ok();
}

#[test]
fn what_makes_no_sense_is_said_before_anything_is_pushed() {
    let place = place();
    push_with(&place, PASSWORD, ".snap", &[]).fails(2);
    push_with(&place, PASSWORD, "../work/run/../.snap", &[]).fails(2);
    // A copy of its files, and no password for the second one.
    fs::create_dir(place.path("twin")).unwrap();
    for (path, bytes) in tree(&place.path(".snap")) {
        place.write(&format!("twin/{path}"), bytes);
    }
    assert!(push_with(&place, PASSWORD, "twin", &[]).fails(2).contains("a copy of its files"));
    assert!(push_with(&place, "", "second", &[]).fails(2).contains("no password is given"));
    place.snap(&["push", "run", "--copy-to", "second", "--to-password-file", "nowhere"]).fails(2);
    push_with(&place, OTHER, "ftp://host/x", &[]).fails(2);
    place.snap(&["push", "run", "--to-password-file", "x"]).fails(2);
    place.snap(&["push", "run", "--copy-to", ""]).fails(2);
    assert_eq!(snapshots(&place), [0, 0]);
    // A table for `copy` alone makes no push copy.
    place.write("password", format!("{OTHER}\n"));
    place.write("snap.toml", "[copy]\nto = 'second'\nto-password-file = 'password'\n");
    place.push(&["run"]);
    assert_eq!(snapshots(&place), [1, 0]);
    // What opens it comes from there.
    place.snap(&["push", "run", "--copy-to", "second"]).ok();
    assert_eq!(snapshots(&place), [2, 1]);
}

#[test]
fn both_repositories_are_left_out_where_they_lie_in_what_is_pushed() {
    let place = place();
    let run = place.command(&["push", ".", "--copy-to", "second"]).env("SNAP_TO_PASSWORD", OTHER).output().unwrap();
    Run::from(run).ok();
    let listed = place.snap(&["ls", "latest", "-R"]);
    assert!(listed.ok().contains("model") && !listed.out.contains("second") && !listed.out.contains(".snap"), "{}", listed.out);
}

#[test]
fn a_second_store_that_does_not_answer_keeps_no_push_waiting() {
    let place = place();
    // Nobody takes what comes there: whoever connects waits for an answer.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut command = place.command(&["push", "run", "--copy-to", "s3://bucket/second"]);
    command.env("SNAP_TO_PASSWORD", OTHER).env("AWS_ENDPOINT_URL", format!("http://{}", silent.local_addr().unwrap()));
    command.env("AWS_REGION", "x").env("AWS_ACCESS_KEY_ID", "x").env("AWS_SECRET_ACCESS_KEY", "x");
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    out.read_line(&mut line).unwrap();
    assert!(line.contains("1 file") && child.try_wait().unwrap().is_none(), "{line}");
    assert_eq!(snapshots(&place)[0], 1);
    // It is at the copy now, which may be given up.
    kill_process(Pid::from_child(&child), Signal::INT).unwrap();
    let run: Run = child.wait_with_output().unwrap().into();
    assert!(run.fails(18).contains("was pushed, and is not copied to s3://bucket/second"), "{}", run.err);
    // What makes no sense is said at once.
    let mut command = place.command(&["push", "run", "--copy-to", "s3://bucket/second"]);
    let odd: Run = command.env("SNAP_TO_PASSWORD", OTHER).env("AWS_ENDPOINT_URL", "localhost").output().unwrap().into();
    assert!(odd.fails(2).contains("AWS_ENDPOINT_URL"), "{}", odd.err);
    assert_eq!(snapshots(&place)[0], 1);
}
