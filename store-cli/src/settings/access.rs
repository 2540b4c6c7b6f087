//! Which repository is meant and what opens it: the one that a verb works with, the one that snapshots are copied to, the one that what is lost is
//! read from. All are resolved by the same code, under names of their own.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use super::{Layers, Names, Origin, Value, text};
use crate::args::{CopyTo, From as Spare, Global, To};
use crate::config::{AccessKeys, Config};
use crate::exit::{Failure, Result};

/// Which repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Place {
    /// There.
    At(OsString),
    /// Where this file says.
    NamedIn(PathBuf),
}

/// Where the password is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Password {
    /// In a file.
    File(PathBuf),
    /// A program prints it.
    Command(String),
    /// In this variable, from which it is read when it is needed.
    Variable(&'static str),
}

/// Which repository, and what opens it.
#[derive(Debug)]
pub(crate) struct Access {
    pub(crate) repository: Option<Value<Place>>,
    pub(crate) password: Option<Value<Password>>,
    pub(crate) key_file: Option<Value<PathBuf>>,
    /// How somebody is asked for a password, and told how to give one.
    pub(crate) prompt: &'static str,
    pub(crate) hint: &'static str,
}

/// What was typed of a repository and of what opens it.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Typed<'t> {
    pub(crate) repository: Option<&'t OsStr>,
    pub(crate) repository_file: Option<&'t Path>,
    pub(crate) password_file: Option<&'t Path>,
    pub(crate) password_command: Option<&'t str>,
    pub(crate) key_file: Option<&'t Path>,
}

impl<'t> From<&'t Global> for Typed<'t> {
    fn from(global: &'t Global) -> Self {
        Self {
            repository: global.repo.as_deref(),
            repository_file: global.repository_file.as_deref(),
            password_file: global.password_file.as_deref(),
            password_command: global.password_command.as_deref(),
            key_file: global.key_file.as_deref(),
        }
    }
}

impl<'t> From<&'t To> for Typed<'t> {
    fn from(to: &'t To) -> Self {
        Self {
            repository: to.to.as_deref(),
            repository_file: to.to_repository_file.as_deref(),
            password_file: to.to_password_file.as_deref(),
            password_command: to.to_password_command.as_deref(),
            key_file: to.to_key_file.as_deref(),
        }
    }
}

impl<'t> From<&'t CopyTo> for Typed<'t> {
    fn from(to: &'t CopyTo) -> Self {
        Self {
            repository: to.copy_to.as_deref(),
            repository_file: None,
            password_file: to.to_password_file.as_deref(),
            password_command: to.to_password_command.as_deref(),
            key_file: to.to_key_file.as_deref(),
        }
    }
}

impl<'t> From<&'t Spare> for Typed<'t> {
    fn from(from: &'t Spare) -> Self {
        Self {
            repository: from.from.as_deref(),
            repository_file: from.from_repository_file.as_deref(),
            password_file: from.from_password_file.as_deref(),
            password_command: from.from_password_command.as_deref(),
            key_file: from.from_key_file.as_deref(),
        }
    }
}

/// What all that leads to a repository is called.
pub(super) struct AccessNames {
    repository: Names,
    repository_file: Names,
    password_file: Names,
    password_command: Names,
    /// The variable that holds the password itself.
    password: &'static str,
    key_file: Names,
    /// What a config file says of it.
    keys: fn(&Config) -> AccessKeys<'_>,
    prompt: &'static str,
    hint: &'static str,
}

/// The repository that a verb works with.
pub(super) const FIRST: AccessNames = AccessNames {
    repository: Names { flag: "--repo", variable: "SNAP_REPOSITORY", key: "repository" },
    repository_file: Names { flag: "--repo", variable: "SNAP_REPOSITORY_FILE", key: "repository-file" },
    password_file: Names { flag: "--password-file", variable: "SNAP_PASSWORD_FILE", key: "password-file" },
    password_command: Names { flag: "--password-command", variable: "SNAP_PASSWORD_COMMAND", key: "password-command" },
    password: "SNAP_PASSWORD",
    key_file: Names { flag: "--key-file", variable: "SNAP_KEY_FILE", key: "key-file" },
    keys: |config| config.keys.repository.access(),
    prompt: "Password: ",
    hint: "give -p FILE, --password-command CMD, --key-file FILE, or set SNAP_PASSWORD_FILE or SNAP_PASSWORD",
};

