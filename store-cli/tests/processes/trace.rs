//! What strace writes down: which calls were begun and ended, by which thread, in which order.

use std::collections::HashMap;

/// A line of the record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Event {
    /// A call is entered.
    Begin { thread: u32, call: String, words: String },
    /// A call has returned what is after its last `=`.
    End { thread: u32, call: String, words: String, result: String },
}

/// The events of a record that `strace -f -o` wrote, in order. A call that returned before anything else happened is two events.
pub(crate) fn events(record: &str) -> Vec<Event> {
    let mut found = Vec::new();
    let mut unfinished: HashMap<u32, String> = HashMap::new();
    for line in record.lines() {
        let Some((thread, rest)) = line.split_once(' ') else { continue };
        let Ok(thread) = thread.parse() else { continue };
        let rest = rest.trim_start();
        if let Some(resumed) = rest.strip_prefix("<... ") {
            let Some((call, tail)) = resumed.split_once(" resumed>") else { continue };
            let words = unfinished.remove(&thread).unwrap_or_default() + tail;
            found.push(end(thread, call, &words));
        } else if let Some((call, words)) = rest.split_once('(') {
            if !call.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
                continue;
            }
            let (words, whole) = words.split_once(" <unfinished ...>").map_or((words, true), |(words, _)| (words, false));
            found.push(Event::Begin { thread, call: call.to_owned(), words: words.to_owned() });
            if whole {
                found.push(end(thread, call, words));
            } else {
                unfinished.insert(thread, words.to_owned());
            }
        }
    }
    found
}

fn end(thread: u32, call: &str, words: &str) -> Event {
    let (words, result) = words.rsplit_once(" = ").unwrap_or((words, ""));
    Event::End { thread, call: call.to_owned(), words: words.trim_end().trim_end_matches(')').to_owned(), result: result.to_owned() }
}

/// The strings between quotes among the words of a call.
pub(crate) fn quoted(words: &str) -> Vec<&str> {
    words.split('"').skip(1).step_by(2).collect()
}

/// The path that `strace -y` writes behind the first descriptor.
pub(crate) fn path_of_descriptor(words: &str) -> Option<&str> {
    let (_, rest) = words.split_once('<')?;
    rest.split_once('>').map(|(path, _)| path.trim_end_matches("(deleted)"))
}

#[test]
fn calls_that_others_interrupt_are_put_together_again() {
    let record = "7 fsync(3</r/packs> <unfinished ...>\n8 linkat(AT_FDCWD</>, \"/r/a\", AT_FDCWD</>, \"/r/b\", 0) = 0\n7 <... fsync resumed>) = 0\n7 +++ exited with 0 +++\n";
    let events = events(record);
    assert_eq!(events.len(), 4);
    assert_eq!(events[0], Event::Begin { thread: 7, call: "fsync".into(), words: "3</r/packs>".into() });
    let Event::End { words, result, .. } = &events[2] else { panic!("{events:?}") };
    assert_eq!((quoted(words), result.as_str()), (vec!["/r/a", "/r/b"], "0"));
    let Event::End { words, .. } = &events[3] else { panic!("{events:?}") };
    assert_eq!(path_of_descriptor(words), Some("/r/packs"));
}
