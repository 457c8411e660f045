//! HTTP and HTTPS: requests whose every hop passes the address policy, and on them fetch and PUT. Redirects are
//! followed by hand; credentials stay with the origin they were given for.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use cookie_store::{CookieStore, RawCookie};
use imgserve_base::version::Version;
use reqwest::header::{
    ACCEPT_ENCODING, CONTENT_TYPE, COOKIE, HeaderMap, HeaderValue, IF_MODIFIED_SINCE, IF_NONE_MATCH,
    LOCATION, RETRY_AFTER, SET_COOKIE,
};
use reqwest::{Method, Response, StatusCode};
use rustls::ClientConfig;
use url::{Origin, Url};

use super::body::{Paced, Upload, header_name, header_value};
use super::clients::Clients;
use super::clock::Clock;
use super::coding::ACCEPTED;
use super::config::{MAX_FORM_PAGE, TransferConfig};
use super::error::{TransferError, TransferErrorKind, find_cause};
use super::freshness::place;
use super::resolve::{ResolveError, Resolver};

/// What speaks HTTP.
#[derive(Debug)]
pub(super) struct Http {
    clients: Clients,
    resolver: Resolver,
    pub(super) config: Arc<TransferConfig>,
}

impl Http {
    pub(super) fn new(
        config: Arc<TransferConfig>,
        resolver: Resolver,
        tls: ClientConfig,
    ) -> Result<Self, TransferError> {
        let clients = Clients::new(Arc::clone(&config), resolver.clone(), tls)?;
        Ok(Self { clients, resolver, config })
    }

    /// Starts a fetch: the response to a GET, its body still to be read, and perhaps to be decompressed. One of status 304 says that
    /// what is there is still `unless`.
    pub(super) async fn get(
        &self,
        clock: Clock,
        url: Url,
        unless: Option<Version>,
    ) -> Result<Response, TransferError> {
        let mut call = Call { unless, ..Call::get(url) };
        call.headers.insert(ACCEPT_ENCODING, HeaderValue::from_static(ACCEPTED));
        let asked = call.unless.as_ref().and_then(|version| version.at.clone());
        let response = Session::new(self, clock).send(call).await?;
        match response.status() {
            // Who was led to without a condition has no such answer to give.
            StatusCode::NOT_MODIFIED if asked == Some(place(response.url())) => Ok(response),
            _ => success(response),
        }
    }

    /// Stores by PUT, with further headers.
    pub(super) async fn put(
        &self,
        clock: Clock,
        url: Url,
        upload: Upload,
        further: &[(String, String)],
    ) -> Result<(), TransferError> {
        let mut session = Session::new(self, clock);
        let mut headers = HeaderMap::new();
        for (name, value) in further {
            headers.insert(header_name(name)?, header_value(value)?);
        }
        let call = Call { method: Method::PUT, headers, upload: Some(upload), ..Call::get(url) };
        let response = success(session.send(call).await?)?;
        session.drain(response).await;
        Ok(())
    }
}

impl Http {
    /// Posts JSON with `headers`.
    pub(super) async fn post_json(
        &self,
        clock: Clock,
        url: Url,
        headers: &[(&'static str, String)],
        body: String,
    ) -> Result<(), TransferError> {
        let mut call = Call { method: Method::POST, ..Call::get(url) };
        for (name, value) in headers {
            call.headers.insert(*name, header_value(value)?);
        }
        call.upload = Some(Upload::plain(body.into(), "application/json")?);
        let mut session = Session::new(self, clock);
        session.take_credentials(&mut call.url)?;
        let response = success(session.hop(&call).await?)?;
        session.drain(response).await;
        Ok(())
    }
}

/// One request, which redirects may change.
pub(super) struct Call {
    pub(super) method: Method,
    pub(super) url: Url,
    pub(super) headers: HeaderMap,
    pub(super) upload: Option<Upload>,
    /// What need not be sent again.
    pub(super) unless: Option<Version>,
}

impl Call {
    pub(super) fn get(url: Url) -> Self {
        Self { method: Method::GET, url, headers: HeaderMap::new(), upload: None, unless: None }
    }

    /// The condition on which it is to be answered in full: of whom the tag is, and of nobody else, it is asked.
    fn condition(&self) -> HeaderMap {
        let mut headers = HeaderMap::new();
        let Some(version) = &self.unless else { return headers };
        if version.at.as_ref() != Some(&place(&self.url)) {
            return headers;
        }
        for (name, value) in [(IF_NONE_MATCH, &version.tag), (IF_MODIFIED_SINCE, &version.modified)] {
            let value = value.as_ref().and_then(|value| HeaderValue::from_str(value).ok());
            headers.extend(value.map(|value| (name, value)));
        }
        headers
    }

    /// Becomes the next hop's request (RFC 9110, section 15.4): 303 always asks for GET, and 301 and 302 turn a POST
    /// into one, as every browser does; all else is sent again as it was.
    fn redirect(&mut self, status: StatusCode, target: Url) {
        let to_get = match status.as_u16() {
            303 => true,
            301 | 302 => self.method == Method::POST,
            _ => false,
        };
        if to_get {
            self.method = Method::GET;
            self.upload = None;
        }
        if self.url.origin() != target.origin() {
            // What was meant for one origin, a Referer say, is not told to another; what can be read is.
            let encodings = self.headers.remove(ACCEPT_ENCODING);
            self.headers.clear();
            self.headers.extend(encodings.map(|encodings| (ACCEPT_ENCODING, encodings)));
        }
        self.url = target;
    }
}

/// The requests of one transfer: they share a clock, cookies, and credentials.
pub(super) struct Session<'a> {
    http: &'a Http,
    pub(super) clock: Clock,
    cookies: CookieStore,
    credentials: Option<(Origin, String, String)>,
}

impl<'a> Session<'a> {
    pub(super) fn new(http: &'a Http, clock: Clock) -> Self {
        Self { http, clock, cookies: CookieStore::default(), credentials: None }
    }

