//! The HTTP connection: `reqwest` with this driver's limits, and a note of each answer, which `object_store` wraps into errors that say less.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream::{self, Stream, StreamExt as _, TryStreamExt as _};
use http::header::CONTENT_RANGE;
use http_body::Frame;
use http_body_util::{BodyExt as _, Limited, StreamBody};
use object_store::ClientOptions;
use object_store::client::{
    ClientConfigKey, HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpResponse, HttpResponseBody, HttpService,
};

use super::answer::{Answer, element, is_of_nothing, note};
use super::pace::{PIECE, Pace};

/// How long it may take to connect.
const CONNECT: Duration = Duration::from_secs(10);
/// How much of an error's body is looked at.
const ERROR_BODY: usize = 64 << 10;

/// Makes connections.
#[derive(Debug, Clone)]
pub(super) struct Connector {
    pub(super) upload: Option<Arc<Pace>>,
    pub(super) download: Option<Arc<Pace>>,
    /// How long nothing may come of an answer that has begun.
    pub(super) patience: Duration,
}

impl HttpConnector for Connector {
    fn connect(&self, options: &ClientOptions) -> object_store::Result<HttpClient> {
        let failed = |error: reqwest::Error| object_store::Error::Generic { store: "HTTP", source: Box::new(error) };
        let is_set = |key| options.get_config_value(&key).is_some_and(|value| value == "true");
        // TLS by ring, unless whoever links this library has chosen something else before.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut builder = reqwest::Client::builder()
            .user_agent(concat!("snap/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(CONNECT)
            .https_only(!is_set(ClientConfigKey::AllowHttp))
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .http1_only();
        if is_set(ClientConfigKey::AllowInvalidCertificates) {
            builder = builder.danger_accept_invalid_certs(true);
        }
        if let Some(proxy) = options.get_config_value(&ClientConfigKey::ProxyUrl) {
            builder = builder.proxy(reqwest::Proxy::all(proxy).map_err(failed)?);
        }
        Ok(HttpClient::new(Connection { client: builder.build().map_err(failed)?, limits: self.clone() }))
    }
}

#[derive(Debug)]
struct Connection {
    client: reqwest::Client,
    limits: Connector,
}

#[async_trait]
impl HttpService for Connection {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let (parts, body) = request.into_parts();
        let host = parts.uri.host().unwrap_or_default().to_owned();
        note(|answer| *answer = Answer { host, ..Answer::default() });
        let url = reqwest::Url::parse(&parts.uri.to_string()).map_err(|error| HttpError::new(HttpErrorKind::Unknown, error))?;
        let mut request = reqwest::Request::new(parts.method, url);
        *request.headers_mut() = parts.headers;
        *request.body_mut() = match (body.as_bytes(), &self.limits.upload) {
            (Some(bytes), _) if bytes.is_empty() => None,
            (Some(bytes), _) => Some(bytes.clone().into()),
            (None, Some(pace)) => Some(reqwest::Body::wrap_stream(paced(body.into_data_stream(), Arc::clone(pace)))),
            (None, None) => Some(reqwest::Body::wrap_stream(body.into_data_stream())),
        };
        let response = self.client.execute(request).await.map_err(broken)?;
        let (parts, body) = http::Response::<reqwest::Body>::from(response).into_parts();
        let range = parts.headers.get(CONTENT_RANGE).and_then(|range| range.to_str().ok());
        note(|answer| (answer.status, answer.is_beyond) = (Some(parts.status.as_u16()), range.is_some_and(is_of_nothing)));
        if parts.status.is_success() {
            let data = in_time(body.into_data_stream().map_err(broken), self.limits.patience);
            let body = match &self.limits.download {
                Some(pace) => HttpResponseBody::new(StreamBody::new(paced(data, Arc::clone(pace)).map_ok(Frame::data))),
                None => HttpResponseBody::new(StreamBody::new(data.map_ok(Frame::data))),
            };
            return Ok(HttpResponse::from_parts(parts, body));
        }
        // What is longer, or does not come, explains nothing.
        let text = Limited::new(body, ERROR_BODY).collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
        let said = String::from_utf8_lossy(&text);
        note(|answer| (answer.code, answer.message) = (element(&said, "Code"), element(&said, "Message")));
        let body = stream::iter([Ok(Frame::data(text))]);
        Ok(HttpResponse::from_parts(parts, HttpResponseBody::new(StreamBody::new(body))))
    }
}

/// The same bytes in pieces, no faster than `pace` lets them pass.
fn paced<E: Send>(data: impl Stream<Item = Result<Bytes, E>> + Send, pace: Arc<Pace>) -> impl Stream<Item = Result<Bytes, E>> + Send {
    let pieces = data.map_ok(|mut bytes| {
        let pieces = std::iter::from_fn(move || (!bytes.is_empty()).then(|| bytes.split_to(bytes.len().min(PIECE))));
        stream::iter(pieces.map(Ok))
    });
    pieces.try_flatten().and_then(move |piece| {
        let pace = Arc::clone(&pace);
        async move {
            pace.pass(piece.len()).await;
            Ok(piece)
        }
    })
}

/// The same, with an error where nothing comes for too long.
fn in_time(
    data: impl Stream<Item = Result<Bytes, HttpError>> + Send + Sync + Unpin,
    patience: Duration,
) -> impl Stream<Item = Result<Bytes, HttpError>> + Send + Sync {
    stream::unfold(Some(data), move |data| async move {
        let mut data = data?;
        match tokio::time::timeout(patience, data.next()).await {
            Ok(Some(Ok(bytes))) => Some((Ok(bytes), Some(data))),
            Ok(Some(Err(error))) => Some((Err(error), None)),
            Ok(None) => None,
            Err(elapsed) => {
                note(|answer| answer.broken = Some(HttpErrorKind::Timeout));
                Some((Err(HttpError::new(HttpErrorKind::Timeout, elapsed)), None))
            }
        }
    })
}

fn broken(error: reqwest::Error) -> HttpError {
    let kind = if error.is_connect() {
        HttpErrorKind::Connect
    } else if error.is_timeout() {
        HttpErrorKind::Timeout
    } else {
        HttpErrorKind::Interrupted
    };
    note(|answer| answer.broken = Some(kind));
    // The address may hold more than is for everybody's eyes.
    HttpError::new(kind, error.without_url())
}
