//! What a push leaves out. The rules are restic's where they are clear; see [`ExcludeBuilder::glob`] for the patterns.
//!
//! A path that was named is always taken; the rules decide about what is below it. A folder that is left out is not entered, so no
//! later rule brings back anything in it.

use std::io;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use globset::{Candidate, Glob, GlobBuilder, GlobSet, GlobSetBuilder};

use super::stat::stat_at;
use crate::format::entry::Entry;
use crate::linux::read_small;

/// Whether a pattern tells `A` from `a`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Case {
    /// It does.
    Sensitive,
    /// It does not.
    Insensitive,
}

/// A rule that cannot be understood.
#[derive(Debug, thiserror::Error)]
pub enum ExcludeError {
    /// A pattern is malformed.
    #[error("{origin}: the pattern {pattern:?} is malformed: {reason}")]
    Pattern {
        /// Where it stands: an option, or a file and a line.
        origin: String,
        /// The pattern as given.
        pattern: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A file of patterns cannot be read.
    #[error("cannot read patterns from {path:?}")]
    File {
        /// Which file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The patterns are too large together.
    #[error("the patterns are too many or too complicated to be compiled: {0}")]
    TooComplicated(String),
}

/// Bytes of a file of patterns.
const FILE_LEN: u64 = 16 << 20;
/// What a `CACHEDIR.TAG` begins with (Cache Directory Tagging Specification, <https://bford.info/cachedir/>).
const CACHE_HEADER: &[u8] = b"Signature: 8a477f597d28d172789f06886806bc55";

/// A name whose presence in a folder leaves out all else that is in it.
#[derive(Debug, Clone)]
struct Tag {
    name: Vec<u8>,
    header: Vec<u8>,
}

/// Collects rules, then [builds](Self::build) them. Of the patterns that match an entry the last one added decides.
#[derive(Debug, Clone, Default)]
pub struct ExcludeBuilder {
    globs: Vec<Glob>,
    negated: Vec<bool>,
    tags: Vec<Tag>,
    larger_than: Option<u64>,
    git_ignore: bool,
}

impl ExcludeBuilder {
    /// Nothing is left out.
    pub fn new() -> Self {
        Self::default()
    }

    /// Leaves out what matches `pattern`. `origin` says in errors where the pattern comes from, such as `--exclude`.
    ///
    /// - `*.tmp`, without a slash, matches any name.
    /// - `build/*.o`, with one, matches the last components of an absolute path.
    /// - `/home/*/cache`, with a leading one, matches the absolute path from the file system's root.
    /// - `*` and `?` match within a name, `**` as a component matches any number of components, `[a-z]` one character of a class,
    ///   and `\` takes the meaning from what follows it. Braces mean themselves. A trailing slash means nothing.
    /// - `!pattern` takes back what an earlier pattern left out.
    pub fn glob(&mut self, pattern: &str, case: Case, origin: &str) -> Result<(), ExcludeError> {
        let malformed = |reason: String| ExcludeError::Pattern { origin: origin.to_string(), pattern: pattern.to_string(), reason };
        let (rest, negated) = pattern.strip_prefix('!').map_or((pattern, false), |rest| (rest, true));
        let text = translate(rest).map_err(|reason| malformed(reason.to_string()))?;
        let glob = GlobBuilder::new(&text)
            .literal_separator(true)
            .backslash_escape(true)
            .case_insensitive(case == Case::Insensitive)
            .build()
            .map_err(|error| malformed(error.kind().to_string()))?;
        self.globs.push(glob);
        self.negated.push(negated);
        Ok(())
    }

    /// Leaves out what the patterns in a file match: one a line, blank lines and lines that start with `#` aside, white space around
    /// a pattern dropped.
    pub fn file(&mut self, path: &Path, case: Case) -> Result<(), ExcludeError> {
        use std::io::Read;
        let failed = |source| ExcludeError::File { path: path.to_path_buf(), source };
        let mut text = String::new();
        std::fs::File::open(path).map_err(failed)?.take(FILE_LEN + 1).read_to_string(&mut text).map_err(failed)?;
        if text.len() as u64 > FILE_LEN {
            return Err(failed(io::Error::new(io::ErrorKind::FileTooLarge, "larger than 16 MiB")));
        }
        for (index, line) in text.trim_start_matches('\u{feff}').lines().map(str::trim).enumerate() {
            if !line.is_empty() && !line.starts_with('#') {
                self.glob(line, case, &format!("{path:?}, line {}", index + 1))?;
            }
        }
        Ok(())
    }

    /// Leaves out the content of folders that hold a `CACHEDIR.TAG` with the signature of the specification, except for that file.
    pub fn caches(&mut self) {
        self.tags.push(Tag { name: b"CACHEDIR.TAG".to_vec(), header: CACHE_HEADER.to_vec() });
    }

    /// Leaves out the content of folders that hold an entry `NAME`, except for that entry. Written `NAME:HEADER`, it must be a file
    /// that begins with `HEADER`.
    pub fn if_present(&mut self, rule: &str, origin: &str) -> Result<(), ExcludeError> {
        let (name, header) = rule.split_once(':').unwrap_or((rule, ""));
        if !Entry::is_name(name.as_bytes()) {
            let reason = "it must be a file name, without a slash".to_string();
            return Err(ExcludeError::Pattern { origin: origin.to_string(), pattern: rule.to_string(), reason });
        }
        self.tags.push(Tag { name: name.as_bytes().to_vec(), header: header.as_bytes().to_vec() });
        Ok(())
    }

    /// Leaves out regular files of more than `bytes` bytes.
    pub fn larger_than(&mut self, bytes: u64) {
        self.larger_than = Some(bytes);
    }

    /// Leaves out what `.gitignore` files say, as git does: those in the folders that are visited, and above them those up to the
    /// folder that holds `.git`. `.git` itself is kept.
    pub fn git_ignore(&mut self) {
        self.git_ignore = true;
    }

    /// Compiles the rules.
    pub fn build(self) -> Result<Excludes, ExcludeError> {
        let mut set = GlobSetBuilder::new();
        self.globs.into_iter().for_each(|glob| {
            set.add(glob);
        });
        let globs = set.build().map_err(|error| ExcludeError::TooComplicated(error.to_string()))?;
        Ok(Excludes { globs, negated: self.negated, tags: self.tags, larger_than: self.larger_than, git_ignore: self.git_ignore })
    }
}

/// Compiled rules of what is left out.
#[derive(Debug, Clone, Default)]
pub struct Excludes {
    globs: GlobSet,
    negated: Vec<bool>,
    tags: Vec<Tag>,
    larger_than: Option<u64>,
    pub(super) git_ignore: bool,
}

impl Excludes {
    /// Whether the patterns leave out the entry at this absolute path. The folders above it are not asked about.
    pub fn matches(&self, absolute: &Path) -> bool {
        let mut found = Vec::new();
        self.globs.matches_candidate_into(&Candidate::new(absolute), &mut found);
        found.into_iter().max().is_some_and(|last| !self.negated[last])
    }

    /// Whether a regular file of this many bytes is left out for its size.
    pub(super) fn too_large(&self, size: u64) -> bool {
        self.larger_than.is_some_and(|most| size > most)
    }

    /// When a tag leaves out the content of this opened folder: the names that are kept all the same.
    pub(super) fn tagged(&self, folder: impl AsFd) -> io::Result<Option<Vec<&[u8]>>> {
        let folder = folder.as_fd();
        let mut kept = Vec::new();
        for tag in &self.tags {
            let present = if tag.header.is_empty() {
                match stat_at(folder, &tag.name) {
                    Ok(_) => true,
                    Err(rustix::io::Errno::NOENT) => false,
                    Err(error) => return Err(error.into()),
                }
            } else {
                read_small(folder, &tag.name, tag.header.len() as u64)?.is_some_and(|bytes| bytes == tag.header)
            };
            if present {
                kept.push(tag.name.as_slice());
            }
        }
        Ok(if kept.is_empty() { None } else { Some(kept) })
    }
}

/// Rewrites a pattern so that `globset` reads it as described at [`ExcludeBuilder::glob`]: to be matched with an absolute path, with
/// braces that mean themselves and classes that match no slash.
fn translate(pattern: &str) -> Result<String, &'static str> {
    let components: Vec<&str> = pattern.split('/').filter(|part| !part.is_empty() && *part != ".").collect();
    if components.is_empty() {
        return Err("it names nothing");
    }
    if components.contains(&"..") {
        return Err("no path that is looked at contains '..'");
    }
    let mut glob = String::from(if pattern.starts_with('/') { "/" } else { "**/" });
    for (index, component) in components.into_iter().enumerate() {
        if index > 0 {
            glob.push('/');
        }
        let mut rest = component.chars().peekable();
        while let Some(next) = rest.next() {
            match next {
                '\\' => {
                    glob.push('\\');
                    glob.push(rest.next().ok_or("it ends in a backslash")?);
                }
                '{' | '}' => glob.extend(['\\', next]),
                '[' => {
                    glob.push('[');
                    if rest.next_if(|&c| c == '!' || c == '^').is_some() {
                        glob.push_str("!/");
                        // A bracket that comes first means itself, but here the slash has come first.
                        if rest.next_if_eq(&']').is_some() {
                            return Err("write ']' in a negated class last, behind a backslash outside of it");
                        }
                    } else if rest.next_if_eq(&']').is_some() {
                        glob.push(']');
                    }
                    loop {
                        let inside = rest.next().ok_or("a class is not closed by ']'")?;
                        glob.push(inside);
                        if inside == ']' {
                            break;
                        }
                    }
                }
                plain => glob.push(plain),
            }
        }
    }
    Ok(glob)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;

    fn excludes(patterns: &[&str], case: Case) -> Excludes {
        let mut builder = ExcludeBuilder::new();
        for pattern in patterns {
            builder.glob(pattern, case, "--exclude").unwrap();
        }
        builder.build().unwrap()
    }

    #[test]
    fn patterns_match_what_the_table_says() {
        let table: &[(&str, &[&str], &[&str])] = &[
            ("cache", &["/cache", "/a/cache", "/a/b/cache"], &["/a/cachet", "/a/mycache", "/cache/x", "/Cache"]),
            ("*.tmp", &["/x.tmp", "/a/b/.tmp", "/a/new\nline.tmp"], &["/a/x.tmp2", "/x.tmp/y", "/tmp"]),
            ("?.o", &["/a/b.o"], &["/a/bb.o", "/a/.o"]),
            ("[a-c].o", &["/a.o", "/x/c.o"], &["/d.o", "/A.o"]),
            ("[!a-c].o", &["/d.o"], &["/a.o", "/x/b.o"]),
            ("[^a-c].o", &["/d.o"], &["/a.o"]),
            ("a[!b]c", &["/axc"], &["/abc", "/a/c"]),
            ("[]x]", &["/]", "/x"], &["/y"]),
            ("build/out", &["/build/out", "/a/build/out"], &["/out", "/build/x/out", "/rebuild/out", "/build/out/x"]),
            ("build/*.o", &["/a/build/x.o"], &["/a/build/b/x.o", "/a/x.o"]),
            ("/home/*/cache", &["/home/me/cache"], &["/x/home/me/cache", "/home/cache", "/home/a/b/cache"]),
            ("/a/**/z", &["/a/z", "/a/b/z", "/a/b/c/z"], &["/z", "/b/a/z", "/a/b/zz"]),
            ("a/**/z", &["/x/a/b/c/z", "/a/z"], &["/x/ab/z"]),
            ("a/**", &["/a/x", "/b/a/x/y"], &["/a", "/ba/x"]),
            ("**/deep", &["/deep", "/a/b/deep"], &["/deeper"]),
            ("dir/", &["/dir", "/a/dir"], &["/dirs"]),
            ("./x//y/.", &["/x/y", "/a/x/y"], &["/x", "/y"]),
            ("{a,b}", &["/{a,b}"], &["/a", "/b"]),
            (r"\*", &["/*"], &["/x"]),
            (r"\!keep", &["/!keep"], &["/keep"]),
            ("caf\u{e9}", &["/caf\u{e9}"], &["/cafe\u{301}", "/cafe"]),
            (" ", &["/ "], &["/x"]),
        ];
        for (pattern, yes, no) in table {
            let excludes = excludes(&[pattern], Case::Sensitive);
            yes.iter().for_each(|path| assert!(excludes.matches(Path::new(path)), "{pattern:?} matches {path:?}"));
            no.iter().for_each(|path| assert!(!excludes.matches(Path::new(path)), "{pattern:?} does not match {path:?}"));
        }
    }

    #[test]
    fn names_that_are_not_utf8_are_matched() {
        let excludes = excludes(&["*.bin"], Case::Sensitive);
        assert!(excludes.matches(Path::new(OsStr::from_bytes(b"/a/\xff\xfe.bin"))));
        assert!(!excludes.matches(Path::new(OsStr::from_bytes(b"/a/\xff\xfe.bin\xff"))));
    }

    #[test]
    fn the_last_pattern_that_matches_decides() {
        let some = excludes(&["*.log", "!keep*.log", "keep-not.log"], Case::Sensitive);
        for (path, out) in [("/x.log", true), ("/keep.log", false), ("/keep-not.log", true), ("/x", false)] {
            assert_eq!(some.matches(Path::new(path)), out, "{path}");
        }
        assert!(excludes(&["READ*"], Case::Insensitive).matches(Path::new("/a/readme")));
    }

    #[test]
    fn a_malformed_pattern_is_named_with_its_origin() {
        for pattern in ["[a", "", "!", "/", "a/../b", "x\\", "[z-a]", "[!]a]", "."] {
            let error = ExcludeBuilder::new().glob(pattern, Case::Sensitive, "--exclude").unwrap_err().to_string();
            assert!(error.contains("--exclude") && error.contains(&format!("{pattern:?}")), "{error}");
        }
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("patterns");
        std::fs::write(&path, "# a comment\n\n  *.o  \n[bad\n").unwrap();
        let error = ExcludeBuilder::new().file(&path, Case::Sensitive).unwrap_err().to_string();
        assert!(error.contains("line 4") && error.contains("[bad") && error.contains("patterns"), "{error}");
        for rule in ["", "a/b", ":x", ".."] {
            assert!(ExcludeBuilder::new().if_present(rule, "--exclude-if-present").is_err(), "{rule:?}");
        }
    }
}
