//! File systems without hard links, as exFAT and FAT are: the kernel's answer to `link` is made to be theirs. A repository is refused there, and it is
//! said what to do.

use crate::place::{Place, said};

#[test]
fn where_links_are_refused_it_is_said_what_to_do() {
    for error in ["EPERM", "EOPNOTSUPP", "ENOSYS"] {
        let place = Place::empty();
        let inject = format!("inject=?link,linkat:error={error}");
        let output =
            place.traced(&["-o", "/dev/null", "-e", "trace=?link,linkat", "-e", &inject], &["init"]).output().expect("strace is needed");
        assert_eq!(output.status.code(), Some(1), "{}", said(&output));
        assert!(said(&output).contains("hard links are refused there"), "{}", said(&output));
        assert!(!place.path("repo/config").exists());
    }
}
