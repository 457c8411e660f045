//! Open files: how many the system allows, and that connections and transfers together want no more. What fails for want of
//! one all the same is told as the server's own trouble (`transfer`, `http`).

use imgserve_config::Config;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// What the server needs for itself: the journal, the log, the runtime, and what a reload has open twice.
const OWN: u64 = 64;
/// What the server holds of each worker: a socket, a pipe, the process; a reload has two generations of them.
const PER_WORKER: u64 = 8;
/// What a transfer has open at once: two connections of FTP and the one being made, or a file and its directories.
const PER_TRANSFER: u64 = 3;

/// Raises the number of files that may be open to what the system allows at most, which usually is many times what it begins
/// with; says how many that are. Workers are started with it as well: they open none.
pub(crate) fn raise() -> u64 {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current == maximum {
        return current.unwrap_or(u64::MAX);
    }
    let raised = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }).is_ok();
    (if raised { maximum } else { current }).unwrap_or(u64::MAX)
}

/// Makes connections and transfers so many that their descriptors suffice; says what is less than was asked for.
pub(crate) fn fit(config: &mut Config, open_files: u64) -> Vec<String> {
    let workers = match config.workers.count {
        0 => std::thread::available_parallelism().map_or(1, usize::from),
        count => count,
    };
    let own = (OWN + PER_WORKER * (workers as u64 + 1)).min(open_files / 2);
    let free = open_files - own;
    let transfers = (config.transfer.max_transfers as u64).min(free / 2 / PER_TRANSFER).max(1);
    let left = free.saturating_sub(transfers * PER_TRANSFER);
    // Those who are told that there is no place need one as well.
    let beyond = (crate::http::OVERFLOW as u64).min(left / 2);
    let connections = (config.server.max_connections as u64).min(left - beyond).max(1);
    [
        fewer("[server] max_connections", &mut config.server.max_connections, connections, open_files),
        fewer("[transfer] max_transfers", &mut config.transfer.max_transfers, transfers, open_files),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn fewer(key: &str, asked: &mut usize, possible: u64, open_files: u64) -> Option<String> {
    let wanted = std::mem::replace(asked, usize::try_from(possible).unwrap_or(*asked));
    (*asked < wanted).then(|| {
        format!(
            "{key} = {wanted} needs more open files than the system allows ({open_files}): {asked} are served; raise the limit \
             (ulimit -Hn, LimitNOFILE of a service, --ulimit nofile of a container)"
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Connections and transfers with so many files, and how many warnings there are.
    fn fitted(text: &str, open_files: u64) -> (usize, usize, usize) {
        let mut config = Config::parse(&format!("[workers]\ncount = 2\n{text}")).unwrap();
        let warnings = fit(&mut config, open_files);
        (config.server.max_connections, config.transfer.max_transfers, warnings.len())
    }

    #[test]
    fn what_fits_stays_as_it_is() {
        assert_eq!(fitted("", 1 << 20), (1024, 64, 0));
        assert_eq!(fitted("", u64::MAX), (1024, 64, 0));
        assert_eq!(fitted("", 1500), (1024, 64, 0));
        assert_eq!(fitted("[server]\nmax_connections = 500", 1024), (500, 64, 0));
    }

    #[test]
    fn what_does_not_is_made_smaller_and_told() {
        assert_eq!(fitted("", 1024), (680, 64, 1));
        assert_eq!(fitted("[server]\nmax_connections = 100000", 65536), (65536 - 88 - 192 - 64, 64, 1));
        let (connections, transfers, warnings) = fitted("", 256);
        assert!(connections > 16 && transfers > 16 && warnings == 2, "{connections} {transfers}");
        for open_files in [0, 1, 10, 64, 128, 256, 300, 1024, 4096] {
            let (connections, transfers, _) = fitted("[transfer]\nmax_transfers = 10000", open_files);
            assert!(connections >= 1 && transfers >= 1);
            let used = connections as u64 + transfers as u64 * PER_TRANSFER;
            assert!(
                used <= open_files.max(4),
                "{open_files}: {connections} connections, {transfers} transfers"
            );
        }
    }

    #[test]
    fn the_limit_is_the_highest_there_is() {
        let limit = raise();
        assert_eq!(getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX), limit);
        assert_eq!(getrlimit(Resource::Nofile).maximum.unwrap_or(u64::MAX), limit);
    }
}
