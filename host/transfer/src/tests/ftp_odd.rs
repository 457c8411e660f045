//! FTP servers that are odd or hostile, played by a few lines: data connections led astray, missing commands, refused
//! renames, silence.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

use super::{fetch, impatient, mark, stored, transfer};
use crate::{Destination, TransferError, TransferErrorKind};

/// How a server misbehaves, and what it was told.
#[derive(Default)]
struct Odd {
    /// Commands answered with a fixed line; of `STOR .` and the like, the longest beginning counts.
    replies: Vec<(&'static str, &'static str)>,
    /// Refuses to rename onto an existing file.
    no_overwrite: bool,
    /// Closes data connections after so many bytes of the file.
    cut: Option<usize>,
    files: Mutex<BTreeMap<String, Vec<u8>>>,
    commands: Mutex<Vec<String>>,
}

impl Odd {
    fn new(replies: &[(&'static str, &'static str)]) -> Self {
        Self { replies: replies.to_vec(), ..Self::default() }
    }

    fn with_file(self, name: &str, content: &str) -> Self {
        self.files.lock().unwrap().insert(name.to_owned(), content.as_bytes().to_vec());
        self
    }

    fn file(&self, name: &str) -> Option<String> {
        self.files.lock().unwrap().get(name).map(|content| String::from_utf8(content.clone()).unwrap())
    }

    fn told(&self, command: &str) -> bool {
        self.commands.lock().unwrap().iter().any(|line| line.starts_with(command))
    }

    async fn start(self) -> (Arc<Self>, SocketAddr) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let odd = Arc::new(self);
        let server = odd.clone();
        tokio::spawn(async move {
            while let Ok((peer, _)) = listener.accept().await {
                let server = server.clone();
                tokio::spawn(async move { server.converse(peer).await });
            }
        });
        (odd, address)
    }

    async fn converse(&self, peer: TcpStream) -> std::io::Result<()> {
        let mut control = BufReader::new(peer);
        let mut data = None;
        let mut renaming = String::new();
        control.write_all(b"220 odd\r\n").await?;
        let mut line = String::new();
        while control.read_line(&mut line).await? > 0 {
            let command = std::mem::take(&mut line).trim_end().to_owned();
            self.commands.lock().unwrap().push(command.clone());
            let (verb, argument) = command.split_once(' ').unwrap_or((&command, ""));
            let reply = match self.replies.iter().find(|(start, _)| command.starts_with(start)) {
                Some((_, fixed)) => (*fixed).to_owned(),
                None => match verb {
                    "EPSV" | "PASV" => {
                        let listener = TcpListener::bind("127.0.0.1:0").await?;
                        let port = listener.local_addr()?.port();
                        data = Some(listener);
                        match verb {
                            "EPSV" => format!("229 passive (|||{port}|)"),
                            // 192.0.2.1 is documentation's: a client that believes it gets nowhere.
                            _ => format!("227 passive (192,0,2,1,{},{})", port >> 8, port & 255),
                        }
                    }
                    "RETR" | "STOR" => {
                        control.write_all(b"150 go\r\n").await?;
                        let listener = data.take().expect("a passive command came before");
                        self.exchange(verb, argument, listener.accept().await?.0).await?;
                        "226 done".to_owned()
                    }
                    "SIZE" => match self.file(argument) {
                        Some(content) => format!("213 {}", content.len()),
                        None => "550 no".to_owned(),
                    },
                    "RNFR" => {
                        renaming = argument.to_owned();
                        "350 to?".to_owned()
                    }
                    "RNTO" => self.rename(&renaming, argument).to_owned(),
                    "DELE" => match self.files.lock().unwrap().remove(argument) {
                        Some(_) => "250 gone".to_owned(),
                        None => "550 no".to_owned(),
                    },
                    "USER" => "331 password?".to_owned(),
                    "PASS" => "230 in".to_owned(),
                    _ => "200 ok".to_owned(),
                },
            };
            control.write_all(format!("{reply}\r\n").as_bytes()).await?;
        }
        Ok(())
    }

    async fn exchange(&self, verb: &str, name: &str, mut data: TcpStream) -> std::io::Result<()> {
        if verb == "RETR" {
            let content = self.file(name).unwrap_or_default();
            let end = self.cut.unwrap_or(content.len());
            return data.write_all(&content.as_bytes()[..end]).await;
        }
        let mut content = Vec::new();
        data.read_to_end(&mut content).await?;
        self.files.lock().unwrap().insert(name.to_owned(), content);
        Ok(())
    }

    fn rename(&self, from: &str, to: &str) -> &'static str {
        let mut files = self.files.lock().unwrap();
        if self.no_overwrite && files.contains_key(to) {
            return "550 exists";
        }
        match files.remove(from) {
            Some(content) => {
                files.insert(to.to_owned(), content);
                "250 renamed"
            }
            None => "550 no",
        }
    }
}

async fn store(address: SocketAddr, body: &'static str) -> Result<(), TransferError> {
    let destination = Destination::parse(&format!("ftp://{address}/x.png")).unwrap();
    transfer().store(&destination, stored(body, None), &mark()).await
}

