//! `--where 'meta.loss < 0.5'`: comparing what a snapshot says of itself.

use std::cmp::Ordering;
use std::str::FromStr;

use crate::error::{Error, ErrorKind};
use crate::format::snapshot::Snapshot;

/// A comparison of one value of a snapshot with a given one: as numbers when both are numbers, else as text.
///
/// A snapshot that lacks the value fulfils `!=` alone. A value that is not a number (NaN) equals only another such.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Condition {
    field: Field,
    comparison: Comparison,
    value: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Field {
    Meta(String),
    Series,
    Host,
    User,
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
}

/// Longer ones first, so that `<=` is not read as `<`.
const COMPARISONS: [(&str, Comparison); 7] = [
    ("<=", Comparison::AtMost),
    (">=", Comparison::AtLeast),
    ("!=", Comparison::NotEqual),
    ("==", Comparison::Equal),
    ("<", Comparison::Less),
    (">", Comparison::Greater),
    ("=", Comparison::Equal),
];

impl Condition {
    /// Whether it holds for `snapshot`.
    pub fn holds(&self, snapshot: &Snapshot) -> bool {
        let number;
        let found = match &self.field {
            Field::Meta(key) => snapshot.meta.get(key).map(String::as_str),
            Field::Series => snapshot.series.as_deref(),
            Field::Host => Some(snapshot.host.as_str()),
            Field::User => Some(snapshot.user.as_str()),
            Field::Description => snapshot.description.as_deref(),
            Field::Files => {
                number = snapshot.totals.files.to_string();
                Some(number.as_str())
            }
            Field::Bytes => {
                number = snapshot.totals.bytes.to_string();
                Some(number.as_str())
            }
        };
        let order = found.and_then(|found| compare(found, &self.value));
        match self.comparison {
            Comparison::Less => order == Some(Ordering::Less),
            Comparison::AtMost => matches!(order, Some(Ordering::Less | Ordering::Equal)),
            Comparison::Equal => order == Some(Ordering::Equal),
            Comparison::NotEqual => order != Some(Ordering::Equal),
            Comparison::AtLeast => matches!(order, Some(Ordering::Greater | Ordering::Equal)),
            Comparison::Greater => order == Some(Ordering::Greater),
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

impl FromStr for Condition {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let wrong = || {
            let fields = "meta.KEY, series, host, user, description, files or bytes";
            Error::new(ErrorKind::Usage, format!("'{text}' is no condition: write one as in 'meta.loss < 0.5', with {fields}"))
        };
        let at = text.find(['<', '>', '=', '!']).ok_or_else(wrong)?;
        let (field, rest) = text.split_at(at);
        let found = COMPARISONS.iter().find_map(|(sign, comparison)| Some((rest.strip_prefix(sign)?, *comparison)));
        let (value, comparison) = found.ok_or_else(wrong)?;
        let field = match field.trim() {
            "series" => Field::Series,
            "host" => Field::Host,
            "user" => Field::User,
            "description" => Field::Description,
            "files" => Field::Files,
            "bytes" => Field::Bytes,
            other => match other.strip_prefix("meta.") {
                Some(key) if !key.is_empty() => Field::Meta(key.to_owned()),
                _ => return Err(wrong()),
            },
        };
        let value = value.trim();
        let quoted = ['\'', '"'].iter().find_map(|quote| value.strip_prefix(*quote)?.strip_suffix(*quote));
        Ok(Self { field, comparison, value: quoted.unwrap_or(value).to_owned() })
    }
}
