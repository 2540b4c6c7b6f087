//! What a store answered to one attempt, and what follows from it: done, refused, or to be tried again.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use object_store::client::HttpErrorKind;

use crate::backend::NoBucket;

tokio::task_local! {
    /// Where the connection notes what it was told; each attempt has its own.
    pub(super) static ANSWER: Arc<Mutex<Answer>>;
}

/// The last answer of an attempt.
#[derive(Debug, Default, Clone)]
pub(super) struct Answer {
    /// The status, if there was any.
    pub(super) status: Option<u16>,
    /// The error code in the body of an answer that is none of success: `AccessDenied`.
    pub(super) code: String,
    /// What the body says besides, for people.
    pub(super) message: String,
    /// How the connection failed, if it did.
    pub(super) broken: Option<HttpErrorKind>,
    /// Who was asked.
    pub(super) host: String,
    /// Whether a range was asked for of which the object has nothing, and that is said by an empty range in place of an error.
    pub(super) is_beyond: bool,
}

/// Whether this `Content-Range` is of no bytes, `bytes 7-6/7`: what some servers answer where others say 416.
pub(super) fn is_of_nothing(content_range: &str) -> bool {
    let range = content_range.strip_prefix("bytes ").and_then(|rest| rest.split_once('/')).and_then(|(range, _)| range.split_once('-'));
    let ends = range.and_then(|(first, last)| Some((first.parse::<u64>().ok()?, last.parse::<u64>().ok()?)));
    ends.is_some_and(|(first, last)| last < first)
}

/// Notes something about the attempt under way.
pub(super) fn note(change: impl FnOnce(&mut Answer)) {
    // Outside of an attempt nobody wants to know.
    let _ = ANSWER.try_with(|answer| change(&mut answer.lock().unwrap_or_else(PoisonError::into_inner)));
}

/// Why an attempt did not do what it should.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Trouble {
    /// There is no such object.
    NotFound,
    /// There is one already.
    Exists,
    /// It makes sense to try again; `unsure` if what was asked for may have been done all the same.
    Transient { why: String, unsure: bool },
    /// Trying again makes no sense.
    Refused { kind: io::ErrorKind, why: String },
}

impl Trouble {
    /// What became of an attempt that failed with `error`, given what the store answered last.
    pub(super) fn of(answer: &Answer, error: &object_store::Error) -> Self {
        // Azure is asked to delete in a batch, and answers that well whatever became of its one part.
        if matches!(answer.status, Some(200..=299)) {
            if matches!(error, object_store::Error::NotFound { .. }) {
                return Self::NotFound;
            }
            if let Some(status) = part_of_batch(&chain(error)) {
                return Self::of(&Answer { status: Some(status), ..answer.clone() }, error);
            }
        }
        let said = || match (answer.code.as_str(), answer.message.as_str()) {
            ("", "") => String::new(),
            (code, "") => format!(" {code}"),
            (code, message) => format!(" {code}: {message}"),
        };
        let transient =
            |unsure| Self::Transient { why: format!("{} answered {}{}", answer.host, answer.status.unwrap_or(0), said()), unsure };
        let refused = |kind, hint: &str| {
            let status = answer.status.unwrap_or(0);
            Self::Refused { kind, why: format!("{} answered {status}{}{hint}", answer.host, said()) }
        };
        if answer.host == METADATA {
            return Self::Refused { kind: io::ErrorKind::PermissionDenied, why: NO_CREDENTIALS.into() };
        }
        if let Some(kind) = answer.broken {
            let unsure = kind != HttpErrorKind::Connect;
            return Self::Transient { why: format!("the connection to {} failed: {}", answer.host, chain(error)), unsure };
        }
        match (answer.status, answer.code.as_str()) {
            (Some(200..=299), _) if answer.is_beyond => refused(io::ErrorKind::UnexpectedEof, ": the object ends before"),
            // A body that was not read to its end, or is not what its header says.
            (Some(200..=299), _) => {
                Self::Transient { why: format!("{} sent something else than it announced: {}", answer.host, chain(error)), unsure: true }
            }
            (_, "NoSuchBucket" | "ContainerNotFound" | "UserProjectMissing") => {
                refused(io::ErrorKind::NotFound, ": is the bucket's name right?")
            }
            (Some(404), _) => Self::NotFound,
            (Some(304 | 412), _) => Self::Exists,
            (Some(409), code) if code.ends_with("AlreadyExists") => Self::Exists,
            (Some(507), _) | (_, "QuotaExceeded" | "InsufficientStorage" | "XMinioStorageFull" | "AccountIsDisabled" | "OverQuota") => {
                refused(io::ErrorKind::QuotaExceeded, "")
            }
            // The bytes were spoilt on the way, or came too slowly.
            (
                Some(400),
                "BadDigest" | "XAmzContentSHA256Mismatch" | "XAmzContentChecksumMismatch" | "IncompleteBody" | "RequestTimeout",
            ) => transient(false),
            (Some(408 | 409 | 429), _) => transient(false),
            (Some(501), _) => refused(io::ErrorKind::Unsupported, ": the store does not know conditional writes"),
            (Some(500..=599), _) => transient(true),
            (Some(301 | 307), _) | (_, "AuthorizationHeaderMalformed" | "IllegalLocationConstraintException" | "PermanentRedirect") => {
                refused(io::ErrorKind::InvalidInput, ": is the bucket in another region? see AWS_REGION")
            }
            (Some(400 | 401 | 403), "RequestTimeTooSkewed") => refused(io::ErrorKind::PermissionDenied, ": set this host's clock"),
            (Some(401 | 403), _) => refused(io::ErrorKind::PermissionDenied, ": look at the credentials, and at what they allow"),
            (Some(_), _) => refused(io::ErrorKind::Other, ""),
            (None, _) => Self::Refused { kind: io::ErrorKind::InvalidInput, why: chain(error) },
        }
    }

