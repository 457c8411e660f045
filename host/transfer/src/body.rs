//! Bodies of HTTP uploads: sent in pieces, so that progress is seen, and repeatable for redirects; and the
//! multipart/form-data encoding. (reqwest's own writes line breaks of file names into headers, and its forms cannot be
//! sent twice.)

use std::collections::VecDeque;
use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use reqwest::header::{HeaderName, HeaderValue};
use tokio::sync::watch;

use super::error::{TransferError, TransferErrorKind};
use super::mark::random_name;

/// How much is handed to the connection at once, in bytes: little enough that a slow server's progress shows.
const PIECE: usize = 16 << 10;

/// What to send: sharable and repeatable.
#[derive(Debug, Clone)]
pub(super) struct Upload {
    pub(super) content_type: HeaderValue,
    parts: Vec<Bytes>,
}

impl Upload {
    /// The bytes as they are.
    pub(super) fn plain(body: Bytes, media_type: &str) -> Result<Self, TransferError> {
        Ok(Self { content_type: header_value(media_type)?, parts: vec![body] })
    }

    /// A form's entries as multipart/form-data (RFC 7578, in the reading of the HTML standard, "Multipart form data").
    pub(super) fn form(entries: Vec<Entry>) -> Result<Self, TransferError> {
        let boundary = format!("----imgserve{}", random_name());
        let mut parts = Vec::new();
        let mut head = String::new();
        for entry in entries {
            head +=
                &format!("--{boundary}\r\nContent-Disposition: form-data; name=\"{}\"", quoted(&entry.name));
            match entry.value {
                Value::Text(text) => head += &format!("\r\n\r\n{}\r\n", crlf(&text)),
                Value::File(FilePart { file_name, media_type, body }) => {
                    head += &format!("; filename=\"{}\"\r\nContent-Type: ", quoted(&file_name));
                    head += header_value(&media_type)?.to_str().unwrap_or("application/octet-stream");
                    head += "\r\n\r\n";
                    parts.extend([Bytes::from(std::mem::take(&mut head)), body]);
                    head += "\r\n";
                }
            }
        }
        head += &format!("--{boundary}--\r\n");
        parts.push(head.into());
        Ok(Self { content_type: header_value(&format!("multipart/form-data; boundary={boundary}"))?, parts })
    }
}

/// One entry of a form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) name: String,
    pub(super) value: Value,
}

/// What a form's entry holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Value {
    Text(String),
    File(FilePart),
}

/// The file that an upload is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct FilePart {
    pub(super) file_name: String,
    pub(super) media_type: String,
    pub(super) body: Bytes,
}

/// A name between quotes, escaped as browsers do.
fn quoted(name: &str) -> String {
    name.replace('"', "%22").replace('\r', "%0D").replace('\n', "%0A")
}

/// Line breaks as forms send them.
fn crlf(text: &str) -> String {
    text.replace("\r\n", "\n").replace('\r', "\n").replace('\n', "\r\n")
}

/// An [`Upload`] on its way: announces its length, and counts the bytes taken.
pub(super) struct Paced {
    parts: VecDeque<Bytes>,
    left: u64,
    taken: watch::Sender<u64>,
}

impl Paced {
    pub(super) fn new(upload: &Upload, taken: watch::Sender<u64>) -> Self {
        Self::of(upload.parts.iter().cloned(), taken)
    }

    /// These bytes, one after the other.
    pub(super) fn of(parts: impl IntoIterator<Item = Bytes>, taken: watch::Sender<u64>) -> Self {
        let parts: VecDeque<Bytes> = parts.into_iter().filter(|part| !part.is_empty()).collect();
        let left = parts.iter().map(|part| part.len() as u64).sum();
        Self { parts, left, taken }
    }
}

impl Body for Paced {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let Some(part) = self.parts.front_mut() else { return Poll::Ready(None) };
        let piece = part.split_to(part.len().min(PIECE));
        if part.is_empty() {
            self.parts.pop_front();
        }
        self.left -= piece.len() as u64;
        self.taken.send_modify(|taken| *taken += piece.len() as u64);
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.parts.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}

/// Text as a header value, which line breaks cannot be.
pub(super) fn header_name(text: &str) -> Result<HeaderName, TransferError> {
    HeaderName::from_bytes(text.as_bytes()).map_err(|error| {
        let message = format!("{text:?} is no name of a header");
        TransferError::new(TransferErrorKind::Config, message).with_source(error)
    })
}

pub(super) fn header_value(text: &str) -> Result<HeaderValue, TransferError> {
    HeaderValue::from_str(text).map_err(|error| {
        let message = format!("{text:?} cannot be sent as a header");
        TransferError::new(TransferErrorKind::Config, message).with_source(error)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(upload: &Upload) -> String {
        upload.parts.iter().map(|part| std::str::from_utf8(part).unwrap()).collect()
    }

    fn file(name: &str, file_name: &str) -> Entry {
        let (file_name, media_type) = (file_name.to_owned(), "image/png".to_owned());
        let body = Bytes::from_static(b"PNG");
        Entry { name: name.to_owned(), value: Value::File(FilePart { file_name, media_type, body }) }
    }

    #[test]
    fn forms_are_encoded_as_browsers_do() {
        let hidden = Entry { name: "a".to_owned(), value: Value::Text("1\n2".to_owned()) };
        let upload = Upload::form(vec![hidden, file("f", "x.png")]).unwrap();
        let content_type = upload.content_type.to_str().unwrap();
        let boundary = content_type.strip_prefix("multipart/form-data; boundary=").unwrap();
        let expected = format!(
            "--{boundary}\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n1\r\n2\r\n\
             --{boundary}\r\nContent-Disposition: form-data; name=\"f\"; filename=\"x.png\"\r\n\
             Content-Type: image/png\r\n\r\nPNG\r\n--{boundary}--\r\n"
        );
        assert_eq!(text(&upload), expected);
    }

    #[test]
    fn names_cannot_break_out_of_their_header() {
        let upload = Upload::form(vec![file("f\"\r\nX: y", "a\"b\r\n\r\n.png")]).unwrap();
        let sent = text(&upload);
        assert!(sent.contains("name=\"f%22%0D%0AX: y\"; filename=\"a%22b%0D%0A%0D%0A.png\"\r\n"), "{sent}");
        assert!(Upload::plain(Bytes::new(), "image/png\r\nX: y").is_err());
    }

    #[test]
    fn bytes_are_counted_and_the_length_is_known() {
        let upload = Upload::plain(Bytes::from(vec![7; 3 * PIECE + 1]), "image/png").unwrap();
        let (sender, progress) = watch::channel(0);
        let mut body = Box::pin(Paced::new(&upload, sender));
        assert_eq!(body.size_hint().exact(), Some(3 * PIECE as u64 + 1));
        let mut context = Context::from_waker(std::task::Waker::noop());
        let mut total = 0;
        while let Poll::Ready(Some(Ok(frame))) = body.as_mut().poll_frame(&mut context) {
            total += frame.into_data().unwrap().len();
        }
        assert_eq!((total, *progress.borrow()), (3 * PIECE + 1, 3 * PIECE as u64 + 1));
        assert!(body.is_end_stream());
    }
}
