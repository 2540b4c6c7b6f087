//! Which packs are read in full.

use std::collections::HashSet;

use crate::base::ids::PackId;
use crate::error::Error;

/// How much of the packs is read.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub enum Read {
    /// Only their footers.
    #[default]
    None,
    /// All bytes: hashed, opened, decoded, and each chunk compared with its id.
    All,
    /// This share of the packs, in percent, chosen anew each time.
    Percent(f64),
    /// Part `n`, from 1, of `of` equal parts: `of` runs read all.
    Part {
        /// Which part.
        n: u64,
        /// Of how many.
        of: u64,
    },
    /// Packs of about so many bytes, chosen anew each time.
    Bytes(u64),
}

/// Which packs are read in full.
pub(super) fn chosen(packs: &[(PackId, u64)], read: Read) -> Result<HashSet<PackId>, Error> {
    let random = || -> Result<Vec<(PackId, u64)>, Error> {
        let seed: [u8; 32] = crate::rng::bytes()?;
        let mut packs = packs.to_vec();
        packs.sort_by_cached_key(|(id, _)| *blake3::keyed_hash(&seed, id.as_bytes()).as_bytes());
        Ok(packs)
    };
    let names = |packs: &mut dyn Iterator<Item = &(PackId, u64)>| packs.map(|(id, _)| *id).collect();
    Ok(match read {
        Read::None => HashSet::new(),
        Read::All => names(&mut packs.iter()),
        Read::Percent(percent) => {
            let count = (packs.len() as f64 * percent / 100.0).ceil() as usize;
            names(&mut random()?.iter().take(count))
        }
        // By name, so that a pack keeps its part whatever comes and goes.
        Read::Part { n, of } => {
            let part = |id: &PackId| u64::from_le_bytes(id.as_bytes()[..8].try_into().expect("eight bytes")) % of.max(1) + 1;
            names(&mut packs.iter().filter(|(id, _)| part(id) == n))
        }
        Read::Bytes(bytes) => {
            let mut left = bytes;
            let take = |(_, len): &&(PackId, u64)| {
                let take = left > 0;
                left = left.saturating_sub(*len);
                take
            };
            names(&mut random()?.iter().take_while(take))
        }
    })
}
