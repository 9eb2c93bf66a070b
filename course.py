#!/usr/bin/env python3
"""The course in one command. The first start makes .venv; later ones only use it.

    python3 course.py lab [options of JupyterLab]    open the chapters
    python3 course.py test [options of pytest]       run all checks
    python3 course.py setup [options of pip]         install or repair, and no more
    python3 course.py TOOL [options]                 run a tool: {tools}

It needs Python 3.11, 3.12 or 3.13 and nothing else.
"""
# Standard library only, and Python 3.6 can parse it: an old Python reads a sentence instead of a SyntaxError.

import contextlib
import errno
import hashlib
import importlib.util
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent
VENV = ROOT / ".venv"
BIN = VENV / ("Scripts" if os.name == "nt" else "bin")
PYTHON = BIN / ("python.exe" if os.name == "nt" else "python")
STAMP = VENV / "course-stamp.txt"  # written last: an installation without it was interrupted
LAB_SETTINGS = ("deploy/lab/overrides.json", "deploy/lab/page_config.json")  # no news pop-up, no jupytext
LAB = ("-P", "-m", "jupyterlab", "--ServerApp.jpserver_extensions=jupyterlab_jupytext=False")
PIP_IS_WHOLE = "import pip._internal.cli.main, importlib.metadata as m; m.files('pip')[0]"
DISK_GB = 2.5
# Three processes of pytest that take about equally long: while one waits for a browser, the others work.
LANES = (
    "tests chapters --ignore-glob=*/test_[a-l]* --ignore-glob=chapters/[!0]* --ignore-glob=chapters/0[7-9]*",
    "tests chapters/solutions --ignore-glob=*/test_[m-z]*",
    "chapters --ignore-glob=chapters/0[0-6]* --ignore-glob=chapters/solutions",
)
AGAIN = ", and type the same command again: it goes on where it stopped."
REASONS = {  # the words of pip: our sentence; the first that fits counts
    r"No space left|Errno 28|not enough space|Disk quota": "the disk is full. Free 2.5 GB (8 GB on Linux with"
    " GPU libraries) or, if only the temporary folder is small, point TMPDIR to a larger one",
    r"Long Path": "a path is too long for Windows. Move the course to a short one, such as C:\\course",
    r"Permission denied|Access is denied|WinError (5|32)\b": "a file in .venv is in use or may not be"
    " written. Close JupyterLab and the editors that use it",
    r"NewConnection|NameResolution|Timeout|ConnectionReset|Connection ?broken|ProtocolErr|ProxyErr|SSLErr"
    r"|Retrying": "the package index does not answer. Check the network (a proxy goes in HTTPS_PROXY)",
    r"No matching distribution|not a supported wheel|Failed building|metadata-gen": "a package is not made"
    " for this machine. Take a 64-bit Python 3.12 (python.org; macOS 14, Windows 10, Linux), delete .venv",
}


class Stop(Exception):
    """The sentence that a reader gets instead of a traceback; AGAIN ends it."""


def environment():
    """What `activate` would set, less the variables that let in another Python's packages."""
    foreign = ("PYTHONPATH", "PYTHONHOME", "PIP_USER", "PIP_TARGET")
    env = {name: value for name, value in os.environ.items() if name not in foreign}
    env.update(VIRTUAL_ENV=str(VENV), PATH=str(BIN) + os.pathsep + env.get("PATH", ""), PYTHONUTF8="1")
    return env


def answer(*arguments):
    """What .venv's Python prints, or None if it does not run."""
    try:
        out = subprocess.check_output([str(PYTHON), *arguments], stderr=subprocess.DEVNULL, env=environment())
    except (OSError, subprocess.CalledProcessError):
        return None
    return out.decode("utf-8", "replace").strip()


def fingerprint():
    """What an installation depends on: its files, its place, and a Python that still runs."""
    version = answer("-c", "import sys; print(sys.version_info[:2])")
    digest = hashlib.sha256(repr((str(ROOT), version)).encode("utf-8", "replace"))
    for name in ("constraints.txt", "pyproject.toml", *LAB_SETTINGS):
        digest.update((ROOT / name).read_bytes())
    return digest.hexdigest()


