//! What is written beneath a target, through the kernel's own check and without it.

use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, symlink};
use std::path::Path;

use super::*;
use crate::format::entry::{Metadata, Timestamp};

fn at(path: &str) -> TargetPath {
    path.split('/').filter(|name| !name.is_empty()).fold(TargetPath::root(), |path, name| path.child(name.as_bytes()).unwrap())
}

/// Runs a test with a new target, once for each way to reach folders; beside the target there is a folder `outside` with a file.
fn twice(test: impl Fn(&Target, &Path)) {
    for one_step in [true, false] {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("outside")).unwrap();
        fs::write(folder.path().join("outside/file"), "outside").unwrap();
        let target = Target::open(&folder.path().join("target"), true).unwrap();
        test(&if one_step { target } else { target.name_by_name() }, folder.path());
        assert_eq!(fs::read(folder.path().join("outside/file")).unwrap(), b"outside");
        assert_eq!(fs::read_dir(folder.path().join("outside")).unwrap().count(), 1);
    }
}

fn meta(mode: u32) -> Metadata {
    let (uid, gid) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
    let mtime = Timestamp { seconds: 1_767_225_600, nanos: 123_456_789 };
    Metadata { mode, uid, gid, mtime, ctime: mtime, inode: 1, device: 1, links: 1, xattrs: Vec::new() }
}

#[test]
fn a_tree_with_odd_names_is_written() {
    twice(|target, folder| {
        for name in [&b"new\nline"[..], b"\xff\xfe", &[b'n'; 255], b"...", b"-rf", b"*", b" "] {
            let path = at("a/b").child(name).unwrap();
            target.make_dirs(&at("a/b"), Existing::Refuse).unwrap();
            let file = target.create_file(&path, Existing::Refuse).unwrap();
            file.write_at(0, name).unwrap();
            assert_eq!(fs::read(folder.join("target").join(path.as_path())).unwrap(), name);
        }
        assert!(target.create_file(&at(&"n".repeat(256)), Existing::Refuse).is_err());
        let listed = target.list(&at("a/b")).unwrap();
        assert_eq!((listed.len(), &listed[0].name[..], listed[0].is_directory), (7, &b" "[..], false));
        assert!(target.list(&TargetPath::root()).unwrap()[0].is_directory);
    });
}

#[test]
fn a_planted_link_is_never_followed() {
    twice(|target, folder| {
        symlink(folder.join("outside"), folder.join("target/link")).unwrap();
        symlink("../outside/file", folder.join("target/file")).unwrap();
        for existing in [Existing::Refuse, Existing::Replace, Existing::ReplaceAll] {
            for refused in [
                target.create_file(&at("link/new"), existing).map(drop),
                target.make_dir(&at("link/new"), existing),
                target.symlink(&at("link/new"), b"x", existing),
                target.make_fifo(&at("link/new"), existing),
                target.hard_link(&at("link/file"), &at("stolen"), existing),
                target.remove(&at("link/file")).map(drop),
                target.set_metadata(&at("link/file"), &meta(0o600)).map(drop),
                target.list(&at("link")).map(drop),
            ] {
                assert!(matches!(refused, Err(SinkError::NotAFolder { .. })), "{refused:?}");
            }
        }
        assert!(target.reuse_file(&at("file")).unwrap().is_none());
        assert!(matches!(target.create_file(&at("file"), Existing::Refuse), Err(SinkError::Exists { .. })));
        target.create_file(&at("file"), Existing::Replace).unwrap().write_at(0, b"inside").unwrap();
        target.make_dir(&at("link"), Existing::Replace).unwrap();
        target.create_file(&at("link/new"), Existing::Refuse).unwrap().write_at(0, b"inside").unwrap();
        assert_eq!(fs::read(folder.join("target/link/new")).unwrap(), b"inside");
    });
}

