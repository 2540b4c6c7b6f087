mod second;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::io::Read;
use std::path::PathBuf;

use store_core::base::ids::SnapshotId;
use store_core::monitor::Warning;
use store_core::ops::ErrorKind;
use store_core::ops::list::{Edge, Filter, parse_time, resolve};
use store_core::ops::push::{Options, Parent, Report, Source, push};
use store_core::ops::tag::check_ref;
use store_core::repo::Repo;
use store_core::source::{Case, ExcludeBuilder, ExcludeError, Excludes, Selection, expand, parse_list};

use super::{Context, words};
use crate::args::Push;
use crate::config::{Config, PushKeys};
use crate::exit::{Failure, Outcome, Result, chain, read_or_not};
use crate::interrupt;
use crate::output::human::{count, duration, parse_size, printable, ratio, size};
use crate::output::json::{Message, Pushed};
use crate::output::progress::Watch;
use second::Second;

const STDIN_NAME: &str = "stdin";
/// Seconds beyond which a time is of the future (`spec/RETENTION.md`, R7).
const FUTURE: i64 = 3600;
/// A larger file of metadata is a wrong file.
const META_FILE_LEN: u64 = 16 << 20;

pub(super) fn run(context: &Context, args: Push) -> Result {
    interrupt::listen()?;
    // What was typed wrongly is said before a password is asked for.
    let mut options = options(context, &args)?;
    let second = Second::of(context, &args)?;
    let (repo, copying) = match &second {
        None => (context.open()?, None),
        Some(second) => second.prepare(context).map(|(repo, copying)| (repo, Some(copying)))?,
    };
    if let Source::Paths(selection) = &mut options.source {
        let own = repo.location();
        let own: Vec<&str> = std::iter::once(own.as_str()).chain(second.as_ref().map(Second::location)).collect();
        selection.excludes = excludes(context, &args, &own)?;
        selection.one_file_system = any(context, args.one_file_system, |keys| keys.one_file_system);
    }
    if let Some(parent) = &args.parent {
        let same_series = Filter { series: options.series.clone(), ..Filter::default() };
        options.parent = Parent::Is(resolve(&repo, parent, &same_series)?.id);
    }
    if let Some(base) = &args.base {
        options.base = Some(resolve(&repo, base, &Filter::default())?.id);
    }
    let dry_run = options.dry_run;
    let watch = Watch::new(context.ui);
    let report = push(&repo, options, &watch);
    watch.finish();
    let report = report.map_err(|error| {
        let failure = Failure::from(error);
        if failure.kind() == ErrorKind::Interrupted || interrupt::requested() {
            return failure.of_kind(ErrorKind::Interrupted).hint("no snapshot was made; the next push takes up what was written");
        }
        failure
    })?;
    read_or_not(print(context, &report, dry_run))?;
    if let (Some(id), Some(_)) = (&report.snapshot, &args.time) {
        name_refs_that_stayed(context, &repo, id, &args.refs);
    }
    if let Some(copying) = copying {
        copying.run(context, &repo, &report, &args)?;
    }
    Ok(if report.unreadable > 0 { Outcome::Partial } else { Outcome::Done })
}

/// Says which of the refs that a snapshot was made with point to another one all the same, which is of a later time.
fn name_refs_that_stayed(context: &Context, repo: &Repo, made: &SnapshotId, refs: &[String]) {
    for name in refs {
        if let Ok(to) = resolve(repo, name, &Filter::default())
            && to.id != *made
        {
            let (name, to, made) = (printable(name.as_bytes()), to.id.short(), made.short());
            context.ui.note(&format!("the ref {name} stays with {to}, which is later: `snap tag {made} --ref {name}` moves it"));
        }
    }
}

