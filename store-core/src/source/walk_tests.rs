//! What a walk visits, in which order, and what it does while the tree changes.

use std::fs;
use std::os::fd::AsFd;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use super::*;
use crate::format::entry::Kind;
use crate::source::{Case, ExcludeBuilder, Selection};

/// The events of a walk, one word each: `>name` enters, `<` leaves, `!` is a problem.
fn words(walk: Walk) -> Vec<String> {
    walk.map(|event| match event {
        Event::Enter(found) => format!(">{}", String::from_utf8_lossy(&found.name)),
        Event::Entry(found) => String::from_utf8_lossy(&found.name).into_owned(),
        Event::Leave => "<".to_string(),
        Event::Problem(error) => format!("!{error}"),
    })
    .collect()
}

fn walk_with(paths: &[&Path], fill: impl FnOnce(&mut ExcludeBuilder)) -> Walk {
    let mut builder = ExcludeBuilder::new();
    fill(&mut builder);
    let paths = paths.iter().map(|path| path.to_path_buf()).collect();
    Selection { paths, excludes: builder.build().unwrap(), ..Selection::default() }.walk().unwrap()
}

fn walk(path: &Path) -> Walk {
    walk_with(&[path], |_| {})
}

/// A folder with these entries; names that end in a slash are folders.
fn tree(entries: &[&str]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for entry in entries {
        let path = folder.path().join(entry);
        if entry.ends_with('/') {
            fs::create_dir_all(path).unwrap();
        } else {
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, entry).unwrap();
        }
    }
    folder
}

#[test]
fn entries_come_in_the_order_of_their_bytes_and_a_single_folder_is_the_root() {
    let folder = tree(&["b/x", "a", "B", "b.c", "b/", "\u{e9}", "empty/", "b/new\nline"]);
    fs::write(folder.path().join(OsStr::from_bytes(b"\xff\xfe")), "").unwrap();
    fs::write(folder.path().join("n".repeat(255)), "").unwrap();
    let long = "n".repeat(255);
    let expected = [">", "B", "a", ">b", "new\nline", "x", "<", "b.c", ">empty", "<", &long, "\u{e9}", "\u{fffd}\u{fffd}", "<"];
    assert_eq!(words(walk(folder.path())), expected);
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o750)).unwrap();
    let mut walk = walk(folder.path());
    let Some(Event::Enter(root)) = walk.next() else { panic!("the root comes first") };
    assert!(!root.is_virtual() && root.meta.mode == 0o750 && root.what == What::Directory);
    assert!(walk.any(|event| matches!(event, Event::Entry(found) if found.name == b"\xff\xfe")));
}

#[test]
fn several_paths_get_a_root_of_their_own() {
    let folder = tree(&["one/x", "two", "other/two"]);
    let at = |name: &str| folder.path().join(name);
    assert_eq!(words(walk_with(&[&at("two"), &at("one")], |_| {})), [">", ">one", "x", "<", "two", "<"]);
    assert_eq!(words(walk(&at("two"))), [">", "two", "<"]);
    let mut walk = walk(&at("two"));
    assert!(matches!(walk.next(), Some(Event::Enter(root)) if root.is_virtual()));

    let both = Selection { paths: vec![at("two"), at("other/two")], ..Selection::default() }.walk().unwrap_err().to_string();
    assert!(both.contains(&format!("{:?}", at("two"))) && both.contains("other/two"), "{both}");
    let none = Selection { paths: vec![at("none")], ..Selection::default() }.walk().unwrap_err().to_string();
    assert!(none.contains("none"));
    assert!(Selection::default().walk().is_err());
    assert!(Selection { paths: vec!["".into()], ..Selection::default() }.walk().is_err());
}

#[test]
fn paths_with_dots_have_the_name_of_what_they_stand_for() {
    let folder = tree(&["a/b/x", "c"]);
    let at = |name: &str| folder.path().join(name);
    assert_eq!(words(walk_with(&[&at("a/b/.."), &at("c")], |_| {})), [">", ">a", ">b", "x", "<", "<", "c", "<"]);
    assert_eq!(words(walk_with(&[&at("a/../a/b/."), &at("c")], |_| {})), [">", ">b", "x", "<", "c", "<"]);
    assert_eq!(words(walk(Path::new("src/source/."))).first().unwrap(), ">");
}

