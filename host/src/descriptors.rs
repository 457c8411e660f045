//! Open files: how many the system allows, and that connections and transfers together want no more. What fails for want of
//! one all the same is told as the server's own trouble (`transfer`, `http`).

use imgserve_config::{Config, StoreKind};
use imgserve_transfer::{IDLE_SERVERS, PlaceKind};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::http::OVERFLOW;
use crate::job::MOST_WEBHOOKS;

/// What the server needs for itself: the journal, the log, the runtime, and what a reload has open twice.
const OWN: u64 = 64;
/// What the server holds of each worker: a socket, a pipe, the process; a reload has two generations of them.
const PER_WORKER: u64 = 8;
/// What a transfer has open at once: two connections of FTP and the one being made, or a file and its directories.
const PER_TRANSFER: u64 = 3;
/// How many transfers there are at most for each of `[transfer] max_transfers`: of each kind twice as many as one client may
/// have; as many of local files.
const TRANSFERS: u64 = 2 * 2 * PlaceKind::ALL.len() as u64;
/// How many direct calls, which may have a file open until it is their turn.
const CALLS: u64 = 2;
/// One in so many connections to a server is kept while nothing is asked of it: as many as a source and a destination there have
/// under way together, each a quarter of all.
const IDLE: usize = 2;

/// How many connections to one server are kept while nothing is asked of it.
pub(crate) fn idle_per_server(max_transfers: usize) -> usize {
    (max_transfers / IDLE).max(1)
}

/// What so many `[transfer] max_transfers` have open at most.
fn of_transfers(max_transfers: u64) -> u64 {
    let idle = idle_per_server(usize::try_from(max_transfers).unwrap_or(usize::MAX)) as u64;
    let under_way = max_transfers.saturating_mul(TRANSFERS * PER_TRANSFER + CALLS);
    under_way.saturating_add(idle.saturating_mul(IDLE_SERVERS as u64))
}

/// What is kept open to the servers of stores while nothing is asked of them.
fn of_stores(config: &Config) -> u64 {
    let servers = config.stores.values().filter(|store| store.kind != StoreKind::File).count();
    (servers.min(IDLE_SERVERS) * idle_per_server(config.transfer.max_transfers)) as u64
}

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
    let webhooks = if config.webhooks.secret.is_empty() { 0 } else { MOST_WEBHOOKS as u64 };
    let own = OWN + PER_WORKER * (workers as u64 + 1) + webhooks + of_stores(config);
    let own = own.min(open_files / 2);
    let free = open_files - own;
    // Of many, each has open as much as the others.
    let each = of_transfers(1 << 10) >> 10;
    let transfers = (config.transfer.max_transfers as u64).min(free / 2 / each).max(1);
    let left = free.saturating_sub(of_transfers(transfers));
    // Those who are told that there is no place need one as well, and as many who are turned away.
    let beyond = 2 * (OVERFLOW as u64).min(left.div_ceil(3));
    let connections = (config.server.max_connections as u64).min(left.saturating_sub(beyond)).max(1);
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
        assert_eq!(fitted("", 8192), (1024, 64, 0));
    }

    #[test]
    fn what_does_not_is_made_smaller_and_told() {
        assert_eq!(fitted("", 1024), (1024 - 88 - 10 * 38 - 5 * 16 - 128, 10, 2));
        let all = 64 * (12 * 3 + 2) + 32 * 16;
        assert_eq!(fitted("[server]\nmax_connections = 100000", 65536), (65536 - 88 - all - 128, 64, 1));
        let secret = "[webhooks]\nsecret = 'whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY='\n[server]\nmax_connections = 100000";
        assert_eq!(fitted(secret, 65536), (65536 - 88 - 64 - all - 128, 64, 1));
        let stores = "[stores.a]\nkind = 's3'\nbucket = 'a'\n[stores.b]\nkind = 'file'\nbucket = '/b'\n[server]\nmax_connections = 100000";
        assert_eq!(fitted(stores, 65536), (65536 - 88 - 32 - all - 128, 64, 1));
        for open_files in [0, 1, 10, 64, 128, 256, 300, 1024, 4096] {
            let (connections, transfers, _) = fitted("[transfer]\nmax_transfers = 10000", open_files);
            assert!(connections >= 1 && transfers >= 1);
            let own = (64 + 8 * 3).min(open_files / 2);
            let beyond = 2 * (connections as u64).min(64);
            let used = own + connections as u64 + beyond + of_transfers(transfers as u64);
            // Below that there is nothing to share out.
            assert!(
                used <= open_files || open_files < 128,
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
