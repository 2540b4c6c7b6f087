//! Puts a store to the test: whether it keeps what the order of writes rests on (`spec/BUCKETS.md`, sections 1 and 4). It asks through the
//! [`Backend`] that a repository would use, so driver and store are tested together. What it creates means nothing.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::io;
use std::sync::Barrier;

use super::{Backend, BackendError, Created, Folder, ObjectPath};
use crate::base::ids::ProbeId;

/// How hard is tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Effort {
    /// How many names are raced for.
    pub rounds: usize,
    /// How many race for each.
    pub writers: usize,
}

impl Default for Effort {
    fn default() -> Self {
        Self { rounds: 50, writers: 32 }
    }
}

const READERS: usize = 8;
/// Trials are about so long.
const LEN: usize = 1000;

/// Which promises `backend` does not keep, and how that showed, each as `S1: …`; none if it seems to keep all.
///
/// # Errors
/// When it cannot be reached, or refuses to do what a repository needs: then nothing is known.
pub fn probe(backend: &dyn Backend, effort: Effort) -> Result<Vec<String>, BackendError> {
    let mut trials = Trials { backend, effort, made: Vec::new(), lone: HashSet::new(), found: BTreeMap::new() };
    if let Err(error) = trials.all() {
        // Trials are not left behind where that can be helped.
        if !error.is_unreachable() {
            let _ = trials.delete();
        }
        return Err(error);
    }
    trials.delete()?;
    let times = |(what, count): (&str, usize)| if count > 1 { format!("{what} ({count} times)") } else { what.to_owned() };
    Ok(trials.found.into_iter().map(times).collect())
}

/// The trials of one probe.
struct Trials<'b> {
    backend: &'b dyn Backend,
    effort: Effort,
    /// The objects, with what must be in them: the bytes of one of those who were told that they had created it.
    made: Vec<(ObjectPath, Vec<Vec<u8>>)>,
    /// Those that had one writer.
    lone: HashSet<ObjectPath>,
    found: BTreeMap<&'static str, usize>,
}

