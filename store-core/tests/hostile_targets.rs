//! Nothing outside the target is touched, whatever names a snapshot has and whatever was planted in the target before.
#![cfg(feature = "engine")]
#![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use store_core::format::entry::{Metadata, Timestamp};
use store_core::sink::{Existing, Target, TargetPath};

/// Names that a damaged or hostile snapshot, or a careless user, may have.
const NAMES: [&[u8]; 27] = [
    b"x",
    b"",
    b".",
    b"..",
    b"...",
    b"../outside",
    b"../../outside/file",
    b"..\\outside",
    b"/",
    b"//",
    b"/etc/passwd",
    b"x/",
    b"x/..",
    b"x/../../outside/file",
    b"./x",
    b"x\0y",
    b"\0",
    b"new\nline",
    b"\x1b[2J",
    b"\xff\xfe",
    b"..\xc0\xaf",
    b"~",
    b"$HOME",
    b"-rf",
    b"*",
    &[b'n'; 255],
    &[b'n'; 256],
];

/// What somebody put where an entry will be.
const PLANTED: [&str; 17] = [
    "nothing",
    "file",
    "hard link to a file outside",
    "link to a file outside",
    "link to a folder outside",
    "relative link to a file outside",
    "relative link to a folder outside",
    "link to a file outside that is not there",
    "link to the root",
    "link to the folder above",
    "link to itself",
    "link through /proc",
    "pipe",
    "socket",
    "folder",
    "folder with links outside",
    "folder that forbids writing",
];

fn plant(what: &str, at: &Path, outside: &Path) -> std::io::Result<()> {
    match what {
        "nothing" => Ok(()),
        "file" => fs::write(at, "planted"),
        "hard link to a file outside" => fs::hard_link(outside.join("file"), at),
        "link to a file outside" => symlink(outside.join("file"), at),
        "link to a folder outside" => symlink(outside, at),
        "relative link to a file outside" => symlink("../outside/file", at),
        "relative link to a folder outside" => symlink("../outside", at),
        "link to a file outside that is not there" => symlink(outside.join("new"), at),
        "link to the root" => symlink("/", at),
        "link to the folder above" => symlink("..", at),
        "link to itself" => symlink(at.file_name().unwrap_or_default(), at),
        "link through /proc" => symlink(Path::new("/proc/self/root").join(outside.strip_prefix("/").unwrap()), at),
        "pipe" => rustix::fs::mkfifoat(rustix::fs::CWD, at, rustix::fs::Mode::RWXU).map_err(Into::into),
        "socket" => std::os::unix::net::UnixListener::bind(at).map(drop),
        "folder" => fs::create_dir(at).and_then(|()| fs::write(at.join("x"), "planted")),
        "folder with links outside" => {
            fs::create_dir(at)?;
            symlink(outside, at.join("x"))?;
            symlink(outside.join("file"), at.join("file"))?;
            fs::hard_link(outside.join("file"), at.join("hard"))
        }
        "folder that forbids writing" => fs::create_dir(at).and_then(|()| fs::set_permissions(at, fs::Permissions::from_mode(0o500))),
        other => panic!("{other}"),
    }
}

/// Mode, owner, group, modification time in seconds and nanoseconds, and content.
type State = (u32, u32, u32, i64, i64, Vec<u8>);

/// All that is below a folder and must not change. Losing a planted hard link changes an inode's link count and change time, which is
/// no effect on anything outside.
fn canary(folder: &Path) -> BTreeMap<PathBuf, State> {
    let mut found = BTreeMap::new();
    let mut rest = vec![folder.to_path_buf()];
    while let Some(path) = rest.pop() {
        let meta = fs::symlink_metadata(&path).unwrap();
        let content = if meta.is_dir() {
            rest.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
            Vec::new()
        } else if meta.is_symlink() {
            fs::read_link(&path).unwrap().into_os_string().into_encoded_bytes()
        } else {
            let mut names = [0; 1024];
            let len = rustix::fs::listxattr(&path, &mut names[..]).unwrap_or(0);
            [fs::read(&path).unwrap(), names[..len].to_vec()].concat()
        };
        found.insert(path, (meta.mode(), meta.uid(), meta.gid(), meta.mtime(), meta.mtime_nsec(), content));
    }
    found
}

