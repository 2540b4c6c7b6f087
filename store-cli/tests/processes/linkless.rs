//! File systems without hard links, as exFAT and FAT are: the kernel's answers to `link` are made to be theirs. An object gets its name by a rename
//! that replaces nothing there, and where there is no such thing either, the repository is refused.

use std::collections::BTreeMap;
use std::fs;

use crate::place::{Noise, Place, change, said, tree_at};

const NO_LINKS: &str = "inject=link,linkat:error=EPERM";
const NO_RENAMES: &str = "inject=renameat2:error=EINVAL";

#[test]
fn a_repository_works_without_hard_links() {
    let place = Place::empty();
    let ok = |args: &[&str]| {
        let output =
            place.traced(&["-o", "/dev/null", "-e", "trace=link,linkat", "-e", NO_LINKS], args).output().expect("strace is needed");
        assert!(output.status.success(), "snap {args:?}: {}", said(&output));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    };
    ok(&["init"]);
    let (mut noise, mut reported) = (Noise::new(1), BTreeMap::new());
    for version in 0..3 {
        change(&place.path("data"), &mut noise, version);
        reported.insert(ok(&["push", "-q", "data"]), tree_at(&place.path("data")));
    }
    place.assert_whole(&reported);
    let first = reported.keys().next().unwrap().clone();
    ok(&["forget", &first]);
    reported.remove(&first);
    ok(&["prune", "--execute"]);
    place.assert_whole(&reported);
    assert_eq!(fs::read_dir(place.path("repo/tmp")).unwrap().count(), 0);
}

#[test]
fn without_links_and_such_renames_it_is_said_what_to_do() {
    let place = Place::empty();
    let options = ["-o", "/dev/null", "-e", "trace=link,linkat,renameat2", "-e", NO_LINKS, "-e", NO_RENAMES];
    let output = place.traced(&options, &["init"]).output().expect("strace is needed");
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    assert!(said(&output).contains("put the repository on another one"), "{}", said(&output));
}
