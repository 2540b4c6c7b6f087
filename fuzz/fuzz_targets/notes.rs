//! Any history of notes, circles and missing notes included: the fold is the same in every order, and one more word to keep drops nothing more.

#![no_main]

use std::collections::BTreeSet;

use libfuzzer_sys::fuzz_target;
use snap_fuzz::snapshots;
use store_core::base::ids::{NoteId, SnapshotId};
use store_core::format::note::{Note, Statement};
use store_core::format::record::Time;
use store_core::notes::{StoredNote, fold};

fn note_id(n: u8) -> NoteId {
    NoteId::from_bytes([n; 32])
}

/// Statements of two bytes each, in notes that a byte ends.
fn notes(mut data: &[u8]) -> Vec<StoredNote> {
    let mut notes = Vec::new();
    while let [time, seen_a, seen_b, count, rest @ ..] = data {
        let statements = rest.chunks_exact(2).take(usize::from(count % 8)).map(|pair| statement(pair[0], pair[1])).collect();
        data = &rest[rest.len().min(usize::from(count % 8) * 2)..];
        let seen = [seen_a, seen_b].into_iter().filter(|n| **n < 64).map(|n| note_id(*n)).collect();
        let time = Time { seconds: i64::from(*time) * 86_400, nanos: 0 };
        notes.push(StoredNote { id: note_id(notes.len() as u8), note: Note { author: String::new(), time, seen, statements } });
        if notes.len() == 60 {
            break;
        }
    }
    notes
}

fn statement(kind: u8, about: u8) -> Statement {
    let snapshot = SnapshotId::from_bytes([about % 4; 32]);
    let text = format!("text\nuntil={}\ntrash={}", i64::from(about) * 86_400, about / 4);
    match kind % 9 {
        0 => Statement::Tags { snapshot, add: vec![(about / 8).to_string()], remove: vec![(kind / 9).to_string()] },
        1 => Statement::Ref { name: (about / 128).to_string(), snapshot: (kind < 128).then_some(snapshot) },
        2 => Statement::Pin { snapshot, reason: Some(text) },
        3 => Statement::Unpin { snapshot },
        4 => Statement::Meta { snapshot, key: "k".into(), value: Some(text) },
        // Half of them tell what the snapshot's record says of a ref.
        5 if kind >= 128 => Statement::Forget { snapshot, reason: format!("{text}\nmade={}\nref={}", about % 16, about / 128) },
        5 => Statement::Forget { snapshot, reason: text },
        6 => Statement::Unforget { snapshot },
        7 => Statement::Policy { toml: (about / 64).to_string() },
        _ => Statement::Describe { snapshot, text: Some(text) },
    }
}

fuzz_target!(|data: &[u8]| {
    let mut notes = notes(data);
    let (mut one, mut other) = (snapshots(4), snapshots(4));
    let first = fold(&notes, &BTreeSet::new(), &mut one);
    notes.reverse();
    assert!(fold(&notes, &BTreeSet::new(), &mut other) == first && one == other);
    let keep = Statement::Unforget { snapshot: one[1].id };
    let more = Note { author: String::new(), time: Time { seconds: 7 * 86_400, nanos: 0 }, seen: BTreeSet::new(), statements: vec![keep] };
    notes.push(StoredNote { id: note_id(200), note: more });
    let mut after = snapshots(4);
    let _ = fold(&notes, &BTreeSet::new(), &mut after);
    for (before, after) in one.iter().zip(&after) {
        assert!(before.standing.forgotten.is_some() || after.standing.forgotten.is_none());
    }
    assert!(after[1].standing.forgotten.is_none());
});
