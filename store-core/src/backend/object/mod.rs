//! A repository below a prefix of a bucket (`spec/BUCKETS.md`), through `object_store`: Amazon S3 and what speaks like it, Google Cloud Storage,
//! Azure Blob Storage. The runtime that its futures need is its own, and nothing async is seen from outside; it may be called from any thread.

mod answer;
mod attempts;
mod connection;
mod pace;
mod place;
mod profile;

use std::io;
use std::sync::Arc;
use std::sync::mpsc::RecvTimeoutError;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::StreamExt as _;
use object_store::list::PaginatedListOptions;
use object_store::path::Path;
use object_store::{GetOptions, GetResult, ObjectMeta, ObjectStoreExt as _, PutMode, PutOptions, PutPayload};
use tokio::runtime::Runtime;

use super::path::is_object_name;
use super::{Asked, Backend, BackendError, Created, Folder, Listed, ObjectPath, RequestCount, Transport};
use crate::error::{Error, ErrorKind};
use answer::Trouble;
use attempts::Attempts;
use connection::Connector;
use pace::Pace;
pub use place::{Place, Scheme, Variables};
use place::{Reached, Store};

/// Packs that are written, and ranges that are read, at a time: what a distance of 50 ms takes to fill a line of some gigabits, and what the
/// memory of a small budget can hold.
const LANES: usize = 4;
/// Threads that encrypt and move bytes; callers wait meanwhile.
const WORKERS: usize = 2;
/// How often whoever waits for the store looks whether the user wants to stop.
const LOOK: Duration = Duration::from_millis(100);
/// How long a request may take once the user wants to stop: enough to leave things tidy where the store answers.
const GRACE: Duration = Duration::from_secs(3);
/// What is read whole is rarely longer, in bytes: how long a read may take is measured by it.
const PACK: u64 = 64 << 20;

/// A prefix of a bucket.
#[derive(Debug)]
pub struct ObjectBackend {
    place: Place,
    /// Which store it is, whoever asks.
    name: String,
    inner: Arc<Inner>,
    /// Whether the user wants to stop.
    interrupted: fn() -> bool,
    /// `None` only while this is dropped.
    runtime: Option<Runtime>,
}

struct Inner {
    store: Arc<dyn Store>,
    prefix: String,
    attempts: Attempts,
}

impl std::fmt::Debug for Inner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // A store's own text may have more in it than is for everybody's eyes.
        f.debug_struct("Inner").field("prefix", &self.prefix).finish_non_exhaustive()
    }
}

impl ObjectBackend {
    /// The repository at `place`. Nothing is asked of the store yet.
    ///
    /// # Errors
    /// When `variables` lack what is needed to reach it, or contradict themselves.
    pub fn at(place: Place, transport: &Transport, variables: &Variables) -> Result<Self, Error> {
        let pace = |limit: Option<u64>| limit.map(|limit| Arc::new(Pace::new(limit)));
        let (upload, download, patience) = (pace(transport.upload), pace(transport.download), transport.patience);
        let connector = Connector { upload, download, patience };
        let attempts = Attempts::new(transport, &connector);
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(WORKERS).thread_name("snap-bucket").enable_all().build();
        let runtime =
            runtime.map_err(|error| Error::with(ErrorKind::Failed, "cannot start the threads that speak with the bucket", error))?;
        let Reached { store, name } = place.reach(variables, connector)?;
        let inner = Arc::new(Inner { store, prefix: place.prefix.clone(), attempts });
        Ok(Self { place, name, inner, interrupted: transport.interrupted, runtime: Some(runtime) })
    }

    /// The same, for a new repository: nothing may be there but what an `init` that failed may have left.
    ///
    /// # Errors
    /// Of kind [`ErrorKind::Refused`] when something is there.
    pub fn create_at(place: Place, transport: &Transport, variables: &Variables) -> Result<Self, Error> {
        let backend = Self::at(place, transport, variables)?;
        let inner = Arc::clone(&backend.inner);
        let there = backend.run("look at", &backend.place.to_string(), async move { inner.page(None, "", None).await })?;
        let strip = |object: &ObjectMeta| backend.inner.below(object).map(str::to_owned);
        let harmless = [Folder::Keys, Folder::Probes, Folder::Trials].map(|folder| format!("{}/", folder.name()));
        let other = there.0.iter().filter_map(strip).find(|name| !harmless.iter().any(|folder| name.starts_with(folder)));
        match other {
            None => Ok(backend),
            Some(name) if name == "config" => Err(Error::new(ErrorKind::Refused, format!("{} is a repository already", backend.place))),
            Some(name) => {
                let message =
                    format!("{} is not empty, {name} is there: choose an empty or a new prefix for the repository", backend.place);
                Err(Error::new(ErrorKind::Refused, message))
            }
        }
    }

