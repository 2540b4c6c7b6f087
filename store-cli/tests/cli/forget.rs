use std::fs;

use serde_json::Value;

use crate::harness::{Place, noise, objects_of};

/// A repository with a push a day from January 1, 2026, each with a file of its own.
fn place(days: u64) -> (Place, Vec<String>) {
    let place = Place::new();
    let ids = (1..=days).map(|day| {
        place.write("d/a", noise(day, 20_000));
        place.push(&["d", "--series", "s", "--time", &format!("2026-01-{day:02} 12:00")])
    });
    let ids = ids.collect();
    (place, ids)
}

fn listed(place: &Place, words: &[&str]) -> Vec<String> {
    place.snap(&[&["-q", "list"], words].concat()).ok().lines().map(str::to_owned).collect()
}

fn notes(place: &Place) -> usize {
    objects_of(&place.path(".snap"), "notes").len()
}

#[test]
fn a_plan_is_printed_and_nothing_done_without_execute() {
    let (place, ids) = place(5);
    let plan = place.snap(&["forget", "--keep-last", "3"]);
    assert!(plan.ok().contains("would forget 2 of 5") && plan.err.contains("--execute"), "{}{}", plan.out, plan.err);
    place.snap(&["-n", "forget", "--keep-last", "3", "--execute"]).ok();
    assert_eq!((listed(&place, &[]).len(), notes(&place)), (5, 0));
    assert_eq!(place.snap(&["-q", "forget", "--keep-last", "3"]).ok().lines().collect::<Vec<_>>(), ids[..2]);
    place.snap(&["forget", "--keep-last", "3", "--execute"]).ok();
    assert_eq!(listed(&place, &[]), ids[2..]);
    assert!(place.snap(&["forget", "--keep-last", "3", "--execute"]).ok().contains("forgot 0 of 3"));
    assert_eq!(notes(&place), 1, "nothing to say, nothing said");
    place.snap(&["check", "--read-data"]).ok();
}

#[test]
fn what_is_forgotten_is_hidden_can_be_read_by_id_and_comes_back() {
    let (place, ids) = place(4);
    place.snap(&["forget", &ids[3], "latest~1", "--execute"]).ok();
    assert_eq!(listed(&place, &[]), ids[..2]);
    assert_eq!(listed(&place, &["--forgotten"]), ids[2..]);
    place.snap(&["restore", "latest", "-t", "out"]).ok();
    assert_eq!(fs::read(place.path("out/a")).unwrap(), noise(2, 20_000));
    place.snap(&["restore", &ids[3][..8], "-t", "out"]).ok();
    assert_eq!(fs::read(place.path("out/a")).unwrap(), noise(4, 20_000));
    place.snap(&["forget", &ids[3], "--execute"]).fails(2);
    assert!(place.snap(&["-n", "forget", "--undo"]).ok().contains("would be back"));
    assert_eq!(place.snap(&["-q", "forget", "--undo", &ids[3]]).ok().trim(), ids[3]);
    assert_eq!(listed(&place, &[]), [&ids[0], &ids[1], &ids[3]].map(String::as_str));
    place.snap(&["forget", "--undo", &ids[3]]).fails(2);
    place.snap(&["forget", "--undo"]).ok();
    assert_eq!(listed(&place, &[]), ids);
    place.snap(&["forget", "--undo"]).fails(2);
}

#[test]
fn undo_without_names_takes_back_the_last_run_alone() {
    let (place, ids) = place(6);
    place.snap(&["forget", &ids[0], "--execute"]).ok();
    place.snap(&["forget", "--keep-last", "3", "--execute"]).ok();
    assert_eq!(listed(&place, &[]).len(), 3);
    place.snap(&["forget", "--undo"]).ok();
    assert_eq!(listed(&place, &[]), ids[1..]);
    place.snap(&["forget", "--undo"]).ok();
    assert_eq!(listed(&place, &[]), ids);
}

#[test]
fn an_undo_with_filters_brings_back_what_they_let_through() {
    let (place, ids) = place(4);
    place.write("e", "e");
    let others: Vec<String> =
        (1..=2).map(|day| place.push(&["e", "--series", "t", "--time", &format!("2026-02-{day:02} 12:00")])).collect();
    place.snap(&["forget", &ids[0], &ids[1], &others[0], "--execute"]).ok();
    place.snap(&["forget", &ids[2], "--execute"]).ok();
    place.snap(&["forget", "--undo", "--series", "none"]).fails(2);
    assert_eq!(place.snap(&["-q", "forget", "--undo", "--series", "t"]).ok().trim(), others[0], "not the last of all runs");
    assert_eq!(place.snap(&["-q", "forget", "--undo", "--series", "s"]).ok().trim(), ids[2]);
    assert_eq!(place.snap(&["-q", "forget", "--undo", "--until", "2026-01-01 13:00"]).ok().trim(), ids[0]);
    assert_eq!(listed(&place, &["--forgotten"]), ids[1..2]);
}

