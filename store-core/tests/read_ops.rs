//! The verbs that only read, over repositories on disk.

use std::collections::BTreeMap;
use std::os::unix::fs::{FileExt, symlink};
use std::path::{Path, PathBuf};

use store_core::codec::Compression;
use store_core::monitor::Silent;
use store_core::ops::ErrorKind;
use store_core::ops::list::{Filter, Item, SnapPath, list, resolve};
use store_core::ops::push::{Options, Source, push};
use store_core::ops::{ls, push};
use store_core::repo::{OpenOptions, Part, Repo, Secrets, StoredFile};
use store_core::source::Selection;

/// A repository and a folder `data` to push, in a folder that is gone in the end.
struct World {
    folder: tempfile::TempDir,
    repo: Repo,
}

impl World {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let options = OpenOptions {
            location: folder.path().join("repo").display().to_string(),
            cache_dir: folder.path().join("cache"),
            threads: 2,
            memory: 128 << 20,
            compression: Compression::Auto,
        };
        let secrets = Secrets { passphrase: Some(b"correct horse".to_vec().into()), key_file: None };
        let (repo, _) = Repo::init(&options, &secrets, "test").unwrap();
        std::fs::create_dir(folder.path().join("data")).unwrap();
        Self { folder, repo }
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    fn write(&self, name: &str, bytes: impl AsRef<[u8]>) {
        let path = self.data().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    }

    fn push_with(&self, change: impl FnOnce(&mut push::Options)) -> Item {
        let mut options = Options::new(Source::Paths(Selection { paths: vec![self.data()], ..Selection::default() }));
        change(&mut options);
        let id = push(&self.repo, options, &Silent).unwrap().snapshot.unwrap();
        resolve(&self.repo, &id.to_string(), &Filter::default()).unwrap()
    }

    fn push(&self) -> Item {
        self.push_with(|_| {})
    }

    fn names(&self, item: &Item, path: &str, recursive: bool) -> Vec<String> {
        let mut names = Vec::new();
        let options = ls::Options { path: path.into(), recursive };
        ls::ls(&self.repo, item, &options, &mut |line| {
            names.push(String::from_utf8(line.path).unwrap());
            Ok(())
        })
        .unwrap();
        names
    }
}

/// Bytes without pattern, the same for the same seed.
fn noise(seed: &str, len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    blake3::Hasher::new().update(seed.as_bytes()).finalize_xof().fill(&mut bytes);
    bytes
}

/// A safetensors file of these tensors: name, dtype, shape, bytes.
fn safetensors(tensors: &[(&str, &str, &[u64], &[u8])]) -> Vec<u8> {
    let mut at = 0;
    let entries: BTreeMap<&str, _> = tensors
        .iter()
        .map(|(name, dtype, shape, bytes)| {
            at += bytes.len();
            (*name, format!("{{\"dtype\":\"{dtype}\",\"shape\":{shape:?},\"data_offsets\":[{},{at}]}}", at - bytes.len()))
        })
        .collect();
    let header: Vec<_> = entries.iter().map(|(name, entry)| format!("\"{name}\":{entry}")).collect();
    let header = format!("{{{}}}", header.join(","));
    let mut file = (header.len() as u64).to_le_bytes().to_vec();
    file.extend_from_slice(header.as_bytes());
    tensors.iter().for_each(|(.., bytes)| file.extend_from_slice(bytes));
    file
}

fn sparse_file(path: &Path, len: u64, pieces: &[(u64, &[u8])]) {
    let file = std::fs::File::create(path).unwrap();
    file.set_len(len).unwrap();
    pieces.iter().for_each(|(at, bytes)| file.write_all_at(bytes, *at).unwrap());
}

#[test]
fn snapshots_are_listed_and_found() {
    let world = World::new();
    world.write("file", "one");
    let first = world.push_with(|options| {
        options.series = Some("s".into());
        options.tags = vec!["micro".into()];
        options.refs = vec!["v1".into(), "production".into()];
        options.meta = [("loss".into(), "0.9".into())].into();
    });
    world.write("file", "two!");
    let second = world.push_with(|options| {
        options.refs = vec!["production".into()];
        options.meta = [("loss".into(), "0.10".into())].into();
    });
    let ids = |filter: &Filter| list(&world.repo, filter).unwrap().iter().map(|item| item.id).collect::<Vec<_>>();
    assert_eq!(ids(&Filter::default()), [first.id, second.id]);
    assert_eq!(ids(&Filter { conditions: vec!["meta.loss < 0.5".parse().unwrap()], ..Filter::default() }), [second.id]);
    assert_eq!(ids(&Filter { tags: vec![vec!["micro".into()]], ..Filter::default() }), [first.id]);
    let path = world.data().to_str().unwrap().as_bytes().to_vec();
    assert_eq!(ids(&Filter { path: Some(path), ..Filter::default() }), [first.id, second.id]);
    let found = |spec: &str| resolve(&world.repo, spec, &Filter::default()).map(|item| item.id);
    for (spec, meant) in
        [("latest", &second), ("latest~1", &first), ("v1", &first), ("production", &second), ("production@{1}", &first), ("@0h", &second)]
    {
        assert_eq!(found(spec).unwrap(), meant.id, "{spec}");
    }
    assert_eq!(found(&second.id.to_string()[..12]).unwrap(), second.id);
    assert_eq!(found("none").unwrap_err().kind(), ErrorKind::Usage);
}

