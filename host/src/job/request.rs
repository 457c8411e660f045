//! 0.2's checks 101 to 113, in their order: from a request's body to an [`Request`] that cannot be invalid. Pure:
//! nothing is fetched here.

use imgserve_base::fault::{Fault, FaultKind, one_line};
use imgserve_base::kept::Kept;
use imgserve_transfer::{
    SCHEMES, Tags, basename, destination_extension, extension, scheme_of, split_form, substitute_tags,
};
use imgserve_worker::{Step, Task};
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};

use super::formats::{self, Chosen};
use super::headers::Headers;
use super::json::{self, NotRead};
use super::strict::OfOld;
use crate::registry::{self, Chain, Entry, Needs, Reading, Registry};

/// The most of a value that is told again, in bytes.
const MAX_VALUE: usize = 100;
/// Encoding quality when the request names none.
const DEFAULT_QUALITY: u8 = 80;

/// A request that passed all checks which need no source.
#[derive(Clone, Debug)]
pub(super) struct Request {
    /// The operation's name, as the request has it.
    pub(super) operation: String,
    /// What a worker is to do. Its extension is empty where the source's content is to tell its format.
    pub(super) task: Task,
    /// Whether the result has the source's format, which its content is to tell.
    pub(super) of_source: bool,
    /// `srcURL` as it came.
    pub(super) source: String,
    /// `dstURL` as it came; its tags are substituted when the plan is known.
    pub(super) destination: String,
    /// The form's file field, for form uploads.
    pub(super) field: Option<String>,
    /// Media type of the result.
    pub(super) media_type: String,
    /// What else is said of it where it is stored.
    pub(super) headers: Headers,
    /// Arguments that nobody knows; 0.2 ignored them, so the request is not refused for them.
    pub(super) unknown_arguments: Vec<String>,
    /// Where it stands in the request, such as `outputs[1]`; empty for the request itself.
    pub(super) at: String,
}

impl Request {
    /// The result's format as it is shown to clients.
    pub(super) fn format_name(&self) -> &str {
        match self.task.format {
            Some(format) => format.name(),
            None => &self.media_type,
        }
    }

    /// What `dstURL`'s tags mean before the plan is known.
    pub(super) fn tags(&self) -> Tags<'_> {
        source_tags(&self.source, &self.task.extension)
    }
}

/// What `dstURL`'s tags mean before the plan is known, of a source of this extension; empty where its content is to tell it.
pub(super) fn source_tags<'a>(source: &'a str, known: &'a str) -> Tags<'a> {
    // As the URL has it, in its case.
    let as_written = extension(source).filter(|written| written.eq_ignore_ascii_case(known));
    let extension = as_written.or(Some(known)).filter(|known| !known.is_empty());
    Tags { width: None, height: None, basename: Some(basename(source)), extension }
}

/// One output of a source, as the request has it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked<'a> {
    pub(super) operation: &'a Value,
    pub(super) source: &'a Value,
    pub(super) destination: &'a Value,
    pub(super) args: &'a Value,
    /// Where it stands in the request, such as `outputs[1]`; empty for the request itself.
    pub(super) at: &'a str,
    pub(super) reading: Reading,
}

/// Parses a request's body.
///
/// # Errors
/// [`FaultKind::NotJson`]; [`FaultKind::WrongMembers`] where a member stands twice.
pub(super) fn parse(body: &[u8], reading: Reading) -> Result<Map<String, Value>, Fault> {
    json::object(body, "the body", reading).map_err(|not_read| match not_read {
        NotRead::NotObject(text) => Fault::new(FaultKind::NotJson, text),
        NotRead::Twice(path) => Fault::new(FaultKind::WrongMembers, format!("member `{path}` stands twice")),
    })
}

/// Checks a request against the registry.
///
/// # Errors
/// The first check that fails, as IMGSERVE-0.2's table orders them.
pub(super) fn check(object: &Map<String, Value>, registry: &Registry) -> Result<Request, Fault> {
    let [operation, source, destination, args] = members(object)?;
    let reading = Reading::ToTheLetter;
    check_values(&Asked { operation, source, destination, args, at: "", reading }, registry)
}

