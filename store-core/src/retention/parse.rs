//! A policy as TOML.

use std::str::FromStr;

use serde::Deserialize;

use super::{Count, GroupBy, Policy, RelativeTo, Rule, Span, Windows};
use crate::base::units::KIB;
use crate::condition::{Condition, ConditionError};

/// Longest text.
const TEXT_LEN: usize = 64 * KIB;

/// A text that is no policy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {why}")]
pub struct PolicyError {
    place: String,
    why: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Keys {
    #[serde(default)]
    retention: Vec<RuleKeys>,
    group_by: Option<String>,
    trash: Option<String>,
    zone: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct RuleKeys {
    name: Option<String>,
    r#match: Option<String>,
    keep: Option<bool>,
    keep_last: Option<Number>,
    keep_within: Option<String>,
    keep_hourly: Option<Number>,
    keep_daily: Option<Number>,
    keep_weekly: Option<Number>,
    keep_monthly: Option<Number>,
    keep_yearly: Option<Number>,
    keep_within_hourly: Option<String>,
    keep_within_daily: Option<String>,
    keep_within_weekly: Option<String>,
    keep_within_monthly: Option<String>,
    keep_within_yearly: Option<String>,
    min_keep: Option<u32>,
    relative_to: Option<RelativeTo>,
    group_by: Option<String>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Number {
    Of(i64),
    Text(String),
}

impl<'de> Deserialize<'de> for RelativeTo {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match String::deserialize(deserializer)?.as_str() {
            "latest" => Ok(Self::Latest),
            "now" => Ok(Self::Now),
            "ref" => Ok(Self::Ref),
            other => Err(serde::de::Error::custom(format!("relative-to is '{other}', and can be latest, now or ref"))),
        }
    }
}

impl FromStr for Count {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.trim() {
            "unlimited" | "-1" => Ok(Self::Unlimited),
            other => other.parse().map(Self::Of).map_err(|_| format!("'{text}' is no number of snapshots: write 10, or unlimited")),
        }
    }
}

impl FromStr for Policy {
    type Err = PolicyError;

    fn from_str(text: &str) -> Result<Self, PolicyError> {
        Self::read(text, |text| text.parse())
    }
}

/// How a condition is read.
type ReadCondition = fn(&str) -> Result<Condition, ConditionError>;

impl Policy {
    /// Reads a policy that is stored, with the conditions as they were read when it was stored.
    ///
    /// # Errors
    /// When the text is no policy.
    pub fn stored(text: &str) -> Result<Self, PolicyError> {
        Self::read(text, Condition::stored)
    }

