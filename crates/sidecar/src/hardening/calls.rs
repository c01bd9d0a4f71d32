//! System calls that a sidecar never makes.

use seccompiler::{BpfProgram, SeccompAction, SeccompFilter, TargetArch, apply_filter};

/// What would start another program, look into another process, change who this one is or what it sees, or reach into the
/// kernel. They answer "not permitted"; everything else is as it was, so that a newer libc does not end the process.
const REFUSED: &[libc::c_long] = &[
    // Other programs.
    libc::SYS_execve,
    libc::SYS_execveat,
    // Other processes.
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_pidfd_getfd,
    libc::SYS_kcmp,
    // Who this is, and what it sees.
    libc::SYS_setuid,
    libc::SYS_setgid,
    libc::SYS_setreuid,
    libc::SYS_setregid,
    libc::SYS_setresuid,
    libc::SYS_setresgid,
    libc::SYS_setgroups,
    libc::SYS_capset,
    libc::SYS_chroot,
    libc::SYS_pivot_root,
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_move_mount,
    libc::SYS_open_tree,
    libc::SYS_fsopen,
    libc::SYS_fsmount,
    libc::SYS_setns,
    libc::SYS_unshare,
    libc::SYS_personality,
    // The machine.
    libc::SYS_bpf,
    libc::SYS_perf_event_open,
    libc::SYS_userfaultfd,
    libc::SYS_io_uring_setup,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
    libc::SYS_keyctl,
    libc::SYS_add_key,
    libc::SYS_request_key,
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_delete_module,
    libc::SYS_kexec_load,
    libc::SYS_reboot,
    libc::SYS_swapon,
    libc::SYS_swapoff,
    libc::SYS_acct,
    libc::SYS_quotactl,
    libc::SYS_settimeofday,
    libc::SYS_clock_settime,
    libc::SYS_adjtimex,
    libc::SYS_sethostname,
    libc::SYS_setdomainname,
    libc::SYS_syslog,
];

/// Refuses them to this thread and to those it starts.
pub(super) fn restrict() -> Result<(), String> {
    apply_filter(&program()?).map_err(|error| error.to_string())
}

fn program() -> Result<BpfProgram, String> {
    let refused = REFUSED.iter().map(|call| (*call, Vec::new())).collect();
    let not_permitted = SeccompAction::Errno(u32::try_from(libc::EPERM).unwrap_or(1));
    let machine = TargetArch::try_from(std::env::consts::ARCH).map_err(|error| error.to_string())?;
    let filter = SeccompFilter::new(refused, SeccompAction::Allow, not_permitted, machine);
    filter.and_then(BpfProgram::try_from).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_call_is_refused_once_and_the_program_fits() {
        let distinct: std::collections::BTreeSet<_> = REFUSED.iter().collect();
        assert_eq!(distinct.len(), REFUSED.len());
        // BPF_MAXINSNS
        assert!((REFUSED.len()..4_096).contains(&program().unwrap().len()));
    }

    #[test]
    fn a_confined_thread_starts_no_program_and_goes_on() {
        let started = std::thread::spawn(|| {
            restrict().unwrap();
            let refused = std::process::Command::new("/proc/self/exe").arg("--help").spawn();
            (refused.map(drop).map_err(|error| error.kind()), std::fs::read("/proc/self/stat").is_ok())
        });
        assert_eq!(started.join().unwrap(), (Err(std::io::ErrorKind::PermissionDenied), true));
    }
}
