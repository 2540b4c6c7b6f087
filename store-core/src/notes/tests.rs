use std::collections::BTreeSet;

use super::*;
use crate::base::ids::{NodeId, WriterId};
use crate::format::note::Statement;
use crate::format::record::Extra;
use crate::format::snapshot::Totals;
use proptest::prelude::*;

pub(crate) fn snapshot_id(n: u8) -> SnapshotId {
    SnapshotId::from_bytes([n; 32])
}

fn note_id(n: u8) -> NoteId {
    NoteId::from_bytes([n; 32])
}

fn at(seconds: i64) -> Time {
    Time { seconds, nanos: 0 }
}

fn snapshot(n: u8, seconds: i64, refs: &[&str], seen: &[u8]) -> StoredSnapshot {
    let seen: Vec<u8> = seen.iter().flat_map(|n| [*n; 32]).collect();
    let snapshot = Snapshot {
        root: NodeId::from_bytes([0; 32]),
        time: at(seconds),
        zone: 0,
        host: "host".into(),
        user: "user".into(),
        writer: WriterId::from_bytes([0; 16]),
        previous: None,
        parent: None,
        series: None,
        tags: ["born".to_owned()].into(),
        refs: refs.iter().map(|name| (*name).to_owned()).collect(),
        description: None,
        meta: [("loss".to_owned(), "1".to_owned())].into(),
        paths: vec![b"/data".to_vec()],
        incompatible: 0,
        totals: Totals::default(),
        program: String::new(),
        extra: if seen.is_empty() { Extra::new() } else { [(SEEN.to_owned(), seen)].into() },
    };
    StoredSnapshot { id: snapshot_id(n), snapshot, standing: Standing::default() }
}

fn note(n: u8, seconds: i64, seen: &[u8], statements: Vec<Statement>) -> StoredNote {
    let seen = seen.iter().map(|n| note_id(*n)).collect();
    StoredNote { id: note_id(n), note: Note { author: format!("author {n}"), time: at(seconds), seen, statements } }
}

fn forget(n: u8) -> Statement {
    Statement::Forget { snapshot: snapshot_id(n), reason: "old".into() }
}

fn unforget(n: u8) -> Statement {
    Statement::Unforget { snapshot: snapshot_id(n) }
}

fn pin(n: u8) -> Statement {
    Statement::Pin { snapshot: snapshot_id(n), reason: Some("why".into()) }
}

fn unpin(n: u8) -> Statement {
    Statement::Unpin { snapshot: snapshot_id(n) }
}

fn tag(n: u8, add: &[&str], remove: &[&str]) -> Statement {
    let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
    Statement::Tags { snapshot: snapshot_id(n), add: words(add), remove: words(remove) }
}

fn points(name: &str, to: Option<u8>) -> Statement {
    Statement::Ref { name: name.into(), snapshot: to.map(snapshot_id) }
}

/// Folds over one snapshot, number 1.
fn one(notes: &[StoredNote]) -> StoredSnapshot {
    let mut snapshots = [snapshot(1, 0, &[], &[])];
    let _ = fold(notes, &BTreeSet::new(), &mut snapshots);
    let [only] = snapshots;
    only
}

fn is_forgotten(notes: &[StoredNote]) -> bool {
    one(notes).standing.forgotten.is_some()
}

#[test]
fn a_forgetting_counts_only_if_it_has_seen_all_that_was_said() {
    assert!(is_forgotten(&[note(1, 10, &[], vec![forget(1)])]));
    for other in [unforget(1), pin(1), unpin(1), tag(1, &["x"], &[]), points("v1", Some(1))] {
        let said = || vec![other.clone()];
        let seen = matches!(other, Statement::Pin { .. });
        assert_eq!(is_forgotten(&[note(1, 10, &[2], vec![forget(1)]), note(2, 9, &[], said())]), !seen, "{other:?} before");
        assert!(!is_forgotten(&[note(1, 10, &[], vec![forget(1)]), note(2, 9, &[], said())]), "{other:?} at the same time");
        assert!(!is_forgotten(&[note(1, 10, &[], vec![forget(1)]), note(2, 99, &[1], said())]), "{other:?} after");
    }
    assert!(is_forgotten(&[note(1, 10, &[], vec![forget(1)]), note(2, 9, &[], vec![tag(2, &["x"], &[]), points("v1", None)])]));
    assert!(is_forgotten(&[note(1, 1, &[], vec![forget(1)]), note(2, 2, &[1], vec![unforget(1)]), note(3, 0, &[2], vec![forget(1)])]));
}

