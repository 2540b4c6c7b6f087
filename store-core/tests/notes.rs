//! Notes of several writers: what somebody says while another one forgets is not lost, and a reader that does not know all drops nothing.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod rig;

use std::collections::BTreeSet;
use std::path::Path;

use rig::{Noise, Place, assert_whole, push_options};
use store_core::backend::{Folder, ObjectPath};
use store_core::base::ids::SnapshotId;
use store_core::error::ErrorKind;
use store_core::format::note::Statement;
use store_core::format::record::Time;
use store_core::monitor::Silent;
use store_core::ops::forget::{self, Options, by_policy, carry_out, named, undo};
use store_core::ops::push::push;
use store_core::ops::tag::{self, Hold, tag};
use store_core::ops::{check, list, repair};
use store_core::repo::Repo;

/// A repository of so many snapshots of one series, a day apart, oldest first.
fn repository(folder: &Path, count: u32) -> (Place, Repo, Vec<SnapshotId>) {
    let place = Place::below(folder);
    let repo = place.init();
    let data = folder.join("data");
    std::fs::create_dir(&data).unwrap();
    let mut noise = Noise::new(7);
    let pushed = (0..count).map(|day| {
        std::fs::write(data.join("file"), noise.bytes(5_000)).unwrap();
        let time = Some(Time { seconds: 1_767_225_600 + i64::from(day) * 86_400, nanos: 0 });
        let options = store_core::ops::push::Options { series: Some("s".into()), time, ..push_options(&data) };
        push(&repo, options, &Silent).unwrap().snapshot.unwrap()
    });
    let ids = pushed.collect();
    (place, repo, ids)
}

fn keep_last(count: u32) -> Options {
    Options { policy: Some(format!("[[retention]]\nkeep-last = {count}").parse().unwrap()), ..Options::default() }
}

fn shown(repo: &Repo) -> Vec<SnapshotId> {
    repo.snapshots().unwrap().iter().map(|stored| stored.id).collect()
}

fn live(repo: &Repo, now: Time) -> Vec<SnapshotId> {
    let all = repo.live_snapshots(now).unwrap();
    let dropped: Vec<SnapshotId> = all.dropped.iter().map(|stored| stored.id).collect();
    let live: Vec<SnapshotId> = all.live.iter().map(|stored| stored.id).collect();
    assert!(dropped.iter().all(|id| !live.contains(id) && !shown(repo).contains(id)));
    live
}

fn later(seconds: u64) -> Time {
    let now = store_core::clock::now();
    Time { seconds: now.seconds.saturating_add_unsigned(seconds), ..now }
}

#[test]
fn what_is_said_between_a_plan_and_its_deed_is_kept() {
    let folder = tempfile::tempdir().unwrap();
    let (place, repo, ids) = repository(folder.path(), 8);
    let plan = by_policy(&repo, &keep_last(3)).unwrap();
    assert_eq!(plan.dropped().count(), 5);
    // Another host, meanwhile.
    let other = place.open().unwrap();
    let say = |id: SnapshotId, options: tag::Options| drop(tag(&other, &[id], &options).unwrap());
    say(ids[0], tag::Options { pin: Some(Hold::default()), ..tag::Options::default() });
    say(ids[1], tag::Options { add: vec!["gold".into()], ..tag::Options::default() });
    say(ids[2], tag::Options { refs: vec!["production".into()], ..tag::Options::default() });
    carry_out(&repo, &plan).unwrap();
    assert_eq!(shown(&repo), [&ids[..3], &ids[5..]].concat());
    assert_eq!(shown(&other), shown(&repo));
    assert_eq!(live(&repo, later(8 * 86_400)), shown(&repo), "not only for now");
    // With what it knows by now it may drop the others.
    carry_out(&repo, &by_policy(&repo, &keep_last(3)).unwrap()).unwrap();
    assert_eq!(shown(&repo), [&ids[..1], &ids[5..]].concat());
}

#[test]
fn the_trash_keeps_what_is_forgotten_until_its_time_is_over() {
    let folder = tempfile::tempdir().unwrap();
    let (_, repo, ids) = repository(folder.path(), 4);
    carry_out(&repo, &named(&repo, &ids[..1], None).unwrap()).unwrap();
    carry_out(&repo, &named(&repo, &ids[1..2], Some(3600)).unwrap()).unwrap();
    carry_out(&repo, &named(&repo, &ids[2..3], Some(0)).unwrap()).unwrap();
    assert_eq!(shown(&repo), ids[3..]);
    assert_eq!(live(&repo, later(0)), [ids[0], ids[1], ids[3]]);
    assert_eq!(live(&repo, later(3601)), [ids[0], ids[3]]);
    assert_eq!(live(&repo, later(7 * 86_400 + 1)), ids[3..]);
    assert_eq!(live(&repo, Time { seconds: i64::MIN, nanos: 0 }), [ids[0], ids[1], ids[3]], "a clock that is behind keeps longer");
    undo(&repo, &ids[..3], false).unwrap();
    assert_eq!(live(&repo, later(u64::MAX)), ids);
    assert_whole(&repo);
}

