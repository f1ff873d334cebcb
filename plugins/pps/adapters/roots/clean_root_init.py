"""The first process of a clean root: closes the door behind itself, then becomes the shell.

Run by `clean_root.py` as `python -I clean_root_init.py STATUS_FD ROOT SCRIPT [FOLDER...]`, as root of mount, PID,
IPC and UTS namespaces of its own. Standard library only, and nothing is imported after the root was changed.
STATUS_FD gets `ready` just before the script starts, else the reason why it does not.

`pivot_root` instead of `chroot`: the machine's files are then not hidden but gone, so a process that may call chroot
finds no way back. docs/adr/0009 says what this isolates, and what it does not.
"""

from __future__ import annotations

import ctypes
import os
import resource
import socket
import stat
import sys
from pathlib import Path

_LIBC = ctypes.CDLL(None, use_errno=True)
_LIBC.prctl.argtypes = [ctypes.c_int, *([ctypes.c_ulong] * 4)]

_RDONLY, _NOSUID, _NODEV, _NOEXEC, _REMOUNT, _BIND, _REC, _PRIVATE = 1, 2, 4, 8, 32, 4096, 16384, 1 << 18
_DETACH = 2
_PR_CAPBSET_DROP, _PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL = 24, 47, 4
_CAPABILITY_VERSION = 0x20080522

#: chown, dac_override, fowner, fsetid, kill, setgid, setuid, setpcap, net_bind_service, sys_chroot, audit_write,
#: setfcap: what maintainer scripts use. Not sys_admin, sys_module, sys_ptrace, sys_rawio, mknod, net_admin, ...
_KEPT = {0, 1, 3, 4, 5, 6, 7, 8, 10, 18, 29, 31}
_DEVICES = ("null", "zero", "full", "random", "urandom", "tty")
#: uid 0 needs no capability to write to these, and they belong to the whole machine.
_READ_ONLY = ("sys", "sysrq-trigger", "irq", "bus", "fs", "asound")
_HIDDEN = ("kcore", "keys", "kmsg", "latency_stats", "timer_list", "sched_debug", "acpi", "scsi")
_ENVIRONMENT = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "HOME": "/root",
    "LANG": "C.UTF-8",
    "DEBIAN_FRONTEND": "noninteractive",
}


def main(status: int, root: str, script: str, folders: list[str]) -> None:
    """Enter the root and become the script's shell; returns only by an exception."""
    os.set_inheritable(status, False)
    _mount("none", "/", "", _REC | _PRIVATE)
    _mount(root, root, "", _BIND)
    _mount("none", root, "", _REMOUNT | _BIND | _NODEV)
    _mount_proc(f"{root}/proc")
    _mount_dev(f"{root}/dev")
    for folder in folders:
        target = root + folder
        Path(target).mkdir(parents=True, exist_ok=True)
        _mount(folder, _own(target), "", _BIND)
        _mount("none", target, "", _REMOUNT | _BIND | _RDONLY | _NOSUID | _NODEV)
    socket.sethostname("clean-root")
    os.chdir(root)
    _call("pivot_root", b".", b".")
    _call("umount2", b".", _DETACH)
    os.chdir("/")
    os.umask(0o022)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    _drop_capabilities()
    os.write(status, b"ready")
    os.execve("/bin/sh", ["sh", "-c", script], _ENVIRONMENT)  # noqa: S606 (this is the purpose)


def _mount_proc(proc: str) -> None:
    _mount("proc", _own(proc), "proc", _NOSUID | _NODEV | _NOEXEC)
    for name in _READ_ONLY:
        if Path(proc, name).exists():
            _mount(f"{proc}/{name}", f"{proc}/{name}", "", _BIND)
            _mount("none", f"{proc}/{name}", "", _REMOUNT | _BIND | _RDONLY | _NOSUID | _NODEV | _NOEXEC)
    for name in _HIDDEN:
        path = Path(proc, name)
        if path.is_dir():
            _mount("tmpfs", str(path), "tmpfs", _RDONLY)
        elif path.exists():
            _mount("/dev/null", str(path), "", _BIND)


def _mount_dev(dev: str) -> None:
    _mount("tmpfs", _own(dev), "tmpfs", _NOSUID | _NOEXEC, "mode=755,size=1m")
    for name in _DEVICES:
        Path(dev, name).touch()
        _mount(f"/dev/{name}", f"{dev}/{name}", "", _BIND)
    for name in ("pts", "shm"):
        Path(dev, name).mkdir()
    _mount("tmpfs", f"{dev}/shm", "tmpfs", _NOSUID | _NODEV, "mode=1777,size=64m")
    _mount("devpts", f"{dev}/pts", "devpts", _NOSUID | _NOEXEC, "newinstance,ptmxmode=0666,mode=620")
    for name, target in {
        "ptmx": "pts/ptmx",
        "fd": "/proc/self/fd",
        "stdin": "/proc/self/fd/0",
        "stdout": "/proc/self/fd/1",
        "stderr": "/proc/self/fd/2",
    }.items():
        Path(dev, name).symlink_to(target)


def _own(path: str) -> str:
    """The path, unless an earlier script put a link there that leads elsewhere."""
    if os.path.realpath(path) != path or not stat.S_ISDIR(os.lstat(path).st_mode):
        raise OSError(f"{path} is no folder of the root any more")
    return path


def _drop_capabilities() -> None:
    for number in range(64):
        if number not in _KEPT and _LIBC.prctl(_PR_CAPBSET_DROP, number, 0, 0, 0) != 0:
            if ctypes.get_errno() == 22:  # EINVAL: the kernel has no further ones
                break
            raise OSError(ctypes.get_errno(), f"cannot drop capability {number}")
    # inheritable ones would come back when the shell is executed
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION, 0)
    sets = (ctypes.c_uint32 * 6)()
    _call("capget", header, sets)
    sets[2] = sets[5] = 0
    _call("capset", header, sets)
    _LIBC.prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0)


def _mount(source: str, target: str, kind: str, flags: int, options: str = "") -> None:
    arguments = (source.encode(), target.encode(), kind.encode() or None, ctypes.c_ulong(flags))
    _call("mount", *arguments, options.encode() or None)


def _call(name: str, *arguments: object) -> None:
    if getattr(_LIBC, name)(*arguments) != 0:
        error = ctypes.get_errno()
        words = " ".join(a.decode() for a in arguments if isinstance(a, bytes))
        raise OSError(error, f"{name} {words}: {os.strerror(error)}")


if __name__ == "__main__":
    try:
        main(int(sys.argv[1]), sys.argv[2], sys.argv[3], sys.argv[4:])
    except OSError as error:
        os.write(int(sys.argv[1]), (error.strerror or str(error)).encode())
        sys.exit(1)
