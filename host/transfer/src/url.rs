//! What source and destination URLs mean: their scheme, their parts, and the form-upload syntax. Pure text; which
//! addresses and paths are permitted is `policy`'s to say.

use std::ffi::OsString;
use std::fmt;
use std::os::unix::ffi::OsStringExt;

use imgserve_base::secret::redact;
use percent_encoding::percent_decode_str;
use serde::{Deserialize, Serialize};
use url::{Host, Url};

use super::error::{TransferError, TransferErrorKind};
use super::stores::{StoreKind, StoreUrl, head_of_template};
use super::tags::{Tags, substitute_tags};

/// A scheme imgserve transfers by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// Plain HTTP.
    Http,
    /// HTTP over TLS.
    Https,
    /// FTP (RFC 959).
    Ftp,
    /// FTP with explicit TLS (RFC 4217).
    Ftps,
    /// A local file (RFC 8089), or one of a store that is a directory.
    File,
    /// An object in a store that is no directory.
    Store(StoreKind),
}

/// All schemes, for those who named another one.
pub const SCHEMES: &str = "http, https, ftp, ftps, file, s3, gs, az";

/// The scheme of a URL, if it is a known one; case-insensitive, and true even of URLs that cannot be parsed further.
pub fn scheme_of(url: &str) -> Option<Scheme> {
    let (scheme, _) = url.split_once(':')?;
    match scheme.to_ascii_lowercase().as_str() {
        "http" => Some(Scheme::Http),
        "https" => Some(Scheme::Https),
        "ftp" => Some(Scheme::Ftp),
        "ftps" => Some(Scheme::Ftps),
        "file" => Some(Scheme::File),
        "s3" => Some(Scheme::Store(StoreKind::S3)),
        "gs" => Some(Scheme::Store(StoreKind::Gcs)),
        "az" => Some(Scheme::Store(StoreKind::Azure)),
        _ => None,
    }
}

/// The kind of store that a URL, or a template of one, is in; none of what is in no store.
pub(super) fn store_of(url: &str) -> Option<StoreKind> {
    match scheme_of(url)? {
        Scheme::Store(kind) => Some(kind),
        // Where others have no host it names the store.
        Scheme::File => {
            let rest = url.split_once("://").map_or("", |(_, rest)| rest);
            let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
            (!host.is_empty() && !host.eq_ignore_ascii_case("localhost")).then_some(StoreKind::File)
        }
        Scheme::Http | Scheme::Https | Scheme::Ftp | Scheme::Ftps => None,
    }
}

/// The last segment of a URL's path (or of a plain path), query and fragment dropped, still percent-encoded. Empty
/// when the path ends in `/` or there is none.
pub(super) fn file_name(url: &str) -> &str {
    let url = &url[..url.find(['?', '#']).unwrap_or(url.len())];
    let path = match url.split_once("://") {
        Some((_, rest)) => rest.find('/').map_or("", |slash| &rest[slash..]),
        None => url,
    };
    path.rsplit('/').next().unwrap_or_default()
}

/// What follows the last `.` of a URL's file name; none if there is no `.` or nothing after it.
pub fn extension(url: &str) -> Option<&str> {
    extension_of_name(file_name(url))
}

/// A URL's file name without its extension: what `{$basename}` stands for.
pub fn basename(url: &str) -> &str {
    let name = file_name(url);
    name.rsplit_once('.').map_or(name, |(stem, _)| stem)
}

/// The extension of what a destination will be called: of the file name after a last colon, else of the URL.
pub fn destination_extension(destination: &str) -> Option<&str> {
    match split_form(destination).or_else(|| split_ftp(destination)) {
        Some((_, file_name)) => extension_of_name(file_name),
        None => extension(destination),
    }
}

fn extension_of_name(name: &str) -> Option<&str> {
    name.rsplit_once('.').map(|(_, extension)| extension).filter(|extension| !extension.is_empty())
}

/// The form-upload syntax `PAGE_URL:FILE_NAME` of an http(s) destination: page and file name, split at the last colon.
/// None (a plain destination) if what follows that colon holds a `/`, is empty or is only digits (IMGSERVE-0.2.md,
/// "Destinations").
pub fn split_form(destination: &str) -> Option<(&str, &str)> {
    if !matches!(scheme_of(destination), Some(Scheme::Http | Scheme::Https)) {
        return None;
    }
    let (page, file_name) = destination.rsplit_once(':')?;
    let plain = file_name.contains('/')
        || file_name.is_empty()
        || file_name.bytes().all(|byte| byte.is_ascii_digit());
    (!plain).then_some((page, file_name))
}

