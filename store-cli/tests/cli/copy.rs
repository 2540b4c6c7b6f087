use std::fs;
use std::process::{Command, Stdio};

use crate::harness::{Place, Run, noise, objects_of, tree};

const OTHER: &str = "battery staple";

/// A place with a second repository, at `second`, that another password opens.
fn place() -> Place {
    let place = Place::new();
    let made = place.command(&["init", "-r", "second"]).env("SNAP_PASSWORD", OTHER).output().unwrap();
    Run::from(made).ok();
    place
}

fn command(place: &Place, args: &[&str]) -> Command {
    let mut command = place.command(&[&["copy", "--to", "second"], args].concat());
    command.env("SNAP_TO_PASSWORD", OTHER);
    command
}

fn copy(place: &Place, args: &[&str]) -> Run {
    command(place, args).output().unwrap().into()
}

/// A verb in the second repository.
fn second(place: &Place, args: &[&str]) -> Run {
    place.command(&[&["-r", "second"], args].concat()).env("SNAP_PASSWORD", OTHER).output().unwrap().into()
}

fn version(place: &Place, seed: u64) -> Vec<(String, Vec<u8>)> {
    place.write("run/model.bin", [noise(1, 2_000_000), noise(seed, 300_000)].concat());
    place.write("run/sub/still", noise(77, 9_000));
    place.write("run/log", format!("step {seed}\n").repeat(100));
    tree(&place.path("run"))
}

#[test]
fn snapshots_are_restored_from_the_second_repository_and_copied_once() {
    let place = place();
    let mut versions = Vec::new();
    for seed in 2..5 {
        let files = version(&place, seed);
        versions.push((place.push(&["run", "--series", "s", "--meta", &format!("step={seed}"), "--ref", &format!("v{seed}")]), files));
    }
    let first = copy(&place, &["--verify"]);
    assert!(first.ok().contains(&versions[0].0[..8]) && first.out.contains("copied 3 snapshots"), "{}", first.out);
    for (seed, (_, files)) in (2..).zip(&versions) {
        let target = format!("out{seed}");
        second(&place, &["restore", &format!("v{seed}"), "-t", &target, "--verify"]).ok();
        assert_eq!(tree(&place.path(&target)), *files);
    }
    second(&place, &["check", "--read-data"]).ok();
    let times = |run: &Run| run.objects().iter().map(|line| (line["time"].clone(), line["meta"].clone())).collect::<Vec<_>>();
    let (here, there) = (place.snap(&["list", "--json"]), second(&place, &["list", "--json"]));
    here.ok();
    there.ok();
    assert_eq!(times(&here), times(&there));

    let again = copy(&place, &["--json"]);
    again.ok();
    let summary = again.objects().pop().unwrap();
    assert_eq!((&summary["snapshots_copied"], &summary["snapshots_present"]), (&0.into(), &3.into()));
    version(&place, 5);
    place.push(&["run", "--series", "s"]);
    let ids = copy(&place, &["-q"]);
    assert_eq!(ids.ok().lines().map(str::len).collect::<Vec<_>>(), [64], "the copy's id alone");
    let pushed = second(&place, &["push", "run", "--series", "s", "--json"]);
    pushed.ok();
    let pushed = pushed.objects().pop().unwrap();
    assert_eq!((&pushed["files_unmodified"], &pushed["bytes_read"], &pushed["chunks_new"]), (&3.into(), &0.into(), &0.into()));
}

#[test]
fn some_are_chosen_by_name_by_filter_and_by_period() {
    let place = place();
    for (seed, day) in [(2, "2026-01-30 10:00"), (3, "2026-01-30 12:00"), (4, "2026-01-31 12:00"), (5, "2026-02-01 12:00")] {
        version(&place, seed);
        place.push(&["run", "--series", "s", "--time", day]);
        place.push(&["run/log", "--series", "logs", "--time", day]);
    }
    let would = |args: &[&str]| {
        let run = copy(&place, &[args, &["-n", "--json"]].concat());
        run.ok();
        run.objects().pop().unwrap()["snapshots_copied"].as_u64().unwrap()
    };
    assert_eq!(would(&[]), 8);
    assert_eq!(would(&["--series", "s"]), 4);
    assert_eq!(would(&["latest", "latest~1", "--series", "s"]), 2);
    assert_eq!(would(&["--select", "daily"]), 6);
    assert_eq!(would(&["--select", "monthly", "--series", "s"]), 2);
    assert_eq!(objects_of(&place.path("second"), "snapshots").len(), 0, "a dry run copies nothing");
    copy(&place, &["--select", "monthly"]).ok();
    assert_eq!(objects_of(&place.path("second"), "snapshots").len(), 4);
    copy(&place, &["--select", "fortnightly"]).fails(2);
}

