// Rows that no customer can try over HTTP, and why; the document names their tests.
const NATIVE = 'needs native code in a child, which no script has';
const natives = [
  'Opening files, `/proc`, creating files and directories', 'Sockets, connecting, binding, abstract sockets', 'Executing a file', 'Executing a memory file', 'Forks, threads',
  'Killing, tracing, reading and writing the parent or all processes', 'Executable memory by `mmap`, `mprotect`, `pkey_mprotect`', 'Writing, truncating, unsealing a snapshot',
  'Mounting, `pivot_root`, `chroot`, namespaces', '`bpf`, `perf_event_open`, `io_uring`, `userfaultfd`, keys, modules',
  'Undoing non-dumpable or the parent-death signal, `arch_prctl`, `personality`', 'Raising limits, ids, capabilities, priority', 'Signals by `F_SETOWN`, `F_SETSIG`, timers; `TIOCSTI`',
  'Queues and shared memory of others', 'Setting the host\'s name, reading its cgroup paths', 'Reading a child\'s memory from another process of its user',
  'Writing memory files until memory is full', 'Using a call that is allowed and not needed', 'A snapshot whose memory is not the engine\'s (a corrupt engine)', 'Outliving the master',
  'Descriptors beside, before or instead of frames', 'All descriptors and all mappings taken', 'Frames of millions of empty log lines, headers or handlers',
  'More memory than all its runs may have', 'Bringing children down again and again', 'Answering the oldest run just in time, and no other', 'Reading nothing of what the master sends',
];

export const ELSEWHERE = new Map([
  ...natives.map((row) => [row, NATIVE]),
  ['Logging in with the old password while it is changed', 'a race of two statements: the store\'s test has it in both orders'],
  ['Names of megabytes, or thousands of them, for the server to remember as failed logins', 'what is remembered is not seen over HTTP'],
  ['A flood of passwords to verify, so that nobody else logs in', 'needs more at once than a test machine verifies in a second'],
  ['Damaged, lying, unsealed snapshots', 'snapshots are files of the server\'s, which no request carries'],
  ['A translated address inside a network the operator allows', 'the operator opens networks, and the addresses need a translator'],
  ['A name that leads to a private address, also as one of many', 'needs a name server of the attacker\'s in the server\'s configuration'],
  ['Learning the operator\'s network by asking for names', 'needs a name server whose answers are known'],
  ['DNS rebinding, also between the hops of a redirect', 'needs a name server of the attacker\'s'],
  ['A server with a wrong or unknown certificate', 'a certificate of a public authority for a test\'s host is not to be had'],
  ['Large bodies in many requests at once', 'the memory bound is of all apps together: filling it needs more memory than a test machine has to spare'],
  ['Holding up the others\' answers with slow unpacking', 'turns are counted inside; what is seen over HTTP is time, which is not asserted'],
  ['A header of tokens that becomes megabytes of secrets', 'secrets leave over TLS to a trusted certificate only'],
  ['Secrets and bodies that make looking for echoes slow', 'secrets leave over TLS to a trusted certificate only'],
  ['Having a server send a secret back encoded, and reading it in the recording of a failed run', 'secrets leave over TLS to a trusted certificate only'],
  ['Reading apps\' secrets in the database or a backup, or putting one app\'s in the place of another\'s there', 'the database is the operator\'s, which no request reaches'],
  ['A server that sends a secret back as the name of a header', 'secrets leave over TLS to a trusted certificate only'],
  ['A server that puts a secret into a redirect\'s host, for the refusal or the log to show', 'secrets leave over TLS to a trusted certificate only'],
]);