#[test]
fn a_file_with_another_name_outside_is_not_written_to() {
    twice(|target, folder| {
        fs::hard_link(folder.join("outside/file"), folder.join("target/file")).unwrap();
        assert!(target.reuse_file(&at("file")).unwrap().is_none());
        let file = target.create_file(&at("file"), Existing::Replace).unwrap();
        file.write_at(0, b"inside").unwrap();
        assert!(file.set_metadata(&meta(0o777)).is_empty());
        assert_ne!(fs::metadata(folder.join("outside/file")).unwrap().mode() & 0o777, 0o777);
    });
}

#[test]
fn a_file_of_its_own_is_written_over_in_place() {
    twice(|target, folder| {
        let path = folder.join("target/file");
        fs::write(&path, "old content").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o4755)).unwrap();
        let inode = fs::metadata(&path).unwrap().ino();
        let file = target.reuse_file(&at("file")).unwrap().unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o7777, 0o600);
        let mut head = [0; 3];
        file.read_exact_at(0, &mut head).unwrap();
        file.write_at(0, b"new").unwrap();
        file.set_len(7).unwrap();
        assert_eq!((&head, fs::read(&path).unwrap()), (b"old", b"new con".to_vec()));
        assert_eq!((fs::metadata(&path).unwrap().ino(), file.len().unwrap()), (inode, 7));
        assert!(target.reuse_file(&at("none")).unwrap().is_none() && target.reuse_file(&at("no/ne")).unwrap().is_none());
        target.make_fifo(&at("pipe"), Existing::Refuse).unwrap();
        assert!(target.reuse_file(&at("pipe")).unwrap().is_none());
    });
}

#[test]
fn what_is_in_the_way_goes_only_as_far_as_allowed() {
    twice(|target, folder| {
        target.make_dirs(&at("d/e"), Existing::Refuse).unwrap();
        target.create_file(&at("d/e/f"), Existing::Refuse).unwrap();
        symlink(folder.join("outside"), folder.join("target/d/e/link")).unwrap();
        assert!(matches!(target.create_file(&at("d"), Existing::Refuse), Err(SinkError::Exists { .. })));
        assert!(matches!(target.create_file(&at("d"), Existing::Replace), Err(SinkError::NotEmpty { .. })));
        assert!(folder.join("target/d/e/f").exists());
        target.create_file(&at("d"), Existing::ReplaceAll).unwrap();
        assert!(matches!(target.make_dir(&at("d"), Existing::Refuse), Err(SinkError::Exists { .. })));
        target.make_dir(&at("d"), Existing::Replace).unwrap();
        // What was kept open of the old folder is no longer used.
        target.make_dir(&at("d/e"), Existing::Refuse).unwrap();
        target.create_file(&at("d/e/g"), Existing::Refuse).unwrap();
        assert!(folder.join("target/d/e/g").exists());
        target.symlink(&at("d/e"), b"anywhere", Existing::ReplaceAll).unwrap();
        assert!(target.remove(&at("d")).unwrap() && !target.remove(&at("d")).unwrap());
        assert!(target.remove(&TargetPath::root()).is_err());
    });
}

#[test]
fn links_and_special_files_are_made() {
    twice(|target, folder| {
        let inside = folder.join("target");
        target.create_file(&at("file"), Existing::Refuse).unwrap();
        target.symlink(&at("link"), b"/etc/pass\nwd", Existing::Refuse).unwrap();
        target.hard_link(&at("file"), &at("file2"), Existing::Refuse).unwrap();
        target.hard_link(&at("link"), &at("link2"), Existing::Refuse).unwrap();
        target.make_fifo(&at("pipe"), Existing::Refuse).unwrap();
        let stat = |name: &str| fs::symlink_metadata(inside.join(name)).unwrap();
        assert_eq!((stat("file").ino(), stat("link").ino()), (stat("file2").ino(), stat("link2").ino()));
        assert_eq!(fs::read_link(inside.join("link2")).unwrap(), Path::new("/etc/pass\nwd"));
        assert!(stat("pipe").file_type().is_fifo());
        // `/dev/null` again, where that is allowed.
        match target.make_device(&at("null"), false, rustix::fs::makedev(1, 3), Existing::Refuse).unwrap() {
            None => assert!(stat("null").file_type().is_char_device()),
            Some(warning) => assert!(warning.to_string().contains("the device")),
        }
        for name in ["link", "pipe"] {
            assert_eq!(target.set_metadata(&at(name), &meta(0o640)).unwrap().len(), 0);
            assert_eq!((stat(name).mtime(), stat(name).mtime_nsec()), (1_767_225_600, 123_456_789));
        }
        assert_eq!(stat("pipe").mode() & 0o7777, 0o640);
        assert!(matches!(target.set_metadata(&at("file"), &meta(0o640)), Err(SinkError::Replaced { .. })));
    });
}