fn print(context: &Context, report: &Report, dry_run: bool) -> Result<()> {
    let mut out = context.ui.out();
    if context.ui.json {
        out.json(&Message::Pushed(Box::new(summary(report, dry_run))))?;
    } else if context.ui.quiet {
        // An unchanged source is what its parent is.
        if let Some(id) = report.snapshot.or(report.parent.filter(|_| report.skipped)) {
            out.line(id)?;
        }
    } else {
        out.line(line(report, dry_run))?;
    }
    out.done()
}

pub(super) fn line(report: &Report, dry_run: bool) -> String {
    let what = match (&report.snapshot, &report.parent) {
        (Some(id), _) => id.short(),
        (None, Some(parent)) if report.skipped => format!("unchanged since {}", parent.short()),
        _ if dry_run => "dry run".to_owned(),
        _ => "no snapshot".to_owned(),
    };
    let mut parts = vec![
        what,
        count(files(report), "file"),
        size(report.bytes),
        format!("new {}", size(report.new_bytes)),
        // What would be coded against what is not written is not known.
        format!("stored {}{}", if dry_run { "at most " } else { "" }, size(report.stored_bytes)),
    ];
    // What is new and in no file of the snapshot is of tries that were given up; the ratio would blame the codecs for it.
    match report.new_bytes.saturating_sub(report.bytes) {
        0 => parts.extend(ratio(report.bytes, report.stored_bytes).map(|ratio| format!("({ratio})"))),
        vain => parts.push(format!("{} or more of it in vain: files changed or failed while they were read", size(vain))),
    }
    parts.push(duration(report.duration));
    if report.unreadable > 0 {
        parts.push(format!("{} unreadable", report.unreadable));
    }
    parts.join("  ")
}

fn files(report: &Report) -> u64 {
    report.files_new + report.files_changed + report.files_unmodified
}

pub(super) fn summary(report: &Report, dry_run: bool) -> Pushed {
    Pushed {
        files_new: report.files_new,
        files_changed: report.files_changed,
        files_unmodified: report.files_unmodified,
        dirs: report.directories,
        others: report.others,
        data_added: report.new_bytes,
        data_added_packed: report.stored_bytes,
        chunks_new: report.chunks_new,
        chunks_known: report.chunks_known,
        total_files_processed: files(report),
        total_bytes_processed: report.bytes,
        bytes_read: report.bytes_read,
        unreadable: report.unreadable,
        total_duration: report.duration.as_secs_f64(),
        snapshot_id: report.snapshot.map(|id| id.to_string()),
        parent: report.parent.map(|id| id.to_string()),
        skipped: report.skipped,
        dry_run,
    }
}

/// Everything but what needs the repository.
fn options(context: &Context, args: &Push) -> Result<Options> {
    let keys = || context.settings.files.iter().map(|config| &config.keys.push);
    let moment = args.time.as_ref().map(|text| parse_time(text, Edge::Start)).transpose();
    let moment = moment.map_err(|error| Failure::with(ErrorKind::Usage, "--time", &error))?;
    if moment.is_some_and(|moment| moment.seconds > store_core::clock::now().seconds + FUTURE) {
        let message = "this time is yet to come: until then, no policy forgets anything while this snapshot is there";
        context.ui.warning(&Warning { item: "--time".into(), message: message.into() });
    }
    let mut tags: Vec<String> = args.tag.iter().flat_map(|tags| words(tags)).chain(keys().flat_map(|keys| keys.tags.clone())).collect();
    tags.sort();
    tags.dedup();
    args.refs.iter().try_for_each(|name| check_ref(name))?;
    Ok(Options {
        source: source(args)?,
        series: args.series.clone().or_else(|| keys().find_map(|keys| keys.series.clone())),
        tags,
        refs: args.refs.clone(),
        description: args.description.clone().or_else(|| keys().find_map(|keys| keys.description.clone())),
        meta: metadata(args)?,
        host: args.host.clone().or_else(|| keys().find_map(|keys| keys.host.clone())),
        time: moment,
        parent: if args.force { Parent::None } else { Parent::Auto },
        base: None,
        require: args.require.clone(),
        verify: args.verify,
        skip_if_unchanged: any(context, args.skip_if_unchanged, |keys| keys.skip_if_unchanged),
        no_delta: args.no_delta,
        dry_run: context.global.dry_run,
    })
}

