//! Pruning where a store cannot decide between two who create one name (`spec/BUCKETS.md`, section 5), as a model: every order in which pushes and
//! prunes can take their steps, and be killed with their last request still under way. Every creation succeeds and replaces what was there. No
//! snapshot is lost in any order; and without any of the rules there is one in which a snapshot is.
//!
//! Whose turn it is, what comes next about a plan, and what is deleted are decided by the functions that the program itself uses (`plan/gc`).

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::Duration;

use stateright::{Checker as _, Model, Property};
use store_core::plan::gc::{SessionView, Step, condemned, deleted, has_turn, may_take_away, next_step};

const PUSHERS: usize = 2;
const PRUNERS: usize = 2;
const PLANS: usize = 2;

/// Packs, a bit each: the first is there from the start, and each push may write one.
type Packs = u8;
/// Pushes or prunes, a bit each.
type Actors = u8;

/// A rule that is left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Without {
    Nothing,
    /// A prune announces its turn.
    Turns,
    /// It looks who else does after that.
    LookingAfterwards,
    /// It steps back before others.
    SteppingBack,
    /// It keeps its turn until all is deleted.
    KeepingTheTurn,
    /// Only of those who are gone the announcement of a turn is taken away.
    LeavingTurns,
    /// Only of those who are gone the announcement of a push is taken away.
    LeavingPushes,
    /// That happens once what they asked for last can no longer be under way.
    TheMinute,
    /// Sessions are waited for.
    Waiting,
    /// It is marked again after that.
    SecondMark,
}

