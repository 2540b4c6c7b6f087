//! Copies into repositories with other keys and other sizes of chunks: every version comes back as it was, what is there already is passed over,
//! an interrupted copy goes on, and a later push of the same files to the target finds them.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "disk/damaged.rs"]
mod damaged;
mod disk;
mod rig;
#[path = "disk/tiny.rs"]
mod tiny;

use std::os::unix::fs::{FileExt as _, PermissionsExt as _};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use damaged::{Harm, fresh};
use disk::{Disk, Forgets, Moment, Survives};
use rig::{Heard, Noise, Tree, assert_restores, assert_whole, push_options, restored, secrets, tree_at};
use store_core::backend::{Backend as _, MemoryBackend, ObjectPath};
use store_core::base::ids::SnapshotId;
use store_core::error::{Error, ErrorKind};
use store_core::format::config::Config;
use store_core::format::lost::{LOST, REPAIRS};
use store_core::format::record::Time;
use store_core::monitor::{Monitor, Progress, Silent};
use store_core::ops::copy::{Fate, Options, Report, copy};
use store_core::ops::push::{self, Parent};
use store_core::ops::repair::{self, PacksOptions, SnapshotsOptions};
use store_core::ops::{forget, list, tag};
use store_core::repo::Repo;
use tiny::{Folders, init, write_version};

/// Copies all and says what became of each.
fn copy_with(from: &Repo, to: &Repo, options: &Options, monitor: &dyn Monitor) -> Result<(Report, Vec<(SnapshotId, Fate)>), Error> {
    let mut fates = Vec::new();
    let all = list::list(from, &list::Filter::default()).unwrap();
    let report = copy(from, to, &all, options, monitor, &mut |item, fate| {
        fates.push((item.id, *fate));
        Ok(())
    })?;
    Ok((report, fates))
}

/// Copies all that can be, and compares.
fn copy_all(from: &Repo, to: &Repo) -> (Report, Vec<(SnapshotId, Fate)>) {
    copy_with(from, to, &Options { verify: true, ..Options::default() }, &Silent).unwrap()
}

fn copied(fate: &Fate) -> push::Report {
    let Fate::Copied(report) = fate else { panic!("{fate:?}") };
    *report
}

/// A repository in memory with chunks of other sizes than the tiny ones.
fn other(cache: &Path) -> Repo {
    let usual = Config::new(Time { seconds: 1_700_000_000, nanos: 0 });
    let config =
        Config { chunk_min: 400, chunk_avg: 2048, chunk_max: 9000, segment_len: 3000, blob_len: 20_000, pack_len: 30_000, ..usual };
    Repo::init_on(Arc::new(MemoryBackend::default()), config, &tiny::options(cache), &secrets(), "other").unwrap().0.with_index_in_memory()
}

/// Versions of one folder in a tiny repository.
struct Versions {
    folders: Folders,
    repo: Repo,
    made: Vec<(SnapshotId, Tree)>,
}

impl Versions {
    fn new(seed: u64, versions: u64) -> Self {
        let folders = Folders::new();
        let repo = init(&Disk::new(), &folders.cache);
        let (mut noise, mut made) = (Noise::new(seed), Vec::new());
        for version in 0..versions {
            write_version(&folders.data, &mut noise, version);
            std::fs::create_dir_all(folders.data.join("still/deeper")).unwrap();
            if version == 0 {
                std::fs::write(folders.data.join("still/deeper/file"), noise.bytes(9000)).unwrap();
            }
            let time = Time { seconds: 1_700_000_000 + version as i64, nanos: 5 };
            let options = push::Options { time: Some(time), host: Some("there".into()), ..push_options(&folders.data) };
            made.push((push::push(&repo, options, &Silent).unwrap().snapshot.unwrap(), tree_at(&folders.data)));
        }
        Self { folders, repo, made }
    }

    fn cache(&self, name: &str) -> std::path::PathBuf {
        self.folders.cache.join(name)
    }
}