/// Whether something was switched on, by hand or in a config file.
fn any(context: &Context, typed: bool, key: fn(&PushKeys) -> Option<bool>) -> bool {
    typed || context.settings.files.iter().any(|config| key(&config.keys.push) == Some(true))
}

/// What is read; its excludes come later.
fn source(args: &Push) -> Result<Source> {
    let name = || args.stdin_filename.clone().unwrap_or_else(|| STDIN_NAME.to_owned());
    if args.stdin_from_command {
        if args.paths.is_empty() {
            return Err(
                Failure::usage("--stdin-from-command needs a program after `--`").hint("snap push --stdin-from-command -- pg_dump app")
            );
        }
        return Ok(Source::Commands(vec![(name(), args.paths.clone())]));
    }
    if !args.command.is_empty() {
        return args.command.iter().map(|text| command(text)).collect::<Result<_>>().map(Source::Commands);
    }
    let is_stdin = |path: &OsString| path == "-";
    if args.stdin || args.paths.iter().any(is_stdin) {
        let others = args.paths.iter().filter(|path| !is_stdin(path)).count();
        if others > 0 || !args.files_from.is_empty() {
            return Err(Failure::usage("standard input is a snapshot of its own: give `-` alone"));
        }
        return Ok(Source::Reader { name: name(), reader: Box::new(interrupt::Stdin) });
    }
    if args.stdin_filename.is_some() {
        return Err(Failure::usage("--stdin-filename names what `-` or --stdin-from-command reads"));
    }
    let (mut lists, mut listed) = (Vec::new(), Vec::new());
    for list in &args.files_from {
        let fail = |error| Failure::with(ErrorKind::Usage, format_args!("--files-from: {} cannot be read", list.display()), &error);
        let mut bytes = Vec::new();
        if list.as_os_str() == "-" { interrupt::Stdin.read_to_end(&mut bytes).map(drop) } else { fs::read(list).map(|all| bytes = all) }
            .map_err(fail)?;
        let lines = parse_list(&bytes, false);
        listed.extend(lines.iter().flat_map(|path| expand(path)));
        lists.extend(lines);
    }
    if args.paths.is_empty() && args.files_from.is_empty() {
        return Err(Failure::usage("nothing to push: name a file or a folder, or `-` for standard input"));
    }
    Ok(Source::Paths(Selection {
        paths: args.paths.iter().map(PathBuf::from).collect(),
        listed,
        lists,
        excludes: Excludes::default(),
        one_file_system: false,
    }))
}

/// `NAME=CMD`, as a name and the words of a command.
fn command(text: &str) -> Result<(String, Vec<OsString>)> {
    let refuse = |why: &str| Failure::usage(format!("--command: '{text}' {why}"));
    let (name, words) = text.split_once('=').ok_or_else(|| refuse("is not NAME=CMD"))?;
    let words = shell_words::split(words).map_err(|_| refuse("has a quote that is not closed"))?;
    if name.is_empty() || words.is_empty() {
        return Err(refuse("is not NAME=CMD"));
    }
    Ok((name.to_owned(), words.into_iter().map(OsString::from).collect()))
}