#[test]
fn what_forgets_nothing_is_told_nothing_of_how() {
    let (place, _) = place(1);
    place.write("p.toml", "[[retention]]\nkeep = true\n");
    let how =
        [&["--execute"][..], &["--explain"], &["--force"], &["--trash", "0d"], &["--trust-clock"], &["--series", "s"], &["--host", "h"]];
    for what in [&["--set-policy", "p.toml"][..], &["--show-policy"], &["--remove-policy"]] {
        for how in how {
            let run = place.snap(&[&["forget"], what, how].concat());
            assert!(run.fails(2).contains("forgets nothing"), "{what:?} {how:?}: {}", run.err);
        }
    }
    assert_eq!(notes(&place), 0);
}

#[test]
fn the_stored_policy_is_set_shown_and_applied() {
    let (place, ids) = place(6);
    place.snap(&["forget"]).fails(2);
    place.write("p.toml", "trash = '2d'\n[[retention]]\nname = 'mine'\nmatch = 'series = s'\nkeep-last = 4\n");
    place.snap(&["forget", "--set-policy", "p.toml"]).ok();
    assert!(place.snap(&["forget", "--show-policy"]).ok().contains("match = 'series = s'"));
    let plan = place.snap(&["forget", "--explain"]);
    assert!(plan.ok().contains("rule 1 (mine)") && plan.out.contains("2 days in the trash"), "{}", plan.out);
    place.write("q.toml", "[[retention]]\nkeep-last = 5\n");
    let other = place.snap(&["forget", "--policy", "q.toml"]);
    assert!(other.ok().contains("would forget 1 of 6") && other.out.contains("7 days in the trash"), "{}", other.out);
    for words in [&["forget", &ids[0]][..], &["forget", "--keep-last", "5"]] {
        assert!(place.snap(words).ok().contains("2 days in the trash"), "the stored policy says for how long");
        assert!(place.snap(&[words, &["--trash", "3d"]].concat()).ok().contains("3 days in the trash"));
    }
    place.snap(&["forget", "--execute", "--json"]).ok();
    assert_eq!(listed(&place, &[]), ids[2..]);
    let forgotten = place.snap(&["list", "--forgotten", "--json"]).objects();
    assert_eq!(forgotten[0]["forgotten"]["reason"], "rule 1 (mine): not in keep-last 4");
    let written = place.snap(&["forget", "--show-policy", "--json"]).objects();
    assert_eq!(written[0]["toml"].as_str().unwrap().as_bytes(), fs::read(place.path("p.toml")).unwrap());
}

#[test]
fn a_policy_means_the_same_from_a_file_and_stored() {
    let (place, _) = place(6);
    // Each snapshot has less than a megabyte.
    place.write("p.toml", "[[retention]]\nmatch = 'bytes < 1MB'\nkeep = true\n[[retention]]\nkeep-last = 1\n");
    let plan = place.snap(&["forget", "--policy", "p.toml", "--json", "--explain"]).ok().to_owned();
    assert!(plan.contains("\"keep\":6,\"remove\":0"), "{plan}");
    place.snap(&["forget", "--set-policy", "p.toml"]).ok();
    assert_eq!(place.snap(&["forget", "--json", "--explain"]).ok(), plan);
}

