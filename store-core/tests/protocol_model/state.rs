//! What there is in a world: packs, sessions, plans, and how far everybody has got.

use store_core::plan::gc::condemned;

pub(crate) const PUSHERS: usize = 3;
pub(crate) const ATTEMPTS: usize = 2;
pub(crate) const PRUNERS: usize = 2;
pub(crate) const SESSIONS: usize = PUSHERS * ATTEMPTS;
pub(crate) const PLANS: usize = 2;
/// The pack that is there from the start, one a session, one that each prune may write anew, and what a repair saves of the first.
pub(crate) const PACKS: usize = 1 + SESSIONS + PRUNERS + 1;
pub(crate) const SAVED: usize = PACKS - 1;
pub(crate) const NONE: u8 = u8::MAX;

/// Packs, a bit each.
pub(crate) type Packs = u16;
/// Sessions, a bit each.
pub(crate) type Sessions = u8;

/// A rule that is left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Without {
    Nothing,
    /// Pushes announce sessions.
    Sessions,
    /// Plans are read after the session is announced.
    PlansAfterSession,
    /// Packs are listed after the session is announced.
    PacksAfterSession,
    /// What a plan condemns is not relied on.
    ReadingPlans,
    /// What dangles is not relied on.
    WholeChains,
    /// A prune waits for sessions, or fences them.
    Waiting,
    /// One operation decides between commit and abort.
    CreateIfAbsent,
    /// It is marked again after the waiting.
    SecondMark,
    /// One final counts.
    OneFinal,
    /// Aborts stay.
    LastingAborts,
    /// A fenced push looks again at what it relied on.
    LookingAgain,
    /// The next plan comes after the last one is done.
    OnePlanAtATime,
    /// Names of packs do not recur.
    FreshNames,
    /// Bases are marked, too.
    MarkingBases,
    /// Whoever takes a forgetting back looks whether it was too late.
    LookingAfterUndo,
    /// A final drops only what its plan listed.
    ListedDrops,
    /// A repair saves what can be read before it deletes.
    Saving,
    /// It looks for what it saved once its plan is there.
    LookingAfterPlan,
    /// It ends an open plan before it makes its own.
    EndingPlans,
}

/// How large a world is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct World {
    pub(crate) pushers: usize,
    pub(crate) pruners: usize,
    pub(crate) plans: usize,
    /// Whether snapshots are forgotten, and forgettings taken back.
    pub(crate) forgetting: bool,
    /// Whether the frame of the first pack is damaged, and a repair goes on.
    pub(crate) repair: bool,
    pub(crate) without: Without,
}

/// What became of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Outcome {
    Open,
    /// With a snapshot that counts.
    Commit,
    /// With one that is forgotten.
    Forgotten,
    /// With one whose forgetting was taken back, and nobody was told yet that it counts.
    Revived,
    Abort,
    /// A final dropped the snapshot.
    Dropped,
    /// A final dropped the snapshot, and somebody was told that it counts.
    Lost,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Plan {
    pub(crate) condemned: Option<Packs>,
    pub(crate) drops: Sessions,
    pub(crate) last: Option<Packs>,
    pub(crate) done: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Push {
    Begin,
    /// Only without a rule: what was read too early.
    Early(Packs),
    ReadPlans,
    List(Packs),
    /// Only without a rule: packs that were listed before the session began.
    ListedEarly(Packs),
    Filter(Packs),
    Write {
        base: u8,
    },
    Commit,
    /// Only without a rule: the outcome was looked at, and is written now.
    WriteCommit,
    End,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Prune {
    Look,
    Survey,
    Create {
        number: u8,
        condemned: Packs,
        drops: Sessions,
    },
    ListSessions {
        number: u8,
    },
    Wait {
        number: u8,
        sessions: Sessions,
    },
    /// Only without a rule: the outcome of this session was looked at, and is written now.
    WriteAbort {
        number: u8,
        sessions: Sessions,
        session: u8,
    },
    /// Which snapshots count.
    Mark {
        number: u8,
    },
    /// Where what they need is.
    Place {
        number: u8,
        live: bool,
        drops: Sessions,
    },
    Final {
        number: u8,
        deleted: Packs,
        drops: Sessions,
    },
    Delete {
        number: u8,
        left: Packs,
    },
    End,
}

/// `repair packs`, of a pack whose blobs can all be read. Nothing relies on its session: what it saved is looked for again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Repair {
    Save,
    /// What an open plan comes to.
    EndPlans,
    Create {
        number: u8,
    },
    LookAgain {
        number: u8,
    },
    Final {
        number: u8,
        deleted: Packs,
    },
    Delete {
        number: u8,
        left: Packs,
        own: bool,
    },
    End,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct State {
    pub(crate) packs: Packs,
    /// Packs that prunes have written: their names do not recur.
    pub(crate) copies: Packs,
    /// What each pack is coded against.
    pub(crate) bases: [u8; PACKS],
    pub(crate) announced: Sessions,
    pub(crate) outcomes: [Outcome; SESSIONS],
    pub(crate) plans: [Plan; PLANS],
    pub(crate) pushes: [(Push, u8); PUSHERS],
    pub(crate) prunes: [Prune; PRUNERS],
    pub(crate) repair: Repair,
}

pub(crate) fn bit(n: usize) -> Packs {
    1 << n
}

pub(crate) fn each(packs: Packs) -> impl Iterator<Item = usize> {
    (0..PACKS).filter(move |pack| packs & bit(*pack) != 0)
}

impl State {
    /// A pack with all that it is coded against, if that can be out of `except`. Bases are found by their names: what a repair saved of the first
    /// pack stands for it, since it lies no deeper.
    pub(crate) fn chain(&self, pack: usize, except: Packs) -> Packs {
        let usable = self.packs & !except;
        let (mut chain, mut at) = (0, pack);
        loop {
            chain |= bit(at);
            if self.bases[at] == NONE {
                return chain;
            }
            at = self.bases[at] as usize;
            if at == 0 && usable & bit(0) == 0 && usable & bit(SAVED) != 0 {
                at = SAVED;
            }
        }
    }

    /// The packs that are there with all that they are coded against, none of it in `except`.
    pub(crate) fn whole(&self, except: Packs) -> Packs {
        each(self.packs).filter(|pack| self.chain(*pack, except) & !(self.packs & !except) == 0).map(bit).fold(0, |all, pack| all | pack)
    }

    pub(crate) fn condemned(&self) -> Packs {
        let open = self.plans.iter().filter(|plan| !plan.done);
        open.filter_map(|plan| condemned(plan.condemned, plan.last)).fold(0, |all, packs| all | packs)
    }

    pub(crate) fn session(who: usize, attempt: u8) -> usize {
        who * ATTEMPTS + attempt as usize
    }
}

impl World {
    pub(crate) fn is(&self, without: Without) -> bool {
        self.without == without
    }
}
