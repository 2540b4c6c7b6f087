//! The stored retention policy: reading it, setting it.

use jiff::tz::TimeZone;

use crate::error::{Error, ErrorKind};
use crate::format::note::Statement;
use crate::notes::{self, Told};
use crate::repo::{Repo, Standings};
use crate::retention::{Calendar, Policy, PolicyError, Span};

/// What is stored of policies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredPolicy {
    /// One, or several that were set at once and of which none governs.
    pub texts: Vec<Told>,
}

impl StoredPolicy {
    /// The one that governs.
    ///
    /// # Errors
    /// Of kind [`ErrorKind::Refused`] when there are several, or this version of the program does not understand it: what it does not
    /// understand may be what keeps.
    pub fn governing(&self) -> Result<Policy, Error> {
        match &self.texts[..] {
            [only] => Policy::stored(&only.text).map_err(|error: PolicyError| {
                Error::new(
                    ErrorKind::Refused,
                    format!("the stored policy is not understood: {error}: set another with `snap forget --set-policy FILE`"),
                )
            }),
            all => {
                let who: Vec<&str> = all.iter().map(|told| told.by.as_str()).collect();
                let message = format!(
                    "{} policies were set at once by {}, and none governs: look at them with `snap forget --show-policy`, and set one with --set-policy",
                    all.len(),
                    who.join(" and ")
                );
                Err(Error::new(ErrorKind::Refused, message))
            }
        }
    }
}

/// Whether a policy is stored, or several that were set at once.
pub fn has_policy(standings: &Standings) -> bool {
    match &standings.fold.policy {
        notes::Policy::None => false,
        notes::Policy::One(told) => told.text != NONE,
        notes::Policy::Several(_) => true,
    }
}

/// The stored policy.
///
/// # Errors
/// Of kind [`ErrorKind::Usage`] when there is none.
pub fn stored_policy(standings: &Standings) -> Result<StoredPolicy, Error> {
    let texts = match &standings.fold.policy {
        _ if !has_policy(standings) => {
            let message = "there is no retention policy: give --keep-* flags or --policy FILE, or store one with --set-policy FILE";
            return Err(Error::new(ErrorKind::Usage, message));
        }
        notes::Policy::None => Vec::new(),
        notes::Policy::One(told) => vec![told.clone()],
        notes::Policy::Several(all) => all.clone(),
    };
    Ok(StoredPolicy { texts })
}

/// How long what is forgotten stays in the trash by the stored policy, in seconds; `None` where none governs, or it does not say.
pub(super) fn stored_trash(standings: &Standings) -> Option<u64> {
    stored_policy(standings).and_then(|stored| stored.governing()).ok()?.trash.map(Span::seconds)
}

/// The text that says that there is no policy any more (`spec/NOTES.md`, section 2).
const NONE: &str = "";

/// Takes the stored policy away, from now on: also where several are concurrent.
///
/// # Errors
/// Of kind [`ErrorKind::Usage`] when there is none.
pub fn remove_policy(repo: &Repo) -> Result<(), Error> {
    let standings = repo.standing()?;
    stored_policy(&standings)?;
    repo.write_notes(vec![Statement::Policy { toml: NONE.to_owned() }], &standings.fold.heads).map(drop)
}

/// Stores a policy, from now on.
///
/// # Errors
/// Of kind [`ErrorKind::Usage`] when the text is no policy.
pub fn set_policy(repo: &Repo, text: &str) -> Result<Policy, Error> {
    let policy: Policy = text.parse()?;
    if text == NONE {
        return Err(Error::new(ErrorKind::Usage, "an empty file is no policy: --remove-policy takes the stored one away"));
    }
    calendar(&policy)?;
    let standings = repo.standing()?;
    repo.write_notes(vec![Statement::Policy { toml: text.to_owned() }], &standings.fold.heads)?;
    Ok(policy)
}

/// The calendar by which a policy counts.
pub(super) fn calendar(policy: &Policy) -> Result<Calendar, Error> {
    let Some(name) = &policy.zone else { return Ok(Calendar::Recorded) };
    let zone = TimeZone::get(name);
    zone.map(Calendar::Zone)
        .map_err(|error| Error::with(ErrorKind::Usage, format!("zone: '{name}' is no time zone that this host knows"), error))
}