/// 0.2's way to write an FTP destination that has no path, `ftp://HOST:FILE_NAME`: what stands before the last colon, and the
/// file name. None if there is a path, or what follows that colon is a port, or belongs to a password or an address.
fn split_ftp(destination: &str) -> Option<(&str, &str)> {
    if !matches!(scheme_of(destination), Some(Scheme::Ftp | Scheme::Ftps)) {
        return None;
    }
    let (server, file_name) = destination.rsplit_once(':')?;
    let (_, host) = server.split_once("://")?;
    let plain = host.is_empty()
        || host.contains(['/', '?', '#'])
        || file_name.contains(['/', '@', ']'])
        || file_name.bytes().all(|byte| byte.is_ascii_digit());
    (!plain).then_some((server, file_name))
}

/// A source, understood. `Display` and `Debug` show no password; it is stored whole, as text.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum SourceUrl {
    /// Fetched by GET.
    Http(Url),
    /// Fetched by RETR.
    Ftp(FtpUrl),
    /// Read beneath a file root.
    File(FileUrl),
    /// Fetched from a configured store.
    Store(StoreUrl),
}

impl SourceUrl {
    /// Understands a source URL.
    ///
    /// # Errors
    ///
    /// `InvalidUrl`, the message naming the URL without its password.
    pub fn parse(url: &str) -> Result<Self, TransferError> {
        match scheme_of(url) {
            Some(Scheme::Http | Scheme::Https) => parse_http(url).map(Self::Http),
            Some(Scheme::Ftp | Scheme::Ftps) => FtpUrl::parse(url).map(Self::Ftp),
            Some(Scheme::File | Scheme::Store(_)) => match store_of(url) {
                Some(kind) => StoreUrl::parse(kind, url).map(Self::Store),
                None => FileUrl::parse(url).map(Self::File),
            },
            None => Err(invalid(&format!("the scheme is not one of {SCHEMES}"))),
        }
        .map_err(|error| error.at(url))
    }

    /// The whole URL, with its password.
    pub(super) fn as_str(&self) -> &str {
        match self {
            Self::Http(url) => url.as_str(),
            Self::Ftp(url) => &url.text,
            Self::File(url) => &url.text,
            Self::Store(url) => &url.text,
        }
    }

    /// Whether it is a file of this machine's, which other nodes may not see.
    pub fn is_local(&self) -> bool {
        match self {
            Self::File(_) => true,
            Self::Store(url) => url.is_local(),
            Self::Http(_) | Self::Ftp(_) => false,
        }
    }
}

impl TryFrom<String> for SourceUrl {
    type Error = TransferError;

    fn try_from(text: String) -> Result<Self, TransferError> {
        Self::parse(&text)
    }
}

impl From<SourceUrl> for String {
    fn from(url: SourceUrl) -> Self {
        url.as_str().to_owned()
    }
}

/// An http or https URL that is posted to. `Debug` shows no password; it is stored whole, as text.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct HttpUrl(pub(super) Url);

impl HttpUrl {
    /// Understands an http or https URL.
    ///
    /// # Errors
    ///
    /// `InvalidUrl`, the message naming the URL without its password.
    pub fn parse(url: &str) -> Result<Self, TransferError> {
        match SourceUrl::parse(url)? {
            SourceUrl::Http(url) => Ok(Self(url)),
            _ => Err(TransferError::new(TransferErrorKind::InvalidUrl, "only http and https are posted to")
                .at(url)),
        }
    }

    /// The whole URL, with its password.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }
}

impl TryFrom<String> for HttpUrl {
    type Error = TransferError;

    fn try_from(text: String) -> Result<Self, TransferError> {
        Self::parse(&text)
    }
}

impl From<HttpUrl> for String {
    fn from(url: HttpUrl) -> Self {
        url.0.into()
    }
}

impl fmt::Debug for HttpUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HttpUrl({})", redact(self.as_str()))
    }
}

/// A destination, understood. `Display` and `Debug` show no password; it is stored whole.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Destination {
    /// An HTTP PUT to this URL.
    Put {
        /// Where to.
        #[serde(with = "http_text")]
        url: Url,
    },
    /// An upload through the form on a page.
    Form {
        /// The page the form is on.
        #[serde(with = "http_text")]
        page: Url,
        /// The file name to send.
        file_name: String,
    },
    /// Stored by STOR.
    Ftp(FtpUrl),
    /// Written beneath a file root.
    File(FileUrl),
    /// Put into a configured store.
    Store(StoreUrl),
}

