//! Config files: `snap.toml`, looked for in the current folder and upward, and the user's profile. Both have the same keys; an unknown
//! one is refused, because a misspelt exclude would keep what must not be kept.
//!
//! ```toml
//! [repository]
//! repository = "/backup/models"        # relative paths start at the file's folder
//! password-file = "~/.snap-password"
//!
//! [global]
//! memory = "1GiB"
//!
//! [push]
//! series = "cet-d"
//! exclude = ["*.tmp"]
//! ```

use std::env;
use std::fs;
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use store_core::ops::ErrorKind;

use crate::exit::{Failure, Result};

/// Name of the file that is looked for upward.
pub(crate) const PROJECT_FILE: &str = "snap.toml";

/// One config file.
#[derive(Debug, Default)]
pub(crate) struct Config {
    /// Where it is.
    pub(crate) path: PathBuf,
    /// What it says.
    pub(crate) keys: Keys,
}

/// What a config file says.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Keys {
    #[serde(default)]
    pub(crate) repository: RepositoryKeys,
    #[serde(default)]
    pub(crate) global: GlobalKeys,
    #[serde(default)]
    pub(crate) push: PushKeys,
    #[serde(default)]
    pub(crate) copy: CopyKeys,
    #[serde(default)]
    pub(crate) restore: RestoreKeys,
}

/// Which repository, and how to open it.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct RepositoryKeys {
    pub(crate) repository: Option<String>,
    pub(crate) repository_file: Option<String>,
    pub(crate) password_file: Option<String>,
    pub(crate) password_command: Option<String>,
    pub(crate) key_file: Option<String>,
    pub(crate) cache_dir: Option<String>,
    pub(crate) cache_size: Option<Scalar>,
}

/// What a table says of a repository and of what opens it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct AccessKeys<'k> {
    pub(crate) repository: Option<&'k str>,
    pub(crate) repository_file: Option<&'k str>,
    pub(crate) password_file: Option<&'k str>,
    pub(crate) password_command: Option<&'k str>,
    pub(crate) key_file: Option<&'k str>,
}

impl RepositoryKeys {
    pub(crate) fn access(&self) -> AccessKeys<'_> {
        AccessKeys {
            repository: self.repository.as_deref(),
            repository_file: self.repository_file.as_deref(),
            password_file: self.password_file.as_deref(),
            password_command: self.password_command.as_deref(),
            key_file: self.key_file.as_deref(),
        }
    }
}

/// Which repository `copy` copies to, and how to open it.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct CopyKeys {
    to: Option<String>,
    to_repository_file: Option<String>,
    to_password_file: Option<String>,
    to_password_command: Option<String>,
    to_key_file: Option<String>,
}

impl CopyKeys {
    pub(crate) fn access(&self) -> AccessKeys<'_> {
        AccessKeys {
            repository: self.to.as_deref(),
            repository_file: self.to_repository_file.as_deref(),
            password_file: self.to_password_file.as_deref(),
            password_command: self.to_password_command.as_deref(),
            key_file: self.to_key_file.as_deref(),
        }
    }
}

/// From which repository `restore` reads what is lost, and how to open it.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct RestoreKeys {
    from: Option<String>,
    from_repository_file: Option<String>,
    from_password_file: Option<String>,
    from_password_command: Option<String>,
    from_key_file: Option<String>,
}

impl RestoreKeys {
    pub(crate) fn access(&self) -> AccessKeys<'_> {
        AccessKeys {
            repository: self.from.as_deref(),
            repository_file: self.from_repository_file.as_deref(),
            password_file: self.from_password_file.as_deref(),
            password_command: self.from_password_command.as_deref(),
            key_file: self.from_key_file.as_deref(),
        }
    }
}

/// How to work.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct GlobalKeys {
    pub(crate) compression: Option<Scalar>,
    pub(crate) threads: Option<Scalar>,
    pub(crate) memory: Option<Scalar>,
    pub(crate) limit_upload: Option<Scalar>,
    pub(crate) limit_download: Option<Scalar>,
    pub(crate) no_progress: Option<bool>,
}

/// What `push` does unless it is told otherwise. Lists add to what is typed.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct PushKeys {
    pub(crate) series: Option<String>,
    pub(crate) host: Option<String>,
    pub(crate) description: Option<String>,
    #[serde(default)]
    pub(crate) tags: Vec<String>,
    #[serde(default)]
    pub(crate) exclude: Vec<String>,
    #[serde(default)]
    pub(crate) iexclude: Vec<String>,
    #[serde(default)]
    pub(crate) exclude_file: Vec<String>,
    #[serde(default)]
    pub(crate) exclude_if_present: Vec<String>,
    pub(crate) exclude_larger_than: Option<Scalar>,
    pub(crate) exclude_caches: Option<bool>,
    pub(crate) git_ignore: Option<bool>,
    pub(crate) one_file_system: Option<bool>,
    pub(crate) skip_if_unchanged: Option<bool>,
}

/// A value that may be written as a text or as a number: `memory = "1GiB"`, `threads = 4`.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
pub(crate) enum Scalar {
    Text(String),
    Number(i64),
}

impl std::fmt::Display for Scalar {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Scalar::Text(text) => f.write_str(text),
            Scalar::Number(number) => number.fmt(f),
        }
    }
}