    /// Does `work` on the runtime and waits for it.
    fn run<T: Send + 'static>(
        &self,
        action: &'static str,
        object: &str,
        work: impl Future<Output = Result<T, io::Error>> + Send + 'static,
    ) -> Result<T, BackendError> {
        let (sender, receiver) = std::sync::mpsc::sync_channel(1);
        let runtime = self.runtime.as_ref().expect("it is there until this is dropped");
        let task = runtime.spawn(async move {
            // Whoever waited may be gone.
            let _ = sender.send(work.await);
        });
        let mut last = None;
        let done = loop {
            match receiver.recv_timeout(LOOK) {
                Ok(done) => break done,
                Err(RecvTimeoutError::Disconnected) => break Err(io::Error::other("the thread that speaks with the bucket panicked")),
                Err(RecvTimeoutError::Timeout) if !(self.interrupted)() => {}
                Err(RecvTimeoutError::Timeout) => {
                    if Instant::now() >= *last.get_or_insert_with(|| Instant::now() + GRACE) {
                        task.abort();
                        // It may come through all the same, as after a failure.
                        self.inner.attempts.give_up();
                        break Err(io::Error::other("interrupted while the store was waited for"));
                    }
                }
            }
        };
        done.map_err(|source| BackendError { action, object: object.to_owned(), source })
    }

    fn create_bytes(&self, path: &ObjectPath, bytes: Bytes) -> Result<Created, BackendError> {
        let (inner, at) = (Arc::clone(&self.inner), *path);
        self.run("write", &path.to_string(), async move { inner.create(&at, bytes).await })
    }
}

impl Drop for ObjectBackend {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            // Nothing is under way: whoever asked has waited. And this may be called from within another runtime, which must not block.
            runtime.shutdown_background();
        }
    }
}

impl Backend for ObjectBackend {
    fn location(&self) -> String {
        self.place.to_string()
    }

    fn read(&self, path: &ObjectPath, limit: usize) -> Result<Vec<u8>, BackendError> {
        let (inner, at) = (Arc::clone(&self.inner), *path);
        self.run("read", &path.to_string(), async move { inner.read(&at, limit as u64).await }).map(Vec::from)
    }

    fn read_range(&self, path: &ObjectPath, offset: u64, len: usize) -> Result<Vec<u8>, BackendError> {
        let (inner, at) = (Arc::clone(&self.inner), *path);
        self.run("read", &path.to_string(), async move { inner.read_range(&at, offset, len as u64).await }).map(Vec::from)
    }

    fn len(&self, path: &ObjectPath) -> Result<u64, BackendError> {
        let (inner, at) = (Arc::clone(&self.inner), *path);
        self.run("look at", &path.to_string(), async move { inner.len(&at).await })
    }

    fn create(&self, path: &ObjectPath, bytes: &[u8]) -> Result<Created, BackendError> {
        self.create_bytes(path, Bytes::copy_from_slice(bytes))
    }

    fn create_lent(&self, path: &ObjectPath, bytes: &mut Vec<u8>) -> Result<Created, BackendError> {
        let lent = Bytes::from(std::mem::take(bytes));
        let created = self.create_bytes(path, lent.clone());
        // No copy, unless an attempt that was given up has not let go of them yet.
        *bytes = lent.into();
        created
    }

    fn list(&self, folder: Folder) -> Result<Vec<Listed>, BackendError> {
        let inner = Arc::clone(&self.inner);
        self.run("list", folder.name(), async move { inner.list(folder).await })
    }

    fn delete(&self, path: &ObjectPath) -> Result<(), BackendError> {
        let (inner, at) = (Arc::clone(&self.inner), *path);
        self.run("delete", &path.to_string(), async move { inner.delete(&at).await })
    }

    fn store_to_probe(&self) -> Option<String> {
        Some(self.name.clone())
    }

    fn lanes(&self) -> usize {
        LANES
    }

