//! The repository that is kept for ever, `spec/vectors/repo-v1`: every version of the program restores it as the list beside it says.
//! It is worked with as Git keeps it: without empty folders.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod rig;

use std::collections::HashMap;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use rig::{Heard, Place, assert_whole, push_path};
use sha2::{Digest as _, Sha256};
use store_core::crypto::parse_key_file;
use store_core::ops::restore;
use store_core::repo::{Repo, Secrets};

fn vectors() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../spec/vectors")
}

/// A copy of the frozen repository: nothing may be written to itself.
fn copy(folder: &Path) -> Place {
    let (place, frozen) = (Place::below(folder), vectors().join("repo-v1"));
    for path in paths(&frozen).into_iter().filter(|path| frozen.join(path).is_file()) {
        fs::create_dir_all(place.repo.join(&path).parent().unwrap()).unwrap();
        fs::copy(frozen.join(&path), place.repo.join(&path)).unwrap();
    }
    place
}

/// All paths below a folder. Nothing but folders is opened: there is a pipe among them.
fn paths(root: &Path) -> Vec<PathBuf> {
    let (mut found, mut open) = (Vec::new(), vec![root.to_path_buf()]);
    while let Some(folder) = open.pop() {
        for item in fs::read_dir(&folder).unwrap().map(Result::unwrap) {
            open.extend(item.file_type().unwrap().is_dir().then(|| item.path()));
            found.push(item.path().strip_prefix(root).unwrap().to_path_buf());
        }
    }
    found
}

fn passphrase() -> Secrets {
    Secrets { passphrase: Some(b"correct horse battery staple".to_vec().into()), key_file: None }
}

/// The columns of the lists but for attributes, which not every file system keeps.
fn lines(root: &Path) -> Vec<String> {
    let mut paths = paths(root);
    paths.sort_by(|a, b| a.as_os_str().as_bytes().cmp(b.as_os_str().as_bytes()));
    let mut first = HashMap::new();
    let mut line = |path: &Path| {
        let at = root.join(path);
        let meta = at.symlink_metadata().unwrap();
        let kind = meta.file_type();
        let shown = if path == Path::new("") { ".".to_owned() } else { escape(path.as_os_str().as_bytes()) };
        let hash = |bytes: &[u8]| Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        let nothing = || "-".to_owned();
        let mode = format!("{:04o}", meta.mode() & 0o7777);
        let (what, mode, size, content) = if kind.is_file() {
            ("file", mode, meta.len().to_string(), hash(&fs::read(&at).unwrap()))
        } else if kind.is_symlink() {
            ("symlink", nothing(), nothing(), hash(fs::read_link(&at).unwrap().as_os_str().as_bytes()))
        } else {
            (if kind.is_fifo() { "fifo" } else { "directory" }, mode, nothing(), nothing())
        };
        let mtime = i128::from(meta.mtime()) * 1_000_000_000 + i128::from(meta.mtime_nsec());
        let same = first.entry((meta.dev(), meta.ino())).or_insert_with(|| shown.clone());
        let same = if *same == shown { "-" } else { same.as_str() };
        format!("{shown}\t{what}\t{mode}\t{mtime}\t{size}\t{content}\t{same}")
    };
    [PathBuf::new()].iter().chain(&paths).map(|path| line(path)).collect()
}

fn escape(name: &[u8]) -> String {
    let plain = |byte: u8| (0x21..0x7f).contains(&byte) && byte != b'\\';
    name.iter().map(|byte| if plain(*byte) { char::from(*byte).to_string() } else { format!("\\x{byte:02x}") }).collect()
}

#[test]
fn the_frozen_repository_comes_back_as_it_was_written() {
    let folder = tempfile::tempdir().unwrap();
    let place = copy(folder.path());
    let key_file = parse_key_file(&fs::read(vectors().join("repo-v1.key")).unwrap()).unwrap();
    for secrets in [passphrase(), Secrets { passphrase: None, key_file: Some(key_file) }] {
        let repo = Repo::open(&place.options(), &secrets).unwrap();
        let snapshots = repo.snapshots().unwrap();
        assert_eq!(snapshots.len(), 2);
        for stored in snapshots {
            let target = tempfile::tempdir().unwrap();
            let heard = Heard::default();
            let options = restore::Options { target: target.path().to_path_buf(), ..restore::Options::default() };
            restore::restore(&repo, &stored, &options, &heard).unwrap();
            let expected = fs::read_to_string(vectors().join(format!("repo-v1.{}.expected.txt", stored.id))).unwrap();
            let expected: Vec<_> =
                expected.lines().filter(|line| !line.starts_with('#')).filter_map(|line| line.rsplit_once('\t')).collect();
            let found = lines(target.path());
            let differ: Vec<_> = found.iter().zip(&expected).filter(|(found, (expected, _))| found != expected).collect();
            assert!(found.len() == expected.len() && differ.is_empty(), "{differ:#?}");
        }
    }
}

#[test]
fn the_frozen_repository_takes_a_push_and_stays_whole() {
    let folder = tempfile::tempdir().unwrap();
    let place = copy(folder.path());
    let repo = Repo::open(&place.options(), &passphrase()).unwrap();
    let data = folder.path().join("data");
    fs::create_dir(&data).unwrap();
    fs::write(data.join("file"), "a new version\n".repeat(10_000)).unwrap();
    assert!(push_path(&repo, &data).unwrap().snapshot.is_some());
    assert_eq!(repo.snapshots().unwrap().len(), 3);
    assert_whole(&repo);
}
