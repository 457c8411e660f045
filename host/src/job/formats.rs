//! Which file formats a request's source and its result have: by the extensions of its URLs, and where these do not tell, by
//! the source's first bytes. Pure.

use std::borrow::Cow;

use imgserve_base::fault::{Fault, FaultKind};
use imgserve_base::format::{Format, Sniff, sniff};
use imgserve_sdk::OutputKind;

use super::request::Request;
use crate::registry::{Entry, Reading, Registry, writable};

/// What is written where the source's own format is none for results that nobody asks to be of it.
const FALLBACK: Format = Format::Png;
/// What a result is of which no more is known than that it is an image.
const SOME_IMAGE: &str = "image/*";

/// The extension that tells the source's format, lowercase; empty where its content is to tell.
///
/// # Errors
/// [`FaultKind::SourceExtension`] for one that the operation does not take.
pub(super) fn source_extension(
    found: Option<&str>,
    operation: &Entry,
    registry: &Registry,
    reading: Reading,
) -> Result<String, Fault> {
    let found = found.unwrap_or_default().to_ascii_lowercase();
    let taken = operation.source_extensions();
    if taken.contains(&found.as_str()) {
        return Ok(found);
    }
    let told = Format::from_extension(&found).is_some()
        || registry.iter().any(|operation| operation.source_extensions().contains(&found.as_str()));
    if reading == Reading::AsMeant && !told {
        return Ok(String::new());
    }
    Err(not_taken(operation, &found, &taken))
}

/// The fault of a source whose extension an operation does not take.
pub(super) fn not_taken(operation: &Entry, found: &str, taken: &[&str]) -> Fault {
    let name = &operation.name;
    let text = format!("`{name}` does not take sources ending in \".{found}\", only {}", taken.join(", "));
    Fault::new(FaultKind::SourceExtension, text)
}

/// What decides the result's format.
pub(super) struct Choice<'a> {
    /// What comes out of the operation.
    pub(super) kind: &'a OutputKind,
    /// The source's extension; empty where its content is to tell.
    pub(super) source: &'a str,
    /// The format that the request names.
    pub(super) requested: Option<Format>,
    /// The destination's extension, lowercase; none where it has none that is known yet.
    pub(super) destination: Option<&'a str>,
    pub(super) reading: Reading,
    /// Whether the request says nothing that 0.2 could not be told.
    pub(super) old: bool,
}

/// A result's format; none where the operation encodes it itself, or where it is the source's and that is not known yet.
#[derive(Debug, PartialEq)]
pub(super) struct Chosen {
    pub(super) format: Option<Format>,
    pub(super) media_type: String,
    /// Whether it is the source's, which its content is to tell.
    pub(super) of_source: bool,
}

impl Chosen {
    fn image(format: Format) -> Self {
        Self { format: Some(format), media_type: format.media_type().to_owned(), of_source: false }
    }
}

impl Choice<'_> {
    /// The result's format.
    ///
    /// # Errors
    /// [`FaultKind::DestinationExtension`] where the destination's extension does not fit it.
    pub(super) fn choose(&self) -> Result<Chosen, Fault> {
        if let OutputKind::Encoded { media_type, extension } = self.kind {
            let fits = match self.destination {
                Some(found) => found == extension,
                None => self.reading == Reading::AsMeant,
            };
            let chosen = Chosen { format: None, media_type: media_type.clone(), of_source: false };
            return if fits {
                Ok(chosen)
            } else {
                Err(mismatch(format!("the destination must end in .{extension}")))
            };
        }
        match (self.requested, self.reading) {
            // Where `format` says it, a destination without any extension contradicts nothing.
            (Some(format), _) if self.destination.is_none() => Ok(Chosen::image(format)),
            (Some(format), _) => self.must_end_in(Some(format), format.extensions()),
            (None, Reading::ToTheLetter) => self.usual(),
            (None, Reading::AsMeant) => self.as_the_destination_says(),
        }
    }

    /// 0.2's rule: the source's format, or the operation's, and the destination's extension must be that one's.
    fn usual(&self) -> Result<Chosen, Fault> {
        match self.kind {
            OutputKind::Image { format } => {
                let format = Format::from_name(format);
                self.must_end_in(format, format.map(Format::extensions).unwrap_or_default())
            }
            _ => {
                let format = Format::from_extension(self.source);
                match format.filter(|_| !self.old) {
                    // `jpg` and `jpeg` are one, but for 0.2.
                    Some(same) => self.must_end_in(format, same.extensions()),
                    None => self.must_end_in(format, &[self.source]),
                }
            }
        }
    }

    fn must_end_in(&self, format: Option<Format>, wanted: &[&str]) -> Result<Chosen, Fault> {
        if !self.destination.is_some_and(|found| wanted.contains(&found)) {
            let found = self.destination.map_or("no extension".to_owned(), |found| format!(".{found}"));
            let hint =
                if self.requested.is_none() { "; the argument `format` asks for another one" } else { "" };
            let wanted = wanted.join(" or .");
            return Err(mismatch(format!("the destination has {found} and must end in .{wanted}{hint}")));
        }
        match format {
            Some(format) if format.can_encode() => Ok(Chosen::image(format)),
            _ => {
                let text =
                    format!("{} can be read and not written: give {} as `format`", self.source, names());
                Err(mismatch(text))
            }
        }
    }

    fn as_the_destination_says(&self) -> Result<Chosen, Fault> {
        let Some(found) = self.destination else {
            let format = own_format(self.kind, self.source);
            let open = self.source.is_empty() && *self.kind == OutputKind::Source;
            return Ok(match format.filter(|_| !open) {
                Some(format) => Chosen::image(format),
                None => Chosen { format: None, media_type: SOME_IMAGE.to_owned(), of_source: true },
            });
        };
        match Format::from_extension(found) {
            Some(format) if format.can_encode() => Ok(Chosen::image(format)),
            _ => {
                let text = format!(
                    "the destination ends in .{found}, which is not written: give {} as `format`",
                    names()
                );
                Err(mismatch(text))
            }
        }
    }
}