impl Trials<'_> {
    fn found(&mut self, what: &'static str) {
        *self.found.entry(what).or_default() += 1;
    }

    fn all(&mut self) -> Result<(), BackendError> {
        for _ in 0..self.effort.rounds {
            self.round()?;
            self.lone()?;
        }
        // Writes that come late show now.
        for number in 0..self.made.len() {
            let (path, wanted) = self.made[number].clone();
            match self.read(&path)? {
                Some(bytes) if wanted.contains(&bytes) => {}
                Some(_) => self.other_bytes(&path, "S1: an object had other bytes some time after it was created"),
                None => self.found("S3: an object was not there some time after it was created"),
            }
        }
        let listed = self.listed()?;
        if self.made.iter().any(|(path, _)| !listed.contains_key(&path.to_string())) {
            self.found("S3: a listing of all objects lacked some");
        }
        Ok(())
    }

    fn round(&mut self) -> Result<(), BackendError> {
        let path = ObjectPath::Trial(ProbeId::from_bytes(random(&ObjectPath::Config)?));
        if self.read(&path)?.is_some() {
            self.found("S3: an object was there before it was created");
        }
        let winners = self.race(&path)?;
        match winners.len() {
            0 => {
                self.found("S1: of all writers of a name none was told that it had created it");
                return Ok(());
            }
            1 => {}
            _ => self.found("S1: more than one writer of a name was told that it had created it"),
        }
        self.made.push((path, winners.clone()));
        self.look(&path, &winners)?;
        self.ranges(&path)?;
        let listed = self.listed()?;
        match listed.get(&path.to_string()) {
            Some(len) if winners.iter().any(|bytes| bytes.len() as u64 == *len) => {}
            Some(len) if (LEN..LEN + self.effort.writers).contains(&(*len as usize)) => {
                self.found("S1: a listing gave an object the length of another writer's bytes");
            }
            Some(_) => self.found("S3: a listing gave an object another length"),
            None => self.found("S3: a listing did not show an object that had been created"),
        }
        if self.backend.create(&path, b"what comes too late")? == Created::New {
            self.found("S1: a name that was taken was given once more");
        }
        self.look(&path, &winners)
    }

    /// Creates an object for whose name nobody else races.
    fn lone(&mut self) -> Result<(), BackendError> {
        let path = ObjectPath::Trial(ProbeId::from_bytes(random(&ObjectPath::Config)?));
        let bytes: [u8; LEN] = random(&path)?;
        if self.backend.create(&path, &bytes)? == Created::Exists {
            self.found("S3: a name that nobody else wanted was refused");
        }
        self.lone.insert(path);
        self.made.push((path, vec![bytes.to_vec()]));
        self.look(&path, &[bytes.to_vec()])?;
        if self.listed()?.get(&path.to_string()) != Some(&(LEN as u64)) {
            self.found("S3: a listing did not show an object of a lone writer as it was created");
        }
        Ok(())
    }

    /// What it says of an object that it has other bytes than it should.
    fn other_bytes(&mut self, path: &ObjectPath, raced: &'static str) {
        let is_lone = self.lone.contains(path);
        self.found(if is_lone { "S3: an object of a lone writer had other bytes" } else { raced });
    }

    /// Lets all writers create `path` at once. The bytes of those who were told that they had.
    fn race(&self, path: &ObjectPath) -> Result<Vec<Vec<u8>>, BackendError> {
        let Self { backend, effort, .. } = *self;
        let start = Barrier::new(effort.writers);
        let seed: [u8; 32] = random(path)?;
        let bytes_of = |writer: usize| -> Vec<u8> {
            let own = [seed.as_slice(), &writer.to_le_bytes()].concat();
            // Of different lengths, so that a mixture of two shows.
            own.iter().copied().cycle().take(LEN + writer).collect()
        };
        std::thread::scope(|threads| {
            let writers: Vec<_> = (0..effort.writers)
                .map(|writer| {
                    let (start, bytes_of) = (&start, &bytes_of);
                    threads.spawn(move || {
                        let bytes = bytes_of(writer);
                        start.wait();
                        backend.create(path, &bytes).map(|created| (created == Created::New).then_some(bytes))
                    })
                })
                .collect();
            let done = writers.into_iter().map(|writer| writer.join().unwrap_or_else(|_| Err(panicked(path))));
            done.filter_map(Result::transpose).collect()
        })
    }

    /// Has several readers look at an object.
    fn look(&mut self, path: &ObjectPath, winners: &[Vec<u8>]) -> Result<(), BackendError> {
        let this = &*self;
        let seen: Result<Vec<_>, _> = std::thread::scope(|threads| {
            let readers: Vec<_> = (0..READERS).map(|_| threads.spawn(move || Ok((this.read(path)?, this.len(path)?)))).collect();
            readers.into_iter().map(|reader| reader.join().unwrap_or_else(|_| Err(panicked(path)))).collect()
        });
        let seen = seen?;
        if seen.iter().any(|(bytes, len)| bytes.is_none() || len.is_none()) {
            self.found("S3: an object was not there right after it had been created");
        }
        let is_right = |(bytes, len): &(Option<Vec<u8>>, Option<u64>)| {
            bytes.as_ref().is_none_or(|bytes| winners.contains(bytes))
                && len.is_none_or(|len| winners.iter().any(|bytes| bytes.len() as u64 == len))
        };
        if !seen.iter().all(is_right) {
            self.other_bytes(path, "S1: an object had not the bytes of the writer who was told that it had created it");
        }
        Ok(())
    }

    /// Reads parts of an object, and beyond its end.
    fn ranges(&mut self, path: &ObjectPath) -> Result<(), BackendError> {
        let Some(whole) = self.read(path)? else { return Ok(()) };
        for (offset, len) in [(0, 1), (0, whole.len()), (1, whole.len() / 2), (whole.len() - 1, 1)] {
            match self.backend.read_range(path, offset as u64, len) {
                Ok(part) if part == whole[offset..offset + len] => {}
                Err(error) if !is_about_the_object(&error) => return Err(error),
                _ => self.found("S2: a range of an object was not that range of its bytes"),
            }
        }
        for (offset, len) in [(whole.len() - 1, 2), (whole.len(), 1), (whole.len() + 1000, 1)] {
            match self.backend.read_range(path, offset as u64, len) {
                Ok(_) => self.found("S2: a range beyond the end of an object was answered"),
                Err(error) if is_about_the_object(&error) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn delete(&mut self) -> Result<(), BackendError> {
        for number in 0..self.made.len() {
            let path = self.made[number].0;
            match self.backend.delete(&path) {
                Ok(()) => {}
                Err(error) if error.is_denied() => {
                    self.found("S4: this host may not delete, so that deleting could not be tested");
                    return Ok(());
                }
                Err(error) => return Err(error),
            }
            if self.read(&path)?.is_some() {
                self.found("S4: an object was there after it had been deleted");
            }
        }
        let listed = self.listed()?;
        if self.made.iter().any(|(path, _)| listed.contains_key(&path.to_string())) {
            self.found("S4: a listing showed an object that had been deleted");
        }
        Ok(())
    }

    fn read(&self, path: &ObjectPath) -> Result<Option<Vec<u8>>, BackendError> {
        match self.backend.read(path, 16 * LEN) {
            Err(error) if error.is_not_found() => Ok(None),
            read => read.map(Some),
        }
    }

    fn len(&self, path: &ObjectPath) -> Result<Option<u64>, BackendError> {
        match self.backend.len(path) {
            Err(error) if error.is_not_found() => Ok(None),
            len => len.map(Some),
        }
    }

    /// Trials by their paths, with their lengths. Those of others, who may be at it as well, do not matter.
    fn listed(&self) -> Result<BTreeMap<String, u64>, BackendError> {
        let own: BTreeSet<String> = self.made.iter().map(|(path, _)| path.to_string()).collect();
        let listed = self.backend.list(Folder::Trials)?.into_iter();
        let paths = listed.map(|listed| (format!("{}/{}", Folder::Trials.name(), listed.name), listed.len));
        Ok(paths.filter(|(path, _)| own.contains(path)).collect())
    }
}

/// Whether an error says that there are not so many bytes, or no object; not that the store cannot be reached.
fn is_about_the_object(error: &BackendError) -> bool {
    error.is_not_found() || matches!(error.source.kind(), io::ErrorKind::UnexpectedEof | io::ErrorKind::InvalidData)
}

fn random<const N: usize>(object: &ObjectPath) -> Result<[u8; N], BackendError> {
    let mut bytes = [0; N];
    let filled = getrandom::fill(&mut bytes);
    filled.map_err(|error| BackendError { action: "make a trial for", object: object.to_string(), source: error.into() })?;
    Ok(bytes)
}

fn panicked(path: &ObjectPath) -> BackendError {
    BackendError { action: "try", object: path.to_string(), source: io::Error::other("a thread panicked") }
}
