//! Texts with terms (`spec/NOTES.md`, section 3): one line for people, and behind it lines of `name=value`.

use std::fmt::Write as _;

use crate::format::record::Time;

/// How long a forgotten snapshot stays in the trash unless its note says otherwise, in seconds: 7 days.
pub const DEFAULT_TRASH: u64 = 7 * 24 * 3600;

const TRASH: &str = "trash";
const UNTIL: &str = "until";

/// The reason of a forgetting with its trash time in seconds.
pub(super) fn forget_reason(reason: &str, trash: u64) -> String {
    let reason = one_line(reason);
    if trash == DEFAULT_TRASH { reason } else { format!("{reason}\n{TRASH}={trash}") }
}

/// The reason of a pin that holds until then, or for ever. `None` when there is nothing to say.
pub fn pin_reason(reason: Option<&str>, until: Option<Time>) -> Option<String> {
    let reason = reason.map(one_line);
    match until {
        None => reason,
        Some(until) => Some(format!("{}\n{UNTIL}={}", reason.unwrap_or_default(), until.seconds)),
    }
}

/// What [`forget_reason`] put together.
pub(super) fn read_forget(text: &str) -> (&str, u64) {
    let (reason, terms) = split(text);
    (reason, term(terms, TRASH).and_then(|value| value.parse().ok()).unwrap_or(DEFAULT_TRASH))
}

/// What [`pin_reason`] put together.
pub(super) fn read_pin(text: Option<&str>) -> (Option<&str>, Option<Time>) {
    let Some(text) = text else { return (None, None) };
    let (reason, terms) = split(text);
    let until = term(terms, UNTIL).and_then(|value| value.parse().ok()).map(|seconds| Time { seconds, nanos: 0 });
    (Some(reason).filter(|reason| !reason.is_empty()), until)
}

fn one_line(text: &str) -> String {
    text.replace(['\n', '\r'], " ")
}

pub(super) fn split(text: &str) -> (&str, &str) {
    text.split_once('\n').unwrap_or((text, ""))
}

/// The value of the first term of that name.
pub(super) fn term<'t>(terms: &'t str, name: &str) -> Option<&'t str> {
    all(terms, name).next()
}

/// The values of all terms of that name.
pub(super) fn all<'t>(terms: &'t str, name: &str) -> impl Iterator<Item = &'t str> {
    terms.lines().filter_map(|line| line.split_once('=')).filter(move |(found, _)| *found == name).map(|(_, value)| value)
}

/// A text as it stands in a term: on one line.
pub(super) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        if c == '%' || c.is_ascii_control() {
            let _ = write!(escaped, "%{:02x}", u32::from(c));
        } else {
            escaped.push(c);
        }
    }
    escaped
}

/// What [`escape`] wrote; `None` when that is no text.
pub(super) fn unescape(value: &str) -> Option<String> {
    let mut parts = value.split('%');
    let mut bytes = parts.next()?.as_bytes().to_vec();
    for part in parts {
        let (digits, rest) = part.split_at_checked(2)?;
        if !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return None;
        }
        bytes.push(u8::from_str_radix(digits, 16).ok()?);
        bytes.extend_from_slice(rest.as_bytes());
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn terms_come_back_and_what_is_unknown_is_passed_over() {
        assert_eq!(read_forget(&forget_reason("rule 1:\nold", 0)), ("rule 1: old", 0));
        assert_eq!(forget_reason("old", DEFAULT_TRASH), "old");
        assert_eq!(read_forget("old\nfuture=yes\ntrash=5\n"), ("old", 5));
        assert_eq!(read_forget("old\ntrash=-1"), ("old", DEFAULT_TRASH));
        let until = Some(Time { seconds: -5, nanos: 0 });
        assert_eq!(read_pin(pin_reason(None, until).as_deref()), (None, until));
        assert_eq!(read_pin(pin_reason(Some("audit"), until).as_deref()), (Some("audit"), until));
        assert_eq!((pin_reason(None, None), read_pin(Some("why"))), (None, (Some("why"), None)));
    }
}
