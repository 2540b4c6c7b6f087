//! Where each setting comes from: flag, environment, `snap.toml` found upward, the user's profile, default, in this order. A value
//! knows its origin, so that an invalid one is refused by naming it.

mod access;

use std::env;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::thread;

use store_core::backend::Transport;
use store_core::base::units::MIB;
use store_core::codec::Compression;
use store_core::ops::ErrorKind;

use crate::args::Global;
use crate::config::{Config, Scalar};
use crate::exit::{Failure, Result};
use crate::interrupt;
use crate::output;
use crate::output::human::parse_size;

pub(crate) use access::{Access, Password, Place, Typed};
use access::{COPIED, FIRST, SECOND, SPARE};

const DEFAULT_PROFILE: &str = "default";
const DEFAULT_MEMORY: usize = 512 * MIB;
const DEFAULT_CACHE: u64 = 256 * MIB as u64;
/// Less than this is not enough for one pack and its buffers.
const LEAST_MEMORY: u64 = 64 * MIB as u64;
const MOST_THREADS: usize = 1024;

/// Where a value comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Origin {
    /// A flag.
    Flag(&'static str),
    /// A variable of the environment.
    Environment(&'static str),
    /// A key of a config file.
    File(PathBuf, &'static str),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::Flag(name) | Origin::Environment(name) => f.write_str(name),
            Origin::File(path, key) => write!(f, "{key} in {}", path.display()),
        }
    }
}

/// A value with where it comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Value<T> {
    pub(crate) value: T,
    pub(crate) origin: Origin,
}

/// All settings, resolved.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) access: Access,
    pub(crate) cache_dir: PathBuf,
    /// Bytes of disk for what was read of a bucket.
    pub(crate) cache_size: u64,
    pub(crate) compression: Compression,
    pub(crate) threads: usize,
    pub(crate) memory: usize,
    /// How a bucket is spoken with.
    pub(crate) transport: Transport,
    pub(crate) no_progress: bool,
    /// `snap.toml`, then the profile: what a verb asks for its own keys.
    pub(crate) files: Vec<Config>,
}

/// Looks a variable up. An empty one counts as not set.
pub(crate) type Lookup<'a> = &'a dyn Fn(&str) -> Option<OsString>;

impl Settings {
    /// Reads config files and resolves everything for this process.
    pub(crate) fn load(global: &Global) -> Result<Self> {
        let folder = env::current_dir().map_err(|error| Failure::with(ErrorKind::Failed, "the current folder is not there", &error))?;
        let asked = asked_profile(global, &variable)?;
        let mut files = Vec::new();
        match &asked {
            // It stands in the place of what would be found.
            Some(asked) if asked.value.contains('/') => files.push(named(asked)?),
            asked => {
                files.extend(Config::find_upward(&folder)?);
                files.extend(profile(asked.as_ref())?);
            }
        }
        Self::resolve(global, &variable, files)
    }

    /// The repository that snapshots are copied to, found as the first one is.
    pub(crate) fn second(&self, typed: Typed<'_>) -> Result<Access> {
        Layers { environment: &variable, files: &self.files }.access(typed, &SECOND)
    }

    /// The repository that a push is copied to, which somebody has named.
    pub(crate) fn copied(&self, typed: Typed<'_>) -> Result<Access> {
        Layers { environment: &variable, files: &self.files }.access(typed, &COPIED)
    }

    /// The repository that what is lost is read from.
    pub(crate) fn spare(&self, typed: Typed<'_>) -> Result<Access> {
        Layers { environment: &variable, files: &self.files }.access(typed, &SPARE)
    }

