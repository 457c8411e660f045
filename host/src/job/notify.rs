//! Webhooks: whoever posted a job with a `notifyURL` is told of its outcome. A notice is written into the journal together
//! with the job's end, and tried until the receiver takes it or a day is over. Signed as Standard Webhooks say
//! (<https://www.standardwebhooks.com>).
//!
//! # Layout
//! - this file: claiming, sending, what is written down of it
//! - `receivers`: whose turn it is, by where they are

mod receivers;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use imgserve_base::clock::steady_ms;
use imgserve_base::fault::chain;
use imgserve_base::job::{Record, now_ms};
use imgserve_journal::{ClaimedNotice, Delivery, JournalError, Notice};
use imgserve_transfer::{HttpUrl, Transfer, TransferErrorKind};
use serde_json::json;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tokio::sync::mpsc;

pub(crate) use self::receivers::MOST as MOST_WEBHOOKS;
use self::receivers::{PutOff, Receiver, Receivers, Tried};
use super::asked::Asked;
use super::order::Order;
use super::retry::random;
use super::service::Service;
use super::settings::WebhookSettings;
use super::story;
use crate::access::webhook::sign;
use crate::metrics::Webhook;

/// How long one is a sender's: longer than it waits for its receiver and then may take.
const LEASE: Duration = Duration::from_secs(600);
/// The first pause is at most this long, and each further one twice as long, up to the last.
const FIRST_PAUSE: Duration = Duration::from_secs(5);
pub(super) const LAST_PAUSE: Duration = Duration::from_secs(3600);
/// Those that wait for a receiver that is busy or does not answer are put off for at most this long.
const LAST_DELAY: Duration = Duration::from_secs(600);
/// Longest time that nothing is looked for.
const LOOK: Duration = Duration::from_secs(60);
/// Pause after the journal could not be asked.
const TROUBLE_PAUSE: Duration = Duration::from_secs(1);

impl Service {
    /// What is to be sent about a job that has ended.
    pub(super) fn notice(&self, record: &Record, order: Option<&Order>) -> Option<Notice> {
        let url = order?.notify.as_ref()?.as_str().to_owned();
        let asked = order.map(|order| Asked::of(order, record, &self.generation().registry));
        let body = json!({
            "type": format!("job.{}", record.state.as_str()),
            "timestamp": rfc_3339(now_ms()),
            "data": story::tell(record, None, asked.as_ref(), story::Webhook::Waiting),
        });
        let id = format!("msg_{}", uuid::Uuid::now_v7().simple());
        Some(Notice { id, job: record.id, url, body: body.to_string(), created_ms: steady_ms(), attempt: 0 })
    }
}

/// What the sender of webhooks waits to hear.
enum News {
    /// On which machines a receiver is.
    Located(Receiver, Vec<Arc<str>>),
    /// A try is over.
    Over(Receiver, Tried),
}

/// Sends webhooks until the server stops.
pub(super) async fn deliver(service: Arc<Service>) {
    let (mut trouble, mut receivers) = (false, Receivers::default());
    let (sender, mut heard) = mpsc::unbounded_channel();
    loop {
        put_off(&service, receivers.late(Instant::now())).await;
        let sleep = match claim(&service, &mut receivers).await {
            Ok(due) => {
                trouble = false;
                due
            }
            Err(error) => {
                if !std::mem::replace(&mut trouble, true) {
                    tracing::error!("no webhook can be sent: {error}");
                }
                TROUBLE_PAUSE
            }
        };
        for (to, server) in receivers.unlocated() {
            let flow = service.flow(&to.flow);
            let (transfer, sender) = (service.settings().transfer.on_behalf_of(&flow), sender.clone());
            tokio::spawn(async move {
                let machines = transfer.machines(&server).await;
                // Nobody listens any more when the server stops.
                let _ = sender.send(News::Located(to, machines));
            });
        }
        while let Some((to, notice)) = receivers.next() {
            let (service, sender) = (Arc::clone(&service), sender.clone());
            tokio::spawn(async move {
                let tried = send(&service, &to.flow, notice).await;
                let _ = sender.send(News::Over(to, tried));
            });
        }
        tokio::select! {
            () = service.lifecycle().stopping() => return,
            () = service.wakeups().asked_to_notify(), if !trouble => {}
            Some(news) = heard.recv() => match news {
                News::Located(to, machines) => receivers.located(&to, machines),
                News::Over(to, tried) => ended(&service, &mut receivers, (&to, tried)).await,
            },
            () = tokio::time::sleep(sleep) => {}
        }
    }
}

/// Claims what is due; gives how long there will be no more.
async fn claim(service: &Service, receivers: &mut Receivers) -> Result<Duration, JournalError> {
    let (notices, next_due) = service.journal().claim_notices(receivers.room(), LEASE).await?;
    let now = Instant::now();
    let offer = |ClaimedNotice { notice, flow }: ClaimedNotice| {
        let server = HttpUrl::parse(&notice.url).ok().and_then(|url| url.server());
        receivers.offer(server, service.flow(&flow), notice, now)
    };
    let too_many: Vec<PutOff> = notices.into_iter().filter_map(offer).collect();
    // Those behind them may be other receivers'.
    let again = !too_many.is_empty();
    let put_off = put_off(service, too_many).await;
    Ok(if again { Duration::ZERO } else { next_due.unwrap_or(LOOK).min(put_off).min(LOOK) })
}

/// A try has ended.
async fn ended(service: &Service, receivers: &mut Receivers, (to, tried): (&Receiver, Tried)) {
    let waiting = receivers.over(to, tried, Instant::now());
    put_off(service, waiting).await;
}

