//! The demo's FTP server: one user, one directory, in memory, passive and binary transfers only (RFC 959, RFC 2428,
//! RFC 3659). Speaks to imgserve only, on the loopback interface.

use std::io;
use std::net::Ipv4Addr;
use std::time::Duration;

use bytes::Bytes;
use imgserve_base::units::MIB;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

use super::shelf::Shelf;

/// The one user, and its password.
pub(super) const LOGIN: &str = "demo:secret";
/// How long a data connection may take to come.
const DATA_WAIT: Duration = Duration::from_secs(10);
/// Largest upload, in bytes.
const MAX_FILE: u64 = 64 * MIB;
/// Longest command line, in bytes.
const MAX_LINE: u64 = 4096;

/// Serves `shelf` on `listener` until the runtime ends.
pub(super) fn serve(listener: TcpListener, shelf: Shelf) {
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            // Replies are short lines: waiting to fill a segment only delays them.
            let _ = stream.set_nodelay(true);
            tokio::spawn(Session::new(stream, shelf.clone()).run());
        }
    });
}

/// One control connection.
struct Session {
    commands: BufReader<OwnedReadHalf>,
    replies: OwnedWriteHalf,
    shelf: Shelf,
    user: String,
    welcome: bool,
    /// Where the next transfer's data connection is awaited.
    passive: Option<TcpListener>,
    rename_from: Option<String>,
}

/// What a command is answered.
type Reply = io::Result<(u16, String)>;

fn reply(code: u16, text: &str) -> Reply {
    Ok((code, text.to_owned()))
}

impl Session {
    fn new(stream: TcpStream, shelf: Shelf) -> Self {
        let (commands, replies) = stream.into_split();
        let commands = BufReader::new(commands);
        let (user, passive, rename_from) = (String::new(), None, None);
        Self { commands, replies, shelf, user, welcome: false, passive, rename_from }
    }

    /// Answers until the client leaves; one that hangs up in the middle is its own affair.
    async fn run(mut self) -> io::Result<()> {
        self.say(220, "imgserve demo").await?;
        loop {
            let mut line = String::new();
            if (&mut self.commands).take(MAX_LINE).read_line(&mut line).await? == 0 {
                return Ok(());
            }
            let line = line.trim_end();
            let (command, argument) = line.split_once(' ').unwrap_or((line, ""));
            let command = command.to_ascii_uppercase();
            let (code, text) = self.answer(&command, argument).await?;
            self.say(code, &text).await?;
            if command == "QUIT" {
                return Ok(());
            }
        }
    }

    async fn say(&mut self, code: u16, text: &str) -> io::Result<()> {
        self.replies.write_all(format!("{code} {text}\r\n").as_bytes()).await
    }

    async fn answer(&mut self, command: &str, argument: &str) -> Reply {
        match command {
            "USER" => {
                argument.clone_into(&mut self.user);
                reply(331, "password, please")
            }
            "PASS" => {
                self.welcome = format!("{}:{argument}", self.user) == LOGIN;
                if self.welcome { reply(230, "welcome") } else { reply(530, "wrong user or password") }
            }
            "QUIT" => reply(221, "bye"),
            "NOOP" => reply(200, "here"),
            "SYST" => reply(215, "UNIX Type: L8"),
            "FEAT" => reply(211, "nothing to boast of"),
            _ if !self.welcome => reply(530, "log in first"),
            "TYPE" => reply(200, "everything is binary here"),
            "EPSV" | "PASV" => self.listen(command).await,
            "RETR" => self.retrieve(file_name(argument)).await,
            "STOR" => self.store(file_name(argument)).await,
            _ => self.manage(command, file_name(argument)),
        }
    }

    /// Commands about files that need no data connection.
    fn manage(&mut self, command: &str, name: &str) -> Reply {
        let from = self.rename_from.take();
        match (command, from) {
            ("SIZE", _) => match self.shelf.latest(name) {
                Some(bytes) => Ok((213, bytes.len().to_string())),
                None => reply(550, "no such file"),
            },
            ("DELE", _) if self.shelf.remove(name) => reply(250, "deleted"),
            ("RNFR", _) if self.shelf.latest(name).is_some() => {
                self.rename_from = Some(name.to_owned());
                reply(350, "to what?")
            }
            ("RNTO", Some(from)) if self.shelf.rename(&from, name) => reply(250, "renamed"),
            ("RNTO", None) => reply(503, "RNFR comes first"),
            ("DELE" | "RNFR" | "RNTO", _) => reply(550, "no such file"),
            _ => reply(502, "not known here"),
        }
    }

    async fn listen(&mut self, command: &str) -> Reply {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let port = listener.local_addr()?.port();
        self.passive = Some(listener);
        match command {
            "EPSV" => Ok((229, format!("come in (|||{port}|)"))),
            _ => Ok((227, format!("come in (127,0,0,1,{},{})", port >> 8, port & 0xFF))),
        }
    }

    async fn retrieve(&mut self, name: &str) -> Reply {
        let Some(bytes) = self.shelf.latest(name) else { return reply(550, "no such file") };
        let Some(mut data) = self.data().await? else { return reply(425, "no data connection") };
        data.write_all(&bytes).await?;
        data.shutdown().await?;
        reply(226, "sent")
    }

    async fn store(&mut self, name: &str) -> Reply {
        let Some(data) = self.data().await? else { return reply(425, "no data connection") };
        let mut bytes = Vec::new();
        data.take(MAX_FILE + 1).read_to_end(&mut bytes).await?;
        if bytes.len() as u64 > MAX_FILE {
            return reply(552, "too large");
        }
        self.shelf.put(name, Bytes::from(bytes));
        reply(226, "stored")
    }

    /// Announces a transfer and awaits its connection.
    async fn data(&mut self) -> io::Result<Option<TcpStream>> {
        let Some(listener) = self.passive.take() else { return Ok(None) };
        self.say(150, "go ahead").await?;
        match timeout(DATA_WAIT, listener.accept()).await {
            Ok(accepted) => accepted.map(|(stream, _)| Some(stream)),
            Err(_) => Ok(None),
        }
    }
}

/// There is one directory, whatever a path says.
fn file_name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}
