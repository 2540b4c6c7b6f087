//! Reading conditions.

use std::str::FromStr;

use super::{Comparison, Condition, Field, Form};

/// How deep parentheses and `not` may stand within one another.
const DEPTH: usize = 32;

/// Longer ones first, so that `<=` is not read as `<`.
const COMPARISONS: [(&str, Comparison); 9] = [
    ("<=", Comparison::AtMost),
    (">=", Comparison::AtLeast),
    ("!=", Comparison::NotEqual),
    ("!~", Comparison::NotLike),
    ("==", Comparison::Equal),
    ("<", Comparison::Less),
    (">", Comparison::Greater),
    ("=", Comparison::Equal),
    ("~", Comparison::Like),
];

const FIELDS: [(&str, Field); 10] = [
    ("series", Field::Series),
    ("tag", Field::Tag),
    ("ref", Field::Ref),
    ("was-ref", Field::WasRef),
    ("host", Field::Host),
    ("user", Field::User),
    ("path", Field::Path),
    ("description", Field::Description),
    ("files", Field::Files),
    ("bytes", Field::Bytes),
];

/// A text that is no condition.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "'{text}' is no condition, {why}: write one as in 'meta.loss < 0.5' or 'tag = best and not series ~ test-*', with meta.KEY, series, tag, \
     ref, was-ref, host, user, path, description, files or bytes"
)]
pub struct ConditionError {
    text: String,
    why: &'static str,
}

impl FromStr for Condition {
    type Err = ConditionError;

    fn from_str(text: &str) -> Result<Self, ConditionError> {
        let mut parser = Parser { rest: text.trim_start(), depth: 0, open: 0 };
        let form = parser.any().and_then(|form| if parser.rest.is_empty() { Ok(form) } else { Err("something follows its end") });
        form.map(Self).map_err(|why| ConditionError { text: text.to_owned(), why })
    }
}

struct Parser<'t> {
    /// What is not read yet, without blanks before it.
    rest: &'t str,
    depth: usize,
    /// How many parentheses are open.
    open: usize,
}