/// The repository that snapshots are copied to.
pub(super) const SECOND: AccessNames = AccessNames {
    repository: Names { flag: "--to", variable: "SNAP_TO_REPOSITORY", key: "to" },
    repository_file: Names { flag: "--to-repository-file", variable: "SNAP_TO_REPOSITORY_FILE", key: "to-repository-file" },
    password_file: Names { flag: "--to-password-file", variable: "SNAP_TO_PASSWORD_FILE", key: "to-password-file" },
    password_command: Names { flag: "--to-password-command", variable: "SNAP_TO_PASSWORD_COMMAND", key: "to-password-command" },
    password: "SNAP_TO_PASSWORD",
    key_file: Names { flag: "--to-key-file", variable: "SNAP_TO_KEY_FILE", key: "to-key-file" },
    keys: |config| config.keys.copy.access(),
    prompt: "Password of the repository that is copied to: ",
    hint: "give --to-password-file FILE, --to-password-command CMD, --to-key-file FILE, or set SNAP_TO_PASSWORD_FILE or SNAP_TO_PASSWORD",
};

/// The repository that a push is copied to. It is named by hand alone; what opens it is what opens the one that `copy` copies to.
pub(super) const COPIED: AccessNames =
    AccessNames { repository: Names { flag: "--copy-to", variable: "SNAP_TO_REPOSITORY", key: "to" }, ..SECOND };

/// The repository that what is lost is read from.
pub(super) const SPARE: AccessNames = AccessNames {
    repository: Names { flag: "--from", variable: "SNAP_FROM_REPOSITORY", key: "from" },
    repository_file: Names { flag: "--from-repository-file", variable: "SNAP_FROM_REPOSITORY_FILE", key: "from-repository-file" },
    password_file: Names { flag: "--from-password-file", variable: "SNAP_FROM_PASSWORD_FILE", key: "from-password-file" },
    password_command: Names { flag: "--from-password-command", variable: "SNAP_FROM_PASSWORD_COMMAND", key: "from-password-command" },
    password: "SNAP_FROM_PASSWORD",
    key_file: Names { flag: "--from-key-file", variable: "SNAP_FROM_KEY_FILE", key: "from-key-file" },
    keys: |config| config.keys.restore.access(),
    prompt: "Password of the second repository: ",
    hint: "give --from-password-file FILE, --from-password-command CMD, --from-key-file FILE, or set SNAP_FROM_PASSWORD_FILE or SNAP_FROM_PASSWORD",
};