impl Destination {
    /// Understands a `dstURL` without tags.
    #[cfg(test)]
    pub fn parse(url: &str) -> Result<Self, TransferError> {
        Self::from_template(url, &Tags::default()).map(|(_, destination)| destination)
    }

    /// Understands a `dstURL` with tags: the substituted text, and where it leads. What kind of destination it is, the page
    /// of a form and the host before a name are the template's: a colon in a source's name changes none of them.
    ///
    /// # Errors
    ///
    /// `InvalidUrl`, the message naming the URL without its password.
    pub fn from_template(template: &str, tags: &Tags<'_>) -> Result<(String, Self), TransferError> {
        if let Some((server, name)) = split_ftp(template) {
            let name = substitute_tags(name, tags);
            let text = format!("{server}:{name}");
            let url = FtpUrl::parse(&format!("{server}/{name}")).map_err(|error| error.at(&text))?;
            return Ok((text, Self::Ftp(url)));
        }
        let Some((page, name)) = split_form(template) else {
            if store_of(template).is_some() {
                // A bucket is the template's: a source's name chooses none.
                head_of_template(template).map_err(|error| error.at(template))?;
            }
            let text = substitute_tags(template, tags);
            let plain = Self::plain(&text)?;
            return Ok((text, plain));
        };
        // Without a colon of its own all of the name is substituted in.
        let file_name = substitute_tags(name, tags);
        let text = format!("{page}:{file_name}");
        let page = parse_http(page).map_err(|error| error.at(&text))?;
        Ok((text, Self::Form { page, file_name }))
    }

    fn plain(url: &str) -> Result<Self, TransferError> {
        Ok(match SourceUrl::parse(url)? {
            SourceUrl::Http(url) => Self::Put { url },
            SourceUrl::Ftp(url) => Self::Ftp(url),
            SourceUrl::File(url) => Self::File(url),
            SourceUrl::Store(stored) => Self::Store(stored.written().map_err(|error| error.at(url))?),
        })
    }
}

/// An http or https URL as its text. What is wrong with one that is none is said without its password, which the URL's own
/// reading would show.
mod http_text {
    use serde::{Deserialize, Deserializer, Serializer};
    use url::Url;

    use super::HttpUrl;

    pub(super) fn serialize<S: Serializer>(url: &Url, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(url.as_str())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Url, D::Error> {
        HttpUrl::deserialize(deserializer).map(|url| url.0)
    }
}

impl fmt::Display for SourceUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Http(url) => f.write_str(&redact(url.as_str())),
            Self::Ftp(url) => url.fmt(f),
            Self::File(url) => url.fmt(f),
            Self::Store(url) => url.fmt(f),
        }
    }
}

impl fmt::Debug for SourceUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SourceUrl({self})")
    }
}

impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Put { url } => f.write_str(&redact(url.as_str())),
            Self::Form { page, file_name } => {
                write!(f, "{}:{}", redact(page.as_str()), file_name.escape_debug())
            }
            Self::Ftp(url) => url.fmt(f),
            Self::File(url) => url.fmt(f),
            Self::Store(url) => url.fmt(f),
        }
    }
}

impl fmt::Debug for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Destination({self})")
    }
}

/// An `ftp` or `ftps` URL (RFC 1738, section 3.2), percent-decoded; free of control characters, so that no part of
/// it can smuggle a command.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct FtpUrl {
    /// As it came.
    text: String,
    pub(super) secure: bool,
    pub(super) host: Host<String>,
    pub(super) port: u16,
    pub(super) user: String,
    pub(super) password: String,
    /// Relative to the login directory, unless it begins with `/` (written `%2F` in the URL).
    pub(super) path: String,
}