#[tokio::test]
async fn data_connections_go_to_the_control_host_whatever_it_says() {
    let (odd, address) = Odd::new(&[("EPSV", "502 what?")]).with_file("x.png", "PNG").start().await;
    assert_eq!(fetch(&transfer(), &format!("ftp://{address}/x.png")).await.unwrap(), b"PNG");
    store(address, "result").await.unwrap();
    assert_eq!(odd.file("x.png").unwrap(), "result");
    assert!(odd.told("EPSV") && odd.told("PASV"));
}

#[tokio::test]
async fn extended_passive_is_preferred() {
    let (odd, address) = Odd::default().start().await;
    store(address, "result").await.unwrap();
    assert!(odd.told("EPSV") && !odd.told("PASV"));
    assert!(odd.told("STOR .x.png.") && odd.told("RNTO x.png"));
    assert!(odd.told("USER anonymous") && odd.told("TYPE I"));
}

#[tokio::test]
async fn a_server_that_renames_onto_nothing_has_the_old_file_deleted() {
    let odd = Odd { no_overwrite: true, ..Odd::default() };
    let (odd, address) = odd.with_file("x.png", "placeholder").start().await;
    store(address, "result").await.unwrap();
    assert_eq!(odd.file("x.png").unwrap(), "result");
    assert_eq!(odd.files.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn a_server_that_cannot_rename_or_knows_certain_names_only_is_stored_to_directly() {
    for refusal in [("RNFR", "502 what?"), ("STOR .", "553 not that name")] {
        let (odd, address) = Odd::new(&[refusal]).with_file("x.png", "placeholder").start().await;
        store(address, "result").await.unwrap();
        assert_eq!(odd.file("x.png").unwrap(), "result", "{refusal:?}");
        assert_eq!(odd.files.lock().unwrap().len(), 1, "{refusal:?}");
        assert!(!odd.told("DELE x.png"), "{refusal:?}: the old file is lost if the direct store fails");
    }
}

#[tokio::test]
async fn a_short_file_is_noticed_by_its_size() {
    let (_, address) =
        Odd { cut: Some(3), ..Odd::default() }.with_file("x.png", "a whole image").start().await;
    let error = fetch(&transfer(), &format!("ftp://{address}/x.png")).await.unwrap_err();
    assert_eq!(error.kind(), TransferErrorKind::Connect, "{error:?}");
    let (odd, address) = Odd::new(&[("SIZE", "213 1")]).with_file("x.png", "placeholder").start().await;
    assert_eq!(store(address, "result").await.unwrap_err().kind(), TransferErrorKind::Protocol);
    assert_eq!(odd.file("x.png").unwrap(), "placeholder");
    assert_eq!(odd.files.lock().unwrap().len(), 1, "the temporary file must not stay");
}

#[tokio::test]
async fn a_server_without_size_is_trusted() {
    let (odd, address) = Odd::new(&[("SIZE", "500 what?")]).start().await;
    store(address, "result").await.unwrap();
    assert_eq!(odd.file("x.png").unwrap(), "result");
    let fetched = transfer().fetch(&super::source(format!("ftp://{address}/x.png"))).await.unwrap();
    assert_eq!(fetched.size_hint, None);
    assert_eq!(super::read(fetched).await.unwrap(), b"result");
}

#[tokio::test]
async fn replies_say_what_failed_and_whether_to_try_again() {
    use TransferErrorKind::{Login, NotFound, Protocol, Refused};
    for (command, reply, kind, transient) in [
        ("PASS", "530 no", Login, false),
        ("USER", "421 too many users", Login, true),
        ("RETR", "550 no", NotFound, false),
        ("RETR", "450 busy", Refused, true),
        ("EPSV", "425 cannot", Refused, true),
        ("TYPE", "500 what?", Protocol, false),
    ] {
        let odd = Odd::new(&[(command, reply)]);
        let (_, address) = odd.start().await;
        let error = fetch(&transfer(), &format!("ftp://{address}/x.png")).await.unwrap_err();
        assert_eq!((error.kind(), error.is_transient()), (kind, transient), "{command}: {reply}: {error:?}");
    }
    let (_, address) = Odd::new(&[("STOR", "452 disk full")]).start().await;
    let error = store(address, "result").await.unwrap_err();
    assert_eq!((error.kind(), error.is_transient()), (Refused, true));
}

#[tokio::test]
async fn garbage_and_silence_end() {
    for (greeting, kind) in [("", TransferErrorKind::Timeout), ("SSH-2.0-x\r\n", TransferErrorKind::Protocol)]
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("ftp://{}/x.png", listener.local_addr().unwrap());
        let server = async {
            let (mut peer, _) = listener.accept().await.unwrap();
            peer.write_all(greeting.as_bytes()).await.unwrap();
            peer
        };
        let transfer = impatient();
        let (error, _peer) = tokio::join!(fetch(&transfer, &url), server);
        assert_eq!(error.unwrap_err().kind(), kind, "{greeting:?}");
    }
}
