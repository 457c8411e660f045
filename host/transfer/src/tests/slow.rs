//! Servers that are slow in every way that there is: each is left at the end of the window.

use std::time::{Duration, Instant};

use imgserve_peers::{Pace, Slow};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::{config, fetch, mark, stored};
use crate::{Destination, Transfer, TransferConfig, TransferError, TransferErrorKind};

/// 10 KB a second over half a second, and all other limits far away.
fn strict() -> Transfer {
    let (min_rate, min_rate_window) = (10_000, Duration::from_millis(500));
    Transfer::new(TransferConfig { min_rate, min_rate_window, ..config() }).unwrap()
}

async fn store(transfer: &Transfer, url: &str, bytes: usize) -> Result<(), TransferError> {
    let (destination, body) = (Destination::parse(url).unwrap(), vec![0; bytes]);
    transfer.store(&destination, stored(body, Some("pic")), &mark()).await
}

fn is_slow(error: &TransferError) {
    assert_eq!((error.kind(), error.is_transient()), (TransferErrorKind::TooSlow, true), "{error}");
    assert!(error.to_string().contains("[transfer] min_rate_bytes_s is 10000"), "{error}");
}

#[tokio::test]
async fn bodies_that_trickle_are_left_and_counted() {
    let (transfer, began) = (strict(), Instant::now());
    let slow = Slow::start(Pace::Body(5), vec![0; 10_000]).await;
    is_slow(&fetch(&transfer, &slow.file("a.png")).await.unwrap_err());
    // A form's page.
    is_slow(&store(&transfer, &format!("{}/:a.png", slow.origin), 9).await.unwrap_err());
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    assert_eq!(transfer.too_slow(), 2);
    let again = strict().counting_on(&transfer);
    is_slow(&fetch(&again, &slow.file("a.png")).await.unwrap_err());
    assert_eq!(transfer.too_slow(), 3, "a reload counts on");
}

#[tokio::test]
async fn a_large_body_that_trickles_is_left_long_before_its_time_is_over() {
    // It keeps the lowest rate, and would take hours where there is a minute.
    let (min_rate, min_rate_window) = (10, Duration::from_millis(500));
    let transfer = Transfer::new(TransferConfig { min_rate, min_rate_window, ..config() }).unwrap();
    let (slow, began) = (Slow::start(Pace::Body(500), vec![0; 1_000_000]).await, Instant::now());
    let error = fetch(&transfer, &slow.file("a.png")).await.unwrap_err();
    assert_eq!((error.kind(), error.is_transient()), (TransferErrorKind::TooSlow, true), "{error}");
    assert!(error.to_string().contains(" of 1000000 bytes in "), "{error}");
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    assert_eq!(transfer.too_slow(), 1);
}

#[tokio::test]
async fn a_destination_that_takes_bytes_one_by_one_is_left() {
    let slow = Slow::start(Pace::Taking, "").await;
    // More than the sockets' buffers hold.
    is_slow(&store(&strict(), &slow.file("a.png"), 32 << 20).await.unwrap_err());
}

#[tokio::test]
async fn an_answer_that_has_been_sent_in_time_may_end_slowly() {
    // Its status has decided; what follows is not waited for any longer than anything else.
    let slow = Slow::start(Pace::Body(5), vec![0; 10_000]).await;
    let began = Instant::now();
    store(&strict(), &slow.file("a.png"), 9).await.unwrap();
    assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
}

#[tokio::test]
async fn headers_that_trickle_are_left_after_the_idle_time() {
    let short = Duration::from_millis(300);
    let impatient = TransferConfig { connect_timeout: short, idle_timeout: short, ..config() };
    let (slow, transfer) = (Slow::start(Pace::Header, "").await, Transfer::new(impatient).unwrap());
    let began = Instant::now();
    let error = fetch(&transfer, &slow.file("a.png")).await.unwrap_err();
    assert_eq!(error.kind(), TransferErrorKind::Timeout, "{error}");
    assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
}

/// An FTP server whose files come, and go, a byte at a time.
async fn slow_ftp() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((control, _)) = listener.accept().await {
            tokio::spawn(converse(control));
        }
    });
    port
}

async fn converse(mut control: tokio::net::TcpStream) -> std::io::Result<()> {
    let data = TcpListener::bind("127.0.0.1:0").await?;
    control.write_all(b"220 slow\r\n").await?;
    let mut line = [0; 512];
    loop {
        let length = control.read(&mut line).await?;
        let command = String::from_utf8_lossy(&line[..length]).into_owned();
        let reply = match command.split_whitespace().next() {
            None => return Ok(()),
            Some("USER") => "331 who".to_owned(),
            Some("PASS") => "230 in".to_owned(),
            Some("EPSV") => format!("229 passive (|||{}|)", data.local_addr()?.port()),
            Some("RETR" | "STOR") => {
                control.write_all(b"150 here\r\n").await?;
                let (mut data, _) = data.accept().await?;
                loop {
                    let passed = if command.starts_with("RETR") {
                        data.write_all(b"x").await.map(|()| 1)
                    } else {
                        data.read(&mut [0]).await
                    };
                    if passed? == 0 {
                        return Ok(());
                    }
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            }
            Some("SIZE") => "550 no".to_owned(),
            Some(_) => "200 well".to_owned(),
        };
        control.write_all(format!("{reply}\r\n").as_bytes()).await?;
    }
}

#[tokio::test]
async fn files_that_trickle_by_ftp_are_left_both_ways() {
    let (port, transfer) = (slow_ftp().await, strict());
    is_slow(&fetch(&transfer, &format!("ftp://127.0.0.1:{port}/a.png")).await.unwrap_err());
    is_slow(&store(&transfer, &format!("ftp://127.0.0.1:{port}/a.png"), 32 << 20).await.unwrap_err());
}
