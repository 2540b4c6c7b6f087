//! Comparing two lists of entries: equal nodes are skipped unread.

use super::cursor::{EntriesCursor, EntriesHead, MerkleError, NodeSource};
use crate::base::ids::NodeId;
use crate::format::entry::Entry;

/// An entry of the old list, of the new one, or of both under one name and with some difference.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EntryPair {
    /// What the old list has.
    pub old: Option<Entry>,
    /// What the new list has.
    pub new: Option<Entry>,
}

/// Goes through the names whose entries differ, in their order. Reads only nodes that differ.
pub struct EntriesDiff<'s, S> {
    old: EntriesCursor<'s, S>,
    new: EntriesCursor<'s, S>,
}

impl<'s, S: NodeSource> EntriesDiff<'s, S> {
    /// Starts at the roots; `None` is the empty list.
    pub fn new(source: &'s S, old: Option<NodeId>, new: Option<NodeId>) -> Self {
        Self { old: EntriesCursor::new(source, old), new: EntriesCursor::new(source, new) }
    }

    /// The next name whose entry differs.
    #[expect(clippy::should_implement_trait, reason = "it fails")]
    pub fn next(&mut self) -> Result<Option<EntryPair>, MerkleError<S::Error>> {
        let (a, b) = (&mut self.old, &mut self.new);
        loop {
            let step = match (a.head()?, b.head()?) {
                (None, None) => return Ok(None),
                (Some(EntriesHead::Node { child: x, .. }), Some(EntriesHead::Node { child: y, .. })) if x.id == y.id => Step::SkipBoth,
                (Some(EntriesHead::Node { level: x, .. }), Some(EntriesHead::Node { level: y, .. })) => match (x, y) {
                    (Some(x), Some(y)) if x > y => Step::ExpandOld,
                    (Some(x), Some(y)) if x < y => Step::ExpandNew,
                    _ => Step::ExpandBoth,
                },
                (Some(EntriesHead::Node { .. }), None) => Step::ExpandOld,
                (None, Some(EntriesHead::Node { .. })) => Step::ExpandNew,
                (Some(EntriesHead::Node { .. }), Some(EntriesHead::Entry(y))) => Step::OldNode(y.name.clone()),
                (Some(EntriesHead::Entry(x)), Some(EntriesHead::Node { .. })) => Step::NewNode(x.name.clone()),
                (Some(EntriesHead::Entry(x)), Some(EntriesHead::Entry(y))) => match x.name.cmp(&y.name) {
                    std::cmp::Ordering::Less => Step::Old,
                    std::cmp::Ordering::Greater => Step::New,
                    std::cmp::Ordering::Equal if x == y => Step::SkipBoth,
                    std::cmp::Ordering::Equal => Step::Both,
                },
                (Some(EntriesHead::Entry(_)), None) => Step::Old,
                (None, Some(EntriesHead::Entry(_))) => Step::New,
            };
            // An entry that lies behind all that the other list has passed cannot be in the other's next node: that node need not be read.
            let behind = |passed: Option<&[u8]>, name: &[u8]| passed.is_some_and(|passed| name <= passed);
            match step {
                Step::SkipBoth => {
                    a.skip();
                    b.skip();
                }
                Step::ExpandOld => a.expand()?,
                Step::ExpandNew => b.expand()?,
                Step::ExpandBoth => {
                    a.expand()?;
                    b.expand()?;
                }
                Step::OldNode(name) if behind(a.passed(), &name) => return Ok(Some(EntryPair { old: None, new: b.next()? })),
                Step::OldNode(_) => a.expand()?,
                Step::NewNode(name) if behind(b.passed(), &name) => return Ok(Some(EntryPair { old: a.next()?, new: None })),
                Step::NewNode(_) => b.expand()?,
                Step::Old => return Ok(Some(EntryPair { old: a.next()?, new: None })),
                Step::New => return Ok(Some(EntryPair { old: None, new: b.next()? })),
                Step::Both => return Ok(Some(EntryPair { old: a.next()?, new: b.next()? })),
            }
        }
    }
}

/// Calls `found` for each name whose entry differs, in the order of names. Reads only nodes that differ.
pub fn diff_entries<S: NodeSource, E: From<MerkleError<S::Error>>>(
    source: &S,
    old: Option<NodeId>,
    new: Option<NodeId>,
    found: &mut dyn FnMut(EntryPair) -> Result<(), E>,
) -> Result<(), E> {
    let mut diff = EntriesDiff::new(source, old, new);
    while let Some(pair) = diff.next()? {
        found(pair)?;
    }
    Ok(())
}

enum Step {
    SkipBoth,
    ExpandOld,
    ExpandNew,
    ExpandBoth,
    OldNode(Vec<u8>),
    NewNode(Vec<u8>),
    Old,
    New,
    Both,
}
