//! Pushing into a repository on disk, through the library.

use std::path::Path;

use store_core::codec::Compression;
use store_core::monitor::Silent;
use store_core::ops::push::{Options, Report, Source, push};
use store_core::repo::{OpenOptions, Repo, Secrets};
use store_core::source::Selection;

fn secrets() -> Secrets {
    Secrets { passphrase: Some(b"correct horse".to_vec().into()), key_file: None }
}

fn options(folder: &Path) -> OpenOptions {
    OpenOptions {
        location: folder.join("repo").display().to_string(),
        cache_dir: folder.join("cache"),
        threads: 2,
        memory: 128 << 20,
        compression: Compression::Auto,
    }
}

fn push_path(repo: &Repo, path: &Path) -> Report {
    push(repo, Options::new(Source::Paths(Selection { paths: vec![path.to_path_buf()], ..Selection::default() })), &Silent).unwrap()
}

#[test]
fn a_second_push_reads_nothing_and_stores_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    std::fs::create_dir_all(data.join("sub")).unwrap();
    std::fs::write(data.join("sub/text"), "some text\n".repeat(100_000)).unwrap();
    std::fs::write(data.join("empty"), "").unwrap();
    let (repo, _) = Repo::init(&options(folder.path()), &secrets(), "test").unwrap();
    let first = push_path(&repo, &data);
    assert_eq!((first.files_new, first.bytes, first.unreadable), (2, 1_000_000, 0));
    drop(repo);
    let repo = Repo::open(&options(folder.path()), &secrets()).unwrap();
    let second = push_path(&repo, &data);
    assert_eq!((second.files_unmodified, second.bytes_read, second.new_bytes, second.stored_bytes), (2, 0, 0, 0));
    assert_eq!(second.parent, first.snapshot);
    assert_eq!(repo.snapshots().unwrap().len(), 2);
}