fn names() -> String {
    writable().join(" or ")
}

fn mismatch(text: String) -> Fault {
    Fault::new(FaultKind::DestinationExtension, text)
}

/// The result's format where none is asked for; none when the operation encodes it itself.
pub(super) fn own_format(output: &OutputKind, source_extension: &str) -> Option<Format> {
    match output {
        OutputKind::Source => {
            let source = Format::from_extension(source_extension).filter(|format| format.follows_source());
            Some(source.unwrap_or(FALLBACK))
        }
        OutputKind::Image { format } => Format::from_name(format),
        OutputKind::Encoded { .. } => None,
    }
}

impl Request {
    /// The request itself, for a source that begins with these bytes: where its URL does not tell its format they do. None
    /// while they are too few.
    ///
    /// # Errors
    /// [`FaultKind::UnreadableSource`] when they are of no format.
    pub(super) fn of_bytes(&self, head: &[u8], complete: bool) -> Result<Option<Cow<'_, Self>>, Fault> {
        if !self.task.extension.is_empty() {
            return Ok(Some(Cow::Borrowed(self)));
        }
        match sniff(head) {
            Sniff::Is(format) => Ok(Some(self.of_format(Some(format)))),
            Sniff::Open if !complete => Ok(None),
            Sniff::Open | Sniff::Unknown => {
                let text = "the source's URL has no extension that tells its format, and its content is of none that is known";
                Err(Fault::new(FaultKind::UnreadableSource, text))
            }
        }
    }

    /// The request itself, for a source of this format where its URL does not tell.
    pub(super) fn of_format(&self, source: Option<Format>) -> Cow<'_, Self> {
        let Some(source) = source.filter(|_| self.task.extension.is_empty()) else {
            return Cow::Borrowed(self);
        };
        let mut request = self.clone();
        source.extensions()[0].clone_into(&mut request.task.extension);
        if let (true, Some(format)) =
            (self.of_source, own_format(&OutputKind::Source, &request.task.extension))
        {
            request.task.format = Some(format);
            format.media_type().clone_into(&mut request.media_type);
        }
        Cow::Owned(request)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn choose(
        kind: &OutputKind,
        (source, destination): (&str, Option<&str>),
        requested: Option<Format>,
        reading: Reading,
    ) -> Result<Option<Format>, String> {
        let old = reading == Reading::ToTheLetter;
        let chosen = Choice { kind, source, requested, destination, reading, old }.choose();
        chosen.map(|chosen| chosen.format).map_err(|fault| fault.text)
    }

    #[test]
    fn the_destinations_extension_chooses_where_0_2_does_not_bind() {
        let choose =
            |source, destination| choose(&OutputKind::Source, (source, destination), None, Reading::AsMeant);
        for (source, destination, format) in [
            ("jpg", Some("webp"), Format::WebP),
            ("jpg", Some("jpeg"), Format::Jpeg),
            ("jpeg", Some("jpg"), Format::Jpeg),
            ("tiff", Some("png"), Format::Png),
            ("", Some("gif"), Format::Gif),
            ("png", None, Format::Png),
            ("bmp", None, Format::Png),
            ("bmp", Some("bmp"), Format::Bmp),
            ("tif", Some("tiff"), Format::Tiff),
            ("png", Some("ico"), Format::Ico),
        ] {
            assert_eq!(choose(source, destination), Ok(Some(format)), "{source} to {destination:?}");
        }
        assert_eq!(choose("", None), Ok(None), "the source's content is to tell");
        for unwritten in ["svg", "txt", "heic"] {
            assert!(
                choose("png", Some(unwritten)).unwrap_err().contains("which is not written"),
                "{unwritten}"
            );
        }
    }

    #[test]
    fn to_the_letter_it_must_be_the_sources() {
        let kind = OutputKind::Source;
        let choose =
            |source, destination| choose(&kind, (source, Some(destination)), None, Reading::ToTheLetter);
        assert_eq!(choose("jpeg", "jpeg"), Ok(Some(Format::Jpeg)));
        for (source, destination) in [("jpeg", "jpg"), ("jpg", "webp"), ("svg", "svg")] {
            assert!(choose(source, destination).is_err(), "{source} to {destination}");
        }
        let new = Choice {
            kind: &kind,
            source: "jpeg",
            requested: None,
            destination: Some("jpg"),
            reading: Reading::ToTheLetter,
            old: false,
        };
        assert_eq!(new.choose().map(|chosen| chosen.format).ok(), Some(Some(Format::Jpeg)));
    }

    #[test]
    fn what_is_asked_for_must_not_be_contradicted() {
        for reading in [Reading::ToTheLetter, Reading::AsMeant] {
            let choose =
                |destination| choose(&OutputKind::Source, ("png", destination), Some(Format::Jpeg), reading);
            assert_eq!(choose(Some("jpeg")), Ok(Some(Format::Jpeg)));
            assert_eq!(choose(None), Ok(Some(Format::Jpeg)));
            assert!(choose(Some("png")).unwrap_err().contains("must end in .jpg or .jpeg"));
        }
        let text = OutputKind::Encoded { media_type: "text/plain".to_owned(), extension: "txt".to_owned() };
        assert_eq!(choose(&text, ("png", None), None, Reading::AsMeant), Ok(None));
        assert!(choose(&text, ("png", None), None, Reading::ToTheLetter).is_err());
        assert!(choose(&text, ("png", Some("png")), None, Reading::AsMeant).is_err());
    }
}