#[test]
fn a_link_that_is_named_is_a_link_unless_a_slash_follows() {
    let folder = tree(&["real/x"]);
    symlink("real", folder.path().join("link")).unwrap();
    let link = folder.path().join("link");
    assert_eq!(words(walk(&link)), [">", "link", "<"]);
    assert_eq!(words(walk(&folder.path().join("link/"))), [">", "x", "<"]);
    let two = [folder.path().join("link/"), folder.path().join("real")];
    assert_eq!(words(walk_with(&[&two[0], &two[1]], |_| {})), [">", ">link", "x", "<", ">real", "x", "<", "<"]);
    assert!(Selection { paths: vec![folder.path().join("real/x/")], ..Selection::default() }.walk().is_err());
}

#[test]
fn what_is_excluded_is_not_entered() {
    let folder = tree(&["a/keep.o", "a/x.o", "a/y", "build/out/z", "src/build/w", "big"]);
    fs::write(folder.path().join("big"), [0; 101]).unwrap();
    let walk = walk_with(&[folder.path()], |rules| {
        rules.glob("*.o", Case::Sensitive, "--exclude").unwrap();
        rules.glob("!KEEP*", Case::Insensitive, "--exclude").unwrap();
        rules.glob("build/out", Case::Sensitive, "--exclude").unwrap();
        rules.glob(&format!("{}/src/build", folder.path().display()), Case::Sensitive, "--exclude").unwrap();
        rules.larger_than(100);
    });
    assert_eq!(words(walk), [">", ">a", "keep.o", "y", "<", ">build", "<", ">src", "<", "<"]);
}

#[test]
fn a_path_from_a_list_is_excluded_and_a_named_one_is_taken() {
    let folder = tree(&["a.o", "b.o"]);
    let mut rules = ExcludeBuilder::new();
    rules.glob("*.o", Case::Sensitive, "--exclude").unwrap();
    let (paths, listed) = (vec![folder.path().join("a.o")], vec![folder.path().join("b.o"), folder.path().join("gone")]);
    let words = words(Selection { paths, listed, excludes: rules.build().unwrap(), ..Selection::default() }.walk().unwrap());
    assert_eq!(words.len(), 4, "{words:?}");
    assert!(words[1] == "a.o" && words[2].starts_with("!") && words[2].contains("gone"), "{words:?}");
}

#[test]
fn tagged_folders_keep_their_tag_alone() {
    let folder = tree(&["cache/x", "cache/CACHEDIR.TAG", "false/CACHEDIR.TAG", "false/y", "no/.nobackup", "no/z", "hd/t", "hd/z"]);
    fs::write(folder.path().join("cache/CACHEDIR.TAG"), "Signature: 8a477f597d28d172789f06886806bc55\nmore").unwrap();
    fs::write(folder.path().join("hd/t"), "head").unwrap();
    let walk = walk_with(&[folder.path()], |rules| {
        rules.caches();
        rules.if_present(".nobackup", "--exclude-if-present").unwrap();
        rules.if_present("t:heads", "--exclude-if-present").unwrap();
    });
    let expected =
        [">", ">cache", "CACHEDIR.TAG", "<", ">false", "CACHEDIR.TAG", "y", "<", ">hd", "t", "z", "<", ">no", ".nobackup", "<", "<"];
    assert_eq!(words(walk), expected);
}

#[test]
fn git_ignore_files_hold_below_where_they_are() {
    let folder = tree(&[".git/HEAD", "top/a/x.o", "top/a/keep.o", "top/a/y", "top/logs/l", "top/b/target/t", "top/b/x.log"]);
    let write = |name: &str, text: &[u8]| fs::write(folder.path().join(name), text).unwrap();
    write(".gitignore", b"*.log\n");
    write("top/.gitignore", b"*.o\nlogs/\n/target\n");
    write("top/a/.gitignore", b"!keep.o\n\xff\n");
    let mut words = words(walk_with(&[&folder.path().join("top")], ExcludeBuilder::git_ignore));
    words.retain(|word| !word.starts_with('!'));
    assert_eq!(words, [">", ".gitignore", ">a", ".gitignore", "keep.o", "y", "<", ">b", ">target", "t", "<", "<", "<"]);
}