/// The checks that follow that of the members: one output of one source.
///
/// # Errors
/// As [`check`].
pub(super) fn check_values(asked: &Asked<'_>, registry: &Registry) -> Result<Request, Fault> {
    let at = asked.at;
    let within = |fault: Fault| if at.is_empty() { fault } else { fault.at(at) };
    let member = |name: &str| if at.is_empty() { name.to_owned() } else { format!("{at}.{name}") };
    let operation = known_operation(asked.operation, &member("operationType"), registry)?;
    let request_args = asked.args.as_object().ok_or_else(|| {
        let text = format!("{} is {}, not an object", member("args"), type_name(asked.args));
        Fault::new(FaultKind::ArgsNotObject, text)
    })?;
    let source = url(asked.source, "srcURL", FaultKind::EmptySource)?;
    let destination = url(asked.destination, &member("dstURL"), FaultKind::EmptyDestination)?;

    let old = OfOld::of(operation, request_args, asked.reading);
    if let Some(old) = &old {
        old.check_required(request_args)?;
    }
    let chain = chain(registry, operation, request_args.clone(), asked.reading).map_err(within)?;
    let args = &chain.host_args;
    let encoding = Encoding::of(args).map_err(within)?;

    let source_extension =
        formats::source_extension(extension(source), chain.first(), registry, asked.reading);
    let source_extension = source_extension.map_err(within)?;
    let found = destination_of(destination, &source_tags(source, &source_extension));
    if let Some(old) = &old {
        old.check_source(&source_extension, found.as_deref())?;
    }
    scheme(source, "srcURL", FaultKind::SourceScheme)?;
    scheme(destination, &member("dstURL"), FaultKind::DestinationScheme)?;
    let field = form_field(destination, args).map_err(within)?;
    let requested = encoding.format_name.map(|name| chain.format(name)).transpose().map_err(within)?;
    let quality = encoding.quality().map_err(within)?;
    let kept = encoding.kept;
    let result = formats::Choice {
        kind: chain.output(),
        source: &source_extension,
        requested,
        destination: found.as_deref(),
        reading: asked.reading,
        old: old.is_some(),
    };
    let Chosen { format, media_type, of_source } = result.choose().map_err(within)?;
    kept.check(format).map_err(within)?;
    registry.check_suspended(&Needs::new(&chain.steps, format))?;
    let seed = seed(source, &chain.steps);
    Ok(Request {
        operation: operation.name.clone(),
        task: Task { steps: chain.steps, extension: source_extension, format, quality, kept, seed },
        of_source,
        source: source.to_owned(),
        destination: destination.to_owned(),
        field,
        media_type,
        headers: Headers::new(),
        unknown_arguments: chain.unknown.into_iter().map(|path| argument(at, &path)).collect(),
        at: at.to_owned(),
    })
}

/// The path of an argument in the request.
fn argument(at: &str, path: &str) -> String {
    if at.is_empty() { path.to_owned() } else { format!("{at}.args.{path}") }
}

/// The steps of an operation: what the request says goes over the operation's default arguments.
pub(super) fn chain<'r>(
    registry: &'r Registry,
    operation: &'r Entry,
    request_args: Map<String, Value>,
    reading: Reading,
) -> Result<Chain<'r>, Fault> {
    registry.chain(operation, operation.given(request_args, reading), reading)
}

/// How the result is to be written, as the host's own arguments say it. Their types are right; nothing else is checked.
pub(super) struct Encoding<'a> {
    pub(super) format_name: Option<&'a str>,
    pub(super) quality: Option<i64>,
    pub(super) kept: Kept,
}

impl<'a> Encoding<'a> {
    pub(super) fn of(host_args: &'a Map<String, Value>) -> Result<Self, Fault> {
        let quality = registry::integer(host_args, "quality")?;
        let (format_name, kept) = (registry::text(host_args, "format")?, registry::kept(host_args)?);
        Ok(Self { format_name, quality, kept })
    }

