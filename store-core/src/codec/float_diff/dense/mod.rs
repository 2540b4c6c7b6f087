//! The differences of all elements: each a symbol, entropy-coded, and raw bits. `spec/CODECS.md`, sections 4.3 and 4.4.
//!
//! Symbols are coded in one of two kinds of context. Both know the class of the old value; beside it they know how large the
//! differences just before were, or, where there is an older base, how far the element itself moved the last time.

mod decode;
mod encode;

use super::super::element::Lane;
use super::context::{CLASSES, SIZES};
use super::token::difference;

pub(super) use decode::decode;
pub(super) use encode::encode;

/// Elements that are gone over in one step of a pass: few enough that what is known of them stays in the first cache.
const STRIP: usize = 1024;

/// For each class of size and each class of old values, the table.
type Map = [[u8; CLASSES]; SIZES];

/// How far elements moved the last time, from an older base to the base, and what is expected of that: `share` quarters of it once more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Trend {
    share: u8,
}

/// What the last move of an element tells.
struct Move<L> {
    /// All ones if it went towards zero: differences are counted in its direction.
    mirror: L,
    length: u8,
    expected: L,
}

impl Trend {
    /// The largest share.
    const MOST: u8 = 3;

    #[inline(always)]
    fn of<L: Lane>(self, float: bool, old: L, older: L) -> Move<L> {
        let back = difference(float, older, old);
        let moved = L::of(0).minus(back);
        let mirror = moved.sign_mask();
        let size = (moved ^ mirror).minus(mirror);
        let part = |bit: u8| L::of(0).minus(L::of(u64::from(self.share >> bit & 1)));
        let expected = (size >> 2 & part(0)).plus(size >> 1 & part(1));
        Move { mirror, length: size.length() as u8, expected }
    }
}

/// Replaces each class by the table that the map names for it and its size.
#[inline(always)]
fn name_tables(map: &Map, sizes: &[u8], classes: &mut [u8]) {
    let map = map.as_flattened();
    let mut places = [0u16; STRIP];
    for (classes, sizes) in classes.chunks_mut(STRIP).zip(sizes.chunks(STRIP)) {
        for ((place, &class), &size) in places.iter_mut().zip(&*classes).zip(sizes) {
            *place = (u16::from(size) & (SIZES as u16 - 1)) * CLASSES as u16 + (u16::from(class) & (CLASSES as u16 - 1));
        }
        for (class, &place) in classes.iter_mut().zip(&places) {
            *class = map[usize::from(place) & (SIZES * CLASSES - 1)];
        }
    }
}