#[test]
fn what_vanishes_is_reported_and_the_walk_goes_on() {
    let folder = tree(&["a", "b", "c/x", "d"]);
    let mut walk = walk(folder.path());
    assert!(matches!(walk.next(), Some(Event::Enter(_))));
    fs::remove_file(folder.path().join("b")).unwrap();
    fs::remove_dir_all(folder.path().join("c")).unwrap();
    let rest = words(walk);
    assert_eq!(rest.iter().filter(|word| word.contains("vanished")).count(), 2, "{rest:?}");
    assert_eq!((&rest[0][..], &rest[3][..], &rest[4][..]), ("a", "d", "<"));
}

#[test]
fn a_file_that_was_replaced_is_not_opened() {
    let folder = tree(&["a", "b"]);
    let found: Vec<Found> =
        walk(folder.path()).filter_map(|event| if let Event::Entry(found) = event { Some(found) } else { None }).collect();
    assert_eq!(found[0].open().unwrap().len(), 1);
    fs::remove_file(folder.path().join("a")).unwrap();
    rustix::fs::mkfifoat(CWD, folder.path().join("a"), Mode::RWXU).unwrap();
    assert!(matches!(found[0].open(), Err(SourceError::Replaced { .. })));
    // The new file is made while the old one is there, so that their inodes differ.
    fs::write(folder.path().join("new"), "new").unwrap();
    fs::rename(folder.path().join("new"), folder.path().join("b")).unwrap();
    assert!(matches!(found[1].open(), Err(SourceError::Replaced { .. })));
}

#[test]
fn metadata_are_what_the_file_system_says() {
    let folder = tree(&["f", "d/"]);
    let path = folder.path().join("f");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o4751)).unwrap();
    fs::hard_link(&path, folder.path().join("g")).unwrap();
    symlink("to\nnowhere", folder.path().join("l")).unwrap();
    rustix::fs::mkfifoat(CWD, folder.path().join("p"), Mode::RUSR).unwrap();
    let before_1970 = rustix::fs::Timespec { tv_sec: -86_400, tv_nsec: 5 };
    let times = rustix::fs::Timestamps { last_access: before_1970, last_modification: before_1970 };
    rustix::fs::utimensat(CWD, &path, &times, rustix::fs::AtFlags::empty()).unwrap();
    let attributes = [("user.z", vec![7; 3000]), ("user.a", Vec::new())];
    let mut with_attributes = true;
    for (name, value) in &attributes {
        match rustix::fs::setxattr(&path, *name, value, rustix::fs::XattrFlags::empty()) {
            Err(Errno::OPNOTSUPP) => with_attributes = false,
            set => set.unwrap(),
        }
    }
    let found: Vec<Found> = walk(folder.path())
        .filter_map(|event| match event {
            Event::Entry(found) => Some(found),
            Event::Problem(error) => panic!("{error}"),
            _ => None,
        })
        .collect();
    let [f, g, l, p] = &found[..] else { panic!("{found:?}") };
    assert_eq!((f.meta.mode, f.meta.links, f.meta.mtime), (0o4751, 2, Timestamp { seconds: -86_400, nanos: 5 }));
    assert_eq!((f.meta.inode, f.meta.device), (g.meta.inode, g.meta.device));
    assert_eq!(l.what, What::Other(Kind::Symlink { target: b"to\nnowhere".to_vec() }));
    assert_eq!((&p.what, p.meta.mode), (&What::Other(Kind::Fifo), 0o400));
    assert_eq!(f.open().unwrap().metadata().0, f.meta);
    if with_attributes {
        assert_eq!(f.meta.xattrs, [(b"user.a".to_vec(), Vec::new()), (b"user.z".to_vec(), vec![7; 3000])]);
    } else {
        eprintln!("skipped: the file system has no extended attributes");
    }
}

/// Makes folders in one another, more of them and with longer names than one path can hold. Returns the folder at `keep`.
fn deep(folder: &Path, depth: usize, keep: usize) -> OwnedFd {
    let mut at = rustix::fs::open(folder, FOLDER, Mode::empty()).unwrap();
    let mut kept = None;
    for level in 0..depth {
        if level == keep {
            kept = Some(at.try_clone().unwrap());
        }
        let name = format!("{level:0>50}");
        rustix::fs::mkdirat(&at, &name, Mode::RWXU).unwrap();
        rustix::fs::mkdirat(&at, "~after", Mode::RWXU).unwrap();
        at = rustix::fs::openat(&at, &name, FOLDER, Mode::empty()).unwrap();
    }
    kept.unwrap()
}