#[test]
fn statements_of_one_note_come_one_after_the_other() {
    assert!(is_forgotten(&[note(1, 1, &[], vec![unforget(1), forget(1)])]));
    assert!(!is_forgotten(&[note(1, 1, &[], vec![forget(1), unforget(1)])]));
    assert!(is_forgotten(&[note(1, 1, &[], vec![pin(1), unpin(1), forget(1)])]));
}

#[test]
fn a_pin_wins_over_a_concurrent_unpin() {
    let pins = |notes: &[StoredNote]| one(notes).standing.pins.len();
    assert_eq!(pins(&[note(1, 1, &[], vec![pin(1)]), note(2, 2, &[1], vec![unpin(1)])]), 0);
    assert_eq!(pins(&[note(1, 1, &[], vec![pin(1)]), note(2, 2, &[], vec![unpin(1)])]), 1);
    assert_eq!(pins(&[note(1, 1, &[], vec![pin(1)]), note(2, 2, &[1], vec![unpin(1)]), note(3, 2, &[1], vec![pin(1)])]), 1);
}

#[test]
fn a_pin_with_an_end_holds_until_then() {
    let held = Statement::Pin { snapshot: snapshot_id(1), reason: pin_reason(Some("audit"), Some(at(100))) };
    let early = [note(1, 1, &[], vec![held.clone()]), note(2, 99, &[1], vec![forget(1)])];
    let late = [note(1, 1, &[], vec![held]), note(2, 100, &[1], vec![forget(1)])];
    assert!(!is_forgotten(&early) && is_forgotten(&late));
    let standing = one(&early).standing;
    assert_eq!(standing.pinned(at(99)).and_then(|pin| pin.reason.as_deref()), Some("audit"));
    assert_eq!(standing.pinned(at(100)), None);
}

#[test]
fn trash_times_are_counted_from_the_note() {
    let trash = |n, seconds, trash| {
        note(n, seconds, &[], vec![Statement::Forget { snapshot: snapshot_id(1), reason: terms::forget_reason("r", trash) }])
    };
    let forgotten = one(&[trash(1, 10, 5)]).standing.forgotten.unwrap();
    assert!(forgotten.in_trash(at(14)) && !forgotten.in_trash(at(15)));
    assert!(!one(&[trash(1, i64::MAX, 0)]).standing.forgotten.unwrap().in_trash(at(0)));
    assert_eq!(one(&[trash(1, 10, 0), trash(2, 9, 3)]).standing.forgotten.unwrap().until, Some(at(12)), "the longest of several");
    assert_eq!(one(&[trash(1, i64::MAX - 1, 5)]).standing.forgotten.unwrap().until, Some(at(i64::MAX)));
}

#[test]
fn an_added_tag_wins_over_a_concurrent_removal() {
    let tags = |notes: &[StoredNote]| one(notes).snapshot.tags.into_iter().collect::<Vec<_>>().join(",");
    assert_eq!(tags(&[note(1, 1, &[], vec![tag(1, &["x"], &["born"])])]), "x");
    assert_eq!(tags(&[note(1, 1, &[], vec![tag(1, &["x"], &[])]), note(2, 2, &[1], vec![tag(1, &[], &["x"])])]), "born");
    assert_eq!(tags(&[note(1, 1, &[], vec![tag(1, &["x"], &[])]), note(2, 2, &[], vec![tag(1, &[], &["x"])])]), "born,x");
    assert_eq!(tags(&[note(1, 1, &[], vec![tag(1, &["x"], &["x"])])]), "born,x");
    assert_eq!(tags(&[note(1, 1, &[], vec![tag(1, &["born"], &[])]), note(2, 2, &[], vec![tag(1, &[], &["born"])])]), "born");
}

