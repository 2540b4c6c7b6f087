use std::fs;
use std::path::Path;

use super::{LOADING, RocksIndex};
use crate::base::ids::{ChunkId, NodeId, PackId, SegmentId};
use crate::base::units::MIB;
use crate::format::blob::{BlobKind, Frame, Step};
use crate::format::pack::{BlobEntry, PackContents};
use crate::format::segment::{PackEntry, Segment};
use crate::index::{ChunkIndex, IndexError, MemoryIndex, Reads};

fn id(n: u32) -> ChunkId {
    ChunkId::from_bytes(*blake3::hash(&n.to_le_bytes()).as_bytes())
}

fn pack_id(n: u32) -> PackId {
    PackId::from_bytes(*id(n | 1 << 31).as_bytes())
}

/// A pack of blobs of these depths and chunks; the features of chunk n are those of n / 3, and it has none when `bare`.
fn pack(name: u32, blobs: &[(u8, &[u32])], bare: bool) -> PackEntry {
    let len = |n: &u32| 1 + n % 100;
    let blob = |(depth, chunks): &(u8, &[u32])| BlobEntry {
        frame: Frame {
            kind: BlobKind::Data,
            depth: *depth,
            sealed_len: 100 + name,
            steps: vec![Step { code: 1, input_len: chunks.iter().map(len).sum(), parameters: Vec::new() }],
            chunk_lens: chunks.iter().map(len).collect(),
            bases: (0..*depth).map(|n| id(n.into())).collect(),
        },
        ids: chunks.iter().map(|n| id(*n)).collect(),
        sketches: if bare { Vec::new() } else { chunks.iter().map(|n| std::array::from_fn(|i| n / 3 + i as u32)).collect() },
    };
    let contents = PackContents { padding: 0, blobs: blobs.iter().map(blob).collect() };
    PackEntry { id: pack_id(name), len: 1000 + u64::from(name), contents }
}

fn segment(packs: Vec<PackEntry>) -> Segment {
    Segment { supersedes: Vec::new(), packs }
}

/// Segments in which chunks have several places, in blobs of several depths, packs are told of twice, and many chunks come once.
fn history() -> Vec<Segment> {
    let many: Vec<u32> = (1000..9000).collect();
    vec![
        segment(vec![pack(1, &[(0, &[1, 2, 3]), (1, &[4, 5])], false), pack(2, &[(2, &[1, 6])], true)]),
        segment(vec![pack(2, &[(2, &[1, 6])], false), pack(3, &[(1, &[1, 2]), (0, &[4]), (0, &[4, 9])], false)]),
        segment(vec![pack(3, &[(1, &[1, 2]), (0, &[4]), (0, &[4, 9])], false), pack(4, &[(0, &many)], false)]),
        segment(vec![pack(5, &[(0, &many), (0, &[6, 10])], false), pack(6, &[(0, &[11])], true)]),
    ]
}

fn load(index: &dyn ChunkIndex, segments: &[Segment]) {
    let mut load = index.load().unwrap();
    segments.iter().for_each(|segment| load.add(segment).unwrap());
    load.finish().unwrap();
}

fn open(folder: &Path) -> RocksIndex {
    RocksIndex::open(folder, MIB).unwrap()
}

fn compare(one: &dyn ChunkIndex, other: &dyn ChunkIndex) {
    let ids: Vec<_> = (0..9100).map(id).collect();
    let found = one.find(&ids).unwrap();
    assert_eq!(found, other.find(&ids).unwrap());
    assert_eq!(found.iter().flatten().count(), 8000 + 9);
    let all = one.find_all(&ids).unwrap();
    assert_eq!(all, other.find_all(&ids).unwrap());
    for ((id, found), all) in ids.iter().zip(found).zip(all).take(1100) {
        assert_eq!((found, &all), (all.first().copied(), &one.copies(id).unwrap()));
    }
    assert_eq!(one.find_all(&[id(2), id(7)]).unwrap().iter().map(Vec::len).collect::<Vec<_>>(), [2, 0]);
    let sketches: Vec<_> = (0..3100).map(|n| std::array::from_fn(|i| n + i as u32)).collect();
    let sorted = |index: &dyn ChunkIndex| -> Vec<_> {
        let mut found = index.similar(&sketches).unwrap();
        found.iter_mut().for_each(|places| places.sort_unstable());
        found
    };
    assert_eq!(sorted(one), sorted(other));
    for number in 0..7 {
        assert_eq!(one.pack(number).unwrap(), other.pack(number).unwrap());
        assert_eq!(one.number(&pack_id(number)).unwrap(), other.number(&pack_id(number)).unwrap());
        for ordinal in 0..4 {
            assert_eq!(one.blob(number, ordinal).unwrap(), other.blob(number, ordinal).unwrap());
        }
    }
}

