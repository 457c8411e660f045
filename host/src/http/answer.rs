//! How a fault is answered. Here stands the one function that maps a fault to an HTTP status, to 0.2's code and to a title.

use axum::http::StatusCode;
use imgserve_base::fault::{Fault, FaultKind, Retry};

/// Seconds after which a client that was told "busy" should try again, where the fault does not say.
const RETRY_AFTER: u64 = 5;

/// What a fault is to a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Answer {
    /// The status of `/v1`; 0.2 has its own.
    pub(super) status: StatusCode,
    /// 0.2's code; none for what 0.2 answered without a code.
    pub(super) code: Option<u16>,
    /// The problem document's title.
    pub(super) title: &'static str,
    /// Seconds after which it is worth trying again, for those who are told to come back.
    pub(super) retry_after_s: Option<u64>,
}

/// The answer to a fault.
pub(super) fn answer(fault: &Fault) -> Answer {
    const BAD: StatusCode = StatusCode::BAD_REQUEST;
    const UNPROCESSABLE: StatusCode = StatusCode::UNPROCESSABLE_ENTITY;
    const OURS: StatusCode = StatusCode::INTERNAL_SERVER_ERROR;
    // Trouble that the other server had, or what the request named cannot be had at all.
    let remote = if fault.retry == Retry::Remote { StatusCode::BAD_GATEWAY } else { UNPROCESSABLE };
    let (status, code, title) = match fault.kind {
        FaultKind::NotJson => (BAD, None, "Body not understood"),
        FaultKind::WrongMembers => (BAD, Some(101), "Wrong members"),
        FaultKind::UnknownOperation => (StatusCode::NOT_FOUND, Some(102), "Unknown operation"),
        FaultKind::ArgsNotObject => (BAD, Some(103), "Arguments are no object"),
        FaultKind::EmptySource => (BAD, Some(104), "No source"),
        FaultKind::EmptyDestination => (BAD, Some(105), "No destination"),
        FaultKind::MissingArgument => (BAD, Some(106), "Argument missing"),
        FaultKind::WrongType => (BAD, Some(107), "Argument of the wrong type"),
        FaultKind::SourceExtension => (BAD, Some(108), "Source extension not taken"),
        FaultKind::SourceScheme => (BAD, Some(109), "Source scheme not supported"),
        FaultKind::DestinationScheme => (BAD, Some(110), "Destination scheme not supported"),
        FaultKind::MissingFieldName => (BAD, Some(111), "Form field missing"),
        FaultKind::FieldNameType => (BAD, Some(112), "Form field is no string"),
        FaultKind::DestinationExtension => (BAD, Some(113), "Destination extension does not fit"),
        FaultKind::InvalidArgument => (BAD, Some(114), "Argument out of range"),
        FaultKind::SourceUnavailable => (remote, Some(201), "Source cannot be fetched"),
        FaultKind::UnreadableSource => (UNPROCESSABLE, Some(202), "Source is not an image"),
        FaultKind::SourceTooSmall => (UNPROCESSABLE, Some(203), "Source too small"),
        FaultKind::InvalidSvg => (UNPROCESSABLE, Some(204), "Source is not a valid SVG"),
        FaultKind::DestinationUnavailable => (remote, Some(205), "Destination cannot be stored to"),
        FaultKind::LimitExceeded => (UNPROCESSABLE, Some(206), "Limit exceeded"),
        FaultKind::PluginOutOfMemory => (OURS, Some(206), "Plugin out of memory"),
        FaultKind::PluginTimedOut => (StatusCode::GATEWAY_TIMEOUT, Some(206), "Plugin timed out"),
        FaultKind::OperationFailed => (OURS, Some(207), "Operation failed"),
        FaultKind::PluginTrapped => (OURS, Some(207), "Plugin failed"),
        FaultKind::PluginContract => (OURS, Some(207), "Plugin broke its contract"),
        FaultKind::OperationSuspended => (StatusCode::SERVICE_UNAVAILABLE, Some(301), "Operation suspended"),
        FaultKind::Busy => (StatusCode::SERVICE_UNAVAILABLE, Some(301), "Busy"),
        FaultKind::ClientBusy => (StatusCode::TOO_MANY_REQUESTS, Some(301), "Too many jobs of yours"),
        FaultKind::JournalUnavailable => {
            (StatusCode::SERVICE_UNAVAILABLE, Some(301), "Journal cannot be written")
        }
        // 0.2 knew no such header; to it the request is out of order like one with a wrong argument.
        FaultKind::KeyReused => (UNPROCESSABLE, Some(114), "Idempotency key used before"),
    };
    let come_back = matches!(status, StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS);
    let retry_after_s = come_back.then(|| fault.retry_after_s.unwrap_or(RETRY_AFTER));
    Answer { status, code, title, retry_after_s }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trouble_of_other_servers_is_told_from_what_cannot_be_had() {
        let fault = Fault::new(FaultKind::SourceUnavailable, "");
        assert_eq!(answer(&fault).status, 422);
        assert_eq!(answer(&fault.clone().retried(Retry::Remote)).status, 502);
        assert_eq!(answer(&fault).retry_after_s, None);
    }

    #[test]
    fn who_is_told_to_come_back_is_told_when() {
        let busy = Fault::new(FaultKind::Busy, "");
        assert_eq!((answer(&busy).status.as_u16(), answer(&busy).retry_after_s), (503, Some(RETRY_AFTER)));
        let suspended = Fault { retry_after_s: Some(77), ..Fault::new(FaultKind::OperationSuspended, "") };
        assert_eq!(answer(&suspended).retry_after_s, Some(77));
    }
}
