//! The verbs that only read, over repositories on disk.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::os::unix::fs::{FileExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use store_core::codec::Compression;
use store_core::monitor::Silent;
use store_core::ops::ErrorKind;
use store_core::ops::diff::{Side, Totals, What, diff};
use store_core::ops::list::{Filter, Item, SnapPath, list, resolve};
use store_core::ops::push::{Options, Source, push};
use store_core::ops::stats::stats;
use store_core::ops::{diff, dump, ls, push};
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
            kept: 0,
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

fn dump(world: &World, item: &Item, path: &str) -> Vec<u8> {
    let mut out = Vec::new();
    let written = dump::dump(&world.repo, item, path.as_bytes(), &mut out).unwrap();
    assert_eq!(written, out.len() as u64);
    out
}

#[test]
fn a_dumped_directory_is_a_tar_that_tar_restores() {
    let world = World::new();
    let data = world.data();
    world.write("dir/file", noise("file", 1_500_000));
    world.write("dir/empty", "");
    let long = format!("dir/{}/{}", "l".repeat(200), "n".repeat(200));
    world.write(&long, "long");
    world.write("dir/umlaut-ä", "text");
    world.write("dir/bytes", "x".repeat(512));
    std::fs::hard_link(data.join("dir/file"), data.join("dir/zz-other-name")).unwrap();
    symlink("t".repeat(150), data.join("dir/link")).unwrap();
    sparse_file(&data.join("dir/sparse"), 3 << 20, &[(1 << 20, b"middle")]);
    let old = std::time::UNIX_EPOCH - std::time::Duration::from_nanos(1_500_000_001);
    std::fs::File::open(data.join("dir/empty")).unwrap().set_modified(old).unwrap();
    let item = world.push();

    assert_eq!(dump(&world, &item, "dir/bytes"), "x".repeat(512).as_bytes());
    assert!(dump(&world, &item, "dir/sparse") == std::fs::read(data.join("dir/sparse")).unwrap());
    let refused = dump::dump(&world.repo, &item, b"dir/link", &mut Vec::new()).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Usage);

    let archive = dump(&world, &item, "");
    let (tar, out) = (world.folder.path().join("dump.tar"), world.folder.path().join("out"));
    std::fs::write(&tar, archive).unwrap();
    std::fs::create_dir(&out).unwrap();
    let unpacked = std::process::Command::new("tar").arg("-xpf").arg(&tar).arg("-C").arg(&out).output().unwrap();
    assert!(unpacked.status.success(), "{}", String::from_utf8_lossy(&unpacked.stderr));
    let differ = std::process::Command::new("diff").args(["-r", "--no-dereference"]).args([&data, &out]).output().unwrap();
    assert!(differ.status.success(), "{}", String::from_utf8_lossy(&differ.stdout));
    for name in ["dir", "dir/file", "dir/empty", &long, "."] {
        let meta = |root: &Path| std::fs::metadata(root.join(name)).unwrap();
        assert_eq!(meta(&data).modified().unwrap(), meta(&out).modified().unwrap(), "{name}");
        assert_eq!(meta(&data).permissions(), meta(&out).permissions(), "{name}");
    }
    let inode = |name: &str| std::os::unix::fs::MetadataExt::ino(&std::fs::metadata(out.join(name)).unwrap());
    assert_eq!(inode("dir/file"), inode("dir/zz-other-name"));
}

fn changes(world: &World, old: &Side, new: &Side, metadata: bool) -> (Vec<String>, Totals) {
    let mut found = Vec::new();
    let totals = diff(&world.repo, old, new, &diff::Options { metadata, ..diff::Options::default() }, &mut |change| {
        found.push(format!("{:?} {} {} {}", change.what, String::from_utf8_lossy(&change.path), change.old_size, change.new_size));
        Ok(())
    });
    (found, totals.unwrap())
}

