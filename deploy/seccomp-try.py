#!/usr/bin/env python3
"""Runs a command under an OCI seccomp profile (seccomp.json), as a container runtime would.

Needs libseccomp's Python binding (Debian: python3-seccomp). Only what that file uses is understood:
one default and allowed names.

    try-seccomp.py PROFILE COMMAND [ARGUMENT...]
"""
import json
import os
import sys

# A Python that is not the distribution's does not look here.
sys.path.append("/usr/lib/python3/dist-packages")
import seccomp


def main():
    profile, command = sys.argv[1], sys.argv[2:]
    with open(profile, encoding="utf-8") as file:
        profile = json.load(file)
    assert profile["defaultAction"] == "SCMP_ACT_ERRNO"
    rules = seccomp.SyscallFilter(seccomp.ERRNO(profile["defaultErrnoRet"]))
    for rule in profile["syscalls"]:
        assert set(rule) == {"action", "names"} and rule["action"] == "SCMP_ACT_ALLOW"
        for name in rule["names"]:
            try:
                rules.add_rule(seccomp.ALLOW, name)
            except (RuntimeError, OSError, ValueError):
                print(f"{name}: libseccomp does not know it", file=sys.stderr)
    rules.load()
    os.execvp(command[0], command)


main()
