//! What the URL of an object in a store means: which bucket, which key, which version. Pure text; which stores there are, and what
//! of them may be reached, is `stores`' to say.

use std::fmt;

use percent_encoding::percent_decode_str;
use serde::{Deserialize, Serialize};

use super::super::error::TransferError;
use super::super::url::{decode_segment, invalid};

/// Longest key, in bytes: what S3, Google Cloud Storage and Azure take.
const MAX_KEY: usize = 1024;
/// Longest name of a bucket, in bytes (Google's, with dots).
const MAX_BUCKET: usize = 222;
/// The parameter of a URL's query that names a version.
const VERSION: &str = "versionId";

/// What sort of store it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum StoreKind {
    /// Amazon S3, and whatever speaks its protocol.
    S3,
    /// Google Cloud Storage.
    Gcs,
    /// Azure Blob Storage.
    Azure,
    /// A directory.
    File,
}

impl StoreKind {
    /// The kind as it is written in the configuration.
    pub fn name(self) -> &'static str {
        match self {
            Self::S3 => "s3",
            Self::Gcs => "gcs",
            Self::Azure => "azure",
            Self::File => "file",
        }
    }

    /// The scheme of its URLs.
    pub fn scheme(self) -> &'static str {
        match self {
            Self::S3 => "s3",
            Self::Gcs => "gs",
            Self::Azure => "az",
            Self::File => "file",
        }
    }
}

/// An object in a store: `s3://BUCKET/KEY`, `gs://BUCKET/KEY`, `az://CONTAINER/KEY`, `file://STORE/PATH`; a version of it by
/// `?versionId=…`. Stored as its own text.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct StoreUrl {
    /// As it came.
    pub(crate) text: String,
    pub(super) kind: StoreKind,
    /// The bucket; of a directory the name of its store.
    pub(super) bucket: String,
    /// The parts of the key between slashes, decoded; at least one.
    pub(super) key: Vec<String>,
    pub(super) version: Option<String>,
}

impl StoreUrl {
    /// Understands a URL whose scheme is that of `kind`.
    pub(crate) fn parse(kind: StoreKind, text: &str) -> Result<Self, TransferError> {
        let Split { bucket, path, query } = split(text)?;
        check_bucket(bucket)?;
        let key = path.split('/').map(decode_part).collect::<Result<Vec<_>, _>>()?;
        if key_length(&key) > MAX_KEY {
            return Err(invalid(&format!("its key has more than {MAX_KEY} bytes")));
        }
        let version = query.map(version).transpose()?;
        if version.is_some() && kind == StoreKind::File {
            return Err(invalid("files in a directory have no versions"));
        }
        Ok(Self { text: text.to_owned(), kind, bucket: bucket.to_owned(), key, version })
    }

    /// The same object as one that is written to.
    pub(crate) fn written(self) -> Result<Self, TransferError> {
        match self.version {
            None => Ok(self),
            Some(_) => Err(invalid("a destination names no version: what is stored becomes a new one")),
        }
    }

    /// Which version of the object it names, if it names one.
    pub(crate) fn version(&self) -> Option<String> {
        self.version.clone()
    }

    /// Whether it is a file of this machine's.
    pub(crate) fn is_local(&self) -> bool {
        self.kind == StoreKind::File
    }

    /// The lengths of the names in its key, in bytes.
    pub(crate) fn names(&self) -> impl Iterator<Item = usize> {
        self.key.iter().map(String::len)
    }

    /// The whole key, decoded.
    pub(super) fn key(&self) -> String {
        self.key.join("/")
    }

    /// `s3://BUCKET`.
    pub(crate) fn bucket_url(&self) -> String {
        format!("{}://{}", self.kind.scheme(), self.bucket)
    }
}

