//! Of chunks that several blobs hold, from which one each is read: from one that is read anyway, else from those that bring most for what they take.

use std::collections::{HashMap, HashSet};

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

    /// Stored bytes that reading a blob takes, as far as that can be told at once.
    fn cost(&mut self, blob: BlobKey) -> Result<u64, Self::Error>;

    /// Adds a blob that is read to those that are, with all that it rests on.
    fn need(&mut self, blob: BlobKey, needed: &mut HashSet<BlobKey>) -> Result<(), Self::Error>;
}

/// For each chunk, which of its blobs it is read from. `needed` are those that are read anyway, with all that these rest on; what is chosen is added.
///
/// # Errors
/// Those of `of`.
pub fn choose<B: Blobs>(several: &[Several], needed: &mut HashSet<BlobKey>, of: &mut B) -> Result<Vec<usize>, B::Error> {
    let mut chosen: Vec<Option<usize>> =
        several.iter().map(|chunk| chunk.blobs.iter().position(|blob| needed.contains(blob))).collect();
    let mut offers: HashMap<BlobKey, Vec<usize>> = HashMap::new();
    for (number, _) in chosen.iter().enumerate().filter(|(_, chosen)| chosen.is_none()) {
        several[number].blobs.iter().for_each(|blob| offers.entry(*blob).or_default().push(number));
    }
    let mut ranked = Vec::with_capacity(offers.len());
    for (blob, numbers) in offers {
        let wanted: u64 = numbers.iter().map(|number| u64::from(several[*number].len)).sum();
        ranked.push((wanted.saturating_mul(SCALE) / (of.cost(blob)? + 1), blob, numbers));
    }
    // Of equals the later one: it was written for a later version.
    ranked.sort_unstable_by(|a, b| (b.0, b.1).cmp(&(a.0, a.1)));
    for (_, blob, numbers) in ranked {
        let mut is_used = false;
        for number in numbers.into_iter().filter(|number| chosen[*number].is_none()).collect::<Vec<_>>() {
            chosen[number] = several[number].blobs.iter().position(|other| *other == blob);
            is_used = true;
        }
        if is_used {
            of.need(blob, needed)?;
        }
    }
    Ok(chosen.into_iter().map(Option::unwrap_or_default).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Blobs with what each takes and rests on.
    struct Table(HashMap<BlobKey, (u64, Vec<BlobKey>)>);

    impl Blobs for Table {
        type Error = ();

        fn cost(&mut self, blob: BlobKey) -> Result<u64, ()> {
            Ok(self.0[&blob].0)
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
        assert_eq!(chosen(&[], &[(90, &[old, new]), (90, &[old]), (90, &[old, other])]), (vec![old, old, old], 1), "three are more than one");
        assert_eq!(chosen(&[], &[(90, &[old, new]), (90, &[old, new]), (10, &[old])]), (vec![new, new, old], 2));
        assert_eq!(chosen(&[], &[(10, &[upon, old])]), (vec![upon], 2), "with what that rests on");
        assert_eq!(chosen(&[], &[(10, &[new, upon]), (10, &[upon])]), (vec![upon, upon], 2), "of equals the later one");
        assert_eq!(chosen(&[], &[]), (vec![], 0));
    }
}
