use std::io::Write;
use std::process::Stdio;

use crate::harness::{Place, Run, noise};

fn push_stdin(place: &Place, bytes: &[u8], args: &[&str]) -> Run {
    let words = [&["push", "-"], args].concat();
    let mut child = place.command(&words).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(bytes).unwrap();
    child.wait_with_output().unwrap().into()
}

#[test]
fn standard_input_comes_back_on_standard_output() {
    let place = Place::new();
    let bytes = noise(7, 2_500_000);
    push_stdin(&place, &bytes, &["--stdin-filename", "db/app.sql", "--series", "app"]).ok();
    let dumped = place.command(&["dump", "--series", "app", "latest:db/app.sql"]).output().unwrap();
    assert!(dumped.status.success() && dumped.stdout == bytes);
    push_stdin(&place, b"x", &[]).ok();
    assert_eq!(place.snap(&["cat", "latest:stdin"]).ok(), "x");
}

#[test]
fn what_a_program_prints_is_kept() {
    let place = Place::new();
    place.snap(&["push", "--stdin-from-command", "--stdin-filename", "o", "--", "sh", "-c", "echo one; echo two"]).ok();
    assert_eq!(place.snap(&["dump", "latest:o"]).ok(), "one\ntwo\n");
}

#[test]
fn a_program_that_fails_makes_no_snapshot() {
    let place = Place::new();
    let run = place.snap(&["push", "--stdin-from-command", "--", "sh", "-c", "echo half; exit 7"]);
    assert!(run.fails(1).contains('7'), "{}", run.err);
    assert_eq!(place.snap(&["list", "-q"]).ok(), "");
    place.snap(&["push", "--stdin-from-command", "--", "no-such-program"]).fails(1);
}

#[test]
fn a_folder_is_dumped_as_tar() {
    let place = Place::new();
    place.write("d/a", "hello");
    place.push(&["d"]);
    let tar = place.command(&["dump", "latest"]).output().unwrap().stdout;
    assert_eq!(&tar[257..262], b"ustar");
}

#[test]
fn whoever_stops_reading_is_not_told_off() {
    let place = Place::new();
    place.write("d/a", noise(3, 4_000_000));
    place.push(&["d"]);
    let mut child = place.command(&["dump", "latest:a"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let run = child.wait_with_output().unwrap();
    assert_eq!((run.status.code(), run.stderr.as_slice()), (Some(0), &b""[..]));
}

#[test]
fn several_programs_make_one_snapshot() {
    let place = Place::new();
    let printing = |text: &str| format!("printf '%s\\n' {text}");
    let (one, two, three) =
        (format!("db/b.sql={}", printing("two")), format!("db/a.sql={}", printing("one")), format!("z={}", printing("'a b'")));
    place.snap(&["push", "--command", &one, "--command", &two, "--command", &three, "--series", "app"]).ok();
    assert_eq!(place.snap(&["ls", "-R", "--series", "app", "latest"]).ok(), "db\ndb/a.sql\ndb/b.sql\nz\n");
    for (path, text) in [("db/a.sql", "one\n"), ("db/b.sql", "two\n"), ("z", "a b\n")] {
        assert_eq!(place.snap(&["dump", &format!("latest:{path}")]).ok(), text);
    }
}

#[test]
fn one_program_of_several_that_fails_makes_no_snapshot() {
    let place = Place::new();
    for failing in ["b=sh -c 'echo half; exit 7'", "b=false", "b=no-such-program", "a/x=true", "b='"] {
        let run = place.snap(&["push", "--command", "a=echo well", "--command", failing, "--command", "c=echo well"]);
        let usage = failing.starts_with("a/x") || failing.ends_with("='");
        run.fails(if usage { 2 } else { 1 });
    }
    assert!(place.snap(&["push", "--command", "b=sh -c 'exit 7'"]).fails(1).contains('7'));
    assert_eq!(place.snap(&["list", "-q"]).ok(), "");
    assert_eq!(std::fs::read_dir(place.path(".snap/sessions")).unwrap().count(), 0);
}

#[test]
fn what_is_required_must_be_there() {
    let place = Place::new();
    place.write("d/sub/model.safetensors", noise(3, 1000));
    place.write("d/notes.txt", "x");
    for unmet in [&["--require", "*.gguf"][..], &["--require", "*.txt", "--require", "/model.safetensors"], &["--require", "sub"]] {
        let run = place.snap(&[&["push", "d"], unmet].concat());
        assert!(run.fails(1).contains("no snapshot"), "{}", run.err);
    }
    place.snap(&["push", "d", "--require", "["]).fails(2);
    assert_eq!(place.snap(&["list", "-q"]).ok(), "");
    let words = ["push", "d", "--require", "*.safetensors", "--require", "sub/*", "--require", "/notes.txt"];
    place.snap(&words).ok();
    // What is taken over unread is there, too.
    place.snap(&words).ok();
    place.snap(&["push", "--command", "app.sql=echo x", "--require", "*.sql"]).ok();
}

#[test]
fn a_push_is_verified_before_it_is_reported() {
    let place = Place::new();
    place.write("d/a", noise(9, 3_000_000));
    place.snap(&["push", "d", "--verify"]).ok();
    place.write("d/a", noise(10, 3_000_000));
    let id = place.push(&["d", "--verify", "--base", "latest"]);
    assert_eq!(place.snap(&["list", "-q"]).ok().lines().last(), Some(id.as_str()));
    place.snap(&["push", "d", "--base", "nothing"]).fails(2);
}

#[test]
fn a_list_of_files_may_have_patterns() {
    let place = Place::new();
    for name in ["d/a.bin", "d/b.bin", "d/c.txt", "e/f"] {
        place.write(name, name);
    }
    place.write("list", "# what is kept\n\nd/*.bin\ne\n");
    place.snap(&["push", "--files-from", "list"]).ok();
    assert_eq!(place.snap(&["ls", "-R", "latest"]).ok(), "a.bin\nb.bin\ne\ne/f\n");
    place.write("list", "d/*.none\n");
    place.snap(&["push", "--files-from", "list"]).fails(3);
}