impl Layers<'_> {
    pub(super) fn access(&self, typed: Typed<'_>, names: &AccessNames) -> Result<Access> {
        let key_file = self.path(typed.key_file, &names.key_file, |config| (names.keys)(config).key_file);
        let (repository, password) = (self.repository(typed, names)?, self.password(typed, names)?);
        Ok(Access { repository, password, key_file, prompt: names.prompt, hint: names.hint })
    }

    fn repository(&self, typed: Typed<'_>, names: &AccessNames) -> Result<Option<Value<Place>>> {
        if let Some(repo) = typed.repository {
            return Ok(Some(Value { value: Place::At(repo.to_owned()), origin: Origin::Flag(names.repository.flag) }));
        }
        if let Some(file) = typed.repository_file {
            return Ok(Some(Value { value: Place::NamedIn(file.to_owned()), origin: Origin::Flag(names.repository_file.flag) }));
        }
        let (at_name, file_name) = (names.repository.variable, names.repository_file.variable);
        match ((self.environment)(at_name), (self.environment)(file_name)) {
            (Some(_), Some(_)) => return Err(Failure::usage(format!("{at_name} and {file_name} are both set; unset one of them"))),
            (Some(at), None) => return Ok(Some(Value { value: Place::At(at), origin: Origin::Environment(at_name) })),
            (None, Some(file)) => {
                return Ok(Some(Value { value: Place::NamedIn(file.into()), origin: Origin::Environment(file_name) }));
            }
            (None, None) => {}
        }
        for config in self.files {
            let keys = (names.keys)(config);
            let (at_key, file_key) = (names.repository.key, names.repository_file.key);
            let value = match (keys.repository, keys.repository_file) {
                (Some(_), Some(_)) => {
                    return Err(Failure::usage(format!("{}: {at_key} and {file_key} are both given", config.path.display())));
                }
                // A location with a scheme is no path.
                (Some(at), None) if at.contains("://") => Place::At(at.into()),
                (Some(at), None) => Place::At(config.resolve(at).into_os_string()),
                (None, Some(file)) => Place::NamedIn(config.resolve(file)),
                (None, None) => continue,
            };
            return Ok(Some(Value { value, origin: Origin::File(config.path.clone(), at_key) }));
        }
        Ok(None)
    }

    fn password(&self, typed: Typed<'_>, names: &AccessNames) -> Result<Option<Value<Password>>> {
        if let Some(file) = typed.password_file {
            return Ok(Some(Value { value: Password::File(file.to_owned()), origin: Origin::Flag(names.password_file.flag) }));
        }
        if let Some(command) = typed.password_command {
            return Ok(Some(Value { value: Password::Command(command.to_owned()), origin: Origin::Flag(names.password_command.flag) }));
        }
        let mut set = Vec::new();
        if let Some(file) = (self.environment)(names.password_file.variable) {
            set.push((names.password_file.variable, Password::File(file.into())));
        }
        if let Some(command) = (self.environment)(names.password_command.variable) {
            set.push((names.password_command.variable, Password::Command(text(command, names.password_command.variable)?)));
        }
        if (self.environment)(names.password).is_some() {
            set.push((names.password, Password::Variable(names.password)));
        }
        if let [(first, _), (second, _), ..] = set[..] {
            return Err(Failure::usage(format!("{first} and {second} are both set; unset one of them")));
        }
        if let Some((name, value)) = set.pop() {
            return Ok(Some(Value { value, origin: Origin::Environment(name) }));
        }
        for config in self.files {
            let keys = (names.keys)(config);
            let (file_key, command_key) = (names.password_file.key, names.password_command.key);
            let (key, value) = match (keys.password_file, keys.password_command) {
                (Some(_), Some(_)) => {
                    return Err(Failure::usage(format!("{}: {file_key} and {command_key} are both given", config.path.display())));
                }
                (Some(file), None) => (file_key, Password::File(config.resolve(file))),
                (None, Some(command)) => (command_key, Password::Command(command.to_owned())),
                (None, None) => continue,
            };
            return Ok(Some(Value { value, origin: Origin::File(config.path.clone(), key) }));
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::file;
    use super::*;

    #[test]
    fn the_second_repository_is_found_as_the_first_is_and_shares_nothing_with_it() {
        let second = |typed: Typed<'_>, environment: &[(&str, &str)], text: &str| {
            let lookup = |name: &str| environment.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).into());
            let files = vec![file("snap.toml", text)];
            let access = Layers { environment: &lookup, files: &files }.access(typed, &SECOND).unwrap();
            (access.repository.map(|found| found.value), access.password.map(|found| found.value))
        };
        let (typed, none) = (Typed { repository: Some("typed".as_ref()), ..Typed::default() }, Typed::default());
        let variables = [("SNAP_TO_REPOSITORY", "variable"), ("SNAP_TO_PASSWORD", "secret")];
        let text = "[repository]\nrepository = 'first'\npassword-file = 'p'\n[copy]\nto = 'second'";
        let password = || Some(Password::Variable("SNAP_TO_PASSWORD"));
        assert_eq!(second(typed, &variables, text), (Some(Place::At("typed".into())), password()));
        assert_eq!(second(none, &variables, text), (Some(Place::At("variable".into())), password()));
        assert_eq!(second(none, &[("SNAP_REPOSITORY", "x"), ("SNAP_PASSWORD", "x")], text), (Some(Place::At("/p/second".into())), None));
        assert_eq!(second(none, &[], "[repository]\nrepository = 'first'"), (None, None));
    }
}