#[test]
fn a_tree_deeper_than_any_path_is_walked_with_few_open_files() {
    let folder = tempfile::tempdir().unwrap();
    drop(deep(folder.path(), 300, 0));
    let mut open = 0;
    let mut words = Vec::new();
    for event in walk(folder.path()) {
        open = open.max(fs::read_dir("/proc/self/fd").unwrap().count());
        words.push(event);
    }
    assert_eq!(words.iter().filter(|event| matches!(event, Event::Enter(_))).count(), 601);
    assert_eq!(words.len(), 2 * 601);
    assert!(open < 400, "{open} files are open");
}

#[test]
fn a_folder_that_is_moved_away_meanwhile_costs_nothing_but_itself() {
    let folder = tempfile::tempdir().unwrap();
    let (inside, outside) = (folder.path().join("in"), folder.path().join("out"));
    fs::create_dir(&inside).unwrap();
    fs::create_dir(&outside).unwrap();
    let kept = deep(&inside, 200, 100);
    let mut words = Vec::new();
    for event in walk(&inside) {
        if matches!(&event, Event::Enter(found) if found.name == format!("{:0>50}", 199).as_bytes()) {
            let to = rustix::fs::open(&outside, FOLDER, Mode::empty()).unwrap();
            rustix::fs::renameat(kept.as_fd(), format!("{:0>50}", 100), &to, "moved").unwrap();
        }
        words.push(event);
    }
    assert!(!words.iter().any(|event| matches!(event, Event::Problem(_))), "{words:?}");
    assert_eq!(words.iter().filter(|event| matches!(event, Event::Enter(_))).count(), 401);
}

#[test]
fn other_file_systems_are_left_empty() {
    let selection = Selection { paths: vec!["/dev".into()], one_file_system: true, ..Selection::default() };
    let (mut device, mut inside) = (None, Vec::new());
    for event in selection.walk().unwrap() {
        match event {
            Event::Enter(found) => {
                let first = *device.get_or_insert(found.meta.device);
                assert!(inside.iter().all(|own| *own), "nothing comes from below {:?}", found.path.parent());
                inside.push(found.meta.device == first);
            }
            Event::Entry(found) => assert!(inside.last().unwrap(), "{:?} is on another file system", found.path),
            Event::Leave => drop(inside.pop()),
            Event::Problem(_) => {}
        }
    }
}

#[test]
fn lists_are_told_apart_by_what_they_say() {
    let recorded = |lists: &[String]| {
        let lists = lists.iter().map(PathBuf::from).collect();
        Selection { paths: vec!["/z".into()], listed: vec!["/x/1".into()], lists, ..Selection::default() }.recorded()
    };
    assert_eq!(recorded(&["/b/*".into(), "/a".into()]), [b"/a".to_vec(), b"/b/*".to_vec(), b"/z".to_vec()]);
    assert_eq!(recorded(&[]), [b"/x/1".to_vec(), b"/z".to_vec()]);
    let long: Vec<String> = (0..2000).map(|number| format!("/many/{number}")).collect();
    let (first, second) = (recorded(&long), recorded(&long[1..]));
    assert!(first.len() == 2 && second.len() == 2 && first != second);
    assert!(first.iter().any(|path| path.starts_with(b"files-from:")), "{first:?}");
    let mut turned = long;
    turned.reverse();
    assert_eq!(recorded(&turned), first);
    assert!(recorded(&["/".to_owned() + &"x".repeat(70_000)]).iter().all(|path| path.len() < 100));
}

#[test]
fn a_pattern_that_matches_nothing_is_told_as_such() {
    let folder = tempfile::tempdir().unwrap();
    let listed = vec![folder.path().join("*.none"), folder.path().join("gone")];
    let walk = Selection { listed, ..Selection::default() }.walk().unwrap();
    let told: Vec<String> =
        walk.filter_map(|event| if let Event::Problem(error) = event { Some(error.to_string()) } else { None }).collect();
    assert!(told.len() == 2 && told[0].contains("no file matches") && !told[1].contains("matches"), "{told:?}");
}
