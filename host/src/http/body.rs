//! A request's body, read whole: within a size and a time.

use std::future::poll_fn;
use std::pin::Pin;
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody as _};
use axum::http::StatusCode;
use imgserve_base::fault::{Fault, FaultKind};
use imgserve_base::units::MIB;

use super::problem::Problem;

/// What a request's body may cost.
#[derive(Clone, Copy, Debug)]
pub(super) struct BodyLimit {
    pub(super) bytes: usize,
    pub(super) time: Duration,
}

/// How many times as long as the longest body one may be that is read to its end, to be told that it is too long.
const DISCARDED: usize = 32;
/// The most that is thrown away of a body, in bytes.
const MOST_DISCARDED: usize = 256 * MIB as usize;

/// Why a body is not read.
#[derive(Debug)]
pub(super) enum Unread {
    /// It is longer than this many bytes.
    TooLong(usize),
    /// It did not come in time.
    Late,
    /// The client broke off.
    Broken(String),
}

impl Unread {
    /// As 0.2 has it: a request that cannot be parsed.
    pub(super) fn fault(&self) -> Fault {
        let text = match self {
            Self::TooLong(bytes) => {
                format!("the body is too long ([server] max_body_kb = {})", bytes >> 10)
            }
            Self::Late => "the body did not come in time ([server] body_timeout_s)".to_owned(),
            Self::Broken(why) => format!("the body cannot be read: {why}"),
        };
        Fault::new(FaultKind::NotJson, text)
    }

    /// As HTTP has it.
    pub(super) fn problem(self) -> Problem {
        let (status, title) = match self {
            Self::TooLong(_) => (StatusCode::PAYLOAD_TOO_LARGE, "Body too long"),
            Self::Late => (StatusCode::REQUEST_TIMEOUT, "Body too late"),
            Self::Broken(_) => (StatusCode::BAD_REQUEST, "Body not understood"),
        };
        Problem::new(status, title, self.fault().text)
    }
}

/// The whole body, if it comes in time and is not too long.
pub(super) async fn read(body: Body, limit: BodyLimit) -> Result<Bytes, Unread> {
    match tokio::time::timeout(limit.time, whole(body, limit.bytes)).await {
        Ok(Ok(Some(body))) => Ok(body),
        Ok(Ok(None)) => Err(Unread::TooLong(limit.bytes)),
        Ok(Err(error)) => Err(Unread::Broken(error.to_string())),
        Err(_) => Err(Unread::Late),
    }
}

/// The body, or none when it is longer than `most`. What is too much of it is read all the same, within reason, and thrown
/// away: a client that is still sending when the connection is closed never sees the reply.
///
/// # Errors
/// When the client breaks off.
pub(super) async fn whole(mut body: Body, most: usize) -> Result<Option<Bytes>, axum::Error> {
    // The length is the client's to say: up to `most`, and no memory is taken before it is written to.
    let announced = body.size_hint().exact().and_then(|length| usize::try_from(length).ok());
    let mut kept = Vec::new();
    if let Some(announced) = announced.filter(|announced| *announced <= most) {
        kept.reserve_exact(announced);
    }
    while let Some(data) = next(&mut body).await? {
        if kept.len() + data.len() > most {
            drop(kept);
            discard(body, most).await;
            return Ok(None);
        }
        kept.extend_from_slice(&data);
    }
    Ok(Some(kept.into()))
}

/// Reads on a body of which no more than `most` bytes are wanted, for the client to see the reply.
pub(super) async fn discard(mut body: Body, most: usize) {
    let mut left = most.saturating_mul(DISCARDED).min(MOST_DISCARDED);
    // Whether it comes to an end is the client's affair.
    while let Ok(Some(data)) = next(&mut body).await {
        left = left.saturating_sub(data.len());
        if left == 0 {
            break;
        }
    }
}

/// The next bytes of a body.
///
/// # Errors
/// When the client breaks off.
pub(super) async fn next(body: &mut Body) -> Result<Option<Bytes>, axum::Error> {
    while let Some(frame) = poll_fn(|context| Pin::new(&mut *body).poll_frame(context)).await {
        // What is no data is a trailer.
        if let Ok(data) = frame?.into_data() {
            return Ok(Some(data));
        }
    }
    Ok(None)
}