#[test]
fn times_far_away_are_restored_or_warned_of() {
    twice(|target, folder| {
        for (index, (seconds, nanos)) in
            [(0, 0), (-86_400, 5), (-1, 999_999_999), (4_102_444_800, 999_999_999), (i64::MIN, 0), (i64::MAX, 999_999_999)]
                .into_iter()
                .enumerate()
        {
            let name = index.to_string();
            let file = target.create_file(&at(&name), Existing::Refuse).unwrap();
            let warnings = file.set_metadata(&Metadata { mtime: Timestamp { seconds, nanos }, ..meta(0o600) });
            let stat = fs::metadata(folder.join("target").join(name)).unwrap();
            if warnings.is_empty() {
                assert_eq!((stat.mtime(), stat.mtime_nsec()), (seconds, i64::from(nanos)));
            } else {
                assert!(seconds.unsigned_abs() > 1 << 40 && warnings[0].to_string().contains("time"), "{warnings:?}");
            }
        }
    });
}

#[test]
fn extended_attributes_become_exactly_those_wanted() {
    twice(|target, folder| {
        let path = folder.join("target/file");
        let file = target.create_file(&at("file"), Existing::Refuse).unwrap();
        match rustix::fs::setxattr(&path, c"user.extra", b"x", rustix::fs::XattrFlags::empty()) {
            Err(rustix::io::Errno::OPNOTSUPP) => return eprintln!("skipped: the file system has no extended attributes"),
            set => set.unwrap(),
        }
        let xattrs = vec![(b"user.a".to_vec(), vec![0, 255]), (b"user.b".to_vec(), Vec::new())];
        let warnings = file.set_metadata(&Metadata { xattrs, ..meta(0o400) });
        assert!(warnings.is_empty(), "{warnings:?}");
        let mut names = [0; 256];
        let len = rustix::fs::listxattr(&path, &mut names[..]).unwrap();
        let names: Vec<_> = names[..len].split(|&byte| byte == 0).filter(|name| name.starts_with(b"user.")).collect();
        assert_eq!(names, [b"user.a", b"user.b"]);
        // What no file system takes is a warning, and does not keep the rest away.
        let xattrs = vec![(b"nonsense.x".to_vec(), vec![1]), (b"user.c".to_vec(), vec![1])];
        let warnings = file.set_metadata(&Metadata { xattrs, ..meta(0o600) });
        assert_eq!(warnings.len(), 1, "{warnings:?}");
        assert!(warnings[0].to_string().contains("nonsense.x"));
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o7777, 0o600);
    });
}

#[test]
fn setuid_is_restored_with_its_owner_only() {
    twice(|target, folder| {
        let file = target.create_file(&at("file"), Existing::Refuse).unwrap();
        assert!(file.set_metadata(&meta(0o4755)).is_empty());
        assert_eq!(fs::metadata(folder.join("target/file")).unwrap().mode() & 0o7777, 0o4755);
        // The kernel takes no such owner, so this fails even with all privileges.
        let warnings = file.set_metadata(&Metadata { uid: u32::MAX, ..meta(0o4755) });
        assert!(warnings.iter().any(|warning| warning.what.contains("setuid")), "{warnings:?}");
        assert_eq!(fs::metadata(folder.join("target/file")).unwrap().mode() & 0o7777, 0o755);
    });
}