    /// The quality asked for, or the one that everybody gets.
    pub(super) fn quality(&self) -> Result<u8, Fault> {
        self.quality.map_or(Ok(DEFAULT_QUALITY), registry::quality)
    }
}

/// Where the random numbers of a task begin: the same for the same work, so that it can be done again.
pub(super) fn seed(source: &str, steps: &[Step]) -> u64 {
    let mut digest = Sha256::new();
    digest.update(source);
    for step in steps {
        digest.update(&step.operation);
        digest.update(Value::Object(step.args.clone()).to_string());
    }
    let digest: [u8; 32] = digest.finalize().into();
    u64::from_le_bytes(*digest.first_chunk().expect("32 bytes hold 8"))
}

fn members(object: &Map<String, Value>) -> Result<[&Value; 4], Fault> {
    const MEMBERS: [&str; 4] = ["operationType", "srcURL", "dstURL", "args"];
    let wrong = |text: String| Fault::new(FaultKind::WrongMembers, text);
    if let Some(extra) = object.keys().find(|key| !MEMBERS.contains(&key.as_str())) {
        return Err(wrong(format!("member `{}` is none of {}", extra.escape_debug(), MEMBERS.join(", "))));
    }
    let get = |name: &str| object.get(name).ok_or_else(|| wrong(format!("member `{name}` is missing")));
    Ok([get(MEMBERS[0])?, get(MEMBERS[1])?, get(MEMBERS[2])?, get(MEMBERS[3])?])
}

fn known_operation<'a>(name: &Value, member: &str, registry: &'a Registry) -> Result<&'a Entry, Fault> {
    let found = name.as_str().and_then(|name| registry.get(name));
    found.ok_or_else(|| unknown_operation(&format!("{member} {}", told(name)), registry))
}

/// A value of a stranger's, told again in short.
fn told(value: &Value) -> String {
    one_line(&value.to_string(), MAX_VALUE)
}

/// The fault of `what`, which should have named an operation.
pub(crate) fn unknown_operation(what: &str, registry: &Registry) -> Fault {
    let known: Vec<&str> = registry.names().collect();
    Fault::new(FaultKind::UnknownOperation, format!("{what} is none of {}", known.join(", ")))
}

fn url<'a>(value: &'a Value, member: &str, kind: FaultKind) -> Result<&'a str, Fault> {
    match value.as_str() {
        Some("") => Err(Fault::new(kind, format!("{member} is empty"))),
        Some(url) => Ok(url),
        None => Err(Fault::new(kind, format!("{member} is {}, not a string", type_name(value)))),
    }
}

pub(super) fn scheme(url: &str, member: &str, kind: FaultKind) -> Result<(), Fault> {
    match scheme_of(url) {
        Some(_) => Ok(()),
        None => Err(Fault::new(kind, format!("the scheme of {member} is none of {SCHEMES}"))),
    }
}

/// The documentation of 0.2 says `field_name`, its code read `field_file`.
fn form_field(destination: &str, args: &Map<String, Value>) -> Result<Option<String>, Fault> {
    if split_form(destination).is_none() {
        return Ok(None);
    }
    match args.get("field_name").or_else(|| args.get("field_file")) {
        None => {
            let text = "an upload through a form needs the argument `field_name`: the form's file field";
            Err(Fault::new(FaultKind::MissingFieldName, text))
        }
        Some(Value::String(name)) => Ok(Some(name.clone())),
        Some(other) => Err(Fault::new(
            FaultKind::FieldNameType,
            format!("argument `field_name`: {} is not a string", told(other)),
        )),
    }
}

/// A destination's extension, lowercase; none where it has none, or one that is known only with the source.
fn destination_of(destination: &str, tags: &Tags<'_>) -> Option<String> {
    let substituted = substitute_tags(destination, tags);
    let found = destination_extension(&substituted).map(str::to_ascii_lowercase);
    found.filter(|found| tags.extension.is_some() || !found.contains("{$"))
}

pub(super) fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}
