//! `/v1`: the registry of operations and codecs, and the nodes that share a journal, as JSON.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::{Method, Uri};
use imgserve_base::fault::one_line;
use imgserve_config::{PluginKind, Profile};
use imgserve_sdk::{Description, codec};
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::kind::RequestKind;
use super::path::Name;
use super::problem::Problem;
use super::routes;
use crate::job::{Service, unknown_operation};
use crate::registry::{BreakerState, Codec, Entry, Registry};

/// The most of a path that is told again, in bytes.
const MAX_PATH: usize = 200;

/// An operation as clients see it.
#[derive(Debug, Serialize)]
pub(super) struct Shown {
    name: String,
    kind: PluginKind,
    /// The sources' file name extensions.
    sources: Vec<String>,
    /// Default arguments from the configuration, without secrets.
    defaults: Map<String, Value>,
    /// Whether its work is for time or quality.
    profile: Profile,
    /// What bounds one call of it.
    limits: Limits,
    /// SHA-256 of the plugin's file.
    #[serde(skip_serializing_if = "Option::is_none")]
    sha256: Option<String>,
    /// Whether the operation is refused for a while because its plugin has failed repeatedly.
    #[serde(skip_serializing_if = "Option::is_none")]
    breaker: Option<BreakerState>,
    plugin: Description,
}

/// A codec that is a plugin, as clients see it.
#[derive(Debug, Serialize)]
pub(super) struct ShownCodec {
    name: String,
    kind: PluginKind,
    /// What bounds one call of it.
    limits: Limits,
    /// SHA-256 of the plugin's file.
    sha256: String,
    /// Whether what needs it is refused for a while because it has failed repeatedly.
    breaker: BreakerState,
    plugin: codec::Description,
}

impl ShownCodec {
    fn of(codec: &Codec) -> Self {
        let Codec { name, settings, description, artifact, breaker } = codec;
        Self {
            name: name.clone(),
            kind: settings.kind,
            limits: Limits {
                memory_limit_mb: Some(settings.memory_limit_mb()),
                time_limit_ms: Some(settings.time_limit().as_millis() as u64),
                max_output_pixels: None,
            },
            sha256: artifact.sha256.clone(),
            breaker: breaker.state(),
            plugin: description.clone(),
        }
    }
}

/// The limits of one plugin; none where only the server's hold.
#[derive(Debug, Serialize)]
struct Limits {
    #[serde(skip_serializing_if = "Option::is_none")]
    memory_limit_mb: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    time_limit_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_output_pixels: Option<u64>,
}

impl Shown {
    fn of(registry: &Registry, operation: &Entry) -> Self {
        let kind = operation.settings.kind;
        Self {
            name: operation.name.clone(),
            kind,
            sources: registry.source_extensions(operation).into_iter().map(str::to_owned).collect(),
            defaults: operation.shown_default_args(),
            profile: operation.profile,
            limits: Limits {
                memory_limit_mb: (kind == PluginKind::Wasm).then(|| operation.settings.memory_limit_mb()),
                time_limit_ms: operation.settings.time_limit().map(|limit| limit.as_millis() as u64),
                max_output_pixels: operation.settings.max_output_pixels,
            },
            sha256: operation.artifact.as_ref().map(|artifact| artifact.sha256.clone()),
            breaker: (kind != PluginKind::Builtin).then(|| operation.breaker.state()),
            plugin: operation.description.clone(),
        }
    }
}

pub(super) async fn operations(State(service): State<Arc<Service>>) -> Json<Vec<Shown>> {
    let registry = &service.generation().registry;
    Json(registry.iter().map(|operation| Shown::of(registry, operation)).collect())
}

pub(super) async fn operation(
    State(service): State<Arc<Service>>,
    name: Name,
) -> Result<Json<Shown>, Problem> {
    let name = name.map(|Path(name)| name).unwrap_or_default();
    let generation = service.generation();
    generation
        .registry
        .get(&name)
        .map(|operation| Json(Shown::of(&generation.registry, operation)))
        .ok_or_else(|| {
            let named = format!("`{}`", name.escape_debug());
            Problem::of(&unknown_operation(&named, &generation.registry))
        })
}

pub(super) async fn codecs(State(service): State<Arc<Service>>) -> Json<Vec<ShownCodec>> {
    Json(service.generation().registry.codecs().iter().map(ShownCodec::of).collect())
}

/// The nodes that share the journal.
pub(super) async fn nodes(State(service): State<Arc<Service>>) -> Result<Json<Value>, Problem> {
    let nodes = service.nodes().await.map_err(|fault| Problem::of(&fault))?;
    Ok(Json(json!({ "nodes": nodes })))
}

/// What is below `/v1` and no route.
pub(super) async fn unknown_path(uri: Uri) -> Problem {
    let path = one_line(uri.path(), MAX_PATH);
    let detail = format!("{path} is none of {}", routes::paths_of_v1());
    Problem::new(RequestKind::UnknownPath, detail)
}

/// What is a path of some route, with another method.
pub(super) async fn wrong_method(method: Method, uri: Uri) -> Problem {
    let detail = format!("{} does not answer {method}", one_line(uri.path(), MAX_PATH));
    Problem::new(RequestKind::MethodNotAllowed, detail)
}
