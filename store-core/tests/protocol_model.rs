//! The protocol of `spec/PROTOCOL.md`, sections 5 and 6, as a model: every order in which pushes, prunes, a repair, forgettings and crashes can take their steps, each
//! of them one operation on the backend. No snapshot that counts is lost in any; and for each rule of the protocol there is an order in which one
//! is lost without it.
//!
//! What a prune does next, what it deletes, and what a push must not rely on are decided by the functions that the program itself uses
//! (`plan/gc`). Anybody may crash at any step: it is the order in which his next step never comes.
//!
//! A usual run explores small worlds whole and a large one for a while. `cargo test --release -p store-core --test protocol_model -- --ignored`
//! explores larger ones whole, and `SNAP_MODEL_SECONDS=3600 cargo test --release -p store-core --test protocol_model a_large` gives the large one
//! more time.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::Duration;

use stateright::{Checker as _, Model, Property};
use store_core::plan::gc::{Step, condemned, deleted, next_step};

const PUSHERS: usize = 3;
const ATTEMPTS: usize = 2;
const PRUNERS: usize = 2;
const SESSIONS: usize = PUSHERS * ATTEMPTS;
const PLANS: usize = 2;
/// The pack that is there from the start, one a session, one that each prune may write anew, and what a repair saves of the first.
const PACKS: usize = 1 + SESSIONS + PRUNERS + 1;
const SAVED: usize = PACKS - 1;
const NONE: u8 = u8::MAX;

/// Packs, a bit each.
type Packs = u16;
/// Sessions, a bit each.
type Sessions = u8;

/// A rule that is left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Without {
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
struct World {
    pushers: usize,
    pruners: usize,
    plans: usize,
    /// Whether snapshots are forgotten, and forgettings taken back.
    forgetting: bool,
    /// Whether the frame of the first pack is damaged, and a repair goes on.
    repair: bool,
    without: Without,
}