#[test]
fn versions_come_back_from_a_copy_with_other_keys_and_sizes() {
    let versions = Versions::new(1, 5);
    let to = other(&versions.cache("to"));
    let (report, fates) = copy_all(&versions.repo, &to);
    assert_eq!((report.copied, report.present, report.failed), (5, 0, 0));
    assert_whole(&to);
    let mut parent = None;
    for ((id, fate), (made, tree)) in fates.iter().zip(&versions.made) {
        assert_eq!(id, made);
        let one = copied(fate);
        assert_eq!(one.parent, parent, "each is compared with the copy of the one before");
        parent = one.snapshot;
        assert_restores(&to, one.snapshot.unwrap(), tree);
        let (old, new) = (rig::find(&versions.repo, *id).unwrap(), rig::find(&to, one.snapshot.unwrap()).unwrap());
        let said = |stored: &store_core::repo::StoredSnapshot| {
            let snapshot = stored.snapshot.clone();
            (snapshot.time, snapshot.zone, snapshot.host, snapshot.user, snapshot.paths, snapshot.totals.files, snapshot.totals.bytes)
        };
        assert_eq!(said(&old), said(&new));
        assert_eq!(new.snapshot.totals.directories, old.snapshot.totals.directories);
    }
    let (again, _) = copy_all(&versions.repo, &to);
    assert_eq!((again.copied, again.present, again.stored_bytes), (0, 5, 0));
}

#[test]
fn what_did_not_change_is_taken_over_unread_and_the_rest_has_bases() {
    let versions = Versions::new(2, 4);
    let to = other(&versions.cache("to"));
    let (_, fates) = copy_with(&versions.repo, &to, &Options::default(), &Silent).unwrap();
    for ((_, fate), (id, tree)) in fates.iter().zip(&versions.made).skip(1) {
        let (one, pushed) = (copied(fate), rig::find(&versions.repo, *id).unwrap().snapshot.totals);
        let still = 9000;
        assert!(one.bytes_read > 0 && one.bytes_read + still <= one.bytes, "{one:?}");
        assert_eq!(one.files_new + one.files_changed + one.files_unmodified, pushed.files);
        assert_restores(&to, one.snapshot.unwrap(), tree);
    }
}

#[test]
fn a_push_of_the_same_files_to_the_target_finds_all_of_them() {
    let versions = Versions::new(3, 3);
    for to in [other(&versions.cache("to")), init(&Disk::new(), &versions.cache("same sizes"))] {
        let (_, fates) = copy_all(&versions.repo, &to);
        let last = copied(&fates[2].1).snapshot;
        // As it is pushed every day: nothing is even read.
        let host = Some("there".to_owned());
        let quick = push::push(&to, push::Options { host: host.clone(), ..push_options(&versions.folders.data) }, &Silent).unwrap();
        assert_eq!((quick.parent, quick.bytes_read, quick.chunks_new, quick.files_changed), (last, 0, 0, 0), "{quick:?}");
        // And when all is read, all of it is known.
        let options = push::Options { host, parent: Parent::None, ..push_options(&versions.folders.data) };
        let slow = push::push(&to, options, &Silent).unwrap();
        assert!(slow.bytes_read > 0 && slow.chunks_new == 0, "{slow:?}");
        let roots = |id| rig::find(&to, id).unwrap().snapshot.root;
        assert_eq!(roots(quick.snapshot.unwrap()), roots(last.unwrap()), "the copy has the very lists of a push");
        assert_eq!(roots(slow.snapshot.unwrap()), roots(last.unwrap()));
    }
}

#[test]
fn what_a_copy_stores_is_what_a_push_stores() {
    let versions = Versions::new(4, 6);
    let (copied, pushed) = (init(&Disk::new(), &versions.cache("copied")), init(&Disk::new(), &versions.cache("pushed")));
    let (report, _) = copy_all(&versions.repo, &copied);
    let mut bytes = 0;
    for (version, (_, tree)) in versions.made.iter().enumerate() {
        let folder = versions.folders.data.with_extension(version.to_string());
        damaged::write_tree(&folder, tree);
        let options = push::Options { series: Some("s".into()), ..push_options(&folder) };
        bytes += push::push(&pushed, options, &Silent).unwrap().stored_bytes;
    }
    // Chunks are cut by secrets, and are few here: the two differ by chance.
    assert!(report.stored_bytes * 4 < bytes * 5 && bytes * 4 < report.stored_bytes * 5, "{} and {bytes}", report.stored_bytes);
}