#[test]
fn folders_that_forbid_writing_are_filled_first() {
    twice(|target, folder| {
        target.make_dirs(&at("a/b"), Existing::Refuse).unwrap();
        target.create_file(&at("a/b/file"), Existing::Refuse).unwrap();
        let directories = [("", 0o755), ("a", 0o555), ("a/b", 0o1500)].map(|(path, mode)| (at(path), meta(mode))).to_vec();
        let (warnings, errors) = target.finish_directories(directories);
        assert!(warnings.is_empty() && errors.is_empty(), "{warnings:?} {errors:?}");
        for (path, mode) in [("target", 0o755), ("target/a", 0o555), ("target/a/b", 0o1500)] {
            let stat = fs::metadata(folder.join(path)).unwrap();
            assert_eq!((stat.mode() & 0o7777, stat.mtime_nsec()), (mode, 123_456_789), "{path}");
        }
        // A later restore opens them again.
        target.make_dirs(&at("a/b"), Existing::Refuse).unwrap();
        target.create_file(&at("a/b/another"), Existing::Refuse).unwrap();
        assert!(target.remove(&at("a")).unwrap());
    });
}

#[test]
fn holes_take_no_room() {
    twice(|target, folder| {
        let file = target.create_file(&at("file"), Existing::Refuse).unwrap();
        file.set_len(8 << 20).unwrap();
        file.write_at(4 << 20, &[7; 1 << 20]).unwrap();
        file.punch_hole(4 << 20, 1 << 20).unwrap();
        file.punch_hole(0, 0).unwrap();
        assert_eq!(fs::read(folder.join("target/file")).unwrap(), vec![0; 8 << 20]);
        let held = fs::metadata(folder.join("target/file")).unwrap().blocks() * 512;
        assert!(held <= 1 << 20, "{held} bytes are held");
    });
}

#[test]
fn many_threads_write_to_many_files_and_to_one() {
    twice(|target, folder| {
        let shared = target.create_file(&at("shared"), Existing::Refuse).unwrap();
        std::thread::scope(|scope| {
            for worker in 0..8u64 {
                let (target, shared) = (&target, &shared);
                scope.spawn(move || {
                    for round in 0..100u64 {
                        let place = at(&format!("d{}", round % 97));
                        target.make_dir(&place, Existing::Refuse).unwrap();
                        let path = place.child(format!("{worker}-{round}").as_bytes()).unwrap();
                        target.create_file(&path, Existing::Refuse).unwrap().write_at(0, b"x").unwrap();
                        shared.write_at((round * 8 + worker) * 4, &[worker as u8; 4]).unwrap();
                    }
                });
            }
        });
        let bytes = fs::read(folder.join("target/shared")).unwrap();
        assert!(bytes.len() == 3200 && bytes.chunks(4).enumerate().all(|(index, piece)| piece == [(index % 8) as u8; 4]));
        let count: usize =
            fs::read_dir(folder.join("target")).unwrap().filter_map(|d| fs::read_dir(d.unwrap().path()).ok()).map(Iterator::count).sum();
        assert_eq!(count, 800);
    });
}

#[test]
fn paths_longer_than_the_system_takes_are_reached_and_removed() {
    twice(|target, _| {
        let mut path = TargetPath::root();
        for level in 0..150 {
            path = path.child(format!("{level:0>200}").as_bytes()).unwrap();
            target.make_dir(&path, Existing::Refuse).unwrap();
        }
        let leaf = path.child(b"leaf").unwrap();
        target.create_file(&leaf, Existing::Refuse).unwrap();
        assert!(target.set_metadata(&path, &meta(0o500)).unwrap().is_empty());
        target.let_go(&TargetPath::root());
        assert!(target.reuse_file(&leaf).unwrap().is_some());
        assert!(target.remove(&at(&format!("{:0>200}", 0))).unwrap());
    });
}

#[test]
fn the_kernel_is_asked_where_it_can_be() {
    let folder = tempfile::tempdir().unwrap();
    let known = rustix::fs::openat2(rustix::fs::CWD, c".", beneath::PLACE, rustix::fs::Mode::empty(), rustix::fs::ResolveFlags::BENEATH);
    assert_eq!(Target::open(folder.path(), false).unwrap().asks_the_kernel(), known.is_ok());
    assert!(Target::open(&folder.path().join("none"), false).is_err());
}
