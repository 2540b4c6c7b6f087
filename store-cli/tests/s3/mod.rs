//! An S3 server in this process, on a port of its own: `s3s` speaks the protocol and checks signatures and hashes, a map holds the objects. It
//! keeps the promises of `spec/BUCKETS.md`, section 1, unless it is told to break one.

#![allow(dead_code, unreachable_pub, reason = "not every test uses everything here")]

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use futures_util::TryStreamExt as _;
use hyper_util::rt::TokioIo;
use s3s::auth::SimpleAuth;
use s3s::dto::*;
use s3s::service::S3ServiceBuilder;
use s3s::{Body, S3, S3Request, S3Response, S3Result, s3_error};
use store_core::backend::{ObjectBackend, Transport, Variables};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;

pub mod google;

/// The one bucket that there is.
pub const BUCKET: &str = "bucket";
/// Who may use it.
pub const KEY_ID: &str = "some-key";
/// With which secret.
pub const SECRET: &str = "some-secret";

/// What a process needs to know to reach the server on `port`, or what stands before it.
pub fn variables(port: u16) -> Variables {
    let endpoint = format!("http://127.0.0.1:{port}");
    let all = [
        ("AWS_ENDPOINT_URL", endpoint.as_str()),
        ("AWS_ACCESS_KEY_ID", KEY_ID),
        ("AWS_SECRET_ACCESS_KEY", SECRET),
        ("AWS_REGION", "eu-test-1"),
    ];
    all.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

/// What is in the bucket, and how the server behaves.
#[derive(Default)]
pub struct Shelf {
    objects: Mutex<BTreeMap<String, Bytes>>,
    /// Names that one page of a listing has at the most; 0 for a thousand.
    pub page: AtomicUsize,
    /// Refuses to delete.
    pub keeps_all: AtomicBool,
    /// Takes a condition for a header like any other.
    pub ignores_conditions: AtomicBool,
    /// Has no room left.
    pub is_full: AtomicBool,
    /// Says to whoever would create what is there that he may not overwrite.
    pub forbids_overwriting: AtomicBool,
    /// Takes uploads without a checksum.
    pub takes_unchecked: AtomicBool,
}

impl Shelf {
    fn objects(&self) -> MutexGuard<'_, BTreeMap<String, Bytes>> {
        self.objects.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The names of all objects, with their bytes.
    pub fn all(&self) -> BTreeMap<String, Bytes> {
        self.objects().clone()
    }

    /// Puts something there.
    pub fn put(&self, name: &str, bytes: &[u8]) {
        self.objects().insert(name.to_owned(), Bytes::copy_from_slice(bytes));
    }

    /// Puts these in place of all that is there.
    pub fn replace(&self, objects: BTreeMap<String, Bytes>) {
        *self.objects() = objects;
    }

    fn find(&self, bucket: &str, key: &str) -> S3Result<Bytes> {
        is_there(bucket)?;
        self.objects().get(key).cloned().ok_or_else(|| s3_error!(NoSuchKey))
    }
}

fn is_there(bucket: &str) -> S3Result<()> {
    if bucket == BUCKET { Ok(()) } else { Err(s3_error!(NoSuchBucket)) }
}

fn tag(bytes: &Bytes) -> ETag {
    // Of some bytes, which is quick: objects do not change.
    let some = bytes.iter().step_by(bytes.len() / 1000 + 1);
    ETag::Strong(format!("{:x}-{}", some.fold(0u64, |sum, byte| sum.wrapping_mul(31).wrapping_add(u64::from(*byte))), bytes.len()))
}

/// The shelf as `s3s` wants it.
struct Shop(Arc<Shelf>);

#[async_trait::async_trait]
impl S3 for Shop {
    async fn put_object(&self, request: S3Request<PutObjectInput>) -> S3Result<S3Response<PutObjectOutput>> {
        let PutObjectInput { bucket, key, body, if_none_match, checksum_sha256, .. } = request.input;
        is_there(&bucket)?;
        let pieces: Vec<Bytes> = match body {
            Some(body) => body.try_collect().await.map_err(|_| s3_error!(IncompleteBody))?,
            None => Vec::new(),
        };
        let bytes = Bytes::from(pieces.concat());
        if checksum_sha256.is_none() && !self.0.takes_unchecked.load(Ordering::Relaxed) {
            return Err(s3_error!(InvalidRequest, "each upload is to have a checksum"));
        }
        if self.0.is_full.load(Ordering::Relaxed) {
            let mut full = s3_error!(InternalError, "no room is left");
            full.set_status_code(hyper::StatusCode::INSUFFICIENT_STORAGE);
            return Err(full);
        }
        // Condition and write are one step.
        let mut objects = self.0.objects();
        let is_conditional = if_none_match.is_some_and(|condition| condition.is_any());
        if objects.contains_key(&key) && self.0.forbids_overwriting.load(Ordering::Relaxed) {
            return Err(s3_error!(AccessDenied, "this key may not overwrite"));
        }
        if is_conditional && objects.contains_key(&key) && !self.0.ignores_conditions.load(Ordering::Relaxed) {
            return Err(s3_error!(PreconditionFailed, "the object exists already"));
        }
        let e_tag = Some(tag(&bytes));
        objects.insert(key, bytes);
        Ok(S3Response::new(PutObjectOutput { e_tag, ..PutObjectOutput::default() }))
    }

    async fn get_object(&self, request: S3Request<GetObjectInput>) -> S3Result<S3Response<GetObjectOutput>> {
        let GetObjectInput { bucket, key, range, .. } = request.input;
        let bytes = self.0.find(&bucket, &key)?;
        let len = bytes.len() as u64;
        let (body, content_range) = match range {
            None => (bytes.clone(), None),
            Some(range) => {
                let range = range.check(len)?;
                let said = format!("bytes {}-{}/{len}", range.start, range.end - 1);
                (bytes.slice(range.start as usize..range.end as usize), Some(said))
            }
        };
        Ok(S3Response::new(GetObjectOutput {
            content_length: Some(body.len() as i64),
            content_range,
            e_tag: Some(tag(&bytes)),
            last_modified: Some(Timestamp::from(SystemTime::now())),
            body: Some(StreamingBlob::from(Body::from(body))),
            ..GetObjectOutput::default()
        }))
    }

    async fn head_object(&self, request: S3Request<HeadObjectInput>) -> S3Result<S3Response<HeadObjectOutput>> {
        let bytes = self.0.find(&request.input.bucket, &request.input.key)?;
        Ok(S3Response::new(HeadObjectOutput {
            content_length: Some(bytes.len() as i64),
            e_tag: Some(tag(&bytes)),
            last_modified: Some(Timestamp::from(SystemTime::now())),
            ..HeadObjectOutput::default()
        }))
    }

    async fn delete_object(&self, request: S3Request<DeleteObjectInput>) -> S3Result<S3Response<DeleteObjectOutput>> {
        is_there(&request.input.bucket)?;
        if self.0.keeps_all.load(Ordering::Relaxed) {
            return Err(s3_error!(AccessDenied, "this key may not delete"));
        }
        self.0.objects().remove(&request.input.key);
        Ok(S3Response::new(DeleteObjectOutput::default()))
    }

    async fn list_objects_v2(&self, request: S3Request<ListObjectsV2Input>) -> S3Result<S3Response<ListObjectsV2Output>> {
        let ListObjectsV2Input { bucket, prefix, continuation_token, max_keys, .. } = request.input;
        is_there(&bucket)?;
        let prefix = prefix.unwrap_or_default();
        let most = match self.0.page.load(Ordering::Relaxed) {
            0 => 1000,
            page => page,
        };
        let most = max_keys.map_or(most, |asked| most.min(asked as usize));
        let objects = self.0.objects();
        let after = continuation_token.clone().unwrap_or_default();
        let mut rest = objects.iter().filter(|(name, _)| name.starts_with(&prefix) && (after.is_empty() || **name > after));
        let object = |(name, bytes): (&String, &Bytes)| Object {
            key: Some(name.clone()),
            size: Some(bytes.len() as i64),
            e_tag: Some(tag(bytes)),
            last_modified: Some(Timestamp::from(SystemTime::now())),
            ..Object::default()
        };
        let contents: Vec<Object> = rest.by_ref().take(most).map(object).collect();
        let more = rest.next().is_some();
        Ok(S3Response::new(ListObjectsV2Output {
            name: Some(bucket),
            prefix: Some(prefix),
            key_count: Some(contents.len() as i32),
            max_keys: Some(most as i32),
            is_truncated: Some(more),
            continuation_token,
            next_continuation_token: contents.last().and_then(|last| last.key.clone()).filter(|_| more),
            contents: Some(contents),
            ..ListObjectsV2Output::default()
        }))
    }
}

/// The server. It ends when this is dropped.
pub struct Server {
    /// What is in it.
    pub shelf: Arc<Shelf>,
    /// Where it listens.
    pub port: u16,
    runtime: Option<Runtime>,
}

impl Server {
    /// Starts one on a free port of this machine.
    pub fn start() -> Self {
        Self::start_with(|shelf| {
            let mut service = S3ServiceBuilder::new(Shop(shelf));
            service.set_auth(SimpleAuth::from_single(KEY_ID, SECRET));
            service.build()
        })
    }

    /// Starts one that speaks as Google Cloud Storage does; [`google::variables`] lead to it.
    pub fn start_google() -> Self {
        Self::start_with(|shelf| {
            shelf.takes_unchecked.store(true, Ordering::Relaxed);
            google::Google { inner: S3ServiceBuilder::new(Shop(Arc::clone(&shelf))).build(), shelf }
        })
    }

    fn start_with<S>(service: impl FnOnce(Arc<Shelf>) -> S) -> Self
    where
        S: hyper::service::Service<hyper::Request<hyper::body::Incoming>, Response = hyper::Response<Body>> + Clone + Send + 'static,
        S::Future: Send,
        S::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let shelf = Arc::new(Shelf::default());
        let service = service(Arc::clone(&shelf));
        let listener = runtime.block_on(TcpListener::bind(("127.0.0.1", 0))).unwrap();
        let port = listener.local_addr().unwrap().port();
        runtime.spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let _ = socket.set_nodelay(true);
                let serve = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(socket), service.clone());
                tokio::spawn(async move {
                    // A client that goes away is no matter of the server.
                    let _ = serve.await;
                });
            }
        });
        Self { shelf, port, runtime: Some(runtime) }
    }

    /// What a process needs to know to reach one that speaks as Google Cloud Storage does.
    pub fn google_variables(&self) -> Variables {
        google::variables(&self.endpoint())
    }

    /// A repository below `prefix`, by a driver that gives up soon.
    pub fn backend(&self, prefix: &str) -> ObjectBackend {
        self.backend_through(
            self.port,
            prefix,
            &Transport { patience: Duration::from_secs(20), retry_for: Duration::from_secs(60), ..Transport::default() },
        )
    }

    /// The same by whatever listens on `port`.
    pub fn backend_through(&self, port: u16, prefix: &str, transport: &Transport) -> ObjectBackend {
        let place = format!("s3://{BUCKET}/{prefix}").parse().unwrap();
        ObjectBackend::at(place, transport, &variables(port)).unwrap()
    }

    /// Its address.
    pub fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}
