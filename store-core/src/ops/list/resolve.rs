//! Which snapshot somebody means.

use super::time::{Edge, parse_time};
use super::{Filter, Item};
use crate::backend::ObjectPath;
use crate::base::ids::SnapshotId;
use crate::error::{Error, ErrorKind};
use crate::format::record::Time;
use crate::repo::{Repo, Standings};

/// Fewest hexadecimal digits that name a snapshot.
const PREFIX: usize = 4;
/// How many candidates or refs an error lists.
const SHOWN: usize = 8;

/// A way to name a snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Base<'t> {
    Latest,
    /// The last one at that time.
    At(&'t str),
    /// The newest that carries the ref but so many.
    Ref(&'t str, u64),
    /// An id, the beginning of one, or a ref.
    Name(&'t str),
}

/// The snapshot that `spec` means: a full id, a unique beginning of one (4 digits or more), a ref, `latest`, `@TIME` for the last one at
/// that time; each with `~N` behind it for the N-th before it; or `REF@{N}` for what a ref pointed to N moves ago.
///
/// Where a ref and the beginning of an id agree, the ref is meant. A forgotten snapshot that no prune has dropped is found by its id and by
/// `REF@{N}`, and by nothing else.
///
/// # Errors
/// Of kind [`ErrorKind::Usage`] when nothing fits or more than one does. Of kind [`ErrorKind::Damage`] when `latest`, `@TIME` or `~N` is asked for
/// while the record of a snapshot cannot be read: it may be the one that is meant. Others when snapshots cannot be read.
pub fn resolve(repo: &Repo, spec: &str, filter: &Filter) -> Result<Item, Error> {
    choose(&repo.shown_standing()?, spec, filter)
}

/// Whether `spec` is a time, perhaps with steps back.
pub(super) fn is_time(spec: &str) -> bool {
    matches!(parse(spec), Ok((Base::At(text), _)) if parse_time(text, Edge::End).is_ok())
}

fn usage(message: String) -> Error {
    Error::new(ErrorKind::Usage, message)
}

fn parse(spec: &str) -> Result<(Base<'_>, u64), Error> {
    let (mut name, mut back) = (spec, 0u64);
    while let Some((before, steps)) = name.rsplit_once('~').filter(|(_, steps)| steps.bytes().all(|c| c.is_ascii_digit())) {
        let steps = if steps.is_empty() { Some(1) } else { steps.parse().ok() };
        let sum = steps.and_then(|steps| back.checked_add(steps));
        back = sum.ok_or_else(|| usage(format!("'{spec}' goes back too many snapshots")))?;
        name = before;
    }
    let base = match name.strip_suffix('}').and_then(|name| name.rsplit_once("@{")) {
        Some((name, steps)) if !name.is_empty() => {
            let steps = steps.parse().map_err(|_| usage(format!("'{spec}': write REF@{{N}} with a number, as in production@{{1}}")))?;
            Base::Ref(name, steps)
        }
        _ => match name.strip_prefix('@') {
            Some(time) => Base::At(time),
            None if name == "latest" => Base::Latest,
            None => Base::Name(name),
        },
    };
    Ok((base, back))
}

fn choose(known: &Standings, spec: &str, filter: &Filter) -> Result<Item, Error> {
    let (base, back) = parse(spec)?;
    if let (true, Some(lost)) = (matches!(base, Base::Latest | Base::At(_)) || back > 0, known.unread_snapshots.first()) {
        let path = ObjectPath::Outcome(*lost);
        let message = format!(
            "nobody knows which one '{spec}' is: {path} is damaged, and may be it: name a snapshot by its id, as `snap list` shows it, or put \
             that file back from a copy of the repository"
        );
        return Err(Error::new(ErrorKind::Damage, message));
    }
    if known.snapshots.is_empty() && known.forgotten.is_empty() && known.unread_snapshots.is_empty() {
        return Err(usage("the repository holds no snapshot yet: make one with `snap push`".into()));
    }
    let filtered: Vec<&Item> = known.snapshots.iter().filter(|item| filter.matches(item)).collect();
    let none = || usage(format!("no snapshot is '{spec}' among those that the filters let through: `snap list` shows all"));
    let found = match base {
        Base::Latest => filtered.last().copied().ok_or_else(none)?,
        Base::At(text) => {
            let time = parse_time(text, Edge::End)?;
            let at = filtered.partition_point(|item| item.snapshot.time <= time);
            at.checked_sub(1).map(|at| filtered[at]).ok_or_else(|| usage(format!("no snapshot is as old as '{text}'")))?
        }
        Base::Ref(name, steps) => match pointed(known, filter, name, steps)? {
            Pointed::Shown(item) | Pointed::Forgotten(item) => item,
            Pointed::Unknown => return Err(unknown(known, name)),
        },
        Base::Name(name) => named(known, filter, name)?,
    };
    if back == 0 {
        return Ok(found.clone());
    }
    let place = |item: &Item| (item.snapshot.time, item.id);
    let before = filtered.partition_point(|item| place(item) < place(found));
    let at = usize::try_from(back).ok().and_then(|back| before.checked_sub(back));
    at.map(|at| filtered[at].clone()).ok_or_else(|| usage(format!("'{spec}' does not exist: {before} snapshots are before that one")))
}

/// What a ref points to, or pointed to.
enum Pointed<'i> {
    Shown(&'i Item),
    Forgotten(&'i Item),
    /// No such ref is known, or none of a snapshot that the filter lets through.
    Unknown,
}

fn pointed<'i>(known: &'i Standings, filter: &Filter, name: &str, steps: u64) -> Result<Pointed<'i>, Error> {
    let moves = known.fold.refs.get(name).map_or(&[][..], Vec::as_slice);
    let history: Vec<_> = known.history(moves, |item| filter.matches(item), *filter == Filter::default()).collect();
    let Some(to) = usize::try_from(steps).ok().and_then(|steps| history.get(steps)) else {
        return match history.len() {
            0 => Ok(Pointed::Unknown),
            count => {
                Err(usage(format!("'{name}@{{{steps}}}': the ref '{name}' moved {count} times, so the oldest is {name}@{{{}}}", count - 1)))
            }
        };
    };
    let Some(id) = to.to else {
        return Err(usage(format!(
            "'{name}@{{{steps}}}' points nowhere: the ref was removed; {name}@{{{}}} is what it was before",
            steps + 1
        )));
    };
    match known.find(&id) {
        Some(item) if item.standing.forgotten.is_some() => Ok(Pointed::Forgotten(item)),
        Some(item) => Ok(Pointed::Shown(item)),
        None => Err(usage(format!("'{name}@{{{steps}}}' was snapshot {}, which is not there any more", id.short()))),
    }
}

fn named<'i>(known: &'i Standings, filter: &Filter, name: &str) -> Result<&'i Item, Error> {
    if let Ok(id) = name.parse::<SnapshotId>() {
        let unknown = || usage(format!("there is no snapshot {id}: `snap list` shows all"));
        return known.find(&id).ok_or_else(|| damaged(known, name).unwrap_or_else(unknown));
    }
    if known.fold.refs.contains_key(name) {
        match pointed(known, filter, name, 0)? {
            Pointed::Shown(item) => return Ok(item),
            Pointed::Forgotten(item) => {
                let id = item.id.short();
                let message =
                    format!("'{name}' points to {id}, which is forgotten: `snap forget --undo {id}` brings it back, or use {id} itself");
                return Err(usage(message));
            }
            Pointed::Unknown => {}
        }
    }
    let hex = !name.is_empty() && name.bytes().all(|c| c.is_ascii_hexdigit());
    if !hex {
        return Err(unknown(known, name));
    }
    let prefix = name.to_ascii_lowercase();
    let fitting = |items: &'i [Item]| -> Vec<&'i Item> { items.iter().filter(|item| item.id.to_string().starts_with(&prefix)).collect() };
    let mut found = fitting(&known.snapshots);
    if found.is_empty() {
        found = fitting(&known.forgotten);
    }
    match found[..] {
        [_, ..] if name.len() < PREFIX => {
            Err(usage(format!("'{name}' is too short for a snapshot: give {PREFIX} digits of its id or more")))
        }
        [only] => Ok(only),
        [] => Err(damaged(known, name).unwrap_or_else(|| unknown(known, name))),
        _ => {
            let more = if found.len() > SHOWN { format!(" and {} more", found.len() - SHOWN) } else { String::new() };
            let shown: Vec<_> = found.iter().take(SHOWN).map(|item| describe(item, prefix.len())).collect();
            Err(usage(format!("'{name}' could be {}{more}: give more digits", shown.join(", "))))
        }
    }
}