/// Gives back what was not tried, for a while that grows with its receiver's failures; for how long at least.
async fn put_off(service: &Service, notices: Vec<PutOff>) -> Duration {
    let mut by_failures = BTreeMap::<u32, Vec<(String, u32)>>::new();
    for (Notice { id, attempt, .. }, failures) in notices {
        by_failures.entry(failures).or_default().push((id, attempt));
    }
    let mut least = LOOK;
    for (failures, claims) in by_failures {
        let delay = pause(failures, 0.5 + random() / 2.0).min(LAST_DELAY);
        if let Err(error) = service.journal().put_off_notices(claims, delay).await {
            // They are claimed again when their lease is over.
            tracing::warn!("webhooks are not put off: {error}");
        }
        least = least.min(delay);
    }
    least
}

/// Tries once, and has written down what came of it.
async fn send(service: &Service, flow: &str, notice: Notice) -> Tried {
    let settings = service.settings();
    let transfer = settings.transfer.on_behalf_of(&service.flow(flow));
    let WebhookSettings { secret, timeout, max_age } = &settings.webhooks;
    let posted = tokio::time::timeout(*timeout, post(&transfer, secret.as_deref(), &notice));
    let sent = tokio::select! {
        () = service.lifecycle().stopping() => return Tried::Unanswered,
        sent = posted => sent.unwrap_or_else(|_| Err(late(*timeout))),
    };
    let Err(NotSent { why, again, tried }) = sent else {
        tracing::debug!(job = %notice.job, "webhook delivered");
        service.tally().metrics().notified(Webhook::Delivered);
        end(service, &notice, Delivery::Delivered).await;
        return Tried::Taken;
    };
    let age = Duration::from_millis(steady_ms().saturating_sub(notice.created_ms));
    let pause = again.map(|asked| pause(notice.attempt, random()).max(asked.min(LAST_PAUSE)));
    let Some(pause) = pause.filter(|pause| age + *pause <= *max_age) else {
        tracing::warn!(job = %notice.job, attempt = notice.attempt, "webhook given up: {why}");
        service.tally().metrics().notified(Webhook::Failed);
        end(service, &notice, Delivery::GivenUp).await;
        return tried;
    };
    tracing::info!(job = %notice.job, attempt = notice.attempt, "webhook to be tried again: {why}");
    end(service, &notice, Delivery::Again(pause)).await;
    tried
}

/// A webhook that was not taken.
struct NotSent {
    why: String,
    /// After how long at least it may be tried again, if at all.
    again: Option<Duration>,
    tried: Tried,
}

fn late(timeout: Duration) -> NotSent {
    let why = format!("not answered in time: [webhooks] timeout_s is {} s", timeout.as_secs());
    NotSent { why, again: Some(Duration::ZERO), tried: Tried::Unanswered }
}

async fn post(transfer: &Transfer, secret: Option<&[u8]>, notice: &Notice) -> Result<(), NotSent> {
    // It was accepted with a secret; perhaps there will be one again.
    let secret = secret.ok_or_else(|| NotSent {
        why: "[webhooks] has no secret any more".to_owned(),
        again: Some(LAST_PAUSE),
        tried: Tried::Refused,
    })?;
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let headers = [
        ("webhook-id", notice.id.clone()),
        ("webhook-timestamp", seconds.to_string()),
        ("webhook-signature", sign(secret, &notice.id, seconds, notice.body.as_bytes())),
    ];
    imgserve_base::crash::point("notice-before-send");
    let posted = match HttpUrl::parse(&notice.url) {
        Ok(url) => transfer.post_json(&url, &headers, notice.body.clone()).await,
        Err(error) => Err(error),
    };
    posted.map_err(|error| {
        // 410: the receiver wants no more of them (Standard Webhooks, "Webhook delivery").
        let gone = error.kind() == TransferErrorKind::Status(410);
        let answered = matches!(error.kind(), TransferErrorKind::Status(_));
        let again = (!gone).then(|| error.wait().unwrap_or_default());
        NotSent {
            why: chain(&error),
            again,
            tried: if answered { Tried::Refused } else { Tried::Unanswered },
        }
    })
}

/// Milliseconds since 1970 as a date (RFC 3339).
fn rfc_3339(ms: u64) -> String {
    let date = OffsetDateTime::UNIX_EPOCH + Duration::from_millis(ms);
    date.format(&Rfc3339).expect("dates of this age have four digits of a year")
}

/// Full jitter, as for jobs.
fn pause(attempt: u32, random: f64) -> Duration {
    let most = FIRST_PAUSE.saturating_mul(1 << attempt.saturating_sub(1).min(20)).min(LAST_PAUSE);
    most.mul_f64(random)
}

async fn end(service: &Service, notice: &Notice, delivery: Delivery) {
    imgserve_base::crash::point("notice-before-end");
    if let Err(error) = service.journal().end_notice(notice.id.clone(), notice.attempt, delivery).await {
        // It is sent again when its lease is over; receivers know it by its id.
        tracing::warn!(job = %notice.job, "{error}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_an_hour() {
        assert_eq!(pause(1, 1.0), Duration::from_secs(5));
        assert_eq!(pause(3, 1.0), Duration::from_secs(20));
        assert_eq!(pause(100, 1.0), LAST_PAUSE);
        assert_eq!(pause(5, 0.0), Duration::ZERO);
        assert_eq!(rfc_3339(1_000), "1970-01-01T00:00:01Z");
    }
}
