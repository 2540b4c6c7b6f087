//! Any text as a retention policy, and as a condition: refused, or applied to a few snapshots without dropping one that is pinned, the newest of
//! its line, or of the future.

#![no_main]

use libfuzzer_sys::fuzz_target;
use snap_fuzz::snapshots;
use store_core::condition::Condition;
use store_core::format::record::Time;
use store_core::notes::Pin;
use store_core::retention::{Calendar, Policy, Situation, decide};

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let now = Time { seconds: 40 * 86_400, nanos: 0 };
    let mut all = snapshots(12);
    all[3].standing.pins.push(Pin { by: String::new(), time: now, reason: None, until: None });
    all[5].standing.left.insert("production".into(), now);
    all[11].snapshot.time.seconds = now.seconds + 100_000;
    if let Ok(condition) = text.parse::<Condition>() {
        let _ = all.iter().filter(|stored| condition.holds(stored)).count();
    }
    if let Ok(condition) = Condition::stored(text) {
        let _ = all.iter().filter(|stored| condition.holds(stored)).count();
    }
    let written = text.parse::<Policy>();
    // What may be written may be stored, and means the same.
    assert!(written.is_err() || written == Policy::stored(text));
    let Ok(policy) = Policy::stored(text) else { return };
    let situation = Situation { now, calendar: Calendar::Recorded, latest_note: None, clock_jump: None, trust_clock: true };
    let plan = decide(&policy, &all, &situation);
    assert_eq!(plan.decisions.len(), all.len());
    // They are a day apart, in one series.
    for kept in [3, 10, 11] {
        assert!(plan.decisions.iter().any(|decision| decision.keep && decision.id == all[kept].id));
    }
    all.reverse();
    assert!(decide(&policy, &all, &situation) == plan);
});
