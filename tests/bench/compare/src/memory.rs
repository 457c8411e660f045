//! What all processes of a server take together: memory and processor time, as Linux's /proc tells it.

use std::collections::HashMap;
use std::time::Duration;

/// Memory of several processes together, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Memory {
    /// Pages that several processes have in common divided among them: what the machine would gain if all ended.
    pub pss: u64,
    /// Such pages counted for each process.
    pub rss: u64,
}

impl Memory {
    /// The greater of each.
    #[must_use]
    pub fn max(self, other: Self) -> Self {
        Self { pss: self.pss.max(other.pss), rss: self.rss.max(other.rss) }
    }
}

/// The memory of a process and all its descendants.
pub fn of(process: u32) -> Memory {
    tree(process)
        .into_iter()
        .filter_map(rollup)
        .fold(Memory::default(), |sum, one| Memory { pss: sum.pss + one.pss, rss: sum.rss + one.rss })
}

/// The processor time that a process, its descendants, and those of them that have ended, took until now.
pub fn cpu_time(process: u32) -> Duration {
    // The last two are those of children that have ended.
    tree(process).into_iter().map(|process| ticks(process, 4)).sum()
}

/// The processor time that a process itself took until now.
pub fn cpu_time_of_one(process: u32) -> Duration {
    ticks(process, 2)
}

/// The sum of the first of utime, stime, cutime, cstime: fields 14 to 17 of proc_pid_stat(5), where 3 is the first after the
/// name. Their unit is USER_HZ, which is 100 on every processor that imgserve is built for.
fn ticks(process: u32, fields: usize) -> Duration {
    let ticks = stat(process).and_then(|all| Some(all.get(11..11 + fields)?.iter().sum::<u64>()));
    Duration::from_millis(10 * ticks.unwrap_or_default())
}

/// The time for which the machine's processors were busy until now, whoever kept them so.
pub fn busy_time() -> Duration {
    // user, nice, system, idle, iowait, irq, softirq, steal: proc_stat(5).
    let text = std::fs::read_to_string("/proc/stat").unwrap_or_default();
    let fields = text.lines().next().unwrap_or_default().split_whitespace().skip(1).take(8);
    let ticks = fields.enumerate().filter(|(field, _)| !matches!(field, 3 | 4));
    Duration::from_millis(10 * ticks.filter_map(|(_, ticks)| ticks.parse::<u64>().ok()).sum::<u64>())
}

fn tree(root: u32) -> Vec<u32> {
    let mut children: HashMap<u32, Vec<u32>> = HashMap::new();
    let Ok(entries) = std::fs::read_dir("/proc") else { return vec![root] };
    for process in entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()) {
        // Field 4 is the parent.
        if let Some(parent) = stat(process).and_then(|fields| fields.get(1).copied()) {
            children.entry(parent as u32).or_default().push(process);
        }
    }
    let mut found = vec![root];
    let mut next = 0;
    while next < found.len() {
        found.extend(children.remove(&found[next]).unwrap_or_default());
        next += 1;
    }
    found
}

/// The fields of /proc/PID/stat after the process's name, which may hold anything; the state, a letter, is 0.
fn stat(process: u32) -> Option<Vec<u64>> {
    let text = std::fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    let fields = text.rsplit_once(')')?.1;
    Some(fields.split_whitespace().map(|field| field.parse().unwrap_or_default()).collect())
}

fn rollup(process: u32) -> Option<Memory> {
    let text = std::fs::read_to_string(format!("/proc/{process}/smaps_rollup")).ok()?;
    let of = |key: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(key))?;
        Some(line.trim().trim_end_matches(" kB").parse::<u64>().ok()? << 10)
    };
    Some(Memory { pss: of("Pss:")?, rss: of("Rss:")? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn children_are_counted() {
        let me = std::process::id();
        let alone = of(me);
        assert!(alone.pss > 1 << 20 && alone.rss >= alone.pss);
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        assert_eq!(tree(me).iter().filter(|&&process| process == child.id()).count(), 1);
        assert_eq!(tree(child.id()), [child.id()]);
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(!tree(me).contains(&child.id()));
    }

    #[test]
    fn work_takes_time() {
        let (before, busy) = (cpu_time(std::process::id()), busy_time());
        let began = std::time::Instant::now();
        while began.elapsed() < Duration::from_millis(300) {
            std::hint::black_box(began);
        }
        assert!(cpu_time(std::process::id()) > before);
        assert!(busy_time() >= busy + Duration::from_millis(200));
    }
}