    /// As the error of the driver.
    pub(super) fn into_io(self) -> io::Error {
        match self {
            Self::NotFound => io::Error::new(io::ErrorKind::NotFound, "there is no such object"),
            Self::Exists => io::Error::new(io::ErrorKind::AlreadyExists, "the object exists already"),
            Self::Transient { why, .. } => {
                io::Error::new(io::ErrorKind::TimedOut, format!("{why}; it was tried again and again: try later"))
            }
            Self::Refused { kind: io::ErrorKind::NotFound, why } => io::Error::new(io::ErrorKind::NotFound, NoBucket(why)),
            Self::Refused { kind, why } => io::Error::new(kind, why),
        }
    }
}

/// Where cloud machines ask for credentials.
const METADATA: &str = "169.254.169.254";
const NO_CREDENTIALS: &str = "no credentials were found: set for s3:// AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE, and AWS_ENDPOINT_URL \
    for other stores than Amazon's; for gs:// GOOGLE_APPLICATION_CREDENTIALS; for az:// AZURE_STORAGE_ACCOUNT_NAME and AZURE_STORAGE_ACCOUNT_KEY";

/// An error with its causes, each once, in one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        let more = error.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        source = error.source();
    }
    text.replace('\n', " ")
}

/// The status of the one part of a batch that failed, from what the crate says of it. None of success: it would come back as it is.
fn part_of_batch(said: &str) -> Option<u16> {
    let (_, code) = said.split_once("Bulk delete request failed for key ")?.1.rsplit_once("(code: ")?;
    code.split_once(')')?.0.parse().ok().filter(|status| !(200..300).contains(status))
}

