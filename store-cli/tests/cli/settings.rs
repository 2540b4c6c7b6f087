use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use crate::harness::Place;

#[test]
fn the_repository_is_found_upward_as_git_does() {
    let place = Place::new();
    fs::create_dir_all(place.path("a/b")).unwrap();
    let run = place.command(&["list"]).current_dir(place.path("a/b")).output().unwrap();
    assert!(run.status.success());
}

#[test]
fn a_flag_beats_the_environment_which_beats_the_project_which_beats_the_profile() {
    let place = Place::empty();
    for name in ["flag", "variable", "project", "profile", "default"] {
        let location = if name == "default" { ".snap" } else { name };
        place.snap(&["init", "-r", location]).ok();
        place.write("note", name);
        place.snap(&["-r", location, "push", "note", "--series", name]).ok();
    }
    let series = |words: &[&str], variable: Option<&str>| {
        let mut command = place.command(&[words, &["list", "--json"]].concat());
        let run = command.envs(variable.map(|value| ("SNAP_REPOSITORY", value))).output().unwrap();
        let text = String::from_utf8(run.stdout).unwrap();
        crate::harness::objects(&text)[0]["series"].as_str().unwrap().to_owned()
    };
    assert_eq!(series(&[], None), "default");
    fs::create_dir_all(place.home(".config/snap")).unwrap();
    let profile = format!("[repository]\nrepository = {:?}\n", place.path("profile"));
    fs::write(place.home(".config/snap/default.toml"), profile).unwrap();
    assert_eq!(series(&[], None), "profile");
    place.write("snap.toml", "[repository]\nrepository = \"project\"\n");
    assert_eq!(series(&[], None), "project");
    assert_eq!(series(&[], Some("variable")), "variable");
    assert_eq!(series(&["-r", "flag"], Some("variable")), "flag");
}

#[test]
fn a_repository_may_be_named_by_a_path_upward() {
    let place = Place::empty();
    place.write("z/a", "a");
    place.write("z/sub/snap.toml", "[repository]\nrepository = \"../../zr\"\n");
    place.snap(&["init", "-r", "z/../zr"]).ok();
    let run = |folder: &str, words: &[&str], variable: Option<&str>| {
        let mut command = place.command(words);
        command.current_dir(place.path(folder)).envs(variable.map(|value| ("SNAP_REPOSITORY", value)));
        crate::harness::Run::from(command.output().unwrap())
    };
    run("z", &["-r", "../zr", "push", "."], None).ok();
    run("z", &["push", "."], Some("../zr")).ok();
    run("z/sub", &["push", "."], None).ok();
    // It is left out of what it lies in, however either is spelled.
    for source in ["..", "../../work"] {
        run("z", &["-r", "../zr", "push", source], None).ok();
        let listed = run("z", &["-r", "../zr", "ls", "-R", "latest"], None);
        assert_eq!(listed.ok(), "z\nz/a\nz/sub\nz/sub/snap.toml\n", "{source}");
    }
}

#[test]
fn a_bad_value_names_its_origin() {
    let place = Place::new();
    assert!(place.snap(&["--threads", "none", "list"]).fails(2).contains("--threads"));
    let run = place.command(&["list"]).env("SNAP_MEMORY", "lots").output().unwrap();
    assert!(String::from_utf8(run.stderr).unwrap().contains("SNAP_MEMORY"));
    place.write("snap.toml", "[global]\ncompression = \"extreme\"\n");
    assert!(place.snap(&["list"]).fails(2).contains("compression in "));
    place.write("snap.toml", "[push]\nexlude = [\"*\"]\n");
    let text = place.snap(&["list"]);
    assert!(text.fails(2).contains("snap.toml, line 2") && text.err.contains("exlude"), "{}", text.err);
}

#[test]
fn a_project_says_what_its_pushes_are() {
    let place = Place::new();
    place.write("snap.toml", "[push]\nseries = \"cet\"\ntags = [\"auto\"]\nexclude = [\"*.tmp\"]\n");
    place.write("d/keep", "k");
    place.write("d/drop.tmp", "t");
    place.push(&["d", "--tag", "typed"]);
    let listed = place.snap(&["list", "--json"]).objects().pop().unwrap();
    assert_eq!((&listed["series"], &listed["tags"]), (&"cet".into(), &serde_json::json!(["auto", "typed"])));
    assert_eq!(listed["summary"]["total_files_processed"], 1);
}

#[test]
fn a_profile_that_was_asked_for_must_be_there() {
    let place = Place::new();
    assert!(place.snap(&["-P", "nope", "list"]).fails(2).contains("--profile"));
}

#[test]
fn a_strangers_file_is_refused_as_a_whole_until_it_is_named() {
    let place = Place::new();
    place.snap(&["init", "-r", "elsewhere"]).ok();
    place.write("d/a", "a");
    place.write("snap.toml", "[repository]\nrepository = \"elsewhere\"\n");
    let lists = |location: &str| place.snap(&["-P", "./own.toml", "-r", location, "list", "-q"]).ok().lines().count();
    place.write("own.toml", "");
    let file = place.path("snap.toml");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o666)).unwrap();
    for words in [&["push", "d"][..], &["-r", ".snap", "push", "d"], &["list"]] {
        let run = place.snap(words);
        assert!(run.fails(13).contains("snap.toml can be written by everybody") && run.err.contains("-P "), "{}", run.err);
    }
    assert_eq!((lists(".snap"), lists("elsewhere")), (0, 0));
    place.snap(&["-P", "./snap.toml", "push", "d"]).ok();
    assert_eq!((lists(".snap"), lists("elsewhere")), (0, 1));
    // A name in its place is as good as if it were not there.
    place.snap(&["-P", "./own.toml", "push", "d"]).ok();
    assert_eq!(lists(".snap"), 1);
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
    place.snap(&["push", "d"]).ok();
    assert_eq!(lists("elsewhere"), 2);
    // Only who may give files away can make one of a stranger's.
    if std::os::unix::fs::chown(&file, Some(4321), None).is_ok() {
        assert!(place.snap(&["push", "d"]).fails(13).contains("belongs to user 4321"));
        fs::rename(&file, place.path("theirs")).unwrap();
        std::os::unix::fs::chown(place.path("theirs"), Some(0), None).unwrap();
        std::os::unix::fs::symlink("own.toml", &file).unwrap();
        std::os::unix::fs::lchown(&file, Some(4321), None).unwrap();
        assert!(place.snap(&["push", "d"]).fails(13).contains("belongs to user 4321"), "a link leads where who made it likes");
    }
    assert!(place.snap(&["-P", "./none.toml", "list"]).fails(2).contains("--profile"));
}
