//! The steps of a prune.

use crate::state::{Outcome, PACKS, Plan, Prune, SESSIONS, Sessions, State, Without, World, bit, each};
use store_core::plan::gc::{Step, deleted, next_step};

impl World {
    /// What a prune may do next: which chain it keeps or uses (one more than its pack), writing it anew first (behind the last pack), or which
    /// session it ends, or which pack it deletes; 0 where there is nothing to choose.
    pub(crate) fn prune_choices(&self, state: &State, who: usize) -> Vec<u8> {
        match state.prunes[who] {
            Prune::Survey => {
                let copy = 1 + SESSIONS + who;
                let whole = each(state.whole(0)).map(|pack| pack as u8 + 1);
                let anew = each(state.whole(0)).filter(|_| state.copies & bit(copy) == 0).map(|pack| (PACKS + pack) as u8 + 1);
                std::iter::once(0).chain(whole).chain(anew).collect()
            }
            Prune::Wait { sessions, .. } if sessions != 0 => (0..SESSIONS as u8).filter(|session| sessions & 1 << session != 0).collect(),
            Prune::Place { number, live: true, .. } => {
                let condemned = state.plans[number as usize].condemned.unwrap_or(0);
                // What stays is used before what is condemned.
                let stays = if self.is(Without::MarkingBases) { state.packs & !condemned } else { state.whole(condemned) };
                let usable = if stays == 0 { state.whole(0) } else { stays };
                each(usable).map(|pack| pack as u8 + 1).collect()
            }
            Prune::Delete { left, .. } if left != 0 => each(left).map(|pack| pack as u8).collect(),
            Prune::End => Vec::new(),
            _ => vec![0],
        }
    }

