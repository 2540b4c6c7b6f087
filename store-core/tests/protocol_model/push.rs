//! The steps of a push.

use crate::state::{ATTEMPTS, NONE, Outcome, PACKS, Push, State, Without, World, bit, each};

impl World {
    /// What a push may do next, each choice by a number: a pack to rely on, or one to code against (behind the last pack), or `NONE`.
    pub(crate) fn push_choices(&self, state: &State, who: usize) -> Vec<u8> {
        let known = match state.pushes[who].0 {
            Push::List(except) if self.is(Without::WholeChains) => state.packs & !except,
            Push::List(except) => state.whole(except),
            Push::Filter(listed) => listed,
            Push::End => return Vec::new(),
            _ => return vec![NONE],
        };
        if known == 0 {
            return vec![NONE];
        }
        each(known).flat_map(|pack| [pack as u8, (PACKS + pack) as u8]).collect()
    }

    pub(crate) fn push(&self, state: &State, who: usize, choice: u8) -> Option<State> {
        let mut next = state.clone();
        let (push, attempt) = state.pushes[who];
        let session = State::session(who, attempt);
        let (announce, own) = (1 << session, if self.is(Without::FreshNames) { 0 } else { 1 + session });
        let begun = |next: &mut State| {
            if !self.is(Without::Sessions) {
                next.announced |= announce;
            }
        };
        let again = |attempt: u8| match attempt as usize + 1 < ATTEMPTS {
            // It commits under a new name what it wrote under the old one.
            true if self.is(Without::LookingAgain) => (Push::Commit, attempt + 1),
            true => (Push::Begin, attempt + 1),
            false => (Push::End, attempt),
        };
        next.pushes[who] = match push {
            Push::Begin if self.is(Without::PlansAfterSession) => (Push::Early(state.condemned()), attempt),
            Push::Begin if self.is(Without::PacksAfterSession) => (Push::ListedEarly(state.whole(0)), attempt),
            Push::Begin => {
                begun(&mut next);
                (Push::ReadPlans, attempt)
            }
            Push::Early(condemned) => {
                begun(&mut next);
                (Push::List(condemned), attempt)
            }
            Push::ListedEarly(listed) => {
                begun(&mut next);
                (Push::Filter(listed & !state.condemned()), attempt)
            }
            Push::ReadPlans => (Push::List(if self.is(Without::ReadingPlans) { 0 } else { state.condemned() }), attempt),
            Push::List(_) | Push::Filter(_) => match choice as usize {
                pack if pack < PACKS => (Push::Commit, attempt),
                base if base < 2 * PACKS => (Push::Write { base: base as u8 - PACKS as u8 }, attempt),
                _ => (Push::Write { base: NONE }, attempt),
            },
            Push::Write { base } => {
                next.packs |= bit(own);
                if own as u8 != base {
                    next.bases[own] = base;
                }
                (Push::Commit, attempt)
            }
            Push::Commit if self.is(Without::CreateIfAbsent) && state.outcomes[session] != Outcome::Abort => (Push::WriteCommit, attempt),
            Push::Commit if state.outcomes[session] == Outcome::Open => {
                next.outcomes[session] = Outcome::Commit;
                (Push::End, attempt)
            }
            Push::Commit => again(attempt),
            Push::WriteCommit => {
                next.outcomes[session] = Outcome::Commit;
                (Push::End, attempt)
            }
            Push::End => return None,
        };
        Some(next)
    }
}
