//! What a snapshot's record says of the refs that it was made with, and the terms in which a forgetting tells that (`spec/NOTES.md`, sections 2
//! and 3), so that the moves of a ref outlast the record.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use super::{SEEN, StoredSnapshot, terms};
use crate::base::ids::{NoteId, SnapshotId};
use crate::format::note::Statement;
use crate::format::record::Time;
use crate::format::snapshot::Snapshot;

/// Most bytes of terms that a forgetting tells in.
const TOLD_LEN: usize = 1 << 20;

const MADE: &str = "made";
const NANOS: &str = "nanos";
const BY: &str = "by";
const REF: &str = "ref";
const SEEN_NOTE: &str = "seen";

/// With which refs a snapshot was made, when, by whom, and what that one knew.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Made {
    /// Refs that it was made with, at least one.
    pub refs: BTreeSet<String>,
    /// Its time.
    pub time: Time,
    /// `user@host`.
    pub by: String,
    /// The heads of the notes that its writer knew.
    pub seen: Vec<NoteId>,
}

/// That a snapshot is forgotten, and what its record says of refs. What is dropped stays in the trash for `trash` seconds.
pub fn forgetting(stored: &StoredSnapshot, reason: &str, trash: u64) -> Statement {
    let told = stored.standing.made.as_ref().map(Made::terms).filter(|terms| terms.len() <= TOLD_LEN).unwrap_or_default();
    Statement::Forget { snapshot: stored.id, reason: terms::forget_reason(reason, trash) + &told }
}

/// That a snapshot is forgotten of which the record cannot be read, so that nobody can tell what it says of refs.
pub fn forgetting_unread(snapshot: SnapshotId, reason: &str, trash: u64) -> Statement {
    Statement::Forget { snapshot, reason: terms::forget_reason(reason, trash) }
}

/// That a forgotten snapshot is forgotten once more, for the same reason and without a trash time, where no forgetting of it tells what its
/// record says of refs. `None` where one does, or there is nothing to tell.
pub fn telling(stored: &StoredSnapshot) -> Option<Statement> {
    let reason = &stored.standing.forgotten.as_ref()?.reason;
    let tells = stored.standing.made.is_some() && !stored.standing.is_told;
    let said = tells.then(|| forgetting(stored, reason, 0))?;
    matches!(&said, Statement::Forget { reason, .. } if Made::told(reason).is_some()).then_some(said)
}

impl Made {
    /// What the record says; `None` when it was made with no ref. The refs of `snapshot` are those of its record.
    pub(super) fn of(snapshot: &Snapshot) -> Option<Self> {
        let by = || format!("{}@{}", snapshot.user, snapshot.host);
        let made = || Self { refs: snapshot.refs.clone(), time: snapshot.time, by: by(), seen: seen_by(snapshot).collect() };
        (!snapshot.refs.is_empty()).then(made)
    }

    fn terms(&self) -> String {
        let mut text = format!("\n{MADE}={}", self.time.seconds);
        let mut say = |name: &str, value: &str| _ = write!(text, "\n{name}={value}");
        if self.time.nanos > 0 {
            say(NANOS, &self.time.nanos.to_string());
        }
        say(BY, &terms::escape(&self.by));
        self.refs.iter().for_each(|name| say(REF, &terms::escape(name)));
        self.seen.iter().for_each(|id| say(SEEN_NOTE, &id.to_string()));
        text
    }

    /// What the reason of a forgetting tells.
    pub(super) fn told(text: &str) -> Option<Self> {
        let (_, terms) = terms::split(text);
        let seconds = terms::term(terms, MADE)?.parse().ok()?;
        let nanos = terms::term(terms, NANOS).and_then(|value| value.parse().ok()).filter(|nanos| *nanos < 1_000_000_000).unwrap_or(0);
        let refs: BTreeSet<String> = terms::all(terms, REF).filter_map(terms::unescape).collect();
        let by = terms::term(terms, BY).and_then(terms::unescape).unwrap_or_default();
        let seen = terms::all(terms, SEEN_NOTE).filter_map(|value| value.parse().ok()).collect();
        (!refs.is_empty()).then_some(Self { refs, time: Time { seconds, nanos }, by, seen })
    }
}

/// The notes that a snapshot's writer knew of. Bytes that are no whole id are passed over.
pub(super) fn seen_by(snapshot: &Snapshot) -> impl Iterator<Item = NoteId> {
    let bytes = snapshot.extra.get(SEEN).map_or(&[][..], Vec::as_slice);
    bytes.as_chunks().0.iter().copied().map(NoteId::from_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn made(refs: &[String], seconds: i64, nanos: u32, by: String, seen: &[u8]) -> Made {
        let seen = seen.iter().map(|n| NoteId::from_bytes([*n; 32])).collect();
        Made { refs: refs.iter().cloned().collect(), time: Time { seconds, nanos }, by, seen }
    }

    proptest! {
        #[test]
        fn what_is_told_comes_back(
            refs in proptest::collection::vec(any::<String>(), 1..4),
            seconds: i64,
            nanos in 0u32..1_000_000_000,
            by: String,
            seen: Vec<u8>,
            trash: u64,
        ) {
            let made = made(&refs, seconds, nanos, by, &seen);
            let text = terms::forget_reason("a rule", trash) + &made.terms();
            prop_assert_eq!(Made::told(&text), Some(made));
            // Who knows nothing of telling reads what it read before.
            prop_assert_eq!(terms::read_forget(&text), ("a rule", trash));
        }

        #[test]
        fn any_text_can_be_asked_what_it_tells(text: String) {
            let _ = Made::told(&format!("why\nmade=1\n{text}"));
            let _ = Made::told(&text);
        }
    }

    #[test]
    fn what_cannot_be_read_is_passed_over() {
        let told = |terms: &str| Made::told(&format!("why\n{terms}"));
        let one = made(&["p".into()], 5, 0, String::new(), &[]);
        assert_eq!(told("made=5\nref=p"), Some(one.clone()));
        assert_eq!(told("ref=%4\nref=%zz\nref=%ff\nref=p\nseen=12\nnanos=1000000000\nmade=5\nbelow=3"), Some(one));
        assert_eq!([told("made=x\nref=p"), told("ref=p"), told("made=5\nref=%"), Made::told("why")], [None, None, None, None]);
    }
}