    /// Sends a request and follows its redirects. The final response may have any status but that of a redirect.
    pub(super) async fn send(&mut self, mut call: Call) -> Result<Response, TransferError> {
        for _ in 0..=self.http.config.max_redirects {
            self.take_credentials(&mut call.url)?;
            let response = self.hop(&call).await.map_err(|error| error.at(call.url.as_str()))?;
            self.keep_cookies(&response, &call.url);
            match redirect_target(&response, &call.url)? {
                Some(target) => call.redirect(response.status(), target),
                None => return Ok(response),
            }
        }
        let message = format!("more than {} redirects", self.http.config.max_redirects);
        Err(TransferError::new(TransferErrorKind::Protocol, message).at(call.url.as_str()))
    }

    /// Moves user and password out of the URL, to be sent to its origin and to no other.
    fn take_credentials(&mut self, url: &mut Url) -> Result<(), TransferError> {
        if url.username().is_empty() && url.password().is_none() {
            return Ok(());
        }
        let decode = |text: &str| percent_encoding::percent_decode_str(text).decode_utf8_lossy().into_owned();
        let (user, password) = (decode(url.username()), decode(url.password().unwrap_or_default()));
        self.credentials = Some((url.origin(), user, password));
        url.set_username("").and_then(|()| url.set_password(None)).map_err(|()| {
            TransferError::new(TransferErrorKind::InvalidUrl, "invalid URL: it can have no user")
        })
    }

    /// Keeps the cookies of a response; what is not text or no cookie is passed over, as browsers do.
    fn keep_cookies(&mut self, response: &Response, url: &Url) {
        let texts = response.headers().get_all(SET_COOKIE).iter();
        let texts = texts.filter_map(|value| std::str::from_utf8(value.as_bytes()).ok());
        let cookies = texts.filter_map(|text| RawCookie::parse(text).ok()).map(RawCookie::into_owned);
        self.cookies.store_response_cookies(cookies, url);
    }

    /// The cookies that a request to this URL takes along.
    fn cookies(&self, url: &Url) -> Option<HeaderValue> {
        let cookies = self.cookies.get_request_values(url).map(|(name, value)| format!("{name}={value}"));
        let cookies = cookies.collect::<Vec<_>>().join("; ");
        if cookies.is_empty() { None } else { HeaderValue::try_from(cookies).ok() }
    }

    async fn hop(&self, call: &Call) -> Result<Response, TransferError> {
        let host = call.url.host().filter(|_| matches!(call.url.scheme(), "http" | "https"));
        let host = host.ok_or_else(|| {
            TransferError::new(TransferErrorKind::NotAllowed, "only http and https URLs are followed")
        })?;
        let port = call.url.port_or_known_default().unwrap_or_default();
        self.http.resolver.check_literal(&host, port)?;
        let client = self.http.clients.of(&call.url)?;
        let mut request = client.request(call.method.clone(), call.url.clone()).headers(call.headers.clone());
        if call.unless.is_some() {
            request = request.headers(call.condition());
        }
        if let Some(cookies) = self.cookies(&call.url) {
            request = request.header(COOKIE, cookies);
        }
        if let Some((origin, user, password)) = &self.credentials
            && *origin == call.url.origin()
        {
            request = request.basic_auth(user, Some(password));
        }
        let (sent, taken) = tokio::sync::watch::channel(0);
        match &call.upload {
            Some(upload) => {
                let body = reqwest::Body::wrap(Paced::new(upload, sent));
                request = request.header(CONTENT_TYPE, upload.content_type.clone()).body(body);
            }
            None => drop(sent),
        }
        self.clock.exchange(request.send(), taken).await?.map_err(request_error)
    }