#[test]
fn a_clock_that_was_set_is_not_believed_until_somebody_says_so() {
    let (place, ids) = place(3);
    let file =
        fs::read_dir(place.home(".cache/snap")).unwrap().map(|folder| folder.unwrap().path().join("uptime")).find(|file| file.exists());
    let file = file.expect("a push notes what the clock shows");
    let text = fs::read_to_string(&file).unwrap();
    let [boot, up, clock] = text.split_whitespace().collect::<Vec<_>>()[..] else { panic!("{text}") };
    // As if it had been set ahead by 61 days since.
    let clock = clock.parse::<i64>().unwrap() - 61 * 86_400;
    fs::write(&file, format!("{boot} {up} {clock}\n")).unwrap();
    place.write("a", "more");
    let push = place.snap(&["push", "a"]);
    push.ok();
    assert!(push.err.contains("set 61 days ahead"), "{}", push.err);
    for words in [&["forget", "--keep-last", "3", "--execute"][..], &["prune", "--execute"], &["prune", "--execute", "--no-forget"]] {
        let run = place.snap(words);
        assert!(run.fails(13).contains("set 61 days ahead") && run.err.contains("--trust-clock"), "{}", run.err);
    }
    let run = place.snap(&["forget", "--keep-last", "2", "--explain"]);
    assert!(run.fails(13).contains("61 days"), "{}{}", run.out, run.err);
    place.snap(&["forget", &ids[0], "--execute"]).ok();
    place.snap(&["prune", "--execute", "--trust-clock"]).ok();
    place.snap(&["prune", "--execute"]).ok();
    place.snap(&["forget", "--keep-last", "3"]).ok();
}

#[test]
fn a_policy_that_is_none_is_refused_by_name() {
    let place = Place::new();
    for (text, says) in
        [("[[retention]]\nkeep-lats = 3", "keep-lats"), ("[[retention]]", "rule 1"), ("zone = 'Mars'\n[[retention]]\nkeep = true", "Mars")]
    {
        place.write("p.toml", text);
        let run = place.snap(&["forget", "--set-policy", "p.toml"]);
        assert!(run.fails(2).contains(says), "{}", run.err);
        let run = place.snap(&["forget", "--policy", "p.toml"]);
        assert!(run.fails(2).contains(says) && run.err.contains("p.toml"), "{}", run.err);
    }
    assert_eq!(notes(&place), 0);
    place.snap(&["forget", "--set-policy", "gone.toml"]).fails(2);
    for words in [
        &["forget", "--keep-last", "some"][..],
        &["forget", "--keep-within", "7"],
        &["forget", "--keep-last", "1", "--undo"],
        &["forget", "--keep-last", "1", "--policy", "p.toml"],
        &["forget", "abcd", "--keep-last", "1"],
        &["forget", "--group-by", "host"],
        &["forget", "--keep-last", "1", "--group-by", "moon"],
    ] {
        place.snap(words).fails(2);
    }
}

#[test]
fn rash_policies_are_refused_unless_forced_and_the_newest_stays() {
    let (place, ids) = place(6);
    let refused = place.snap(&["forget", "--keep-last", "2", "--execute"]);
    assert!(refused.fails(13).contains("more than half") && refused.out.contains("would forget 4 of 6"), "{}{}", refused.out, refused.err);
    place.write("p.toml", "[[retention]]\nkeep-within = '1d'\nrelative-to = 'now'\n");
    assert!(place.snap(&["forget", "--policy", "p.toml", "--execute"]).fails(13).contains("nothing would be kept of the 6 snapshots"));
    assert_eq!(listed(&place, &[]).len(), 6);
    place.snap(&["forget", "--policy", "p.toml", "--execute", "--force"]).ok();
    assert_eq!(listed(&place, &[]), ids[5..]);
    // A pin is no rule that keeps.
    place.snap(&["forget", "--undo"]).ok();
    place.snap(&["tag", &ids[0], "--pin"]).ok();
    let pinned = place.snap(&["forget", "--policy", "p.toml", "--execute"]);
    assert!(pinned.fails(13).contains("nothing would be kept of the 5 snapshots"), "{}", pinned.err);
    place.snap(&["tag", &ids[0], "--unpin"]).ok();
    let keep = place.snap(&["forget", "--policy", "p.toml", "--explain", "--force"]);
    assert!(keep.ok().contains("newest of its group"), "{}", keep.out);
}

#[test]
fn what_is_of_the_future_is_refused_not_obeyed() {
    let (place, ids) = place(4);
    let future = place.push(&["d", "--series", "s", "--time", "2090-01-01 12:00"]);
    let refused = place.snap(&["forget", "--keep-within", "7d", "--execute", "--force"]);
    assert!(refused.fails(13).contains("2090") && refused.err.contains("--trust-clock"), "{}", refused.err);
    let trusted = place.snap(&["forget", "--keep-last", "3", "--explain", "--trust-clock"]);
    assert!(trusted.ok().contains("from the future"), "{}", trusted.out);
    place.snap(&["forget", &future, "--execute"]).ok();
    place.snap(&["forget", "--keep-last", "3", "--execute"]).ok();
    assert_eq!(listed(&place, &[]), ids[1..]);
}

