use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use crate::harness::{Place, noise, objects, objects_of, tree};

fn largest_pack(place: &Place) -> PathBuf {
    let packs = objects_of(&place.path(".snap"), "packs");
    packs.into_iter().max_by_key(|pack| fs::metadata(pack).unwrap().len()).unwrap()
}

fn spoil(object: &PathBuf, change: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = fs::read(object).unwrap();
    change(&mut bytes);
    fs::set_permissions(object, fs::Permissions::from_mode(0o600)).unwrap();
    fs::write(object, bytes).unwrap();
}

/// A repository with a snapshot of a file that will be damaged and two that will not.
fn place() -> (Place, String) {
    let place = Place::new();
    place.write("d/text", "a line that repeats\n".repeat(20_000));
    place.write("d/sub/other", noise(2, 200_000));
    // In a pack of their own.
    place.push(&["d"]);
    place.write("d/noise", noise(1, 3_000_000));
    let id = place.push(&["d", "--tag", "a"]);
    (place, id)
}

#[test]
fn damage_is_saved_named_and_healed_by_the_next_push() {
    let (place, id) = place();
    let data = tree(&place.path("d"));
    let pack = largest_pack(&place);
    spoil(&pack, |bytes| bytes[1_500_000] ^= 1);
    place.snap(&["check", "--read-data"]).fails(15);
    let before = tree(&place.path(".snap"));
    let plan = place.snap(&["repair", "packs"]);
    plan.fails(15);
    assert!(plan.out.contains("1 damaged pack") && plan.out.contains("--execute does it") && plan.out.contains(":/noise"), "{}", plan.out);
    assert_eq!(tree(&place.path(".snap")), before, "a plan writes nothing");
    let done = place.snap(&["repair", "packs", "--execute"]);
    assert!(done.fails(15).contains("push the same data again"), "{}", done.err);
    assert!(!pack.exists());
    // The other files are there, by a host that knows nothing, too.
    fs::remove_dir_all(place.home(".cache")).unwrap();
    let run = place.snap(&["restore", &id, "-t", "out"]);
    assert!(run.fails(15).contains("noise"), "{}", run.err);
    assert_eq!(fs::read(place.path("out/sub/other")).unwrap(), noise(2, 200_000));
    place.push(&["d"]);
    place.snap(&["check", "--read-data"]).ok();
    let _ = fs::remove_dir_all(place.path("out"));
    place.snap(&["restore", &id, "-t", "out", "--verify"]).ok();
    assert!(tree(&place.path("out")) == data);
    assert!(place.snap(&["repair", "packs", "--read-data"]).ok().contains("no damaged pack"));
}

#[test]
fn a_lost_footer_costs_nothing() {
    let (place, id) = place();
    let data = tree(&place.path("d"));
    let pack = largest_pack(&place);
    spoil(&pack, |bytes| bytes.truncate(bytes.len() - 3));
    place.snap(&["check"]).fails(15);
    let name = pack.file_name().unwrap().to_str().unwrap().to_owned();
    place.snap(&["repair", "packs", &name[..8], "--execute"]).ok();
    place.snap(&["check", "--read-data"]).ok();
    place.snap(&["restore", &id, "-t", "out", "--verify"]).ok();
    assert!(tree(&place.path("out")) == data);
    place.snap(&["repair", "packs", "zzzz"]).fails(2);
    place.snap(&["repair", "packs", "0000"]).fails(2);
}

#[test]
fn what_is_left_of_a_snapshot_is_marked_and_names_what_it_lacks() {
    let (place, id) = place();
    spoil(&largest_pack(&place), |bytes| bytes[1_500_000] ^= 1);
    let plan = place.snap(&["repair", "snapshots", "--read-data"]);
    plan.fails(15);
    assert!(plan.out.contains("/noise: of its 3000000 bytes") && plan.out.contains("would go to the trash"), "{}", plan.out);
    let run = place.snap(&["--json", "repair", "snapshots", "--execute"]);
    run.ok();
    let line = &run.objects()[0];
    assert_eq!((line["message_type"].as_str(), line["fate"].as_str()), (Some("broken_snapshot"), Some("replaced")));
    assert_eq!((line["lost"][0]["path"].as_str(), line["lost"][0]["size"].as_u64()), (Some("/noise"), Some(3_000_000)));
    let repaired = line["repaired_id"].as_str().unwrap().to_owned();
    assert_eq!(run.objects()[1]["snapshots_repaired"], 1);
    // The mark, and the old one in the trash.
    let listed = place.snap(&["--json", "list"]);
    listed.ok();
    assert!(
        listed.out.contains("\"repaired\"") && listed.out.contains(&repaired) && !listed.out.contains(&format!("\"id\":\"{id}\"")),
        "{}",
        listed.out
    );
    assert!(place.snap(&["list", "--forgotten"]).ok().contains(&id[..8]));
    // A restore says what is not there, and how to have it again.
    let restore = place.snap(&["restore", "latest", "-t", "out"]);
    assert!(restore.fails(3).contains("/noise") && restore.err.contains("push the same data again"), "{}", restore.err);
    let names: Vec<_> = tree(&place.path("out")).into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["sub/other", "text"]);
    place.snap(&["restore", "latest:sub", "-t", "sub"]).ok();
    place.snap(&["restore", "latest", "-t", "some", "--exclude", "noise"]).ok();
    assert!(place.snap(&["restore", "latest:noise", "-t", "none"]).fails(15).contains("was lost before"));
    let mut command = place.command(&["dump", "latest"]);
    let dumped = command.output().unwrap();
    assert_eq!(dumped.status.code(), Some(3));
    // Nothing is left to repair; and the next push of the same data makes all whole.
    assert!(place.snap(&["repair", "snapshots"]).ok().contains("0 of them broken"));
    place.push(&["d"]);
    place.snap(&["check", "--read-data"]).ok();
    place.snap(&["forget", "--undo"]).ok();
    place.snap(&["restore", &id, "-t", "whole", "--verify"]).ok();
    assert!(tree(&place.path("whole")) == tree(&place.path("d")));
}

