//! L3: which process this is, so that another one can tell later whether it still runs.

use std::collections::BTreeMap;
use std::fs;

/// What tells a process from all others, by name. The names are those of `spec/FORMAT.md`, section 10.
pub type Marks = BTreeMap<String, Vec<u8>>;

/// Which start of the system the process runs under.
const BOOT: &str = "boot";
/// Which machine, or image of one.
const MACHINE: &str = "machine";
/// In which space process ids count.
const NAMESPACE: &str = "pid namespace";
/// When the process started, since several have its id one after the other.
const STARTED: &str = "started";

/// The marks of this process, as far as the system gives them.
pub fn marks() -> Marks {
    let read = |path: &str| fs::read(path).ok().map(|bytes| bytes.trim_ascii().to_vec()).filter(|bytes| !bytes.is_empty());
    let namespace = fs::read_link("/proc/self/ns/pid").ok().map(|name| name.into_os_string().into_encoded_bytes());
    let found = [
        (BOOT, read("/proc/sys/kernel/random/boot_id")),
        (MACHINE, read("/etc/machine-id")),
        (NAMESPACE, namespace),
        (STARTED, started(std::process::id())),
    ];
    found.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect()
}

/// Whether process `pid` of this host, which had these marks, has surely ended. Where anything is missing it has not.
///
/// To be asked only of processes of a host of this name, that shared the caches of this process's user.
pub fn has_ended(pid: u32, marks: &Marks) -> bool {
    let own = self::marks();
    let same = |name: &str| Some(marks.get(name)? == own.get(name)?);
    match (same(BOOT), same(NAMESPACE), same(MACHINE)) {
        // Its id counts here: it runs if a process that started then has it.
        (Some(true), Some(true), _) => marks.get(STARTED).is_some_and(|then| started(pid).as_ref() != Some(then)),
        // This machine was started again since.
        (Some(false), _, Some(true)) => true,
        _ => false,
    }
}

/// When process `pid` started, in the system's own units since its start.
fn started(pid: u32) -> Option<Vec<u8>> {
    let stat = fs::read(format!("/proc/{pid}/stat")).ok()?;
    // The second field is the program's name in parentheses, which may hold anything; of the others the start is the 22nd.
    let rest = &stat[stat.iter().rposition(|byte| *byte == b')')? + 1..];
    rest.split(u8::is_ascii_whitespace).filter(|field| !field.is_empty()).nth(19).map(<[u8]>::to_vec)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_runs_until_it_has_ended() {
        let own = marks();
        assert!(own.contains_key(STARTED) && own.contains_key(BOOT));
        assert!(!has_ended(std::process::id(), &own));
        let mut child = std::process::Command::new("sleep").arg("1000").spawn().unwrap();
        let theirs = Marks::from_iter(own.clone().into_iter().chain([(STARTED.to_owned(), started(child.id()).unwrap())]));
        assert!(!has_ended(child.id(), &theirs));
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(has_ended(child.id(), &theirs));
    }

    #[test]
    fn another_process_with_the_same_id_is_another_process() {
        let mut marks = marks();
        marks.insert(STARTED.to_owned(), b"1".to_vec());
        assert!(has_ended(std::process::id(), &marks));
    }

    #[test]
    fn what_cannot_be_told_has_not_ended() {
        assert!(!has_ended(u32::MAX, &Marks::new()));
        for unknown in [BOOT, NAMESPACE, STARTED] {
            let mut marks = marks();
            marks.remove(unknown);
            assert!(!has_ended(u32::MAX, &marks), "{unknown}");
        }
        // Another container of the same machine: its ids are not ours.
        let mut other = marks();
        other.insert(NAMESPACE.to_owned(), b"pid:[1]".to_vec());
        assert!(!has_ended(u32::MAX, &other));
        // Another machine that shares the caches.
        let mut other = marks();
        other.insert(BOOT.to_owned(), b"x".to_vec());
        other.insert(MACHINE.to_owned(), b"y".to_vec());
        assert!(!has_ended(u32::MAX, &other));
    }
}
