//! What hostile native code tries, by name.

use std::ffi::c_long;
use std::io;
use std::ptr::null;

/// Where the master would be: the process that started the probe.
pub(crate) struct Before {
    parent: i32,
}

/// Memory files made before the seal.
pub(crate) struct Held {
    sealed: i32,
}

pub(crate) fn prepare(_: &str) -> Before {
    // SAFETY: asks for a number.
    Before { parent: unsafe { libc::getppid() } }
}

pub(crate) fn hold() -> Held {
    // SAFETY: a fresh memory file of one byte, then sealed as a snapshot is.
    let sealed = unsafe {
        let fd = libc::memfd_create(c"held".as_ptr(), libc::MFD_ALLOW_SEALING);
        libc::write(fd, c"x".as_ptr().cast(), 1);
        let seals =
            libc::F_SEAL_WRITE | libc::F_SEAL_GROW | libc::F_SEAL_SHRINK | libc::F_SEAL_SEAL;
        libc::fcntl(fd, libc::F_ADD_SEALS, seals);
        fd
    };
    Held { sealed }
}

macro_rules! call {
    ($number:ident $(, $argument:expr)*) => {{
        // SAFETY: the arguments are numbers, null, or point to what lives until the call's end; a
        // call that succeeded would have broken the promise under test, and ends the probe.
        let result = unsafe { libc::syscall(libc::$number $(, $argument as c_long)*) };
        if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
    }};
}

/// Memory for arguments that the kernel reads or writes.
static mut SCRATCH: [u8; 4096] = [0; 4096];