def is_ready():
    """Whether the installation was finished, and is still the right one."""
    return STAMP.is_file() and STAMP.read_text() == fingerprint()


def try_lock(handle):
    if os.name == "nt":
        import msvcrt

        msvcrt.locking(handle.fileno(), msvcrt.LK_NBLCK, 1)
    else:
        import fcntl

        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)


@contextlib.contextmanager
def one_at_a_time():
    """A lock that ends with its holder, and with a pip that outlives it."""
    with open(str(ROOT / ".venv.lock"), "a") as handle:
        for attempt in range(3600):
            try:
                try_lock(handle)
                break
            except OSError as error:
                if error.errno not in (errno.EACCES, errno.EAGAIN, errno.EDEADLK):
                    break  # this file system has no locks
                if attempt == 0:
                    print("Another course.py is installing here. Waiting ...", flush=True)
                time.sleep(1)
        yield handle.fileno()


def explain(words, otherwise):
    for pattern, reason in REASONS.items():
        if re.search(pattern, words, re.IGNORECASE):
            raise Stop("the installation stopped: " + reason)
    print(words[-3000:], flush=True)
    raise Stop(otherwise)


def make_venv():
    if importlib.util.find_spec("ensurepip") is None:
        name = "python%d.%d-venv" % sys.version_info[:2]
        raise Stop("this Python lacks venv: sudo apt install python3-venv (or %s)" % name)
    if VENV.exists():
        print("The environment in .venv is broken or half made: making it anew.", flush=True)
    elif shutil.disk_usage(str(ROOT)).free < DISK_GB * 1e9:
        raise Stop("the disk has less than %s GB free. Free some space" % DISK_GB)
    command = [sys.executable, "-m", "venv", "--clear", str(VENV)]
    made = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if made.returncode:
        explain(
            made.stdout.decode("utf-8", "replace"),
            "%s could not be made. Delete it, see that the disk is not full" % VENV,
        )


def drop_half_installed():
    """Forget packages without INSTALLER, which pip writes at the end: they were interrupted."""
    packages = answer("-c", "import sysconfig; print(sysconfig.get_path('purelib'))")
    for info in Path(packages).glob("*.dist-info"):
        if not (info / "INSTALLER").exists():
            shutil.rmtree(str(info))


def pip_install(options, lock):
    """pip's progress goes to the screen; what it complains of is read, and said in one sentence."""
    command = [str(PYTHON), "-m", "pip", "--disable-pip-version-check", "install"]
    command += ["-c", "constraints.txt", "-e", ".[test]", *options]
    keep = {} if os.name == "nt" else {"pass_fds": (lock,)}
    with subprocess.Popen(command, cwd=str(ROOT), env=environment(), stderr=subprocess.PIPE, **keep) as pip:
        words = ""
        try:
            for line in pip.stderr:
                if b"Retrying" in line and "Retrying" not in words:
                    print("  the package index does not answer; pip tries again ...", flush=True)
                words += line.decode("utf-8", "replace")
        except KeyboardInterrupt:
            with contextlib.suppress(subprocess.TimeoutExpired):
                pip.wait(6)  # it had the same Ctrl-C, and tidies up
            pip.terminate()
            raise
    if pip.returncode:
        explain(words, "pip could not install the course, and says why above. Mend that")


def setup(options=(), always=False):
    if is_ready() and not always:
        return
    with one_at_a_time() as lock:
        if is_ready() and not always:
            return  # the other course.py has done it
        print("Installing the course in %s. The first time, it takes 2 GB and some minutes," % VENV)
        print("and the last of pip's steps, 'Installing collected packages', shows no progress.", flush=True)
        if STAMP.exists():
            STAMP.unlink()
        if answer("-c", PIP_IS_WHOLE) is None:
            make_venv()
        drop_half_installed()
        pip_install(options, lock)
        settings = VENV / "share" / "jupyter" / "lab" / "settings"
        settings.mkdir(parents=True, exist_ok=True)
        for name in LAB_SETTINGS:
            shutil.copy(str(ROOT / name), str(settings))
        STAMP.write_text(fingerprint())
        print("The course is installed.", flush=True)


