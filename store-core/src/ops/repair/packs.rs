//! `repair packs`: saves what can still be read of damaged packs, and takes the rest out of the index, so that every host knows it is lost
//! and the next push of the same data stores it again (`spec/PROTOCOL.md`, section 6).

use std::collections::BTreeSet;

use super::heal::{Healed, Healing};
use super::salvage::Salvage;
use crate::backend::ObjectPath;
use crate::base::ids::{PackId, SessionId};
use crate::error::{Error, ErrorKind};
use crate::format::session::Purpose;
use crate::monitor::{Monitor, Progress};
use crate::ops::check::{Diagnosis, Finding, Read, diagnose};
use crate::ops::prune;
use crate::ops::restore::spare::must_differ;
use crate::plan::gc::Standing;
use crate::plan::repair::{BlobState, PackFate, Surroundings, decide};
use crate::repo::{PackWriter, Repo};

/// Which packs, and whether it is done.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PacksOptions {
    /// These besides those that are known to be damaged.
    pub packs: BTreeSet<PackId>,
    /// Reads all packs, to find more.
    pub read_data: bool,
    /// Does it; otherwise nothing is written.
    pub execute: bool,
}

/// One pack, what was found of it and what becomes of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PackLine {
    /// Which.
    pub pack: PackId,
    /// Its length in bytes; 0 when it is missing.
    pub len: u64,
    /// What becomes of it.
    pub fate: PackFate,
    /// Blobs that are copied, or would be.
    pub copied: u64,
    /// Blobs that are in other packs, too.
    pub held: u64,
    /// Of those that are copied: blobs that cannot be decoded, since what they are coded against is lost.
    pub waiting: u64,
    /// Blobs that are lost here, and of which each chunk was read in another pack.
    pub elsewhere: u64,
    /// Blobs that are lost.
    pub lost: u64,
    /// Bytes of those.
    pub lost_bytes: u64,
    /// Blobs that the backend does not give now.
    pub withheld: u64,
}

/// What was found, and done or planned.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PacksReport {
    /// Packs that were suspect or asked for.
    pub packs: Vec<PackLine>,
    /// What is damaged, with the files that it hits: those that are lost until the same data is pushed again.
    pub findings: Vec<Finding>,
    /// What came from the second repository, or would.
    pub healed: Healed,
    /// Bytes of packs that were written, those for what was healed aside.
    pub written_bytes: u64,
    /// Packs that were deleted or taken out of the index.
    pub removed: u64,
}

impl PacksReport {
    /// Whether anything is lost.
    pub fn has_lost(&self) -> bool {
        self.packs.iter().any(|line| line.lost + line.withheld + line.waiting > 0 || line.fate == PackFate::Meaningless)
    }
}

/// The pack of this name, or the one that is there whose name begins with these 4 or more digits.
///
/// # Errors
/// Of kind [`ErrorKind::Usage`] when there is none, or several.
pub fn find_pack(repo: &Repo, text: &str) -> Result<PackId, Error> {
    let name = text.rsplit('/').next().unwrap_or(text);
    if let Ok(id) = name.parse() {
        return Ok(id);
    }
    let refuse = |why: &str| Error::new(ErrorKind::Usage, format!("'{text}' {why}: `snap check` names damaged packs"));
    if name.len() < 4 || !name.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return Err(refuse("is no name of a pack, nor 4 or more digits of one"));
    }
    let there = repo.listed_packs()?;
    let mut found = there.into_keys().filter(|id| id.to_string().starts_with(name));
    match (found.next(), found.next()) {
        (Some(id), None) => Ok(id),
        (Some(_), Some(_)) => Err(refuse("names several packs")),
        _ => Err(refuse("names no pack that is there")),
    }
}

/// Saves what can be read of damaged packs, and removes them; or says what it would do.
///
/// # Errors
/// When the repository cannot be read or written. Of kind [`ErrorKind::Usage`] when a pack that was asked for is not known. What fails half-way
/// leaves copies, and perhaps a plan that the next repair or prune brings to an end.
pub fn packs(repo: &Repo, options: &PacksOptions, monitor: &dyn Monitor) -> Result<PacksReport, Error> {
    packs_with(repo, None, options, monitor)
}