/// A template of such a URL, whose key may hold tags: its bucket, and what of the key stands before the first of them.
pub(crate) fn head_of_template(template: &str) -> Result<(&str, String, bool), TransferError> {
    let Split { bucket, path, .. } = split(template)?;
    check_bucket(bucket)?;
    let (head, is_whole) = match path.find("{$") {
        Some(tag) => (&path[..tag], false),
        None => (path, true),
    };
    // An escape that a tag cuts through decodes to no slash, and so to no other store.
    let head = percent_decode_str(head).decode_utf8_lossy().into_owned();
    Ok((bucket, head, is_whole))
}

struct Split<'t> {
    bucket: &'t str,
    path: &'t str,
    query: Option<&'t str>,
}

/// Not by the `url` crate, which resolves `..` where it should be refused.
fn split(text: &str) -> Result<Split<'_>, TransferError> {
    let rest = text.split_once("://").map(|(_, rest)| rest);
    let rest = rest.ok_or_else(|| invalid("there is no `://` behind its scheme"))?;
    let rest = &rest[..rest.find('#').unwrap_or(rest.len())];
    let (rest, query) = match rest.split_once('?') {
        Some((rest, query)) => (rest, Some(query)),
        None => (rest, None),
    };
    match rest.split_once('/') {
        Some((bucket, path)) if !path.is_empty() => Ok(Split { bucket, path, query }),
        _ => Err(invalid("it names no object: a key follows the bucket, as in s3://bucket/key")),
    }
}

/// Neither a tag, which a source's name would fill, nor user, password or port is part of a bucket's name.
fn check_bucket(bucket: &str) -> Result<(), TransferError> {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.$".contains(&byte);
    match (1..=MAX_BUCKET).contains(&bucket.len()) && bucket.bytes().all(fits) {
        true => Ok(()),
        false => Err(invalid("what stands before its key is no name of a bucket")),
    }
}

fn decode_part(part: &str) -> Result<String, TransferError> {
    let part = decode_segment(part)?.into_string().map_err(|_| invalid("a part of its key is not UTF-8"))?;
    match part.contains(|c: char| c.is_ascii_control()) {
        true => Err(invalid("its key holds a control character")),
        false => Ok(part),
    }
}

fn key_length(key: &[String]) -> usize {
    key.iter().map(|part| part.len() + 1).sum::<usize>().saturating_sub(1)
}

fn version(query: &str) -> Result<String, TransferError> {
    let value = query.strip_prefix(VERSION).and_then(|rest| rest.strip_prefix('='));
    let value = value.filter(|value| !value.is_empty() && !value.contains('&'));
    let value = value.ok_or_else(|| invalid("of queries an object's URL has `?versionId=…` alone"))?;
    let value = percent_decode_str(value).decode_utf8().map_err(|_| invalid("its version is not UTF-8"))?;
    match value.contains(|c: char| c.is_ascii_control()) {
        true => Err(invalid("its version holds a control character")),
        false => Ok(value.into_owned()),
    }
}

/// For error messages and stories; it holds no secret.
impl fmt::Display for StoreUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.bucket_url(), self.key().escape_debug())?;
        match &self.version {
            Some(version) => write!(f, "?{VERSION}={}", version.escape_debug()),
            None => Ok(()),
        }
    }
}

