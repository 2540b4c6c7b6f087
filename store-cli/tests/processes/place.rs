//! A repository in a folder, the program run on it, and what a tree of files looks like.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

/// The folder of a repository with its key and its cache. A key file opens it, so that no password is stretched.
pub(crate) struct Place {
    folder: TempDir,
}

/// What names and bytes a folder has: for each file its length and a hash.
pub(crate) type Tree = BTreeMap<PathBuf, (u64, u64)>;

impl Place {
    /// Without a repository; in memory where there is such a file system, since hundreds of thousands of files are written.
    pub(crate) fn empty() -> Self {
        let memory = Path::new("/dev/shm");
        let folder = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() }.unwrap();
        let key = folder.path().join("key");
        let mut options = fs::OpenOptions::new();
        std::io::Write::write_all(
            &mut options.write(true).create_new(true).mode(0o600).open(key).unwrap(),
            format!("{}\n", "5a".repeat(32)).as_bytes(),
        )
        .unwrap();
        Self { folder }
    }

    pub(crate) fn new() -> Self {
        let place = Self::empty();
        place.ok(&["init"]);
        place
    }

    /// Another place with the same content: the same repository, cache and files.
    pub(crate) fn copy(&self) -> Self {
        let copy = Self { folder: tempfile::tempdir_in(self.folder.path().parent().unwrap()).unwrap() };
        // `cp` keeps times and inode-independent attributes, so that unchanged files stay unchanged.
        let status = Command::new("cp").arg("-a").arg(self.path(".")).arg(copy.path(".")).status().unwrap();
        assert!(status.success(), "cp: {status}");
        copy
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// What is to be given before the program's own arguments, so that it runs here, with the cache named.
    fn prepare(&self, command: &mut Command, cache: &str) {
        command.current_dir(self.folder.path()).env_clear().stdin(Stdio::null());
        command.env("PATH", std::env::var_os("PATH").unwrap_or_default()).env("TZ", "UTC").env("HOME", self.path("home"));
        command.env("SNAP_REPOSITORY", self.path("repo")).env("SNAP_CACHE_DIR", self.path(cache)).env("SNAP_KEY_FILE", self.path("key"));
    }

    /// The program, ready to run.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        self.command_with_cache("cache", args)
    }

    /// The program as if on another host: with a cache of its own.
    pub(crate) fn command_with_cache(&self, cache: &str, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_snap"));
        command.args(args);
        self.prepare(&mut command, cache);
        command
    }

    /// The program under strace, which is given `options`.
    pub(crate) fn traced<S: AsRef<OsStr>>(&self, options: &[S], args: &[&str]) -> Command {
        let mut command = Command::new("strace");
        command.args(["-f", "-qq"]).args(options).arg("--").arg(env!("CARGO_BIN_EXE_snap")).args(args);
        self.prepare(&mut command, "cache");
        command
    }

    /// Standard output of a run that must go well.
    #[track_caller]
    pub(crate) fn ok(&self, args: &[&str]) -> String {
        let output = self.command(args).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "snap {args:?}: {}", said(&output));
        String::from_utf8(output.stdout).unwrap()
    }

    /// Pushes the folder `data` and returns the id.
    #[track_caller]
    pub(crate) fn push(&self) -> String {
        self.ok(&["push", "-q", "data"]).trim().to_owned()
    }

    /// The snapshot comes back, and is `tree`.
    #[track_caller]
    pub(crate) fn assert_restores(&self, id: &str, tree: &Tree) {
        let target = tempfile::tempdir_in(self.folder.path()).unwrap();
        let output = self.command(&["restore", "-q", id, "-t", target.path().to_str().unwrap()]).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "restore {id}: {}", said(&output));
        let found = tree_at(target.path());
        let differ: Vec<_> = tree.keys().chain(found.keys()).filter(|path| tree.get(*path) != found.get(*path)).collect();
        assert!(differ.is_empty(), "snapshot {id} came back with other bytes: {differ:?}");
    }

    /// All that is stored is whole, to the last byte, and all these snapshots come back.
    #[track_caller]
    pub(crate) fn assert_whole(&self, reported: &BTreeMap<String, Tree>) {
        self.ok(&["check", "-q", "--read-data"]);
        reported.iter().for_each(|(id, tree)| self.assert_restores(id, tree));
    }
}

/// What a run wrote to both its outputs.
pub(crate) fn said(output: &Output) -> String {
    [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes).into_owned()).concat()
}

/// What stands below a folder.
pub(crate) fn tree_at(root: &Path) -> Tree {
    let (mut tree, mut open) = (Tree::new(), vec![root.to_owned()]);
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
                continue;
            }
            let bytes = fs::read(&path).unwrap();
            let mut hasher = DefaultHasher::new();
            bytes.hash(&mut hasher);
            tree.insert(path.strip_prefix(root).unwrap().to_owned(), (bytes.len() as u64, hasher.finish()));
        }
    }
    tree
}

/// Numbers without pattern, the same for each seed.
pub(crate) struct Noise(u64);

impl Noise {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    pub(crate) fn bytes(&mut self, len: usize) -> Vec<u8> {
        (0..len).map(|_| (self.next() >> 32) as u8).collect()
    }
}

/// Makes the next version of a folder: a large file changes in a few places, a log grows, a file comes and an old one goes.
pub(crate) fn change(data: &Path, noise: &mut Noise, version: u64) {
    fs::create_dir_all(data.join("sub")).unwrap();
    let large = data.join("large");
    let mut bytes = fs::read(&large).unwrap_or_else(|_| noise.bytes(300_000));
    for _ in 0..3 {
        let at = noise.below(bytes.len() as u64 - 2_000) as usize;
        bytes[at..at + 2_000].copy_from_slice(&noise.bytes(2_000));
    }
    fs::write(&large, bytes).unwrap();
    let mut log = fs::read(data.join("log")).unwrap_or_default();
    log.extend_from_slice(format!("version {version} of {}\n", noise.next()).repeat(20).as_bytes());
    fs::write(data.join("log"), log).unwrap();
    let len = noise.below(60_000) as usize;
    fs::write(data.join(format!("sub/{version}")), noise.bytes(len)).unwrap();
    let _ = fs::remove_file(data.join(format!("sub/{}", version.wrapping_sub(4))));
}

/// The number that an environment variable gives, or the usual one.
pub(crate) fn setting(name: &str, usual: u64) -> u64 {
    std::env::var(name).map_or(usual, |value| value.parse().unwrap_or_else(|_| panic!("{name}={value} is no number")))
}
