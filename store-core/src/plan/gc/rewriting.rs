//! What is coded anew, and which supports go with that (`spec/CHAINS.md`, section 4).

use super::blobs::BlobSet;
use super::mark::{BlobPlaces, Marks, Place};
use crate::format::blob::Frame;

/// Blobs that are coded anew or lose their supports.
#[derive(Debug, Default)]
pub struct Rewriting {
    /// Those whose supports go.
    pub supports: BlobSet,
    /// Those whose chunks that snapshots ask for are coded anew.
    pub anew: BlobSet,
}

impl Rewriting {
    /// Whether nothing is coded anew.
    pub fn is_empty(&self) -> bool {
        self.anew.is_empty()
    }

    /// Whether anything in a pack is coded anew or goes because of that.
    pub fn reaches(&self, pack: u32) -> bool {
        self.anew.reaches(pack) || self.supports.reaches(pack)
    }

    /// Whether something of a blob is needed and stays as it is coded.
    pub fn leaves(&self, marks: &Marks, pack: u32, ordinal: u32) -> bool {
        marks.is_blob_needed(pack, ordinal)
            && !self.anew.contains(pack, ordinal)
            && (!self.supports.contains(pack, ordinal) || marks.asked(pack, ordinal).contains(&true))
    }

    /// Which chunks of a blob are needed and go: its supports, and what is coded anew.
    pub fn goes(&self, marks: &Marks, pack: u32, ordinal: u32) -> Vec<bool> {
        if self.anew.contains(pack, ordinal) {
            marks.chunks(pack, ordinal)
        } else if self.supports.contains(pack, ordinal) {
            marks.supports(pack, ordinal)
        } else {
            Vec::new()
        }
    }
}

/// Finds the supports that something rests on which is not coded anew: all needed blobs are to be shown.
#[derive(Debug, Default)]
pub struct Supported {
    seen: BlobSet,
    /// Blobs with such supports.
    found: BlobSet,
}

impl Supported {
    /// Looks at a blob.
    ///
    /// # Errors
    /// When it cannot be told where bases are.
    pub fn look<P: BlobPlaces>(
        &mut self,
        marks: &Marks,
        places: &mut P,
        anew: &BlobSet,
        (pack, ordinal): (u32, u32),
        frame: &Frame,
    ) -> Result<(), P::Error> {
        let stays = |pack, ordinal| !anew.contains(pack, ordinal) && marks.is_blob_needed(pack, ordinal);
        if frame.bases.is_empty()
            || !stays(pack, ordinal)
            || !marks.asked(pack, ordinal).contains(&true)
            || !self.seen.insert(pack, ordinal)
        {
            return Ok(());
        }
        let mut open: Vec<(u8, Vec<_>)> = vec![(frame.depth, frame.bases.clone())];
        while let Some((depth, bases)) = open.pop() {
            for base in &bases {
                let Some(place) = used(marks, places, base, depth)? else { continue };
                let Some(frame) = places.frame(place.pack, place.ordinal)? else { continue };
                let supports = marks.supports(place.pack, place.ordinal);
                if frame.chunk_at(place.start, place.len).and_then(|index| supports.get(index).copied()).unwrap_or(false) {
                    self.found.insert(place.pack, place.ordinal);
                }
                if stays(place.pack, place.ordinal) && self.seen.insert(place.pack, place.ordinal) {
                    open.push((frame.depth, frame.bases.clone()));
                }
            }
        }
        Ok(())
    }

    /// Whether any support of a blob is rested on.
    pub fn contains(&self, pack: u32, ordinal: u32) -> bool {
        self.found.contains(pack, ordinal)
    }
}

/// The place that is used of a base of something at depth `below`.
pub fn used<P: BlobPlaces>(marks: &Marks, places: &mut P, id: &crate::base::ids::ChunkId, below: u8) -> Result<Option<Place>, P::Error> {
    let is_used = |place: &Place| place.depth < below && marks.is_blob_needed(place.pack, place.ordinal);
    Ok(match places.first(id)? {
        Some(place) if is_used(&place) => Some(place),
        Some(_) => places.all(id)?.into_iter().find(is_used),
        None => None,
    })
}

#[cfg(test)]
mod tests {
    use super::super::Standing;
    use super::super::mark::tests::{id, world};
    use super::*;

    /// A start, and differences one upon the other; the third and the last are asked for, and one that rests on the second.
    #[test]
    fn supports_stay_as_long_as_something_rests_on_them_that_is_not_coded_anew() {
        let blobs: [(u32, u8, &[u8], &[u8]); 6] =
            [(0, 0, &[0], &[]), (1, 1, &[1], &[0]), (2, 2, &[2], &[1]), (3, 3, &[3], &[2]), (4, 4, &[4], &[3]), (5, 2, &[5], &[1])];
        let (mut world, mut marks) = world(&blobs, &[Standing::Stays; 6]);
        [2, 4, 5].iter().for_each(|chunk| _ = marks.need(&mut world, &id(*chunk), u8::MAX).unwrap());
        let mut with = |anew: &[u32]| {
            let (mut found, mut set) = (Supported::default(), BlobSet::default());
            anew.iter().for_each(|pack| _ = set.insert(*pack, 0));
            for pack in 0..6 {
                let frame = world.frame(pack, 0).unwrap().unwrap();
                found.look(&marks, &mut world, &set, (pack, 0), &frame).unwrap();
            }
            (0..6).filter(|pack| found.contains(*pack, 0)).collect::<Vec<u32>>()
        };
        assert_eq!(with(&[]), [0, 1, 3]);
        assert_eq!(with(&[4]), [0, 1]);
        assert_eq!(with(&[2, 4]), [0, 1]);
        // What is coded anew needs no support, whatever rests on it.
        assert_eq!(with(&[2, 5]), [3]);
        assert_eq!(with(&[2, 4, 5]), [0u32; 0]);
    }
}
