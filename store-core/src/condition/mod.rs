//! L2: conditions over snapshots, as in `--where 'meta.loss < 0.5'` and in the rules of a retention policy. The language is written down in
//! `spec/RETENTION.md`, section 2. A condition says of each snapshot whether it holds, and never fails.

mod parse;

use std::borrow::Cow;
use std::cmp::Ordering;

pub use parse::ConditionError;

use crate::notes::StoredSnapshot;

/// A condition: comparisons joined by `and`, `or`, `not` and parentheses.
///
/// A comparison is one of numbers when both sides are numbers, else of texts; but metadata that is no number is neither less nor greater than one.
/// What a snapshot has several of, or none, fulfils `!=` and `!~` when no one of them is equal or matches, and all others when at least one does.
/// A value that is not a number (NaN) equals only another such.
///
/// [`FromStr`](std::str::FromStr) reads what somebody writes now and refuses what can hardly be meant; [`Condition::stored`] reads the same, and
/// what was stored before that was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Condition(Form);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Form {
    Any(Vec<Form>),
    All(Vec<Form>),
    Not(Box<Form>),
    Compare(Field, Comparison, String),
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Field {
    Meta(String),
    Series,
    Tag,
    Ref,
    WasRef,
    Host,
    User,
    Path,
    Description,
    Files,
    Bytes,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Comparison {
    Less,
    AtMost,
    Equal,
    NotEqual,
    AtLeast,
    Greater,
    Like,
    NotLike,
}

impl Condition {
    /// Whether it holds for `stored`.
    pub fn holds(&self, stored: &StoredSnapshot) -> bool {
        self.0.holds(stored)
    }

    /// Whether it asks for refs that a snapshot had.
    pub fn asks_was_ref(&self) -> bool {
        self.0.asks_was_ref(None)
    }

    /// The refs among those that `stored` had that it asks for with `was-ref`.
    pub fn left_refs<'s>(&'s self, stored: &'s StoredSnapshot) -> impl Iterator<Item = &'s str> {
        let left = stored.standing.left.keys().map(String::as_str);
        left.filter(|name| self.0.asks_was_ref(Some(name)))
    }
}

impl Form {
    fn holds(&self, stored: &StoredSnapshot) -> bool {
        match self {
            Self::Any(forms) => forms.iter().any(|form| form.holds(stored)),
            Self::All(forms) => forms.iter().all(|form| form.holds(stored)),
            Self::Not(form) => !form.holds(stored),
            Self::Compare(field, comparison, value) => {
                let mut found = field.values(stored);
                // A loss of `n/a` is not greater than 0.5, though its first letter is.
                if matches!(field, Field::Meta(_)) && comparison.orders() && value.parse::<f64>().is_ok() {
                    found.retain(|found| found.trim().parse::<f64>().is_ok());
                }
                comparison.holds(&found, value)
            }
        }
    }

    /// Whether it asks for a ref that a snapshot had, or for that of this name.
    fn asks_was_ref(&self, name: Option<&str>) -> bool {
        match self {
            Self::Any(forms) | Self::All(forms) => forms.iter().any(|form| form.asks_was_ref(name)),
            Self::Not(_) => false,
            Self::Compare(field, comparison, value) => {
                *field == Field::WasRef && name.is_none_or(|name| comparison.holds(&[name.into()], value))
            }
        }
    }
}

impl Field {
    fn values<'s>(&self, stored: &'s StoredSnapshot) -> Vec<Cow<'s, str>> {
        let snapshot = &stored.snapshot;
        let optional = |text: Option<&'s String>| text.map(|text| Cow::from(text.as_str())).into_iter().collect();
        match self {
            Self::Meta(key) => optional(snapshot.meta.get(key)),
            Self::Series => optional(snapshot.series.as_ref()),
            Self::Description => optional(snapshot.description.as_ref()),
            Self::Host => vec![Cow::from(snapshot.host.as_str())],
            Self::User => vec![Cow::from(snapshot.user.as_str())],
            Self::Files => vec![Cow::from(snapshot.totals.files.to_string())],
            Self::Bytes => vec![Cow::from(snapshot.totals.bytes.to_string())],
            Self::Tag => snapshot.tags.iter().map(|tag| Cow::from(tag.as_str())).collect(),
            Self::Ref => snapshot.refs.iter().map(|name| Cow::from(name.as_str())).collect(),
            Self::WasRef => stored.standing.left.keys().map(|name| Cow::from(name.as_str())).collect(),
            Self::Path => snapshot.paths.iter().map(|path| String::from_utf8_lossy(path)).collect(),
        }
    }
}

impl Comparison {
    /// Whether it asks for an order.
    fn orders(self) -> bool {
        matches!(self, Self::Less | Self::AtMost | Self::AtLeast | Self::Greater)
    }

    fn holds(self, found: &[Cow<'_, str>], value: &str) -> bool {
        let any = |fits: fn(Ordering) -> bool| found.iter().any(|found| compare(found, value).is_some_and(fits));
        match self {
            Self::Less => any(Ordering::is_lt),
            Self::AtMost => any(Ordering::is_le),
            Self::Equal => any(Ordering::is_eq),
            Self::NotEqual => !any(Ordering::is_eq),
            Self::AtLeast => any(Ordering::is_ge),
            Self::Greater => any(Ordering::is_gt),
            Self::Like => found.iter().any(|found| is_like(found, value)),
            Self::NotLike => !found.iter().any(|found| is_like(found, value)),
        }
    }
}

fn compare(found: &str, value: &str) -> Option<Ordering> {
    match (found.trim().parse::<f64>(), value.parse::<f64>()) {
        (Ok(found), Ok(value)) if found.is_nan() && value.is_nan() => Some(Ordering::Equal),
        (Ok(found), Ok(value)) => found.partial_cmp(&value),
        _ => Some(found.cmp(value)),
    }
}

/// Whether a text matches a pattern in which `*` stands for any characters and `?` for one. Takes time of their product at most.
fn is_like(text: &str, pattern: &str) -> bool {
    let (text, pattern): (Vec<char>, Vec<char>) = (text.chars().collect(), pattern.chars().collect());
    let (mut t, mut p) = (0, 0);
    // Where the last `*` is, and how much of the text it stands for.
    let mut star: Option<(usize, usize)> = None;
    while t < text.len() {
        match pattern.get(p) {
            Some('*') => {
                star = Some((p, t));
                p += 1;
            }
            Some(c) if *c == '?' || *c == text[t] => (t, p) = (t + 1, p + 1),
            _ => match star {
                Some((at, taken)) => {
                    star = Some((at, taken + 1));
                    (t, p) = (taken + 1, at + 1);
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|c| *c == '*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_as_written() {
        for (text, pattern, matches) in [
            ("", "", true),
            ("", "*", true),
            ("", "?", false),
            ("abc", "abc", true),
            ("abc", "a?c", true),
            ("abc", "*c", true),
            ("abc", "*b", false),
            ("/srv/app/.env", "*/.env", true),
            ("/srv/app/.env.old", "*/.env", false),
            ("aXbXc", "a*X*c", true),
            ("tête", "t?te", true),
        ] {
            assert_eq!(is_like(text, pattern), matches, "{text} {pattern}");
        }
        assert!(!is_like(&"a".repeat(2000), &("*a".repeat(1000) + "b")));
    }
}
