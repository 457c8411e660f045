//! Tests of the file transfer on a real file system, apart for length.
#![allow(clippy::disallowed_methods, reason = "files of the test's own")]

use std::os::unix::fs::symlink;

use imgserve_base::lease::Lease;
use imgserve_base::version::Version;

use super::*;
use crate::tests::source;
use crate::tests::{config, fetch, mark, stored};
use crate::{Asked, Destination, PartMark, SourceUrl, Transfer};

struct Rooted {
    directory: tempfile::TempDir,
    transfer: Transfer,
}

impl Rooted {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        // The root itself does not exist yet: the first store creates it.
        let file_roots = vec![directory.path().join("root")];
        Self {
            transfer: Transfer::new(super::super::TransferConfig { file_roots, ..config() }).unwrap(),
            directory,
        }
    }

    fn path(&self, relative: &str) -> PathBuf {
        self.directory.path().join("root").join(relative)
    }

    fn url(&self, relative: &str) -> String {
        format!("file://{}", self.path(relative).display())
    }

    async fn store(&self, relative: &str, body: &'static str) -> Result<(), TransferError> {
        let destination = Destination::parse(&self.url(relative)).unwrap();
        self.transfer.store(&destination, stored(body, None), &mark()).await
    }

    async fn fetch_error(&self, relative: &str) -> TransferErrorKind {
        fetch(&self.transfer, &self.url(relative)).await.unwrap_err().kind()
    }
}

fn names(directory: &Path) -> Vec<OsString> {
    std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().file_name()).collect()
}

#[tokio::test]
async fn files_are_stored_over_and_fetched_again() {
    let rooted = Rooted::new();
    rooted.store("a/b%20c/x.png", "placeholder").await.unwrap();
    rooted.store("a/b%20c/x.png", "result").await.unwrap();
    assert_eq!(std::fs::read(rooted.path("a/b c/x.png")).unwrap(), b"result");
    assert_eq!(names(&rooted.path("a/b c")), ["x.png"]);
    assert_eq!(fetch(&rooted.transfer, &rooted.url("a/b%20c/x.png")).await.unwrap(), b"result");
}

#[tokio::test]
async fn whose_lease_is_over_replaces_nothing_and_leaves_nothing() {
    let rooted = Rooted::new();
    rooted.store("x.png", "newer").await.unwrap();
    let destination = Destination::parse(&rooted.url("x.png")).unwrap();
    let over = PartMark { lease: Lease::until(0), ..mark() };
    let stored = rooted.transfer.store(&destination, stored("older", None), &over).await;
    assert_eq!(stored.unwrap_err().kind(), TransferErrorKind::Timeout);
    assert_eq!(
        (std::fs::read(rooted.path("x.png")).unwrap(), names(&rooted.path(""))),
        (b"newer".to_vec(), vec!["x.png".into()])
    );
}

#[tokio::test]
async fn a_large_file_comes_in_pieces_with_its_size() {
    let rooted = Rooted::new();
    rooted.store("x", "").await.unwrap();
    std::fs::write(rooted.path("x"), vec![7; PIECE as usize * 2 + 1]).unwrap();
    let config =
        super::super::TransferConfig { max_source_bytes: 3 * PIECE, ..(*rooted.transfer.config).clone() };
    let transfer = Transfer::new(config).unwrap();
    let mut fetched = transfer.fetch(&source(rooted.url("x"))).await.unwrap();
    assert_eq!(fetched.size_hint, Some(PIECE * 2 + 1));
    let mut sizes = Vec::new();
    while let Some(chunk) = fetched.chunk().await.unwrap() {
        sizes.push(chunk.len() as u64);
    }
    assert_eq!(sizes, [PIECE, PIECE, 1]);
    assert!(fetched.chunk().await.unwrap().is_none());
}

/// Whether the kernel tells for files of this file system what is in its cache.
fn tells_what_is_cached(file: &Path) -> bool {
    is_cached(&std::fs::File::open(file).unwrap().into(), &mut [0], 0)
}