#[test]
fn snapshots_and_folders_differ_alike() {
    let world = World::new();
    let data = world.data();
    let large = noise("large", 6 << 20);
    world.write("a/same", "same");
    world.write("a/changed", &large);
    world.write("a/gone", "gone");
    world.write("gone/x/y", "y");
    world.write("kind", "a file");
    world.write("mode", "mode");
    symlink("one", data.join("link")).unwrap();
    sparse_file(&data.join("sparse"), 2 << 20, &[(1 << 20, b"here")]);
    for i in 0..500 {
        world.write(&format!("many/{i:04}"), "x");
    }
    let first = world.push();
    let copy = world.folder.path().join("copy");
    assert!(std::process::Command::new("cp").arg("-a").args([&data, &copy]).status().unwrap().success());

    let mut changed = large.clone();
    changed[5 << 20] ^= 1;
    world.write("a/changed", &changed);
    world.write("a/same", "same");
    world.write("a/new", "new!");
    std::fs::remove_file(data.join("a/gone")).unwrap();
    std::fs::remove_dir_all(data.join("gone")).unwrap();
    std::fs::remove_file(data.join("kind")).unwrap();
    world.write("kind/inside", "i");
    std::fs::remove_file(data.join("link")).unwrap();
    symlink("two", data.join("link")).unwrap();
    std::fs::set_permissions(data.join("mode"), std::fs::Permissions::from_mode(0o600)).unwrap();
    // The same bytes, without the hole.
    let dense = std::fs::read(data.join("sparse")).unwrap();
    std::fs::remove_file(data.join("sparse")).unwrap();
    world.write("sparse", dense);
    world.write("many/0250", "y");
    let second = world.push();

    let snapshot = |item: &Item, path: &str| Side::Snapshot(item.clone(), path.into());
    let (found, totals) = changes(&world, &snapshot(&first, ""), &snapshot(&second, ""), false);
    let size = large.len();
    let expected = [
        format!("Modified a/changed {size} {size}"),
        "Removed a/gone 4 0".into(),
        "Added a/new 0 4".into(),
        "Removed gone 0 0".into(),
        "Removed gone/x 0 0".into(),
        "Removed gone/x/y 1 0".into(),
        "TypeChanged kind 6 0".into(),
        "Added kind/inside 0 1".into(),
        "Modified link 0 0".into(),
        "Modified many/0250 1 1".into(),
    ];
    assert_eq!(found, expected);
    let size = size as u64;
    let counted = Totals { added: 2, removed: 2, changed: 4, metadata: 0, added_bytes: size + 6, removed_bytes: size + 12 };
    assert_eq!(totals, counted);
    // The folder as it was and as it is tell the same.
    assert_eq!(changes(&world, &Side::Folder(copy.clone()), &snapshot(&second, ""), false), (expected.to_vec(), counted));
    assert_eq!(changes(&world, &snapshot(&first, ""), &Side::Folder(data.clone()), false), (expected.to_vec(), counted));
    assert_eq!(changes(&world, &snapshot(&second, ""), &Side::Folder(data.clone()), true), (vec![], Totals::default()));
    let (back, totals) = changes(&world, &snapshot(&second, "a"), &snapshot(&first, "a"), false);
    assert_eq!((back.len(), totals.added, totals.removed, totals.changed), (3, 1, 1, 1));
    let (file, _) = changes(&world, &snapshot(&first, "a/changed"), &Side::Folder(data.join("a/changed")), false);
    assert_eq!(file, [format!("Modified a/changed {size} {size}")]);
    let (with, _) = changes(&world, &snapshot(&first, ""), &snapshot(&second, ""), true);
    assert!(with.contains(&"Metadata mode 4 4".into()) && with.contains(&"Metadata a/same 4 4".into()), "{with:?}");
    // Equal size, other time, other bytes.
    world.write("mode", "made");
    let (live, _) = changes(&world, &snapshot(&second, ""), &Side::Folder(data.clone()), false);
    assert_eq!(live, ["Modified mode 4 4"]);
    for (old, new) in [
        (Side::Folder(data.clone()), Side::Folder(copy)),
        (snapshot(&first, "none"), snapshot(&first, "")),
        (snapshot(&first, "kind"), Side::Folder(data)),
    ] {
        let refused = diff(&world.repo, &old, &new, &diff::Options::default(), &mut |_| Ok(())).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Usage);
    }
}

