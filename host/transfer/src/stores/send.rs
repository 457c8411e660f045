//! How the requests of stores are sent: by our own client, each wait within the time of its transfer. `object_store` has no say in
//! that, and does not tell what it was answered; so both stand beside the task that asks.

use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use http_body::Body as _;
use object_store::ClientOptions;
use object_store::client::{
    ClientConfigKey, HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpRequestBody,
    HttpResponse, HttpService,
};
use reqwest::header::HeaderMap;
use reqwest::{Method, Response, StatusCode};
use tokio::sync::watch;
use url::{Origin, Url};

use super::super::body::Paced;
use super::super::clients::Clients;
use super::super::clock::Clock;
use super::super::error::{TransferError, TransferErrorKind};
use super::super::http::{next_chunk, request_error};
use super::answer::Answer;

/// The largest answer that is read, in bytes, but for an object's own: they name parts, or say what is wrong.
const MAX_ANSWER: usize = 1 << 20;

tokio::task_local! {
    /// What the task that asks a store has, and hears.
    static EXCHANGE: Arc<Exchange>;
}

/// One operation on a store: in which time, and what came of it.
struct Exchange {
    clock: Clock,
    /// Whether the body of an object is to be left unread.
    leaves_body: bool,
    heard: Mutex<Heard>,
}

/// What came of the requests of one operation.
#[derive(Debug, Default)]
pub(super) struct Heard {
    /// An object's, its body unread.
    pub(super) response: Option<Response>,
    /// The last one that was no success.
    pub(super) answer: Option<Answer>,
    /// Whether the last request was a success, whatever its answer lacks.
    pub(super) succeeded: bool,
    /// What an answer says beside that the object is the one that is known.
    pub(super) unchanged: Option<HeaderMap>,
    /// Why the last request had no answer, and whether it was the store that was asked.
    pub(super) failed: Option<(TransferError, bool)>,
}

/// Does what asks a store, in the time of `clock`; gives what was heard of it as well.
pub(super) async fn asking<T>(clock: &Clock, leaves_body: bool, work: impl Future<Output = T>) -> (T, Heard) {
    let exchange = Arc::new(Exchange { clock: clock.clone(), leaves_body, heard: Mutex::default() });
    let done = EXCHANGE.scope(Arc::clone(&exchange), work).await;
    let heard = std::mem::take(&mut *exchange.heard());
    (done, heard)
}

impl Exchange {
    fn heard(&self) -> MutexGuard<'_, Heard> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Sends for one store.
#[derive(Clone)]
pub(super) struct Sender {
    clients: Arc<Clients>,
    /// The store's server; whoever else is asked gives credentials.
    origin: Origin,
    /// Whether nothing is asked without TLS.
    encrypted: bool,
}

impl fmt::Debug for Sender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sender").field("origin", &self.origin).finish_non_exhaustive()
    }
}

/// The request was not answered; why, the exchange has.
#[derive(Debug, thiserror::Error)]
#[error("there is no answer")]
struct NoAnswer;

impl Sender {
    pub(super) fn new(clients: Arc<Clients>, origin: &Url) -> Self {
        Self { clients, origin: origin.origin(), encrypted: false }
    }
}

impl HttpConnector for Sender {
    fn connect(&self, options: &ClientOptions) -> object_store::Result<HttpClient> {
        let plain = options.get_config_value(&ClientConfigKey::AllowHttp);
        Ok(HttpClient::new(Self { encrypted: plain.as_deref() != Some("true"), ..self.clone() }))
    }
}

impl HttpService for Sender {
    fn call<'s, 'f>(
        &'s self,
        request: HttpRequest,
    ) -> Pin<Box<dyn Future<Output = Result<HttpResponse, HttpError>> + Send + 'f>>
    where
        's: 'f,
        Self: 'f,
    {
        Box::pin(async move {
            let no_answer = || HttpError::new(HttpErrorKind::Unknown, NoAnswer);
            let exchange = EXCHANGE.try_with(Arc::clone).map_err(|_| no_answer())?;
            let url = Url::parse(&request.uri().to_string()).map_err(|_| no_answer())?;
            let is_store = url.origin() == self.origin;
            let answered = self.send(&exchange, request, url.clone(), is_store).await;
            answered.map_err(|error| {
                exchange.heard().failed = Some((error.at(url.as_str()), is_store));
                no_answer()
            })
        })
    }
}

impl Sender {
    async fn send(
        &self,
        exchange: &Exchange,
        request: HttpRequest,
        url: Url,
        is_store: bool,
    ) -> Result<HttpResponse, TransferError> {
        if self.encrypted && url.scheme() != "https" {
            let text = "credentials are asked for by https alone";
            return Err(TransferError::new(TransferErrorKind::Store, text));
        }
        let (parts, body) = request.into_parts();
        let (is_get, has_body) = (parts.method == Method::GET, body.content_length() > 0);
        let client = self.clients.of(&url)?;
        let mut request = client.request(parts.method.clone(), url).headers(parts.headers);
        let (sent, taken) = watch::channel(0);
        match has_body || matches!(parts.method, Method::PUT | Method::POST) {
            true => request = request.body(reqwest::Body::wrap(Paced::of(pieces(body).await, sent))),
            false => drop(sent),
        }
        let response = exchange.clock.exchange(request.send(), taken).await?.map_err(request_error)?;
        let (status, headers) = (response.status(), response.headers().clone());
        exchange.heard().succeeded = false;
        let body = match status.is_success() && is_get && is_store && exchange.leaves_body {
            true => {
                exchange.heard().response = Some(response);
                Bytes::new()
            }
            false => {
                let head = Answer::of_head(&response, is_store);
                let body = read(response, &exchange.clock).await?;
                let mut heard = exchange.heard();
                match head.with_body(&body) {
                    Some(answer) => heard.answer = Some(answer),
                    None => {
                        heard.succeeded = is_store;
                        heard.unchanged = (status == StatusCode::NOT_MODIFIED).then(|| headers.clone());
                    }
                }
                body
            }
        };
        let mut answer = HttpResponse::new(body.into());
        (*answer.status_mut(), *answer.headers_mut()) = (status, headers);
        Ok(answer)
    }
}

/// What a request sends, of which all is there.
async fn pieces(mut body: HttpRequestBody) -> Vec<Bytes> {
    let mut pieces = Vec::new();
    while let Some(Ok(frame)) = std::future::poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await
    {
        pieces.extend(frame.into_data());
    }
    pieces
}

async fn read(mut response: Response, clock: &Clock) -> Result<Bytes, TransferError> {
    let mut body = Vec::new();
    while let Some(chunk) = next_chunk(&mut response, clock).await? {
        if body.len() + chunk.len() > MAX_ANSWER {
            let text = format!("an answer of the store has more than {MAX_ANSWER} bytes");
            return Err(TransferError::new(TransferErrorKind::Protocol, text));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body.into())
}