/// That the snapshot which is meant is there and its record cannot be read, if that is so.
fn damaged(known: &Standings, name: &str) -> Option<Error> {
    let path = ObjectPath::Outcome(*known.unread_named(name).first()?);
    let message = format!(
        "{path} is damaged, so nobody knows what is in that snapshot: put that file back from a copy of the repository, or give it up with \
         `snap repair snapshots`"
    );
    Some(Error::new(ErrorKind::Damage, message))
}

fn describe(item: &Item, prefix: usize) -> String {
    let (id, Time { seconds, .. }) = (item.id.to_string(), item.snapshot.time);
    let digits = (prefix + 4).clamp(8, id.len());
    let time = jiff::Timestamp::from_second(seconds).map_or_else(|_| format!("{seconds} s"), |time| time.to_string());
    let series = item.snapshot.series.as_ref().map(|series| format!(", series {series}")).unwrap_or_default();
    format!("{} ({time}{series})", &id[..digits])
}

fn unknown(known: &Standings, name: &str) -> Error {
    if known.fold.refs.contains_key(name) {
        return usage(format!("the ref '{name}' is carried by no snapshot that the filters let through"));
    }
    let points = known.fold.refs.iter().filter(|(_, history)| history.first().is_some_and(|to| to.to.is_some()));
    let refs: Vec<&str> = points.map(|(name, _)| name.as_str()).collect();
    let known = match refs.len() {
        0 => String::new(),
        1..=SHOWN => format!("; refs are {}", refs.join(", ")),
        more => format!("; refs are {} and {} more", refs[..SHOWN].join(", "), more - SHOWN),
    };
    usage(format!("there is no snapshot '{name}': `snap list` shows all{known}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::ids::{NodeId, WriterId};
    use crate::format::record::Extra;
    use crate::format::snapshot::{Snapshot, Totals};
    use crate::notes::{Forgotten, Standing, fold};

    fn item(id: &str, seconds: i64, series: Option<&str>, refs: &[&str], loss: Option<&str>) -> Item {
        let snapshot = Snapshot {
            root: NodeId::from_bytes([0; 32]),
            time: Time { seconds, nanos: 0 },
            zone: 0,
            host: "host".into(),
            user: "user".into(),
            writer: WriterId::from_bytes([0; 16]),
            previous: None,
            parent: None,
            series: series.map(Into::into),
            tags: ["a".into(), "b".into()].into(),
            refs: refs.iter().map(|name| (*name).into()).collect(),
            description: None,
            meta: loss.map(|loss| ("loss".into(), loss.into())).into_iter().collect(),
            paths: vec![b"/data".to_vec()],
            incompatible: 0,
            totals: Totals { bytes: 100, ..Totals::default() },
            program: String::new(),
            extra: Extra::new(),
        };
        Item { id: format!("{id:0<64}").parse().unwrap(), snapshot, standing: Standing::default() }
    }

    fn items() -> Vec<Item> {
        vec![
            item("aaaa1", 1000, Some("s"), &["v1", "production"], Some("0.9")),
            item("aaaa2", 2000, None, &["face"], None),
            item("bbbb", 3000, Some("s"), &["v2", "production"], Some("0.09")),
            item("face", 4000, None, &[], Some("nan")),
            item("cccc", 5000, Some("s"), &[], Some("10")),
        ]
    }

    fn known() -> Standings {
        let mut snapshots = items();
        let fold = fold(&[], &Default::default(), &mut snapshots);
        Standings { snapshots, fold, ..Standings::default() }
    }

    fn found(spec: &str, filter: &Filter) -> Result<i64, String> {
        choose(&known(), spec, filter).map(|item| item.snapshot.time.seconds / 1000).map_err(|error| error.to_string())
    }

    #[test]
    fn every_way_to_name_a_snapshot_is_understood() {
        let all = Filter::default();
        let full = format!("{:0<64}", "face");
        for (spec, meant) in [
            ("latest", 5),
            ("latest~", 4),
            ("latest~1", 4),
            ("latest~1~2", 2),
            ("latest~4", 1),
            ("bbbb", 3),
            ("BBBB", 3),
            ("aaaa1", 1),
            ("aaaa2~1", 1),
            ("v1", 1),
            ("production", 3),
            ("production~1", 2),
            ("production@{0}", 3),
            ("production@{1}", 1),
            ("face", 2),
            (full.as_str(), 4),
            ("@1970-01-01T00:50:00Z", 3),
            ("@1970-01-01T01:00:00Z~2", 1),
            ("@1h", 5),
        ] {
            assert_eq!(found(spec, &all), Ok(meant), "{spec}");
        }
    }

    #[test]
    fn a_forgotten_snapshot_is_found_by_its_id_alone() {
        let mut known = known();
        let mut gone = known.snapshots.remove(2);
        let time = Time { seconds: 9000, nanos: 0 };
        gone.standing.forgotten = Some(Forgotten { by: String::new(), time, reason: String::new(), until: None });
        known.forgotten.push(gone);
        let found = |spec: &str| choose(&known, spec, &Filter::default()).map(|item| item.snapshot.time.seconds / 1000);
        for (spec, meant) in
            [("latest~2", 2), ("bbbb", 3), ("bbbb~1", 2), ("production@{0}", 3), ("production@{1}", 1), ("@1970-01-01T00:55:00Z", 2)]
        {
            assert_eq!(found(spec).unwrap(), meant, "{spec}");
        }
        assert!(found("production").unwrap_err().to_string().contains("forget --undo bbbb"));
    }

    #[test]
    fn while_a_record_is_damaged_nobody_says_which_one_is_the_latest() {
        let mut known = known();
        known.unread_snapshots.insert(SnapshotId::from_bytes([7; 32]));
        let found = |spec: &str| choose(&known, spec, &Filter::default());
        for spec in ["latest", "latest~1", "bbbb~1", "production~", "@1970-01-01T00:50:00Z"] {
            let error = found(spec).unwrap_err();
            assert!(error.kind() == ErrorKind::Damage && error.to_string().contains("snapshots/0707"), "{spec}: {error}");
        }
        assert!(["bbbb", "v1", "production@{1}"].into_iter().all(|spec| found(spec).is_ok()));
    }

    #[test]
    fn filters_bound_all_but_ids() {
        let series = Filter { series: Some("s".into()), until: Some(Time { seconds: 3000, nanos: 0 }), ..Filter::default() };
        assert_eq!(found("latest", &series), Ok(3));
        assert_eq!(found("latest~1", &series), Ok(1));
        assert_eq!(found("aaaa2", &series), Ok(2));
        assert_eq!(found("aaaa2~1", &series), Ok(1));
        assert_eq!(found("@1970-01-01T00:40:00Z", &series), Ok(1));
        let tags = |lists: &[&[&str]]| lists.iter().map(|list| list.iter().map(|tag| (*tag).into()).collect()).collect();
        assert!(found("latest", &Filter { tags: tags(&[&["x"], &["a", "b"]]), ..Filter::default() }).is_ok());
        assert!(found("latest", &Filter { tags: tags(&[&["a", "x"]]), ..Filter::default() }).is_err());
    }

    #[test]
    fn errors_say_what_could_be_meant() {
        let all = Filter::default();
        let error = |spec| found(spec, &all).unwrap_err();
        assert!(error("aaaa").contains("aaaa1000 (1970-01-01T00:16:40Z, series s), aaaa2000 (1970-01-01T00:33:20Z)"), "{}", error("aaaa"));
        assert!(error("bbb").contains("too short"));
        assert!(error("v3").contains("refs are face, production, v1, v2"));
        assert!(error("dddd").contains("no snapshot 'dddd'"));
        assert!(error("production@{2}").contains("production@{1}"));
        assert!(error("latest~5").contains("4 snapshots are before"));
        assert!(error("@1970-01-01T00:00:01Z").contains("as old as"));
        assert!(error("v1@{x}").contains("number"));
        assert!(error("@soon").contains("no time"));
        assert!(error("latest~99999999999999999999").contains("too many"));
        assert!(choose(&Standings::default(), "latest", &all).unwrap_err().to_string().contains("snap push"));
    }

    #[test]
    fn conditions_compare_numbers_as_numbers() {
        let holds = |text: &str| -> Vec<i64> {
            let filter = Filter { conditions: vec![text.parse().unwrap()], ..Filter::default() };
            items().iter().filter(|item| filter.matches(item)).map(|item| item.snapshot.time.seconds / 1000).collect()
        };
        assert_eq!(holds("meta.loss < 0.5"), [3]);
        assert_eq!(holds("meta.loss<=0.9"), [1, 3]);
        assert_eq!(holds("meta.loss > 0.5"), [1, 5]);
        assert_eq!(holds("meta.loss = NaN"), [4]);
        assert_eq!(holds("meta.loss != 10"), [1, 2, 3, 4]);
        assert_eq!(holds("series == 's'"), [1, 3, 5]);
        assert_eq!(holds("bytes >= 1e2"), [1, 2, 3, 4, 5]);
        for text in ["", "meta.loss", "meta. < 1", "loss < 1", "meta.loss ! 1"] {
            assert!(text.parse::<super::super::Condition>().is_err(), "{text}");
        }
    }
}