#[test]
fn of_equals_the_last_is_named() {
    let place = tempfile::tempdir().unwrap();
    let (rocks, memory) = (open(&place.path().join("0")), MemoryIndex::default());
    let told = [segment(vec![pack(1, &[(1, &[1]), (0, &[2])], false)]), segment(vec![pack(2, &[(0, &[1, 2])], false)])];
    let later = segment(vec![pack(3, &[(1, &[1]), (1, &[2])], false), pack(4, &[(0, &[3]), (0, &[2])], false)]);
    for index in [&rocks as &dyn ChunkIndex, &memory] {
        told.iter().for_each(|segment| index.apply(None, segment).unwrap());
        let packs =
            |index: &dyn ChunkIndex, number| -> Vec<_> { index.find_all(&[id(number)]).unwrap()[0].iter().map(|at| at.pack).collect() };
        assert_eq!([packs(index, 1), packs(index, 2)], [vec![1, 0], vec![1, 0]]);
        load(index, std::slice::from_ref(&later));
        assert_eq!([packs(index, 1), packs(index, 2), packs(index, 3)], [vec![1, 2, 0], vec![3, 1, 0, 2], vec![3]]);
    }
}

#[test]
fn what_a_snapshot_reads_is_noted_in_place_of_another_one() {
    let place = tempfile::tempdir().unwrap();
    let (rocks, memory) = (open(&place.path().join("0")), MemoryIndex::default());
    let [old, new] = [[1; 32], [2; 32]].map(NodeId::from_bytes);
    let reads = Reads { all: 1 << 40, alone: 7, plain: 9, credit: 11 };
    for index in [&rocks as &dyn ChunkIndex, &memory] {
        index.note_reads(&old, reads, None).unwrap();
        assert_eq!(index.reads_of(&old).unwrap(), Some(reads));
        index.note_reads(&new, Reads { all: 1, ..reads }, Some(&old)).unwrap();
        assert_eq!((index.reads_of(&old).unwrap(), index.reads_of(&new).unwrap()), (None, Some(Reads { all: 1, ..reads })));
    }
}

#[test]
fn what_is_open_is_not_thrown_away() {
    let place = tempfile::tempdir().unwrap();
    let folder = place.path().join("0");
    let index = open(&folder);
    assert!(matches!(RocksIndex::remove(&folder), Err(IndexError::InUse)));
    assert!(matches!(RocksIndex::open(&folder, MIB), Err(IndexError::InUse)));
    drop(index);
    RocksIndex::remove(&folder).unwrap();
    assert!(!folder.exists());
    RocksIndex::remove(&folder).unwrap();
    RocksIndex::open(&folder, MIB).unwrap();
}

#[test]
fn what_is_taken_in_together_is_what_comes_of_one_after_the_other() {
    let (place, history) = (tempfile::tempdir().unwrap(), history());
    let right = MemoryIndex::default();
    history.iter().for_each(|segment| right.apply(None, segment).unwrap());
    // All at once, and each part before or behind others that come one by one.
    for before in 0..=history.len() {
        for behind in before..=history.len() {
            let folder = place.path().join(format!("{before}-{behind}"));
            let index = open(&folder);
            history[..before].iter().for_each(|segment| index.apply(None, segment).unwrap());
            load(&index, &history[before..behind]);
            history[behind..].iter().for_each(|segment| index.apply(None, segment).unwrap());
            compare(&index, &right);
            index.flush().unwrap();
            drop(index);
            compare(&open(&folder), &right);
        }
    }
}

#[test]
fn two_loads_are_one() {
    let (place, history) = (tempfile::tempdir().unwrap(), history());
    let (index, right) = (open(&place.path().join("0")), MemoryIndex::default());
    load(&right, &history);
    load(&index, &history[..2]);
    load(&index, &history[2..]);
    compare(&index, &right);
}

