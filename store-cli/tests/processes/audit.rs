//! What must be on the disk before a name appears, watched from outside: the system calls of the program, put in order by strace, are
//! gone through with a model of what has been synced. When an object gets its name, its bytes are synced; when a snapshot, a note or
//! the final of a prune gets its name, so are all names made before; and so is its own before anything is reported. Nothing of a pack or an index segment is
//! deleted before what says so is durable.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use crate::place::{Noise, Place, change, said};
use crate::trace::{Event, events, path_of_descriptor, quoted};

/// What is not yet safe, in the order of the calls.
#[derive(Default)]
struct Disk {
    /// Files with bytes that were written and not synced.
    dirty: BTreeSet<String>,
    /// Names that were made in folders which were not synced since.
    unlisted: BTreeSet<String>,
    /// What a sync that is under way will have made safe, by thread.
    syncing: BTreeMap<u32, (Option<String>, Vec<String>)>,
    /// Names that are safe and were made in this run.
    listed: BTreeSet<String>,
    wrong: Vec<String>,
}

impl Disk {
    /// Goes through a record. `repo` is the folder of the repository, `id` what the program prints when it reports.
    fn audit(record: &str, repo: &str, id: &str) -> Self {
        let mut disk = Self::default();
        let inside = |path: &str| path.strip_prefix(repo).and_then(|rest| rest.strip_prefix('/')).map(str::to_owned);
        for event in events(record) {
            match event {
                Event::Begin { thread, call, words } => match call.as_str() {
                    "fsync" | "fdatasync" => {
                        let Some(path) = path_of_descriptor(&words) else { continue };
                        let names = if path == repo { Some(String::new()) } else { inside(path) };
                        let Some(path) = names else { continue };
                        let held = disk.unlisted.iter().filter(|name| parent(name) == path).cloned().collect();
                        disk.syncing.insert(thread, (Some(path), held));
                    }
                    "linkat" => disk.link(&quoted(&words).into_iter().filter_map(inside).collect::<Vec<_>>()),
                    "unlink" | "unlinkat" => disk.unlink(&quoted(&words).into_iter().filter_map(inside).collect::<Vec<_>>()),
                    "write" if words.starts_with("1<") && !id.is_empty() && words.contains(id) && !disk.unlisted.is_empty() => {
                        disk.wrong.push(format!("{id} is reported before {:?} is safe", disk.unlisted));
                    }
                    _ => {}
                },
                Event::End { thread, call, words, result } => {
                    if result.starts_with('-') || result.starts_with('?') {
                        continue;
                    }
                    match call.as_str() {
                        "fsync" | "fdatasync" => disk.synced(thread),
                        "write" | "pwrite64" | "ftruncate" => {
                            if let Some(path) = path_of_descriptor(&words).and_then(inside) {
                                disk.dirty.insert(path);
                            }
                        }
                        "mkdir" | "mkdirat" => disk.unlisted.extend(quoted(&words).into_iter().filter_map(inside)),
                        _ => {}
                    }
                }
            }
        }
        disk
    }

    fn synced(&mut self, thread: u32) {
        let Some((path, names)) = self.syncing.remove(&thread) else { return };
        path.iter().for_each(|path| {
            self.dirty.remove(path);
        });
        for name in names {
            self.unlisted.remove(&name);
            self.listed.insert(name);
        }
    }

    /// A name appears: `from` has the bytes.
    fn link(&mut self, paths: &[String]) {
        let [from, to] = paths else { return };
        if self.dirty.contains(from) {
            self.wrong.push(format!("{to} appears and its bytes are not synced"));
        }
        let decides = to.starts_with("snapshots/") || to.starts_with("notes/") || to.starts_with("gc/") || to == "config";
        // Two prunes' or pushes' names never depend on one another; within one process all that was made before must be safe.
        let open: Vec<&String> = self.unlisted.iter().filter(|name| !name.starts_with("tmp/")).collect();
        if decides && !open.is_empty() {
            self.wrong.push(format!("{to} appears before {open:?} is safe"));
        }
        self.unlisted.insert(to.clone());
    }