    /// Resolves everything; `files` in the order in which they count.
    pub(crate) fn resolve(global: &Global, environment: Lookup<'_>, files: Vec<Config>) -> Result<Self> {
        let layers = Layers { environment, files: &files };
        let settings = Self {
            access: layers.access(global.into(), &FIRST)?,
            cache_dir: layers.cache_dir(global)?,
            cache_size: layers
                .scalar(&global.cache_size, &CACHE_SIZE, |c| c.keys.repository.cache_size.as_ref())?
                .map_or(Ok(DEFAULT_CACHE), |value| value.read(parse_size))?,
            compression: layers
                .scalar(&global.compression, &COMPRESSION, |c| c.keys.global.compression.as_ref())?
                .map_or(Ok(Compression::default()), |value| {
                    value.read(|text| Compression::from_str(text).map_err(|error| error.to_string()))
                })?,
            threads: layers
                .scalar(&global.threads, &THREADS, |c| c.keys.global.threads.as_ref())?
                .map_or_else(|| Ok(thread::available_parallelism().map_or(1, NonZeroUsize::get)), |value| value.read(parse_threads))?,
            memory: layers
                .scalar(&global.memory, &MEMORY, |c| c.keys.global.memory.as_ref())?
                .map_or(Ok(DEFAULT_MEMORY), |value| value.read(parse_memory))?,
            transport: Transport {
                upload: layers.limit(&global.limit_upload, &LIMIT_UPLOAD, |c| c.keys.global.limit_upload.as_ref())?,
                download: layers.limit(&global.limit_download, &LIMIT_DOWNLOAD, |c| c.keys.global.limit_download.as_ref())?,
                interrupted: interrupt::requested,
                waiting: output::waiting,
                ..Transport::default()
            },
            no_progress: global.no_progress || files.iter().find_map(|c| c.keys.global.no_progress).unwrap_or(false),
            files: Vec::new(),
        };
        Ok(Self { files, ..settings })
    }
}

/// A variable of this process' environment.
fn variable(name: &str) -> Option<OsString> {
    env::var_os(name).filter(|value| !value.is_empty())
}

/// The profile that was asked for, if any was.
fn asked_profile(global: &Global, environment: Lookup<'_>) -> Result<Option<Value<String>>> {
    Ok(match (&global.profile, environment("SNAP_PROFILE")) {
        (Some(name), _) => Some(Value { value: name.clone(), origin: Origin::Flag("--profile") }),
        (None, Some(name)) => Some(Value { value: text(name, "SNAP_PROFILE")?, origin: Origin::Environment("SNAP_PROFILE") }),
        (None, None) => None,
    })
}

/// The profile that was asked for, which must be there, or the default one, which need not.
fn profile(asked: Option<&Value<String>>) -> Result<Option<Config>> {
    let Some(Value { value: name, origin }) = asked else { return Config::profile(DEFAULT_PROFILE, false) };
    match Config::profile(name, true)? {
        Some(config) => Ok(Some(config)),
        None => Err(Failure::usage(format!("{origin}: there is no profile '{name}'")).hint(format!("make ~/.config/snap/{name}.toml"))),
    }
}

/// The file whose path was given.
fn named(asked: &Value<String>) -> Result<Config> {
    let Value { value: path, origin } = asked;
    Config::read(Path::new(path), true)?.ok_or_else(|| Failure::usage(format!("{origin}: there is no file {path}")))
}

/// What one setting is called in each place.
struct Names {
    flag: &'static str,
    variable: &'static str,
    key: &'static str,
}

const CACHE_DIR: Names = Names { flag: "--cache-dir", variable: "SNAP_CACHE_DIR", key: "cache-dir" };
const CACHE_SIZE: Names = Names { flag: "--cache-size", variable: "SNAP_CACHE_SIZE", key: "cache-size" };
const COMPRESSION: Names = Names { flag: "--compression", variable: "SNAP_COMPRESSION", key: "compression" };
const THREADS: Names = Names { flag: "--threads", variable: "SNAP_THREADS", key: "threads" };
const LIMIT_UPLOAD: Names = Names { flag: "--limit-upload", variable: "SNAP_LIMIT_UPLOAD", key: "limit-upload" };
const LIMIT_DOWNLOAD: Names = Names { flag: "--limit-download", variable: "SNAP_LIMIT_DOWNLOAD", key: "limit-download" };
const MEMORY: Names = Names { flag: "--memory", variable: "SNAP_MEMORY", key: "memory" };

struct Layers<'a> {
    environment: Lookup<'a>,
    files: &'a [Config],
}

