//! The worker's loop: one frame in, one task, one frame out, until the server closes the socket on stdin.

use std::collections::HashMap;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::process::ExitCode;
use std::rc::Rc;
use std::time::{Duration, Instant};

use imgserve_base::depth::{MAX_DEPTH, depth};
use imgserve_base::fault::{Fault, FaultKind, chain};
use imgserve_base::format::put_in_force;
use imgserve_base::units::{KIB, MIB};
use imgserve_config::{OperationSettings, PluginKind};
use imgserve_sdk::Host;
use rustix::event::{PollFd, PollFlags, poll};
use serde_json::Value;

use super::chain::Done;
use super::codecs;
use super::fault::caught;
use super::frame;
use super::host::{Link, Share, StepHost};
use super::inbox::Inbox;
use super::protocol::{Loaded, LoadedCodec, Made, Registered, RegisteredCodec, Reply, Request, Setup};
use super::run::Ran;
use super::sandbox;
use super::stage::LoadedOperation;
use super::task::{Source, Worker};
use crate::plugin::{self, Deadline, Loader, TimeLimit};

/// The hidden command `worker`: serves tasks on stdin, which must be a Unix socket.
pub fn serve() -> ExitCode {
    match serve_socket() {
        // The server is gone or has no more work: the normal end.
        Err(error) if matches!(error.kind(), io::ErrorKind::UnexpectedEof | io::ErrorKind::BrokenPipe) => {
            ExitCode::SUCCESS
        }
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("worker: {error} (this command is started by the server, not by hand)");
            ExitCode::FAILURE
        }
    }
}

fn serve_socket() -> io::Result<()> {
    let mut stream = UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
    let mut inbox = Inbox::new(stream.try_clone()?);
    let (Request::Setup(setup), _) = frame::read(&mut inbox)? else {
        return Err(io::Error::other("the first frame is not the setup"));
    };
    sandbox::enter(setup.memory_limit + guests_memory(&setup), setup.core)?;
    die_with_the_server(stream.try_clone()?)?;
    let link = Link::new(stream.try_clone()?);
    let (worker, loaded, codecs) = match load(setup, link) {
        Ok(ready) => ready,
        Err(fault) => return frame::say(&mut stream, &Reply::Unready(fault)),
    };
    let unenforced = sandbox::seal();
    frame::say(&mut stream, &Reply::Ready { loaded, codecs, unenforced })?;
    answer(&worker, &mut stream, &mut inbox)
}

/// Answers one request after the other until there are no more.
pub(super) fn answer(worker: &Worker, stream: &mut UnixStream, inbox: &mut Inbox) -> io::Result<()> {
    loop {
        let (request, payload) = frame::read(inbox)?;
        // It was on its way when its request was answered, or that gave up because of it.
        if matches!(request, Request::Cancel) {
            continue;
        }
        let (reply, payload) = perform(worker, request, payload);
        frame::write(stream, &reply, &payload)?;
    }
}

/// What sandboxed plugins may take comes on top, bounded by their own limits: a guest's memory stays with the worker until
/// the next one is given it, and must not be taken from what decoders need.
fn guests_memory(setup: &Setup) -> u64 {
    let wasm = setup.operations.iter().filter(|operation| operation.settings.kind == PluginKind::Wasm);
    let operations = wasm.map(|operation| operation.settings.memory_limit_mb());
    let codecs = setup.codecs.iter().map(|codec| codec.settings.memory_limit_mb());
    let largest = operations.chain(codecs).max().unwrap_or_default();
    largest * MIB * u64::from(plugin::GUESTS * setup.guest_size.max_memories)
}

/// A task may run for long after the server was killed; nobody would end it.
fn die_with_the_server(stream: UnixStream) -> io::Result<()> {
    let watch = move || {
        let mut fds = [PollFd::new(&stream, PollFlags::empty())];
        // Without events asked for, poll returns on hang-up alone.
        while poll(&mut fds, None).is_err() {}
        std::process::exit(0);
    };
    std::thread::Builder::new().name("server-watch".to_owned()).stack_size(64 * KIB as usize).spawn(watch)?;
    Ok(())
}

/// What a worker has loaded: operations and codecs.
pub(super) type Ready = (Worker, Vec<Loaded>, Vec<LoadedCodec>);

pub(super) fn load(setup: Setup, link: Rc<Link>) -> Result<Ready, Fault> {
    let deadline =
        Deadline::start(link.last_word()).map_err(|error| Fault::of(FaultKind::OperationFailed, &error))?;
    let deadline = Rc::new(deadline);
    let mut loader = Loader::new(&deadline, setup.limits.max_source_frames, setup.guest_size);
    let (mut operations, mut missing, mut loaded) = (HashMap::new(), HashMap::new(), Vec::new());
    for registered in setup.operations {
        let Registered { name, artifact, .. } = registered.clone();
        match load_one(&mut loader, &link, registered) {
            Ok(operation) => {
                loaded.push(Loaded {
                    name: name.clone(),
                    description: operation.description.clone(),
                    artifact,
                });
                operations.insert(name, operation);
            }
            Err(text) if setup.lenient => {
                eprintln!("operation `{name}`: {text}; `imgserve reload` makes it ready again");
                missing.insert(name, text);
            }
            Err(text) => {
                return Err(Fault::new(FaultKind::OperationFailed, format!("operation `{name}`: {text}")));
            }
        }
    }
    let codecs = load_codecs(&mut loader, &link, setup.codecs, setup.lenient)?;
    let Setup { limits, codec, memory_limit, .. } = setup;
    let worker = Worker { operations, limits, codec, memory_limit, link, deadline, missing };
    Ok((worker, loaded, codecs))
}