#[test]
fn restics_flags_are_understood() {
    let (place, ids) = place(10);
    place.snap(&["tag", &ids[0], "--add", "gold,old"]).ok();
    let kept = |words: &[&str]| -> Vec<usize> {
        let run = place.snap(&[&["forget", "--force", "--explain", "--json"], words].concat());
        run.ok();
        let keep = |line: &Value| line["action"] == "keep";
        let lines = run.objects();
        lines.iter().filter(|line| keep(line)).map(|line| ids.iter().position(|id| line["id"] == id.as_str()).unwrap() + 1).collect()
    };
    assert_eq!(kept(&["-l", "2"]), [9, 10]);
    assert_eq!(kept(&["--keep-daily", "3", "--keep-weekly", "2"]), [4, 8, 9, 10]);
    assert_eq!(kept(&["--keep-within", "2d"]), [9, 10]);
    assert_eq!(kept(&["--keep-within-weekly", "1m"]), [1, 4, 10], "the oldest as well, since weeks do not reach that far back");
    assert_eq!(kept(&["-l", "1", "--keep-tag", "gold,old", "--keep-tag", "x"]), [1, 10]);
    assert_eq!(kept(&["--keep-last", "-1"]).len(), 10);
    assert_eq!(kept(&["--keep-last", "unlimited"]).len(), 10);
    assert_eq!(kept(&["-l", "1", "--group-by", "host,tags"]), [1, 10]);
    assert_eq!(kept(&["-l", "1", "--group-by", ""]), [10]);
    // Two letters are other options here, and a plan of nothing says so.
    let hours = place.snap(&["forget", "-l", "1", "-H", "24"]);
    assert!(hours.ok().contains("0 of 0") && hours.err.contains("-H names a host") && hours.err.contains("--keep-hourly"), "{}", hours.err);
    let other = place.snap(&["forget", "-l", "1", "--host", "elsewhere"]);
    assert!(other.ok().contains("0 of 0") && other.err.contains("no snapshot matches the filters\n"), "{}", other.err);
}

#[test]
fn explained_bytes_are_those_that_nothing_else_needs() {
    let place = Place::new();
    for day in 1..=4 {
        place.write("d/shared", noise(99, 200_000));
        place.write("d/own", noise(day, 100_000));
        place.push(&["d", "--series", "s", "--time", &format!("2026-01-0{day} 12:00")]);
    }
    let lines = place.snap(&["forget", "--keep-last", "2", "--explain", "--json"]).objects();
    for line in &lines[..4] {
        let bytes = line["gives_back"].as_u64().unwrap();
        assert!((100_000..105_000).contains(&bytes), "{line}");
    }
    let summary = lines.last().unwrap();
    assert_eq!((&summary["keep"], &summary["remove"], &summary["executed"]), (&2.into(), &2.into(), &false.into()));
    assert!((200_000..210_000).contains(&summary["gives_back"].as_u64().unwrap()), "{summary}");
    // What is in the trash still needs its bytes.
    let same = place.push(&["d", "--series", "t"]);
    let last =
        |place: &Place| place.snap(&["forget", "latest", "--series", "s", "--explain", "--json"]).objects()[0]["gives_back"].as_u64();
    place.snap(&["forget", &same, "--execute"]).ok();
    assert!(last(&place).unwrap() < 5_000, "{:?}", last(&place));
    place.snap(&["forget", "--undo"]).ok();
    place.snap(&["forget", &same, "--trash", "0d", "--execute"]).ok();
    assert!((100_000..105_000).contains(&last(&place).unwrap()), "{:?}", last(&place));
}