/// What became of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Outcome {
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
struct Plan {
    condemned: Option<Packs>,
    drops: Sessions,
    last: Option<Packs>,
    done: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Push {
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
enum Prune {
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
enum Repair {
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
struct State {
    packs: Packs,
    /// Packs that prunes have written: their names do not recur.
    copies: Packs,
    /// What each pack is coded against.
    bases: [u8; PACKS],
    announced: Sessions,
    outcomes: [Outcome; SESSIONS],
    plans: [Plan; PLANS],
    pushes: [(Push, u8); PUSHERS],
    prunes: [Prune; PRUNERS],
    repair: Repair,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Action {
    Push { who: usize, choice: u8 },
    GiveUp { who: usize },
    Prune { who: usize, choice: u8 },
    Repair { choice: u8 },
    Forget { session: usize },
    Undo { session: usize },
    LookAfterUndo { session: usize },
}

fn bit(n: usize) -> Packs {
    1 << n
}

fn each(packs: Packs) -> impl Iterator<Item = usize> {
    (0..PACKS).filter(move |pack| packs & bit(*pack) != 0)
}

impl State {
    /// A pack with all that it is coded against, if that can be out of `except`. Bases are found by their names: what a repair saved of the first
    /// pack stands for it, since it lies no deeper.
    fn chain(&self, pack: usize, except: Packs) -> Packs {
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
    fn whole(&self, except: Packs) -> Packs {
        each(self.packs).filter(|pack| self.chain(*pack, except) & !(self.packs & !except) == 0).map(bit).fold(0, |all, pack| all | pack)
    }

    fn condemned(&self) -> Packs {
        let open = self.plans.iter().filter(|plan| !plan.done);
        open.filter_map(|plan| condemned(plan.condemned, plan.last)).fold(0, |all, packs| all | packs)
    }

    fn session(who: usize, attempt: u8) -> usize {
        who * ATTEMPTS + attempt as usize
    }
}

impl World {
    fn is(&self, without: Without) -> bool {
        self.without == without
    }

    /// What a push may do next, each choice by a number: a pack to rely on, or one to code against (behind the last pack), or `NONE`.
    fn push_choices(&self, state: &State, who: usize) -> Vec<u8> {
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

    fn push(&self, state: &State, who: usize, choice: u8) -> Option<State> {
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

    /// What a prune may do next: which chain it keeps or uses (one more than its pack), writing it anew first (behind the last pack), or which
    /// session it ends, or which pack it deletes; 0 where there is nothing to choose.
    fn prune_choices(&self, state: &State, who: usize) -> Vec<u8> {
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

    fn prune(&self, state: &State, who: usize, choice: u8) -> Option<State> {
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

impl World {
    /// Which pack a repair deletes next; 0 where there is nothing to choose.
    fn repair_choices(&self, state: &State) -> Vec<u8> {
        match state.repair {
            Repair::Delete { left, .. } if left != 0 => each(left).map(|pack| pack as u8).collect(),
            Repair::End => Vec::new(),
            _ => vec![0],
        }
    }

    fn repair(&self, state: &State, choice: u8) -> Option<State> {
        let mut next = state.clone();
        let open = || state.plans[..self.plans].iter().position(|plan| plan.condemned.is_some() && !plan.done);
        next.repair = match state.repair {
            // Something else has deleted it.
            Repair::Save if state.packs & bit(0) == 0 => Repair::End,
            Repair::Save => {
                if !self.is(Without::Saving) {
                    next.packs |= bit(SAVED);
                }
                Repair::EndPlans
            }
            Repair::EndPlans => match open().filter(|_| !self.is(Without::EndingPlans)) {
                Some(number) => match state.plans[number].last {
                    Some(left) => Repair::Delete { number: number as u8, left, own: false },
                    // Whoever finds a plan without a final may close it with one that deletes nothing (I32).
                    None => {
                        next.plans[number].last = Some(0);
                        Repair::EndPlans
                    }
                },
                None => {
                    let free = state.plans[..self.plans].iter().position(|plan| plan.condemned.is_none());
                    free.map_or(Repair::End, |number| Repair::Create { number: number as u8 })
                }
            },
            Repair::Create { number } => {
                let plan = &mut next.plans[number as usize];
                if plan.condemned.is_some() {
                    Repair::EndPlans
                } else {
                    (plan.condemned, plan.drops) = (Some(bit(0)), 0);
                    Repair::LookAgain { number }
                }
            }
            Repair::LookAgain { number } => {
                let is_there = state.packs & bit(SAVED) != 0 || self.is(Without::LookingAfterPlan) || self.is(Without::Saving);
                Repair::Final { number, deleted: if is_there { bit(0) } else { 0 } }
            }
            Repair::Final { number, deleted } => {
                let left = *next.plans[number as usize].last.get_or_insert(deleted);
                Repair::Delete { number, left, own: true }
            }
            Repair::Delete { number, left: 0, own } => {
                next.plans[number as usize].done = true;
                if own { Repair::End } else { Repair::EndPlans }
            }
            Repair::Delete { number, left, own } => {
                next.packs &= !bit(choice as usize);
                Repair::Delete { number, left: left & !bit(choice as usize), own }
            }
            Repair::End => return None,
        };
        Some(next)
    }
}

impl Model for World {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        let nobody = (Push::End, 0);
        let plan = Plan { condemned: None, drops: 0, last: None, done: false };
        let mut state = State {
            packs: bit(0),
            copies: 0,
            bases: [NONE; PACKS],
            announced: 0,
            outcomes: [Outcome::Open; SESSIONS],
            plans: [plan; PLANS],
            pushes: [nobody; PUSHERS],
            prunes: [Prune::End; PRUNERS],
            repair: if self.repair { Repair::Save } else { Repair::End },
        };
        state.pushes[..self.pushers].fill((Push::Begin, 0));
        state.prunes[..self.pruners].fill(Prune::Look);
        vec![state]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        for who in 0..self.pushers {
            actions.extend(self.push_choices(state, who).into_iter().map(|choice| Action::Push { who, choice }));
            if matches!(state.pushes[who].0, Push::List(_) | Push::Write { .. } | Push::Commit) && self.pushers < 3 {
                actions.push(Action::GiveUp { who });
            }
        }
        for who in 0..self.pruners {
            actions.extend(self.prune_choices(state, who).into_iter().map(|choice| Action::Prune { who, choice }));
        }
        actions.extend(self.repair_choices(state).into_iter().map(|choice| Action::Repair { choice }));
        for session in 0..SESSIONS {
            match state.outcomes[session] {
                Outcome::Commit if self.forgetting => actions.push(Action::Forget { session }),
                Outcome::Forgotten => actions.push(Action::Undo { session }),
                Outcome::Revived => actions.push(Action::LookAfterUndo { session }),
                _ => {}
            }
        }
    }

    fn next_state(&self, state: &State, action: Action) -> Option<State> {
        let mut next = state.clone();
        match action {
            Action::Push { who, choice } => return self.push(state, who, choice),
            Action::Prune { who, choice } => return self.prune(state, who, choice),
            Action::Repair { choice } => return self.repair(state, choice),
            Action::GiveUp { who } => {
                let (_, attempt) = state.pushes[who];
                next.announced &= !(1 << State::session(who, attempt));
                next.pushes[who] = (Push::End, attempt);
            }
            Action::Forget { session } => next.outcomes[session] = Outcome::Forgotten,
            Action::Undo { session } => next.outcomes[session] = Outcome::Revived,
            Action::LookAfterUndo { session } => {
                let is_open = |plan: &&Plan| plan.condemned.is_some() && !plan.done;
                let too_late = state.plans.iter().filter(is_open).any(|plan| plan.drops & 1 << session != 0);
                if too_late && !self.is(Without::LookingAfterUndo) {
                    // Whoever asked is told so, and asks again when the prune is done.
                    return None;
                }
                next.outcomes[session] = Outcome::Commit;
            }
        }
        Some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always("what is listed is whole", |_, state: &State| {
                let listed = |outcome: &Outcome| matches!(outcome, Outcome::Commit | Outcome::Forgotten | Outcome::Revived);
                state.whole(0) != 0 || !state.outcomes.iter().any(listed)
            }),
            Property::always("nothing that counts is dropped", |_, state: &State| !state.outcomes.contains(&Outcome::Lost)),
            Property::sometimes("a pack is deleted", |_, state: &State| state.packs & 1 == 0),
            Property::sometimes("a damaged pack goes", |_, state: &State| state.packs & (bit(0) | bit(SAVED)) == bit(SAVED)),
            Property::sometimes("a fenced push commits after all", |_, state: &State| {
                (0..PUSHERS).any(|who| {
                    let first = State::session(who, 0);
                    state.outcomes[first] == Outcome::Abort && state.outcomes[first + 1] == Outcome::Commit
                })
            }),
        ]
    }
}

const SMALL: [World; 3] = [
    World { pushers: 1, pruners: 1, plans: 2, forgetting: true, repair: false, without: Without::Nothing },
    World { pushers: 1, pruners: 2, plans: 1, forgetting: false, repair: false, without: Without::Nothing },
    World { pushers: 2, pruners: 1, plans: 1, forgetting: false, repair: false, without: Without::Nothing },
];

/// Worlds in which a pack is damaged.
const DAMAGED: [World; 2] = [
    World { pushers: 1, pruners: 1, plans: 2, forgetting: false, repair: true, without: Without::Nothing },
    World { pushers: 2, pruners: 0, plans: 1, forgetting: false, repair: true, without: Without::Nothing },
];

const LOSSES: [&str; 2] = ["what is listed is whole", "nothing that counts is dropped"];

/// The steps to a state.
fn steps(path: stateright::Path<State, Action>) -> Vec<Action> {
    path.into_actions()
}

/// What is lost, and how.
fn lost(world: World, states: usize) -> (Vec<String>, usize) {
    let found = world.checker().threads(2).target_state_count(states).spawn_bfs().join();
    let lost = LOSSES.into_iter().filter_map(|name| {
        let path = found.discovery(name)?;
        Some(format!("{name}: not so after {} steps", path.into_actions().len()))
    });
    (lost.collect(), found.unique_state_count())
}

#[test]
fn nothing_is_lost_in_small_worlds_whatever_the_order() {
    for world in SMALL {
        let found = world.checker().threads(2).spawn_bfs().join();
        eprintln!("{world:?}: {} states", found.unique_state_count());
        assert_eq!(LOSSES.map(|name| found.discovery(name).map(steps)), [None, None]);
        assert!(found.discovery("a pack is deleted").is_some());
        assert!(found.discovery("a fenced push commits after all").is_some());
    }
}

#[test]
fn a_repair_loses_nothing_whatever_the_order() {
    for world in DAMAGED {
        let found = world.checker().threads(2).spawn_bfs().join();
        eprintln!("{world:?}: {} states", found.unique_state_count());
        assert_eq!(LOSSES.map(|name| found.discovery(name).map(steps)), [None, None]);
        assert!(found.discovery("a damaged pack goes").is_some());
    }
}

#[test]
#[ignore = "takes minutes and gigabytes"]
fn nothing_is_lost_in_larger_worlds_whatever_the_order() {
    for (pushers, pruners, plans) in [(1, 2, 2), (2, 1, 2)] {
        let world = World { pushers, pruners, plans, forgetting: false, repair: false, without: Without::Nothing };
        let found = world.checker().threads(2).spawn_bfs().join();
        eprintln!("{world:?}: {} states", found.unique_state_count());
        assert_eq!(LOSSES.map(|name| found.discovery(name).map(steps)), [None, None]);
    }
}

#[test]
fn each_rule_is_needed() {
    let rules = [
        Without::Sessions,
        Without::PlansAfterSession,
        Without::PacksAfterSession,
        Without::ReadingPlans,
        Without::WholeChains,
        Without::Waiting,
        Without::CreateIfAbsent,
        Without::SecondMark,
        Without::OneFinal,
        Without::LastingAborts,
        Without::LookingAgain,
        Without::OnePlanAtATime,
        Without::FreshNames,
        Without::MarkingBases,
        Without::LookingAfterUndo,
        Without::ListedDrops,
        Without::Saving,
        Without::LookingAfterPlan,
        Without::EndingPlans,
    ];
    let worlds = [
        SMALL[0],
        World { forgetting: false, plans: 2, ..SMALL[0] },
        SMALL[1],
        SMALL[2],
        World { plans: 2, ..SMALL[1] },
        World { plans: 2, ..SMALL[2] },
        World { pushers: 2, pruners: 2, plans: 2, ..SMALL[0] },
    ];
    let mut unneeded = Vec::new();
    for without in rules {
        let is_of_repairs = matches!(without, Without::Saving | Without::LookingAfterPlan | Without::EndingPlans);
        let worlds: &[World] = if is_of_repairs { &DAMAGED } else { &worlds };
        let found = worlds.iter().find_map(|world| {
            let (lost, states) = lost(World { without, ..*world }, 4_000_000);
            Some((lost.into_iter().next()?, states))
        });
        match found {
            Some((how, states)) => eprintln!("without {without:?}: {how} ({states} states)"),
            None => unneeded.push(without),
        }
    }
    assert!(unneeded.is_empty(), "nothing is lost without {unneeded:?}");
}

#[test]
fn nothing_is_lost_in_a_large_world_as_far_as_time_allows() {
    let seconds = std::env::var("SNAP_MODEL_SECONDS").map_or(15, |seconds| seconds.parse().unwrap());
    let world = World { pushers: PUSHERS, pruners: PRUNERS, plans: PLANS, forgetting: true, repair: false, without: Without::Nothing };
    let walked = world.checker().threads(2).timeout(Duration::from_secs(seconds)).spawn_simulation(1, stateright::UniformChooser).join();
    eprintln!("{} steps at random", walked.state_count());
    assert_eq!(LOSSES.map(|name| walked.discovery(name).map(steps)), [None, None]);
}