#[tokio::test]
async fn a_file_in_the_cache_is_opened_without_waiting_and_no_other() {
    let rooted = Rooted::new();
    rooted.store("a/x.png", "what was just written").await.unwrap();
    let url = rooted.url("a/x.png");
    let found = rooted.transfer.cached_file(&source(&url));
    assert_eq!(found.is_some(), tells_what_is_cached(&rooted.path("a/x.png")));
    if let Some(CachedFile { file, size, head }) = found {
        assert_eq!((size, head.as_slice()), (21, b"what was just written".as_slice()));
        assert!(rustix::io::write(&file, b"x").is_err(), "it is handed to a worker");
    }
    std::fs::write(rooted.path("empty"), "").unwrap();
    std::fs::write(rooted.directory.path().join("outside"), "x").unwrap();
    symlink("a/x.png", rooted.path("link")).unwrap();
    symlink("..", rooted.path("up")).unwrap();
    for name in ["none", "empty", "a", "link", "up/outside", "../outside", "%2e%2e/outside"] {
        assert!(
            SourceUrl::parse(&rooted.url(name))
                .map_or(true, |url| rooted.transfer.cached_file(&url).is_none()),
            "{name}"
        );
    }
    let config = super::super::TransferConfig { max_source_bytes: 20, ..(*rooted.transfer.config).clone() };
    assert!(Transfer::new(config).unwrap().cached_file(&source(&url)).is_none(), "it is too large");
}

#[tokio::test]
async fn nothing_outside_a_root_is_reached() {
    let rooted = Rooted::new();
    rooted.store("inside", "x").await.unwrap();
    let outside = rooted.directory.path().join("outside");
    std::fs::create_dir(&outside).unwrap();
    std::fs::write(outside.join("secret"), "secret").unwrap();
    symlink(outside.join("secret"), rooted.path("link")).unwrap();
    symlink(&outside, rooted.path("dir")).unwrap();
    symlink(rooted.path("inside"), rooted.path("inner")).unwrap();
    for relative in ["link", "dir/secret", "inner"] {
        assert_eq!(rooted.fetch_error(relative).await, TransferErrorKind::NotAllowed, "{relative}");
        assert!(rooted.store(relative, "evil").await.is_err(), "{relative}");
    }
    assert!(rooted.store("dir/new", "evil").await.is_err());
    assert_eq!(names(&outside), ["secret"]);
    assert_eq!(std::fs::read(outside.join("secret")).unwrap(), b"secret");
    let elsewhere = fetch(&rooted.transfer, "file:///etc/passwd").await.unwrap_err();
    assert_eq!(elsewhere.kind(), TransferErrorKind::NotAllowed);
    assert!(elsewhere.to_string().contains("[access] file_roots"), "{elsewhere}");
}

#[tokio::test]
async fn only_regular_files_are_read_and_replaced() {
    let rooted = Rooted::new();
    rooted.store("x", "x").await.unwrap();
    rustix::fs::mknodat(CWD, rooted.path("fifo"), FileType::Fifo, Mode::from_raw_mode(0o600), 0).unwrap();
    std::fs::create_dir(rooted.path("directory")).unwrap();
    for relative in ["fifo", "directory"] {
        assert_eq!(rooted.fetch_error(relative).await, TransferErrorKind::NotAllowed, "{relative}");
        let refused = rooted.store(relative, "x").await.unwrap_err();
        assert_eq!(refused.kind(), TransferErrorKind::NotAllowed, "{relative}");
    }
    assert_eq!(rooted.fetch_error("missing").await, TransferErrorKind::NotFound);
    assert_eq!(rooted.fetch_error("x/below").await, TransferErrorKind::Refused);
}

