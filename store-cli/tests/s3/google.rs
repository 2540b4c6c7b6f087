//! Google Cloud Storage as far as its XML interface differs from S3: a token in place of signatures, a generation in place of a condition on tags,
//! 404 for the deletion of what is not there, and `/` in names as `%2F`. No server of others that has this interface whole is to be had from a package
//! registry.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use hyper::body::Incoming;
use hyper::header::{AUTHORIZATION, HeaderValue, IF_NONE_MATCH};
use hyper::{Method, Request, Response, StatusCode};
use s3s::service::S3Service;
use s3s::{Body, HttpError};
use store_core::backend::Variables;

use super::{BUCKET, Shelf};

/// Who may use it.
pub const TOKEN: &str = "some-token";
const IF_GENERATION: &str = "x-goog-if-generation-match";
const GENERATION: &str = "x-goog-generation";

/// What a process needs to know to reach the server at `endpoint`.
pub(super) fn variables(endpoint: &str) -> Variables {
    [("GOOGLE_BASE_URL", endpoint), ("GOOGLE_BEARER_TOKEN", TOKEN)]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into_iter()
        .collect()
}

/// What translates.
#[derive(Clone)]
pub(super) struct Google {
    pub(super) inner: S3Service,
    pub(super) shelf: Arc<Shelf>,
}

impl hyper::service::Service<Request<Incoming>> for Google {
    type Response = Response<Body>;
    type Error = HttpError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let Self { inner, shelf } = self.clone();
        Box::pin(async move {
            match translated(&shelf, request) {
                Ok(request) => {
                    let is_put = request.method() == Method::PUT;
                    let mut response = hyper::service::Service::call(&inner, request).await?;
                    if is_put && response.status().is_success() {
                        response.headers_mut().insert(GENERATION, generation());
                    }
                    Ok(response)
                }
                Err((status, code)) => {
                    let said =
                        format!("<?xml version='1.0' encoding='UTF-8'?><Error><Code>{code}</Code><Message>{code}.</Message></Error>");
                    let mut response = Response::new(Body::from(said));
                    *response.status_mut() = status;
                    Ok(response)
                }
            }
        })
    }
}

/// The request as S3 has it, or why it is refused.
fn translated(shelf: &Shelf, mut request: Request<Incoming>) -> Result<Request<Incoming>, (StatusCode, &'static str)> {
    let headers = request.headers_mut();
    if headers.remove(AUTHORIZATION).and_then(|said| Some(said.to_str().ok()?.strip_prefix("Bearer ")? == TOKEN)) != Some(true) {
        return Err((StatusCode::UNAUTHORIZED, "AuthenticationRequired"));
    }
    match headers.remove(IF_GENERATION) {
        // It must not be there yet.
        Some(generation) if generation == "0" => _ = headers.insert(IF_NONE_MATCH, HeaderValue::from_static("*")),
        Some(_) => return Err((StatusCode::PRECONDITION_FAILED, "PreconditionFailed")),
        None => {}
    }
    // A header of the other protocol means nothing here.
    if headers.keys().any(|name| name.as_str().starts_with("x-amz-")) {
        return Err((StatusCode::BAD_REQUEST, "InvalidArgument"));
    }
    let name = request
        .uri()
        .path()
        .strip_prefix(&format!("/{BUCKET}/"))
        .map(|name| name.replace("%2F", "/").replace("%2E", ".").replace("%2D", "-"));
    match name {
        Some(name) if request.method() == Method::DELETE && !shelf.objects().contains_key(&name) => {
            Err((StatusCode::NOT_FOUND, "NoSuchKey"))
        }
        _ => Ok(request),
    }
}

fn generation() -> HeaderValue {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    HeaderValue::from(NEXT.fetch_add(1, Ordering::Relaxed))
}