    fn read(text: &str, condition: ReadCondition) -> Result<Self, PolicyError> {
        let wrong = |place: String, why: String| PolicyError { place, why };
        if text.len() > TEXT_LEN {
            return Err(wrong("the policy".into(), format!("it has {} bytes, and {TEXT_LEN} is the most", text.len())));
        }
        let keys: Keys = toml::from_str(text).map_err(|error| {
            let line =
                error.span().map_or(1, |span| text.as_bytes()[..span.start.min(text.len())].iter().filter(|c| **c == b'\n').count() + 1);
            wrong(format!("line {line}"), plain(error.message()))
        })?;
        let whole = |why: String| wrong("the policy".into(), why);
        let group_by = keys.group_by.map_or(Ok(GroupBy::Line), |text| text.parse()).map_err(|error| whole(format!("group-by: {error}")))?;
        let trash = keys.trash.map(|text| text.parse()).transpose().map_err(|error| whole(format!("trash: {error}")))?;
        if keys.retention.is_empty() {
            return Err(whole("it has no rule: begin one with [[retention]]".into()));
        }
        let rules = keys.retention.into_iter().enumerate().map(|(number, keys)| {
            let title = keys.name.as_ref().map_or_else(|| format!("rule {}", number + 1), |name| format!("rule {} ({name})", number + 1));
            rule(keys, group_by, condition).map_err(|why| wrong(title, why))
        });
        Ok(Self { rules: rules.collect::<Result<_, _>>()?, group_by, trash, zone: keys.zone })
    }
}

/// What the TOML reader says, in words of TOML.
fn plain(message: &str) -> String {
    let message = message.replace('\n', " ");
    if message.contains("untagged enum") {
        return "a number, or \"unlimited\", is expected here".into();
    }
    let wrong = message.strip_prefix("invalid type: ").or_else(|| message.strip_prefix("invalid value: "));
    let Some((found, expected)) = wrong.and_then(|wrong| wrong.split_once(", expected ")) else { return message };
    let found = match found.split_once(' ') {
        _ if found == "map" => "a table".to_owned(),
        _ if found == "sequence" => "a list".to_owned(),
        Some(("string", text)) => format!("the text {text}"),
        Some((_, value)) if value.contains('`') => value.split('`').nth(1).unwrap_or(value).to_owned(),
        _ => found.to_owned(),
    };
    let expected = match expected {
        "a sequence" => "a list, each rule of which begins with [[retention]],",
        "a string" => "a text in quotes",
        "a boolean" => "true or false",
        // What of numbers is too large for the reader of TOML is nothing else that a count could be.
        "any value" => "a number from 0 to 4294967295, or \"unlimited\",",
        "u32" => "a number from 0 to 4294967295",
        other if other.starts_with("struct ") => "a table",
        other => other,
    };
    format!("{expected} is expected here, and this is {found}")
}

fn rule(keys: RuleKeys, group_by: GroupBy, condition: ReadCondition) -> Result<Rule, String> {
    let count = |name: &str, value: Option<Number>| match value {
        None => Ok(None),
        Some(Number::Of(-1)) => Ok(Some(Count::Unlimited)),
        Some(Number::Of(number)) => u32::try_from(number).map(|n| Some(Count::Of(n))).map_err(|_| format!("{name} cannot be {number}")),
        Some(Number::Text(text)) => text.parse().map(Some).map_err(|error| format!("{name}: {error}")),
    };
    let span =
        |name: &str, value: Option<String>| value.map(|text| text.parse::<Span>().map_err(|error| format!("{name}: {error}"))).transpose();
    let windows = Windows {
        all: keys.keep,
        last: count("keep-last", keys.keep_last)?,
        within: span("keep-within", keys.keep_within)?,
        counts: [
            count("keep-hourly", keys.keep_hourly)?,
            count("keep-daily", keys.keep_daily)?,
            count("keep-weekly", keys.keep_weekly)?,
            count("keep-monthly", keys.keep_monthly)?,
            count("keep-yearly", keys.keep_yearly)?,
        ],
        within_each: [
            span("keep-within-hourly", keys.keep_within_hourly)?,
            span("keep-within-daily", keys.keep_within_daily)?,
            span("keep-within-weekly", keys.keep_within_weekly)?,
            span("keep-within-monthly", keys.keep_within_monthly)?,
            span("keep-within-yearly", keys.keep_within_yearly)?,
        ],
        min_keep: keys.min_keep,
        tags: Vec::new(),
    };
    if windows.is_empty() {
        return Err("it says nothing of what is kept: give keep = true, keep-last, keep-within or another of keep-*".into());
    }
    let matching: Option<Condition> = keys.r#match.map(|text| condition(&text)).transpose().map_err(|error| format!("match: {error}"))?;
    let relative_to = keys.relative_to.unwrap_or_default();
    if relative_to == RelativeTo::Ref {
        let by_period = windows.counts.iter().any(Option::is_some) || windows.within_each.iter().any(Option::is_some);
        if windows.within.is_none() || by_period {
            return Err("relative-to = \"ref\" goes with keep-within and with no window by hours, days, weeks, months or years".into());
        }
        if !matching.as_ref().is_some_and(Condition::asks_was_ref) {
            return Err("relative-to = \"ref\" needs a match that asks for was-ref, as in match = \"was-ref = production\"".into());
        }
    }
    let group_by = keys.group_by.map_or(Ok(group_by), |text| text.parse()).map_err(|error| format!("group-by: {error}"))?;
    Ok(Rule { name: keys.name, matching, windows, relative_to, group_by })
}