/// The text between `<name>` and `</name>`, as error bodies have it. What is not there is empty.
pub(super) fn element(body: &str, name: &str) -> String {
    let inner = body.split_once(&format!("<{name}>")).and_then(|(_, rest)| rest.split_once(&format!("</{name}>")));
    let text = inner.map_or("", |(inner, _)| inner).lines().next().unwrap_or("");
    let plain = [("&lt;", "<"), ("&gt;", ">"), ("&quot;", "\""), ("&apos;", "'"), ("&#39;", "'"), ("&amp;", "&")];
    let text = plain.iter().fold(text.to_owned(), |text, (entity, is)| text.replace(entity, is));
    text.chars().filter(|c| !c.is_control()).take(200).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trouble(status: Option<u16>, code: &str, broken: Option<HttpErrorKind>) -> Trouble {
        let answer = Answer { status, code: code.into(), broken, ..Answer::default() };
        Trouble::of(&answer, &object_store::Error::Generic { store: "S3", source: "it failed".into() })
    }

    fn is_transient(trouble: &Trouble) -> Option<bool> {
        if let Trouble::Transient { unsure, .. } = trouble { Some(*unsure) } else { None }
    }

    #[test]
    fn what_passes_is_tried_again_and_what_does_not_is_not() {
        for status in [500, 502, 503, 504] {
            assert_eq!(is_transient(&trouble(Some(status), "", None)), Some(true), "{status}");
        }
        for status in [408, 429] {
            assert_eq!(is_transient(&trouble(Some(status), "", None)), Some(false), "{status}");
        }
        for status in [400, 401, 403, 404, 405, 412, 501, 507] {
            assert_eq!(is_transient(&trouble(Some(status), "", None)), None, "{status}");
        }
        assert_eq!(is_transient(&trouble(Some(400), "BadDigest", None)), Some(false));
        assert_eq!(is_transient(&trouble(None, "", Some(HttpErrorKind::Connect))), Some(false));
        assert_eq!(is_transient(&trouble(None, "", Some(HttpErrorKind::Timeout))), Some(true));
        assert_eq!(is_transient(&trouble(Some(200), "", None)), Some(true), "a body that was cut short");
    }

    #[test]
    fn a_conflict_of_two_requests_does_not_say_that_an_object_exists() {
        assert_eq!(is_transient(&trouble(Some(409), "ConditionalRequestConflict", None)), Some(false));
        assert_eq!(trouble(Some(409), "BlobAlreadyExists", None), Trouble::Exists);
        assert_eq!(trouble(Some(412), "PreconditionFailed", None), Trouble::Exists);
    }

    #[test]
    fn kinds_of_errors_are_those_that_exit_codes_rest_on() {
        let kind = |status, code| trouble(Some(status), code, None).into_io().kind();
        assert_eq!(kind(404, "NoSuchKey"), io::ErrorKind::NotFound);
        assert_eq!(kind(404, "NoSuchBucket"), io::ErrorKind::NotFound);
        assert_eq!(kind(403, "AccessDenied"), io::ErrorKind::PermissionDenied);
        assert_eq!(kind(507, ""), io::ErrorKind::QuotaExceeded);
        assert_eq!(kind(403, "QuotaExceeded"), io::ErrorKind::QuotaExceeded);
        assert_eq!(kind(503, "SlowDown"), io::ErrorKind::TimedOut);
    }

    #[test]
    fn an_answer_of_no_bytes_is_the_end_of_the_object_and_not_tried_again() {
        for (said, is_empty) in [
            ("bytes 7-6/7", true),
            ("bytes 0-0/7", false),
            ("bytes 6-6/7", false),
            ("bytes */7", false),
            ("bytes -6/7", false),
            ("x", false),
        ] {
            assert_eq!(is_of_nothing(said), is_empty, "{said}");
        }
        let answer = Answer { status: Some(206), is_beyond: true, ..Answer::default() };
        let trouble = Trouble::of(&answer, &object_store::Error::Generic { store: "Azure", source: "a range that cannot be".into() });
        assert_eq!((is_transient(&trouble), trouble.into_io().kind()), (None, io::ErrorKind::UnexpectedEof));
    }

    #[test]
    fn what_became_of_a_deletion_is_what_the_part_of_its_batch_says() {
        let part = |code: u16| -> object_store::Error {
            let source = format!("Bulk delete request failed for key repo/sessions/1b33: (no) (code: {code})");
            object_store::Error::Generic { store: "MicrosoftAzure", source: source.into() }
        };
        let answer = Answer { status: Some(202), ..Answer::default() };
        let gone = object_store::Error::NotFound { path: "x".into(), source: "code: 404".into() };
        assert_eq!(Trouble::of(&answer, &gone), Trouble::NotFound);
        assert_eq!(Trouble::of(&answer, &part(403)).into_io().kind(), io::ErrorKind::PermissionDenied);
        assert_eq!(is_transient(&Trouble::of(&answer, &part(503))), Some(true));
        assert_eq!(is_transient(&Trouble::of(&answer, &part(409))), Some(false));
        assert_eq!(is_transient(&Trouble::of(&answer, &part(202))), Some(true), "an answer that makes no sense is tried again");
    }

    #[test]
    fn error_bodies_are_read_without_trust() {
        let body = "<Error><Code>AccessDenied</Code><Message>no\u{1b}[31m\nway</Message></Error>";
        assert_eq!((element(body, "Code"), element(body, "Message")), ("AccessDenied".into(), "no[31m".into()));
        assert_eq!(element(&"<Code>".repeat(3), "Code"), "");
        assert_eq!(element(&format!("<Code>{}</Code>", "x".repeat(5000)), "Code").len(), 200);
    }
}