#[test]
fn the_last_value_in_the_order_counts() {
    let meta = |value: Option<&str>| Statement::Meta { snapshot: snapshot_id(1), key: "loss".into(), value: value.map(Into::into) };
    let about = |text: &str| Statement::Describe { snapshot: snapshot_id(1), text: Some(text.into()) };
    let folded = one(&[note(1, 5, &[2], vec![meta(Some("2")), about("late")]), note(2, 9, &[], vec![meta(None), about("early")])]).snapshot;
    assert_eq!((folded.meta["loss"].as_str(), folded.description.as_deref()), ("2", Some("late")));
    assert!(one(&[note(1, 1, &[], vec![meta(None)])]).snapshot.meta.is_empty());
}

/// The history of the ref `p`, newest first.
fn history(notes: &[StoredNote], snapshots: &mut [StoredSnapshot]) -> Vec<Option<u8>> {
    let refs = fold(notes, &BTreeSet::new(), snapshots).refs;
    refs["p"].iter().map(|to| to.to.map(|id| id.as_bytes()[0])).collect()
}

#[test]
fn a_ref_keeps_its_history() {
    let mut snapshots = [snapshot(1, 10, &["p"], &[]), snapshot(2, 20, &["p", "q"], &[]), snapshot(3, 30, &[], &[])];
    let notes = [
        note(1, 40, &[], vec![points("p", Some(3))]),
        note(2, 50, &[1], vec![points("p", Some(3))]),
        note(3, 60, &[2], vec![points("p", None)]),
        note(4, 70, &[3], vec![points("p", Some(1))]),
    ];
    assert_eq!(history(&notes, &mut snapshots), [Some(1), None, Some(3), Some(2), Some(1)]);
    assert_eq!(snapshots.each_ref().map(|s| s.snapshot.refs.iter().map(String::as_str).collect::<Vec<_>>().join(",")), ["p", "q", ""]);
    let left = |n: usize| snapshots[n].standing.left.get("p").copied();
    assert_eq!([left(0), left(1), left(2)], [None, Some(at(40)), Some(at(60))]);
}

#[test]
fn a_snapshot_stands_among_notes_by_what_it_has_seen_and_by_time() {
    let moved = |n, seconds, seen: &[u8], to| note(n, seconds, seen, vec![points("p", Some(to))]);
    let old = || snapshot(1, 1, &["p"], &[]);
    // By time, where nothing else is known.
    assert_eq!(history(&[moved(1, 40, &[], 1)], &mut [old(), snapshot(2, 30, &["p"], &[])]), [Some(1), Some(2), Some(1)]);
    assert_eq!(history(&[moved(1, 40, &[], 1)], &mut [old(), snapshot(2, 50, &["p"], &[])]), [Some(2), Some(1)]);
    // A clock that is behind does not put it before what it has seen, and one that is ahead not behind what names it.
    assert_eq!(history(&[moved(1, 40, &[], 1)], &mut [old(), snapshot(2, 30, &["p"], &[1])]), [Some(2), Some(1)]);
    assert_eq!(
        history(&[moved(1, 40, &[], 2), moved(2, 41, &[1], 1)], &mut [old(), snapshot(2, 90, &["p"], &[])]),
        [Some(1), Some(2), Some(1)]
    );
}

/// Says of the snapshot `n` among these that it is forgotten, as this program does.
fn forget_telling(n: u8, snapshots: &[StoredSnapshot]) -> Statement {
    let mut snapshots = snapshots.to_vec();
    let _ = fold(&[], &BTreeSet::new(), &mut snapshots);
    forgetting(snapshots.iter().find(|stored| stored.id == snapshot_id(n)).unwrap(), "old", 0)
}

