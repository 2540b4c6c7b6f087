//! When a session is no longer waited for. A wrong guess costs a push its commit, and never a snapshot (I16): so clocks may be asked here.

use std::time::Duration;

/// What is known of a session without an outcome.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SessionView {
    /// Whether its process has surely ended.
    pub has_ended: bool,
    /// How long ago it began, by the clocks of two hosts; `None` where that cannot be read.
    pub age: Option<Duration>,
    /// How long this prune has waited for it, by its own watch.
    pub waited: Duration,
}

/// What to do about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fencing {
    /// Wait.
    Wait,
    /// End it with an abort, unless it ends first.
    Fence,
}

/// Decides. A session is waited for until it is as old as `after`; a clock that is wrong cannot make that longer than `after` from now.
pub fn fence(session: &SessionView, after: Duration) -> Fencing {
    let is_old = session.age.is_some_and(|age| age >= after) || session.waited >= after;
    if session.has_ended || is_old { Fencing::Fence } else { Fencing::Wait }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_has_ended_or_is_old_is_fenced() {
        let hour = Duration::from_secs(3600);
        let young = SessionView { has_ended: false, age: Some(Duration::ZERO), waited: Duration::ZERO };
        assert_eq!(fence(&young, hour), Fencing::Wait);
        assert_eq!(fence(&SessionView { has_ended: true, ..young }, hour), Fencing::Fence);
        assert_eq!(fence(&SessionView { age: Some(hour), ..young }, hour), Fencing::Fence);
        // One from the future, or that cannot be read, is as old as it was waited for.
        assert_eq!(fence(&SessionView { age: None, ..young }, hour), Fencing::Wait);
        assert_eq!(fence(&SessionView { age: None, waited: hour, ..young }, hour), Fencing::Fence);
    }
}
