//! What a prune of a very large repository takes: a command, not a usual test.
//!
//! ```text
//! SNAP_LARGE=/a/folder SNAP_CHUNKS=50000000 cargo test --release -p store-core --lib many_chunks -- --ignored --nocapture
//! ```
//!
//! The repository is made once, in that folder, and looked at by every run after that: so the run that makes it and the one that builds the
//! chunk index do not count for the others. Index segments and the nodes of one snapshot are real, sealed as a push seals them; packs of
//! data are empty files of the right length, since marking reads none. `SNAP_PER_BLOB` is the number of chunks of a blob (8 as of text, 1 as of
//! tensors), `SNAP_SKETCHES=1` gives each chunk a sketch.

use std::path::Path;
use std::time::Instant;

use super::{Options, prune};
use crate::base::ids::{ChunkId, NodeId, PackId};
use crate::base::units::{KIB, MIB};
use crate::blob::{self, Plain};
use crate::clock;
use crate::codec::Compression;
use crate::crypto::Secret;
use crate::format::blob::{BlobKind, Frame, Step};
use crate::format::entry::{Content, Entry, Extent, Kind, Metadata, Timestamp};
use crate::format::pack::{BlobEntry, PackContents, Sketch};
use crate::format::segment::{PackEntry, Segment};
use crate::format::session::Purpose;
use crate::format::snapshot::{Snapshot, Totals};
use crate::merkle::{EntriesBuilder, ExtentsBuilder};
use crate::monitor::Silent;
use crate::repo::{NewBlob, OpenOptions, PackWriter, Repo, Secrets};

/// Blobs of one pack.
const BLOBS: u64 = 96;
/// Packs of one index segment.
const PACKS: u64 = 16;
/// One blob in so many is coded against the one before it, and one in so many is asked for by nothing.
const CODED: u64 = 3;
const FREE: u64 = 10;
/// Chunks of one file.
const FILE: u64 = 1 << 20;
const SEALED: u32 = 600_000;

/// What the repository consists of.
#[derive(Clone, Copy)]
struct Shape {
    chunks: u64,
    per_blob: u64,
    sketches: bool,
}

impl Shape {
    fn len(self) -> u32 {
        (MIB as u64 / self.per_blob) as u32
    }

    fn is_asked(self, chunk: u64) -> bool {
        !(chunk / self.per_blob).is_multiple_of(FREE)
    }

    fn blob(self, blob: u64) -> BlobEntry {
        let first = blob * self.per_blob;
        let is_coded = !(blob % BLOBS).is_multiple_of(CODED);
        let bases = if is_coded { vec![id(first - self.per_blob)] } else { Vec::new() };
        let ids: Vec<_> = (first..first + self.per_blob).map(id).collect();
        let sketch =
            |id: &ChunkId| -> Sketch { std::array::from_fn(|i| u32::from_le_bytes([0, 1, 2, 3].map(|at| id.as_bytes()[4 * i + at]))) };
        let frame = Frame {
            kind: BlobKind::Data,
            depth: (blob % BLOBS % CODED) as u8,
            sealed_len: SEALED,
            steps: vec![Step { code: 2, input_len: MIB as u32, parameters: Vec::new() }],
            chunk_lens: vec![self.len(); self.per_blob as usize],
            bases,
        };
        BlobEntry { frame, sketches: if self.sketches { ids.iter().map(sketch).collect() } else { Vec::new() }, ids }
    }
}

fn id(chunk: u64) -> ChunkId {
    ChunkId::from_bytes(*blake3::hash(&chunk.to_le_bytes()).as_bytes())
}

fn options(folder: &Path) -> OpenOptions {
    OpenOptions {
        location: folder.join("repo").display().to_string(),
        cache_dir: folder.join("cache"),
        threads: 2,
        memory: 512 * MIB,
        compression: Compression::Auto,
        kept: 0,
    }
}

fn secrets() -> Secrets {
    Secrets { passphrase: None, key_file: Some(Secret::take(&mut [7; 32])) }
}

fn metadata() -> Metadata {
    let time = Timestamp { seconds: 0, nanos: 0 };
    Metadata { mode: 0o644, uid: 0, gid: 0, mtime: time, ctime: time, inode: 0, device: 0, links: 1, xattrs: Vec::new() }
}

/// Writes nodes as a push does.
struct Nodes<'r> {
    repo: &'r Repo,
    writer: PackWriter,
    ids: Vec<ChunkId>,
    lens: Vec<u32>,
    bytes: Vec<u8>,
}

impl Nodes<'_> {
    fn add(&mut self, id: NodeId, bytes: &[u8]) {
        self.ids.push(ChunkId::from_bytes(*id.as_bytes()));
        self.lens.push(bytes.len() as u32);
        self.bytes.extend_from_slice(bytes);
        if self.bytes.len() >= 256 * KIB {
            self.send();
        }
    }

    fn send(&mut self) {
        if self.ids.is_empty() {
            return;
        }
        let plain = Plain { kind: BlobKind::Nodes, bytes: &self.bytes, dtype: None };
        let coded = blob::encode(plain, std::mem::take(&mut self.lens), None, self.repo.compression);
        self.writer.add(NewBlob { coded, ids: std::mem::take(&mut self.ids), sketches: Vec::new() }).unwrap();
        self.bytes.clear();
    }
}