#[test]
fn a_history_outlasts_the_records_that_made_it() {
    let all = [snapshot(1, 10, &["p"], &[]), snapshot(2, 20, &["p"], &[]), snapshot(3, 5, &["p"], &[1]), snapshot(4, 90, &["p"], &[])];
    let moved = note(1, 15, &[], vec![points("p", Some(2)), points("p", Some(1))]);
    let forgotten = |n: u8, seen: &[u8], of: u8| note(n, i64::from(n), seen, vec![forget_telling(of, &all)]);
    let notes = [moved.clone(), forgotten(50, &[1], 3), forgotten(51, &[50], 2)];
    let before = history(&notes[..1], &mut all.clone());
    assert_eq!(before, [Some(4), Some(3), Some(1), Some(2), Some(1)], "2 was made before the note that names it, 3 after what it has seen");
    assert_eq!(history(&notes, &mut all.clone()), before, "a move that is told and recorded counts once");
    assert_eq!(history(&notes, &mut [all[0].clone(), all[3].clone()]), before);
    // Whoever forgets once more, or takes it back, or does both at once: the record was the same.
    let twice = [notes.as_slice(), &[forgotten(52, &[1], 3), note(53, 60, &[50], vec![unforget(3)]), forgotten(54, &[53], 2)]].concat();
    assert_eq!(history(&twice, &mut [all[0].clone(), all[3].clone()]), before);
    // A record that cannot be read says no more than one that is gone.
    let mut unread = all.clone();
    unread.iter_mut().filter(|stored| [2, 3].map(snapshot_id).contains(&stored.id)).for_each(|stored| {
        stored.snapshot.refs.clear();
        stored.standing.is_unread = true;
    });
    assert_eq!(history(&notes, &mut unread), before);
    assert!(unread.iter().filter(|stored| stored.standing.is_unread).count() == 2);
    // Times of leaving stay as well: a rule that counts from then keeps as long as before.
    let left = |snapshots: &mut [StoredSnapshot]| {
        let _ = fold(&notes, &BTreeSet::new(), snapshots);
        snapshots[0].standing.left.get("p").copied()
    };
    assert_eq!(left(&mut [all[0].clone()]), left(&mut all.clone()));
    // What forgot without telling is as it was: the ref falls back.
    let untold = [moved, note(50, 50, &[1], vec![forget(4)])];
    assert_eq!(history(&untold, &mut all[..3].to_vec()), before[1..]);
}

#[test]
fn what_nobody_told_is_told_once() {
    let mut snapshots = [snapshot(1, 10, &["p"], &[]), snapshot(2, 20, &[], &[])];
    let tell = |notes: &[StoredNote], snapshots: &mut [StoredSnapshot]| {
        snapshots.iter_mut().zip([&["p"][..], &[]]).for_each(|(stored, refs)| {
            stored.snapshot.refs = refs.iter().map(|name| (*name).to_owned()).collect();
        });
        let _ = fold(notes, &BTreeSet::new(), snapshots);
        snapshots.iter().map(telling).collect::<Vec<_>>()
    };
    let untold = note(1, 30, &[], vec![forget(1), forget(2)]);
    let said = tell(std::slice::from_ref(&untold), &mut snapshots);
    assert!(matches!(&said[..], [Some(Statement::Forget { .. }), None]), "{said:?}");
    assert_eq!(snapshots[0].standing.forgotten.as_ref().unwrap().reason, "old");
    let more = note(2, 40, &[1], vec![said[0].clone().unwrap()]);
    assert_eq!(tell(&[untold, more], &mut snapshots), [None, None]);
    let forgotten = snapshots[0].standing.forgotten.as_ref().unwrap();
    assert_eq!((forgotten.reason.as_str(), forgotten.until.is_some()), ("old", true), "it is not gone earlier for that");
    assert_eq!(tell(&[], &mut snapshots), [None, None], "what is not forgotten needs no word");
}

