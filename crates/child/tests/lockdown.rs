//! Attacks from inside: native code in a child tries every class of system call (probe/). Each
//! attack is a process of its own.

#![allow(clippy::unwrap_used)]

use std::io::{BufRead, BufReader, Read};
use std::net::TcpListener;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, Stdio};

use lode_child::lockdown::{Layer, check};

const PROBE: &str = env!("CARGO_BIN_EXE_lode-child-probe");
/// 128 + SIGSYS: how the outer process tells what ended the inner one.
const SIGSYS: i32 = 128 + 31;

fn start(arguments: &[&str]) -> Child {
    Command::new(PROBE)
        .args(arguments)
        .env("SECRET", "of the master")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

/// Exit code, and what it said.
fn probe(role: &str, skipped: &str, what: &str, argument: &str) -> (i32, String) {
    let mut probe = start(&[role, skipped, what, argument]);
    // The channel's other end: a child that finds it closed ends at once.
    let _channel = probe.stdin.take();
    let output = probe.wait_with_output().unwrap();
    let signal = output.status.signal().map_or(-1, |signal| 128 + signal);
    (output.status.code().unwrap_or(signal), String::from_utf8_lossy(&output.stderr).into_owned())
}

/// Which layers deny it: seccomp by killing, and, with seccomp left out, another with one of these
/// errors. An empty list: nothing else stands behind seccomp, or not on every kernel.
type Attack = (&'static str, &'static [i32]);

const EVERYONE: &[Attack] = &[
    ("openat", &[libc::EACCES]),
    ("openat2", &[libc::EACCES, libc::EINVAL]),
    ("open-proc", &[libc::ENOENT]),
    ("open-passwd", &[libc::ENOENT]),
    ("create-file", &[libc::EACCES, libc::EROFS]),
    ("mkdir", &[libc::EACCES, libc::EROFS]),
    ("socket", &[]),
    ("socketpair", &[]),
    ("connect", &[libc::EACCES, libc::ENETUNREACH]),
    ("bind", &[libc::EACCES, libc::EADDRNOTAVAIL]),
    ("abstract", &[libc::EPERM, libc::ECONNREFUSED]),
    ("execve", &[libc::ENOENT]),
    ("execveat", &[]),
    ("clone", &[libc::EAGAIN]),
    ("clone3", &[libc::EAGAIN, libc::EINVAL]),
    #[cfg(target_arch = "x86_64")]
    ("fork", &[libc::EAGAIN]),
    #[cfg(target_arch = "x86_64")]
    ("arch_prctl", &[]),
    ("thread", &[libc::EAGAIN]),
    ("kill-parent", &[libc::ESRCH]),
    ("kill-all", &[libc::ESRCH, libc::EPERM]),
    ("ptrace", &[libc::ESRCH]),
    ("process_vm_readv", &[libc::ESRCH]),
    ("process_vm_writev", &[libc::ESRCH]),
    ("pidfd_open", &[libc::ESRCH]),
    ("mmap-exec", &[]),
    ("mprotect-exec", &[]),
    ("pkey_mprotect", &[]),
    ("remap_file_pages", &[]),
    ("memfd_secret", &[]),
    ("pwrite-sealed", &[libc::EPERM, libc::EFBIG]),
    ("truncate-sealed", &[libc::EPERM]),
    ("mount", &[libc::EPERM]),
    ("umount", &[libc::EPERM]),
    ("fsopen", &[libc::EPERM]),
    ("pivot_root", &[libc::EPERM]),
    ("chroot", &[libc::EPERM]),
    ("unshare", &[]),
    ("unshare-net", &[libc::EPERM]),
    ("setns", &[libc::EINVAL, libc::EBADF]),
    ("bpf", &[]),
    ("perf_event_open", &[]),
    ("io_uring_setup", &[]),
    ("userfaultfd", &[]),
    ("keyctl", &[]),
    ("add_key", &[]),
    ("prctl-dumpable", &[]),
    ("prctl-pdeathsig", &[]),
    ("seccomp", &[]),
    ("ioctl-tiocsti", &[]),
    ("ioctl-fionread", &[]),
    ("personality", &[]),
    ("prlimit", &[libc::EPERM]),
    ("prlimit-core", &[libc::EPERM]),
    ("fcntl-setown", &[]),
    ("fcntl-setsig", &[]),
    ("fcntl-dupfd", &[]),
    ("timer_create", &[libc::EAGAIN]),
    ("setuid", &[libc::EPERM, libc::EINVAL]),
    ("setgroups", &[libc::EPERM]),
    ("capset", &[libc::EPERM]),
    ("sethostname", &[libc::EPERM]),
    ("msgget", &[]),
    ("shmget", &[]),
    ("mq_open", &[libc::EMFILE]),
    ("mlock", &[libc::EPERM, libc::ENOMEM]),
    ("rt_sigaction", &[]),
    ("rt_sigqueueinfo", &[libc::ESRCH, libc::EPERM]),
    ("init_module", &[libc::EPERM, libc::ENOSYS]),
    ("reboot", &[libc::EPERM]),
    ("nice", &[libc::EACCES, libc::EPERM]),
];

#[test]
fn every_class_of_system_call_kills_a_sealed_child() {
    let mut wrong = Vec::new();
    for role in ["runner", "builder"] {
        for (what, _) in EVERYONE {
            let (code, said) = probe(role, "", what, "9");
            if code != SIGSYS || !said.is_empty() {
                wrong.push(format!("{role} {what}: {code} {said}"));
            }
        }
    }
    for what in ["memfd_create", "write-sealed", "unseal"] {
        let (code, said) = probe("runner", "", what, "");
        if code != SIGSYS {
            wrong.push(format!("runner {what}: {code} {said}"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn a_sealed_snapshot_is_not_written_by_its_builder_either() {
    let refused = format!("errno {}", libc::EPERM);
    for what in ["write-sealed", "map-sealed", "unseal"] {
        assert_eq!(probe("builder", "", what, ""), (0, refused.clone()), "{what}");
    }
    assert_eq!(probe("runner", "", "map-sealed", ""), (0, refused));
}

#[test]
fn without_seccomp_the_other_layers_deny_what_they_promise() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port().to_string();
    let mut wrong = Vec::new();
    for (what, errors) in EVERYONE.iter().filter(|(_, errors)| !errors.is_empty()) {
        let (code, said) = probe("runner", "seccomp", what, &port);
        if code != 0 || !errors.iter().any(|error| said == format!("errno {error}")) {
            wrong.push(format!("{what}: {code} {said}"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn landlock_alone_denies_files_ports_and_signals() {
    let others = "seccomp,user-namespace,mount-namespace,net-namespace,ipc-namespace,\
                  uts-namespace,cgroup-namespace,pid-namespace";
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port().to_string();
    let denied = format!("errno {}", libc::EACCES);
    for what in ["openat", "open-passwd", "create-file", "mkdir", "execve", "connect", "bind"] {
        assert_eq!(probe("runner", others, what, &port), (0, denied.clone()), "{what}");
    }
    assert_eq!(probe("runner", others, "kill-parent", ""), (0, format!("errno {}", libc::EPERM)));
}

/// One layer, the others without which it cannot be had or what it denies would not be to be seen, and
/// what it denies: (what is tried, the argument, what came of it).
type Alone = (Layer, &'static [Layer], (&'static str, &'static str, &'static str));

/// Also with what comes of it without the layer, where that is the same on every host and harms none.
#[rustfmt::skip]
fn alone() -> Vec<(Alone, Option<&'static str>)> {
    use Layer::{
        Capabilities, CgroupNamespace, IpcNamespace, MountNamespace, NetNamespace, NoNewPrivs,
        NonDumpable, ParentDeathSignal, PidNamespace, Rlimits, UnprivilegedUser, UserNamespace,
        UtsNamespace,
    };
    const USER: &[Layer] = &[UserNamespace];
    const NOBODY: &[Layer] = &[UnprivilegedUser, UserNamespace];
    vec![
        ((UnprivilegedUser, &[], ("setuid", "", "errno EPERM")), None),
        ((UserNamespace, &[], ("getuid", "", "done 65534")), None),
        // It has all capabilities in its own namespace, and none outside.
        ((UserNamespace, &[], ("sethostname", "", "errno EPERM")), None),
        ((MountNamespace, USER, ("open-passwd", "", "errno ENOENT")), Some("done 3")),
        ((MountNamespace, USER, ("mkdir", "", "errno EROFS")), None),
        ((NetNamespace, USER, ("connect", "PORT", "errno ENETUNREACH")), Some("done 0")),
        ((IpcNamespace, USER, ("find-queue", "KEY", "errno ENOENT")), Some("done ID")),
        ((UtsNamespace, USER, ("sethostname", "", "done 0")), Some("errno EPERM")),
        ((CgroupNamespace, USER, ("cgroups", "", "done 0")), None),
        ((PidNamespace, USER, ("signal-parent", "", "errno ESRCH")), Some("done 0")),
        ((PidNamespace, USER, ("getpid", "", "done 1")), None),
        ((Rlimits, NOBODY, ("thread", "", "errno EAGAIN")), Some("done 0")),
        ((Rlimits, NOBODY, ("grow-file", "", "killed by SIGXFSZ")), Some("done 1")),
        // All but three of them, which are open.
        ((Rlimits, USER, ("duplicate", "", "done 4093")), None),
        ((Rlimits, USER, ("prlimit", "", "errno EPERM")), None),
        ((Rlimits, USER, ("prlimit-core", "", "errno EPERM")), None),
        ((Capabilities, USER, ("unshare-net", "", "errno EPERM")), Some("done 0")),
        ((Capabilities, USER, ("capset", "", "errno EPERM")), None),
        ((NoNewPrivs, &[], ("privileges", "", "done 1")), Some("done 0")),
        ((NonDumpable, USER, ("read-by-another", "", "errno EPERM")), Some("done 0")),
        ((ParentDeathSignal, &[], ("death-signal", "", "done 9")), None),
    ]
}

/// A piece of System V shared memory that anyone may find. Its key and id.
struct Shared(i32, i32);

impl Shared {
    fn new() -> Self {
        let key = std::process::id().cast_signed();
        // SAFETY: asks for a piece of memory that nothing maps.
        let id = unsafe { libc::shmget(key, 4096, libc::IPC_CREAT | 0o666) };
        assert!(id >= 0, "{}", std::io::Error::last_os_error());
        Self(key, id)
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        // SAFETY: gives back what `new` asked for.
        unsafe { libc::shmctl(self.1, libc::IPC_RMID, std::ptr::null_mut()) };
    }
}

#[test]
fn each_layer_alone_denies_what_it_promises() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let shared = Shared::new();
    let fill = |text: &str| {
        text.replace("PORT", &listener.local_addr().unwrap().port().to_string())
            .replace("KEY", &shared.0.to_string())
            .replace("ID", &shared.1.to_string())
            .replace("EPERM", &libc::EPERM.to_string())
            .replace("ENOENT", &libc::ENOENT.to_string())
            .replace("EROFS", &libc::EROFS.to_string())
            .replace("ENETUNREACH", &libc::ENETUNREACH.to_string())
            .replace("ESRCH", &libc::ESRCH.to_string())
            .replace("EAGAIN", &libc::EAGAIN.to_string())
    };
    let tried = |layers: &[Layer], what: &str, argument: &str| {
        let others = Layer::ALL.iter().filter(|layer| !layers.contains(layer));
        let others: Vec<&str> = others.map(|layer| layer.name()).collect();
        match probe("runner", &others.join(","), what, argument) {
            (0, said) => said,
            (code, said) if code == 128 + libc::SIGXFSZ => format!("{said}killed by SIGXFSZ"),
            (code, said) => format!("{code}: {said}"),
        }
    };
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
    let mut wrong = Vec::new();
    for ((layer, with, (what, argument, denied)), otherwise) in alone() {
        let argument = fill(argument);
        let came = tried(&[with, &[layer]].concat(), what, &argument);
        if came != fill(denied) {
            wrong.push(format!("{layer} alone, {what}: {came}"));
        }
        let came = otherwise.map(|_| tried(with, what, &argument));
        if came != otherwise.map(fill) {
            wrong.push(format!("without {layer}, {what}: {came:?}"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert_eq!(std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap(), host);
}

#[test]
fn a_child_has_no_environment_and_no_other_descriptors_and_is_not_dumpable() {
    let ask = |what| probe("runner", "seccomp", what, "");
    assert_eq!(ask("environment"), (0, "done 0".into()));
    // 0 and 2, and 1 is the memory file that the probe itself made.
    assert_eq!(ask("descriptors"), (0, "done 7".into()));
    assert_eq!(ask("dumpable"), (0, "done 0".into()));
    assert_eq!(ask("getpid"), (0, "done 1".into()));
    assert_eq!(ask("getuid"), (0, "done 65534".into()));
}

#[test]
fn a_missing_layer_that_is_not_allowed_is_a_refusal_that_names_it() {
    for layer in Layer::ALL {
        let (code, said) = probe("runner", layer.name(), "refuse", "");
        assert_eq!(code, 3, "{layer}: {said}");
        assert!(said.contains(&format!("\n  {layer}: left out")), "{said}");
    }
}

#[test]
fn the_check_finds_every_layer_of_this_host() {
    let report = check(PROBE.as_ref(), &["check"]).unwrap();
    assert_eq!(report.missing().collect::<Vec<_>>(), []);
    assert!(Layer::ALL.iter().all(|layer| report.in_force(*layer)), "{report}");
}

#[test]
fn layers_are_read_by_the_name_they_are_shown_by() {
    for layer in Layer::ALL {
        assert_eq!(layer.to_string().parse(), Ok(*layer));
    }
    assert!("selinux".parse::<Layer>().is_err());
}

#[test]
fn killing_the_outer_process_ends_the_inner_one() {
    let mut outer = start(&["runner", "", "hang"]);
    let mut line = String::new();
    BufReader::new(outer.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let inner: u32 = line.trim().parse().unwrap();
    let mut stderr = outer.stderr.take().unwrap();
    let mut ready = [0; 5];
    stderr.read_exact(&mut ready).unwrap();
    assert!(std::path::Path::new(&format!("/proc/{inner}")).exists());
    outer.kill().unwrap();
    outer.wait().unwrap();
    // Only the inner process still held its stderr: this ends when it does.
    let mut rest = Vec::new();
    stderr.read_to_end(&mut rest).unwrap();
    assert!(rest.is_empty());
}
