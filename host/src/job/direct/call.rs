//! What a client asks of an operation directly, checked against the registry; and what the source's bytes make of it: its
//! format, the result's, and the result's entity tag. Pure: nothing is fetched here.

use std::sync::Arc;

use imgserve_base::depth::{MAX_DEPTH, depth};
use imgserve_base::fair::Flow;
use imgserve_base::fault::{Fault, FaultKind};
use imgserve_base::format::Format;
use imgserve_base::kept::Kept;
use imgserve_sdk::{InputKind, OutputKind};
use imgserve_transfer::extension;
use imgserve_worker::{Prepared, Step, Task};
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};

use super::super::formats::own_format;
use super::super::generation::Generation;
use super::super::json::{self, NotRead};
use super::super::request::{self, Encoding};
use crate::registry::{Entry, Needs, Reading};

/// The value of `format` by which the client leaves the choice to us.
const AUTO: &str = "auto";

/// What a client asks for.
#[derive(Clone, Debug, Default)]
pub(crate) struct Call {
    /// The operation's name.
    pub(crate) operation: String,
    /// Whose turn it is in.
    pub(crate) flow: String,
    /// Arguments as JSON objects; a later one's go over an earlier one's.
    pub(crate) json: Vec<String>,
    /// Arguments as text, which go over those.
    pub(crate) texts: Vec<(String, String)>,
    /// What else came along and means nothing.
    pub(crate) ignored: Vec<String>,
    /// The formats that the client says it takes, should the choice be ours.
    pub(crate) takes: Vec<Format>,
}

/// A call that passed all checks which need no source.
#[derive(Debug)]
pub(super) struct Checked {
    pub(super) generation: Arc<Generation>,
    /// Whose turn it is in.
    pub(super) flow: Flow,
    pub(super) unknown_arguments: Vec<String>,
    /// Whether the result's format depends on what the client takes.
    pub(super) negotiated: bool,
    operation: String,
    steps: Vec<Step>,
    quality: u8,
    kept: Kept,
    /// The format asked for, or chosen because the client takes it.
    format: Option<Format>,
    /// What comes out where no format is asked for.
    output: OutputKind,
    /// The extensions of the files that the first operation reads itself; none for one that takes pixels.
    files: Option<Vec<String>>,
    /// What decides the result beside the steps: which very plugins, and their settings.
    plugins: Vec<Value>,
}

/// The arguments of a call, from its body and its query.
fn arguments(call: &Call, operation: &Entry) -> Result<Map<String, Value>, Fault> {
    let mut args = Map::new();
    for json in &call.json {
        let object = json::object(json.as_bytes(), "args", Reading::AsMeant);
        args.extend(object.map_err(|not_read| match not_read {
            NotRead::NotObject(text) => Fault::new(FaultKind::ArgsNotObject, text),
            NotRead::Twice(path) => stands_twice(&path),
        })?);
    }
    let texts = operation.read_texts(&call.texts);
    check_once(&call.texts, &texts)?;
    args.extend(texts);
    if args.values().any(|value| depth(value) > MAX_DEPTH) {
        let text = format!("an argument is nested more than {MAX_DEPTH} levels deep");
        return Err(Fault::new(FaultKind::InvalidArgument, text));
    }
    Ok(args)
}

/// Which very plugin an operation is, and its settings.
fn decisive(operation: &Entry) -> Value {
    let digest = operation.artifact.as_ref().map(|artifact| &artifact.sha256);
    let description = &operation.description;
    json!([digest, description.name, description.version, operation.settings.config])
}

/// Refuses a member that stands twice in a text that was read as a list or an object.
fn check_once(texts: &[(String, String)], read: &Map<String, Value>) -> Result<(), Fault> {
    let nested = |name: &str| matches!(read.get(name), Some(Value::Array(_) | Value::Object(_)));
    let twice = texts
        .iter()
        .filter(|(name, _)| nested(name))
        .find_map(|(name, text)| Some((name, json::twice(text)?)));
    match twice {
        None => Ok(()),
        Some((name, path)) if path.starts_with('[') => Err(stands_twice(&format!("{name}{path}"))),
        Some((name, path)) => Err(stands_twice(&format!("{name}.{path}"))),
    }
}

fn stands_twice(path: &str) -> Fault {
    Fault::new(FaultKind::InvalidArgument, format!("argument `{path}` stands twice"))
}

