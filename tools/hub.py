"""A rehearsal of the class server on this machine, for you alone: `python3 course.py hub`.

It listens on 127.0.0.1, takes any name with one password, and puts no walls between students: to try the
links, the chapters and a correction before a lecture. deploy/hub/README.md has the class server itself.
"""

from __future__ import annotations

import argparse
import os
import secrets
import shutil
import subprocess
import sys
from pathlib import Path

from tools.extras import Missing, need

ROOT = Path(__file__).resolve().parent.parent
BIN = Path(sys.prefix) / "bin"
PROXY = "configurable-http-proxy@5.3.0"
STATE = ROOT / "_build" / "hub"  # the rehearsal's accounts and students' files; delete it to begin anew


def install() -> None:
    """JupyterHub from PyPI, its proxy from npm, into this environment; Missing says what did not come."""
    need("hub")
    if not (BIN / "configurable-http-proxy").exists():
        print(f"Installing, this once: {PROXY}", flush=True)
        npm = [str(BIN / "npm"), "install", "--global", "--no-fund", "--prefix", sys.prefix, PROXY]
        if subprocess.run(npm, env=with_node(), stdout=subprocess.DEVNULL).returncode:
            raise Missing(f"{PROXY}: not installed. Check the network, and type the same command again.")


def with_node() -> dict[str, str]:
    """The environment in which this environment's Node is found first."""
    return os.environ | {"PATH": f"{BIN}{os.pathsep}{os.environ.get('PATH', os.defpath)}"}


def refusal(platform: str, user: int) -> str | None:
    """Why the rehearsal cannot start here, or None."""
    if platform == "win32":
        return "JupyterHub does not run on Windows. Use the Windows Subsystem for Linux, or a Linux machine."
    if user == 0:
        return "you are root, and students would be root too. Rehearse from an ordinary account."
    return None if shutil.which("git") else "students pull with git, which is not installed."


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="course.py hub", description=__doc__.split("\n")[0])
    parser.add_argument("--port", type=int, default=8000, help="the port on 127.0.0.1 (8000)")
    parser.add_argument("--install", action="store_true", help="install what is needed, and no more")
    options = parser.parse_args(arguments)
    if not options.install and (problem := refusal(sys.platform, getattr(os, "geteuid", lambda: 1)())):
        sys.exit(f"course.py hub: {problem}")
    try:
        install()
    except Missing as missing:
        sys.exit(f"course.py hub: {missing}")
    return 0 if options.install else start(options.port)


def start(port: int) -> int:
    """Run the hub until Ctrl-C."""
    password = secrets.token_hex(4)
    STATE.mkdir(parents=True, exist_ok=True, mode=0o700)
    (STATE / "students").mkdir(exist_ok=True)
    env = with_node() | {"COURSE_HUB_STATE": str(STATE), "COURSE_HUB_PASSWORD": password}
    env |= {"COURSE_HUB_PORT": str(port)}
    print(f"Open http://127.0.0.1:{port} and log in with any name and the password {password}", flush=True)
    hub = [str(BIN / "jupyterhub"), "-f", str(ROOT / "deploy/hub/rehearsal_config.py"), "--log-level=WARN"]
    try:
        return subprocess.call(hub, env=env, cwd=STATE)
    except KeyboardInterrupt:
        return 0


if __name__ == "__main__":
    sys.exit(main())