/// The same with a second repository that has copies of the snapshots, or others of the same files: chunks that are lost, and nodes of lists, are
/// written again first as far as that one has them. Each has the id under which it was missed.
///
/// # Errors
/// The same, and when the second repository's snapshots cannot be listed, or it is the first one.
pub fn packs_with(repo: &Repo, second: Option<&Repo>, options: &PacksOptions, monitor: &dyn Monitor) -> Result<PacksReport, Error> {
    second.map_or(Ok(()), |second| must_differ(repo, second))?;
    let _past = repo.past_cache();
    let mut turn = None;
    if options.execute {
        repo.check_writable()?;
        turn = prune::Turn::take(repo, &prune::Options::default(), &mut || go_on(monitor))?;
        prune::finish_decided(repo, monitor)?;
    }
    let mut marked: BTreeSet<PackId> = repo.damage().0.into_keys().collect();
    marked.extend(&options.packs);
    let read = if options.read_data { Read::All } else { Read::None };
    let diagnosis = diagnose(repo, read, &marked, monitor)?;
    let mut report = PacksReport { findings: diagnosis.report.findings.clone(), ..PacksReport::default() };
    let suspects: BTreeSet<PackId> = diagnosis.suspects.union(&options.packs).copied().collect();
    // Where nothing is missed, nobody is asked for it.
    let asked = second.filter(|_| report.findings.iter().any(|finding| !finding.hits.is_empty()));
    let heal = |condemned: Option<&BTreeSet<PackId>>| {
        let heal = |second: &Repo| {
            let given_up = second.backend.given_up();
            Healing { repo, second, diagnosis: &diagnosis, condemned, monitor, given_up }.run()
        };
        asked.map_or(Ok(Healed::default()), heal)
    };
    if suspects.is_empty() && asked.is_none() {
        return Ok(report);
    }
    if !options.execute {
        report.healed = heal(None)?;
        report.packs = Rescue::look(repo, &diagnosis, (&suspects, &options.packs), &[], monitor)?.lines();
        return Ok(report);
    }
    let session = repo.begin_session(Purpose::Repair)?;
    let own: Vec<SessionId> = turn.iter().map(prune::Turn::id).chain([session.id()]).collect();
    let mut act = || -> Result<(), Error> {
        if asked.is_some() {
            report.healed = heal(Some(&repo.condemned()?))?;
        }
        execute(repo, &diagnosis, (&suspects, &options.packs), &own, monitor, &mut report)
    };
    let done = act();
    repo.end_session(&session);
    done?;
    if second.is_some() {
        // What is lost now is what the second repository lacks.
        let marked = repo.damage().0.into_keys().collect();
        report.findings = diagnose(repo, Read::None, &marked, monitor)?.report.findings;
    }
    Ok(report)
}

fn execute(
    repo: &Repo,
    diagnosis: &Diagnosis,
    suspects: (&BTreeSet<PackId>, &BTreeSet<PackId>),
    own: &[SessionId],
    monitor: &dyn Monitor,
    report: &mut PacksReport,
) -> Result<(), Error> {
    let mut rescue = Rescue::look(repo, diagnosis, suspects, own, monitor)?;
    report.packs = rescue.lines();
    let writer = PackWriter::new(repo, false)?;
    for (salvage, _) in rescue.damaged() {
        go_on(monitor)?;
        salvage.copy(repo, &writer)?;
    }
    let written = writer.finish()?;
    report.written_bytes = written.counts.bytes;
    if report.packs.iter().any(|line| line.waiting > 0) {
        // Which copies are of no use is found out when the index is built.
        repo.index.discard()?;
    }
    let goes: BTreeSet<PackId> = rescue.packs.iter().filter(|(_, fate)| fate.goes()).map(|(salvage, _)| salvage.id).collect();
    if goes.is_empty() {
        return Ok(());
    }
    let unsafe_packs = rescue.unsafe_packs();
    // Asked once the plan is durable: from then on nothing but the plan's packs can be deleted (I30).
    let mut is_all_elsewhere = || -> Result<bool, Error> {
        if !rescue.packs.iter_mut().filter(|(_, fate)| fate.goes()).all(|(salvage, _)| salvage.is_still_lost(repo)) {
            return Ok(false);
        }
        repo.refresh()?;
        let there = repo.listed_packs()?;
        let standing = |pack: &PackId| if unsafe_packs.contains(pack) { Standing::Gone } else { Standing::Stays };
        let copies_are_there = written.packs.iter().all(|(pack, len)| there.get(pack) == Some(len));
        Ok(copies_are_there && repo.holds(rescue.damaged().flat_map(|(salvage, _)| salvage.whole()), &there, standing)?)
    };
    report.removed = prune::remove(repo, &goes, &mut is_all_elsewhere, monitor)?;
    forget_damage(repo)
}

