//! The cache as a whole, in a directory.
#![allow(clippy::disallowed_methods, reason = "a test waits for nothing else meanwhile")]

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::file::tests::result;
use super::*;

const DAY: Duration = Duration::from_secs(24 * 3600);

fn settings(dir: &Path) -> Settings {
    Settings { dir: dir.to_owned(), max_bytes: 100 * BLOCK, max_age: DAY, memory_bytes: MIB }
}

fn open(settings: Settings) -> Arc<Cache> {
    let cache = Cache::open(settings).unwrap();
    cache.settle();
    cache
}

/// One that has nothing in memory.
fn on_disk_alone(dir: &Path) -> Arc<Cache> {
    open(Settings { memory_bytes: 0, ..settings(dir) })
}

fn key(number: u8) -> Key {
    Key::result(&[number; 32], &[1; 32])
}

fn bytes(entry: Option<Arc<Entry>>) -> Option<Vec<u8>> {
    entry.map(|entry| entry.body().to_vec())
}

fn file_of(cache: &Cache, key: &Key) -> PathBuf {
    let name = key.to_string();
    cache.shared.settings.dir.join(&name[..2]).join(format!("{name}.1"))
}

fn source(digest: u8, earlier: &[u8]) -> What {
    let earlier = earlier.iter().map(|digest| [*digest; 32]).collect();
    What::Source(KnownSource { digest: [digest; 32], earlier, ..KnownSource::default() })
}

#[test]
fn what_is_kept_is_at_hand_and_there_after_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let cache = open(settings(directory.path()));
    assert!(cache.read(&key(1)).is_none() && !cache.may_have(&key(1)));
    assert!(cache.keep(key(1), result(b"one")));
    assert!(cache.keep(Key::source(&[5; 32]), source(1, &[2])));
    assert_eq!(bytes(cache.at_hand(&key(1))), Some(b"one".to_vec()));
    drop(cache);
    let cache = open(settings(directory.path()));
    assert!(cache.at_hand(&key(1)).is_none() && cache.may_have(&key(1)));
    assert_eq!(bytes(cache.read(&key(1))), Some(b"one".to_vec()));
    assert!(cache.at_hand(&key(1)).is_some(), "what was read is in memory");
    let known = cache.read(&Key::source(&[5; 32])).unwrap();
    assert_eq!(known.source().map(|source| (source.digest, source.earlier.len())), Some(([1; 32], 1)));
    let figures = cache.figures();
    assert_eq!((figures.entries, figures.bytes, figures.unwritten), (2, 2 * BLOCK, 0));
}

#[test]
fn what_was_not_used_for_longest_makes_room_also_after_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let small = || Settings { max_bytes: 4 * BLOCK, memory_bytes: 0, ..settings(directory.path()) };
    let cache = open(small());
    for number in 1..=4 {
        cache.keep(key(number), result(&[number; 100]));
        cache.settle();
    }
    assert!(cache.read(&key(1)).is_some());
    cache.keep(key(5), result(b"five"));
    cache.settle();
    assert_eq!((cache.figures().entries, cache.figures().evicted), (4, 1));
    assert!(cache.read(&key(2)).is_none() && !file_of(&cache, &key(2)).exists());
    // Used last: 1, then 5. Times of files are exact to a few milliseconds.
    std::thread::sleep(Duration::from_millis(20));
    assert!(cache.read(&key(3)).is_some());
    cache.settle();
    drop(cache);
    let cache = open(Settings { max_bytes: BLOCK, ..small() });
    assert_eq!(bytes(cache.read(&key(3))), Some(vec![3; 100]));
    assert_eq!((cache.figures().entries, cache.figures().evicted), (1, 3));
    // What would never fit makes nobody go.
    assert!(!cache.keep(key(6), result(&[0; 2 * BLOCK as usize])));
    assert!(cache.read(&key(3)).is_some());
}

#[test]
fn what_is_in_memory_is_bounded_too() {
    let directory = tempfile::tempdir().unwrap();
    let cache = open(Settings { memory_bytes: 64 << 10, ..settings(directory.path()) });
    for number in 0..50 {
        cache.keep(key(number), result(&[number; 4000]));
        assert!(cache.figures().memory_bytes <= 64 << 10);
    }
    assert!(cache.at_hand(&key(49)).is_some() && cache.at_hand(&key(0)).is_none());
    cache.keep(key(50), result(&[1; 20_000]));
    assert!(cache.at_hand(&key(50)).is_none(), "it is more than an eighth");
    cache.settle();
    assert_eq!(bytes(cache.read(&key(50))), Some(vec![1; 20_000]));
}

#[test]
fn what_is_too_old_goes() {
    let directory = tempfile::tempdir().unwrap();
    let cache = open(settings(directory.path()));
    cache.keep(key(1), result(b"old"));
    cache.keep(key(2), result(b"new"));
    cache.settle();
    let old = file_of(&cache, &key(1));
    drop(cache);
    let times = fs::FileTimes::new().set_modified(SystemTime::now() - 2 * DAY);
    File::open(&old).unwrap().set_times(times).unwrap();
    let cache = open(settings(directory.path()));
    assert!(!old.exists() && cache.read(&key(1)).is_none() && cache.read(&key(2)).is_some());
    // What its file says of itself counts, whatever the file system does.
    let made_ms = now_ms() - 2 * DAY.as_millis() as u64;
    let entry = Entry { made_ms, what: result(b"old") };
    fs::write(file_of(&cache, &key(2)), [&file::head(&key(2), &entry), entry.body()].concat()).unwrap();
    drop(cache);
    let cache = open(settings(directory.path()));
    assert!(cache.may_have(&key(2)) && cache.read(&key(2)).is_none());
    cache.settle();
    assert!(!file_of(&cache, &key(2)).exists());
}