impl Layers<'_> {
    fn cache_dir(&self, global: &Global) -> Result<PathBuf> {
        if let Some(found) = self.path(global.cache_dir.as_deref(), &CACHE_DIR, |c| c.keys.repository.cache_dir.as_deref()) {
            return Ok(found.value);
        }
        let xdg = (self.environment)("XDG_CACHE_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
        let home = || (self.environment)("HOME").map(PathBuf::from).or_else(env::home_dir);
        xdg.or_else(|| home().map(|home| home.join(".cache"))).map(|folder| folder.join("snap")).ok_or_else(|| {
            Failure::usage("there is no home folder to keep the cache in").hint("name a folder with --cache-dir or SNAP_CACHE_DIR")
        })
    }

    fn path(&self, flag: Option<&Path>, names: &Names, in_file: impl Fn(&Config) -> Option<&str>) -> Option<Value<PathBuf>> {
        if let Some(path) = flag {
            return Some(Value { value: path.to_owned(), origin: Origin::Flag(names.flag) });
        }
        if let Some(path) = (self.environment)(names.variable) {
            return Some(Value { value: path.into(), origin: Origin::Environment(names.variable) });
        }
        self.files.iter().find_map(|config| {
            let value = config.resolve(in_file(config)?);
            Some(Value { value, origin: Origin::File(config.path.clone(), names.key) })
        })
    }

    fn scalar(&self, flag: &Option<String>, names: &Names, in_file: impl Fn(&Config) -> Option<&Scalar>) -> Result<Option<Value<String>>> {
        if let Some(value) = flag {
            return Ok(Some(Value { value: value.clone(), origin: Origin::Flag(names.flag) }));
        }
        if let Some(value) = (self.environment)(names.variable) {
            return Ok(Some(Value { value: text(value, names.variable)?, origin: Origin::Environment(names.variable) }));
        }
        Ok(self
            .files
            .iter()
            .find_map(|config| Some(Value { value: in_file(config)?.to_string(), origin: Origin::File(config.path.clone(), names.key) })))
    }
}

impl Layers<'_> {
    /// A limit in bytes per second. It is given in KiB; 0 is none.
    fn limit(&self, flag: &Option<String>, names: &Names, in_file: impl Fn(&Config) -> Option<&Scalar>) -> Result<Option<u64>> {
        let limit = self.scalar(flag, names, in_file)?.map_or(Ok(0), |value| value.read(parse_limit))?;
        Ok((limit > 0).then_some(limit))
    }
}

impl Value<String> {
    fn read<T>(&self, parse: impl Fn(&str) -> Result<T, String>) -> Result<T> {
        parse(&self.value).map_err(|why| Failure::usage(format!("{}: {why}", self.origin)))
    }
}

fn text(value: OsString, variable: &str) -> Result<String> {
    value.into_string().map_err(|value| Failure::usage(format!("{variable}: {} is not UTF-8", OsStr::display(&value))))
}

fn parse_threads(text: &str) -> Result<usize, String> {
    let threads = text.parse().ok().filter(|n| (1..=MOST_THREADS).contains(n));
    threads.ok_or_else(|| format!("'{text}' is no number of threads, which is from 1 to {MOST_THREADS}"))
}

fn parse_limit(text: &str) -> Result<u64, String> {
    let limit = text.parse::<u64>().ok().and_then(|kib| kib.checked_mul(1024));
    limit.ok_or_else(|| format!("'{text}' is no number of KiB a second, which is what limits are in"))
}