/// What is left out: what was asked for, and the repositories themselves with their caches, should they lie in what is pushed.
pub(super) fn excludes(context: &Context, args: &Push, repositories: &[&str]) -> Result<Excludes> {
    let mut builder = ExcludeBuilder::new();
    let refuse = |error: ExcludeError| Failure::usage(chain(&error));
    for config in &context.settings.files {
        excludes_of_file(&mut builder, config).map_err(refuse)?;
        larger_than(&mut builder, config.keys.push.exclude_larger_than.as_ref().map(ToString::to_string).as_deref(), || {
            format!("exclude-larger-than in {}", config.path.display())
        })?;
    }
    for path in &args.exclude_file {
        builder.file(path, Case::Sensitive).map_err(refuse)?;
    }
    for path in &args.iexclude_file {
        builder.file(path, Case::Insensitive).map_err(refuse)?;
    }
    for pattern in &args.exclude {
        builder.glob(pattern, Case::Sensitive, "--exclude").map_err(refuse)?;
    }
    for pattern in &args.iexclude {
        builder.glob(pattern, Case::Insensitive, "--iexclude").map_err(refuse)?;
    }
    for rule in &args.exclude_if_present {
        builder.if_present(rule, "--exclude-if-present").map_err(refuse)?;
    }
    larger_than(&mut builder, args.exclude_larger_than.as_deref(), || "--exclude-larger-than".to_owned())?;
    if any(context, args.exclude_caches, |keys| keys.exclude_caches) {
        builder.caches();
    }
    if any(context, args.git_ignore, |keys| keys.git_ignore) {
        builder.git_ignore();
    }
    context.leave_out_own(repositories, &mut builder).map_err(refuse)?;
    builder.build().map_err(refuse)
}

fn excludes_of_file(builder: &mut ExcludeBuilder, config: &Config) -> Result<(), ExcludeError> {
    let (keys, origin) = (&config.keys.push, config.path.display().to_string());
    for path in &keys.exclude_file {
        builder.file(&config.resolve(path), Case::Sensitive)?;
    }
    for pattern in &keys.exclude {
        builder.glob(pattern, Case::Sensitive, &origin)?;
    }
    for pattern in &keys.iexclude {
        builder.glob(pattern, Case::Insensitive, &origin)?;
    }
    for rule in &keys.exclude_if_present {
        builder.if_present(rule, &origin)?;
    }
    Ok(())
}

fn larger_than(builder: &mut ExcludeBuilder, size: Option<&str>, origin: impl Fn() -> String) -> Result<()> {
    if let Some(text) = size {
        builder.larger_than(parse_size(text).map_err(|why| Failure::usage(format!("{}: {why}", origin())))?);
    }
    Ok(())
}

/// From files first, so that what was typed replaces it.
fn metadata(args: &Push) -> Result<BTreeMap<String, String>> {
    let mut meta = BTreeMap::new();
    for path in &args.meta_file {
        let fail = |error: &dyn std::error::Error| {
            Failure::with(ErrorKind::Usage, format_args!("--meta-file: {} cannot be read", path.display()), error)
        };
        let mut text = String::new();
        fs::File::open(path).and_then(|file| file.take(META_FILE_LEN).read_to_string(&mut text)).map_err(|error| fail(&error))?;
        let value: serde_json::Value = serde_json::from_str(&text).map_err(|error| fail(&error))?;
        if !value.is_object() {
            return Err(Failure::usage(format!("--meta-file: {} holds no JSON object", path.display())));
        }
        flatten(String::new(), value, &mut meta);
    }
    for pair in &args.meta {
        match pair.split_once('=') {
            Some((key, value)) if !key.is_empty() => drop(meta.insert(key.to_owned(), value.to_owned())),
            _ => return Err(Failure::usage(format!("--meta: '{pair}' is not KEY=VALUE"))),
        }
    }
    Ok(meta)
}

