//! Reading conditions.

use std::borrow::Cow;
use std::str::FromStr;

use super::{Comparison, Condition, Field, Form};
use crate::base::units::parse_size;

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
    why: Why,
}

/// Why a text is no condition.
type Why = Cow<'static, str>;

impl FromStr for Condition {
    type Err = ConditionError;

    fn from_str(text: &str) -> Result<Self, ConditionError> {
        Self::read(text, Words::Checked)
    }
}

impl Condition {
    /// Reads a condition that is stored: as one that is written now, or, what would be refused now, as it was read when it was stored: a value
    /// without quotes reaches to the next `and`, `or`, closing parenthesis or the end, whatever it is.
    ///
    /// # Errors
    /// When the text is no condition.
    pub fn stored(text: &str) -> Result<Self, ConditionError> {
        text.parse().or_else(|_| Self::read(text, Words::Taken))
    }

    fn read(text: &str, words: Words) -> Result<Self, ConditionError> {
        let mut parser = Parser { rest: text.trim_start(), depth: 0, open: 0, words };
        let form = parser.any().and_then(|form| parser.end().map(|()| form));
        form.map(Self).map_err(|why| ConditionError { text: text.to_owned(), why })
    }
}

/// What becomes of a value without quotes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Words {
    /// It is one word, and one that can be meant.
    Checked,
    /// All of it is the value.
    Taken,
}

struct Parser<'t> {
    /// What is not read yet, without blanks before it.
    rest: &'t str,
    depth: usize,
    /// How many parentheses are open.
    open: usize,
    words: Words,
}

impl<'t> Parser<'t> {
    fn any(&mut self) -> Result<Form, Why> {
        let mut forms = vec![self.all()?];
        while self.word("or") {
            forms.push(self.all()?);
        }
        Ok(if forms.len() == 1 { forms.remove(0) } else { Form::Any(forms) })
    }

    fn all(&mut self) -> Result<Form, Why> {
        let mut forms = vec![self.one()?];
        while self.word("and") {
            forms.push(self.one()?);
        }
        Ok(if forms.len() == 1 { forms.remove(0) } else { Form::All(forms) })
    }

    fn one(&mut self) -> Result<Form, Why> {
        if self.depth == DEPTH {
            return Err("it is nested too deep".into());
        }
        self.depth += 1;
        let form = if self.word("not") {
            Form::Not(Box::new(self.one()?))
        } else if self.sign("(") {
            self.open += 1;
            let form = self.any()?;
            if !self.sign(")") {
                return Err(if self.rest.is_empty() { "a parenthesis is not closed".into() } else { left_over(self.rest) });
            }
            self.open -= 1;
            form
        } else {
            self.comparison()?
        };
        self.depth -= 1;
        Ok(form)
    }

    fn end(&self) -> Result<(), Why> {
        if self.rest.is_empty() { Ok(()) } else { Err(left_over(self.rest)) }
    }

    fn comparison(&mut self) -> Result<Form, Why> {
        let at = self.rest.find(['<', '>', '=', '!', '~']).ok_or(Why::Borrowed("a comparison is missing"))?;
        let (name, rest) = self.rest.split_at(at);
        let name = name.trim_end();
        let field = match name.strip_prefix("meta.") {
            Some(key) if !key.is_empty() => Field::Meta(key.to_owned()),
            _ => FIELDS
                .iter()
                .find(|(known, _)| *known == name)
                .map(|(_, field)| field.clone())
                .ok_or(Why::Borrowed("what it asks for is unknown"))?,
        };
        let found = COMPARISONS.iter().find_map(|(sign, comparison)| Some((rest.strip_prefix(sign)?, *comparison)));
        let (rest, comparison) = found.ok_or(Why::Borrowed("a comparison is missing"))?;
        self.rest = rest.trim_start();
        let quoted = self.rest.starts_with(['\'', '"']);
        let value = self.value()?;
        let value = if self.words == Words::Checked { checked(&field, comparison, value, quoted)? } else { value.to_owned() };
        Ok(Form::Compare(field, comparison, value))
    }