/// Everything a restore may do at a path. Whether each works is not asked: only that none has an effect outside.
fn restore(target: &Target, path: &TargetPath, existing: Existing, meta: &Metadata) -> usize {
    let mut worked = 0;
    let mut count = |ok: bool| worked += usize::from(ok);
    count(target.list(path).is_ok());
    if let Ok(Some(file)) = target.reuse_file(path) {
        count(file.write_at(0, b"evil").is_ok() && file.set_len(100).is_ok());
        file.set_metadata(meta);
    }
    count(target.set_metadata(path, meta).is_ok());
    count(target.make_dirs(path, existing).is_ok());
    count(target.set_metadata(path, meta).is_ok());
    if let Ok(file) = target.create_file(path, existing) {
        count(file.write_at(3, b"evil").is_ok() && file.punch_hole(0, 2).is_ok());
        file.set_metadata(meta);
    }
    if let Ok(other) = TargetPath::root().child(b"other") {
        count(target.hard_link(path, &other, existing).is_ok());
        if let Ok(file) = target.create_file(&other, existing) {
            count(file.write_at(0, b"evil").is_ok());
        }
        count(target.hard_link(&other, path, existing).is_ok());
    }
    count(target.symlink(path, b"../outside", existing).is_ok());
    if let Ok(below) = path.child(b"file") {
        count(target.create_file(&below, existing).is_ok());
        count(target.remove(&below).is_ok());
    }
    count(target.make_fifo(path, existing).is_ok());
    count(target.make_device(path, false, 0x103, existing).is_ok());
    count(target.set_metadata(path, meta).is_ok());
    count(target.remove(path).is_ok());
    worked
}

#[test]
fn nothing_outside_is_touched() {
    let folder = tempfile::tempdir().unwrap();
    let outside = folder.path().join("outside");
    fs::create_dir_all(outside.join("x")).unwrap();
    for (name, text) in [("file", "outside"), ("x/file", "deep"), ("other", "another")] {
        fs::write(outside.join(name), text).unwrap();
    }
    symlink("file", outside.join("link")).unwrap();
    let before = canary(&outside);
    let beside = fs::read_dir(folder.path()).unwrap().count() + 1;
    let mtime = Timestamp { seconds: 1, nanos: 1 };
    let xattrs = vec![(b"user.evil".to_vec(), b"evil".to_vec())];
    let meta = Metadata { mode: 0o4777, uid: 12345, gid: 12345, mtime, ctime: mtime, inode: 1, device: 1, links: 1, xattrs };
    let ways = [(false, Existing::Refuse), (false, Existing::Replace), (false, Existing::ReplaceAll), (true, Existing::ReplaceAll)];

    let (mut combinations, mut worked) = (0, 0);
    for (planted, name) in PLANTED.iter().flat_map(|planted| NAMES.iter().map(move |name| (planted, name))) {
        for (below, existing) in ways {
            let about = format!("{planted}, name {name:?}, {existing:?}, below: {below}");
            let inside = folder.path().join("target");
            let _ = fs::remove_dir_all(&inside);
            let target = Target::open(&inside, true).unwrap();
            // Planted as the entry itself, or as the folder it is in; as an entry of another name where none can have that one.
            let own = TargetPath::root().child(name);
            let place = match &own {
                _ if below => Path::new("planted"),
                Ok(path) => path.as_path(),
                Err(_) => Path::new("x"),
            };
            if plant(planted, &inside.join(place), &outside).is_err() {
                assert!(name.len() > 100, "could not plant: {about}");
                plant("link to a folder outside", &inside.join("x"), &outside).unwrap();
            }
            let path = if below { TargetPath::root().child(b"planted").and_then(|parent| parent.child(name)) } else { own };
            if let Ok(path) = path {
                worked += restore(&target, &path, existing, &meta);
            }
            combinations += 1;
            assert_eq!(canary(&outside), before, "{about}");
            assert_eq!(fs::read_dir(folder.path()).unwrap().count(), beside, "{about}");
        }
    }
    assert!(combinations >= 300 && worked > combinations, "{worked} operations worked in {combinations} combinations");
    eprintln!("{combinations} combinations, {worked} operations worked");
}

#[test]
fn a_name_that_leads_elsewhere_never_becomes_a_path() {
    let refused: Vec<_> = NAMES.iter().filter(|name| TargetPath::root().child(name).is_err()).collect();
    let expected = NAMES.iter().filter(|name| matches!(**name, b"" | b"." | b"..") || name.contains(&b'/') || name.contains(&0));
    assert_eq!(refused, expected.collect::<Vec<_>>());
}