#[test]
fn of_two_concurrent_moves_both_stand_in_the_history() {
    let mut snapshots = [snapshot(1, 1, &[], &[]), snapshot(2, 2, &[], &[])];
    let moves = [note(1, 10, &[], vec![points("p", Some(1))]), note(2, 10, &[], vec![points("p", Some(2))])];
    assert_eq!(history(&moves, &mut snapshots), [Some(2), Some(1)]);
}

#[test]
fn concurrent_policies_govern_nothing_until_one_more_is_set() {
    let set = |n, seen: &[u8], toml: &str| note(n, 1, seen, vec![Statement::Policy { toml: toml.into() }]);
    let policy = |notes: &[StoredNote]| match fold(notes, &BTreeSet::new(), &mut []).policy {
        Policy::None => "none".to_owned(),
        Policy::One(told) => told.text,
        Policy::Several(told) => format!("{} at once", told.len()),
    };
    assert_eq!(policy(&[]), "none");
    assert_eq!(policy(&[set(1, &[], "a"), set(2, &[1], "b")]), "b");
    assert_eq!(policy(&[set(1, &[], "a"), set(2, &[], "a")]), "a");
    assert_eq!(policy(&[set(1, &[], "a"), set(2, &[], "b")]), "2 at once");
    assert_eq!(policy(&[set(1, &[], "a"), set(2, &[], "b"), set(3, &[1, 2], "c")]), "c");
    assert_eq!(policy(&[set(1, &[], "a"), set(2, &[], "b"), set(3, &[1], "c")]), "2 at once");
}

#[test]
fn while_a_note_is_lost_nothing_counts_as_forgotten() {
    let mut snapshots = [snapshot(1, 0, &[], &[]), snapshot(2, 0, &[], &[])];
    let notes = [note(1, 1, &[9], vec![forget(1)])];
    let lost = |notes: &[StoredNote], unread: &[u8], snapshots: &mut [StoredSnapshot]| {
        let fold = fold(notes, &unread.iter().map(|n| note_id(*n)).collect(), snapshots);
        (fold.lost.len(), snapshots[0].standing.forgotten.is_some())
    };
    assert_eq!(lost(&notes, &[], &mut snapshots), (1, false));
    assert_eq!(lost(&[note(1, 1, &[], vec![forget(1)])], &[8], &mut snapshots), (1, false));
    assert_eq!(lost(&[note(1, 1, &[], vec![forget(1)])], &[], &mut snapshots), (0, true));
    snapshots[1] = snapshot(2, 0, &[], &[7]);
    assert_eq!(lost(&[note(1, 1, &[], vec![forget(1)])], &[], &mut snapshots), (1, false), "a snapshot has seen more");
    // Given up, and what was forgotten before is kept.
    let given_up = note(2, 2, &[1, 9, 7], Vec::new());
    assert_eq!(lost(&[notes[0].clone(), given_up.clone()], &[], &mut snapshots), (0, false));
    let again = note(3, 3, &[2], vec![forget(1)]);
    assert_eq!(lost(&[notes[0].clone(), given_up, again], &[], &mut snapshots), (0, true));
}

fn statement() -> impl Strategy<Value = Statement> {
    let number = 1u8..4;
    prop_oneof![
        number.clone().prop_map(forget),
        number.clone().prop_map(forget),
        number.clone().prop_map(unforget),
        number.clone().prop_map(pin),
        number.clone().prop_map(unpin),
        number.clone().prop_map(|n| tag(n, &["x"], &[])),
        number.clone().prop_map(|n| tag(n, &[], &["x", "born"])),
        proptest::option::of(number).prop_map(|n| points("p", n)),
        (0u8..3).prop_map(|n| Statement::Policy { toml: n.to_string() }),
    ]
}