    pub(crate) fn prune(&self, state: &State, who: usize, choice: u8) -> Option<State> {
        let mut next = state.clone();
        let counts = |drops: Sessions| {
            let counts = |session: &usize| match state.outcomes[*session] {
                Outcome::Commit | Outcome::Revived => true,
                Outcome::Forgotten => drops & 1 << session == 0,
                _ => false,
            };
            (0..SESSIONS).filter(counts).fold(0, |all, session| all | 1 << session)
        };
        let forgotten =
            (0..SESSIONS).filter(|session| state.outcomes[*session] == Outcome::Forgotten).fold(0, |all, session| all | 1 << session);
        next.prunes[who] = match state.prunes[who] {
            Prune::Look => {
                let steps = |plan: &Plan| next_step(plan.condemned.is_some(), plan.last.is_some(), plan.done);
                let is_next = |plan: &Plan| match steps(plan) {
                    Step::Finish => !self.is(Without::OnePlanAtATime),
                    Step::Decide | Step::Delete => true,
                    Step::Nothing => false,
                };
                let Some(number) = state.plans[..self.plans].iter().position(is_next) else {
                    next.prunes[who] = Prune::End;
                    return Some(next);
                };
                match steps(&state.plans[number]) {
                    Step::Decide => Prune::Survey,
                    Step::Finish => Prune::ListSessions { number: number as u8 },
                    Step::Delete | Step::Nothing => Prune::Delete { number: number as u8, left: state.plans[number].last.unwrap_or(0) },
                }
            }
            Prune::Survey => {
                // One listing says whether a plan is open, and which number is the next.
                let is_open = |plan: &Plan| plan.condemned.is_some() && !plan.done;
                let others = !self.is(Without::OnePlanAtATime) && state.plans.iter().any(is_open);
                let number = state.plans[..self.plans].iter().position(|plan| plan.condemned.is_none());
                let Some(number) = number.filter(|_| !others) else {
                    next.prunes[who] = Prune::Look;
                    return Some(next);
                };
                let kept = match choice as usize {
                    // Nothing counts: nothing is kept. With this choice it is taken so whatever counts, as a mark of long ago may have it.
                    0 => 0,
                    pack if pack <= PACKS => state.chain(pack - 1, 0),
                    pack => {
                        let (from, copy) = (pack - PACKS - 1, 1 + SESSIONS + who);
                        next.packs |= bit(copy);
                        next.copies |= bit(copy);
                        next.bases[copy] = state.bases[from];
                        next.chain(copy, 0)
                    }
                };
                Prune::Create { number: number as u8, condemned: next.packs & !kept, drops: forgotten }
            }
            Prune::Create { number, condemned, drops } => {
                let plan = &mut next.plans[number as usize];
                if plan.condemned.is_some() {
                    Prune::Look
                } else {
                    (plan.condemned, plan.drops) = (Some(condemned), drops);
                    Prune::ListSessions { number }
                }
            }
            Prune::ListSessions { number } => {
                let open = |session: &usize| state.announced & 1 << session != 0 && state.outcomes[*session] == Outcome::Open;
                let sessions = (0..SESSIONS).filter(open).fold(0, |all, session| all | 1 << session);
                Prune::Wait { number, sessions: if self.is(Without::Waiting) { 0 } else { sessions } }
            }
            Prune::Wait { number, sessions: 0 } => Prune::Mark { number },
            Prune::Wait { number, sessions } => {
                let session = choice as usize;
                let left = sessions & !(1 << session);
                if state.outcomes[session] != Outcome::Open || state.announced & 1 << session == 0 {
                    Prune::Wait { number, sessions: left }
                } else if self.is(Without::CreateIfAbsent) {
                    Prune::WriteAbort { number, sessions: left, session: choice }
                } else {
                    if !self.is(Without::LastingAborts) {
                        next.outcomes[session] = Outcome::Abort;
                    }
                    Prune::Wait { number, sessions: left }
                }
            }
            Prune::WriteAbort { number, sessions, session } => {
                if state.outcomes[session as usize] == Outcome::Open {
                    next.outcomes[session as usize] = Outcome::Abort;
                }
                Prune::Wait { number, sessions }
            }
            Prune::Mark { number } => {
                let listed = if self.is(Without::ListedDrops) { forgotten } else { state.plans[number as usize].drops };
                Prune::Place { number, live: counts(listed) != 0, drops: listed & forgotten }
            }
            Prune::Place { number, live, drops } => {
                let condemned = state.plans[number as usize].condemned.unwrap_or(0);
                let needed = match choice {
                    _ if self.is(Without::SecondMark) => 0,
                    0 if live => {
                        // Something that is needed has no place: nothing is deleted.
                        next.prunes[who] = Prune::End;
                        return Some(next);
                    }
                    0 => 0,
                    pack if self.is(Without::MarkingBases) => bit(pack as usize - 1),
                    // What stays is used before what is condemned, of bases, too.
                    pack => state.chain(pack as usize - 1, if state.whole(condemned) == 0 { 0 } else { condemned }),
                };
                let goes: Vec<usize> = deleted(each(condemned), |pack| needed & bit(*pack) != 0);
                Prune::Final { number, deleted: goes.into_iter().map(bit).fold(0, |all, pack| all | pack), drops }
            }
            Prune::Final { number, deleted, drops } => {
                let plan = &mut next.plans[number as usize];
                if plan.last.is_none() {
                    plan.last = Some(deleted);
                    for (session, outcome) in next.outcomes.iter_mut().enumerate().filter(|(session, _)| drops & 1 << session != 0) {
                        let _ = session;
                        *outcome = if *outcome == Outcome::Commit { Outcome::Lost } else { Outcome::Dropped };
                    }
                }
                let agreed = if self.is(Without::OneFinal) { deleted } else { plan.last.unwrap_or(0) };
                Prune::Delete { number, left: agreed }
            }
            Prune::Delete { number, left: 0 } => {
                next.plans[number as usize].done = true;
                Prune::Look
            }
            Prune::Delete { number, left } => {
                next.packs &= !bit(choice as usize);
                Prune::Delete { number, left: left & !bit(choice as usize) }
            }
            Prune::End => return None,
        };
        Some(next)
    }
}
