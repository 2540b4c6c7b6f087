use std::fs;

use crate::harness::{Place, noise, objects_of, tree};

fn packs_len(place: &Place) -> u64 {
    objects_of(&place.path(".snap"), "packs").iter().map(|pack| fs::metadata(pack).unwrap().len()).sum()
}

/// A repository with a snapshot, and with what a push wrote that came to nothing.
fn with_leftovers() -> (Place, String) {
    let place = Place::new();
    place.write("d/kept", noise(1, 300_000));
    let id = place.push(&["d"]);
    place.write("e/left", noise(2, 2_000_000));
    place.snap(&["push", "e", "--require", "not/there"]).fails(1);
    (place, id)
}

#[test]
fn a_prune_says_what_it_would_do_and_does_it_when_told_to() {
    let (place, id) = with_leftovers();
    let data = tree(&place.path("d"));
    let before = packs_len(&place);
    assert!(before > 2_200_000);
    let plan = place.snap(&["prune"]);
    assert!(plan.ok().contains("nothing was deleted"), "{}", plan.out);
    assert!(place.snap(&["prune", "--execute", "--dry-run"]).ok().contains("nothing was deleted"));
    assert_eq!(packs_len(&place), before);
    assert!(place.snap(&["prune", "--explain"]).ok().contains("nothing of it is needed"));

    let done = place.snap(&["prune", "--execute", "--json"]);
    let summary: serde_json::Value = serde_json::from_str(done.ok().lines().last().unwrap()).unwrap();
    assert_eq!(summary["message_type"], "summary");
    assert_eq!((&summary["snapshots"], &summary["stopped"], &summary["dry_run"]), (&1.into(), &serde_json::Value::Null, &false.into()));
    assert!(summary["bytes_deleted"].as_u64().unwrap() > 1_900_000, "{summary}");
    assert!(packs_len(&place) < 400_000);
    place.snap(&["check", "--read-data"]).ok();
    place.snap(&["restore", &id, "-t", "out"]).ok();
    assert!(tree(&place.path("out")) == data);
    assert!(place.snap(&["gc", "--execute"]).ok().contains("0 packs deleted"));
    // What was deleted is stored again when it is pushed.
    place.push(&["e"]);
    assert!(packs_len(&place) > 2_200_000);
    place.snap(&["check", "--read-data"]).ok();
}

#[test]
fn a_prune_waits_for_those_who_may_need_it_and_ends_them_when_they_are_old() {
    let (place, id) = with_leftovers();
    // A session of another host, as if it were still at it: its announcement cannot be read, and could be anybody's.
    let session = place.path(".snap").join("sessions").join("ab".repeat(32));
    fs::write(&session, b"unreadable").unwrap();
    let before = packs_len(&place);
    let run = place.snap(&["prune", "--execute", "--wait", "0s"]);
    run.fails(11);
    assert_eq!(packs_len(&place), before);
    // A push goes on meanwhile.
    place.write("d/more", noise(3, 100_000));
    place.push(&["d"]);
    place.snap(&["prune", "--execute", "--fence-after", "0s"]).ok();
    assert!(packs_len(&place) < 600_000);
    assert!(!session.exists() || place.snap(&["prune", "--execute"]).ok().contains("kept") && !session.exists());
    place.snap(&["check", "--read-data"]).ok();
    place.snap(&["restore", &id, "-t", "out"]).ok();
}

#[test]
fn whoever_ends_a_session_that_there_is_not_is_told_which_are_open() {
    let (place, id) = with_leftovers();
    for version in 0..2 {
        place.write("d/more", noise(3 + version, 10_000));
        place.push(&["d"]);
    }
    place.write("policy.toml", "[[retention]]\nkeep-last = 2\n");
    place.snap(&["forget", "--set-policy", "policy.toml"]).ok();
    let unknown = "cd".repeat(32);
    for args in [&["prune", "--end-session", &unknown][..], &["prune", "--execute", "--end-session", &unknown]] {
        let run = place.snap(args);
        assert!(run.fails(2).contains(&unknown) && run.err.contains("none is open"), "{}", run.err);
        assert_eq!(run.out, "");
    }
    assert_eq!(place.snap(&["list", "--json"]).objects().len(), 3, "nothing was forgotten");
    place.snap(&["prune", "--end-session", "cd"]).fails(2);
    let open = "ab".repeat(32);
    fs::write(place.path(".snap").join("sessions").join(&open), b"unreadable").unwrap();
    let run = place.snap(&["prune", "--execute", "--end-session", &unknown]);
    assert!(run.fails(2).contains(&open), "{}", run.err);
    // One that is open may be named, and one that has ended since it was.
    for known in [&open, &id] {
        place.snap(&["prune", "--end-session", known]).ok();
    }
}

#[test]
fn damage_stops_a_prune() {
    let (place, _) = with_leftovers();
    for segment in objects_of(&place.path(".snap"), "index") {
        fs::remove_file(segment).unwrap();
    }
    let before = packs_len(&place);
    place.snap(&["prune", "--execute"]).fails(15);
    place.snap(&["prune"]).fails(15);
    assert_eq!(packs_len(&place), before);
    place.snap(&["repair", "index", "--execute"]).ok();
    place.snap(&["prune", "--execute"]).ok();
    assert!(packs_len(&place) < 400_000);
}

