//! The steps of a repair of a pack of which the frame is damaged.

use crate::state::{Repair, SAVED, State, Without, World, bit, each};

impl World {
    /// Which pack a repair deletes next; 0 where there is nothing to choose.
    pub(crate) fn repair_choices(&self, state: &State) -> Vec<u8> {
        match state.repair {
            Repair::Delete { left, .. } if left != 0 => each(left).map(|pack| pack as u8).collect(),
            Repair::End => Vec::new(),
            _ => vec![0],
        }
    }

    pub(crate) fn repair(&self, state: &State, choice: u8) -> Option<State> {
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