    fn given_up(&self) -> u64 {
        self.inner.attempts.given_up()
    }

    fn requests(&self) -> Vec<RequestCount> {
        self.inner.attempts.requests()
    }
}

impl Inner {
    /// The full name of an object.
    fn key(&self, path: &ObjectPath) -> Path {
        let name = if self.prefix.is_empty() { path.to_string() } else { format!("{}/{path}", self.prefix) };
        // As it is: the prefix may have what `From` would encode, and was parsed before; names of objects are hexadecimal.
        Path::parse(&name).unwrap_or_else(|_| Path::from(name))
    }

    /// An object's name within the repository.
    fn below<'o>(&self, object: &'o ObjectMeta) -> Option<&'o str> {
        let name = object.location.as_ref();
        if self.prefix.is_empty() { Some(name) } else { name.strip_prefix(self.prefix.as_str())?.strip_prefix('/') }
    }

    async fn get(&self, path: &ObjectPath, options: GetOptions) -> object_store::Result<GetResult> {
        self.store.get_opts(&self.key(path), options).await
    }

    async fn read(&self, path: &ObjectPath, limit: u64) -> io::Result<Bytes> {
        let read = self.attempts.until(path.folder(), Asked::Get, limit.min(PACK), || async {
            let result = self.get(path, GetOptions::new()).await?;
            let len = result.meta.size;
            // Too long: its bytes are not fetched.
            if len > limit { Ok(Err(len)) } else { exactly(result.bytes().await?, len).map(Ok) }
        });
        read.await.map_err(Trouble::into_io)?.map_err(|len| {
            let message = format!("it has {len} bytes, the limit is {limit}");
            io::Error::new(io::ErrorKind::InvalidData, message)
        })
    }

    async fn read_range(&self, path: &ObjectPath, offset: u64, len: u64) -> io::Result<Bytes> {
        let beyond = || io::Error::new(io::ErrorKind::UnexpectedEof, format!("it ends before {len} bytes from {offset}"));
        let end = offset.checked_add(len).ok_or_else(beyond)?;
        if len == 0 {
            // A range of nothing cannot be asked for.
            return if self.len(path).await? < offset { Err(beyond()) } else { Ok(Bytes::new()) };
        }
        let read = self.attempts.until(path.folder(), Asked::Get, len, || async {
            let result = self.get(path, GetOptions::new().with_range(Some(offset..end))).await?;
            // A range that goes beyond the end is answered with what there is.
            if result.range != (offset..end) {
                return Ok(None);
            }
            exactly(result.bytes().await?, len).map(Some)
        });
        match read.await {
            Ok(Some(bytes)) => Ok(bytes),
            Ok(None) => Err(beyond()),
            // 416, or an answer that the crate takes for none: it is the end of the object, if it ends there.
            Err(trouble @ (Trouble::Refused { .. } | Trouble::Transient { .. })) => match self.len(path).await {
                Ok(there) if there < end => Err(beyond()),
                Err(error) if error.kind() == io::ErrorKind::NotFound => Err(error),
                _ => Err(trouble.into_io()),
            },
            Err(trouble) => Err(trouble.into_io()),
        }
    }

    async fn len(&self, path: &ObjectPath) -> io::Result<u64> {
        let key = self.key(path);
        let meta = self.attempts.until(path.folder(), Asked::Head, 0, || async { self.store.head(&key).await });
        Ok(meta.await.map_err(Trouble::into_io)?.size)
    }

    /// Creates an object, also when the answer to an earlier attempt was lost (`spec/BUCKETS.md`, section 2).
    async fn create(&self, path: &ObjectPath, bytes: Bytes) -> io::Result<Created> {
        let key = self.key(path);
        let options = PutOptions::from(PutMode::Create);
        let created = self.attempts.unsure(path.folder(), Asked::Put, bytes.len() as u64, || async {
            self.store.put_opts(&key, PutPayload::from_bytes(bytes.clone()), options.clone()).await
        });
        let (created, is_unsure) = created.await;
        let created = match created {
            // Who may create and not overwrite is told so, and not that it exists.
            Err(Trouble::Refused { kind: io::ErrorKind::PermissionDenied, .. }) if self.len(path).await.is_ok() => Err(Trouble::Exists),
            created => created,
        };
        match created {
            Ok(_) => Ok(Created::New),
            Err(Trouble::Exists) if !is_unsure => Ok(Created::Exists),
            Err(Trouble::Exists) => {
                let is_ours = match self.read(path, bytes.len() as u64).await {
                    Ok(there) => there == bytes,
                    // It is longer.
                    Err(error) if error.kind() == io::ErrorKind::InvalidData => false,
                    Err(error) if error.kind() == io::ErrorKind::NotFound => {
                        let why = "the store says that the object exists, and that it does not: `snap check --probe` looks into that";
                        return Err(io::Error::other(why));
                    }
                    Err(error) => return Err(error),
                };
                Ok(if is_ours { Created::New } else { Created::Exists })
            }
            Err(trouble) => Err(trouble.into_io()),
        }
    }

    async fn list(&self, folder: Folder) -> io::Result<Vec<Listed>> {
        let (mut found, mut token) = (Vec::new(), None);
        loop {
            let (objects, next) = self.page(Some(folder), &format!("{}/", folder.name()), token).await?;
            found.extend(objects.iter().filter_map(|object| listed(folder, self.below(object)?, object.size)));
            token = next;
            if token.is_none() {
                return Ok(found);
            }
        }
    }

    /// One page of a listing of what begins with `start`, and where the next one begins.
    async fn page(&self, folder: Option<Folder>, start: &str, token: Option<String>) -> io::Result<(Vec<ObjectMeta>, Option<String>)> {
        let start = if self.prefix.is_empty() { start.to_owned() } else { format!("{}/{start}", self.prefix) };
        let start = (!start.is_empty()).then_some(start);
        let page = self.attempts.until(folder, Asked::List, 0, || async {
            let options = PaginatedListOptions { page_token: token.clone(), ..PaginatedListOptions::default() };
            self.store.list_paginated(start.as_deref(), options).await
        });
        let page = page.await.map_err(Trouble::into_io)?;
        Ok((page.result.objects, page.page_token))
    }

    async fn delete(&self, path: &ObjectPath) -> io::Result<()> {
        let key = self.key(path);
        let deleted = self.attempts.until(path.folder(), Asked::Delete, 0, || async {
            let one = futures_util::stream::iter([Ok(key.clone())]).boxed();
            self.store.delete_stream(one).next().await.unwrap_or(Ok(key.clone()))
        });
        match deleted.await {
            Ok(_) | Err(Trouble::NotFound) => Ok(()),
            Err(trouble) => Err(trouble.into_io()),
        }
    }
}

