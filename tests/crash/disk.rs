//! Disks that are full, that cannot be written, that do not sync: new jobs are refused and say why, accepted ones are not
//! lost, and all goes on when the disk is well.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::arena::Arena;
use crate::driver::Reply;
use crate::peer::Step;
use crate::points::{PATIENCE, start_with};

/// Size of the journal's disk.
const DISK: &str = "size=1m";

/// A small file system in memory; gone when dropped.
struct Disk(PathBuf);

impl Disk {
    /// None where this user may not mount.
    fn mount(path: &Path) -> Option<Self> {
        std::fs::create_dir_all(path).unwrap();
        let mounted = run("mount", &["-t", "tmpfs", "-o", DISK, "tmpfs", path.to_str()?]);
        mounted.then(|| Self(path.to_owned()))
    }

    /// Takes all its room.
    fn fill(&self) {
        let mut size = 1 << 20;
        let mut content = Vec::new();
        while size > 0 {
            content.resize(content.len() + size, 1);
            if std::fs::write(self.0.join("fill"), &content).is_err() {
                content.truncate(content.len() - size);
                size /= 2;
            }
        }
        // The last page that is left is taken by a file that stays as large as it got.
        let _ = std::fs::write(self.0.join("fill"), vec![1; 1 << 20]);
    }

    fn make_room(&self) {
        std::fs::remove_file(self.0.join("fill")).unwrap();
    }

    fn remount(&self, how: &str) -> bool {
        run("mount", &["-o", &format!("remount,{how}"), self.0.to_str().unwrap()])
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        run("umount", &["-l", self.0.to_str().unwrap()]);
    }
}

fn run(program: &str, arguments: &[&str]) -> bool {
    let output = Command::new(program).args(arguments).output();
    output.is_ok_and(|output| output.status.success())
}

/// What is wrong with full and read-only disks.
pub(crate) async fn disks(program: &Path, directory: &Path) -> Result<Vec<String>, String> {
    let Some(disk) = Disk::mount(&directory.join("disk")) else {
        println!("  SKIPPED: a full and a read-only disk need a user who may mount (root)");
        return Ok(Vec::new());
    };
    let mut arena = Arena::new(program, &directory.join("server"), "").await?;
    let journal = disk.0.join("journal.db");
    arena.victim.configure(&journal, "max_finished = 1000000", "");
    arena.victim.start().await?;
    full(&mut arena, &disk).await?;
    read_only_start(&mut arena, &disk, &journal).await?;
    arena.victim.start().await?;
    let jobs = arena.settle().await;
    Ok(arena.judge(&jobs).await)
}