#[test]
fn forgetting_and_undoing_at_once_keeps() {
    let folder = tempfile::tempdir().unwrap();
    let (place, repo, ids) = repository(folder.path(), 4);
    carry_out(&repo, &named(&repo, &ids[..1], None).unwrap()).unwrap();
    let (one, other) = (place.open().unwrap(), place.open().unwrap());
    undo(&one, &[], false).unwrap();
    let again = named(&other, &ids[..1], None).unwrap();
    let seen = other.standing().unwrap().fold.heads;
    // The second undo and the second forgetting know of the first undo, and not of one another.
    other.write_notes(vec![Statement::Unforget { snapshot: ids[0] }], &seen).unwrap();
    carry_out(&one, &again).unwrap();
    assert_eq!(shown(&repo), ids);
    assert_eq!(undo(&repo, &[], false).unwrap_err().kind(), ErrorKind::Usage);
}

#[test]
fn a_prune_tells_what_a_program_that_does_not_tell_has_forgotten() {
    let folder = tempfile::tempdir().unwrap();
    let (place, repo, _) = repository(folder.path(), 1);
    let data = folder.path().join("data");
    let pushed = (1..=3).map(|day| {
        let time = Some(Time { seconds: 1_767_312_000 + i64::from(day) * 86_400, nanos: 0 });
        let options = store_core::ops::push::Options { refs: vec!["production".into()], time, ..push_options(&data) };
        push(&repo, options, &Silent).unwrap().snapshot.unwrap()
    });
    let ids: Vec<SnapshotId> = pushed.collect();
    let before = repo.standing().unwrap().fold.refs;
    assert_eq!(before["production"].len(), 3);
    let statement = |id: &SnapshotId| Statement::Forget { snapshot: *id, reason: "old\ntrash=0".into() };
    let heads = repo.standing().unwrap().fold.heads;
    repo.write_notes(ids[1..].iter().map(statement).collect(), &heads).unwrap();
    let options = store_core::ops::prune::Options { execute: true, ..Default::default() };
    assert_eq!(store_core::ops::prune::prune(&repo, &options, &Silent).unwrap().dropped_snapshots, 2);
    let after = place.open().unwrap().standing().unwrap();
    assert_eq!((after.fold.refs, after.snapshots.len(), after.notes.len()), (before, 2, 2));
    assert_eq!(after.snapshots[1].standing.left.keys().collect::<Vec<_>>(), ["production"]);
    // Nothing more is said when there is nothing more to tell.
    store_core::ops::prune::prune(&repo, &options, &Silent).unwrap();
    assert_eq!(repo.standing().unwrap().notes.len(), 2);
}

#[test]
fn policies_that_are_set_at_once_govern_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let (place, repo, ids) = repository(folder.path(), 4);
    forget::set_policy(&repo, "[[retention]]\nkeep-last = 3").unwrap();
    let seen = repo.standing().unwrap().fold.heads;
    for count in [1, 2] {
        let toml = format!("[[retention]]\nkeep-last = {count}");
        place.open().unwrap().write_notes(vec![Statement::Policy { toml }], &seen).unwrap();
    }
    let refused = by_policy(&repo, &Options::default()).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Refused, "{refused}");
    // Nor does one of them say how long the trash keeps.
    let trash = || {
        let flags = by_policy(&repo, &Options { stored_trash: true, ..keep_last(3) }).unwrap().trash;
        [named(&repo, &ids[..1], None).unwrap().trash, flags, by_policy(&repo, &keep_last(3)).unwrap().trash]
    };
    assert_eq!(trash(), [7 * 86_400; 3]);
    forget::set_policy(&repo, "trash = '2d'\n[[retention]]\nkeep-last = 3").unwrap();
    assert_eq!(trash(), [2 * 86_400, 2 * 86_400, 7 * 86_400]);
    forget::set_policy(&repo, "[[retention]]\nkeep-last = 3").unwrap();
    assert_eq!(by_policy(&repo, &Options::default()).unwrap().dropped().count(), 1);
    // One that this version does not understand keeps all.
    let seen = repo.standing().unwrap().fold.heads;
    repo.write_notes(vec![Statement::Policy { toml: "keep-everything-that-matters = true".into() }], &seen).unwrap();
    assert_eq!(by_policy(&repo, &Options::default()).unwrap_err().kind(), ErrorKind::Refused);
}

#[test]
fn many_writers_at_once_lose_no_word() {
    const WRITERS: usize = 6;
    let folder = rig::quick_folder();
    let (place, repo, ids) = repository(folder.path(), 6);
    std::thread::scope(|scope| {
        for writer in 0..WRITERS {
            let (place, ids) = (&place, &ids);
            scope.spawn(move || {
                let repo = place.open().unwrap();
                let id = ids[writer];
                for round in 0..5 {
                    let add = vec![format!("{writer}.{round}")];
                    tag(&repo, &[id], &tag::Options { add, refs: vec!["last".into()], ..tag::Options::default() }).unwrap();
                    // It may be that another one has said something of it meanwhile: then it stays.
                    if let Ok(plan) = named(&repo, &[id], None) {
                        carry_out(&repo, &plan).unwrap();
                    }
                    let _ = undo(&repo, &[id], false);
                }
            });
        }
    });
    let standings = place.open().unwrap().standing().unwrap();
    assert_eq!(shown(&repo), ids);
    assert!(standings.fold.lost.is_empty());
    for (writer, stored) in standings.snapshots.iter().enumerate() {
        let tags: BTreeSet<String> = (0..5).map(|round| format!("{writer}.{round}")).collect();
        assert_eq!(stored.snapshot.tags, tags);
    }
    let moves = list::refs(&repo, &list::Filter::default()).unwrap();
    assert!(moves.len() >= WRITERS, "every move is in the history: {}", moves.len());
    assert_whole(&repo);
}

