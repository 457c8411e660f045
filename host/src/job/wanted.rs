//! What a client asks for, by either API: one source and its outputs. 0.2's four members are one output; the members of
//! `POST /v1/jobs` are read here. Pure: nothing is fetched.

use imgserve_base::fault::{Fault, FaultKind, chain};
use imgserve_base::job::Priority;
use imgserve_transfer::HttpUrl;
use serde_json::{Map, Value};

use super::headers;
use super::request::{self, Asked, Request, type_name};
use crate::registry::{LATER_ARGUMENTS, Reading, Registry};

/// Most outputs of one job.
const MAX_OUTPUTS: usize = 16;

/// Members of a request to `/v1/jobs`.
const MEMBERS: [&str; 10] = [
    "operationType",
    "srcURL",
    "dstURL",
    "args",
    "output",
    "outputs",
    "notifyURL",
    "priority",
    "accept",
    "placeholder",
];
/// Those that stand in each of `outputs` instead, where there is one.
const OUTPUT_MEMBERS: [&str; 4] = ["operationType", "dstURL", "args", "output"];

/// A request that passed all checks which need no source.
#[derive(Clone, Debug)]
pub(super) struct Wanted {
    /// At least one, all of the same source.
    pub(super) requests: Vec<Request>,
    pub(super) priority: Priority,
    /// Who is told of the outcome.
    pub(super) notify: Option<HttpUrl>,
    /// Whether the job is to be taken before anything is fetched for it.
    pub(super) at_once: bool,
    /// Whether a placeholder is wanted.
    pub(super) placeholder: bool,
}

impl Wanted {
    /// Reads a 0.2 request.
    ///
    /// # Errors
    /// The first of 0.2's checks that fails.
    pub(super) fn compat(object: &Map<String, Value>, registry: &Registry) -> Result<Self, Fault> {
        let request = request::check(object, registry)?;
        let (priority, notify) = (Priority::Normal, None);
        Ok(Self { requests: vec![request], priority, notify, at_once: false, placeholder: true })
    }

    /// Reads a request to `/v1/jobs`; `can_notify`: whether webhooks can be signed.
    ///
    /// # Errors
    /// The first check that fails, naming the member.
    pub(super) fn v1(
        object: &Map<String, Value>,
        registry: &Registry,
        can_notify: bool,
    ) -> Result<Self, Fault> {
        only(object, &MEMBERS, "")?;
        let object = &given(object);
        let source = required(object, "srcURL", "")?;
        let requests = match object.get("outputs") {
            None => vec![output(object, source, registry, "")?],
            Some(outputs) => many(object, outputs, source, registry)?,
        };
        let notify = object.get("notifyURL").map(|url| notify_url(url, can_notify)).transpose()?;
        let priority = object.get("priority").map_or(Ok(Priority::Normal), priority)?;
        let at_once = object.get("accept").map_or(Ok(false), at_once)?;
        let placeholder = object.get("placeholder").map_or(Ok(true), placeholder)?;
        Ok(Self { requests, priority, notify, at_once, placeholder })
    }

    /// `srcURL` as it came.
    pub(super) fn source(&self) -> &str {
        self.requests.first().map_or("", |request| &request.source)
    }

    /// The paths of arguments that nobody knows.
    pub(super) fn unknown_arguments(&self) -> Vec<String> {
        self.requests.iter().flat_map(|request| request.unknown_arguments.clone()).collect()
    }
}

fn many(
    object: &Map<String, Value>,
    outputs: &Value,
    source: &Value,
    registry: &Registry,
) -> Result<Vec<Request>, Fault> {
    if let Some(member) = OUTPUT_MEMBERS.into_iter().find(|member| object.contains_key(*member)) {
        return Err(wrong(format!("member `{member}` belongs into each of `outputs`")));
    }
    let outputs = outputs
        .as_array()
        .ok_or_else(|| wrong(format!("outputs is {}, not an array", type_name(outputs))))?;
    if outputs.is_empty() || outputs.len() > MAX_OUTPUTS {
        return Err(wrong(format!("outputs has {} items: 1 to {MAX_OUTPUTS} are possible", outputs.len())));
    }
    let one = |(index, value): (usize, &Value)| {
        let at = format!("outputs[{index}]");
        let object =
            value.as_object().ok_or_else(|| wrong(format!("{at} is {}, not an object", type_name(value))))?;
        only(object, &OUTPUT_MEMBERS, &at)?;
        output(&given(object), source, registry, &at)
    };
    outputs.iter().enumerate().map(one).collect()
}

