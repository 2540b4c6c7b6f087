use crate::harness::{Place, noise};

fn place() -> (Place, Vec<String>) {
    let place = Place::new();
    let ids = (1..=3).map(|version| {
        place.write("d/a", noise(version, 10_000));
        place.push(&["d", "--series", "s", "--time", &format!("2026-01-0{version} 12:00"), "--tag", "born"])
    });
    let ids = ids.collect();
    (place, ids)
}

fn listed(place: &Place, words: &[&str]) -> Vec<String> {
    place.snap(&[&["-q", "list"], words].concat()).ok().lines().map(str::to_owned).collect()
}

#[test]
fn labels_metadata_and_descriptions_change_after_the_fact() {
    let (place, ids) = place();
    place
        .snap(&["tag", "latest", &ids[0], "--add", "best,eval=passed", "--remove", "born", "--meta", "loss=0.4", "--description", "good"])
        .ok();
    assert_eq!(listed(&place, &["--tag", "best"]), [ids[0].as_str(), &ids[2]]);
    assert_eq!(listed(&place, &["--where", "meta.loss < 0.5 and tag = eval=passed and not tag = born"]).len(), 2);
    assert_eq!(listed(&place, &["--where", "tag != born or series ~ x*"]).len(), 2);
    let latest = place.snap(&["list", "--json"]).objects().pop().unwrap();
    assert_eq!((&latest["tags"], &latest["description"]), (&serde_json::json!(["best", "eval=passed"]), &"good".into()));
    place.snap(&["tag", "latest", "--set", "final", "--unset-meta", "loss", "--description", ""]).ok();
    let latest = place.snap(&["list", "--json"]).objects().pop().unwrap();
    assert_eq!((&latest["tags"], latest.get("description")), (&serde_json::json!(["final"]), None));
    assert_eq!(latest["meta"], serde_json::json!({}));
    place.snap(&["tag", "--tag", "final", "--set", ""]).ok();
    assert_eq!(listed(&place, &["--tag", "final"]).len(), 0);
    assert!(place.snap(&["tag", "latest", "--remove", "born"]).ok().contains("1 as they were"));
    place.snap(&["check"]).ok();
}

#[test]
fn a_ref_moves_and_keeps_its_history() {
    let (place, ids) = place();
    place.snap(&["tag", &ids[0], "--ref", "production"]).ok();
    place.snap(&["tag", "production~0", "latest", "--ref", "production"]).fails(2);
    place.snap(&["tag", &ids[1], "--ref", "production", "--ref", "staging"]).ok();
    let newest = {
        place.write("d/a", "x");
        place.push(&["d", "--series", "s", "--ref", "production"])
    };
    let meant = |spec: &str| {
        place.snap(&["restore", spec, "-t", "out", "--json", "-n"]).ok();
        place.snap(&["-q", "tag", spec, "--add", spec]).ok().trim().to_owned()
    };
    assert_eq!(meant("production"), newest);
    assert_eq!(meant("production@{1}"), ids[1]);
    assert_eq!(meant("production@{2}"), ids[0]);
    place.snap(&["tag", "--unref", "production"]).ok();
    assert!(place.snap(&["restore", "production", "-t", "out"]).fails(2).contains("production@{1}"));
    let refs = place.snap(&["list", "--refs", "--json"]).objects();
    let names: Vec<_> =
        refs.iter().map(|to| (to["name"].as_str().unwrap(), to["back"].as_u64().unwrap(), to.get("snapshot_id").is_some())).collect();
    assert_eq!(
        names,
        [("production", 0, false), ("production", 1, true), ("production", 2, true), ("production", 3, true), ("staging", 0, true)]
    );
    assert_eq!(listed(&place, &["--where", "was-ref = production"]).len(), 3);
    for odd in ["latest", "@x", "a b", "a:b", "a~1", ""] {
        place.snap(&["tag", "latest", "--ref", odd]).fails(2);
    }
    place.snap(&["tag", "--unref", "nothing"]).fails(2);
}

