//! The worker's loop: one frame in, one task, one frame out, until the server closes the socket on stdin.

use std::collections::HashMap;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::rc::Rc;

use imgserve_sdk::Host;
use rustix::event::{PollFd, PollFlags, poll};
use serde_json::Value;

use super::host::{Link, StepHost};
use super::protocol::{self, Loaded, Registered, Reply, Request, Setup};
use super::sandbox;
use super::stage::Operation;
use super::task::Worker;
use crate::config::PluginKind;
use crate::depth::{MAX_DEPTH, depth};
use crate::fault::{Fault, FaultKind, chain};
use crate::plugin::{self, Deadline, Loader, Usage};

/// The hidden command `worker`: serves tasks on stdin, which must be a Unix socket.
pub(crate) fn serve() -> ExitCode {
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
    let (Request::Setup(setup), _) = protocol::read(&mut stream)? else {
        return Err(io::Error::other("the first frame is not the setup"));
    };
    sandbox::enter(setup.memory_limit + guests_memory(&setup), setup.core)?;
    die_with_the_server(stream.try_clone()?)?;
    let link = Link::new(stream.try_clone()?);
    let (worker, loaded) = match load(setup, link) {
        Ok(ready) => ready,
        Err(fault) => return protocol::write(&mut stream, &Reply::Unready(fault), &[]),
    };
    let unenforced = sandbox::seal();
    protocol::write(&mut stream, &Reply::Ready { loaded, unenforced }, &[])?;
    loop {
        let (request, payload) = protocol::read(&mut stream)?;
        let (reply, payload) = perform(&worker, request, payload);
        protocol::write(&mut stream, &reply, &payload)?;
    }
}

/// What sandboxed plugins may take comes on top, bounded by their own limits: a guest's memory stays with the worker until
/// the next one is given it, and must not be taken from what decoders need.
fn guests_memory(setup: &Setup) -> u64 {
    let wasm = setup.operations.iter().filter(|operation| operation.settings.kind == PluginKind::Wasm);
    let largest = wasm.map(|operation| operation.settings.memory_limit_mb()).max().unwrap_or_default();
    (largest << 20) * u64::from(plugin::GUESTS)
}

/// A task may run for long after the server was killed; nobody would end it.
fn die_with_the_server(stream: UnixStream) -> io::Result<()> {
    let watch = move || {
        let mut fds = [PollFd::new(&stream, PollFlags::empty())];
        // Without events asked for, poll returns on hang-up alone.
        while poll(&mut fds, None).is_err() {}
        std::process::exit(0);
    };
    std::thread::Builder::new().name("server-watch".to_owned()).stack_size(64 << 10).spawn(watch)?;
    Ok(())
}

fn load(setup: Setup, link: Rc<Link>) -> Result<(Worker, Vec<Loaded>), Fault> {
    let deadline = Deadline::start().map_err(|error| Fault::of(FaultKind::OperationFailed, &error))?;
    let deadline = Rc::new(deadline);
    let mut loader = Loader::new(&deadline, setup.limits.max_source_frames);
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
    let Setup { limits, memory_limit, .. } = setup;
    Ok((Worker { operations, limits, memory_limit, link, deadline, missing }, loaded))
}

fn load_one(loader: &mut Loader, link: &Rc<Link>, registered: Registered) -> Result<Operation, String> {
    let Registered { name, settings, artifact } = registered;
    // The code of a library runs from here on, and only the server can tell of this process's end.
    let outside = settings.kind != PluginKind::Builtin;
    if outside {
        link.say(&Reply::Calls(name.clone()));
    }
    let plugin = loader.load(&settings, artifact.as_ref()).map_err(|error| chain(&error))?;
    let config: Rc<str> = Value::Object(settings.config.clone()).to_string().into();
    let host: Rc<dyn Host> = Rc::new(StepHost::new(link, &name, &config, 0, (0, 1)));
    let description = plugin.describe(&host).map_err(|error| chain(&error))?;
    if outside {
        link.say(&Reply::Returned);
    }
    let examples = description.examples.iter().map(|example| &example.arguments);
    if examples.chain([&description.arguments]).any(|json| depth(json) > MAX_DEPTH) {
        return Err(format!("its description is nested more than {MAX_DEPTH} levels deep"));
    }
    Ok(Operation { name, settings, config, plugin, description })
}

fn perform(worker: &Worker, request: Request, payload: Vec<u8>) -> (Reply, Vec<u8>) {
    // A decoder that panics on a hostile image costs its task, not the worker.
    let outcome = catch_unwind(AssertUnwindSafe(|| match request {
        Request::Prepare { task, complete } => match worker.prepare(&task, &payload, complete)? {
            None => Ok((Reply::NeedMore, Vec::new())),
            Some((prepared, placeholder)) => Ok((Reply::Prepared(prepared), placeholder)),
        },
        Request::Run(task) => {
            let done = worker.run(&task, payload)?;
            Ok((Reply::Done { width: done.width, height: done.height, usage: done.usage }, done.bytes))
        }
        Request::Draw(placeholder) => {
            let bytes = super::placeholder::draw(&placeholder)?;
            let (width, height) = (placeholder.width, placeholder.height);
            Ok((Reply::Done { width, height, usage: Usage::default() }, bytes))
        }
        Request::Setup(_) => Err(Fault::new(FaultKind::OperationFailed, "set up twice")),
    }));
    match outcome {
        Ok(Ok(done)) => done,
        Ok(Err(fault)) => (Reply::Refused(fault), Vec::new()),
        Err(payload) => (Reply::Refused(panic_fault(payload.as_ref())), Vec::new()),
    }
}

fn panic_fault(payload: &(dyn std::any::Any + Send)) -> Fault {
    let text = payload.downcast_ref::<&str>().map(|text| (*text).to_owned());
    let text = text.or_else(|| payload.downcast_ref::<String>().cloned()).unwrap_or_default();
    Fault::new(FaultKind::OperationFailed, format!("panicked: {text}"))
}
