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

mod prune;
mod push;
mod repair;
mod state;

use std::time::Duration;

use crate::state::{NONE, Outcome, PACKS, PLANS, PRUNERS, PUSHERS, Plan, Prune, Push, Repair, SAVED, SESSIONS, State, Without, World, bit};
use stateright::{Checker as _, Model, Property};

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