#[tokio::test]
async fn a_file_over_the_limit_is_refused_by_its_size() {
    let rooted = Rooted::new();
    rooted.store("x", "12345").await.unwrap();
    let config =
        super::super::TransferConfig { file_roots: vec![rooted.path("")], max_source_bytes: 4, ..config() };
    let error = Transfer::new(config).unwrap().fetch(&source(rooted.url("x"))).await.unwrap_err();
    assert_eq!(error.kind(), TransferErrorKind::TooLarge);
    assert!(error.to_string().contains("[limits] max_source_mb"), "{error}");
}

#[test]
fn an_abandoned_store_leaves_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let beneath = Beneath { root: directory.path(), relative: "x".into() };
    let error = write(&beneath, b"late", &mark(), &AtomicBool::new(true)).unwrap_err();
    assert_eq!(error.kind(), TransferErrorKind::Timeout);
    assert!(names(directory.path()).is_empty());
}

#[test]
fn long_names_are_stored_too() {
    let directory = tempfile::tempdir().unwrap();
    let name = "ä".repeat(127);
    let beneath = Beneath { root: directory.path(), relative: name.clone().into() };
    write(&beneath, b"x", &mark(), &AtomicBool::new(false)).unwrap();
    assert_eq!(names(directory.path()), [OsString::from(name)]);
}

#[tokio::test]
async fn what_a_killed_store_left_is_removed() {
    let rooted = Rooted::new();
    std::fs::create_dir_all(rooted.path("")).unwrap();
    let left = [".x.first.imgserve-part", ".x.own.imgserve-part"];
    left.iter().for_each(|name| std::fs::write(rooted.path(name), "half").unwrap());
    std::fs::write(rooted.path(".x.another.imgserve-part"), "under way").unwrap();
    let destination = Destination::parse(&rooted.url("x")).unwrap();
    let mark =
        PartMark { own: "own".to_owned(), stale: vec!["first".to_owned(), "second".to_owned()], ..mark() };
    rooted.transfer.store(&destination, stored("whole", None), &mark).await.unwrap();
    let mut names = names(&rooted.path(""));
    names.sort();
    assert_eq!(names, [".x.another.imgserve-part", "x"]);
    assert_eq!(std::fs::read(rooted.path("x")).unwrap(), b"whole");
}

#[tokio::test]
async fn a_file_that_lies_still_is_told_from_a_later_one_without_being_read() {
    let rooted = Rooted::new();
    rooted.store("new.png", "just written").await.unwrap();
    let fetched = rooted.transfer.fetch(&source(rooted.url("new.png"))).await.unwrap();
    assert!(!fetched.version.is_known(), "it may change once more within a tick: {:?}", fetched.version);
    // A file that was there before this test was built.
    let old = Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml");
    let (folder, name) = (old.parent().unwrap(), old.file_name().unwrap().to_str().unwrap());
    let roots = vec![folder.to_owned()];
    let config = super::super::TransferConfig { file_roots: roots, max_source_bytes: u64::MAX, ..config() };
    let transfer = Transfer::new(config).unwrap();
    let url = source(format!("file://{}", folder.join(name).display()));
    let version = *transfer.fetch(&url).await.unwrap().version;
    assert!(version.stamp.is_some() && version.tag.is_none(), "{version:?}");
    assert!(matches!(transfer.fetch_unless(&url, version.clone()).await.unwrap(), Asked::Same(_)));
    // Where the kernel does not tell what is in its cache, it is asked by opening the file.
    let at_hand = transfer.cached_stamp(&url);
    assert!(at_hand.is_none() || at_hand == version.stamp, "{at_hand:?} {version:?}");
    let other = Version { stamp: Some(format!("{}0", version.stamp.unwrap())), ..Version::default() };
    assert!(matches!(transfer.fetch_unless(&url, other).await.unwrap(), Asked::Changed(_)));
    // What may not be read has no stamp either.
    assert_eq!(rooted.transfer.cached_stamp(&url), None);
    assert!(rooted.transfer.fetch_unless(&url, Version::default()).await.is_err());
}