impl Config {
    /// Reads one file; `None` if it is not there. One that nobody has named must be a file that nobody but this user or root can have written:
    /// it could send what is pushed to a repository of somebody else, leave files out, or choose a program to run.
    pub(crate) fn read(path: &Path, is_named: bool) -> Result<Option<Self>> {
        let fail = |error: &io::Error| Failure::with(ErrorKind::Usage, format_args!("{} cannot be read", path.display()), error);
        // A link that somebody else has made leads where he likes, to another file of this user, too; and what is no file may not even be opened.
        let refuse = |meta: io::Result<fs::Metadata>| match foreign(&meta.map_err(|error| fail(&error))?) {
            Some(why) if !is_named => {
                let path = path.display();
                let message =
                    format!("{path} {why}: it is not taken for a file of settings, which say where to push and what to leave out");
                let next =
                    format!("look at it, then make it yours (chown, chmod o-w) or name it (-P {path}); or name another file in its place");
                Err(Failure::new(ErrorKind::Refused, message).hint(next))
            }
            _ => Ok(()),
        };
        match fs::symlink_metadata(path) {
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => return Ok(None),
            meta => refuse(meta)?,
        }
        let mut file = match fs::File::open(path) {
            Ok(file) => file,
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => return Ok(None),
            Err(error) => return Err(fail(&error)),
        };
        refuse(file.metadata())?;
        let mut text = String::new();
        file.read_to_string(&mut text).map_err(|error| fail(&error))?;
        Ok(Some(Self { path: path.to_owned(), keys: parse(&text, path)? }))
    }

    /// The nearest `snap.toml` in `folder` or above it.
    pub(crate) fn find_upward(folder: &Path) -> Result<Option<Self>> {
        for folder in folder.ancestors() {
            if let Some(config) = Self::read(&folder.join(PROJECT_FILE), false)? {
                return Ok(Some(config));
            }
        }
        Ok(None)
    }

    /// The user's profile of this name, in `$XDG_CONFIG_HOME/snap` or `~/.config/snap`; `None` if it is not there.
    pub(crate) fn profile(name: &str, is_named: bool) -> Result<Option<Self>> {
        if name.is_empty() || name.contains('/') {
            return Err(Failure::usage(format!(
                "'{name}' is no name of a profile: it is the name of a file in ~/.config/snap, without .toml"
            )));
        }
        let Some(folder) = config_home() else { return Ok(None) };
        Self::read(&folder.join("snap").join(format!("{name}.toml")), is_named)
    }

    /// A path that the file gives: `~/` is the home folder, and a relative path starts at the file's folder.
    pub(crate) fn resolve(&self, path: &str) -> PathBuf {
        if let (Some(rest), Some(home)) = (path.strip_prefix("~/"), env::home_dir()) {
            return home.join(rest);
        }
        self.path.parent().unwrap_or(Path::new("")).join(path)
    }
}

/// Why somebody else than this user or root can have written a file, if so.
fn foreign(meta: &fs::Metadata) -> Option<String> {
    if ![0, rustix::process::geteuid().as_raw()].contains(&meta.uid()) {
        return Some(format!("belongs to user {}", meta.uid()));
    }
    let everybody_writes = !meta.is_symlink() && meta.mode() & 0o002 != 0;
    everybody_writes.then(|| "can be written by everybody".to_owned())
}

fn config_home() -> Option<PathBuf> {
    // A relative XDG path is to be ignored, says the XDG Base Directory Specification.
    let xdg = env::var_os("XDG_CONFIG_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
    xdg.or_else(|| env::home_dir().map(|home| home.join(".config")))
}

fn parse(text: &str, path: &Path) -> Result<Keys> {
    toml::from_str(text).map_err(|error| {
        let line = error.span().map_or(1, |span| 1 + text.bytes().take(span.start).filter(|byte| *byte == b'\n').count());
        Failure::usage(format!("{}, line {line}: {}", path.display(), error.message().replace('\n', " ")))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Keys> {
        parse(text, Path::new("/p/snap.toml"))
    }

    #[test]
    fn keys_are_read() {
        let keys = read("[repository]\nrepository = 'r'\n[global]\nthreads = 4\nmemory = '1GiB'\n[push]\nexclude = ['*.tmp']\n").unwrap();
        assert_eq!(keys.repository.repository.as_deref(), Some("r"));
        assert_eq!((keys.global.threads.unwrap().to_string(), keys.global.memory.unwrap().to_string()), ("4".into(), "1GiB".into()));
        assert_eq!(keys.push.exclude, ["*.tmp"]);
    }

    #[test]
    fn an_unknown_key_is_refused_with_its_line() {
        let error = read("[push]\nseries = 'a'\nexlude = ['*.tmp']\n").unwrap_err();
        assert_eq!(error.code(), 2);
        assert!(error.to_string().starts_with("/p/snap.toml, line 3: unknown field `exlude`"), "{error}");
        assert!(read("[repository]\npassword = 'x'\n").is_err(), "a password does not belong into a config file");
    }

    #[test]
    fn paths_start_at_the_files_folder() {
        let config = Config { path: "/p/snap.toml".into(), ..Config::default() };
        assert_eq!(config.resolve("r"), Path::new("/p/r"));
        assert_eq!(config.resolve("/r"), Path::new("/r"));
    }
}
