//! Whose turn it is to prune, where a store cannot decide between two who create one name (`spec/BUCKETS.md`, section 5).

use std::time::Duration;

use super::SessionView;

/// Whether one who has announced the turn `own`, and listed sessions since, has it: nobody else is announced, or might be. `listed` are the turns
/// without an outcome that the listing showed, and what cannot be read. If `own` is not among them somebody took it away, or the store lists
/// what is not so: then it is nobody's.
pub fn has_turn<T: PartialEq>(own: &T, listed: impl IntoIterator<Item = T>) -> bool {
    let mut is_announced = false;
    listed.into_iter().all(|turn| {
        is_announced |= turn == *own;
        turn == *own
    }) && is_announced
}

/// Whether the announcement of a session without an outcome may be taken away: its writer is gone, for so long that nothing it asked for can still
/// be under way. Age alone is no reason: who sleeps may wake up, and no abort would keep it from committing.
pub fn may_take_away(session: &SessionView, late: Duration) -> bool {
    session.has_ended && session.waited >= late
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_announced_alone_has_the_turn() {
        assert!(has_turn(&1, [1]));
        assert!(!has_turn(&1, []));
        assert!(!has_turn(&1, [2]));
        assert!(!has_turn(&1, [1, 2]));
    }

    #[test]
    fn only_who_has_been_gone_for_a_while_is_not_waited_for() {
        let minute = Duration::from_secs(60);
        let gone = SessionView { has_ended: true, age: None, waited: minute };
        assert!(may_take_away(&gone, minute));
        assert!(!may_take_away(&SessionView { waited: minute / 2, ..gone }, minute));
        let asleep = SessionView { has_ended: false, age: Some(minute * 10_000), waited: minute * 10_000 };
        assert!(!may_take_away(&asleep, minute));
    }
}