    fn unlink(&mut self, paths: &[String]) {
        for path in paths {
            self.unlisted.remove(path);
            let safe = |prefix: &str, suffix: &str| self.listed.iter().any(|name| name.starts_with(prefix) && name.ends_with(suffix));
            if path.starts_with("packs/") && !safe("gc/", ".final") {
                self.wrong.push(format!("{path} is deleted before a final is safe"));
            }
            if path.starts_with("index/") && !safe("index/", "") {
                self.wrong.push(format!("{path} is deleted before what supersedes it is safe"));
            }
        }
    }
}

fn parent(name: &str) -> &str {
    name.rsplit_once('/').map_or("", |(folder, _)| folder)
}

const CALLS: &str = "trace=linkat,link,rename,renameat,renameat2,unlink,unlinkat,mkdir,mkdirat,write,pwrite64,ftruncate,fsync,fdatasync";

/// The record of a run that must go well, and what it printed.
fn record(place: &Place, args: &[&str]) -> (String, String) {
    let output = place.traced(&["-y", "-s", "200", "-o", "record", "-e", CALLS], args).output().expect("strace is needed");
    assert!(output.status.success(), "{}", said(&output));
    (fs::read_to_string(place.path("record")).unwrap(), String::from_utf8(output.stdout).unwrap().trim().to_owned())
}

#[track_caller]
fn assert_in_order(place: &Place, args: &[&str]) -> (String, String) {
    let (record, printed) = record(place, args);
    let disk = Disk::audit(&record, place.path("repo").to_str().unwrap(), &printed);
    assert!(disk.wrong.is_empty(), "snap {args:?}: {:#?}", disk.wrong);
    assert!(!disk.listed.is_empty(), "snap {args:?} made nothing safe: is the record read rightly?");
    (record, printed)
}

#[test]
fn all_that_a_name_stands_for_is_synced_when_it_appears() {
    let place = Place::empty();
    assert_in_order(&place, &["init"]);
    let mut noise = Noise::new(4);
    let mut ids = Vec::new();
    for version in 0..4 {
        change(&place.path("data"), &mut noise, version);
        ids.push(assert_in_order(&place, &["push", "-q", "data"]).1);
    }
    assert_in_order(&place, &["tag", "--add", "good", &ids[3]]);
    assert_in_order(&place, &["forget", &ids[0], &ids[1], "--trash", "0d", "--force", "--execute"]);
    assert_in_order(&place, &["prune", "--execute", "--fence-after", "0s", "--max-unused", "0%"]);
    assert_in_order(&place, &["key", "add", "--new-key-file", "other"]);
    for segment in fs::read_dir(place.path("repo/index")).unwrap() {
        let path = segment.unwrap().path();
        fs::remove_file(&path).unwrap();
        fs::write(&path, b"damaged").unwrap();
    }
    assert_in_order(&place, &["repair", "index", "--execute"]);
}

/// The audit itself: without one of the syncs, or with a report that comes early, it finds something.
#[test]
fn a_sync_that_is_left_out_is_noticed() {
    let place = Place::new();
    change(&place.path("data"), &mut Noise::new(5), 0);
    let (record, printed) = assert_in_order(&place, &["push", "-q", "data"]);
    let repo = place.path("repo").to_str().unwrap().to_owned();
    for folder in ["tmp/", "packs/", "index>", "sessions>", "snapshots>"] {
        let wanted = format!("{repo}/{folder}");
        let is_sync = |line: &str| (line.contains(" fsync(") || line.contains(" fdatasync(")) && line.contains(&wanted);
        assert!(record.lines().any(is_sync), "no sync of {folder}: {record}");
        let without: Vec<&str> = record.lines().filter(|line| !is_sync(line)).collect();
        let disk = Disk::audit(&without.join("\n"), &repo, &printed);
        assert!(!disk.wrong.is_empty(), "nobody noticed that {folder} was not synced");
    }
}
