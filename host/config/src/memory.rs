//! How much memory may be had: the machine's, what the control groups allow that this process is in, what the process's own
//! limits do. The smallest of them counts.
#![allow(
    clippy::disallowed_methods,
    reason = "read before the runtime starts, or on a thread of its own by a reload"
)]

use std::path::{Component, Path, PathBuf};

use imgserve_base::units::KIB;

/// Memory that this process may have, in bytes; none where the system does not tell.
pub(super) fn available() -> Option<u64> {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let machine = machine(&read("/proc/meminfo"));
    let groups = groups(&read("/proc/self/cgroup"), Path::new("/sys/fs/cgroup"));
    machine.into_iter().chain(groups).chain(own(&read("/proc/self/limits"))).min()
}

/// The machine's memory (proc_meminfo(5)).
fn machine(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find(|line| line.starts_with("MemTotal:"))?;
    line.split_whitespace().nth(1)?.parse::<u64>().ok().map(|kib| kib.saturating_mul(KIB))
}

/// What the process may have of addresses and of data (getrlimit(2), RLIMIT_AS and RLIMIT_DATA, as proc_pid_limits(5) shows
/// them).
fn own(limits: &str) -> Option<u64> {
    let soft = |line: &str, name: &str| -> Option<u64> {
        line.strip_prefix(name)?.split_whitespace().next()?.parse().ok()
    };
    let of_line = |line| soft(line, "Max address space").or_else(|| soft(line, "Max data size"));
    limits.lines().filter_map(of_line).min()
}

/// The smallest limit of the groups that the process is in, from its own up to the topmost: by control groups of version 2 and
/// of version 1 (cgroups(7)), `mounted` beneath here.
fn groups(membership: &str, mounted: &Path) -> Option<u64> {
    let limits = membership.lines().flat_map(|line| {
        let mut parts = line.splitn(3, ':').skip(1);
        let (controllers, group) = (parts.next().unwrap_or_default(), parts.next().unwrap_or("/"));
        let (roots, files): (&[&str], &[&str]) = match controllers {
            // Beside version 1 it is mounted elsewhere.
            "" => (&["", "unified"], &["memory.max", "memory.high"]),
            _ if controllers.split(',').any(|name| name == "memory") => {
                (&["memory"], &["memory.limit_in_bytes"])
            }
            _ => (&[], &[]),
        };
        let group = Path::new(group);
        roots.iter().filter_map(move |root| smallest(&mounted.join(root), group, files)).collect::<Vec<_>>()
    });
    limits.min()
}

/// The smallest limit in these files of a group and of those that it is in.
fn smallest(root: &Path, group: &Path, files: &[&str]) -> Option<u64> {
    let mut limits = Vec::new();
    for folder in folders(root, group) {
        for file in files {
            // "max" is no limit.
            let limit = std::fs::read_to_string(folder.join(file)).ok();
            limits.extend(limit.and_then(|text| text.trim().parse::<u64>().ok()));
        }
    }
    limits.into_iter().min()
}

/// The folders of a group and of those that it is in. One outside of what this process sees of them has the topmost only.
fn folders(root: &Path, group: &Path) -> Vec<PathBuf> {
    let mut folders = vec![root.to_owned()];
    for component in group.components() {
        match (component, folders.last()) {
            (Component::Normal(name), Some(last)) => folders.push(last.join(name)),
            (Component::ParentDir, _) => return vec![root.to_owned()],
            _ => {}
        }
    }
    folders
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_machine_and_the_process_tell_of_theirs() {
        assert_eq!(machine("MemTotal:       16384 kB\nMemFree:  1 kB\n"), Some(16 << 20));
        assert_eq!(machine("nonsense"), None);
        let limits = "Limit                     Soft Limit           Hard Limit           Units\n\
                      Max data size             unlimited            unlimited            bytes\n\
                      Max address space         409600000            unlimited            bytes\n\
                      Max open files            1024                 4096                 files\n";
        assert_eq!(own(limits), Some(409_600_000));
        assert_eq!(own(&limits.replace("409600000", "unlimited")), None);
        assert_eq!(own(&limits.replacen("unlimited", "1000", 1)), Some(1000));
        assert!(available().is_some_and(|bytes| bytes > 1 << 20));
    }

    fn limited(files: &[(&str, &str)]) -> tempfile::TempDir {
        let mounted = tempfile::tempdir().unwrap();
        for (file, text) in files {
            let path = mounted.path().join(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        mounted
    }

    #[test]
    fn the_smallest_group_counts_of_those_the_process_is_in() {
        let unit = "0::/system.slice/imgserve.service\n";
        for (membership, files, limit) in [
            // Its own, and not another's or the root's alone.
            (
                unit,
                &[("system.slice/imgserve.service/memory.max", "1000\n"), ("other/memory.max", "10\n")][..],
                Some(1000),
            ),
            (unit, &[("system.slice/imgserve.service/memory.max", "max\n")], None),
            // One that it is in, and the one at which it is slowed down.
            (
                unit,
                &[("system.slice/memory.max", "500"), ("system.slice/imgserve.service/memory.max", "1000")],
                Some(500),
            ),
            (unit, &[("system.slice/imgserve.service/memory.high", "700")], Some(700)),
            // A container sees its own as the topmost.
            ("0::/\n", &[("memory.max", "300")], Some(300)),
            ("0::/../other\n", &[("memory.max", "300"), ("other/memory.max", "10")], Some(300)),
            // Version 1, and both at once.
            ("5:cpu,memory:/docker/x\n", &[("memory/docker/x/memory.limit_in_bytes", "800")], Some(800)),
            (
                "5:memory:/x\n0::/y\n",
                &[("memory/x/memory.limit_in_bytes", "9223372036854771712"), ("unified/y/memory.max", "600")],
                Some(600),
            ),
            ("5:cpu:/x\n", &[("memory/x/memory.limit_in_bytes", "800")], None),
            ("", &[("memory.max", "300")], None),
        ] {
            assert_eq!(groups(membership, limited(files).path()), limit, "{membership} {files:?}");
        }
    }
}