fn go_on(monitor: &dyn Monitor) -> Result<(), Error> {
    if monitor.interrupted() { Err(Error::new(ErrorKind::Interrupted, "interrupted: nothing was deleted")) } else { Ok(()) }
}

/// What this host remembers of packs that are gone says no more.
fn forget_damage(repo: &Repo) -> Result<(), Error> {
    let there = repo.listed_packs()?;
    let mut record = repo.damage();
    record.0.retain(|pack, _| there.contains_key(pack));
    repo.remember_damage(&record)
}

/// Suspect packs with what is to become of them.
struct Rescue {
    packs: Vec<(Salvage, PackFate)>,
}

impl Rescue {
    /// Reads them. Within sessions of its `own` what open plans condemn is not relied on.
    fn look(
        repo: &Repo,
        diagnosis: &Diagnosis,
        (suspects, asked): (&BTreeSet<PackId>, &BTreeSet<PackId>),
        own: &[SessionId],
        monitor: &dyn Monitor,
    ) -> Result<Self, Error> {
        let condemned = if own.is_empty() { BTreeSet::new() } else { repo.condemned()? };
        repo.refresh()?;
        let there = repo.listed_packs()?;
        // Opened first: it is what finds out about the segments.
        let _ = repo.index()?;
        let surroundings = Surroundings {
            has_unreadable_segments: repo.index.has_unreadable(),
            is_somebody_active: prune::open_sessions(repo)?.iter().any(|id| !own.contains(id)),
        };
        let mut rescue = Self { packs: Vec::new() };
        for (done, pack) in suspects.iter().enumerate() {
            go_on(monitor)?;
            monitor.progress(&Progress { files_done: done as u64, files_total: suspects.len() as u64, ..Progress::default() });
            let listed = diagnosis.listed.get(pack);
            let len = there.get(pack).copied();
            if listed.is_none() && len.is_none() && !asked.contains(pack) {
                // It went since it was looked at.
                continue;
            }
            if listed.is_none() && len.is_none() {
                return Err(Error::new(
                    ErrorKind::Usage,
                    format!("there is no {}, and no index segment names it", ObjectPath::Pack(*pack)),
                ));
            }
            let is_framed = !diagnosis.frames.contains(pack);
            let salvage = Salvage::look(repo, *pack, len, listed, is_framed);
            let fate = decide(&salvage.state, surroundings);
            rescue.packs.push((salvage, fate));
        }
        let mut unsafe_packs = rescue.unsafe_packs();
        unsafe_packs.extend(condemned);
        for (salvage, _) in rescue.packs.iter_mut().filter(|(_, fate)| *fate != PackFate::Sound) {
            salvage.find_held(repo, &unsafe_packs)?;
        }
        Ok(rescue)
    }

    fn damaged(&self) -> impl Iterator<Item = &(Salvage, PackFate)> {
        self.packs.iter().filter(|(_, fate)| *fate != PackFate::Sound)
    }

    /// Packs in which nothing counts as safe.
    fn unsafe_packs(&self) -> BTreeSet<PackId> {
        self.damaged().map(|(salvage, _)| salvage.id).collect()
    }

    fn lines(&self) -> Vec<PackLine> {
        let line = |(salvage, fate): &(Salvage, PackFate)| {
            let count = |state| salvage.count(|blob| blob == state);
            let ((lost, lost_bytes), waiting) = (count(BlobState::Lost), count(BlobState::Waiting).0);
            let is_sound = *fate == PackFate::Sound;
            PackLine {
                pack: salvage.id,
                len: salvage.len,
                fate: *fate,
                copied: if is_sound { 0 } else { count(BlobState::Whole).0 + waiting },
                held: count(BlobState::Held).0,
                elsewhere: count(BlobState::Elsewhere).0,
                waiting: if is_sound { 0 } else { waiting },
                lost,
                lost_bytes,
                withheld: count(BlobState::Withheld).0,
            }
        };
        self.packs.iter().map(line).collect()
    }
}