/// The bytes, if they are as many as was said.
fn exactly(bytes: Bytes, len: u64) -> object_store::Result<Bytes> {
    if bytes.len() as u64 == len {
        return Ok(bytes);
    }
    Err(object_store::Error::Generic { store: "bucket", source: format!("{} bytes came where {len} were announced", bytes.len()).into() })
}

/// What a listing shows, if it is an object of `folder`.
fn listed(folder: Folder, below: &str, len: u64) -> Option<Listed> {
    let rest = below.strip_prefix(folder.name())?.strip_prefix('/')?;
    let name = if folder == Folder::Packs {
        let (first, name) = rest.split_once('/')?;
        name.starts_with(first).then_some(name).filter(|_| first.len() == 2)?
    } else {
        rest
    };
    is_object_name(folder, name).then(|| Listed { name: name.to_owned(), len })
}

/// How long a request may take by itself.
fn patience(base: Duration, len: u64) -> Duration {
    base + base.mul_f64(len as f64 / (2 << 20) as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_other_shapes_are_no_objects() {
        let name = "ab".repeat(32);
        let is_listed = |folder, below: &str| listed(folder, below, 1).is_some();
        assert!(is_listed(Folder::Packs, &format!("packs/ab/{name}")));
        assert!(is_listed(Folder::Segments, &format!("index/{name}")));
        assert!(is_listed(Folder::Gc, "gc/7.plan"));
        let odd = [
            format!("packs/{name}"),
            format!("packs/ac/{name}"),
            format!("packs/ab/{name}/x"),
            format!("packs/ab/x{name}"),
            "packs/".into(),
        ];
        for below in odd {
            assert!(!is_listed(Folder::Packs, &below), "{below}");
        }
        assert!(!is_listed(Folder::Segments, "index/.tmp-1"));
        assert!(!is_listed(Folder::Segments, &format!("index2/{name}")));
    }
}