#[test]
fn what_is_damaged_is_dropped_and_made_anew() {
    let directory = tempfile::tempdir().unwrap();
    let cache = on_disk_alone(directory.path());
    cache.keep(key(1), result(b"some picture"));
    cache.settle();
    let path = file_of(&cache, &key(1));
    let whole = fs::read(&path).unwrap();
    let mut changed = whole.clone();
    *changed.last_mut().unwrap() ^= 1;
    for damaged in [changed, whole[..whole.len() / 2].to_vec(), Vec::new()] {
        fs::write(&path, damaged).unwrap();
        assert!(cache.read(&key(1)).is_none());
        cache.settle();
        assert!(!path.exists());
        cache.keep(key(1), result(b"some picture"));
        cache.settle();
        assert_eq!(bytes(cache.read(&key(1))), Some(b"some picture".to_vec()));
    }
    assert_eq!(cache.figures().damaged, 3);
    // Another's file under its name.
    cache.keep(key(2), result(b"another picture"));
    cache.settle();
    fs::copy(file_of(&cache, &key(2)), &path).unwrap();
    assert!(cache.read(&key(1)).is_none());
}

#[test]
fn a_start_removes_what_was_left_unfinished_and_nothing_that_is_not_its_own() {
    let directory = tempfile::tempdir().unwrap();
    let cache = open(settings(directory.path()));
    cache.keep(key(1), result(b"one"));
    cache.settle();
    let whole = file_of(&cache, &key(1));
    drop(cache);
    let unfinished = whole.with_extension("0123456789abcdef.part");
    let later = whole.with_extension("2");
    let others = [later, whole.with_file_name("notes.txt"), directory.path().join("README")];
    for path in others.iter().chain([&unfinished]) {
        fs::write(path, b"something").unwrap();
    }
    let cache = open(settings(directory.path()));
    assert!(!unfinished.exists() && others.iter().all(|path| path.exists()));
    assert_eq!((cache.figures().entries, cache.purge_all()), (1, 1));
    assert!(!whole.exists() && others.iter().all(|path| path.exists()));
}

#[test]
fn a_directory_that_cannot_be_written_to_keeps_nobody_from_an_answer() {
    let directory = tempfile::tempdir().unwrap();
    let cache = open(settings(directory.path()));
    // In the way of the entry's own directory.
    let shelf = file_of(&cache, &key(1)).parent().unwrap().to_owned();
    fs::write(&shelf, b"").unwrap();
    assert!(cache.keep(key(1), result(b"one")));
    assert!(cache.keep(key(2), result(b"two")));
    cache.settle();
    let figures = cache.figures();
    assert!(figures.unwritable && figures.unwritten >= 1 && figures.entries == 0, "{figures:?}");
    assert_eq!(bytes(cache.at_hand(&key(1))), Some(b"one".to_vec()));
    fs::remove_file(&shelf).unwrap();
    let began = std::time::Instant::now();
    while cache.figures().unwritable {
        assert!(began.elapsed().as_secs() < 60, "never written again");
        cache.keep(key(1), result(b"one"));
        cache.settle();
    }
    drop(cache);
    assert_eq!(bytes(open(settings(directory.path())).read(&key(1))), Some(b"one".to_vec()));
}

#[test]
fn a_directory_is_one_servers_and_nobody_elses() {
    use std::os::unix::fs::PermissionsExt as _;
    let directory = tempfile::tempdir().unwrap();
    let cache = open(settings(directory.path()));
    let error = Cache::open(settings(directory.path())).unwrap_err().to_string();
    assert!(error.contains("another imgserve's") && error.contains("[cache] dir"), "{error}");
    drop(cache);
    assert!(Cache::open(settings(directory.path())).is_ok());
    let open = directory.path().join("open");
    fs::create_dir(&open).unwrap();
    fs::set_permissions(&open, fs::Permissions::from_mode(0o777)).unwrap();
    let error = Cache::open(settings(&open)).unwrap_err().to_string();
    assert!(error.contains("others can write to it"), "{error}");
    let file = directory.path().join("file");
    fs::write(&file, b"").unwrap();
    assert!(Cache::open(settings(&file)).is_err());
}

#[test]
fn a_source_is_purged_with_all_that_was_made_of_it() {
    let directory = tempfile::tempdir().unwrap();
    let cache = open(settings(directory.path()));
    let url = [77; 32];
    for number in [1, 2, 3] {
        cache.keep(key(number), result(&[number]));
    }
    cache.keep(Key::result(&[1; 32], &[9; 32]), result(b"other arguments"));
    cache.keep(Key::source(&url), source(1, &[2]));
    let listed = cache.list(10);
    // It may not all be written yet.
    assert!(listed.len() <= 4);
    assert_eq!(cache.purge_source(&[78; 32]), 0);
    assert_eq!(cache.list(10).len(), 4);
    assert_eq!(cache.list(2).len(), 2);
    assert_eq!(cache.list(10)[0].result.media_type, "image/png");
    assert_eq!(cache.purge_source(&url), 3);
    assert!(cache.read(&key(1)).is_none() && cache.read(&key(2)).is_none() && cache.read(&key(3)).is_some());
    assert!(cache.read(&Key::source(&url)).is_none());
    drop(cache);
    let cache = open(settings(directory.path()));
    assert_eq!((cache.figures().entries, cache.purge_all(), cache.figures().entries), (1, 1, 0));
}
