//! What index segments say of packs that are to go, one segment in memory at a time.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

use crate::backend::Folder;
use crate::base::ids::{PackId, SegmentId};
use crate::error::{Error, ErrorKind};
use crate::format::pack::PackContents;
use crate::repo::Repo;

/// How often segments are looked through that others replace meanwhile.
const ROUNDS: usize = 8;

/// What is done with what is said of a pack.
pub(super) type Take<'t> = dyn FnMut(PackId, PackContents) -> Result<ControlFlow<()>, Error> + 't;

/// Calls `take` with what index segments say of each of these packs, with sketches where any segment has them, until it breaks. The packs come as
/// their segments do, and ascending within each. A pack that no segment names is left out.
///
/// # Errors
/// Those of `take`; when a segment cannot be read, or segments are replaced again and again.
pub(super) fn for_each_contents(repo: &Repo, wanted: &BTreeSet<PackId>, take: &mut Take<'_>) -> Result<(), Error> {
    let mut left = wanted.clone();
    for _ in 0..ROUNDS {
        let listed = segments_of(repo, &left)?;
        if listed.is_empty() {
            return Ok(());
        }
        for (segment, mut packs) in listed {
            // One that has gone was replaced: what it said is looked for once more.
            let Some(segment) = repo.read_listed(&segment)? else { continue };
            let mut named = segment.packs;
            named.sort_unstable_by_key(|pack| pack.id);
            for pack in named {
                // It may be there twice.
                if packs.remove(&pack.id) {
                    left.remove(&pack.id);
                    if take(pack.id, pack.contents)?.is_break() {
                        return Ok(());
                    }
                }
            }
        }
        if left.is_empty() {
            return Ok(());
        }
    }
    Err(Error::new(ErrorKind::Busy, "index segments were replaced time and again: prune again, nothing was deleted"))
}

/// For each segment the packs that are taken from it: of those that name a pack one with sketches.
fn segments_of(repo: &Repo, wanted: &BTreeSet<PackId>) -> Result<BTreeMap<SegmentId, BTreeSet<PackId>>, Error> {
    let mut found: BTreeMap<PackId, (SegmentId, bool)> = BTreeMap::new();
    if wanted.is_empty() {
        return Ok(BTreeMap::new());
    }
    for listed in repo.backend.list(Folder::Segments)? {
        let Ok(id) = listed.name.parse::<SegmentId>() else { continue };
        for pack in repo.read_listed(&id)?.into_iter().flat_map(|segment| segment.packs) {
            if !wanted.contains(&pack.id) {
                continue;
            }
            let has_sketches = pack.contents.blobs.iter().any(|blob| !blob.sketches.is_empty());
            let place = found.entry(pack.id).or_insert((id, has_sketches));
            if has_sketches && !place.1 {
                *place = (id, true);
            }
        }
    }
    let mut by_segment: BTreeMap<SegmentId, BTreeSet<PackId>> = BTreeMap::new();
    for (pack, (segment, _)) in found {
        by_segment.entry(segment).or_default().insert(pack);
    }
    Ok(by_segment)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::backend::{MemoryBackend, ObjectPath};
    use crate::base::ids::ChunkId;
    use crate::format::blob::{BlobKind, Frame};
    use crate::format::pack::BlobEntry;
    use crate::format::segment::{PackEntry, Segment};
    use crate::repo::testing::init_on;

    fn repo(cache: &std::path::Path) -> Repo {
        init_on(Arc::new(MemoryBackend::default()), cache)
    }

    fn id(n: u8) -> PackId {
        PackId::from_bytes([n; 32])
    }

    /// A pack of one chunk.
    fn pack(n: u8, has_sketch: bool) -> PackEntry {
        let frame = Frame { kind: BlobKind::Data, depth: 0, sealed_len: 116, steps: Vec::new(), chunk_lens: vec![100], bases: Vec::new() };
        let sketches = if has_sketch { vec![[n.into(); 8]] } else { Vec::new() };
        let blobs = vec![BlobEntry { frame, ids: vec![ChunkId::from_bytes([n; 32])], sketches }];
        PackEntry { id: id(n), len: 1000, contents: PackContents { padding: 0, blobs } }
    }

    fn segment(packs: Vec<PackEntry>) -> Segment {
        Segment { packs, ..Segment::default() }
    }

    #[test]
    fn each_pack_comes_once_and_with_sketches_where_any_segment_has_them() {
        let cache = tempfile::tempdir().unwrap();
        let repo = repo(cache.path());
        for packs in
            [vec![pack(1, false), pack(2, false), pack(3, true)], vec![pack(2, true), pack(4, false)], vec![pack(3, false), pack(5, true)]]
        {
            repo.create_segment(&segment(packs)).unwrap();
        }
        let wanted = [1, 2, 3, 4, 9].map(id).into();
        let mut found = Vec::new();
        for_each_contents(&repo, &wanted, &mut |pack, contents| {
            found.push((pack, contents));
            Ok(ControlFlow::Continue(()))
        })
        .unwrap();
        found.sort_by_key(|(id, _)| *id);
        let expected = [(1, false), (2, true), (3, true), (4, false)].map(|(n, has_sketch)| (id(n), pack(n, has_sketch).contents));
        assert_eq!(found, expected);
        let mut count = 0;
        for_each_contents(&repo, &wanted, &mut |_, _| {
            count += 1;
            Ok(if count == 2 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
        })
        .unwrap();
        assert_eq!(count, 2);
    }

    #[test]
    fn what_a_segment_said_that_was_replaced_is_found_in_the_other() {
        let cache = tempfile::tempdir().unwrap();
        let repo = repo(cache.path());
        let segments: Vec<SegmentId> =
            (1..=4).map(|n| repo.create_segment(&segment(vec![pack(n, false), pack(n + 10, false)])).unwrap()).collect();
        let (mut found, mut is_replaced) = (BTreeSet::new(), false);
        for_each_contents(&repo, &[1, 2, 3, 4, 11, 12, 13, 14].map(id).into(), &mut |pack_id, _| {
            assert!(found.insert(pack_id));
            if !std::mem::replace(&mut is_replaced, true) {
                let all = (1..=4).chain(11..=14).map(|n| pack(n, false)).collect();
                repo.create_segment(&Segment { packs: all, supersedes: segments.clone() }).unwrap();
                segments.iter().for_each(|id| repo.backend.delete(&ObjectPath::Segment(*id)).unwrap());
            }
            Ok(ControlFlow::Continue(()))
        })
        .unwrap();
        assert_eq!(found.len(), 8);
    }
}