fn make(folder: &Path, shape: Shape) {
    let repo = Repo::init(&options(folder), &secrets(), "large").unwrap().0;
    let session = repo.begin_session(Purpose::Push).unwrap();
    let (mut pack, mut segment) = (0, Segment::default());
    while pack * BLOBS * shape.per_blob < shape.chunks {
        let name = PackId::from_bytes(*blake3::hash(&[&b"pack"[..], &pack.to_le_bytes()].concat()).as_bytes());
        let contents = PackContents { padding: 0, blobs: (pack * BLOBS..(pack + 1) * BLOBS).map(|blob| shape.blob(blob)).collect() };
        let len = contents.end() + 20_000;
        let path = folder.join("repo").join(crate::backend::ObjectPath::Pack(name).to_string());
        std::fs::File::create(path).unwrap().set_len(len).unwrap();
        segment.packs.push(PackEntry { id: name, len, contents });
        pack += 1;
        if pack.is_multiple_of(PACKS) {
            repo.create_segment(&std::mem::take(&mut segment)).unwrap();
        }
    }
    repo.create_segment(&segment).unwrap();
    let mut nodes =
        Nodes { repo: &repo, writer: PackWriter::new(&repo, false).unwrap(), ids: Vec::new(), lens: Vec::new(), bytes: Vec::new() };
    let mut files = EntriesBuilder::new();
    for (number, first) in (0..pack * BLOBS * shape.per_blob).step_by(FILE as usize).enumerate() {
        let (mut list, mut size) = (ExtentsBuilder::new(), 0);
        for chunk in (first..first + FILE).filter(|chunk| *chunk < pack * BLOBS * shape.per_blob && shape.is_asked(*chunk)) {
            size += u64::from(shape.len());
            list.push(&repo.keys, &Extent::Chunk { id: id(chunk), len: shape.len() }, &mut |id, bytes| add(&mut nodes, id, &bytes))
                .unwrap();
        }
        let root = list.finish(&repo.keys, &mut |id, bytes| add(&mut nodes, id, &bytes)).unwrap().unwrap();
        let kind = Kind::File { size, content: Content::List(root) };
        let entry = Entry { name: format!("{number:08}").into_bytes(), kind, meta: metadata() };
        files.push(&repo.keys, &entry, &mut |id, bytes| add(&mut nodes, id, &bytes)).unwrap();
    }
    let entries = files.finish(&repo.keys, &mut |id, bytes| add(&mut nodes, id, &bytes)).unwrap();
    let mut top = EntriesBuilder::new();
    let root = Entry { name: b"root".to_vec(), kind: Kind::Directory { entries }, meta: metadata() };
    top.push(&repo.keys, &root, &mut |id, bytes| add(&mut nodes, id, &bytes)).unwrap();
    let root = top.finish(&repo.keys, &mut |id, bytes| add(&mut nodes, id, &bytes)).unwrap().unwrap();
    nodes.send();
    nodes.writer.finish().unwrap();
    let snapshot = Snapshot {
        root,
        time: clock::now(),
        zone: 0,
        host: "host".into(),
        user: "user".into(),
        writer: repo.writer().unwrap(),
        previous: None,
        parent: None,
        series: None,
        tags: Default::default(),
        refs: Default::default(),
        description: None,
        meta: Default::default(),
        paths: Vec::new(),
        incompatible: 0,
        totals: Totals::default(),
        program: clock::PROGRAM.into(),
        extra: Default::default(),
    };
    let _ = repo.commit(&session, &snapshot).unwrap();
}

fn add(nodes: &mut Nodes<'_>, id: NodeId, bytes: &[u8]) -> Result<(), std::convert::Infallible> {
    nodes.add(id, bytes);
    Ok(())
}

/// Greatest resident set since the last call, in MiB, and what it is now.
fn resident() -> (u64, u64) {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let field = |name: &str| -> u64 {
        let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        line.split_whitespace().next().unwrap().parse::<u64>().unwrap() / 1024
    };
    let found = (field("VmHWM:"), field("VmRSS:"));
    std::fs::write("/proc/self/clear_refs", "5").unwrap();
    found
}

#[test]
#[ignore = "takes minutes, and gigabytes of disk: a command"]
fn a_prune_of_many_chunks_holds_its_memory() {
    let number = |name: &str, usual: u64| std::env::var(name).map_or(usual, |number| number.parse().unwrap());
    let shape = Shape {
        chunks: number("SNAP_CHUNKS", 50_000_000),
        per_blob: number("SNAP_PER_BLOB", 8),
        sketches: number("SNAP_SKETCHES", 0) == 1,
    };
    let temporary = tempfile::tempdir().unwrap();
    let folder = std::env::var_os("SNAP_LARGE").map_or(temporary.path().to_path_buf(), Into::into);
    let started = Instant::now();
    if !folder.join("repo/config").exists() {
        std::fs::create_dir_all(&folder).unwrap();
        make(&folder, shape);
        eprintln!("made in {:.0} s, peak {} MiB", started.elapsed().as_secs_f64(), resident().0);
    }
    let (started, _) = (Instant::now(), resident());
    let repo = Repo::open(&options(&folder), &secrets()).unwrap();
    let _ = repo.index().unwrap();
    eprintln!("index opened in {:.1} s, peak {} MiB", started.elapsed().as_secs_f64(), resident().0);
    let started = Instant::now();
    let report = prune(&repo, &Options::default(), &Silent).unwrap();
    let (peak, _) = resident();
    let all = report.decision.totals(|_| true);
    eprintln!(
        "marked and decided in {:.1} s, peak {peak} MiB, marks {} MiB; {} packs of {} GiB, {} GiB needed; {:?}",
        started.elapsed().as_secs_f64(),
        report.mark_memory >> 20,
        all.packs,
        all.bytes >> 30,
        all.needed >> 30,
        report.decision.chains,
    );
    assert!(all.needed < all.bytes);
    assert!(peak <= 600, "{peak} MiB");
}
