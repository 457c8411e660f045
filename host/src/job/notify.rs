//! Webhooks: whoever posted a job with a `notifyURL` is told of its outcome. A notice is written into the journal together
//! with the job's end, and tried until the receiver takes it or a day is over. Signed as Standard Webhooks say
//! (<https://www.standardwebhooks.com>).

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use imgserve_base::clock::steady_ms;
use imgserve_base::fault::chain;
use imgserve_base::job::{Record, now_ms};
use imgserve_journal::{NEVER_MS, Notice};
use imgserve_transfer::{HttpUrl, Transfer, TransferErrorKind};
use serde_json::json;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::asked::Asked;
use super::order::Order;
use super::retry::random;
use super::service::Service;
use super::settings::WebhookSettings;
use super::story;
use crate::access::webhook::sign;
use crate::metrics::Webhook;

/// Webhooks sent at once.
const MOST: usize = 16;
/// How long one is a sender's: longer than a transfer may take.
const LEASE: Duration = Duration::from_secs(600);
/// The first pause is at most this long, and each further one twice as long, up to the last.
const FIRST_PAUSE: Duration = Duration::from_secs(5);
pub(super) const LAST_PAUSE: Duration = Duration::from_secs(3600);
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

/// Sends webhooks until the server stops.
pub(super) async fn deliver(service: Arc<Service>) {
    let mut trouble = false;
    let places = Arc::new(tokio::sync::Semaphore::new(MOST));
    loop {
        let lease = steady_ms() + LEASE.as_millis() as u64;
        let free = places.available_permits();
        let claimed = match free {
            0 => Ok((Vec::new(), None)),
            free => service.journal().claim_notices(free, steady_ms(), lease).await,
        };
        let sleep = match claimed {
            Ok((notices, next_due_ms)) => {
                trouble = false;
                for notice in notices {
                    let Ok(place) = Arc::clone(&places).try_acquire_owned() else { break };
                    let service = Arc::clone(&service);
                    tokio::spawn(async move {
                        send(&service, notice).await;
                        drop(place);
                        service.wakeups().ask_to_notify();
                    });
                }
                next_due_ms.map_or(LOOK, |due| Duration::from_millis(due.saturating_sub(steady_ms())))
            }
            Err(error) => {
                if !std::mem::replace(&mut trouble, true) {
                    tracing::error!("no webhook can be sent: {error}");
                }
                TROUBLE_PAUSE
            }
        };
        // Without a place the end of one that is being sent is waited for.
        let sleep = if free == 0 { LOOK } else { sleep.min(LOOK) };
        tokio::select! {
            () = service.lifecycle().stopping() => return,
            () = service.wakeups().asked_to_notify(), if !trouble => {}
            () = tokio::time::sleep(sleep) => {}
        }
    }
}

/// Tries once, and has written down what came of it.
async fn send(service: &Service, notice: Notice) {
    let settings = service.settings();
    let WebhookSettings { secret, max_age } = &settings.webhooks;
    let sent = tokio::select! {
        () = service.lifecycle().stopping() => return,
        sent = post(&settings.transfer, secret.as_deref(), &notice) => sent,
    };
    let Err((why, again)) = sent else {
        tracing::debug!(job = %notice.job, "webhook delivered");
        service.tally().metrics().notified(Webhook::Delivered);
        return end(service, &notice, None).await;
    };
    let age = Duration::from_millis(steady_ms().saturating_sub(notice.created_ms));
    let pause = again.map(|asked| pause(notice.attempt, random()).max(asked.min(LAST_PAUSE)));
    let Some(pause) = pause.filter(|pause| age + *pause <= *max_age) else {
        tracing::warn!(job = %notice.job, attempt = notice.attempt, "webhook given up: {why}");
        service.tally().metrics().notified(Webhook::Failed);
        return end(service, &notice, Some(NEVER_MS)).await;
    };
    tracing::info!(job = %notice.job, attempt = notice.attempt, "webhook to be tried again: {why}");
    end(service, &notice, Some(steady_ms() + pause.as_millis() as u64)).await;
}

/// Why a webhook was not taken, and after how long at least it may be tried again, if at all.
type NotSent = (String, Option<Duration>);

async fn post(transfer: &Transfer, secret: Option<&[u8]>, notice: &Notice) -> Result<(), NotSent> {
    // It was accepted with a secret; perhaps there will be one again.
    let secret = secret.ok_or_else(|| ("[webhooks] has no secret any more".to_owned(), Some(LAST_PAUSE)))?;
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
        (chain(&error), (!gone).then(|| error.wait().unwrap_or_default()))
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

async fn end(service: &Service, notice: &Notice, again_at_ms: Option<u64>) {
    imgserve_base::crash::point("notice-before-end");
    if let Err(error) = service.journal().end_notice(notice.id.clone(), notice.attempt, again_at_ms).await {
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
