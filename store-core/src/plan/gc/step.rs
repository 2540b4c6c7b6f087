//! What comes next, given which records of a plan there are; and which packs a writer must not rely on.

/// What a prune does next about one plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// There is none: survey, decide, create one.
    Decide,
    /// Wait for sessions, mark again, create the final.
    Finish,
    /// Delete what the final says, then say that it is done.
    Delete,
    /// Nothing: it is done.
    Nothing,
}

/// Decides by which records there are. A record stands for all that comes before it.
pub fn next_step(has_plan: bool, has_final: bool, has_done: bool) -> Step {
    match (has_plan, has_final, has_done) {
        (_, _, true) => Step::Nothing,
        (_, true, false) => Step::Delete,
        (true, false, false) => Step::Finish,
        (false, false, false) => Step::Decide,
    }
}

/// The packs that a writer must not rely on because of a plan that is not done, given what the plan condemns and the final deletes: once there
/// is a final, what it spares stays.
pub fn condemned<S>(plan: Option<S>, last: Option<S>) -> Option<S> {
    last.or(plan)
}