    /// Reads what is left of a response whose status has already decided, within bounds: some servers stop working
    /// on an upload when its client hangs up.
    pub(super) async fn drain(&self, mut response: Response) {
        let mut left = MAX_FORM_PAGE;
        let rest = async {
            while let Ok(Some(chunk)) = next_chunk(&mut response, &self.clock).await
                && chunk.len() <= left
            {
                left -= chunk.len();
            }
        };
        // The upload has succeeded whether or not its response ends in time.
        let _ended = self.clock.answer(rest).await;
    }

    /// The beginning of a response's body, and whether that is all of it.
    pub(super) async fn read_up_to(
        &self,
        mut response: Response,
        limit: usize,
    ) -> Result<(Vec<u8>, bool), TransferError> {
        let mut read = Vec::new();
        while let Some(chunk) = next_chunk(&mut response, &self.clock).await? {
            let room = limit - read.len();
            read.extend_from_slice(&chunk[..chunk.len().min(room)]);
            if chunk.len() > room {
                return Ok((read, false));
            }
        }
        Ok((read, true))
    }
}

/// The next piece of a response's body.
pub(super) async fn next_chunk(
    response: &mut Response,
    clock: &Clock,
) -> Result<Option<Bytes>, TransferError> {
    let count = |chunk: &reqwest::Result<Option<Bytes>>| Some(chunk.as_ref().ok()?.as_ref()?.len());
    clock.data(response.chunk(), count).await?.map_err(|error| {
        let message = "the connection broke before the end of the response";
        TransferError::new(TransferErrorKind::Connect, message).with_source(error.without_url())
    })
}

/// The media type that a response says its body is of.
pub(super) fn media_type(response: &Response) -> Option<String> {
    let value = response.headers().get(CONTENT_TYPE)?;
    value.to_str().ok().map(str::to_owned)
}

/// Lets a 2xx response pass.
pub(super) fn success(response: Response) -> Result<Response, TransferError> {
    let status = response.status();
    if status.is_success() {
        return Ok(response);
    }
    let error = TransferError::new(TransferErrorKind::Status(status.as_u16()), format!("status {status}"));
    let retry_after = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok());
    let retry_after = retry_after.and_then(|text| wait(text, SystemTime::now()));
    Err(error.retry_after(retry_after).at(response.url().as_str()))
}

/// What `Retry-After` means (RFC 9110, section 10.2.3): seconds, or a date.
pub(super) fn wait(text: &str, now: SystemTime) -> Option<Duration> {
    match text.trim().parse() {
        Ok(seconds) => Some(Duration::from_secs(seconds)),
        Err(_) => {
            let date = httpdate::parse_http_date(text.trim()).ok()?;
            Some(date.duration_since(now).unwrap_or_default())
        }
    }
}

fn redirect_target(response: &Response, from: &Url) -> Result<Option<Url>, TransferError> {
    if !matches!(response.status().as_u16(), 301 | 302 | 303 | 307 | 308) {
        return Ok(None);
    }
    let target = response
        .headers()
        .get(LOCATION)
        .and_then(|location| std::str::from_utf8(location.as_bytes()).ok())
        .and_then(|location| from.join(location).ok());
    match target {
        Some(target) => Ok(Some(target)),
        None => {
            let message = format!("status {} without a usable Location", response.status());
            Err(TransferError::new(TransferErrorKind::Protocol, message).at(from.as_str()))
        }
    }
}

/// What went wrong before there was a response.
pub(super) fn request_error(error: reqwest::Error) -> TransferError {
    use TransferErrorKind::{Connect, Protocol, Timeout, Tls};
    if let Some(denied) = find_cause::<ResolveError>(&error) {
        return denied.clone().into();
    }
    let (kind, message) = if let Some(tls) = find_cause::<rustls::Error>(&error) {
        (Tls, format!("the TLS handshake failed: {tls}"))
    } else if error.is_timeout() {
        (Timeout, format!("timed out: see {}", super::config::KEY_CONNECT_TIMEOUT))
    } else if error.is_connect() {
        (Connect, "cannot connect".to_owned())
    } else {
        (Protocol, "no valid HTTP response".to_owned())
    };
    // A server that hangs up without a response is likely being restarted.
    let transient = kind != Tls;
    TransferError::new(kind, message).transient(transient).with_source(error.without_url())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let now = httpdate::parse_http_date("Sun, 06 Nov 1994 08:49:37 GMT").unwrap();
        assert_eq!(wait("120", now), Some(Duration::from_secs(120)));
        assert_eq!(wait("Sun, 06 Nov 1994 08:50:37 GMT", now), Some(Duration::from_secs(60)));
        assert_eq!(wait("Sun, 06 Nov 1994 08:00:00 GMT", now), Some(Duration::ZERO));
        assert_eq!(wait("soon", now), None);
    }
}