fn output(
    object: &Map<String, Value>,
    source: &Value,
    registry: &Registry,
    at: &str,
) -> Result<Request, Fault> {
    let operation = required(object, "operationType", at)?;
    let destination = required(object, "dstURL", at)?;
    let args = match object.get("args") {
        None => Map::new(),
        Some(Value::Object(args)) => args.clone(),
        Some(other) => {
            let text = format!("{} is {}, not an object", member(at, "args"), type_name(other));
            return Err(Fault::new(FaultKind::ArgsNotObject, text));
        }
    };
    let encoding = object.get("output");
    let args = &Value::Object(with_output(args, encoding, at)?);
    let reading = Reading::AsMeant;
    let checked =
        request::check_values(&Asked { operation, source, destination, args, at, reading }, registry);
    let mut request = checked.map_err(|fault| as_it_came(fault, encoding, at))?;
    if let Some(headers) = encoding.and_then(|output| output.get("headers")).filter(|value| !value.is_null())
    {
        request.headers = headers::read(headers, &member(at, "output.headers"), &request.destination)?;
    }
    Ok(request)
}

/// The same fault; an argument that came in `output` is named from there.
fn as_it_came(mut fault: Fault, output: Option<&Value>, at: &str) -> Fault {
    for key in output.and_then(Value::as_object).into_iter().flat_map(Map::keys) {
        let own = if at.is_empty() { key.clone() } else { format!("{at}.args.{key}") };
        let came = member(at, &format!("output.{key}"));
        fault.text = fault.text.replace(&format!("argument `{own}`"), &format!("member `{came}`"));
    }
    fault
}

/// The members that are given: null is as good as leaving out what may be left out. What may not says so itself.
fn given(object: &Map<String, Value>) -> Map<String, Value> {
    const REQUIRED: [&str; 3] = ["operationType", "srcURL", "dstURL"];
    let given = |(name, value): &(&String, &Value)| !value.is_null() || REQUIRED.contains(&name.as_str());
    object.iter().filter(given).map(|(name, value)| (name.clone(), value.clone())).collect()
}

/// `output {format, quality, lossless, metadata, colors}` says the same as the arguments of these names; its headers are read elsewhere.
fn with_output(
    mut args: Map<String, Value>,
    output: Option<&Value>,
    at: &str,
) -> Result<Map<String, Value>, Fault> {
    let Some(output) = output else { return Ok(args) };
    let object = output
        .as_object()
        .ok_or_else(|| wrong(format!("{} is {}, not an object", member(at, "output"), type_name(output))))?;
    let (output, own) = (member(at, "output"), member(at, "args"));
    only(object, &[&["format", "quality", "headers"][..], &LATER_ARGUMENTS].concat(), &output)?;
    let said = object.iter().filter(|(key, value)| !value.is_null() && *key != "headers");
    for (key, value) in said {
        if args.insert(key.clone(), value.clone()).is_some_and(|before| before != *value) {
            let text = format!("{output}.{key} and {own}.{key} contradict each other");
            return Err(Fault::new(FaultKind::InvalidArgument, text));
        }
    }
    Ok(args)
}

fn notify_url(url: &Value, can_notify: bool) -> Result<HttpUrl, Fault> {
    let invalid = |text: String| Err(Fault::new(FaultKind::InvalidArgument, text));
    match url.as_str().map(HttpUrl::parse) {
        Some(Ok(url)) if can_notify => Ok(url),
        Some(Ok(_)) => invalid(
            "notifyURL: this server has no [webhooks] secret to sign with; `imgserve key webhook` makes one"
                .to_owned(),
        ),
        Some(Err(error)) => invalid(format!("notifyURL must be an http or https URL: {}", chain(&error))),
        None => {
            invalid(format!("notifyURL is {}, not a string: it must be an http or https URL", type_name(url)))
        }
    }
}

fn priority(value: &Value) -> Result<Priority, Fault> {
    value.as_str().and_then(Priority::parse).ok_or_else(|| {
        let text = format!("priority {value} is none of \"low\", \"normal\", \"high\"");
        Fault::new(FaultKind::InvalidArgument, text)
    })
}

fn at_once(value: &Value) -> Result<bool, Fault> {
    match value.as_str() {
        Some("now") => Ok(true),
        Some("planned") => Ok(false),
        _ => {
            let text = format!("accept {value} is none of \"planned\" (the default), \"now\"");
            Err(Fault::new(FaultKind::InvalidArgument, text))
        }
    }
}

fn placeholder(value: &Value) -> Result<bool, Fault> {
    value.as_bool().ok_or_else(|| {
        Fault::new(FaultKind::WrongType, format!("placeholder is {}, not a boolean", type_name(value)))
    })
}

fn only(object: &Map<String, Value>, known: &[&str], at: &str) -> Result<(), Fault> {
    match object.keys().find(|key| !known.contains(&key.as_str())) {
        Some(key) => {
            let key = member(at, &key.escape_debug().to_string());
            Err(wrong(format!("member `{key}` is none of {}", known.join(", "))))
        }
        None => Ok(()),
    }
}

fn required<'o>(object: &'o Map<String, Value>, name: &str, at: &str) -> Result<&'o Value, Fault> {
    object.get(name).ok_or_else(|| wrong(format!("member `{}` is missing", member(at, name))))
}

/// The path of a member of what stands at `at`.
fn member(at: &str, name: &str) -> String {
    if at.is_empty() { name.to_owned() } else { format!("{at}.{name}") }
}

fn wrong(text: String) -> Fault {
    Fault::new(FaultKind::WrongMembers, text)
}