#[test]
fn a_lost_note_stops_forgetting_and_is_given_up_on_demand() {
    let (place, ids) = place(6);
    place.snap(&["forget", &ids[0], "--execute"]).ok();
    place.snap(&["tag", &ids[1], "--pin"]).ok();
    assert_eq!(listed(&place, &[]).len(), 5);
    let damage = |path: &std::path::Path| {
        use std::os::unix::fs::PermissionsExt as _;
        let mut bytes = fs::read(path).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
        fs::write(path, bytes).unwrap();
    };
    let pin =
        objects_of(&place.path(".snap"), "notes").into_iter().max_by_key(|path| fs::metadata(path).unwrap().modified().unwrap()).unwrap();
    damage(&pin);
    let run = place.snap(&["list"]);
    assert!(run.ok().lines().count() == 7 && run.err.contains("repair notes"), "what is forgotten is shown: {}{}", run.out, run.err);
    assert!(place.snap(&["forget", "--keep-last", "5", "--execute", "--force"]).fails(15).contains("nothing is dropped"));
    assert!(place.snap(&["forget", &ids[2], "--execute"]).fails(15).contains("repair notes"), "it would not count");
    assert!(place.snap(&["check"]).fails(15).is_empty());
    assert!(place.snap(&["check"]).out.contains("notes/"));
    place.snap(&["push", "d", "--series", "s"]).ok();

    assert!(place.snap(&["repair", "notes"]).ok().contains("lost  notes/"));
    place.snap(&["list"]).ok();
    assert!(place.snap(&["repair", "notes", "--execute"]).ok().contains("given up"));
    let run = place.snap(&["list"]);
    assert!(run.ok().lines().count() == 8 && run.err.is_empty(), "{}{}", run.out, run.err);
    place.snap(&["check"]).ok();
    place.snap(&["forget", "--keep-last", "6", "--execute"]).ok();
    assert_eq!(listed(&place, &[]).len(), 6);
}

#[test]
fn a_missing_note_is_noticed() {
    let (place, ids) = place(6);
    place.snap(&["forget", &ids[0], "--execute"]).ok();
    place.snap(&["forget", "--undo"]).ok();
    place.snap(&["forget", &ids[0], "--execute"]).ok();
    let mut notes = objects_of(&place.path(".snap"), "notes");
    notes.sort_by_key(|path| fs::metadata(path).unwrap().modified().unwrap());
    fs::remove_file(&notes[1]).unwrap();
    assert_eq!(listed(&place, &[]).len(), 6);
    assert!(place.snap(&["check"]).fails(15).is_empty() || place.snap(&["check"]).out.contains("missing"));
    place.snap(&["repair", "notes", "--execute"]).ok();
    assert_eq!(listed(&place, &[]).len(), 6, "what was forgotten before is kept");
    place.snap(&["check"]).ok();
}

#[test]
fn a_plan_says_which_refs_will_name_nothing() {
    let place = Place::new();
    place.write("a", "a");
    let id = place.push(&["a", "--ref", "v1"]);
    place.snap(&["push", "a"]).ok();
    let plan = place.snap(&["forget", &id]);
    plan.ok();
    assert!(plan.err.contains("the ref v1 would name nothing"), "{}", plan.err);
    assert_eq!(place.snap(&["forget", &id, "--json"]).objects()[0]["refs"][0], "v1");
}

#[test]
fn a_ref_does_not_fall_back_when_its_snapshot_is_pruned() {
    let place = Place::new();
    let ids: Vec<String> = (1..=3)
        .map(|day| {
            place.write("d/a", noise(day, 20_000));
            place.push(&["d", "--ref", "production", "--time", &format!("2026-01-{day:02} 12:00")])
        })
        .collect();
    let refs = || place.snap(&["list", "--refs", "--json"]).ok().to_owned();
    let was = |id: &str| place.snap(&["list", "--where", "was-ref = production"]).ok().contains(&id[..8]);
    let before = refs();
    assert_eq!(before.lines().count(), 3);
    place.snap(&["forget", &ids[2], "--trash", "0d", "--execute"]).ok();
    place.snap(&["prune", "--execute"]).ok();
    assert_eq!(listed(&place, &[]), ids[..2]);
    assert_eq!(refs(), before, "the history is what it was");
    let gone = place.snap(&["restore", "production", "-t", "out"]);
    assert!(gone.fails(2).contains("not there any more") && gone.err.contains(&ids[2][..8]), "{}", gone.err);
    place.snap(&["restore", "production@{1}", "-t", "out"]).ok();
    assert_eq!(fs::read(place.path("out/a")).unwrap(), noise(2, 20_000));
    assert!(was(&ids[0]) && was(&ids[1]));
    // The same by a policy, within the prune; one that is dropped in the middle stays in the middle.
    place.snap(&["push", "d", "--ref", "production", "--time", "2026-01-04 12:00"]).ok();
    place.write("p.toml", "trash = '0d'\n[[retention]]\nkeep-last = 2\n");
    place.snap(&["forget", "--set-policy", "p.toml"]).ok();
    let before = refs();
    place.snap(&["prune", "--execute"]).ok();
    assert_eq!((refs(), listed(&place, &[]).len()), (before, 2));
    place.snap(&["restore", "production@{3}", "-t", "out"]).fails(2);
    place.snap(&["check"]).ok();
}