#[test]
fn holes_links_attributes_and_empty_things_are_copied() {
    let folders = Folders::new();
    let (data, disk) = (&folders.data, Disk::new());
    let from = init(&disk, &folders.cache);
    std::fs::create_dir_all(data.join("empty")).unwrap();
    std::fs::write(data.join("nothing"), "").unwrap();
    let sparse = std::fs::File::create(data.join("sparse")).unwrap();
    sparse.set_len(30 << 20).unwrap();
    sparse.write_all_at(&Noise::new(1).bytes(100_000), 12 << 20).unwrap();
    sparse.write_all_at(b"near the end", (30 << 20) - 5000).unwrap();
    std::fs::write(data.join("large"), Noise::new(2).bytes(9 << 20)).unwrap();
    std::fs::hard_link(data.join("large"), data.join("second name")).unwrap();
    std::os::unix::fs::symlink("nowhere", data.join("link")).unwrap();
    std::fs::set_permissions(data.join("nothing"), std::fs::Permissions::from_mode(0o4711)).unwrap();
    push::push(&from, push_options(data), &Silent).unwrap();
    let to = other(&folders.cache.join("to"));
    let (report, fates) = copy_all(&from, &to);
    assert_eq!((report.copied, report.failed), (1, 0));
    let id = copied(&fates[0].1).snapshot.unwrap();
    assert_restores(&to, id, &tree_at(data));
    let target = rig::quick_folder();
    let options = store_core::ops::restore::Options { target: target.path().into(), ..Default::default() };
    store_core::ops::restore::restore(&to, &rig::find(&to, id).unwrap(), &options, &Silent).unwrap();
    use std::os::unix::fs::MetadataExt as _;
    let of = |name: &str| std::fs::metadata(target.path().join(name)).unwrap();
    assert_eq!(of("large").ino(), of("second name").ino());
    assert_eq!(of("nothing").mode() & 0o7777, 0o4711);
    let slow = push::push(&to, push::Options { parent: Parent::None, ..push_options(data) }, &Silent).unwrap();
    assert_eq!(slow.chunks_new, 0, "holes are cut as they are in the file system");
}

/// Interrupts after so many reports of progress.
struct Interrupts(AtomicU64);

impl Monitor for Interrupts {
    fn progress(&self, _: &Progress) {
        let _ = self.0.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| Some(left.saturating_sub(1)));
    }

    fn interrupted(&self) -> bool {
        self.0.load(Ordering::SeqCst) == 0
    }
}

#[test]
fn an_interrupted_copy_goes_on() {
    let versions = Versions::new(5, 4);
    let mut interrupted = 0;
    for after in [1, 7, 15, 25, 40] {
        let disk = Disk::new();
        let to = init(&disk, &versions.cache(&after.to_string()));
        match copy_with(&versions.repo, &to, &Options::default(), &Interrupts(AtomicU64::new(after))) {
            Ok(_) => {}
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Interrupted, "{error}");
                interrupted += 1;
            }
        }
        let there = to.snapshots().unwrap().len() as u64;
        let (report, fates) = copy_all(&versions.repo, &to);
        assert_eq!((report.present, report.copied + report.present), (there, 4));
        assert_eq!(fates.len(), 4);
        assert_whole(&to);
    }
    assert!(interrupted >= 2);
}

#[test]
fn a_copy_that_is_killed_after_any_step_goes_on() {
    let versions = Versions::new(6, 2);
    let empty = Disk::new();
    drop(init(&empty, &versions.cache("to")));
    let before = empty.objects();
    let disk = Disk::that(Forgets::Nothing, before.clone());
    let to = tiny::open(&disk, &versions.cache("to")).unwrap();
    copy_with(&versions.repo, &to, &Options::default(), &Silent).unwrap();
    let whole = to.snapshots().unwrap().len();
    let mut moment = Moment::new(before);
    let (mut resumed, mut seen) = (0, 0);
    for step in &disk.log() {
        moment.step(step);
        seen += 1;
        if seen % 5 != 0 {
            continue;
        }
        let after =
            Disk::that(Forgets::Nothing, moment.after_failure(if seen % 2 == 0 { Survives::Everything } else { Survives::Nothing }));
        let (_cache, to) = fresh(&after);
        let there = to.snapshots().unwrap().len() as u64;
        let (report, fates) = copy_all(&versions.repo, &to);
        assert_eq!((report.present, report.copied, report.failed), (there, whole as u64 - there, 0));
        for stored in to.snapshots().unwrap() {
            let (_, report, warnings) = restored(&to, &stored);
            assert_eq!(report.unwrap().failed, 0, "{warnings:?}");
        }
        assert_eq!(fates.len(), whole);
        resumed += u64::from(there < whole as u64);
    }
    assert!(resumed > 3, "{resumed} of {seen} steps");
}