impl fmt::Debug for StoreUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StoreUrl({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Destination, SourceUrl};

    fn parsed(url: &str) -> Result<StoreUrl, String> {
        match SourceUrl::parse(url) {
            Ok(SourceUrl::Store(url)) => Ok(url),
            Ok(other) => Err(format!("{other} is in no store")),
            Err(error) => Err(error.to_string()),
        }
    }

    #[test]
    fn bucket_key_and_version_are_what_the_url_says() {
        for (url, kind, bucket, key, version) in [
            ("s3://photos/a.png", StoreKind::S3, "photos", "a.png", None),
            ("S3://my.photos/a/b%20c.png#x", StoreKind::S3, "my.photos", "a/b c.png", None),
            ("s3://photos/a.png?versionId=3%2FL4k", StoreKind::S3, "photos", "a.png", Some("3/L4k")),
            ("gs://photos_1/ä.png", StoreKind::Gcs, "photos_1", "ä.png", None),
            ("az://photos/100%25.png", StoreKind::Azure, "photos", "100%.png", None),
            ("file://archive/a/b.png", StoreKind::File, "archive", "a/b.png", None),
        ] {
            let found = parsed(url).unwrap();
            let parts = (found.kind, found.bucket.as_str(), found.key(), found.version.as_deref());
            assert_eq!(parts, (kind, bucket, key.to_owned(), version), "{url}");
        }
        // Any node may do what is in a bucket; a directory may be one node's alone.
        for (url, local) in [
            ("s3://b/a", false),
            ("az://b/a", false),
            ("file://b/a", true),
            ("file:///a", true),
            ("http://h/a", false),
        ] {
            assert_eq!(SourceUrl::parse(url).unwrap().is_local(), local, "{url}");
        }
        assert!(matches!(SourceUrl::parse("file:///a.png"), Ok(SourceUrl::File(_))));
        assert!(matches!(SourceUrl::parse("file://localhost/a.png"), Ok(SourceUrl::File(_))));
    }

    #[test]
    fn what_names_no_object_is_refused() {
        for url in [
            "s3:photos/a.png",
            "s3://photos",
            "s3://photos/",
            "s3:///a.png",
            "s3://photos//a.png",
            "s3://photos/a/",
            "s3://photos/../a.png",
            "s3://photos/a/%2e%2e/b.png",
            "s3://photos/a%2Fb.png",
            "s3://photos/a%00.png",
            "s3://photos/a%0Ab.png",
            "s3://photos/%FF.png",
            "s3://photos:80/a.png",
            "s3://{$basename}/a.png",
            "s3://photos/a.png?x=y",
            "s3://photos/a.png?versionId=",
            "s3://photos/a.png?versionId=%0A",
            "s3://photos/a.png?versionId=a&x=y",
            "file://archive/a.png?versionId=1",
            &format!("s3://photos/{}", "a".repeat(MAX_KEY + 1)),
        ] {
            let error = parsed(url).unwrap_err();
            assert!(error.contains("invalid URL: "), "{url}: {error}");
        }
        assert!(parsed(&format!("s3://photos/{}", "a".repeat(MAX_KEY))).is_ok());
        let secret = parsed("s3://ann:secret@photos/a.png").unwrap_err();
        assert!(!secret.contains("secret"), "{secret}");
    }

    #[test]
    fn a_destination_has_no_version_and_no_tag_for_a_bucket() {
        assert!(matches!(Destination::parse("s3://photos/a.png"), Ok(Destination::Store(_))));
        for url in ["s3://photos/a.png?versionId=1", "s3://{$basename}/a.png", "file://{$basename}/a.png"] {
            assert!(Destination::parse(url).is_err(), "{url}");
        }
        assert_eq!(
            head_of_template("s3://b/a%20b/{$basename}.png").unwrap(),
            ("b", "a b/".to_owned(), false)
        );
        assert_eq!(head_of_template("s3://b/a.png").unwrap(), ("b", "a.png".to_owned(), true));
        assert!(head_of_template("s3://{$basename}/a.png").is_err());
    }

    #[test]
    fn it_is_stored_as_it_came_and_shown_decoded() {
        for text in ["s3://photos/a%20b.png?versionId=7", "file://archive/a.png"] {
            let url = SourceUrl::parse(text).unwrap();
            let stored = serde_json::to_string(&url).unwrap();
            assert_eq!(stored, format!("{text:?}"));
            assert_eq!(serde_json::from_str::<SourceUrl>(&stored).unwrap(), url);
        }
        let stored = serde_json::to_string(&Destination::parse("gs://photos/a%20b.png").unwrap()).unwrap();
        assert_eq!(stored, r#"{"store":"gs://photos/a%20b.png"}"#);
        let read: Destination = serde_json::from_str(&stored).unwrap();
        assert_eq!(read.to_string(), "gs://photos/a b.png");
        assert!(serde_json::from_str::<Destination>(r#"{"store":"http://h/a.png"}"#).is_err());
    }
}