def become(*arguments):
    """Hand this process over to a command of .venv."""
    sys.stdout.flush()
    if os.name == "posix":
        os.execve(str(PYTHON), [str(PYTHON), *arguments], environment())
    signal.signal(signal.SIGINT, lambda *_: None)  # Ctrl-C belongs to the command
    return subprocess.call([str(PYTHON), *arguments], env=environment())


def start(arguments, out=None, **variables):
    """A module of .venv, with environment variables of your own unless the reader has set them."""
    command, env = [str(PYTHON), "-m", *arguments], {**variables, **environment()}
    return subprocess.Popen(command, cwd=str(ROOT), env=env, stdout=out, stderr=out)


def run_pytest(options):
    """A process a lane, with one thread each; the first is shown as it goes. Your options make one of it."""
    if options:
        return start(["pytest", *options]).wait()
    with contextlib.ExitStack() as files:
        shown_later = [files.enter_context(tempfile.TemporaryFile()) for _ in LANES[1:]]
        runs = [
            start(["pytest", *lane.split()], out, OMP_NUM_THREADS="1")
            for lane, out in zip(LANES, [None, *shown_later], strict=True)
        ]
        codes = [run.wait() for run in runs]
        for words in shown_later:
            words.seek(0)
            print(words.read().decode("utf-8", "replace"), flush=True)
    return any(codes)


def run_checks(options):
    """All three run, whichever fails; pytest finds tests/ and replays the notebooks (see pyproject.toml)."""
    checks = {
        "ruff check": lambda: start(["ruff", "check", "."]).wait(),
        "ruff format": lambda: start(["ruff", "format", "--check", "."]).wait(),
        "pytest": lambda: run_pytest(options),
    }
    failed = []
    signal.signal(signal.SIGINT, lambda *_: None)  # pytest ends by itself, with its summary
    for name, check in checks.items():
        print("== " + name, flush=True)
        if check():
            failed.append(name)
    print("== FAILED: " + ", ".join(failed) if failed else "== all passed: " + ", ".join(checks))
    return 1 if failed else 0


def main(arguments):
    command, options = (arguments or [None])[0], arguments[1:]
    if not (3, 11) <= sys.version_info[:2] <= (3, 13):
        name = "py -3.12" if os.name == "nt" else "python3.12"
        sys.exit(
            "course.py: the course needs Python 3.11, 3.12 or 3.13, and this is Python %d.%d. Install one of"
            " them from python.org or your system's packages, and type: %s course.py lab"
            % (*sys.version_info[:2], name)
        )
    tools = [p.stem for p in sorted((ROOT / "tools").glob("*.py")) if "__main__" in p.read_text("utf-8")]
    if command not in ["lab", "test", "setup", *tools]:
        print(__doc__.format(tools=", ".join(tools)))
        return 0 if command in ("help", "-h", "--help") else 2
    setup(options if command == "setup" else [], always=command == "setup")
    if command == "test":
        return run_checks(options)
    if command == "lab":
        if not any("root_dir" in option or "notebook-dir" in option for option in options):
            options = ["--ServerApp.root_dir=" + str(ROOT / "chapters"), *options]
        return become(*LAB, *options)
    if command in tools:
        os.chdir(str(ROOT))
        return become("-m", "tools." + command, *options)
    return 0


if __name__ == "__main__":
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # a path in Chinese must not stop an ASCII terminal
            stream.reconfigure(errors="backslashreplace")
    try:
        sys.exit(main(sys.argv[1:]))
    except Stop as stop:
        sys.exit("course.py: %s%s" % (stop, AGAIN))
    except KeyboardInterrupt:
        sys.exit("course.py: stopped. Come back when you like" + AGAIN)
    except OSError as error:
        advice = "Free some space" if error.errno == errno.ENOSPC else "Put the course where you may write"
        sys.exit("course.py: %s. %s%s" % (error, advice, AGAIN))