#[test]
fn copies_of_copies_and_ways_back_are_known() {
    let versions = Versions::new(7, 2);
    let a = &versions.repo;
    let (b, c) = (other(&versions.cache("b")), other(&versions.cache("c")));
    assert_eq!(copy_all(a, &b).0.copied, 2);
    assert_eq!(copy_all(&b, &c).0.copied, 2);
    for (from, to) in [(a, &c), (&b, a), (&c, a), (&c, &b)] {
        let (report, _) = copy_all(from, to);
        assert_eq!((report.copied, report.present, report.failed), (0, 2, 0));
    }
    assert_eq!(copy_with(a, a, &Options::default(), &Silent).unwrap_err().kind(), ErrorKind::Usage);
    // What comes later goes on from what is there, wherever that came from.
    let options = push::Options { host: Some("there".into()), ..push_options(&versions.folders.data) };
    push::push(&c, options, &Silent).unwrap();
    let (report, fates) = copy_all(&c, &b);
    assert_eq!((report.copied, report.present, report.bytes_read), (1, 2, 0), "{fates:?}");
}

#[test]
fn labels_go_along_and_no_ref_of_the_target_is_moved() {
    let versions = Versions::new(8, 2);
    let to = other(&versions.cache("to"));
    let own = push::Options { refs: vec!["production".into()], series: Some("own".into()), ..push_options(&versions.folders.data) };
    let own = push::push(&to, own, &Silent).unwrap().snapshot.unwrap();
    let said = tag::Options {
        add: vec!["good".into()],
        refs: vec!["production".into(), "v2".into()],
        meta: vec![("loss".into(), Some("0.4".into()))],
        ..tag::Options::default()
    };
    tag::tag(&versions.repo, &[versions.made[1].0], &said).unwrap();
    copy_all(&versions.repo, &to);
    let find = |name: &str| list::resolve(&to, name, &list::Filter::default()).unwrap();
    assert_eq!(find("production").id, own);
    let copy = find("v2");
    assert!(copy.snapshot.tags.contains("good") && copy.snapshot.meta["loss"] == "0.4", "{copy:?}");
    assert_restores(&to, copy.id, &versions.made[1].1);
}

#[test]
fn a_forgotten_copy_is_not_copied_again_while_it_is_in_the_trash() {
    let versions = Versions::new(9, 2);
    let to = other(&versions.cache("to"));
    let (_, fates) = copy_all(&versions.repo, &to);
    let plan = forget::named(&to, &[copied(&fates[0].1).snapshot.unwrap()], None).unwrap();
    forget::carry_out(&to, &plan).unwrap();
    assert_eq!(copy_all(&versions.repo, &to).0.present, 2);
}

#[test]
fn what_the_target_is_about_to_lose_or_lost_meanwhile_is_copied_again() {
    let versions = Versions::new(12, 3);
    let disk = Disk::new();
    let to = init(&disk, &versions.cache("to"));
    let (_, fates) = copy_all(&versions.repo, &to);
    let id = |at: usize| copied(&fates[at].1).snapshot.unwrap();
    // Forgotten, and in no trash: the next prune drops it.
    forget::carry_out(&to, &forget::named(&to, &[id(0)], Some(0)).unwrap()).unwrap();
    assert_eq!(to.live_snapshots(Time { seconds: i64::MAX / 2, nanos: 0 }).unwrap().dropped.len(), 1);
    // The last one goes while the copy runs.
    let all = list::list(&versions.repo, &list::Filter::default()).unwrap();
    let mut now = Vec::new();
    let report = copy(&versions.repo, &to, &all, &Options::default(), &Silent, &mut |_, fate| {
        if now.is_empty() {
            disk.delete(&ObjectPath::Outcome(id(2))).unwrap();
        }
        now.push(*fate);
        Ok(())
    });
    assert_eq!(report.map(|report| (report.copied, report.present)).unwrap(), (2, 1), "{now:?}");
    assert_eq!(now[1], Fate::Present(id(1)));
    for (fate, (_, tree)) in now.iter().zip(&versions.made) {
        match fate {
            Fate::Copied(report) => assert_restores(&to, report.snapshot.unwrap(), tree),
            Fate::Present(id) => assert_restores(&to, *id, tree),
            Fate::Failed => panic!("nothing is damaged"),
        }
    }
}