#[rustfmt::skip]
pub(crate) fn attack(what: &str, argument: &str, before: Before, held: &Held) -> io::Result<c_long> {
    let number = || argument.parse::<c_long>().unwrap_or(0);
    let scratch = &raw mut SCRATCH;
    let root = c"/".as_ptr();
    let in4 = libc::AF_INET;
    let mut address = [0_u8; 16];
    address[0] = in4 as u8;
    address[2..4].copy_from_slice(&(number() as u16).to_be_bytes());
    address[4..8].copy_from_slice(&[127, 0, 0, 1]);
    let socket = || call!(SYS_socket, in4, libc::SOCK_STREAM, 0);
    match what {
        "openat" => call!(SYS_openat, libc::AT_FDCWD, root, libc::O_RDONLY),
        "openat2" => call!(SYS_openat2, libc::AT_FDCWD, root, scratch, 24),
        "open-proc" => call!(SYS_openat, libc::AT_FDCWD, c"/proc/self/maps".as_ptr(), 0),
        "open-passwd" => call!(SYS_openat, libc::AT_FDCWD, c"/etc/passwd".as_ptr(), 0),
        "create-file" => call!(SYS_openat, libc::AT_FDCWD, c"/made".as_ptr(), libc::O_CREAT | libc::O_WRONLY, 0o600),
        "mkdir" => call!(SYS_mkdirat, libc::AT_FDCWD, c"/made".as_ptr(), 0o700),
        "socket" => socket(),
        "socketpair" => call!(SYS_socketpair, libc::AF_UNIX, libc::SOCK_STREAM, 0, scratch),
        "connect" => { let fd = socket()?; call!(SYS_connect, fd, address.as_ptr(), 16) }
        "bind" => { let fd = socket()?; call!(SYS_bind, fd, address.as_ptr(), 16) }
        "abstract" => {
            let fd = call!(SYS_socket, libc::AF_UNIX, libc::SOCK_STREAM, 0)?;
            let mut name = vec![libc::AF_UNIX as u8, 0, 0];
            name.extend(argument.as_bytes());
            call!(SYS_connect, fd, name.as_ptr(), name.len())
        }
        "execve" => call!(SYS_execve, c"/bin/true".as_ptr(), null::<u8>(), null::<u8>()),
        "execveat" => call!(SYS_execveat, held.sealed, c"".as_ptr(), null::<u8>(), null::<u8>(), libc::AT_EMPTY_PATH),
        "clone" => call!(SYS_clone, libc::SIGCHLD, 0, 0, 0, 0),
        "clone3" => call!(SYS_clone3, scratch, 88),
        #[cfg(target_arch = "x86_64")]
        "fork" => call!(SYS_fork),
        #[cfg(target_arch = "x86_64")]
        "arch_prctl" => call!(SYS_arch_prctl, 0x1002, 0),
        "thread" => std::thread::Builder::new().spawn(|| ()).map(|_| 0),
        "kill-parent" => call!(SYS_kill, before.parent, libc::SIGTERM),
        "kill-all" => call!(SYS_kill, -1, libc::SIGTERM),
        "ptrace" => call!(SYS_ptrace, libc::PTRACE_ATTACH, before.parent, 0, 0),
        "process_vm_readv" => call!(SYS_process_vm_readv, before.parent, [scratch as usize, 8].as_ptr(), 1, [scratch as usize, 8].as_ptr(), 1, 0),
        "process_vm_writev" => call!(SYS_process_vm_writev, before.parent, [scratch as usize, 8].as_ptr(), 1, [scratch as usize, 8].as_ptr(), 1, 0),
        "pidfd_open" => call!(SYS_pidfd_open, before.parent, 0),
        "mmap-exec" => call!(SYS_mmap, 0, 4096, libc::PROT_READ | libc::PROT_EXEC, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS, -1, 0),
        "mprotect-exec" => {
            let page = call!(SYS_mmap, 0, 4096, libc::PROT_READ, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS, -1, 0)?;
            call!(SYS_mprotect, page, 4096, libc::PROT_READ | libc::PROT_EXEC)
        }
        "pkey_mprotect" => call!(SYS_pkey_mprotect, 0, 0, libc::PROT_EXEC, 0),
        "remap_file_pages" => call!(SYS_remap_file_pages, 0, 0, 0, 0, 0),
        "memfd_create" => call!(SYS_memfd_create, c"x".as_ptr(), 0),
        "memfd_secret" => call!(SYS_memfd_secret, 0),
        "write-sealed" => call!(SYS_write, held.sealed, scratch, 1),
        "pwrite-sealed" => call!(SYS_pwrite64, held.sealed, scratch, 1, 0),
        "map-sealed" => call!(SYS_mmap, 0, 4096, libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED, held.sealed, 0),
        "truncate-sealed" => call!(SYS_ftruncate, held.sealed, 0),
        "unseal" => call!(SYS_fcntl, held.sealed, libc::F_ADD_SEALS, 0),
        "mount" => call!(SYS_mount, c"none".as_ptr(), root, c"tmpfs".as_ptr(), 0, 0),
        "umount" => call!(SYS_umount2, root, libc::MNT_DETACH),
        "fsopen" => call!(SYS_fsopen, c"proc".as_ptr(), 0),
        "pivot_root" => call!(SYS_pivot_root, root, root),
        "chroot" => call!(SYS_chroot, root),
        "unshare" => call!(SYS_unshare, libc::CLONE_NEWUSER),
        "unshare-net" => call!(SYS_unshare, libc::CLONE_NEWNET),
        "setns" => call!(SYS_setns, 0, 0),
        "bpf" => call!(SYS_bpf, 0, scratch, 72),
        "perf_event_open" => call!(SYS_perf_event_open, scratch, 0, -1, -1, 0),
        "io_uring_setup" => call!(SYS_io_uring_setup, 1, scratch),
        "userfaultfd" => call!(SYS_userfaultfd, 1),
        "keyctl" => call!(SYS_keyctl, 0, -4, 1),
        "add_key" => call!(SYS_add_key, c"user".as_ptr(), c"x".as_ptr(), c"x".as_ptr(), 1, -4),
        "prctl-dumpable" => call!(SYS_prctl, libc::PR_SET_DUMPABLE, 1, 0, 0, 0),
        "prctl-pdeathsig" => call!(SYS_prctl, libc::PR_SET_PDEATHSIG, 0, 0, 0, 0),
        "seccomp" => call!(SYS_seccomp, 0, 0, 0),
        "ioctl-tiocsti" => call!(SYS_ioctl, 0, libc::TIOCSTI, scratch),
        "ioctl-fionread" => call!(SYS_ioctl, 0, libc::FIONREAD, scratch),
        "personality" => call!(SYS_personality, 0x0040_0000),
        "prlimit" => call!(SYS_prlimit64, 0, libc::RLIMIT_NOFILE, [1_u64 << 20, 1 << 20].as_ptr(), 0),
        "prlimit-core" => call!(SYS_prlimit64, 0, libc::RLIMIT_CORE, [1_u64 << 20, 1 << 20].as_ptr(), 0),
        "fcntl-setown" => call!(SYS_fcntl, 0, libc::F_SETOWN, 1),
        "fcntl-setsig" => call!(SYS_fcntl, 0, 10, libc::SIGKILL),
        "fcntl-dupfd" => call!(SYS_fcntl, 0, libc::F_DUPFD, 100),
        "timer_create" => call!(SYS_timer_create, 0, 0, scratch),
        "setuid" => call!(SYS_setuid, 0),
        "setgroups" => call!(SYS_setgroups, 0, 0),
        "capset" => { let header = [0x2008_0522_u32, 0]; call!(SYS_capset, header.as_ptr(), [u32::MAX; 6].as_ptr()) }
        "sethostname" => call!(SYS_sethostname, c"x".as_ptr(), 1),
        "msgget" => call!(SYS_msgget, 0, 0o1600),
        "shmget" => call!(SYS_shmget, 0, 4096, 0o1600),
        "mq_open" => call!(SYS_mq_open, c"x".as_ptr(), libc::O_CREAT | libc::O_RDWR, 0o600, 0),
        "mlock" => call!(SYS_mlock, scratch, 4096),
        "rt_sigaction" => call!(SYS_rt_sigaction, libc::SIGSEGV, 0, 0, 8),
        "rt_sigqueueinfo" => call!(SYS_rt_sigqueueinfo, before.parent, libc::SIGTERM, scratch),
        "init_module" => call!(SYS_init_module, scratch, 0, c"".as_ptr()),
        "reboot" => call!(SYS_reboot, 0, 0, 0, 0),
        "nice" => call!(SYS_setpriority, libc::PRIO_PROCESS, 0, -5),
        // Where seccomp and others are left out, to test one layer alone.
        "signal-parent" => call!(SYS_kill, before.parent, 0),
        "find-queue" => call!(SYS_shmget, number(), 0, 0),
        "grow-file" => {
            let fd = call!(SYS_memfd_create, c"x".as_ptr(), 0)?;
            call!(SYS_write, fd, scratch, 1)
        }
        "duplicate" => Ok((0..10_000).take_while(|_| call!(SYS_dup, 0).is_ok()).count() as c_long),
        "read-by-another" => read_by_another(),
        "privileges" => call!(SYS_prctl, libc::PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0),
        "death-signal" => {
            let mut signal = 0_i32;
            call!(SYS_prctl, libc::PR_GET_PDEATHSIG, &raw mut signal, 0, 0, 0)?;
            Ok(signal.into())
        }
        "cgroups" => {
            let text = std::fs::read_to_string("/proc/self/cgroup")?;
            Ok(text.lines().filter(|line| !line.ends_with(":/")).count() as c_long)
        }
        // What the lock-down says of itself, where seccomp is left out.
        "dumpable" => call!(SYS_prctl, libc::PR_GET_DUMPABLE, 0, 0, 0, 0),
        "getpid" => call!(SYS_getpid),
        "getuid" => call!(SYS_getuid),
        "environment" => Ok(std::env::vars_os().count() as c_long),
        "descriptors" => {
            let open = (0..1024).filter(|fd| call!(SYS_fcntl, *fd, libc::F_GETFD).is_ok());
            // `hold` opened one, which took stdout's number.
            Ok(open.fold(0, |bits, fd| bits | 1 << fd))
        }
        // In no table of ours: the whole range of numbers.
        "any" => {
            // SAFETY: as in `call!`.
            let result = unsafe { libc::syscall(number(), -1, 0, 0, 0, 0, 0) };
            if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
        }
        _ => panic!("{what} is no attack"),
    }
}

/// Whether another process of the same user, with the same privileges, can read this one's memory.
fn read_by_another() -> io::Result<c_long> {
    static SECRET: [u8; 8] = *b"a secret";
    let mine = std::process::id();
    // SAFETY: the process is single-threaded; the copy makes two calls, of which one reads into its own
    // memory.
    match unsafe { libc::fork() } {
        -1 => Err(io::Error::last_os_error()),
        0 => {
            let mut copy = [0_u8; 8];
            let to = [copy.as_mut_ptr() as usize, 8];
            let from = [SECRET.as_ptr() as usize, 8];
            let read = call!(SYS_process_vm_readv, mine, to.as_ptr(), 1, from.as_ptr(), 1, 0);
            let code = read.map_or_else(|error| error.raw_os_error().unwrap_or(255), |_| 0);
            // SAFETY: ends the process at once.
            unsafe { libc::_exit(code) }
        }
        other => {
            let mut status = 0;
            // SAFETY: the kernel writes one int to `status`.
            unsafe { libc::waitpid(other, &raw mut status, 0) };
            match libc::WEXITSTATUS(status) {
                0 => Ok(0),
                code => Err(io::Error::from_raw_os_error(code)),
            }
        }
    }
}