#[test]
fn a_pin_keeps_a_snapshot_from_being_forgotten() {
    let (place, ids) = place();
    place.snap(&["tag", &ids[0], "--pin", "--reason", "rollback target"]).ok();
    place.snap(&["tag", &ids[1], "--hold", "30d", "--reason", "audit"]).ok();
    assert!(place.snap(&["forget", &ids[0], "--execute"]).fails(13).contains("rollback target"));
    let plan = place.snap(&["forget", "--keep-last", "1", "--explain"]);
    assert!(plan.ok().contains("pinned: rollback target") && plan.out.contains("pinned: audit"), "{}", plan.out);
    place.snap(&["forget", "--keep-last", "1", "--execute", "--force"]).ok();
    assert_eq!(listed(&place, &[]).len(), 3);
    assert!(place.snap(&["list", "-v"]).ok().contains("audit until 20"));
    place.snap(&["tag", &ids[0], "--unpin"]).ok();
    place.snap(&["tag", &ids[1], "--unpin", "--hold", "1s"]).ok();
    std::thread::sleep(std::time::Duration::from_millis(1100));
    place.snap(&["forget", "--keep-last", "1", "--execute", "--force"]).ok();
    assert_eq!(listed(&place, &[]), [ids[2].as_str()]);
}

#[test]
fn a_push_takes_no_name_for_a_ref_that_tag_would_refuse() {
    let place = Place::new();
    place.write("a", "a");
    for name in ["latest", "a:b", "a~1", "a#b", "@now", "v@{1}", "two words", ""] {
        let run = place.snap(&["push", "a", "--ref", "good", "--ref", name]);
        assert!(run.fails(2).contains("cannot be the name of a ref"), "{name}: {}", run.err);
        place.snap(&["-r", "nowhere", "push", "no-such-file", "--ref", name]).fails(2);
    }
    assert_eq!(place.snap(&["list", "-q"]).ok(), "");
    place.snap(&["push", "a", "--ref", "v1.0/good"]).ok();
}

#[test]
fn a_push_says_when_a_ref_stays_where_it_is() {
    let place = Place::new();
    place.write("a", "a");
    let push = |time: &str| {
        let run = place.snap(&["push", "a", "--ref", "best", "--time", time]);
        (run.ok()[..8].to_owned(), run.err)
    };
    let (first, said) = push("2026-02-02 12:00");
    assert!(!said.contains("the ref"), "{said}");
    let (_, said) = push("2026-02-01 12:00");
    assert!(said.contains(&format!("the ref best stays with {first}")) && said.contains("snap tag"), "{said}");
    let all = place.snap(&["list"]);
    assert!(all.ok().lines().any(|line| line.starts_with(&first) && line.contains(" best ")), "{}", all.out);
}

#[test]
fn nothing_is_said_by_mistake() {
    let (place, ids) = place();
    for words in [
        &["tag", "latest"][..],
        &["tag", "--add", "x"],
        &["tag", "latest", "--meta", "loss"],
        &["tag", "latest", "--reason", "why"],
        &["tag", "latest", "--hold", "soon"],
        &["tag", "latest", "--hold", "0d"],
        &["tag", "latest", "--hold", "2020-01-01"],
        &["tag", "nobody", "--add", "x"],
        &["tag", "latest", "--set", "x", "--add", "y"],
    ] {
        place.snap(words).fails(2);
    }
    assert!(place.snap(&["-n", "tag", "latest", "--add", "x"]).ok().starts_with("dry run"));
    assert_eq!(listed(&place, &["--tag", "x"]).len(), 0);
    place.snap(&["forget", &ids[0], "--execute"]).ok();
    assert!(place.snap(&["tag", &ids[0], "--add", "x"]).fails(2).contains("forget --undo"));
}