    /// A quoted text; or a word; or, of what is stored, all up to `and`, `or`, a closing parenthesis or the end.
    fn value(&mut self) -> Result<&'t str, Why> {
        if let Some(quote) = self.rest.chars().next().filter(|c| ['\'', '"'].contains(c)) {
            let (value, rest) = self.rest[1..].split_once(quote).ok_or(Why::Borrowed("a quote is not closed"))?;
            self.rest = rest.trim_start();
            return Ok(value);
        }
        let text = self.rest;
        if self.words == Words::Checked {
            let ends = |c: char| c.is_whitespace() || (c == ')' && self.open > 0);
            let (value, rest) = text.split_at(text.find(ends).unwrap_or(text.len()));
            self.rest = rest.trim_start();
            return if ["", "and", "or"].contains(&value) { Err("a value is missing: '' is the empty text".into()) } else { Ok(value) };
        }
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

/// What stands where the end, or `and` or `or`, should.
fn left_over(rest: &str) -> Why {
    if ["and", "or"].contains(&rest.trim_end()) {
        return format!("nothing follows its last '{}'", rest.trim_end()).into();
    }
    format!("'{rest}' is left over: join comparisons by and, or; and put a value with blanks in quotes").into()
}

/// A value as it is compared, refused where no snapshot could be meant by it.
fn checked(field: &Field, comparison: Comparison, value: &str, quoted: bool) -> Result<String, Why> {
    if !quoted && (value.contains(['<', '>']) || value.contains("&&") || value.contains("||")) {
        return Err(format!("'{value}' holds a sign: join comparisons by and, or; or put it in quotes if that is the value").into());
    }
    let matches = matches!(comparison, Comparison::Like | Comparison::NotLike);
    match field {
        Field::Files | Field::Bytes if matches => Err("a number matches no pattern: compare it by = != < <= > >=".into()),
        Field::Files | Field::Bytes => {
            let size = if *field == Field::Bytes { parse_size(value).map(|size| size.to_string()) } else { None };
            let number = || value.parse::<f64>().ok().filter(|number| number.is_finite()).map(|_| value.to_owned());
            let such = if *field == Field::Bytes { "number or size, as 1000, 10MB or 2GiB" } else { "number" };
            size.or_else(number).ok_or_else(|| format!("'{value}' is no {such}").into())
        }
        Field::Meta(_) if comparison.orders() => match value.parse::<f64>() {
            Ok(number) if number.is_nan() => Err("nothing is less or greater than what is no number".into()),
            Err(_) if !quoted => Err(format!("'{value}' is no number: put it in quotes to compare it as a text").into()),
            _ => Ok(value.to_owned()),
        },
        _ => Ok(value.to_owned()),
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
            ("meta.loss > 4e-1 and meta.loss<.6", r#"(Meta("loss") Greater 4e-1 & Meta("loss") Less .6)"#),
            ("meta.day >= '2026-01-31'", r#"Meta("day") AtLeast 2026-01-31"#),
            ("meta.name = 3b", r#"Meta("name") Equal 3b"#),
            ("bytes > 1MB", "Bytes Greater 1000000"),
            ("bytes <= '2 GiB' or files >= 1e2", "(Bytes AtMost 2147483648 | Files AtLeast 1e2)"),
            ("description = 'a && b'", "Description Equal a && b"),
            ("tag = a and tag = b or tag = c", "((Tag Equal a & Tag Equal b) | Tag Equal c)"),
            ("tag = a and (tag = b or not tag = c)", "(Tag Equal a & (Tag Equal b | !Tag Equal c))"),
            ("not(ref=x)", "!Ref Equal x"),
            ("(description = hand)", "Description Equal hand"),
            ("series = \"x\"", "Series Equal x"),
            ("series = ''", "Series Equal "),
            ("was-ref = production", "WasRef Equal production"),
        ] {
            let condition: Condition = text.parse().unwrap_or_else(|error| panic!("{error}"));
            assert_eq!(shown(&condition.0), meant, "{text}");
            // And so it is once it is stored.
            assert_eq!(Condition::stored(text), Ok(condition));
        }
    }

    #[test]
    fn what_is_stored_is_read_as_it_was_stored() {
        for (text, meant) in [
            ("description = salt or", "Description Equal salt or"),
            ("description = hand in hand", "Description Equal hand in hand"),
            ("description = hand (left)", "Description Equal hand (left)"),
            ("(series = two words) and tag = x", "(Series Equal two words & Tag Equal x)"),
            ("series = ", "Series Equal "),
            ("meta.loss < 0.1f", r#"Meta("loss") Less 0.1f"#),
            ("bytes > 1MB", "Bytes Greater 1000000"),
            ("bytes > 1 MB", "Bytes Greater 1 MB"),
        ] {
            assert_eq!(shown(&Condition::stored(text).unwrap().0), meant, "{text}");
        }
        assert!(Condition::stored("loss < 1").is_err());
    }

    #[test]
    fn what_can_hardly_be_meant_is_refused() {
        for (text, why) in [
            ("meta.loss > 0.4 && meta.loss < 0.6", "'&& meta.loss < 0.6' is left over"),
            ("meta.loss>0.4&&meta.loss<0.6", "holds a sign"),
            ("meta.loss < 0.6 and", "nothing follows its last 'and'"),
            ("(tag = a or)", "'or)' is left over"),
            ("meta.loss <", "a value is missing"),
            ("series =", "a value is missing"),
            ("series = and tag = b", "a value is missing"),
            ("meta.loss < 0.1f", "'0.1f' is no number"),
            ("meta.loss =< 1", "holds a sign"),
            ("meta.loss < nan", "nothing is less"),
            ("series = two words", "'words' is left over"),
            ("tag = a AND tag = b", "'AND tag = b' is left over"),
            ("(tag = a tag = b)", "'tag = b)' is left over"),
            ("bytes > 1 MB", "'MB' is left over"),
            ("bytes > big", "'big' is no number or size"),
            ("bytes > inf", "no number or size"),
            ("files > 1MB", "'1MB' is no number"),
            ("files ~ 1*", "matches no pattern"),
        ] {
            let error = text.parse::<Condition>().unwrap_err().to_string();
            assert!(error.contains(why), "{text}: {error}");
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