#[test]
fn no_prune_goes_on_while_anything_is_lost() {
    let folder = tempfile::tempdir().unwrap();
    let (place, repo, ids) = repository(folder.path(), 4);
    carry_out(&repo, &named(&repo, &ids[..1], Some(0)).unwrap()).unwrap();
    undo(&repo, &[], false).unwrap();
    let notes = || -> Vec<std::path::PathBuf> {
        let listing = std::fs::read_dir(place.repo.join(Folder::Notes.name())).unwrap();
        listing.map(|item| item.unwrap().path()).collect()
    };
    let heads = repo.standing().unwrap().fold.heads;
    // Whichever note is damaged, the snapshot stays.
    for path in notes() {
        let kept = std::fs::read(&path).unwrap();
        let last = heads.iter().any(|head| path.ends_with(head.to_string()));
        std::fs::remove_file(&path).unwrap();
        // That the last one is missing nobody can tell, before somebody has seen it.
        assert!(last || shown(&repo).contains(&ids[0]));
        std::fs::write(&path, &kept[..kept.len() - 1]).unwrap();
        assert!(shown(&repo).contains(&ids[0]));
        for now in [later(0), later(u64::MAX)] {
            assert_eq!(repo.live_snapshots(now).unwrap_err().kind(), ErrorKind::Damage);
        }
        assert_eq!(by_policy(&repo, &keep_last(3)).unwrap_err().kind(), ErrorKind::Damage);
        let report = check::check(&repo, &check::Options::default(), &Silent).unwrap();
        assert_eq!(report.findings.len(), 1, "{:?}", report.findings);
        std::fs::write(&path, kept).unwrap();
        assert_eq!(live(&repo, later(0)), ids);
    }
    // A snapshot that cannot be read may be pinned, tagged, or the newest.
    let outcome = place.repo.join(ObjectPath::Outcome(ids[2]).to_string());
    let kept = std::fs::read(&outcome).unwrap();
    std::fs::remove_file(&outcome).unwrap();
    std::fs::write(&outcome, b"SNAP").unwrap();
    assert_eq!(repo.live_snapshots(later(0)).unwrap_err().kind(), ErrorKind::Damage);
    assert_eq!(by_policy(&repo, &keep_last(1)).unwrap_err().kind(), ErrorKind::Damage);
    std::fs::remove_file(&outcome).unwrap();
    std::fs::write(&outcome, kept).unwrap();
    // Without a copy, notes are given up, and all is kept.
    carry_out(&repo, &named(&repo, &ids[1..2], Some(0)).unwrap()).unwrap();
    std::fs::remove_file(notes().pop().unwrap()).unwrap();
    let path = notes().pop().unwrap();
    std::fs::remove_file(&path).unwrap();
    std::fs::write(&path, b"").unwrap();
    repair::notes(&repo, false).unwrap();
    assert_eq!(live(&repo, later(u64::MAX)), ids);
    assert_whole(&repo);
}

/// What a command pays for the notes there are: `SNAP_NOTES=10000 cargo test --release -p store-core --test notes many -- --ignored --nocapture`.
#[test]
#[ignore = "a measurement: a command"]
fn many_notes_are_opened_and_folded() {
    let count: usize = std::env::var("SNAP_NOTES").map_or(10_000, |count| count.parse().unwrap());
    let folder = rig::quick_folder();
    let (_, repo, ids) = repository(folder.path(), 30);
    let mut seen = repo.standing().unwrap().fold.heads;
    for number in 0..count {
        let statement = Statement::Tags { snapshot: ids[number % ids.len()], add: vec![format!("tag{}", number % 7)], remove: Vec::new() };
        seen = repo.write_notes(vec![statement], &seen).unwrap().into_iter().collect();
    }
    let started = std::time::Instant::now();
    let standings = repo.standing().unwrap();
    let took = started.elapsed();
    let bytes: u64 = repo_files(&folder.path().join("repo/notes"));
    eprintln!("{} notes, {bytes} bytes: opened and folded in {:.3} s", standings.notes.len(), took.as_secs_f64());
    assert!(standings.notes.len() == count && standings.fold.heads.len() == 1 && standings.fold.lost.is_empty());
    assert!(standings.snapshots.iter().all(|stored| stored.snapshot.tags.len() == 7));
}

fn repo_files(folder: &Path) -> u64 {
    std::fs::read_dir(folder).unwrap().map(|item| item.unwrap().metadata().unwrap().len()).sum()
}
