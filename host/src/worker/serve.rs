//! The worker's loop: one frame in, one task, one frame out, until the server closes the socket on stdin.

use std::cell::RefCell;
use std::collections::HashMap;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use imgserve_sdk::{Flow, Host, Level};
use rustix::event::{PollFd, PollFlags, poll};

use super::protocol::{self, Loaded, Reply, Request, Setup};
use super::sandbox;
use super::task::{Operation, Worker};
use crate::fault::{Fault, FaultKind, chain};
use crate::plugin;

/// Progress is reported at most this often.
const PROGRESS_INTERVAL: Duration = Duration::from_millis(100);

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
    sandbox::enter(setup.memory_limit, setup.core)?;
    die_with_the_server(stream.try_clone()?)?;
    let (worker, loaded) = match load(&setup) {
        Ok(ready) => ready,
        Err(fault) => return protocol::write(&mut stream, &Reply::Unready(fault), &[]),
    };
    protocol::write(&mut stream, &Reply::Ready(loaded), &[])?;
    loop {
        let (request, payload) = protocol::read(&mut stream)?;
        let (reply, payload) = perform(&worker, request, payload, &mut stream);
        protocol::write(&mut stream, &reply, &payload)?;
    }
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

fn load(setup: &Setup) -> Result<(Worker, Vec<Loaded>), Fault> {
    let mut operations = HashMap::new();
    let mut loaded = Vec::new();
    for (name, settings) in &setup.operations {
        let refuse = |error: &dyn std::error::Error| {
            let text = format!("operation `{name}`: {}", chain(error));
            Fault::new(FaultKind::OperationFailed, text)
        };
        let plugin = plugin::load(settings).map_err(|error| refuse(&error))?;
        let description = plugin.describe().map_err(|error| refuse(&error))?;
        loaded.push(Loaded { name: name.clone(), description: description.clone() });
        operations.insert(name.clone(), Operation { plugin, description });
    }
    let memory_limit = setup.memory_limit;
    Ok((Worker { operations, limits: setup.limits.clone(), memory_limit }, loaded))
}

fn perform(worker: &Worker, request: Request, payload: Vec<u8>, stream: &mut UnixStream) -> (Reply, Vec<u8>) {
    let host = TaskHost::new(&request, stream);
    // A decoder that panics on a hostile image costs its task, not the worker.
    let outcome = catch_unwind(AssertUnwindSafe(|| match request {
        Request::Prepare { task, complete } => match worker.prepare(&task, &payload, complete)? {
            None => Ok((Reply::NeedMore, Vec::new())),
            Some((prepared, placeholder)) => Ok((Reply::Prepared(prepared), placeholder)),
        },
        Request::Run(task) => {
            let (width, height, bytes) = worker.run(&task, payload, &host)?;
            Ok((Reply::Done { width, height }, bytes))
        }
        Request::Draw(placeholder) => {
            let bytes = super::placeholder::draw(&placeholder)?;
            Ok((Reply::Done { width: placeholder.width, height: placeholder.height }, bytes))
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

/// What an operation can ask of its host while it runs in this worker.
struct TaskHost<'a> {
    operation: String,
    stream: RefCell<(&'a mut UnixStream, Instant)>,
}

impl<'a> TaskHost<'a> {
    fn new(request: &Request, stream: &'a mut UnixStream) -> Self {
        let operation = match request {
            Request::Prepare { task, .. } | Request::Run(task) => task.operation.clone(),
            Request::Setup(_) | Request::Draw(_) => String::new(),
        };
        Self { operation, stream: RefCell::new((stream, Instant::now())) }
    }
}

impl Host for TaskHost<'_> {
    fn log(&self, level: Level, message: &str) {
        eprintln!("{} {level:?}: {}", self.operation, message.escape_debug());
    }

    fn progress(&self, done: f32) -> Flow {
        let mut guard = self.stream.borrow_mut();
        let (stream, last) = &mut *guard;
        if last.elapsed() >= PROGRESS_INTERVAL {
            *last = Instant::now();
            // A server that is gone is noticed by the watching thread.
            let _ = protocol::write(*stream, &Reply::Progress(done.clamp(0.0, 1.0)), &[]);
        }
        Flow::Continue
    }
}
