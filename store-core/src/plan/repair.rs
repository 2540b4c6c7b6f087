//! What becomes of a pack in which something is damaged, decided by what could be read of it (`spec/PROTOCOL.md`, section 6). Nothing here
//! reads or writes.

use std::fmt;

/// What reading a blob gave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BlobState {
    /// It opens, decodes, and its chunks have their ids.
    Whole,
    /// The same, and each of its chunks was read in another pack, no deeper than here.
    Held,
    /// It opens, and something that it is coded against cannot be had.
    Waiting,
    /// It does not open, or is not there.
    Lost,
    /// The same, and each of its chunks was read in another pack, no deeper than here.
    Elsewhere,
    /// The backend does not give its bytes.
    Withheld,
}

/// What was found of a pack.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PackState {
    /// Whether it is there.
    pub is_there: bool,
    /// Whether footer, length and hash are as they should be.
    pub is_framed: bool,
    /// Its blobs; `None` when neither a segment nor a footer says which it has.
    pub blobs: Option<Vec<BlobState>>,
}

/// What holds for all packs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Surroundings {
    /// Whether an index segment cannot be read: packs that it names look as if nobody named them.
    pub has_unreadable_segments: bool,
    /// Whether another session is without an outcome.
    pub is_somebody_active: bool,
}

/// What becomes of a pack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PackFate {
    /// It stays: nothing is wrong with it.
    Sound,
    /// What can be read of it is written to other packs, and it goes.
    Rewritten,
    /// It is missing, and no segment is to name it any more.
    TakenOut,
    /// It goes: nothing says what it holds.
    Meaningless,
    /// It stays: a push that is under way may still say what it holds.
    MayBeAwaited,
    /// It stays, with what can be read of it in another pack, too: the backend does not give all of its bytes, and may another time.
    Withheld,
    /// It stays, with what can be read of it in another pack, too: an index segment cannot be read.
    IndexFirst,
}

impl PackFate {
    /// Whether the pack, or what segments say of it, is to go.
    pub fn goes(self) -> bool {
        matches!(self, Self::Rewritten | Self::TakenOut | Self::Meaningless)
    }
}

impl fmt::Display for PackFate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Sound => "stays: nothing is wrong with it",
            Self::Rewritten => "goes: what can be read of it is written to another pack first",
            Self::TakenOut => "is missing: the index names it no more",
            Self::Meaningless => "goes: its footer cannot be read, and no index segment says what it holds",
            Self::MayBeAwaited => "stays for now: its footer cannot be read, and a push that is under way may say what it holds",
            Self::Withheld => "stays: not all of it can be read now, which another try may; what can be read is copied",
            Self::IndexFirst => {
                "stays: an index segment cannot be read: `snap repair index --execute`, then this again; what can be read is copied"
            }
        })
    }
}

/// Decides.
pub fn decide(pack: &PackState, around: Surroundings) -> PackFate {
    let Some(blobs) = &pack.blobs else {
        return match around {
            _ if around.has_unreadable_segments => PackFate::IndexFirst,
            _ if around.is_somebody_active => PackFate::MayBeAwaited,
            _ => PackFate::Meaningless,
        };
    };
    if pack.is_there
        && pack.is_framed
        && !blobs.iter().any(|blob| matches!(blob, BlobState::Lost | BlobState::Elsewhere | BlobState::Withheld))
    {
        return PackFate::Sound;
    }
    match pack.is_there {
        _ if around.has_unreadable_segments => PackFate::IndexFirst,
        _ if blobs.contains(&BlobState::Withheld) => PackFate::Withheld,
        true => PackFate::Rewritten,
        false => PackFate::TakenOut,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use BlobState::{Elsewhere, Held, Lost, Waiting, Whole, Withheld};

    const QUIET: Surroundings = Surroundings { has_unreadable_segments: false, is_somebody_active: false };

    fn pack(is_there: bool, is_framed: bool, blobs: &[BlobState]) -> PackState {
        PackState { is_there, is_framed, blobs: Some(blobs.to_vec()) }
    }

    #[test]
    fn what_is_damaged_goes_and_what_waits_for_its_bases_is_no_damage() {
        assert_eq!(decide(&pack(true, true, &[Whole, Held, Waiting]), QUIET), PackFate::Sound);
        assert_eq!(decide(&pack(true, true, &[Whole, Lost]), QUIET), PackFate::Rewritten);
        assert_eq!(decide(&pack(true, true, &[Whole, Elsewhere]), QUIET), PackFate::Rewritten);
        assert_eq!(decide(&pack(true, false, &[Whole]), QUIET), PackFate::Rewritten);
        assert_eq!(decide(&pack(false, false, &[Lost]), QUIET), PackFate::TakenOut);
    }

    #[test]
    fn what_may_be_read_another_time_stays() {
        assert_eq!(decide(&pack(true, false, &[Whole, Lost, Withheld]), QUIET), PackFate::Withheld);
        let around = Surroundings { has_unreadable_segments: true, ..QUIET };
        for state in [pack(true, false, &[Whole]), pack(false, false, &[Lost]), PackState { blobs: None, ..pack(true, false, &[]) }] {
            assert_eq!(decide(&state, around), PackFate::IndexFirst);
        }
    }

    #[test]
    fn a_pack_that_says_nothing_goes_only_when_nobody_is_active() {
        let state = PackState { blobs: None, ..pack(true, false, &[]) };
        assert_eq!(decide(&state, QUIET), PackFate::Meaningless);
        assert_eq!(decide(&state, Surroundings { is_somebody_active: true, ..QUIET }), PackFate::MayBeAwaited);
    }
}
