//! What comes of a run: a result for each task, cut out of the one payload that the worker has sent.

use bytes::Bytes;
use imgserve_base::fault::{Fault, FaultKind};

use super::protocol::Made;
use crate::plugin::Usage;

/// A task that is done.
#[derive(Clone, Debug)]
pub struct TaskOutput {
    /// The result's width in pixels.
    pub width: u32,
    /// The result's height in pixels.
    pub height: u32,
    /// What its operations took.
    pub usage: Usage,
    /// What is wrong with the part of the source that it shows.
    pub damage: Option<String>,
    /// Why the source's colours could not be converted to sRGB, and are shown as if they were.
    pub unconverted: Option<String>,
    /// What of the source it does not keep though it was asked for.
    pub left_out: Vec<String>,
    /// The encoded result.
    pub bytes: Bytes,
    /// The source's digest, of a direct call on a file.
    pub digest: Option<u128>,
    /// What the worker took for the plan, where that was part of the request, in microseconds of wall time.
    pub plan_us: u64,
    /// What the worker took for the whole run that it is of, in microseconds of wall time: from when it had read the
    /// request, and made such a plan, until it wrote the results.
    pub work_us: u64,
}

/// Each task's result, cut out of what the worker sent without being copied.
pub(super) fn outcomes(
    results: Vec<Result<Made, Fault>>,
    mut bytes: Bytes,
    (plan_us, work_us): (u64, u64),
    digest: Option<u128>,
) -> Result<Vec<Result<TaskOutput, Fault>>, Fault> {
    let announced = results.iter().flatten().map(|made| made.bytes).fold(0, u64::saturating_add);
    if announced != bytes.len() as u64 {
        let text = format!("the worker announced {announced} bytes and sent {}", bytes.len());
        return Err(Fault::new(FaultKind::OperationFailed, text));
    }
    let mut outcome = |Made { width, height, usage, damage, unconverted, left_out, bytes: length }| {
        let bytes = bytes.split_to(length as usize);
        TaskOutput { width, height, usage, damage, unconverted, left_out, bytes, digest, plan_us, work_us }
    };
    Ok(results.into_iter().map(|result| result.map(&mut outcome)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(bytes: u64) -> Result<Made, Fault> {
        let usage = Usage::default();
        Ok(Made { width: 1, height: 1, bytes, usage, damage: None, unconverted: None, left_out: Vec::new() })
    }

    #[test]
    fn results_are_cut_out_of_the_payload() {
        let (payload, fault) =
            (Bytes::from(b"onethree".to_vec()), Fault::new(FaultKind::InvalidArgument, "no"));
        let results = vec![made(3), Err(fault.clone()), made(0), made(5)];
        let cut = outcomes(results, payload.clone(), (0, 7), None).unwrap();
        assert_eq!(cut[1].as_ref().unwrap_err(), &fault);
        let bytes: Vec<&Bytes> = cut.iter().flatten().map(|outcome| &outcome.bytes).collect();
        assert_eq!(bytes, ["one", "", "three"]);
        assert_eq!(bytes[2].as_ptr(), payload[3..].as_ptr(), "copied");
        assert!(cut.iter().flatten().all(|outcome| outcome.work_us == 7));
    }

    #[test]
    fn a_worker_that_lies_about_lengths_is_not_believed() {
        for lengths in [vec![made(9)], vec![made(3)], vec![made(u64::MAX), made(9)], vec![]] {
            let fault = outcomes(lengths, Bytes::from_static(b"onethree"), (0, 0), None).unwrap_err();
            assert!(fault.text.contains("and sent 8"), "{fault}");
        }
    }
}