#[test]
fn what_opens_the_second_repository_is_its_own() {
    let place = place();
    version(&place, 2);
    place.push(&["run"]);
    assert!(Run::from(place.command(&["copy"]).output().unwrap()).fails(2).contains("--to"));
    let wrong = place.command(&["copy", "--to", "second"]).env("SNAP_TO_PASSWORD", "no").output().unwrap();
    Run::from(wrong).fails(12);
    let none = place.command(&["copy", "--to", "second"]).output().unwrap();
    assert!(Run::from(none).fails(2).contains("SNAP_TO_PASSWORD"));
    let nowhere = place.command(&["copy", "--to", "nowhere"]).env("SNAP_TO_PASSWORD", OTHER).output().unwrap();
    Run::from(nowhere).fails(10);
    let itself = place.command(&["copy", "--to", ".snap"]).env("SNAP_TO_PASSWORD", crate::harness::PASSWORD).output().unwrap();
    Run::from(itself).fails(2);
    place.write("password", format!("{OTHER}\n"));
    place.write("snap.toml", "[copy]\nto = 'second'\nto-password-file = 'password'\n");
    place.snap(&["copy"]).ok();
    assert!(second(&place, &["list", "-q"]).ok().lines().count() == 1);
}

#[test]
fn a_copy_that_is_killed_goes_on() {
    let place = place();
    for seed in 2..5 {
        place.write("run/large", noise(seed, 20_000_000));
        place.push(&["run", "--series", "s", "--ref", &format!("v{seed}")]);
    }
    let mut child = command(&place, &["--memory", "64MiB"]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    while objects_of(&place.path("second"), "packs").is_empty() && child.try_wait().unwrap().is_none() {
        std::thread::yield_now();
    }
    // Killed or ended by itself: what comes out is the same.
    let _ = child.kill();
    child.wait().unwrap();
    let report = copy(&place, &["--json", "--verify"]);
    report.ok();
    let summary = report.objects().pop().unwrap();
    let count = |name: &str| summary[name].as_u64().unwrap();
    assert_eq!(count("snapshots_copied") + count("snapshots_present"), 3);
    second(&place, &["check", "--read-data"]).ok();
    second(&place, &["restore", "v4", "-t", "out"]).ok();
    assert_eq!(tree(&place.path("out")), tree(&place.path("run")));
    assert_eq!(objects_of(&place.path("second"), "sessions").len(), 0, "the killed one's session was ended");
}

#[test]
fn what_is_lost_is_restored_from_the_second_repository() {
    let place = place();
    let files = version(&place, 2);
    place.push(&["run", "--series", "s", "--ref", "v"]);
    copy(&place, &[]).ok();
    let largest = objects_of(&place.path(".snap"), "packs").into_iter().max_by_key(|path| fs::metadata(path).unwrap().len()).unwrap();
    let mut bytes = fs::read(&largest).unwrap();
    // In the first blobs, which are data: lists are written last.
    bytes[5_000] ^= 1;
    fs::remove_file(&largest).unwrap();
    fs::write(&largest, bytes).unwrap();
    place.snap(&["restore", "v", "-t", "alone"]).fails(15);
    let with = |args: &[&str]| {
        let mut command = place.command(&[&["restore", "v", "-t", "both", "--from", "second"], args].concat());
        Run::from(command.env("SNAP_FROM_PASSWORD", OTHER).output().unwrap())
    };
    let run = with(&["--verify"]);
    assert!(run.ok().contains("from the second repository"), "{}", run.out);
    assert_eq!(tree(&place.path("both")), files);
    fs::remove_dir_all(place.path("both")).unwrap();
    let run = with(&["--json"]);
    run.ok();
    assert!(run.objects().pop().unwrap()["bytes_from_second"].as_u64().unwrap() > 0);
    place.snap(&["restore", "v", "-t", "x", "--from", "second"]).fails(2);
    let wrong = place.command(&["restore", "v", "-t", "x", "--from", "second"]).env("SNAP_FROM_PASSWORD", "no").output().unwrap();
    assert!(Run::from(wrong).fails(12).contains("--from-password-file"));
}

#[test]
fn a_repair_writes_again_what_the_second_repository_has() {
    let place = place();
    let files = version(&place, 2);
    place.push(&["run", "--series", "s", "--ref", "v"]);
    copy(&place, &[]).ok();
    // Half of it is in this repository alone.
    place.write("run/more.bin", noise(9, 500_000));
    place.push(&["run", "--series", "s", "--ref", "w"]);
    let later = tree(&place.path("run"));
    let repair = |args: &[&str]| {
        let mut command = place.command(&[&["repair", "packs", "--from", "second", "--read-data"], args].concat());
        Run::from(command.env("SNAP_FROM_PASSWORD", OTHER).output().unwrap())
    };
    // Every pack is cut short in its first blob, or gone.
    for (which, pack) in objects_of(&place.path(".snap"), "packs").iter().enumerate() {
        let bytes = fs::read(pack).unwrap();
        fs::remove_file(pack).unwrap();
        if which % 2 == 0 {
            fs::write(pack, &bytes[..100]).unwrap();
        }
    }
    place.snap(&["check", "--read-data"]).fails(15);
    let plan = repair(&[]);
    assert!(plan.fails(15).contains("can come from the second repository") || plan.out.contains("can come from the second repository"));
    place.snap(&["restore", "v", "-t", "no"]).fails(15);
    let done = repair(&["--execute", "--json"]);
    done.fails(15);
    let summary = done.objects().into_iter().find(|line| line["message_type"] == "summary").unwrap();
    assert!(summary["chunks_healed"].as_u64().unwrap() > 0 && summary["nodes_healed"].as_u64().unwrap() > 0, "{summary}");
    assert!(summary["findings_left"].as_u64().unwrap() > 0, "{summary}");
    place.snap(&["restore", "v", "-t", "out", "--verify"]).ok();
    assert_eq!(tree(&place.path("out")), files);
    place.snap(&["restore", "w", "-t", "no"]).fails(15);
    // What the second one lacks comes with a push of it.
    place.push(&["run", "--series", "s", "--force"]);
    place.snap(&["check", "--read-data"]).ok();
    place.snap(&["restore", "w", "-t", "later", "--verify"]).ok();
    assert_eq!(tree(&place.path("later")), later);
    let again = repair(&["--execute"]);
    assert!(again.ok().contains("no damaged pack is known"), "{}", again.out);
    let itself =
        place.command(&["repair", "packs", "--from", ".snap"]).env("SNAP_FROM_PASSWORD", crate::harness::PASSWORD).output().unwrap();
    Run::from(itself).fails(2);
}

#[test]
fn a_damaged_snapshot_is_passed_over_and_told() {
    let place = place();
    version(&place, 2);
    place.push(&["run", "--series", "s"]);
    place.write("small/file", "some text");
    place.push(&["small", "--series", "small"]);
    let largest = objects_of(&place.path(".snap"), "packs").into_iter().max_by_key(|path| fs::metadata(path).unwrap().len()).unwrap();
    fs::remove_file(largest).unwrap();
    let run = copy(&place, &[]);
    assert!(run.fails(15).contains("is not copied"), "{}", run.err);
    assert!(run.out.contains("copied 1 snapshot  1 damaged"), "{}", run.out);
}

#[test]
fn a_copy_goes_on_when_nobody_reads_of_it() {
    let place = place();
    for seed in 2..5 {
        version(&place, seed);
        place.push(&["run", "--series", "s"]);
    }
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    assert_eq!(command(&place, &[]).stdout(writer).output().unwrap().status.code(), Some(0));
    assert_eq!(second(&place, &["list", "-q"]).ok().lines().count(), 3);
}
