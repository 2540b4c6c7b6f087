//! The plan of a restore: the bytes wanted, grouped by blob, with the blobs that those are coded against, so that each is read and decoded
//! once, bases before what is coded against them, and kept no longer than something needs it.

use std::collections::HashMap;

/// A run of a file that one chunk fills.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Want {
    /// The pack that holds the chunk, as a number.
    pub pack: u32,
    /// The blob within the pack.
    pub ordinal: u32,
    /// Where the chunk starts in the blob's plain bytes.
    pub start: u32,
    /// Its length in bytes.
    pub len: u32,
    /// Which chunk, by a number of the caller's.
    pub chunk: u32,
    /// Which file, by a number of the caller's.
    pub file: u32,
    /// Where in the file.
    pub offset: u64,
}

/// A blob, by the number of its pack and its ordinal there.
pub type BlobKey = (u32, u32);

/// One blob to be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlannedBlob<'w> {
    /// Which.
    pub key: BlobKey,
    /// Its chunks that are wanted, in the order of their place in it. None when it is needed as a base alone.
    pub wants: &'w [Want],
    /// The blobs of the plan that it is coded against, each once.
    pub bases: Vec<u32>,
    /// How many blobs of the plan are coded against it.
    pub users: u32,
}

/// Which blobs are read. A blob is named by its place in `blobs`.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Plan<'w> {
    /// Those with wants first, in the order of packs; then those that are bases alone.
    pub blobs: Vec<PlannedBlob<'w>>,
    numbers: HashMap<BlobKey, u32>,
}

impl<'w> Plan<'w> {
    /// Plans the wants, which are put in order. `bases_of` names the blobs that a blob is coded against; it must lead to no cycle, which
    /// is so when it names only blobs of less depth.
    ///
    /// # Errors
    /// Those of `bases_of`.
    pub fn new<E>(wants: &'w mut [Want], bases_of: &mut dyn FnMut(BlobKey) -> Result<Vec<BlobKey>, E>) -> Result<Self, E> {
        wants.sort_unstable_by_key(|want| (want.pack, want.ordinal, want.start, want.file, want.offset));
        let mut plan = Self::default();
        for wants in wants.chunk_by(|a, b| (a.pack, a.ordinal) == (b.pack, b.ordinal)) {
            plan.add((wants[0].pack, wants[0].ordinal), wants);
        }
        let mut next = 0;
        while let Some(key) = plan.blobs.get(next).map(|blob| blob.key) {
            let mut bases: Vec<u32> = Vec::new();
            for base in bases_of(key)? {
                let number = plan.number(base).unwrap_or_else(|| plan.add(base, &[]));
                bases.push(number);
            }
            bases.sort_unstable();
            bases.dedup();
            bases.iter().for_each(|base| plan.blobs[*base as usize].users += 1);
            plan.blobs[next].bases = bases;
            next += 1;
        }
        Ok(plan)
    }

    fn add(&mut self, key: BlobKey, wants: &'w [Want]) -> u32 {
        let number = self.blobs.len() as u32;
        self.blobs.push(PlannedBlob { key, wants, bases: Vec::new(), users: 0 });
        self.numbers.insert(key, number);
        number
    }

    /// The number of a blob.
    pub fn number(&self, key: BlobKey) -> Option<u32> {
        self.numbers.get(&key).copied()
    }

    /// Where to start: the blobs that nothing is coded against. All others are bases of these, and come when one of these needs them, if it can be
    /// read at all: so a base is there for what follows, and for no longer than that. They come in the order of packs, but of the packs that hold what
    /// their chains rest on: those that share bases are near one another, whichever packs they are in themselves.
    pub fn starts(&self) -> Vec<u32> {
        let mut roots = vec![None; self.blobs.len()];
        let mut starts: Vec<u32> = (0..self.blobs.len() as u32).filter(|number| self.blobs[*number as usize].users == 0).collect();
        starts.sort_by_cached_key(|number| (self.root(*number, &mut roots), self.blobs[*number as usize].key));
        starts
    }

    /// The first of the blobs that a blob rests on and that are coded by themselves, in the order of packs. `roots` are those that are known.
    fn root(&self, number: u32, roots: &mut [Option<BlobKey>]) -> BlobKey {
        if let Some(root) = roots[number as usize] {
            return root;
        }
        let blob = &self.blobs[number as usize];
        // No deeper than chains are: a blob is coded against such of less depth, and the format bounds that.
        let root = blob.bases.iter().map(|base| self.root(*base, roots)).min().unwrap_or(blob.key);
        roots[number as usize] = Some(root);
        root
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn want(pack: u32, ordinal: u32, start: u32, file: u32) -> Want {
        Want { pack, ordinal, start, len: 1, chunk: 0, file, offset: 0 }
    }

    fn plan<'w>(wants: &'w mut [Want], edges: &[(BlobKey, BlobKey)]) -> Plan<'w> {
        let mut bases_of = |key| Ok::<_, ()>(edges.iter().filter(|(from, _)| *from == key).map(|(_, to)| *to).collect());
        Plan::new(wants, &mut bases_of).unwrap()
    }

    #[test]
    fn each_blob_is_read_once_in_the_order_of_the_packs() {
        let mut wants = [want(1, 5, 0, 0), want(0, 2, 9, 1), want(1, 5, 3, 2), want(0, 2, 0, 3), want(0, 1, 0, 4)];
        let plan = plan(&mut wants, &[]);
        let order: Vec<_> = plan.blobs.iter().map(|blob| (blob.key, blob.wants.iter().map(|w| w.file).collect::<Vec<_>>())).collect();
        assert_eq!(order, [((0, 1), vec![4]), ((0, 2), vec![3, 1]), ((1, 5), vec![0, 2])]);
        assert_eq!(plan.starts(), [0, 1, 2]);
    }

    #[test]
    fn a_base_is_planned_once_and_counts_its_users() {
        let mut wants = [want(3, 0, 0, 0), want(3, 1, 0, 0), want(1, 0, 0, 0)];
        let edges = [((3, 0), (2, 0)), ((3, 1), (2, 0)), ((3, 1), (2, 0)), ((3, 1), (1, 0)), ((2, 0), (1, 0))];
        let plan = plan(&mut wants, &edges);
        let found: Vec<_> = plan.blobs.iter().map(|blob| (blob.key, blob.wants.len(), blob.bases.clone(), blob.users)).collect();
        assert_eq!(found, [((1, 0), 1, vec![], 2), ((3, 0), 1, vec![3], 0), ((3, 1), 1, vec![0, 3], 0), ((2, 0), 0, vec![0], 2),]);
        assert_eq!(plan.starts(), [1, 2]);
    }

    #[test]
    fn those_that_share_bases_are_near_one_another() {
        let mut wants = [want(9, 0, 0, 0), want(9, 1, 0, 0), want(9, 2, 0, 0), want(8, 0, 0, 0), want(2, 0, 0, 0)];
        // Chains of one, two and three; what the last one rests on, the first does, too.
        let edges = [((9, 0), (1, 7)), ((9, 1), (3, 0)), ((9, 2), (5, 0)), ((5, 0), (1, 7)), ((5, 0), (4, 0)), ((8, 0), (3, 0))];
        let plan = plan(&mut wants, &edges);
        let keys: Vec<_> = plan.starts().iter().map(|start| plan.blobs[*start as usize].key).collect();
        assert_eq!(keys, [(9, 0), (9, 2), (2, 0), (8, 0), (9, 1)]);
    }
}