impl FtpUrl {
    fn parse(text: &str) -> Result<Self, TransferError> {
        let secure = scheme_of(text) == Some(Scheme::Ftps);
        let (_, rest) = text.split_once(':').ok_or_else(|| invalid("there is no scheme"))?;
        // `ftps` is no special scheme to the URL standard, which would leave its host unparsed: `ftps://2130706433/`.
        let url = Url::parse(&format!("ftp:{rest}")).map_err(unparsable)?;
        let host = url.host().ok_or_else(|| invalid("there is no host"))?.to_owned();
        let path = decode(url.path().strip_prefix('/').unwrap_or_default())?;
        if path.is_empty() || path.ends_with('/') {
            return Err(invalid("it names no file"));
        }
        let (user, password) = match (url.username(), url.password()) {
            ("", None) => ("anonymous".to_owned(), "imgserve@".to_owned()),
            (user, password) => (decode(user)?, decode(password.unwrap_or_default())?),
        };
        Ok(Self { text: text.to_owned(), secure, host, port: url.port().unwrap_or(21), user, password, path })
    }
}

impl fmt::Debug for FtpUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_string())
    }
}

/// For error messages: user and password left out.
impl fmt::Display for FtpUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.secure { "ftps" } else { "ftp" };
        write!(f, "{scheme}://{}:{}/{}", self.host, self.port, self.path)
    }
}

fn decode(text: &str) -> Result<String, TransferError> {
    let text = percent_decode_str(text).decode_utf8().map_err(|_| invalid("a part of it is not UTF-8"))?;
    if text.contains(|c: char| c.is_ascii_control()) {
        return Err(invalid("it holds a control character"));
    }
    Ok(text.into_owned())
}

/// A `file` URL (RFC 8089): the decoded names along an absolute path, none of which can lead upwards.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct FileUrl {
    /// As it came.
    text: String,
    pub(super) segments: Vec<OsString>,
}

impl FileUrl {
    /// Of a file at this absolute path.
    pub(super) fn at(segments: Vec<OsString>) -> Self {
        Self { text: String::new(), segments }
    }

    /// Not by the `url` crate, which silently resolves `..` where it should be refused.
    fn parse(text: &str) -> Result<Self, TransferError> {
        let (_, rest) = text.split_once(':').ok_or_else(|| invalid("there is no scheme"))?;
        let rest = &rest[..rest.find(['?', '#']).unwrap_or(rest.len())];
        let path = match rest.strip_prefix("//") {
            Some(rest) => {
                let (host, _) = rest.split_once('/').ok_or_else(|| invalid("there is no path"))?;
                if !host.is_empty() && !host.eq_ignore_ascii_case("localhost") {
                    return Err(invalid("a file URL's host must be empty or localhost"));
                }
                &rest[host.len()..]
            }
            None => rest,
        };
        let names = path.strip_prefix('/').ok_or_else(|| invalid("the path is not absolute"))?;
        let segments = names.split('/').map(decode_segment).collect::<Result<_, _>>()?;
        Ok(Self { text: text.to_owned(), segments })
    }
}

/// For error messages.
impl fmt::Display for FileUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("file://")?;
        self.segments.iter().try_for_each(|name| write!(f, "/{}", name.to_string_lossy().escape_debug()))
    }
}

/// The URLs that are stored as their own text; one of another scheme is none.
macro_rules! stored_as_text {
    ($($name:ty: $variant:ident),*) => { $(
        impl TryFrom<String> for $name {
            type Error = TransferError;

            fn try_from(text: String) -> Result<Self, TransferError> {
                match SourceUrl::parse(&text)? {
                    SourceUrl::$variant(url) => Ok(url),
                    _ => Err(invalid("it has another scheme than its destination").at(&text)),
                }
            }
        }

        impl From<$name> for String {
            fn from(url: $name) -> Self {
                url.text
            }
        }
    )* };
}
stored_as_text!(FtpUrl: Ftp, FileUrl: File, StoreUrl: Store);

pub(super) fn decode_segment(segment: &str) -> Result<OsString, TransferError> {
    let bytes: Vec<u8> = percent_decode_str(segment).collect();
    match bytes.as_slice() {
        b"" => Err(invalid("its path has an empty segment")),
        b"." | b".." => Err(invalid("its path has a `.` or `..` segment")),
        name if name.contains(&0) || name.contains(&b'/') => {
            Err(invalid("its path has a NUL or an encoded `/`"))
        }
        _ => Ok(OsString::from_vec(bytes)),
    }
}

fn parse_http(url: &str) -> Result<Url, TransferError> {
    Url::parse(url).map_err(unparsable)
}

pub(super) fn invalid(why: &str) -> TransferError {
    TransferError::new(TransferErrorKind::InvalidUrl, format!("invalid URL: {why}"))
}

fn unparsable(error: url::ParseError) -> TransferError {
    invalid(&error.to_string())
}

#[cfg(test)]
#[path = "url_tests.rs"]
mod tests;