#[test]
fn what_was_loaded_survives_without_a_flush() {
    let (place, history) = (tempfile::tempdir().unwrap(), history());
    let folder = place.path().join("0");
    let index = open(&folder);
    load(&index, &history);
    // As after a kill: nothing is written when it goes.
    let copy = place.path().join("copy");
    fs::create_dir(&copy).unwrap();
    for entry in fs::read_dir(&folder).unwrap().map(Result::unwrap) {
        fs::copy(entry.path(), copy.join(entry.file_name())).unwrap();
    }
    let right = MemoryIndex::default();
    load(&right, &history);
    compare(&open(&copy), &right);
}

#[test]
fn a_load_that_is_given_up_leaves_nothing() {
    let (place, history) = (tempfile::tempdir().unwrap(), history());
    let folder = place.path().join("0");
    let index = open(&folder);
    let mut given_up = index.load().unwrap();
    history.iter().for_each(|segment| given_up.add(segment).unwrap());
    drop(given_up);
    assert!(!folder.join("load").exists());
    assert_eq!((index.find(&[id(1)]).unwrap(), index.pack(0).unwrap()), (vec![None], None));
    let right = MemoryIndex::default();
    load(&right, &history);
    load(&index, &history);
    compare(&index, &right);
}

#[test]
fn what_a_killed_load_left_is_in_nobodys_way() {
    let (place, history) = (tempfile::tempdir().unwrap(), history());
    let folder = place.path().join("0");
    let index = open(&folder);
    fs::create_dir(folder.join("load")).unwrap();
    fs::write(folder.join("load/chunks-0"), "half a table").unwrap();
    let right = MemoryIndex::default();
    load(&right, &history);
    load(&index, &history);
    compare(&index, &right);
}

#[test]
fn an_index_into_which_half_was_loaded_is_not_opened() {
    let place = tempfile::tempdir().unwrap();
    let folder = place.path().join("0");
    let index = open(&folder);
    load(&index, &history());
    assert!(!folder.join(LOADING).exists());
    // Tables cannot be moved into it any more, as on a disk that fails.
    let mut broken = index.load().unwrap();
    broken.add(&segment(vec![pack(7, &[(0, &[70])], false)])).unwrap();
    for entry in fs::read_dir(folder.join("load")).unwrap().map(Result::unwrap) {
        fs::remove_file(entry.path()).unwrap();
    }
    assert!(broken.finish().is_err());
    drop(index);
    assert!(matches!(RocksIndex::open(&folder, MIB), Err(IndexError::Corrupt(_))));
    RocksIndex::remove(&folder).unwrap();
    assert_eq!(open(&folder).find(&[id(1)]).unwrap(), [None]);
}

#[test]
fn many_small_flushes_leave_few_files() {
    let place = tempfile::tempdir().unwrap();
    let folder = place.path().join("0");
    let index = open(&folder);
    for n in 0..100 {
        index.apply(Some(&SegmentId::from_bytes(*id(n).as_bytes())), &segment(vec![pack(n, &[(0, &[n])], false)])).unwrap();
        index.flush().unwrap();
    }
    let tables = fs::read_dir(&folder).unwrap().filter(|entry| entry.as_ref().unwrap().path().extension().is_some_and(|it| it == "sst"));
    let count = tables.count();
    // Each flush writes one for each of seven families. Each family holds some, and what is being merged is there twice.
    assert!(count < 250, "{count}");
    assert_eq!(index.applied().unwrap().len(), 100);
}

#[test]
fn records_and_whole_snapshots_are_kept_and_replaced() {
    let place = tempfile::tempdir().unwrap();
    let folder = place.path().join("0");
    let memory = MemoryIndex::default();
    let root = |n: u8| NodeId::from_bytes([n; 32]);
    let record = |n: u8| (format!("snapshots/{n}"), vec![n; 10]);
    for index in [&open(&folder) as &dyn ChunkIndex, &memory] {
        index.keep_records(&[record(1), record(2)], &[]).unwrap();
        index.keep_records(&[record(3)], &[record(1).0]).unwrap();
        index.note_whole(&root(1), None).unwrap();
        index.note_whole(&root(2), Some(&root(1))).unwrap();
        index.note_whole(&root(3), Some(&root(3))).unwrap();
        index.flush().unwrap();
    }
    for index in [&open(&folder) as &dyn ChunkIndex, &memory] {
        assert_eq!(index.records().unwrap(), [record(2).0, record(3).0]);
        assert_eq!((index.record(&record(1).0).unwrap(), index.record(&record(2).0).unwrap()), (None, Some(vec![2; 10])));
        assert_eq!([1, 2, 3].map(|n| index.is_whole(&root(n)).unwrap()), [false, true, true]);
    }
}
