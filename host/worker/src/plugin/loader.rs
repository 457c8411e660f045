//! From an operation's settings to its plugin, by kind: the one place that knows all three loaders.

use std::rc::Rc;

use imgserve_config::{CodecSettings, GuestSize, OperationSettings, PluginKind};

use super::artifact::Artifact;
use super::call::Plugin;
use super::deadline::Deadline;
use super::load_error::LoadError;
use super::{builtin, native, table, wasm};

/// What loads plugins in one process: the engine behind the sandboxed ones, and the clock behind all of them.
#[derive(Debug)]
pub struct Loader {
    deadline: Rc<Deadline>,
    engine: Option<wasm::Engine>,
    max_frames: u32,
    size: GuestSize,
}

impl Loader {
    /// A loader of plugins that give at most `max_frames` frames and, sandboxed, are at most so large; nothing is set up before it
    /// is needed.
    pub fn new(deadline: &Rc<Deadline>, max_frames: u32, size: GuestSize) -> Self {
        Self { deadline: Rc::clone(deadline), engine: None, max_frames, size }
    }

    /// Loads the plugin behind an operation; `artifact` is what [`prepare`](super::prepare) made of its file.
    ///
    /// # Errors
    /// [`LoadError`] when there is none or it does not check out.
    pub fn load(
        &mut self,
        operation: &OperationSettings,
        artifact: Option<&Artifact>,
    ) -> Result<Box<dyn Plugin>, LoadError> {
        let limit = operation.time_limit();
        match (operation.kind, artifact) {
            (PluginKind::Native, Some(artifact)) => {
                Ok(Box::new(table::TablePlugin::new(native::load(artifact)?, limit, &self.deadline)))
            }
            (PluginKind::Wasm, Some(artifact)) => {
                let max_frames = self.max_frames;
                Ok(Box::new(self.engine()?.load(artifact, operation, max_frames)?))
            }
            (PluginKind::Builtin, _) => {
                let plugin = builtin::load(&operation.plugin)?;
                Ok(Box::new(table::TablePlugin::new(plugin, limit, &self.deadline)))
            }
            (PluginKind::Native | PluginKind::Wasm, None) => Err(LoadError::Compiled {
                path: operation.path.clone().unwrap_or_default(),
                text: "it was not prepared".to_owned(),
            }),
        }
    }

    /// Loads a codec; `artifact` is what [`prepare`](super::prepare) made of its file.
    ///
    /// # Errors
    /// [`LoadError`] when it does not check out.
    pub(crate) fn load_codec(
        &mut self,
        settings: &CodecSettings,
        artifact: &Artifact,
    ) -> Result<wasm::WasmCodec, LoadError> {
        self.engine()?.load_codec(artifact, settings)
    }

    fn engine(&mut self) -> Result<&wasm::Engine, LoadError> {
        let engine = match self.engine.take() {
            Some(engine) => engine,
            None => wasm::Engine::for_calls(&self.deadline, &self.size)?,
        };
        Ok(self.engine.insert(engine))
    }
}