/// The disk is filled while jobs are under way, and has room again later.
async fn full(arena: &mut Arena, disk: &Disk) -> Result<(), String> {
    let mut under_way = Vec::new();
    for number in 0..4 {
        let post = arena.post_to_peer(&format!("full{number}"), &Value::Null);
        arena.peer.plan(&post.named[0].name, &[Step::Take, Step::Hold]);
        under_way.push(arena.send(&post, "before the disk is full").await?);
    }
    // They have begun, which has to be written too.
    for id in &under_way {
        let began = Instant::now();
        while arena.state(id).await != "running" && began.elapsed() < Duration::from_secs(30) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    disk.fill();
    for v1 in [true, false] {
        refused(arena, &format!("refused{v1}"), v1, "full").await?;
    }
    not_ready(arena, "full").await?;
    // What is under way ends at its destination, and in the journal as soon as that can be written.
    arena.peer.release();
    tokio::time::sleep(Duration::from_secs(3)).await;
    for id in &under_way {
        let state = arena.state(id).await;
        if state != "running" {
            return Err(format!("the disk is full and job {id} is {state}"));
        }
    }
    not_ready(arena, "full").await?;
    disk.make_room();
    ready(arena).await?;
    for id in &under_way {
        arena.reaches(id, "succeeded", PATIENCE).await?;
    }
    let post = arena.post("room", true, None, false);
    let id = arena.send(&post, "there is room again").await?;
    arena.reaches(&id, "succeeded", PATIENCE).await?;
    println!("  a full disk: refused, told, and gone on without a restart");
    Ok(())
}

/// Whether new jobs are refused, saying `why` and when to come again.
async fn refused(arena: &Arena, name: &str, v1: bool, why: &str) -> Result<(), String> {
    let post = arena.post(name, v1, None, false);
    match arena.send(&post, "the disk is not well").await {
        Err(text) if text.starts_with("503") && text.contains("journal") && text.contains(why) => Ok(()),
        other => Err(format!("a job posted while the disk is not well ({why}): {other:?}")),
    }
}

async fn not_ready(arena: &Arena, why: &str) -> Result<(), String> {
    let answer = arena.get("/readyz").await?;
    let tells = answer.body["journal_error"].as_str().is_some_and(|text| text.contains(why));
    match answer.status == 503 && tells {
        true => Ok(()),
        false => Err(format!("/readyz does not tell of the disk: {} {}", answer.status, answer.body)),
    }
}

/// It finds out by itself, without a job.
async fn ready(arena: &Arena) -> Result<(), String> {
    let began = Instant::now();
    loop {
        let answer = arena.get("/readyz").await?;
        if answer.status == 200 {
            return Ok(());
        }
        if began.elapsed() > PATIENCE {
            return Err(format!("it does not become ready again: {}", answer.body));
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// A server whose journal cannot be written does not start, and says what and where; the journal stays as it is.
async fn read_only_start(arena: &mut Arena, disk: &Disk, journal: &Path) -> Result<(), String> {
    let post = arena.post("readonly", true, None, false);
    arena.send(&post, "before the disk is read-only").await?;
    arena.victim.kill();
    if !disk.remount("ro") {
        return Err("the disk cannot be made read-only".to_owned());
    }
    let outcome = arena.victim.start().await;
    let path = journal.display().to_string();
    match outcome {
        Err(text) if text.contains(&path) && text.contains("[jobs] journal") => {}
        Err(text) => return Err(format!("on a read-only disk it does not say what is wrong: {text}")),
        Ok(_) => return Err("it starts on a read-only disk".to_owned()),
    }
    println!("  a read-only disk: not started, saying which file and which key");
    match disk.remount("rw") {
        true => Ok(()),
        false => Err("the disk cannot be made writable again".to_owned()),
    }
}

/// Syncs that fail, and a journal that is read-only for a while, brought about by the program itself.
pub(crate) async fn faults(program: &Path, directory: &Path) -> Result<Vec<String>, String> {
    let mut arena = Arena::new(program, directory, "").await?;
    unsynced(&mut arena).await?;
    read_only(&mut arena).await?;
    let jobs = arena.settle().await;
    Ok(arena.judge(&jobs).await)
}

/// The end of the second job is not synced: nothing is taken any more, and the next server does what is left.
async fn unsynced(arena: &mut Arena) -> Result<(), String> {
    start_with(arena, "journal-fsync=3*off->return").await?;
    let first = arena.send(&arena.post_to_peer("synced", &Value::Null), "syncs are well").await?;
    arena.reaches(&first, "succeeded", PATIENCE).await?;
    let second =
        arena.send(&arena.post_to_peer("unsynced", &Value::Null), "its end will not be synced").await?;
    let began = Instant::now();
    while not_ready(arena, "broken").await.is_err() {
        if began.elapsed() > PATIENCE {
            return not_ready(arena, "broken").await;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    refused(arena, "late", true, "broken").await?;
    refused(arena, "later", false, "broken").await?;
    let state = arena.state(&second).await;
    arena.victim.signal("TERM");
    match arena.victim.end_within(Duration::from_secs(5)).await {
        Some(status) if status.success() => {}
        other => return Err(format!("with a broken journal SIGTERM gives {other:?}")),
    }
    arena.victim.start().await?;
    arena.reaches(&second, "succeeded", PATIENCE).await?;
    arena.reaches(&first, "succeeded", PATIENCE).await?;
    println!(
        "  a sync that fails: nothing taken until the next start; the job (then {state}) was done by it"
    );
    arena.victim.kill();
    Ok(())
}

/// For a while every commit says that the file is read-only.
async fn read_only(arena: &mut Arena) -> Result<(), String> {
    start_with(arena, "journal-read-only=12*return->off").await?;
    refused(arena, "readonly-v1", true, "readonly").await?;
    refused(arena, "readonly-compat", false, "readonly").await?;
    not_ready(arena, "readonly").await?;
    ready(arena).await?;
    let post = arena.post("writable", true, None, false);
    match arena.submit(&post).await {
        Reply::Acknowledged { .. } => {}
        other => return Err(format!("writable again, and a job is not taken: {other:?}")),
    }
    println!("  a read-only journal: refused, told, and gone on without a restart");
    Ok(())
}