#[test]
fn a_dry_run_writes_nothing() {
    let versions = Versions::new(10, 2);
    let disk = Disk::new();
    let to = init(&disk, &versions.cache("to"));
    let before = disk.objects();
    let (report, fates) = copy_with(&versions.repo, &to, &Options { dry_run: true, ..Options::default() }, &Silent).unwrap();
    assert!(report.copied == 2 && report.new_bytes > 0 && copied(&fates[0].1).snapshot.is_none());
    assert_eq!(disk.objects(), before);
}

#[test]
fn a_snapshot_that_cannot_be_read_is_not_copied_and_a_repaired_one_keeps_its_marks() {
    let whole = damaged::Whole::new(11, 2);
    let mut marked = 0;
    for pack in whole.packs() {
        let disk = whole.spoilt(&[(pack, Harm::Gone)]);
        let (cache, from) = fresh(&disk);
        let to = other(&cache.path().join("to"));
        let heard = Heard::default();
        let (report, fates) = copy_with(&from, &to, &Options { verify: true, ..Options::default() }, &heard).unwrap();
        assert_eq!(report.failed as usize, heard.0.lock().unwrap().len());
        for (id, fate) in &fates {
            if let Fate::Copied(one) = fate {
                assert_restores(&to, one.snapshot.unwrap(), &whole.made.iter().find(|(made, _)| made == id).unwrap().1);
            }
        }
        assert_eq!(to.snapshots().unwrap().len() as u64, report.copied);
        repair::packs(&from, &PacksOptions { read_data: true, execute: true, ..PacksOptions::default() }, &Silent).unwrap();
        repair::snapshots(&from, &SnapshotsOptions { read_data: true, execute: true, ..SnapshotsOptions::default() }, &Silent).unwrap();
        let (report, fates) = copy_all(&from, &to);
        assert_eq!(report.failed, fates.iter().filter(|(_, fate)| *fate == Fate::Failed).count() as u64);
        for (id, fate) in &fates {
            let old = rig::find(&from, *id).unwrap();
            if *fate == Fate::Failed {
                // Nothing was left of which another snapshot could be made.
                assert!(!old.snapshot.extra.contains_key(REPAIRS) && restored(&from, &old).1.map_or(true, |report| report.failed > 0));
            }
            let Fate::Copied(_) = fate else { continue };
            let new = rig::find(&to, copied(fate).snapshot.unwrap()).unwrap();
            assert_eq!(old.snapshot.extra.get(LOST), new.snapshot.extra.get(LOST));
            assert!(!new.snapshot.extra.contains_key(REPAIRS));
            let (tree, report, warnings) = restored(&to, &new);
            assert_eq!(tree, restored(&from, &old).0);
            assert_eq!(report.unwrap().lost > 0, !warnings.is_empty());
            marked += usize::from(!warnings.is_empty());
        }
        assert_whole(&to);
    }
    assert!(marked > 0, "no pack held anything that was lost");
}

#[test]
fn a_copy_that_is_damaged_later_is_found_by_comparing() {
    let versions = Versions::new(12, 2);
    let disk = Disk::new();
    copy_all(&versions.repo, &init(&disk, &versions.cache("to")));
    let packs: Vec<ObjectPath> = disk.objects().keys().filter(|path| matches!(path, ObjectPath::Pack(_))).copied().collect();
    let mut found = 0;
    for pack in packs {
        let mut objects = disk.objects();
        Harm::Flip(100).to(&mut objects, &pack);
        let (_cache, to) = fresh(&Disk::that(Forgets::Nothing, objects));
        found += copy_all(&versions.repo, &to).0.failed;
    }
    assert!(found > 0);
}