fn parse_memory(text: &str) -> Result<usize, String> {
    let bytes = parse_size(text)?;
    if bytes < LEAST_MEMORY {
        return Err(format!("'{text}' is too little memory to work with; {} MiB is the least", LEAST_MEMORY / MIB as u64));
    }
    usize::try_from(bytes).map_err(|_| format!("'{text}' is more memory than this machine can address"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Keys;

    pub(super) fn file(name: &str, text: &str) -> Config {
        Config { path: Path::new("/p").join(name), keys: toml::from_str::<Keys>(text).unwrap() }
    }

    fn resolve(global: &Global, environment: &[(&str, &str)], files: Vec<Config>) -> Result<Settings> {
        let lookup = |name: &str| match name {
            "HOME" => Some("/home/u".into()),
            _ => environment.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).into()),
        };
        Settings::resolve(global, &lookup, files)
    }

    #[test]
    fn the_order_is_flag_environment_project_profile_default() {
        let flags = || Global { memory: Some("100MiB".into()), ..Global::default() };
        let variables = [("SNAP_MEMORY", "200MiB")];
        let project = || file("snap.toml", "[global]\nmemory = '300MiB'");
        let profile = || file("default.toml", "[global]\nmemory = '400MiB'\nthreads = 3");
        let none = Global::default();
        let memory = |settings: Result<Settings>| settings.unwrap().memory / MIB;
        assert_eq!(memory(resolve(&flags(), &variables, vec![project(), profile()])), 100);
        assert_eq!(memory(resolve(&none, &variables, vec![project(), profile()])), 200);
        assert_eq!(memory(resolve(&none, &[], vec![project(), profile()])), 300);
        assert_eq!(memory(resolve(&none, &[], vec![profile()])), 400);
        assert_eq!(memory(resolve(&none, &[], vec![])), 512);
        let mixed = resolve(&none, &[], vec![project(), profile()]).unwrap();
        assert_eq!((mixed.memory / MIB, mixed.threads), (300, 3));
        assert_eq!(mixed.cache_dir, Path::new("/home/u/.cache/snap"));
    }

    #[test]
    fn an_invalid_value_names_where_it_came_from() {
        let message = |settings: Result<Settings>| {
            let failure = settings.unwrap_err();
            assert_eq!(failure.code(), 2);
            failure.to_string()
        };
        let flags = Global { threads: Some("0".into()), ..Global::default() };
        assert!(message(resolve(&flags, &[], vec![])).starts_with("--threads: '0'"));
        assert!(message(resolve(&Global::default(), &[("SNAP_MEMORY", "1")], vec![])).starts_with("SNAP_MEMORY: '1'"));
        let slow = Global { limit_upload: Some("fast".into()), ..Global::default() };
        assert!(message(resolve(&slow, &[], vec![])).starts_with("--limit-upload: 'fast'"));
        let bad = file("snap.toml", "[global]\ncompression = 'extreme'");
        assert!(message(resolve(&Global::default(), &[], vec![bad])).starts_with("compression in /p/snap.toml: "));
    }

    #[test]
    fn the_size_of_what_is_kept_of_buckets_may_be_nothing() {
        let size = |global: &Global, environment: &[(&str, &str)], files| resolve(global, environment, files).unwrap().cache_size;
        let project = || vec![file("snap.toml", "[repository]\ncache-size = '1GiB'")];
        let typed = Global { cache_size: Some("0".into()), ..Global::default() };
        assert_eq!(size(&typed, &[("SNAP_CACHE_SIZE", "5MiB")], project()), 0);
        assert_eq!(size(&Global::default(), &[("SNAP_CACHE_SIZE", "5MiB")], project()), 5 << 20);
        assert_eq!(size(&Global::default(), &[], project()), 1 << 30);
        assert_eq!(size(&Global::default(), &[], vec![]), 256 << 20);
        assert!(
            resolve(&Global::default(), &[("SNAP_CACHE_SIZE", "much")], vec![]).unwrap_err().to_string().starts_with("SNAP_CACHE_SIZE: ")
        );
    }

    #[test]
    fn limits_are_in_kibibytes_and_zero_is_none() {
        let project = file("snap.toml", "[global]\nlimit-upload = 300\nlimit-download = 0");
        let limits = resolve(&Global::default(), &[("SNAP_LIMIT_DOWNLOAD", "7")], vec![project]).unwrap().transport;
        assert_eq!((limits.upload, limits.download), (Some(300 << 10), Some(7 << 10)));
        let none = resolve(&Global { limit_upload: Some("0".into()), ..Global::default() }, &[], vec![]).unwrap().transport;
        assert_eq!((none.upload, none.download), (None, None));
    }

    #[test]
    fn two_answers_to_one_question_are_refused() {
        let none = Global::default();
        assert!(resolve(&none, &[("SNAP_PASSWORD", "a"), ("SNAP_PASSWORD_FILE", "b")], vec![]).is_err());
        assert!(resolve(&none, &[("SNAP_REPOSITORY", "a"), ("SNAP_REPOSITORY_FILE", "b")], vec![]).is_err());
        let flag = Global { password_file: Some("c".into()), ..Global::default() };
        let password = resolve(&flag, &[("SNAP_PASSWORD", "a")], vec![]).unwrap().access.password.unwrap();
        assert_eq!(password.value, Password::File("c".into()));
    }

    #[test]
    fn a_files_repository_starts_at_its_folder() {
        let place = |text: &str| resolve(&Global::default(), &[], vec![file("snap.toml", text)]).unwrap().access.repository.unwrap().value;
        assert_eq!(place("[repository]\nrepository = 'r'"), Place::At("/p/r".into()));
        assert_eq!(place("[repository]\nrepository-file = 'f'"), Place::NamedIn("/p/f".into()));
        assert_eq!(place("[repository]\nrepository = 's3://b/x'"), Place::At("s3://b/x".into()));
    }
}