#[test]
fn changes_of_tensors_are_counted_and_measured() {
    let world = World::new();
    let floats = |values: &[f32]| values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<_>>();
    let mut weight: Vec<f32> = (0..1_000_000u32).map(|i| (i % 1000) as f32 / 8.0).collect();
    let small = floats(&[1.0, 2.0, 3.0]);
    let (old, frozen) = (floats(&weight), noise("frozen", 2 << 20));
    let file = |weight: &[u8], small: &[u8], rest: &[(&str, &str, &[u64], &[u8])]| {
        let mut tensors: Vec<(&str, &str, &[u64], &[u8])> =
            vec![("w", "F32", &[1000, 1000], weight), ("frozen", "BF16", &[1 << 20], &frozen), ("small", "F32", &[3], small)];
        tensors.extend_from_slice(rest);
        safetensors(&tensors)
    };
    world.write("m/model.safetensors", file(&old, &small, &[("old", "U8", &[4], b"abcd"), ("shape", "U8", &[4], b"abcd")]));
    world.write("m/text", "text");
    let first = world.push();
    weight[3] += 0.5;
    weight[999_999] -= 2.0;
    let changed = floats(&weight);
    // A longer header moves all tensors.
    let more = [("a new tensor with a name that makes the header longer", "I64", &[1][..], &[0; 8][..]), ("shape", "U8", &[2, 2], b"abcd")];
    world.write("m/model.safetensors", file(&changed, &floats(&[1.0, 2.0, 3.5]), &more));
    world.write("m/text", "other text");
    let second = world.push();
    let snapshot = |item: &Item, path: &str| Side::Snapshot(item.clone(), path.into());
    let expected = [
        ("w", What::Modified, 1_000_000, 2, Some(2.0)),
        ("small", What::Modified, 3, 1, Some(0.5)),
        ("a new tensor with a name that makes the header longer", What::Added, 1, 1, None),
        ("shape", What::TypeChanged, 4, 4, None),
        ("old", What::Removed, 4, 4, None),
    ];
    let live = Side::Folder(world.data());
    for (old, new) in [
        (snapshot(&first, ""), snapshot(&second, "")),
        (snapshot(&first, "m/model.safetensors"), snapshot(&second, "m/model.safetensors")),
        (snapshot(&first, ""), live),
    ] {
        let found = diff::tensors(&world.repo, &old, &new, &diff::Options::default()).unwrap();
        let found: Vec<_> = found.iter().map(|c| (c.name.as_str(), c.what, c.elements, c.changed_elements, c.max_abs_diff)).collect();
        assert_eq!(found, expected);
    }
    let found = diff::tensors(&world.repo, &snapshot(&first, ""), &snapshot(&second, ""), &diff::Options::default()).unwrap();
    assert_eq!(found[0].file, b"m/model.safetensors");
    let refused = diff::tensors(&world.repo, &snapshot(&first, "m/text"), &snapshot(&second, "m/text"), &diff::Options::default());
    assert_eq!(refused.unwrap_err().kind(), ErrorKind::Usage);
}

#[test]
fn what_snapshots_share_is_counted_once() {
    let world = World::new();
    let (shared, one, two) = (noise("shared", 12 << 20), noise("one", 8 << 20), noise("two", 4 << 20));
    world.write("shared", &shared);
    world.write("own", &one);
    world.write("text", "text that compresses\n".repeat(50_000));
    let first = world.push();
    world.write("own", &two);
    world.write("copy", &shared);
    let second = world.push();
    let text = 50_000 * 21;
    // Files of several blobs, of which neighbours share one.
    let mib = 4u64 << 20;
    let all = stats(&world.repo, &[first.clone(), second.clone()]).unwrap();
    assert_eq!((all.snapshots, all.logical_bytes), (2, 5 * mib + text + 7 * mib + text));
    assert!(all.unique_bytes > 6 * mib && all.unique_bytes <= 6 * mib + text, "{all:?}");
    assert!(all.stored_bytes > 6 * mib && all.stored_bytes < 6 * mib + 200_000 && all.repository_bytes > all.stored_bytes, "{all:?}");
    for shares in [&all.by_codec, &all.by_kind] {
        assert_eq!(shares.iter().map(|share| share.stored).sum::<u64>(), all.stored_bytes);
    }
    assert_eq!(all.by_kind.iter().map(|share| share.name).collect::<Vec<_>>(), ["data", "nodes"]);
    assert_eq!(all.by_codec[0].name, "stored");
    assert!(all.by_codec.iter().any(|share| share.name == "zstd"));
    let own: Vec<_> = all.per_snapshot.iter().map(|own| (own.id, own.logical, own.new_bytes, own.exclusive_plain)).collect();
    assert_eq!(own, [(first.id, 5 * mib + text, 5 * mib + text, 2 * mib), (second.id, 7 * mib + text, mib, mib)]);
    for own in &all.per_snapshot {
        assert!((own.exclusive_plain..own.exclusive_plain + 10_000).contains(&own.exclusive_stored), "{own:?}");
    }
    // One alone needs less, and has no more to itself.
    let alone = stats(&world.repo, &[second]).unwrap();
    assert_eq!(alone.per_snapshot, all.per_snapshot[1..]);
    assert!(alone.unique_bytes < 5 * mib + text && alone.stored_bytes < all.stored_bytes - mib);
    assert_eq!(stats(&world.repo, &[]).unwrap().unique_bytes, 0);
}
