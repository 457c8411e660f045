//! How a worker limits itself: memory, core dumps and its core before anything is loaded; files, network and other
//! programs once the plugins are, and before any input is seen.

use std::collections::BTreeMap;
use std::io;

use landlock::{
    ABI, Access, AccessFs, AccessNet, CompatLevel, Compatible, Ruleset, RulesetAttr, RulesetStatus, Scope,
};
use rustix::process::{Resource, Rlimit, setrlimit};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
};

/// What no decoder and no operation needs: a network, other programs and processes, what changes a file's attributes (a
/// worker is handed files to read) or the system. Each is answered with "operation not permitted".
const DENIED: [libc::c_long; 59] = [
    libc::SYS_socket,
    libc::SYS_socketpair,
    libc::SYS_connect,
    libc::SYS_bind,
    libc::SYS_listen,
    libc::SYS_accept,
    libc::SYS_accept4,
    libc::SYS_execve,
    libc::SYS_execveat,
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_kill,
    libc::SYS_tkill,
    libc::SYS_rt_sigqueueinfo,
    libc::SYS_rt_tgsigqueueinfo,
    libc::SYS_pidfd_open,
    libc::SYS_pidfd_send_signal,
    libc::SYS_pidfd_getfd,
    libc::SYS_fchmod,
    libc::SYS_fchmodat,
    libc::SYS_fchown,
    libc::SYS_fchownat,
    libc::SYS_utimensat,
    libc::SYS_setxattr,
    libc::SYS_lsetxattr,
    libc::SYS_fsetxattr,
    libc::SYS_removexattr,
    libc::SYS_lremovexattr,
    libc::SYS_fremovexattr,
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_pivot_root,
    libc::SYS_chroot,
    libc::SYS_unshare,
    libc::SYS_setns,
    libc::SYS_bpf,
    libc::SYS_perf_event_open,
    libc::SYS_keyctl,
    libc::SYS_add_key,
    libc::SYS_request_key,
    libc::SYS_io_uring_setup,
    libc::SYS_userfaultfd,
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_delete_module,
    libc::SYS_kexec_load,
    libc::SYS_reboot,
    libc::SYS_swapon,
    libc::SYS_swapoff,
    libc::SYS_settimeofday,
    libc::SYS_clock_settime,
    libc::SYS_open_by_handle_at,
    libc::SYS_prlimit64,
    libc::SYS_setuid,
    libc::SYS_setgid,
    libc::SYS_setresuid,
    libc::SYS_setresgid,
    libc::SYS_personality,
];

/// What is newer than `libc` here, and has the same number everywhere: setxattrat, removexattrat, file_setattr.
const DENIED_NEW: [libc::c_long; 3] = [463, 466, 469];

/// What other architectures do not have, or `libc` does not name for them.
#[cfg(target_arch = "x86_64")]
const DENIED_X86_64: [libc::c_long; 9] = [
    libc::SYS_fork,
    libc::SYS_vfork,
    libc::SYS_chmod,
    libc::SYS_fchmodat2,
    libc::SYS_chown,
    libc::SYS_lchown,
    libc::SYS_utime,
    libc::SYS_utimes,
    libc::SYS_futimesat,
];

/// Applies the limits that loading plugins can work under.
///
/// # Errors
/// What the kernel refused; a worker without its memory limit must not work.
pub(super) fn enter(memory_limit: u64, core: Option<usize>) -> io::Result<()> {
    // RLIMIT_DATA counts what is written to, unlike RLIMIT_AS, which wasm's address reservations would exhaust.
    setrlimit(Resource::Data, Rlimit { current: Some(memory_limit), maximum: Some(memory_limit) })?;
    setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) })?;
    if let Some(core) = core {
        let mut set = CpuSet::new();
        set.set(core);
        if let Err(error) = sched_setaffinity(None, &set) {
            // Pinning is for speed; a container that forbids it can still work.
            eprintln!("cannot be pinned to core {core}: {error}");
        }
    }
    Ok(())
}

/// Gives up files, network and other programs, for good. Gives what the kernel cannot enforce, for the log: a worker
/// without it still works, as wasm plugins have a sandbox of their own.
pub(super) fn seal() -> Vec<String> {
    let mut missing = Vec::new();
    match no_files() {
        Ok(RulesetStatus::FullyEnforced | RulesetStatus::PartiallyEnforced) => {}
        Ok(RulesetStatus::NotEnforced) => missing.push("no files (Landlock)".to_owned()),
        Err(error) => missing.push(format!("no files (Landlock: {error})")),
    }
    if let Err(error) = no_programs() {
        missing.push(format!("no network and no other programs (seccomp: {error})"));
    }
    missing
}

/// No file, directory or TCP port may be opened any more by this thread and those that it starts; what is open stays so.
/// The threads that run already (deadline, server-watch) are our own loops.
fn no_files() -> Result<RulesetStatus, landlock::RulesetError> {
    let abi = ABI::V6;
    let status = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(abi))?
        .handle_access(AccessNet::from_all(abi))?
        .scope(Scope::from_all(abi))?
        .create()?
        .restrict_self()?;
    Ok(status.ruleset)
}

fn no_programs() -> Result<(), seccompiler::Error> {
    // A syscall with no rules matches whatever its arguments are.
    let mut rules: BTreeMap<i64, Vec<SeccompRule>> =
        DENIED.into_iter().map(|number| (number, Vec::new())).collect();
    let when = |operator, value| {
        let condition = SeccompCondition::new(0, SeccompCmpArgLen::Qword, operator, value)?;
        Ok::<_, seccompiler::Error>(vec![SeccompRule::new(vec![condition])?])
    };
    // Signals to itself are how a process aborts; threads are no processes.
    let own = u64::from(std::process::id());
    rules.insert(libc::SYS_tgkill, when(SeccompCmpOp::Ne, own)?);
    let thread = libc::CLONE_THREAD as u64;
    rules.insert(libc::SYS_clone, when(SeccompCmpOp::MaskedEq(thread), 0)?);
    rules.extend(DENIED_NEW.map(|number| (number, Vec::new())));
    #[cfg(target_arch = "x86_64")]
    rules.extend(DENIED_X86_64.map(|number| (number, Vec::new())));
    deny(rules, libc::EPERM)?;
    // Its flags lie in memory, where a filter cannot look; libraries then take `clone`.
    deny(BTreeMap::from([(libc::SYS_clone3, Vec::new())]), libc::ENOSYS)
}

fn deny(rules: BTreeMap<i64, Vec<SeccompRule>>, errno: i32) -> Result<(), seccompiler::Error> {
    let denied = SeccompAction::Errno(errno as u32);
    let filter = SeccompFilter::new(rules, SeccompAction::Allow, denied, std::env::consts::ARCH.try_into()?)?;
    let program: BpfProgram = filter.try_into()?;
    seccompiler::apply_filter_all_threads(&program)
}

/// The cores that this process may run on.
pub(super) fn cores() -> Vec<usize> {
    let Ok(set) = sched_getaffinity(None) else { return Vec::new() };
    (0..CpuSet::MAX_CPU).filter(|&core| set.is_set(core)).collect()
}
