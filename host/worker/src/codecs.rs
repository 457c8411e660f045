//! The codecs that are plugins, in a worker: each called by its own host, held to its contract, and blamed for what it does wrong.

use std::rc::Rc;

use imgserve_base::fault::{Fault, FaultKind, chain, one_line};
use imgserve_base::format::Format;
use imgserve_base::units::MIB;
use imgserve_codec::{self as codec, Header, Plugged, PluggedError};
use imgserve_sdk::codec::{self as contract, Decoded, Description};
use imgserve_sdk::{Host, ImageRef};

use super::host::{Link, Share, StepHost};
use super::protocol::{LoadedCodec, RegisteredCodec};
use crate::plugin::{CallError, Loader, WasmCodec};

/// Longest text of a fault that a plugin has a say in, in bytes.
const MAX_TEXT: usize = 1200;
/// Longest name or version, and longest summary, in bytes.
const MAX_WORD: usize = 100;
const MAX_SUMMARY: usize = 1000;

/// A codec ready to be called.
struct PluggedCodec {
    /// The name of its section.
    name: String,
    /// What it calls itself, and its version.
    own: String,
    plugin: WasmCodec,
    /// It can ask for a log, and for nothing else.
    host: Rc<dyn Host>,
}

impl std::fmt::Debug for PluggedCodec {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PluggedCodec").field("name", &self.name).finish_non_exhaustive()
    }
}

/// Loads a codec and has it read files from now on; `others` are the formats of those that are loaded already.
///
/// # Errors
/// A text that says why it cannot be used.
pub(super) fn load(
    loader: &mut Loader,
    link: &Rc<Link>,
    registered: RegisteredCodec,
    others: &mut Vec<(Format, String)>,
) -> Result<LoadedCodec, String> {
    let RegisteredCodec { name, settings, artifact } = registered;
    let plugin = loader.load_codec(&settings, &artifact).map_err(|error| chain(&error))?;
    let label = format!("codec {name}");
    let host: Rc<dyn Host> = Rc::new(StepHost::new(link, &label, &Rc::from("{}"), 0, Share::WHOLE));
    let description = plugin.describe(&host).map_err(|error| chain(&error))?;
    let formats = formats_of(&description)?;
    for format in &formats {
        for (other, owner) in others.iter() {
            if let Some(what) = format.shares(*other) {
                return Err(format!(
                    "{what} of its format `{format}` is also that of `{other}`, by codec `{owner}`"
                ));
            }
        }
    }
    others.extend(formats.iter().map(|format| (*format, name.clone())));
    let own = format!("{} {}", description.name, description.version);
    let codec = PluggedCodec { name: name.clone(), own, plugin, host };
    codec::plug(&(Rc::new(codec) as Rc<dyn Plugged>), &description, &formats);
    Ok(LoadedCodec { name, description, artifact })
}

/// The formats of a codec whose description can be worked with.
///
/// # Errors
/// A text that says what is wrong with it.
pub(super) fn formats_of(description: &Description) -> Result<Vec<Format>, String> {
    let Description { name, version, summary, .. } = description;
    for (what, word, most) in
        [("name", name, MAX_WORD), ("version", version, MAX_WORD), ("summary", summary, MAX_SUMMARY)]
    {
        if word.is_empty() || word.len() > most || word.chars().any(char::is_control) {
            return Err(format!("its {what} is not one line of 1 to {most} bytes"));
        }
    }
    codec::formats_of(description)
}

impl Plugged for PluggedCodec {
    fn probe(
        &self,
        format: &str,
        bytes: &[u8],
        complete: bool,
    ) -> Result<Option<contract::Header>, PluggedError> {
        let header = self.answer(self.plugin.probe(format, bytes, complete, &self.host))?;
        if let Some(header) = &header {
            self.check_memory(header, bytes.len() as u64)?;
        }
        Ok(header)
    }

    fn decode(&self, format: &str, bytes: &[u8], header: &Header) -> Result<Decoded, PluggedError> {
        let (width, height) = header.coded_size();
        let frames = header.frames.unwrap_or(1);
        let told = contract::Header { frames, ..contract::Header::new(width, height, header.pixels) };
        self.answer(self.plugin.decode(format, bytes, &told, &self.host))
    }

    fn encode(&self, format: &str, image: ImageRef<'_>, quality: u8) -> Result<Vec<u8>, PluggedError> {
        let file = self.answer(self.plugin.encode(format, image, quality, &self.host))?;
        // Whoever reads it has to know it again.
        if Format::from_content(&file).is_none_or(|found| found.name() != format) {
            let text = format!("gave {} bytes that do not begin as {format} does", file.len());
            return Err(self.broke(CallError::Contract(text)));
        }
        Ok(file)
    }
}

impl PluggedCodec {
    fn answer<T>(&self, answer: Result<Result<T, contract::Error>, CallError>) -> Result<T, PluggedError> {
        answer.map_err(|error| self.broke(error))?.map_err(PluggedError::Refused)
    }

    /// The fault of a call that gave nothing: who, in which version, and what.
    fn broke(&self, error: CallError) -> PluggedError {
        let kind = match &error {
            CallError::Refused(_) => FaultKind::OperationFailed,
            CallError::Trapped(_) => FaultKind::PluginTrapped,
            CallError::OutOfMemory { .. } => FaultKind::PluginOutOfMemory,
            CallError::TimedOut(_) => FaultKind::PluginTimedOut,
            CallError::Contract(_) => FaultKind::PluginContract,
        };
        let text = one_line(&format!("codec `{}`: plugin {} {error}", self.name, self.own), MAX_TEXT);
        PluggedError::Broke(Fault { codec: Some(self.name.clone()), ..Fault::new(kind, text) })
    }

    /// Refuses what its sandbox could not hold, before anything is decoded.
    fn check_memory(&self, header: &contract::Header, file: u64) -> Result<(), PluggedError> {
        let pixels = header.pixels.bytes(header.width, header.height).saturating_mul(header.frames.into());
        let (need, limit) =
            (pixels.saturating_add(header.peak_bytes).saturating_add(file), self.plugin.memory_limit());
        if need <= limit {
            return Ok(());
        }
        let text = format!(
            "decoding would take about {} MiB, more than [codecs.{}] memory_limit_mb = {}",
            need / MIB,
            self.name,
            limit / MIB
        );
        Err(PluggedError::Broke(Fault::new(FaultKind::LimitExceeded, text)))
    }
}