/// Has files of further formats read by the codecs that are plugins.
fn load_codecs(
    loader: &mut Loader,
    link: &Rc<Link>,
    registered: Vec<RegisteredCodec>,
    lenient: bool,
) -> Result<Vec<LoadedCodec>, Fault> {
    let (mut formats, mut loaded) = (Vec::new(), Vec::new());
    for codec in registered {
        let name = codec.name.clone();
        match codecs::load(loader, link, codec, &mut formats) {
            Ok(codec) => loaded.push(codec),
            // Its files are unreadable until then.
            Err(text) if lenient => {
                eprintln!("codec `{name}`: {text}; `imgserve reload` makes it ready again");
            }
            Err(text) => {
                return Err(Fault::new(FaultKind::OperationFailed, format!("codec `{name}`: {text}")));
            }
        }
    }
    put_in_force(formats.into_iter().map(|(format, _)| format).collect());
    Ok(loaded)
}

fn load_one(loader: &mut Loader, link: &Rc<Link>, registered: Registered) -> Result<LoadedOperation, String> {
    let Registered { name, settings, artifact } = registered;
    // The code of a library runs from here on, and only the server can tell of this process's end.
    let outside = settings.kind != PluginKind::Builtin;
    if outside {
        link.say(&Reply::Calls(name.clone()));
    }
    let plugin = loader.load(&settings, artifact.as_ref()).map_err(|error| chain(&error))?;
    let config = config(&settings);
    let host: Rc<dyn Host> = Rc::new(StepHost::new(link, &name, &config, 0, Share::WHOLE));
    let description = plugin.describe(&host).map_err(|error| chain(&error))?;
    if outside {
        link.say(&Reply::Returned);
    }
    let examples = description.examples.iter().map(|example| &example.arguments);
    if examples.chain([&description.arguments]).any(|json| depth(json) > MAX_DEPTH) {
        return Err(format!("its description is nested more than {MAX_DEPTH} levels deep"));
    }
    Ok(LoadedOperation { name, settings, config, plugin, description })
}

/// What an operation is told of its section: its own table and, as what is built in counts beforehand how long it would take, its
/// time limit.
fn config(settings: &OperationSettings) -> Rc<str> {
    let mut config = settings.config.clone();
    if let (PluginKind::Builtin, Some(limit)) = (settings.kind, settings.time_limit()) {
        config.insert("time_limit_ms".to_owned(), (limit.as_millis() as u64).into());
    }
    Value::Object(config).to_string().into()
}

/// The answer to a request, and the parts of its payload.
fn perform(worker: &Worker, request: Request, payload: Vec<u8>) -> (Reply, Vec<Vec<u8>>) {
    let began = Instant::now();
    let outcome = caught(|| match request {
        Request::Prepare { task, complete, draw, time_ms } => {
            worker.begin(TimeLimit::to_prepare(time_ms));
            Ok(match worker.prepare(&task, &Source::new(&payload, complete), draw)? {
                None => (Reply::NeedMore, Vec::new()),
                Some((prepared, placeholder)) => (Reply::Prepared(prepared), vec![placeholder]),
            })
        }
        Request::Run { tasks, time_ms } => {
            worker.begin(TimeLimit::to_run(time_ms));
            Ok(done(worker.run(&tasks, payload)?, (began, began), None))
        }
        Request::Direct { task, within, most_pixels, digest, plan_ms, time_ms } => {
            worker.begin(TimeLimit::to_prepare(plan_ms.min(time_ms)));
            if let Some(prepared) = worker.too_much(&task, &payload, (within, most_pixels))? {
                return Ok((Reply::Prepared(prepared), Vec::new()));
            }
            worker.begin(TimeLimit::to_run(time_ms));
            let planned = Instant::now();
            let digest = digest.then(|| imgserve_base::digest::digest(&payload));
            Ok(done(worker.run(&[task], payload)?, (began, planned), digest))
        }
        Request::Draw(placeholder) => Ok((Reply::Drawn, vec![super::placeholder::of(placeholder)?])),
        Request::Setup(_) | Request::Cancel => {
            Err(Fault::new(FaultKind::OperationFailed, "a frame out of turn"))
        }
    });
    outcome.unwrap_or_else(|fault| (Reply::Refused(fault), Vec::new()))
}

fn done(
    Ran { results, decoded }: Ran,
    (began, planned): (Instant, Instant),
    digest: Option<u128>,
) -> (Reply, Vec<Vec<u8>>) {
    let mut parts = Vec::with_capacity(results.len());
    let mut announce = |Done { width, height, usage, damage, unconverted, left_out, bytes }| {
        let made = Made { width, height, bytes: bytes.len() as u64, usage, damage, unconverted, left_out };
        parts.push(bytes);
        made
    };
    let results = results.into_iter().map(|result| result.map(&mut announce)).collect();
    let us = |time: Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
    let (plan_us, work_us) = (us(planned - began), us(planned.elapsed()));
    (Reply::Done { results, decoded, digest, plan_us, work_us }, parts)
}
