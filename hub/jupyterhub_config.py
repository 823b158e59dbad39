"""JupyterHub for one course on one machine: docs/how-to/jupyterhub.md says what each part is."""

import grp
import os
import pwd
from pathlib import Path

c = get_config()  # noqa: F821 - JupyterHub provides it

COURSE = Path("/srv/servemath/course")
CHAPTERS = ["ch1_serving_tradeoffs"]
#: The account that owns the course, grades and holds the gradebook; nobody logs in as it.
STAFF = "servemath"
#: What everybody's JupyterLab runs; staff's programs are in the course's own environment.
PROGRAMS = Path("/opt/servemath")
STATE = Path("/var/lib/jupyterhub")

# People are accounts of this machine: these two groups may log in, with their passwords there.
c.JupyterHub.authenticator_class = "pam"
c.LocalAuthenticator.allowed_groups = {"learners", "graders"}
c.PAMAuthenticator.open_sessions = False

# Only this machine can reach it: what encrypts stands in front.
c.JupyterHub.bind_url = "http://127.0.0.1:8000"
c.ConfigurableHTTPProxy.command = [
    str(PROGRAMS / "proxy/node_modules/.bin/configurable-http-proxy"),
]
c.ConfigurableHTTPProxy.pid_file = str(STATE / "proxy.pid")
c.JupyterHub.db_url = f"sqlite:///{STATE}/hub.sqlite"
c.JupyterHub.cookie_secret_file = str(STATE / "cookie_secret")

# Each person's JupyterLab runs as that person, in the home folder.
c.Spawner.cmd = [str(PROGRAMS / "bin/jupyterhub-singleuser")]
c.Spawner.default_url = "/lab"
c.Spawner.http_timeout = 120

staff_environment = {
    "HOME": pwd.getpwnam(STAFF).pw_dir,
    "PATH": os.pathsep.join([str(COURSE / ".venv/bin"), "/usr/local/bin", "/usr/bin", "/bin"]),
}
c.JupyterHub.services = [
    {  # formgrader; its name is that of the course, as nbgrader wants it
        "name": "servemath",
        "url": "http://127.0.0.1:9999",
        "command": [str(COURSE / ".venv/bin/jupyterhub-singleuser")],
        "user": STAFF,
        "cwd": str(COURSE),
        "environment": staff_environment | {"JUPYTERHUB_DEFAULT_URL": "/formgrader"},
        "oauth_no_confirm": True,  # it belongs to the hub: nobody need be asked
    },
    {  # grades what learners submit; the hub starts it again if it ends
        "name": "watch",
        "command": [str(COURSE / ".venv/bin/servemath"), "watch", *CHAPTERS],
        "user": STAFF,
        "cwd": str(COURSE),
        "environment": staff_environment,
    },
]

# Graders open formgrader with their own log-in. The group is read when the hub starts.
c.JupyterHub.load_groups = {"formgrade-servemath": {"users": grp.getgrnam("graders").gr_mem}}
c.JupyterHub.load_roles = [
    {
        "name": "formgrade-servemath",
        "groups": ["formgrade-servemath"],
        "scopes": [
            "access:services!service=servemath",
            "list:services",
            "read:services!service=servemath",
        ],
    },
]
