//! Histories of edits, as files live through them: every version that was pushed comes back as it was, whatever it was coded against.
//!
//! `SNAP_HISTORIES=1000` runs so many histories; `SNAP_HISTORY=N` runs the one that a failure names.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod rig;

use std::path::{Path, PathBuf};

use rig::{Noise, Place, Thing, Tree, assert_restores, assert_whole, push_path, quick_folder};

const VERSIONS: usize = 9;
const PAGE: usize = 8192;

/// A folder of files that is edited at random.
struct Folder {
    noise: Noise,
    files: Vec<(String, Vec<u8>)>,
    made: usize,
}

impl Folder {
    fn new(seed: u64) -> Self {
        let mut folder = Self { noise: Noise::new(seed), files: Vec::new(), made: 0 };
        let count = 200 + folder.noise.below(9000);
        let rows = folder.rows(count);
        let weights = folder.weights();
        let pages = folder.noise.bytes(PAGE * 40);
        for bytes in [rows, weights, pages] {
            folder.add(bytes);
        }
        folder
    }

    fn add(&mut self, bytes: Vec<u8>) {
        self.made += 1;
        self.files.push((format!("file {}", self.made), bytes));
    }

    /// Lines of a table, which compress.
    fn rows(&mut self, count: u64) -> Vec<u8> {
        let noise = &mut self.noise;
        let mut line = |i: u64| format!("{i}\tuser{}\t{:.3}\t{}\n", noise.below(500), noise.below(99_999) as f64 / 7.0, noise.next() % 3);
        (0..count).flat_map(|i| line(i).into_bytes()).collect()
    }

    /// A safetensors file: a few tensors of bf16 and of f32, of many sizes, some shorter than a sketch needs, some longer than a segment.
    fn weights(&mut self) -> Vec<u8> {
        let (mut header, mut data) = (Vec::new(), Vec::new());
        for name in 0..2 + self.noise.below(4) {
            let float = self.noise.below(2) == 0;
            let (dtype, width) = if float { ("F32", 4) } else { ("BF16", 2) };
            let count = 1usize << self.noise.below(19);
            let from = data.len();
            for _ in 0..count {
                let bits = self.weight().to_bits();
                data.extend_from_slice(&bits.to_le_bytes()[4 - width..]);
            }
            header.push(format!(r#""t{name}":{{"dtype":"{dtype}","shape":[{count}],"data_offsets":[{from},{}]}}"#, data.len()));
        }
        let header = format!("{{{}}}", header.join(","));
        [&(header.len() as u64).to_le_bytes()[..], header.as_bytes(), &data].concat()
    }

    fn weight(&mut self) -> f32 {
        (self.noise.below(2001) as f32 - 1000.0) * 1e-4 * (1.0 + self.noise.below(7) as f32)
    }

    /// One edit of one file: bytes are inserted, deleted, overwritten or moved, pages swapped, weights trained on; or files come, go, and
    /// get other names.
    fn edit(&mut self) {
        let at = self.noise.below(self.files.len() as u64) as usize;
        let len = self.files[at].1.len();
        let kind = self.noise.below(12);
        // As many short runs as long ones.
        let run = |noise: &mut Noise, limit: u64| {
            let most = 1 << noise.below(limit);
            1 + noise.below(most) as usize
        };
        let place = |noise: &mut Noise| noise.below(len as u64 + 1) as usize;
        match kind {
            0 => {
                let (from, count) = (place(&mut self.noise), run(&mut self.noise, 16));
                let new = self.noise.bytes(count);
                self.files[at].1.splice(from..from, new);
            }
            1 => {
                let from = place(&mut self.noise);
                let end = (from + run(&mut self.noise, 16)).min(len);
                self.files[at].1.drain(from..end);
            }
            2 | 3 => {
                let from = place(&mut self.noise);
                let end = (from + run(&mut self.noise, 12)).min(len);
                let new = self.noise.bytes(end - from);
                self.files[at].1[from..end].copy_from_slice(&new);
            }
            4 => {
                let from = place(&mut self.noise);
                let end = (from + run(&mut self.noise, 18)).min(len);
                let moved: Vec<u8> = self.files[at].1.drain(from..end).collect();
                let to = self.noise.below(self.files[at].1.len() as u64 + 1) as usize;
                self.files[at].1.splice(to..to, moved);
            }
            5 if len >= 2 * PAGE => {
                for _ in 0..1 + self.noise.below(8) {
                    let [a, b] = [0; 2].map(|_: i32| self.noise.below((len / PAGE) as u64) as usize * PAGE);
                    for i in 0..PAGE {
                        self.files[at].1.swap(a + i, b + i);
                    }
                }
            }
            6 | 7 => self.train(at),
            8 => {
                let copy = self.files[at].1.clone();
                self.add(copy);
            }
            9 if self.files.len() > 2 => _ = self.files.remove(at),
            10 => {
                self.made += 1;
                self.files[at].0 = format!("renamed {}", self.made);
            }
            _ => {
                let more = if self.noise.below(2) == 0 { self.weights() } else { self.rows(300) };
                if self.noise.below(2) == 0 { self.add(more) } else { self.files[at].1.extend(more) }
            }
        }
    }

    /// Moves the low bits of most bytes, as training moves weights.
    fn train(&mut self, at: usize) {
        let step = 1 + self.noise.below(6);
        let width = if self.noise.below(2) == 0 { 2 } else { 4 };
        let Self { noise, files, .. } = self;
        let from = files[at].1.len().min(64);
        for word in files[at].1[from..].chunks_exact_mut(width) {
            word[0] = word[0].wrapping_add(noise.below(2 * step + 1) as u8).wrapping_sub(step as u8);
        }
    }

    fn write(&self, root: &Path) -> Tree {
        drop(std::fs::remove_dir_all(root));
        std::fs::create_dir(root).unwrap();
        let mut tree = Tree::new();
        for (name, bytes) in &self.files {
            std::fs::write(root.join(name), bytes).unwrap();
            tree.insert(PathBuf::from(name), Thing::File(bytes.clone()));
        }
        tree
    }
}

/// Pushes the versions of one history, then restores each of them.
fn live_through(seed: u64) {
    let folder = quick_folder();
    let (place, root) = (Place::below(folder.path()), folder.path().join("data"));
    drop(place.init());
    let mut files = Folder::new(seed);
    let mut versions = Vec::new();
    for _ in 0..VERSIONS {
        let tree = files.write(&root);
        let report = push_path(&place.open().unwrap(), &root).unwrap();
        versions.push((report.snapshot.unwrap(), tree));
        for _ in 0..1 + files.noise.below(6) {
            files.edit();
        }
    }
    // What is derived must not matter.
    if seed.is_multiple_of(4) {
        std::fs::remove_dir_all(&place.cache).unwrap();
    }
    let repo = place.open().unwrap();
    for (id, tree) in &versions {
        assert_restores(&repo, *id, tree);
    }
    assert_whole(&repo);
}

#[test]
fn every_version_of_a_random_history_comes_back() {
    let number = |name: &str| std::env::var(name).ok().map(|value| value.parse::<u64>().unwrap());
    if let Some(seed) = number("SNAP_HISTORY") {
        return live_through(seed);
    }
    let count = number("SNAP_HISTORIES").unwrap_or(12);
    let next = std::sync::atomic::AtomicU64::new(0);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                    if seed >= count {
                        break;
                    }
                    let lived = std::panic::catch_unwind(|| live_through(seed));
                    assert!(lived.is_ok(), "history {seed}: run it again with SNAP_HISTORY={seed}");
                }
            });
        }
    });
}
