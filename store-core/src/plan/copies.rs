//! Of chunks that several blobs hold, from which one each is read: from one that is read anyway, else from those that bring most for what they take.

use std::collections::{BinaryHeap, HashMap, HashSet};

use super::restore::BlobKey;

/// Wanted bytes for each stored one are compared as whole numbers of this.
const SCALE: u64 = 1 << 20;

/// A wanted chunk that several blobs hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Several {
    /// Its length in bytes.
    pub len: u32,
    /// The blobs, the one first that would be taken if all were alike.
    pub blobs: Vec<BlobKey>,
}

/// What is known of blobs.
pub trait Blobs {
    /// Why something cannot be told.
    type Error;

    /// Stored bytes that reading a blob takes, with all that it rests on, beside what is `needed` already.
    fn cost(&mut self, blob: BlobKey, needed: &HashSet<BlobKey>) -> Result<u64, Self::Error>;

    /// Adds a blob that is read to those that are, with all that it rests on.
    fn need(&mut self, blob: BlobKey, needed: &mut HashSet<BlobKey>) -> Result<(), Self::Error>;
}

/// For each chunk, which of its blobs it is read from. `needed` are those that are read anyway, with all that these rest on; what is chosen is added.
///
/// # Errors
/// Those of `of`.
pub fn choose<B: Blobs>(several: &[Several], needed: &mut HashSet<BlobKey>, of: &mut B) -> Result<Vec<usize>, B::Error> {
    let read = |chunk: &Several, needed: &HashSet<BlobKey>| chunk.blobs.iter().position(|blob| needed.contains(blob));
    let mut offers: HashMap<BlobKey, Vec<usize>> = HashMap::new();
    for (number, chunk) in several.iter().enumerate().filter(|(_, chunk)| read(chunk, needed).is_none()) {
        chunk.blobs.iter().for_each(|blob| offers.entry(*blob).or_default().push(number));
    }
    // What an offer is worth becomes less by what others bring, and is looked at again before it is taken. Of equals the later one is: it was written
    // for a later version.
    let mut ranked: BinaryHeap<(u64, BlobKey)> = offers.keys().map(|blob| (u64::MAX, *blob)).collect();
    while let Some((before, blob)) = ranked.pop() {
        let Some(numbers) = offers.get_mut(&blob) else { continue };
        numbers.retain(|number| read(&several[*number], needed).is_none());
        if numbers.is_empty() {
            continue;
        }
        let wanted: u64 = numbers.iter().map(|number| u64::from(several[*number].len)).sum();
        let worth = wanted.saturating_mul(SCALE) / (of.cost(blob, needed)? + 1);
        if worth < before && ranked.peek().is_some_and(|(next, key)| (worth, blob) < (*next, *key)) {
            ranked.push((worth, blob));
        } else {
            of.need(blob, needed)?;
        }
    }
    Ok(several.iter().map(|chunk| read(chunk, needed).unwrap_or_default()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Blobs with what each takes and rests on.
    struct Table(HashMap<BlobKey, (u64, Vec<BlobKey>)>);

    impl Blobs for Table {
        type Error = ();

        fn cost(&mut self, blob: BlobKey, needed: &HashSet<BlobKey>) -> Result<u64, ()> {
            let all = self.0[&blob].1.iter().chain([&blob]);
            Ok(all.filter(|key| !needed.contains(key)).map(|key| self.0[key].0).sum())
        }

        fn need(&mut self, blob: BlobKey, needed: &mut HashSet<BlobKey>) -> Result<(), ()> {
            needed.insert(blob);
            needed.extend(&self.0[&blob].1);
            Ok(())
        }
    }

    fn chosen(needed: &[BlobKey], several: &[(u32, &[BlobKey])]) -> (Vec<BlobKey>, usize) {
        let table = [((1, 0), (900, vec![])), ((1, 1), (900, vec![])), ((2, 0), (300, vec![])), ((3, 0), (300, vec![(1, 1)]))];
        let several: Vec<_> = several.iter().map(|(len, blobs)| Several { len: *len, blobs: blobs.to_vec() }).collect();
        let mut needed: HashSet<BlobKey> = needed.iter().copied().collect();
        let chosen = choose(&several, &mut needed, &mut Table(HashMap::from(table))).unwrap();
        (several.iter().zip(chosen).map(|(chunk, chosen)| chunk.blobs[chosen]).collect(), needed.len())
    }

    #[test]
    fn what_is_read_anyway_is_read() {
        let (old, new): (BlobKey, BlobKey) = ((1, 0), (2, 0));
        assert_eq!(chosen(&[old], &[(10, &[new, old]), (10, &[old, new])]), (vec![old, old], 1));
        assert_eq!(chosen(&[old, new], &[(10, &[new, old])]), (vec![new], 2), "of both the first");
    }

    #[test]
    fn else_what_brings_most_for_what_it_takes() {
        let (old, other, new, upon): (BlobKey, BlobKey, BlobKey, BlobKey) = ((1, 0), (1, 1), (2, 0), (3, 0));
        assert_eq!(chosen(&[], &[(10, &[old, new]), (10, &[other, new])]), (vec![new, new], 1));
        assert_eq!(
            chosen(&[], &[(90, &[old, new]), (90, &[old]), (90, &[old, other])]),
            (vec![old, old, old], 1),
            "three are more than one"
        );
        assert_eq!(chosen(&[], &[(10, &[upon, old])]), (vec![old], 1), "with what that rests on");
        assert_eq!(chosen(&[other], &[(10, &[upon, old])]), (vec![upon], 2), "which is read here anyway");
        assert_eq!(chosen(&[], &[]), (vec![], 0));
    }

    #[test]
    fn what_others_have_brought_counts_no_more() {
        let (old, new, other): (BlobKey, BlobKey, BlobKey) = ((1, 0), (2, 0), (1, 1));
        // The new one has most; what it leaves to the two others is in both of them, and one of these will do.
        let all = [(100, &[new, old][..]), (100, &[new, other]), (100, &[new, old]), (50, &[old, other])];
        assert_eq!(chosen(&[], &all).1, 2);
    }
}