/// Snapshots of which two were made with the ref, one of them by somebody who knew the first note.
fn with_refs() -> Vec<StoredSnapshot> {
    vec![snapshot(1, 5, &["p"], &[0]), snapshot(2, 25, &["p", "q"], &[]), snapshot(3, 45, &[], &[])]
}

fn history_of_notes() -> impl Strategy<Value = Vec<StoredNote>> {
    let one = (0i64..50, proptest::collection::vec(any::<proptest::sample::Index>(), 0..3), proptest::collection::vec(statement(), 1..4));
    proptest::collection::vec(one, 0..12).prop_map(|shape| {
        shape
            .into_iter()
            .enumerate()
            .map(|(n, (time, seen, statements))| {
                let seen: Vec<u8> = if n == 0 { Vec::new() } else { seen.iter().map(|i| i.index(n) as u8).collect() };
                note(n as u8, time, &seen, statements)
            })
            .collect()
    })
}

proptest! {
    #[test]
    fn the_fold_depends_on_no_order(notes in history_of_notes(), turn: proptest::sample::Index) {
        let snapshots = || vec![snapshot(1, 5, &["p"], &[]), snapshot(2, 25, &["p"], &[]), snapshot(3, 45, &[], &[])];
        let (mut first, mut second) = (snapshots(), snapshots());
        let mut turned = notes.clone();
        turned.reverse();
        turned.rotate_left(if notes.is_empty() { 0 } else { turn.index(notes.len()) });
        second.reverse();
        let (a, b) = (fold(&notes, &BTreeSet::new(), &mut first), fold(&turned, &BTreeSet::new(), &mut second));
        second.reverse();
        prop_assert_eq!(a, b);
        prop_assert_eq!(first, second);
    }

    #[test]
    fn dropping_records_that_were_told_changes_no_ref(notes in history_of_notes(), goes: [bool; 3]) {
        let all = with_refs();
        let mut notes = notes;
        for statement in notes.iter_mut().flat_map(|stored| &mut stored.note.statements) {
            if let Statement::Forget { snapshot, .. } = statement {
                *statement = forget_telling(snapshot.as_bytes()[0], &all);
            }
        }
        let (mut there, mut left) = (all.clone(), all);
        let refs = fold(&notes, &BTreeSet::new(), &mut there).refs;
        left.retain(|stored| {
            let known = there.iter().find(|known| known.id == stored.id).unwrap();
            let goes = goes[usize::from(stored.id.as_bytes()[0]) - 1];
            !(goes && (known.standing.is_told || known.standing.made.is_none()))
        });
        let ids: Vec<SnapshotId> = left.iter().map(|stored| stored.id).collect();
        prop_assert_eq!(fold(&notes, &BTreeSet::new(), &mut left).refs, refs);
        there.retain(|stored| ids.contains(&stored.id));
        for (known, left) in there.iter().zip(&left) {
            prop_assert_eq!((&known.snapshot, &known.standing.left), (&left.snapshot, &left.standing.left));
        }
    }

    #[test]
    fn more_to_keep_never_drops_more(notes in history_of_notes(), n in 1u8..4, seconds in 0i64..50, which in 0usize..4) {
        let forgotten = |notes: &[StoredNote]| -> Vec<u8> {
            let mut all = [snapshot(1, 5, &["p"], &[]), snapshot(2, 25, &["p"], &[]), snapshot(3, 45, &[], &[])];
            let _ = fold(notes, &BTreeSet::new(), &mut all);
            all.iter().filter(|s| s.standing.forgotten.is_some()).map(|s| s.id.as_bytes()[0]).collect()
        };
        let before = forgotten(&notes);
        let keeping = [unforget(n), pin(n), tag(n, &["y"], &[]), points("q", Some(n))][which].clone();
        let mut more = notes.clone();
        more.push(note(200, seconds, &[], vec![keeping]));
        let after = forgotten(&more);
        prop_assert!(after.iter().all(|id| before.contains(id)));
        prop_assert!(!after.contains(&n));
    }
}