#[test]
fn what_one_repair_forgot_comes_back_at_once_and_its_refs_are_named() {
    let (place, id) = place();
    let others: Vec<String> = (0..2)
        .map(|version| {
            place.write("d/text", format!("version {version}"));
            place.push(&["d", "--ref", &format!("v{version}")])
        })
        .collect();
    spoil(&largest_pack(&place), |bytes| bytes[1_500_000] ^= 1);
    let plan = place.snap(&["repair", "snapshots", "--read-data"]);
    assert!(plan.fails(15).contains("the ref v1 would name nothing"), "{}", plan.err);
    let done = place.snap(&["repair", "snapshots", "--execute"]);
    done.ok();
    assert!(done.err.contains("the ref v0 names nothing") && done.err.contains("the ref v1 names nothing"), "{}", done.err);
    let back = place.snap(&["-q", "forget", "--undo"]);
    let back: std::collections::BTreeSet<&str> = back.ok().lines().collect();
    assert_eq!(back, [&id, &others[0], &others[1]].map(String::as_str).into());
    place.snap(&["forget", "--undo"]).fails(2);
}

#[test]
fn after_both_repairs_a_prune_gives_back_the_room() {
    let (place, id) = place();
    spoil(&largest_pack(&place), |bytes| bytes[1_500_000] ^= 1);
    place.snap(&["repair", "packs", "--read-data", "--execute"]).fails(15);
    place.snap(&["prune", "--execute"]).fails(15);
    place.snap(&["repair", "snapshots", "--trash", "0d", "--execute", &id[..8]]).ok();
    place.snap(&["prune", "--execute"]).ok();
    place.snap(&["check", "--read-data"]).ok();
    place.snap(&["restore", "latest", "-t", "out"]).fails(3);
}

#[test]
fn a_plan_in_json_says_what_each_pack_holds() {
    let (place, _) = place();
    spoil(&largest_pack(&place), |bytes| bytes[1_500_000] ^= 1);
    let run = place.snap(&["--json", "repair", "packs", "--read-data"]);
    run.fails(15);
    let lines = objects(&run.out);
    assert_eq!(lines[0]["message_type"], "damaged_pack");
    assert!(lines[0]["blobs_lost"] == 1 && lines[0]["blobs_copied"].as_u64().unwrap() > 0 && lines[0]["goes"] == true, "{}", run.out);
    assert_eq!(lines[1]["message_type"], "finding");
    let last = lines.last().unwrap();
    assert!(last["packs"] == 1 && last["packs_removed"] == 0 && last["dry_run"] == true, "{}", run.out);
}

#[test]
fn a_damaged_record_of_a_snapshot_is_no_dead_end() {
    let (place, id) = place();
    place.write("d/more", noise(3, 300_000));
    let last = place.push(&["d"]);
    let record = place.path(&format!(".snap/snapshots/{id}"));
    spoil(&record, |bytes| bytes.truncate(100));
    for words in [&["prune", "--execute"][..], &["forget", "--keep-last", "1", "--execute"], &["forget", &id[..8], "--execute"]] {
        let run = place.snap(words);
        run.fails(15);
        assert!(
            run.err.contains(&id) && run.err.contains("snap repair snapshots") && !run.err.contains("--read-data"),
            "{words:?}: {}",
            run.err
        );
    }
    let before = tree(&place.path(".snap"));
    let plan = place.snap(&["repair", "snapshots"]);
    plan.fails(15);
    assert!(plan.out.contains("the whole snapshot is lost") && plan.out.contains(&format!("put snapshots/{id} back")), "{}", plan.out);
    assert!(plan.out.contains("1 of them broken") && plan.out.contains("--execute does it"), "{}", plan.out);
    assert_eq!(tree(&place.path(".snap")), before, "a plan writes nothing");
    place.snap(&["repair", "snapshots", &last]).ok();
    let run = place.snap(&["--json", "repair", "snapshots", &id[..8], "--execute"]);
    run.ok();
    let lines = run.objects();
    assert!(lines[0]["snapshot_id"] == id.as_str() && lines[0]["fate"] == "given_up", "{}", run.out);
    assert!(lines[1]["snapshots_given_up"] == 1 && lines[1]["dry_run"] == false, "{}", run.out);
    assert!(place.snap(&["repair", "snapshots"]).ok().contains("0 of them broken"));
    let list = place.snap(&["list"]);
    assert!(!list.ok().contains(&id[..8]) && list.err.is_empty(), "{}", list.err);
    place.snap(&["forget", "--keep-last", "1", "--trash", "0d", "--force", "--execute"]).ok();
    place.snap(&["prune", "--execute"]).ok();
    place.snap(&["check", "--read-data"]).ok();
    place.snap(&["restore", "latest", "-t", "out", "--verify"]).ok();
}