impl<'t> Parser<'t> {
    fn any(&mut self) -> Result<Form, &'static str> {
        let mut forms = vec![self.all()?];
        while self.word("or") {
            forms.push(self.all()?);
        }
        Ok(if forms.len() == 1 { forms.remove(0) } else { Form::Any(forms) })
    }

    fn all(&mut self) -> Result<Form, &'static str> {
        let mut forms = vec![self.one()?];
        while self.word("and") {
            forms.push(self.one()?);
        }
        Ok(if forms.len() == 1 { forms.remove(0) } else { Form::All(forms) })
    }

    fn one(&mut self) -> Result<Form, &'static str> {
        if self.depth == DEPTH {
            return Err("it is nested too deep");
        }
        self.depth += 1;
        let form = if self.word("not") {
            Form::Not(Box::new(self.one()?))
        } else if self.sign("(") {
            self.open += 1;
            let form = self.any()?;
            if !self.sign(")") {
                return Err("a parenthesis is not closed");
            }
            self.open -= 1;
            form
        } else {
            self.comparison()?
        };
        self.depth -= 1;
        Ok(form)
    }

    fn comparison(&mut self) -> Result<Form, &'static str> {
        let at = self.rest.find(['<', '>', '=', '!', '~']).ok_or("a comparison is missing")?;
        let (name, rest) = self.rest.split_at(at);
        let name = name.trim_end();
        let field = match name.strip_prefix("meta.") {
            Some(key) if !key.is_empty() => Field::Meta(key.to_owned()),
            _ => FIELDS.iter().find(|(known, _)| *known == name).map(|(_, field)| field.clone()).ok_or("what it asks for is unknown")?,
        };
        let found = COMPARISONS.iter().find_map(|(sign, comparison)| Some((rest.strip_prefix(sign)?, *comparison)));
        let (rest, comparison) = found.ok_or("a comparison is missing")?;
        self.rest = rest.trim_start();
        let value = self.value()?;
        Ok(Form::Compare(field, comparison, value.to_owned()))
    }

    /// A quoted text, or all up to `and`, `or`, a closing parenthesis or the end.
    fn value(&mut self) -> Result<&'t str, &'static str> {
        if let Some(quote) = self.rest.chars().next().filter(|c| ['\'', '"'].contains(c)) {
            let (value, rest) = self.rest[1..].split_once(quote).ok_or("a quote is not closed")?;
            self.rest = rest.trim_start();
            return Ok(value);
        }
        let text = self.rest;
        let joins = |rest: &str| {
            ["and", "or"]
                .iter()
                .any(|word| rest.strip_prefix(word).is_some_and(|rest| rest.starts_with(|c: char| c.is_whitespace() || c == '(')))
        };
        let mut blank = false;
        let end = text.char_indices().find(|(at, c)| {
            let ends = (*c == ')' && self.open > 0) || (blank && joins(&text[*at..]));
            blank = c.is_whitespace();
            ends
        });
        let end = end.map_or(text.len(), |(at, _)| at);
        let (value, rest) = text.split_at(end);
        self.rest = rest;
        Ok(value.trim_end())
    }

    fn word(&mut self, word: &str) -> bool {
        let Some(rest) = self.rest.strip_prefix(word).filter(|rest| rest.starts_with(|c: char| c.is_whitespace() || c == '(')) else {
            return false;
        };
        self.rest = rest.trim_start();
        true
    }

    fn sign(&mut self, sign: &str) -> bool {
        let Some(rest) = self.rest.strip_prefix(sign) else { return false };
        self.rest = rest.trim_start();
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(form: &Form) -> String {
        let joined = |forms: &[Form], with: &str| format!("({})", forms.iter().map(shown).collect::<Vec<_>>().join(with));
        match form {
            Form::Any(forms) => joined(forms, " | "),
            Form::All(forms) => joined(forms, " & "),
            Form::Not(form) => format!("!{}", shown(form)),
            Form::Compare(field, comparison, value) => format!("{field:?} {comparison:?} {value}"),
        }
    }

    #[test]
    fn conditions_are_read_as_written() {
        for (text, meant) in [
            ("tag = type=major", "Tag Equal type=major"),
            ("tag==x", "Tag Equal x"),
            (" meta.loss<=-0.5 ", r#"Meta("loss") AtMost -0.5"#),
            ("path ~ */.env", "Path Like */.env"),
            ("series !~ 'a and b'", "Series NotLike a and b"),
            ("tag = a and tag = b or tag = c", "((Tag Equal a & Tag Equal b) | Tag Equal c)"),
            ("tag = a and (tag = b or not tag = c)", "(Tag Equal a & (Tag Equal b | !Tag Equal c))"),
            ("not(ref=x)", "!Ref Equal x"),
            ("description = salt or", "Description Equal salt or"),
            ("description = hand in hand", "Description Equal hand in hand"),
            ("description = hand (left)", "Description Equal hand (left)"),
            ("(description = hand)", "Description Equal hand"),
            ("series = \"x\"", "Series Equal x"),
            ("series = ", "Series Equal "),
            ("was-ref = production", "WasRef Equal production"),
        ] {
            let condition: Condition = text.parse().unwrap_or_else(|error| panic!("{error}"));
            assert_eq!(shown(&condition.0), meant, "{text}");
        }
    }

    #[test]
    fn what_is_none_is_refused() {
        let deep = "(".repeat(10_000) + "tag = a";
        let not = "not ".repeat(10_000) + "tag = a";
        for text in
            ["", "tag", "meta. < 1", "loss < 1", "tag ! x", "(tag = a", "tag = 'a", "tag = 'a' b", "tag = a and pepper", &deep, &not]
        {
            assert!(text.parse::<Condition>().is_err(), "{text}");
        }
        assert!("loss < 1".parse::<Condition>().unwrap_err().to_string().contains("unknown"));
    }
}