#[derive(Debug, Clone, Copy)]
struct World {
    pushers: usize,
    pruners: usize,
    plans: usize,
    kills: u8,
    without: Without,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Life {
    Alive,
    /// It was killed, and what it asked for last may still be under way.
    Dying,
    Gone,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Plan {
    condemned: Option<Packs>,
    last: Option<Packs>,
    done: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Push {
    Begin,
    ReadPlans,
    List(Packs),
    Write,
    Commit,
    TakeAway,
    End,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Prune {
    Announce,
    /// Only without a rule: who else is announced was looked at before.
    LateAnnounce,
    LookAround,
    StepBack,
    Look,
    Survey {
        number: u8,
    },
    Create {
        number: u8,
        condemned: Packs,
    },
    ListSessions {
        number: u8,
    },
    Wait {
        number: u8,
        sessions: Actors,
    },
    Mark {
        number: u8,
    },
    Place {
        number: u8,
        live: bool,
    },
    Final {
        number: u8,
        deleted: Packs,
    },
    Delete {
        number: u8,
        left: Packs,
    },
    Release,
    End,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct State {
    packs: Packs,
    /// Sessions of pushes that are announced.
    announced: Actors,
    /// Turns that are.
    turns: Actors,
    commits: Actors,
    plans: [Plan; PLANS],
    pushes: [(Push, Life); PUSHERS],
    prunes: [(Prune, Life); PRUNERS],
    kills: u8,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Action {
    Push {
        who: usize,
        choice: u8,
    },
    GiveUp {
        who: usize,
    },
    Prune {
        who: usize,
        choice: u8,
    },
    KillPush {
        who: usize,
    },
    KillPrune {
        who: usize,
    },
    /// What was under way never came.
    LosePush {
        who: usize,
    },
    LosePrune {
        who: usize,
    },
    /// A prune that has not got the turn takes away the announcement of another.
    TakeTurn {
        who: usize,
        other: usize,
    },
}

fn bits(of: u8) -> impl Iterator<Item = usize> {
    (0..8).filter(move |bit| of & 1 << bit != 0)
}

impl State {
    fn condemned(&self) -> Packs {
        let open = self.plans.iter().filter(|plan| !plan.done);
        open.filter_map(|plan| condemned(plan.condemned, plan.last)).fold(0, |all, packs| all | packs)
    }
}

impl World {
    fn is(&self, without: Without) -> bool {
        self.without == without
    }

    /// Whether the announcement of one of whom this is so may be taken away.
    fn may_take_away(&self, life: Life) -> bool {
        let minute = Duration::from_secs(60);
        let waited = if life == Life::Dying && !self.is(Without::TheMinute) { Duration::ZERO } else { minute };
        may_take_away(&SessionView { has_ended: life != Life::Alive, age: None, waited }, minute)
    }

    fn push_choices(&self, state: &State, who: usize) -> Vec<u8> {
        match state.pushes[who].0 {
            // 0: it writes a pack; 1: what it needs is known.
            Push::List(except) => (0..1 + u8::from(state.packs & !except != 0)).collect(),
            Push::End => Vec::new(),
            _ => vec![0],
        }
    }

    fn push(&self, state: &State, who: usize, choice: u8) -> State {
        let mut next = state.clone();
        let own = 1 << who;
        next.pushes[who].0 = match state.pushes[who].0 {
            Push::Begin => {
                next.announced |= own;
                Push::ReadPlans
            }
            Push::ReadPlans => Push::List(state.condemned()),
            Push::List(_) => {
                if choice == 0 {
                    Push::Write
                } else {
                    Push::Commit
                }
            }
            Push::Write => {
                next.packs |= 1 << (1 + who);
                Push::Commit
            }
            Push::Commit => {
                next.commits |= own;
                Push::TakeAway
            }
            Push::TakeAway => {
                next.announced &= !own;
                Push::End
            }
            Push::End => Push::End,
        };
        next
    }

    /// What a prune may do next: which pack it keeps or uses (one more than that), which session it looks at, which pack it deletes.
    fn prune_choices(&self, state: &State, who: usize) -> Vec<u8> {
        match state.prunes[who].0 {
            Prune::Survey { .. } => std::iter::once(0).chain(bits(state.packs).map(|pack| pack as u8 + 1)).collect(),
            Prune::Wait { sessions, .. } if sessions != 0 => bits(sessions).map(|session| session as u8).collect(),
            Prune::Place { number, live: true } => {
                let stays = state.packs & !state.plans[number as usize].condemned.unwrap_or(0);
                let usable = if stays == 0 { state.packs } else { stays };
                bits(usable).map(|pack| pack as u8 + 1).collect()
            }
            Prune::Delete { left, .. } if left != 0 => bits(left).map(|pack| pack as u8).collect(),
            Prune::End => Vec::new(),
            _ => vec![0],
        }
    }

    fn prune(&self, state: &State, who: usize, choice: u8) -> Option<State> {
        let mut next = state.clone();
        let own: Actors = 1 << who;
        next.prunes[who].0 = match state.prunes[who].0 {
            Prune::Announce if self.is(Without::Turns) => Prune::Look,
            Prune::Announce if self.is(Without::LookingAfterwards) && state.turns == 0 => Prune::LateAnnounce,
            // Whoever has seen others waits before; but they may have come since.
            Prune::Announce => {
                next.turns |= own;
                Prune::LookAround
            }
            Prune::LateAnnounce => {
                next.turns |= own;
                Prune::Look
            }
            Prune::LookAround if has_turn(&who, bits(state.turns)) || self.is(Without::SteppingBack) => Prune::Look,
            Prune::LookAround => Prune::StepBack,
            Prune::StepBack => {
                next.turns &= !own;
                Prune::Announce
            }
            Prune::Look => {
                let step = |plan: &Plan| next_step(plan.condemned.is_some(), plan.last.is_some(), plan.done);
                let found = state.plans[..self.plans].iter().position(|plan| step(plan) != Step::Nothing);
                match found.map(|number| (number, step(&state.plans[number]))) {
                    None => Prune::Release,
                    Some((number, Step::Decide)) => Prune::Survey { number: number as u8 },
                    Some((number, Step::Finish)) => Prune::ListSessions { number: number as u8 },
                    Some((number, _)) => Prune::Delete { number: number as u8, left: state.plans[number].last.unwrap_or(0) },
                }
            }
            Prune::Survey { number } => {
                let kept = if choice == 0 { 0 } else { 1 << (choice - 1) };
                Prune::Create { number, condemned: state.packs & !kept }
            }
            Prune::Create { number, condemned } => {
                // Whatever is there is replaced, and nobody is told.
                next.plans[number as usize].condemned = Some(condemned);
                Prune::ListSessions { number }
            }
            Prune::ListSessions { number } => {
                let sessions = if self.is(Without::Waiting) { 0 } else { state.announced & !state.commits };
                if self.is(Without::KeepingTheTurn) {
                    next.turns &= !own;
                }
                Prune::Wait { number, sessions }
            }
            Prune::Wait { number, sessions: 0 } => Prune::Mark { number },
            Prune::Wait { number, sessions } => {
                let session: Actors = 1 << choice;
                let life = state.pushes[choice as usize].1;
                if state.announced & session != 0 && state.commits & session == 0 {
                    if !self.may_take_away(life) && !self.is(Without::LeavingPushes) {
                        return None;
                    }
                    next.announced &= !session;
                }
                Prune::Wait { number, sessions: sessions & !session }
            }
            Prune::Mark { number } => Prune::Place { number, live: state.commits != 0 },
            Prune::Place { number, live } => {
                let needed: Packs = match choice {
                    _ if self.is(Without::SecondMark) => 0,
                    0 if live => {
                        next.prunes[who].0 = Prune::Release;
                        return Some(next);
                    }
                    0 => 0,
                    pack => 1 << (pack - 1),
                };
                let goes: Vec<usize> = deleted(bits(state.plans[number as usize].condemned.unwrap_or(0)), |pack| needed & 1 << *pack != 0);
                Prune::Final { number, deleted: goes.into_iter().fold(0, |all, pack| all | 1 << pack) }
            }
            Prune::Final { number, deleted } => {
                next.plans[number as usize].last = Some(deleted);
                Prune::Delete { number, left: deleted }
            }
            Prune::Delete { number, left: 0 } => {
                next.plans[number as usize].done = true;
                Prune::Look
            }
            Prune::Delete { number, left } => {
                next.packs &= !(1 << choice);
                Prune::Delete { number, left: left & !(1 << choice) }
            }
            Prune::Release => {
                next.turns &= !own;
                Prune::End
            }
            Prune::End => return None,
        };
        Some(next)
    }
}

impl Model for World {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        let mut state = State {
            packs: 1,
            announced: 0,
            turns: 0,
            commits: 0,
            plans: [Plan { condemned: None, last: None, done: false }; PLANS],
            pushes: [(Push::End, Life::Alive); PUSHERS],
            prunes: [(Prune::End, Life::Alive); PRUNERS],
            kills: self.kills,
        };
        state.pushes[..self.pushers].fill((Push::Begin, Life::Alive));
        state.prunes[..self.pruners].fill((Prune::Announce, Life::Alive));
        vec![state]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        for who in 0..self.pushers {
            let (push, life) = state.pushes[who];
            if life != Life::Gone {
                actions.extend(self.push_choices(state, who).into_iter().map(|choice| Action::Push { who, choice }));
            }
            match life {
                Life::Alive if push == Push::End => {}
                Life::Alive => {
                    if matches!(push, Push::List(_) | Push::Write) {
                        actions.push(Action::GiveUp { who });
                    }
                    if state.kills > 0 {
                        actions.push(Action::KillPush { who });
                    }
                }
                Life::Dying => actions.push(Action::LosePush { who }),
                Life::Gone => {}
            }
        }
        for who in 0..self.pruners {
            let (prune, life) = state.prunes[who];
            if life != Life::Gone {
                actions.extend(self.prune_choices(state, who).into_iter().map(|choice| Action::Prune { who, choice }));
            }
            match life {
                Life::Alive if prune == Prune::Announce => {
                    let others = bits(state.turns & !(1 << who));
                    let gone = |other: &usize| self.may_take_away(state.prunes[*other].1) || self.is(Without::LeavingTurns);
                    actions.extend(others.filter(gone).map(|other| Action::TakeTurn { who, other }));
                }
                Life::Dying => actions.push(Action::LosePrune { who }),
                _ => {}
            }
            if life == Life::Alive && prune != Prune::End && state.kills > 0 {
                actions.push(Action::KillPrune { who });
            }
        }
    }

    fn next_state(&self, state: &State, action: Action) -> Option<State> {
        let mut next = state.clone();
        match action {
            Action::Push { who, choice } => {
                next = self.push(state, who, choice);
                // Of one who was killed that was the last request.
                if state.pushes[who].1 == Life::Dying {
                    next.pushes[who].1 = Life::Gone;
                }
            }
            Action::GiveUp { who } => {
                next.announced &= !(1 << who);
                next.pushes[who].0 = Push::End;
            }
            Action::Prune { who, choice } => {
                next = self.prune(state, who, choice)?;
                if state.prunes[who].1 == Life::Dying {
                    next.prunes[who].1 = Life::Gone;
                }
            }
            Action::KillPush { who } => (next.pushes[who].1, next.kills) = (Life::Dying, state.kills - 1),
            Action::KillPrune { who } => (next.prunes[who].1, next.kills) = (Life::Dying, state.kills - 1),
            Action::LosePush { who } => next.pushes[who].1 = Life::Gone,
            Action::LosePrune { who } => next.prunes[who].1 = Life::Gone,
            Action::TakeTurn { who: _, other } => next.turns &= !(1 << other),
        }
        Some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always(WHOLE, |_, state: &State| state.commits == 0 || state.packs != 0),
            Property::sometimes("a pack is deleted", |_, state: &State| state.packs & 1 == 0),
            Property::sometimes("a prune goes on after one that was killed in its turn", |_, state: &State| {
                let was_killed = state.prunes.iter().any(|(prune, life)| *life == Life::Gone && matches!(prune, Prune::Delete { .. }));
                was_killed && state.prunes.iter().any(|(prune, life)| *life == Life::Alive && *prune == Prune::Release)
            }),
        ]
    }
}

const WORLDS: [World; 3] = [
    World { pushers: 2, pruners: 1, plans: 1, kills: 2, without: Without::Nothing },
    World { pushers: 1, pruners: 2, plans: 2, kills: 1, without: Without::Nothing },
    World { pushers: 2, pruners: 2, plans: 1, kills: 1, without: Without::Nothing },
];
const WHOLE: &str = "what is listed is whole";

#[test]
fn nothing_is_lost_whatever_the_order() {
    let mut goes_on = false;
    for world in WORLDS {
        let found = world.checker().threads(2).spawn_bfs().join();
        eprintln!("{world:?}: {} states", found.unique_state_count());
        assert_eq!(found.discovery(WHOLE).map(stateright::Path::into_actions), None);
        assert!(found.discovery("a pack is deleted").is_some());
        goes_on |= found.discovery("a prune goes on after one that was killed in its turn").is_some();
    }
    assert!(goes_on);
}

#[test]
fn each_rule_is_needed() {
    let rules = [
        Without::Turns,
        Without::LookingAfterwards,
        Without::SteppingBack,
        Without::KeepingTheTurn,
        Without::LeavingTurns,
        Without::LeavingPushes,
        Without::TheMinute,
        Without::Waiting,
        Without::SecondMark,
    ];
    let larger = World { pushers: 2, pruners: 2, plans: 2, kills: 1, without: Without::Nothing };
    let mut unneeded = Vec::new();
    for without in rules {
        let found = WORLDS.iter().chain([&larger]).find_map(|world| {
            let found = World { without, ..*world }.checker().threads(2).target_state_count(3_000_000).spawn_bfs().join();
            found.discovery(WHOLE).map(|path| (path.into_actions().len(), found.unique_state_count()))
        });
        match found {
            Some((steps, states)) => eprintln!("without {without:?}: lost after {steps} steps ({states} states)"),
            None => unneeded.push(without),
        }
    }
    assert!(unneeded.is_empty(), "nothing is lost without {unneeded:?}");
}
