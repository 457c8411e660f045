//! Memory that sources hold on their way in.

use imgserve_peers::{Pace, Slow};
use imgserve_transfer::{Allowed, AllowedHost, TransferConfig};

use super::*;

/// A minute for all of a source; its pace shows in an instant.
fn transfer() -> Transfer {
    let here = Allowed { host: AllowedHost::Name("localhost".to_owned()), port: None };
    let long = Duration::from_secs(60);
    let settings = TransferConfig {
        allow_networks: vec![here],
        file_roots: Vec::new(),
        connect_timeout: long,
        idle_timeout: long,
        total_timeout: long,
        min_rate: 1,
        min_rate_window: Duration::from_millis(200),
        max_source_bytes: 8 * MIB,
        max_redirects: 0,
        idle_per_server: 1,
        user_agent: "test".to_owned(),
        extra_ca_pem: Vec::new(),
        stores: Vec::new(),
    };
    Transfer::new(settings).unwrap()
}

#[tokio::test]
async fn one_that_trickles_keeps_no_memory_for_what_cannot_come_in_time() {
    let config = Config::parse("[limits]\nsource_memory_mb = 8\nmax_source_mb = 8").unwrap();
    let (gate, turn) = (Gate::new(&config), Turn::default());
    let slow = Slow::start(Pace::Unmeasured, vec![0; 10_000]).await;
    let source = understood(&format!("http://localhost:{}/a.png", slow.address.port())).unwrap();
    // Nobody knows how large it is, and memory was short when it was first asked for.
    let (own, wish) = (gate.clone(), Wish::new(turn.clone(), Duration::from_secs(60)).again());
    let fetching = tokio::spawn(async move { fetch_within(&transfer(), &source, &own, wish, || ()).await });
    while slow.open() == 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert!(gate.memory.try_take(&turn, gate.whole(Some(MIB))).is_none(), "it may be the largest");
    let other = gate.memory.take(&turn, gate.whole(Some(6 * MIB)), Some(Duration::from_secs(9))).await;
    assert!(other.is_ok() && !fetching.is_finished());
    fetching.abort();
}