#[test]
fn odd_options_are_bad_usage() {
    let place = Place::new();
    for args in [["--max-unused", "5"], ["--budget", "soon"], ["--max-repack-size", "much"], ["--wait", "-1s"]] {
        place.snap(&["prune", args[0], args[1]]).fails(2);
    }
}

#[test]
fn what_was_forgotten_is_dropped_when_its_trash_time_is_over() {
    let place = Place::new();
    place.write("d/a", noise(1, 500_000));
    let first = place.push(&["d"]);
    place.write("d/a", noise(2, 500_000));
    let second = place.push(&["d"]);
    let data = tree(&place.path("d"));
    place.snap(&["forget", &first, "--execute"]).ok();
    place.snap(&["prune", "--execute"]).ok();
    assert!(packs_len(&place) > 1_000_000, "what is in the trash is all there");
    place.snap(&["forget", "--undo", &first]).ok();
    place.snap(&["restore", &first, "-t", "back"]).ok();
    place.snap(&["forget", &first, "--trash", "0d", "--execute"]).ok();
    place.snap(&["prune", "--execute"]).ok();
    assert!(packs_len(&place) < 600_000);
    place.snap(&["check", "--read-data"]).ok();
    place.snap(&["restore", &second, "-t", "out"]).ok();
    assert!(tree(&place.path("out")) == data);
    place.snap(&["restore", &first, "-t", "gone"]).fails(2);
    assert_eq!(place.snap(&["list"]).ok().lines().filter(|line| line.contains(&second[..8])).count(), 1);
}

#[test]
fn a_prune_applies_the_stored_policy_first() {
    let place = Place::new();
    let mut ids = Vec::new();
    for version in 0..4 {
        place.write("d/a", noise(version, 400_000));
        ids.push(place.push(&["d"]));
    }
    let policy = |place: &Place, text: &str| {
        place.write("policy.toml", text);
        place.snap(&["forget", "--set-policy", "policy.toml"]).ok();
    };
    assert!(!place.snap(&["prune"]).ok().contains("forget"), "without a policy nothing is forgotten");
    policy(&place, "trash = \"0d\"\n[[retention]]\nkeep-last = 2\n");
    let before = packs_len(&place);
    let plan = place.snap(&["prune"]);
    assert!(plan.ok().contains("would forget 2 of 4 snapshots") && plan.out.contains("2 snapshots kept"), "{}", plan.out);
    assert!(place.snap(&["prune", "--no-forget"]).ok().contains("4 snapshots kept"));
    assert_eq!(packs_len(&place), before);
    let done = place.snap(&["prune", "--execute"]);
    assert!(done.ok().contains("forgot 2 of 4 snapshots") && done.out.contains("2 snapshots kept"), "{}", done.out);
    assert!(packs_len(&place) < before * 6 / 10);
    place.snap(&["restore", &ids[1], "-t", "gone"]).fails(2);
    place.snap(&["restore", &ids[2], "-t", "out"]).ok();
    place.snap(&["check", "--read-data"]).ok();
    // What a policy is refused for stops the prune as well.
    policy(&place, "trash = \"0d\"\n[[retention]]\nkeep = false\n");
    let left = packs_len(&place);
    place.snap(&["prune", "--execute"]).fails(13);
    assert_eq!(packs_len(&place), left);
    place.snap(&["prune", "--execute", "--no-forget"]).ok();
    assert!(place.snap(&["prune", "--execute", "--force"]).ok().contains("1 snapshot kept"));
}

#[test]
fn a_prune_says_which_refs_will_name_nothing_and_what_waits_in_the_trash() {
    let place = Place::new();
    for version in 0..4 {
        place.write("d/a", noise(version, 40_000));
        place.push(&["d", "--ref", &format!("v{version}")]);
    }
    place.write("policy.toml", "trash = '2d'\n[[retention]]\nkeep-last = 2\n");
    place.snap(&["forget", "--set-policy", "policy.toml"]).ok();
    let plan = place.snap(&["prune"]);
    assert!(!plan.ok().contains("of them in the trash"), "{}", plan.out);
    assert!(plan.err.contains("the ref v0 would name nothing") && plan.err.contains("the ref v1 would"), "{}", plan.err);
    let done = place.snap(&["prune", "--execute"]);
    assert!(done.ok().contains("4 snapshots kept  2 of them in the trash, the first until 20"), "{}", done.out);
    assert!(done.err.contains("the ref v1 names nothing") && !done.err.contains("v2"), "{}", done.err);
    let last = |words: &[&str]| -> serde_json::Value { serde_json::from_str(place.snap(words).ok().lines().last().unwrap()).unwrap() };
    let summary = last(&["prune", "--json"]);
    assert_eq!(
        (&summary["snapshots_in_trash"], summary["trash_first_over"].as_str().unwrap().starts_with("20")),
        (&2.into(), true),
        "{summary}"
    );
    place.snap(&["forget", "--undo"]).ok();
    let summary = last(&["prune", "--json", "--no-forget"]);
    assert_eq!((&summary["snapshots_in_trash"], summary.get("trash_first_over")), (&0.into(), None), "{summary}");
}