/// The most pixels that a result has by the sides that it is asked for, a missing one counting as the other; none where no side is
/// asked for.
fn asked_pixels(steps: &[Step]) -> Option<u64> {
    let side = |name| steps.iter().rev().find_map(|step| step.args.get(name)?.as_u64());
    let (width, height) = (side("width"), side("height"));
    Some(width.or(height)?.saturating_mul(height.or(width)?))
}

impl Checked {
    /// # Errors
    /// The first check that fails.
    pub(super) fn new(call: &Call, flow: Flow, generation: Arc<Generation>) -> Result<Self, Fault> {
        let registry = &generation.registry;
        let operation = registry.get(&call.operation).ok_or_else(|| {
            request::unknown_operation(&format!("`{}`", call.operation.escape_debug()), registry)
        })?;
        let chain = request::chain(registry, operation, arguments(call, operation)?, Reading::AsMeant)?;
        let encoding = Encoding::of(&chain.host_args)?;
        let negotiated = encoding.format_name == Some(AUTO);
        let format = match encoding.format_name {
            Some(AUTO) => {
                let image = !matches!(chain.output(), OutputKind::Encoded { .. });
                let pixels = asked_pixels(&chain.steps);
                let soon = |format: Format| format.is_written_soon(pixels, encoding.kept.lossless);
                let well = |format| registry.check_suspended(&Needs::new(&[], Some(format))).is_ok();
                let fits = |format: &&Format| call.takes.contains(format) && soon(**format) && well(**format);
                generation.auto.iter().find(fits).copied().filter(|_| image)
            }
            name => name.map(|name| chain.format(name)).transpose()?,
        };
        let (quality, kept) = (encoding.quality()?, encoding.kept);
        kept.check(format)?;
        let files = match &chain.first().description.input {
            InputKind::Pixels { .. } => None,
            InputKind::Encoded { .. } => {
                Some(chain.first().source_extensions().into_iter().map(str::to_owned).collect())
            }
        };
        let output = chain.output().clone();
        let plugins = chain.steps.iter().filter_map(|step| registry.get(&step.operation));
        let plugins = plugins.map(decisive).collect();
        let (steps, mut unknown_arguments) = (chain.steps, chain.unknown);
        unknown_arguments.extend(call.ignored.iter().cloned());
        Ok(Self {
            generation,
            flow,
            unknown_arguments,
            negotiated,
            operation: call.operation.clone(),
            steps,
            quality,
            kept,
            format,
            output,
            files,
            plugins,
        })
    }

    /// The operation that the client has named.
    pub(super) fn operation(&self) -> &str {
        &self.operation
    }

    /// Refuses the call while a plugin that it needs whatever its source is fails too often; it does not count as the one that tries
    /// it again.
    pub(super) fn check_suspended(&self) -> Result<(), Fault> {
        self.generation.registry.check_suspended(&Needs::new(&self.steps, self.format))
    }

    /// Refuses the call while a plugin that its task needs fails too often.
    pub(super) fn admit(&self, task: &Task) -> Result<(), Fault> {
        self.generation.registry.admit(&needs(task))
    }

    /// Notes that the plugins of a task have done their work, or which has failed it.
    pub(super) fn note(&self, task: &Task, outcome: Result<(), &Fault>) {
        self.generation.registry.note(&needs(task), outcome);
    }

    /// What a worker is to do with a source of which these are the first bytes; `name` is its URL or file name.
    ///
    /// # Errors
    /// [`FaultKind::UnreadableSource`].
    pub(super) fn task(
        &self,
        bytes: &[u8],
        name: Option<&str>,
        media_type: Option<&str>,
    ) -> Result<Task, Fault> {
        let extension = self.extension(Format::from_content(bytes), name, media_type)?;
        let format = self.format.or_else(|| own_format(&self.output, &extension));
        // By what is done alone: the same image gives the same result, wherever it comes from.
        let seed = request::seed("", &self.steps);
        let (quality, kept) = (self.quality, self.kept);
        Ok(Task { steps: self.steps.clone(), extension, format, quality, kept, seed })
    }

    /// The extension that stands for the source's format. Its `content` decides; for formats that only a plugin reads the name
    /// does, or else the media type.
    ///
    /// # Errors
    /// [`FaultKind::UnreadableSource`].
    pub(super) fn extension(
        &self,
        content: Option<Format>,
        name: Option<&str>,
        media_type: Option<&str>,
    ) -> Result<String, Fault> {
        let named = name.and_then(extension).map(str::to_ascii_lowercase);
        let typed = media_type.map(extension_of_media_type);
        let files = self.files.as_deref().unwrap_or_default();
        let taken = |extension: &&String| files.contains(extension);
        let foreign = |extension: &&String| taken(extension) && Format::from_extension(extension).is_none();
        let by_name = || named.as_ref().or(typed.as_ref());
        if let Some(extension) = by_name().filter(foreign) {
            return Ok(extension.clone());
        }
        if let Some(format) = content {
            return Ok(format.extensions()[0].to_owned());
        }
        // Whoever reads it says what is wrong with it.
        match [&named, &typed].into_iter().flatten().find(taken) {
            Some(extension) => Ok(extension.clone()),
            None if self.files.is_none() => Ok(String::new()),
            None => {
                let text = format!("the source is not recognised as one of {}", files.join(", "));
                Err(Fault::new(FaultKind::UnreadableSource, text))
            }
        }
    }

