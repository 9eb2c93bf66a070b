"""The class server on a laptop: loopback only, one password for all, and NO walls between students.

`python3 course.py hub` starts it. It is jupyterhub_config.py but for the lines below. COURSE_HUB_ACCOUNTS=1
is for root where there is no systemd (containers, benchmarks/class_server.py): the accounts of the machine
are kept, and only the limits of systemd are missing.
"""

import os
import sys
from pathlib import Path

# ruff: noqa: F821 (JupyterHub provides these two names)
load_subconfig(str(Path(__file__).with_name("jupyterhub_config.py")))
c = get_config()

c.JupyterHub.bind_url = f"http://127.0.0.1:{int(os.environ.get('COURSE_HUB_PORT', '8000'))}"
c.JupyterHub.cleanup_servers = True  # Ctrl-C ends everything
c.JupyterHub.hub_port = int(os.environ.get("COURSE_HUB_INTERNAL_PORT", "8081"))
c.ConfigurableHTTPProxy.api_url = f"http://127.0.0.1:{os.environ.get('COURSE_HUB_PROXY_PORT', '8001')}"

if os.environ.get("COURSE_HUB_ACCOUNTS") == "1":
    c.JupyterHub.spawner_class = "localprocess"
else:
    password = os.environ.get("COURSE_HUB_PASSWORD", "")
    if len(password) < 8:
        sys.exit(f"COURSE_HUB_PASSWORD has {len(password)} characters: set it to 8 or more.")
    c.JupyterHub.authenticator_class = "shared-password"
    c.SharedPasswordAuthenticator.user_password = password
    c.Authenticator.allow_all = True
    c.JupyterHub.spawner_class = "simple"
    c.SimpleLocalProcessSpawner.home_dir_template = f"{os.environ['COURSE_HUB_STATE']}/students/{{username}}"
    c.Spawner.pre_spawn_hook, c.Spawner.args = None, c.Spawner.args[1:]