#[test]
fn entries_are_found_in_small_and_large_directories() {
    let world = World::new();
    for i in 0..3000 {
        world.write(&format!("many/{i:05}"), format!("{i}"));
    }
    world.write("a/b/c", "deep");
    std::fs::create_dir(world.data().join("empty")).unwrap();
    symlink("a/b", world.data().join("link")).unwrap();
    let item = world.push();
    assert_eq!(world.names(&item, "", false), ["a", "empty", "link", "many"]);
    assert_eq!(world.names(&item, "/a/", true), ["a/b", "a/b/c"]);
    assert_eq!(world.names(&item, "./a/b/c", false), ["a/b/c"]);
    assert_eq!(world.names(&item, "empty", true), [""; 0]);
    assert_eq!(world.names(&item, "", true).len(), 3000 + 6);
    assert_eq!(world.names(&item, "many/02999", false), ["many/02999"]);
    for gone in ["many/3000", "many/00000x", "many/00000/x", "link/c", "b", "a/../a"] {
        assert_eq!(world.repo.find(&item, gone.as_bytes()).unwrap_err().kind(), ErrorKind::Usage, "{gone}");
    }
}

#[test]
fn a_file_is_read_anywhere_and_in_order() {
    let world = World::new();
    let mut bytes = noise("plain", 9 << 20);
    bytes.extend_from_slice("some text that repeats\n".repeat(200_000).as_bytes());
    world.write("large", &bytes);
    world.write("empty", "");
    sparse_file(&world.data().join("sparse"), 40 << 20, &[(0, b"begin"), (20 << 20, &noise("middle", 100_000))]);
    let item = world.push();
    for name in ["large", "empty", "sparse"] {
        let expected = std::fs::read(world.data().join(name)).unwrap();
        let entry = world.repo.find(&item, name.as_bytes()).unwrap();
        let mut file = StoredFile::new(&world.repo, &entry).unwrap();
        assert_eq!(file.len(), expected.len() as u64);
        let mut read = Vec::new();
        file.for_each(&mut |part| {
            match part {
                Part::Bytes(bytes) => read.extend_from_slice(bytes),
                Part::Hole(len) => read.resize(read.len() + len as usize, 0),
            }
            Ok(())
        })
        .unwrap();
        assert!(read == expected, "{name}");
        for (at, len) in
            [(0, 5), (1, 300_000), (1_048_575, 2), (9_437_000, 70_000), (20_971_519, 200_000), (expected.len().saturating_sub(3), 3)]
        {
            if at + len <= expected.len() {
                let mut buffer = vec![1; len];
                file.read_at(at as u64, &mut buffer).unwrap();
                assert!(buffer == expected[at..at + len], "{name} {at} {len}");
            }
        }
        assert!(file.read_at(expected.len() as u64, &mut [0]).is_err());
        let sha = ls::sha256(&world.repo, &entry).unwrap();
        let text: String = sha.iter().map(|byte| format!("{byte:02x}")).collect();
        let output = std::process::Command::new("sha256sum").arg(world.data().join(name)).output().unwrap();
        assert_eq!(text, String::from_utf8(output.stdout).unwrap()[..64], "{name}");
    }
    let stopped = StoredFile::new(&world.repo, &world.repo.find(&item, b"large").unwrap())
        .unwrap()
        .for_each(&mut |_| Err(store_core::ops::Error::new(ErrorKind::Interrupted, "enough")));
    assert_eq!(stopped.unwrap_err().kind(), ErrorKind::Interrupted);
}

#[test]
fn tensors_of_a_weights_file_are_listed() {
    let world = World::new();
    let weights = noise("weights", 3 << 20);
    let file = safetensors(&[("a.weight", "F32", &[512, 1024], &weights[..2 << 20]), ("a.bias", "BF16", &[1 << 19], &weights[2 << 20..])]);
    world.write("model.safetensors", file);
    world.write("text", "no weights");
    let item = world.push();
    let tensors = |place: &str| ls::tensors(&world.repo, &item, &place.parse::<SnapPath>().unwrap());
    let found: Vec<_> = tensors("latest:model.safetensors")
        .unwrap()
        .iter()
        .map(|t| (t.name.clone(), t.dtype.to_string(), t.shape.clone(), t.len))
        .collect();
    assert_eq!(
        found,
        [("a.weight".into(), "F32".into(), vec![512, 1024], 2 << 20), ("a.bias".into(), "BF16".into(), vec![1 << 19], 1 << 20)]
    );
    assert_eq!(tensors("latest:model.safetensors#*.bias").unwrap().len(), 1);
    for wrong in ["latest:model.safetensors#b*", "latest:model.safetensors#[", "latest:text", "latest:", "latest:none"] {
        assert_eq!(tensors(wrong).unwrap_err().kind(), ErrorKind::Usage, "{wrong}");
    }
}