    /// What was chosen for the client must be able to hold the result.
    pub(super) fn settle_format(&self, task: &mut Task, prepared: &Prepared) {
        let side = prepared.width.max(prepared.height);
        if self.negotiated && task.format.is_some_and(|format| side > format.max_side()) {
            task.format = own_format(&self.output, &task.extension);
        }
    }

    /// Media type of the result.
    pub(super) fn media_type(&self, task: &Task) -> String {
        match (&self.output, task.format) {
            (_, Some(format)) => format.media_type().to_owned(),
            (OutputKind::Encoded { media_type, .. }, None) => media_type.clone(),
            (_, None) => "application/octet-stream".to_owned(),
        }
    }

    /// What decides the result beside the source.
    pub(super) fn fingerprint(&self) -> [u8; 32] {
        let steps: Vec<Value> =
            self.steps.iter().map(|step| json!([step.operation, sorted(&step.args), step.profile])).collect();
        let format = self.format.map(Format::name);
        let damaged = self.generation.damaged;
        let asked = json!([format, self.quality, self.kept]);
        // Any of them may read the source: by its bytes, which are not known yet.
        let codecs = self.generation.codecs.iter().map(|digest| json!(digest));
        let plugins: Vec<Value> = self.plugins.iter().cloned().chain(codecs).collect();
        let all = json!([env!("CARGO_PKG_VERSION"), steps, plugins, asked, damaged]);
        Sha256::digest(all.to_string()).into()
    }
}

/// What a call's task needs, whose extension is that of what its source is.
fn needs(task: &Task) -> Needs<'_> {
    Needs::of(task).reading(Format::from_extension(&task.extension))
}

/// A name that tells a result from all others: the same for the same result.
pub(super) fn entity_tag(fingerprint: &[u8; 32], extension: &str, source_digest: u128) -> String {
    let mut digest = Sha256::new();
    digest.update(fingerprint);
    digest.update(source_digest.to_le_bytes());
    // Found by the source's name, where that decides.
    digest.update(extension);
    let digest: [u8; 32] = digest.finalize().into();
    digest[..16].iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The members of an object in an order that does not depend on who wrote it.
fn sorted(object: &Map<String, Value>) -> Vec<(&String, &Value)> {
    let mut members: Vec<_> = object.iter().collect();
    members.sort_by_key(|(name, _)| *name);
    members
}

/// `qoi` of `image/qoi` and of `image/x-qoi`; the usual extension of a format that we know.
fn extension_of_media_type(media_type: &str) -> String {
    if let Some(format) = Format::from_media_type(media_type) {
        return format.extensions()[0].to_owned();
    }
    let essence = media_type.split(';').next().unwrap_or_default().trim();
    let subtype = essence.rsplit('/').next().unwrap_or_default().to_ascii_lowercase();
    subtype.strip_prefix("x-").map(str::to_owned).unwrap_or(subtype)
}

#[cfg(test)]
mod tests {
    use super::*;
    use imgserve_base::digest::digest;

    #[test]
    fn a_media_type_stands_for_an_extension() {
        for (media_type, extension) in
            [("image/jpeg", "jpg"), ("image/QOI", "qoi"), ("image/x-qoi; v=1", "qoi"), ("", "")]
        {
            assert_eq!(extension_of_media_type(media_type), extension);
        }
    }

    #[test]
    fn an_entity_tag_tells_results_apart() {
        let (source, other) = (digest(b"source"), digest(b"sourcf"));
        let tag = entity_tag(&[0; 32], "jpg", source);
        assert_eq!(tag, entity_tag(&[0; 32], "jpg", digest(b"source")));
        for other in [
            entity_tag(&[1; 32], "jpg", source),
            entity_tag(&[0; 32], "png", source),
            entity_tag(&[0; 32], "jpg", other),
        ] {
            assert_ne!(tag, other);
        }
        assert_eq!(tag.len(), 32);
    }
}