/// `{"a": {"b": [1, "x"]}}` is `a.b.0` = `1` and `a.b.1` = `x`. What is `null` is left out.
fn flatten(key: String, value: serde_json::Value, meta: &mut BTreeMap<String, String>) {
    use serde_json::Value;
    let below = |name: &str| if key.is_empty() { name.to_owned() } else { format!("{key}.{name}") };
    match value {
        Value::Object(map) => map.into_iter().for_each(|(name, value)| flatten(below(&name), value, meta)),
        Value::Array(list) => list.into_iter().enumerate().for_each(|(index, value)| flatten(below(&index.to_string()), value, meta)),
        Value::Null => {}
        Value::String(text) => drop(meta.insert(key, text)),
        Value::Bool(_) | Value::Number(_) => drop(meta.insert(key, value.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use store_core::base::ids::SnapshotId;

    use super::*;

    fn report() -> Report {
        Report {
            snapshot: Some(SnapshotId::from_bytes([0x5f; 32])),
            parent: None,
            files_new: 40,
            files_changed: 3,
            files_unmodified: 1,
            directories: 2,
            others: 0,
            bytes: 14_000_000_000,
            bytes_read: 14_000_000_000,
            new_bytes: 590_000_000,
            stored_bytes: 571_000_000,
            chunks_new: 1,
            chunks_known: 2,
            unreadable: 0,
            skipped: false,
            duration: Duration::from_millis(9_800),
        }
    }

    #[test]
    fn the_summary_is_one_line() {
        assert_eq!(line(&report(), false), "5f5f5f5f  44 files  14.0 GB  new 590 MB  stored 571 MB  (24.5x)  9.8 s");
        let partial = Report { unreadable: 2, ..report() };
        assert!(line(&partial, false).ends_with("9.8 s  2 unreadable"));
        let skipped = Report { snapshot: None, parent: report().snapshot, skipped: true, ..report() };
        assert!(line(&skipped, false).starts_with("unchanged since 5f5f5f5f  44 files"));
        let dry = line(&Report { snapshot: None, ..report() }, true);
        assert_eq!(dry, "dry run  44 files  14.0 GB  new 590 MB  stored at most 571 MB  (24.5x)  9.8 s");
        let changing = Report { new_bytes: 25_000_000_000, stored_bytes: 24_000_000_000, ..report() };
        assert!(line(&changing, false).contains("new 25.0 GB  stored 24.0 GB  11.0 GB or more of it in vain: files changed"));
        assert!(!line(&changing, false).contains("x)"));
    }

    #[test]
    fn metadata_is_flattened_and_what_was_typed_wins() {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), r#"{"loss": 0.42, "opt": {"lr": 2e-5, "betas": [0.9, 0.95]}, "name": "x", "none": null, "ok": true}"#)
            .unwrap();
        let args = Push { meta_file: vec![file.path().into()], meta: vec!["name=y=z".into(), "empty=".into()], ..Push::default() };
        let meta = metadata(&args).unwrap();
        let expected = [
            ("empty", ""),
            ("loss", "0.42"),
            ("name", "y=z"),
            ("ok", "true"),
            ("opt.betas.0", "0.9"),
            ("opt.betas.1", "0.95"),
            ("opt.lr", "0.00002"),
        ];
        let found: Vec<_> = meta.iter().map(|(key, value)| (key.as_str(), value.as_str())).filter(|(key, _)| *key != "opt.lr").collect();
        assert_eq!(found, expected.iter().copied().filter(|(key, _)| *key != "opt.lr").collect::<Vec<_>>());
        assert_eq!(meta["opt.lr"].parse::<f64>().unwrap(), 2e-5);
        assert!(metadata(&Push { meta: vec!["x".into()], ..Push::default() }).is_err());
    }

    #[test]
    fn sources_do_not_mix() {
        let paths = |paths: &[&str]| paths.iter().map(OsString::from).collect();
        assert!(matches!(source(&Push { paths: paths(&["-"]), ..Push::default() }), Ok(Source::Reader { name, .. }) if name == "stdin"));
        assert!(source(&Push { paths: paths(&["-", "x"]), ..Push::default() }).is_err());
        assert!(source(&Push::default()).is_err());
        assert!(source(&Push { stdin_from_command: true, ..Push::default() }).is_err());
        let command = Push { stdin_from_command: true, paths: paths(&["echo", "-"]), ..Push::default() };
        assert!(matches!(source(&command), Ok(Source::Commands(commands)) if commands[0].1.len() == 2));
        assert!(source(&Push { paths: paths(&["x"]), stdin_filename: Some("y".into()), ..Push::default() }).is_err());
    }
}
