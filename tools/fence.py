"""A fence around one process: limits of memory and files, and on Linux no reading of other people's work.

`command(settings, …)` gives what to start. The settings are JSON: `megabytes` of memory; `read`, `names` and
`write`, the folders that the process may read, list and change. Landlock (Linux 5.13 or newer; it needs no
rights) holds it to those, and keeps it from TCP connections and from other processes where the kernel is new
enough. Elsewhere the limits alone hold. Standard library only. Source: landlock(7).
"""

import ctypes
import json
import os
import sys

CREATE, ADD_RULE, RESTRICT = 444, 445, 446  # the same numbers on every kind of processor
EXECUTE, WRITE_FILE, READ_FILE, READ_DIR = 1, 2, 4, 8
FILE_RIGHTS = {1: (1 << 13) - 1, 2: (1 << 14) - 1, 3: (1 << 15) - 1, 5: (1 << 16) - 1}  # from that version on
OF_FILES = (
    EXECUTE | WRITE_FILE | READ_FILE | (1 << 14) | (1 << 15)
)  # what can be said of a file, not a folder
CONNECT_TCP, OTHERS = 2, 3
NO_NEW_PRIVILEGES = 38


class Rules(ctypes.Structure):
    _fields_ = [(name, ctypes.c_uint64) for name in ("files", "network", "scopes")]


class Below(ctypes.Structure):
    _pack_ = 1
    _layout_ = "ms"
    _fields_ = [("allowed", ctypes.c_uint64), ("folder", ctypes.c_int32)]


def landlock_version() -> int:
    """0 where there is none."""
    if not sys.platform.startswith("linux"):
        return 0
    return max(0, ctypes.CDLL(None).syscall(CREATE, None, ctypes.c_size_t(0), ctypes.c_uint32(1)))


def limit(megabytes: int) -> None:
    """At most so much memory, files of 100 MB, and no core dumps; nothing on Windows."""
    try:
        import resource
    except ImportError:
        return
    size = megabytes * 2**20
    for kind, most in ((resource.RLIMIT_AS, size), (resource.RLIMIT_FSIZE, 10**8), (resource.RLIMIT_CORE, 0)):
        try:
            resource.setrlimit(kind, (most, most))
        except (ValueError, OSError):
            pass  # macOS has no limit of that kind


def fence(read: list[str], names: list[str], write: list[str]) -> None:
    """From here on, this process and its children use the files below these paths, and no others."""
    version, libc = landlock_version(), ctypes.CDLL(None, use_errno=True)
    rights = max(r for v, r in FILE_RIGHTS.items() if v <= version)
    network, scopes = (CONNECT_TCP if version >= 4 else 0), (OTHERS if version >= 6 else 0)
    rules = Rules(rights, network, scopes)
    size = 8 if version < 4 else 16 if version < 6 else 24
    handle = libc.syscall(CREATE, ctypes.byref(rules), ctypes.c_size_t(size), ctypes.c_uint32(0))
    wanted = [(p, EXECUTE | READ_FILE | READ_DIR) for p in read]
    for path, allowed in [*wanted, *((p, READ_DIR) for p in names), *((p, rights) for p in write)]:
        if os.path.exists(path):
            allow(libc, handle, path, allowed & rights)
    libc.prctl(NO_NEW_PRIVILEGES, 1, 0, 0, 0)
    if handle < 0 or libc.syscall(RESTRICT, handle, ctypes.c_uint32(0)):
        sys.exit("fence: Landlock refuses; the command was not started")
    os.close(handle)


def allow(libc, handle: int, path: str, allowed: int) -> None:
    folder = os.open(path, os.O_PATH | os.O_CLOEXEC)
    rule = Below(allowed if os.path.isdir(path) else allowed & OF_FILES, folder)
    libc.syscall(ADD_RULE, handle, 1, ctypes.byref(rule), ctypes.c_uint32(0))
    os.close(folder)


def command(settings: dict, *words: str) -> list[str]:
    """The command that puts up the fence and then becomes `words`."""
    with open(__file__, encoding="utf-8") as file:
        source = file.read()
    return [sys.executable, "-I", "-c", source + "\nmain()\n", json.dumps(settings), *words]


def main() -> None:
    settings, command = json.loads(sys.argv[1]), sys.argv[2:]
    limit(settings["megabytes"])
    if "write" in settings and landlock_version():
        fence(settings["read"], settings["names"], settings["write"])
    os.execv(command[0], command)
