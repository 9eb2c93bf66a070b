"""The class server under a class: students log in, pull, and run a chapter, all at the same moment.

    python benchmarks/class_server.py --students 30              chapter 03, and a correction in mid-semester
    python benchmarks/class_server.py --students 3 --chapter 14  what a chapter with PyTorch takes

Each student is a browser as far as the hub can tell: the login form, the spawn page, the nbgitpuller link,
the kernel's websocket, the notebook saved. Then the lecturer pushes a corrected chapter and everybody pulls
again: the correction and the student's own cell must both be there. Prints Markdown; exits with 1 if anybody
failed.

As root on Linux, the students are real accounts in a private copy of /etc, in name spaces that end with the
script: nothing is left on the machine. Each student also tries a neighbour's folder and server, and a teacher
tries a student's. Otherwise all share your account (deploy/hub/rehearsal_config.py). Git is needed, and what
`python3 course.py hub --install` installs. Everything listens on 127.0.0.1.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import secrets
import socket
import subprocess
import sys
import tempfile
import time
import uuid
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median

import httpx
import nbformat
import psutil
from jupyter_server.services.kernels.connection.base import deserialize_binary_message
from tornado.httpclient import HTTPRequest
from tornado.websocket import websocket_connect

ROOT = Path(__file__).resolve().parent.parent
BIN = Path(sys.prefix) / "bin"
ACCOUNTS = os.environ.get("COURSE_HUB_ACCOUNTS") == "1"  # each student a Unix account of its own
OWN, CORRECTED = "# my own cell", "corrected by the lecturer"
LOOK = """
import os
from ipykernel.connect import get_connection_info
home = os.path.expanduser("~{neighbour}")
print(get_connection_info(unpack=True)["transport"], os.access(home, os.R_OK) or os.access(home, os.X_OK))
"""
PATIENCE = 900  # seconds that a browser waits for anything


# The machine


def enter_own_namespaces() -> None:
    """Run this script again where /etc is a copy and all processes end with the first one."""
    inside = "mount -t tmpfs tmpfs /mnt && mkdir /mnt/up /mnt/work"
    inside += " && mount -t overlay overlay -o lowerdir=/etc,upperdir=/mnt/up,workdir=/mnt/work /etc"
    flags = ["--mount", "--propagation=private", "--pid", "--fork", "--kill-child", "--mount-proc"]
    again = ["bash", "-c", inside + ' && exec "$@"', "bash", sys.executable, *sys.argv]
    os.environ["COURSE_HUB_ACCOUNTS"] = "1"
    os.execvp("unshare", ["unshare", *flags, *again])


def closed_folder() -> Path | None:
    """The first folder on the way to this Python that other accounts may not enter, if there is one."""
    ways = [*reversed(Path(os.path.realpath(sys.executable)).parents), *reversed(BIN.parents)]
    return next((folder for folder in ways if not folder.stat().st_mode & 0o001), None)


def make_accounts(names: list[str], password: str, homes: Path) -> None:
    """Unix accounts for students and for one teacher; only ever inside our own copy of /etc."""
    make = ["useradd", "--no-log-init", "--create-home", "--base-dir", homes, "--groups"]
    for group, members in {"students": names, "teachers": ["teacher"]}.items():
        run("groupadd", group)
        for name in members:
            run(*make, group, name)
    run("chpasswd", input="".join(f"{name}:{password}\n" for name in [*names, "teacher"]))


def run(*command, **options) -> str:
    """The output of a command; its complaint, if it fails."""
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, **options)
    if done.returncode:
        raise RuntimeError(f"{' '.join(map(str, command))}: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


@contextmanager
def started(command: list, log: Path, **options):
    """A process while the block runs; it is ended politely, then by force."""
    with log.open("w") as words:
        process = subprocess.Popen(
            list(map(str, command)), stdout=words, stderr=words, start_new_session=True, **options
        )
    try:
        yield process
    finally:
        if process.poll() is None:
            family = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
            process.terminate()
            _, left = psutil.wait_procs(family, timeout=20)
            for one in left:
                one.kill()


def class_repository(folder: Path, port: int) -> str:
    """A bare repository with the chapters, as the lecturer's fork has; its address."""
    work = folder / "lecturer"
    run("git", "init", "--quiet", "--initial-branch=main", work)
    run("cp", "-r", ROOT / "chapters", work)
    commit(work, "The course")
    run("git", "clone", "--quiet", "--bare", work, folder / "course.git")
    run("git", "-C", work, "remote", "add", "origin", folder / "course.git")
    return f"git://127.0.0.1:{port}/course.git"


def commit(work: Path, words: str) -> None:
    who = ["-c", "user.name=Lecturer", "-c", "user.email=lecturer@example.org"]
    run("git", "-C", work, "add", "--all")
    run("git", "-C", work, *who, "commit", "--quiet", "-m", words)


def push_correction(work: Path, notebook: str) -> None:
    """The lecturer mends a sentence in the first cell and the last line of the first code cell."""
    path = work / notebook
    book = nbformat.read(path, as_version=4)
    book.cells[0].source += f"\n\n{CORRECTED}"
    next(cell for cell in book.cells if cell.cell_type == "code").source += f"\n# {CORRECTED}"
    nbformat.write(book, path)
    commit(work, "A correction")
    run("git", "-C", work, "push", "--quiet", "origin", "main")


@contextmanager
def class_server(folder: Path, names: list[str], password: str):
    """The hub on loopback and a repository to pull from: (its address, the repository's, the process)."""
    folder.chmod(0o711)  # students reach their own homes through it
    state, homes = folder / "state", folder / "homes"
    state.mkdir(mode=0o700)
    homes.mkdir(mode=0o711)
    if ACCOUNTS:
        make_accounts(names, password, homes)
    ports = [str(free_port()) for _ in range(4)]
    variables = ("COURSE_HUB_PORT", "COURSE_HUB_INTERNAL_PORT", "COURSE_HUB_PROXY_PORT")
    env = os.environ | dict(zip(variables, ports, strict=False))
    env |= {"COURSE_HUB_STATE": str(state), "COURSE_HUB_PASSWORD": password}
    repository = class_repository(folder, int(ports[3]))
    git = [
        "git",
        "daemon",
        "--export-all",
        "--listen=127.0.0.1",
        f"--port={ports[3]}",
        f"--base-path={folder}",
    ]
    hub = [BIN / "jupyterhub", "-f", ROOT / "deploy/hub/rehearsal_config.py"]
    with ExitStack() as running:
        running.enter_context(started(git, folder / "git.log"))
        process = running.enter_context(started(hub, folder / "hub.log", env=env, cwd=state))
        address = f"http://127.0.0.1:{ports[0]}"
        wait_for(f"{address}/hub/health", process, folder / "hub.log")
        try:
            yield address, repository, process
        finally:
            if keep := os.environ.get("COURSE_HUB_LOG"):
                Path(keep).write_text((folder / "hub.log").read_text())


def wait_for(url: str, process: subprocess.Popen, log: Path) -> None:
    for _ in range(240):
        if process.poll() is not None:
            break
        try:
            if httpx.get(url).status_code == 200:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.5)
    raise RuntimeError(f"the hub does not answer on {url}:\n{log.read_text()[-3000:]}")


def use_of(hub: subprocess.Popen) -> dict[str, list[tuple[float, float]]]:
    """(MB, processor seconds) of the hub with its proxy, of each student's server, and of its kernels.

    Memory is PSS: a page that several processes share is counted once, in parts.
    """
    shares: dict[str, dict[str, tuple[float, float]]] = {"hub": {}, "server": {}, "kernel": {}}
    for process in [psutil.Process(hub.pid), *psutil.Process(hub.pid).children(recursive=True)]:
        try:
            student = process.environ().get("JUPYTERHUB_USER", "")
            kind = ("kernel" if "ipykernel_launcher" in process.cmdline() else "server") if student else "hub"
            size, busy = process.memory_full_info().pss / 1e6, sum(process.cpu_times()[:2])
        except psutil.NoSuchProcess:
            continue  # ended while we looked
        before = shares[kind].get(student, (0, 0))
        shares[kind][student] = (before[0] + size, before[1] + busy)
    return {kind: list(of.values()) for kind, of in shares.items()}


# A student


class Student:
    """A browser with one student in front of it."""

    def __init__(self, address: str, name: str, password: str):
        self.address, self.name, self.password = address, name, password
        self.http = httpx.AsyncClient(base_url=address, follow_redirects=True, timeout=PATIENCE)
        self.home = f"/user/{name}"

    def xsrf(self, path: str) -> dict[str, str]:
        """The header by which a server knows its own pages, from the cookie that it gave for a path."""
        tokens = [
            cookie.value for cookie in self.http.cookies.jar if (cookie.name, cookie.path) == ("_xsrf", path)
        ]
        return {"X-XSRFToken": tokens[-1]} if tokens else {}

    async def get(self, path: str, **options) -> httpx.Response:
        answer = await self.http.get(path, **options)
        answer.raise_for_status()
        return answer

    async def api(self, verb: str, path: str, body: dict | None = None) -> dict:
        url, headers = f"{self.home}/api/{path}", self.xsrf(self.home + "/")
        answer = await self.http.request(verb, url, json=body, headers=headers)
        answer.raise_for_status()
        return answer.json() if answer.content else {}

    async def log_in(self) -> None:
        """The login form, then the page that waits for the server, then JupyterLab."""
        await self.get("/hub/login")
        form = {"username": self.name, "password": self.password, "_xsrf": self.xsrf("/hub/")["X-XSRFToken"]}
        answer = await self.http.post("/hub/login", data=form)
        answer.raise_for_status()
        if "/hub/login" in str(answer.url):
            raise RuntimeError(f"{self.name} could not log in")
        await self.get("/hub/spawn")
        events = f"/hub/api/users/{self.name}/server/progress"
        async with self.http.stream("GET", events, headers=self.xsrf("/hub/")) as progress:
            async for line in progress.aiter_lines():
                if line.startswith("data:") and json.loads(line[5:]).get("failed"):
                    raise RuntimeError(f"{self.name}'s server did not start: {line}")
        await self.get(f"{self.home}/lab")

    async def pull(self, repository: str) -> None:
        """What the nbgitpuller link does."""
        query = {"repo": repository, "branch": "main", "targetpath": "course"}
        address, headers = f"{self.home}/git-pull/api", self.xsrf(self.home + "/")
        words = (await self.get(address, params=query, headers=headers)).text
        if '"phase": "finished"' not in words:
            raise RuntimeError(f"{self.name} could not pull: {words[-800:]}")

    async def read(self, path: str) -> dict:
        return (await self.api("GET", f"contents/course/{path}"))["content"]

    async def save(self, path: str, book: dict) -> None:
        await self.api("PUT", f"contents/course/{path}", {"type": "notebook", "content": book})

    async def run(self, path: str, neighbour: str) -> None:
        """Run All, look over the wall, save with the new outputs and a cell of one's own."""
        book = await self.read(path)
        what = {"path": f"course/{path}", "name": path, "type": "notebook", "kernel": {"name": "python3"}}
        kernel = (await self.api("POST", "sessions", what))["kernel"]["id"]
        cells = [cell for cell in book["cells"] if cell["cell_type"] == "code"]
        channel = await self.connect(kernel)
        try:
            for cell in cells:
                cell["outputs"] = await asyncio.wait_for(execute(channel, source_of(cell)), PATIENCE)
                errors = [out for out in cell["outputs"] if out["output_type"] == "error"]
                if errors and "raises-exception" not in cell["metadata"].get("tags", []):
                    raise RuntimeError(f"{self.name}: {errors[0]['ename']}: {errors[0]['evalue']}")
            if ACCOUNTS and neighbour != self.name:
                await self.look_over_the_wall(channel, neighbour)
        finally:
            channel.close()
        book["cells"].insert(3, nbformat.v4.new_code_cell(f"{OWN}, by {self.name}"))
        await self.save(path, book)

    async def look_over_the_wall(self, channel, neighbour: str) -> None:
        """Neither another's folder nor another's server opens, and no kernel prints to a port."""
        seen = await execute(channel, LOOK.format(neighbour=neighbour))
        if "".join(out.get("text", "") for out in seen) != "ipc False\n":  # may come in pieces
            raise RuntimeError(f"{self.name} sees {neighbour}'s folder, or kernels use ports: {seen}")
        answer = await self.http.get(f"/user/{neighbour}/api/contents")
        if answer.status_code != 403:
            raise RuntimeError(f"{self.name} got {answer.status_code} from {neighbour}'s server")

    async def connect(self, kernel: str):
        """The kernel's websocket."""
        address = self.address.replace("http", "ws", 1) + f"{self.home}/api/kernels/{kernel}/channels"
        request = self.http.build_request("GET", f"{self.home}/api/kernels/{kernel}/channels")
        headers = {"Cookie": request.headers["cookie"], "Origin": self.address}
        return await websocket_connect(HTTPRequest(address, headers=headers), max_message_size=2**28)

    async def has_both(self, path: str) -> bool:
        """Whether the lecturer's correction and the student's own cell stand in the notebook."""
        words = json.dumps(await self.read(path))
        return words.count(CORRECTED) == 2 and f"{OWN}, by {self.name}" in words


async def teacher_stays_outside(address: str, password: str, student: str) -> None:
    """A teacher sees who is there, and opens nobody's server."""
    teacher = Student(address, "teacher", password)
    await teacher.log_in()
    for path, wanted in {"/hub/api/users": 200, f"/user/{student}/api/contents": 403}.items():
        answer = await teacher.http.get(path, headers=teacher.xsrf("/hub/"))
        if answer.status_code != wanted:
            raise RuntimeError(f"the teacher got {answer.status_code} from {path}, not {wanted}")
    await teacher.http.aclose()


def source_of(cell: dict) -> str:
    return "".join(cell["source"])


def decoded(frame: str | bytes | None) -> dict:
    """A message of the kernel; those of widgets with pictures come as bytes."""
    if frame is None:
        raise RuntimeError("the kernel's connection was closed")
    return deserialize_binary_message(frame) if isinstance(frame, bytes) else json.loads(frame)


async def execute(channel, code: str) -> list[dict]:
    """One cell through a kernel's websocket: its outputs, complete."""
    header = {"msg_id": uuid.uuid4().hex, "msg_type": "execute_request", "username": "", "session": "browser"}
    content = {
        "code": code,
        "silent": False,
        "store_history": True,
        "allow_stdin": False,
        "stop_on_error": True,
    }
    envelope = {
        "header": header | {"version": "5.3"},
        "parent_header": {},
        "metadata": {},
        "channel": "shell",
    }
    await channel.write_message(json.dumps(envelope | {"content": content}))
    outputs, waiting = [], {"execute_reply", "idle"}
    while waiting:
        message = decoded(await channel.read_message())
        kind = message["header"]["msg_type"]
        if message["parent_header"].get("msg_id") != header["msg_id"]:
            continue
        if kind in ("stream", "display_data", "execute_result", "error"):
            message["content"].pop("transient", None)
            outputs.append({"output_type": kind, **message["content"]})
        waiting -= {kind, message["content"].get("execution_state")}
    return outputs


# A lecture


async def lecture(address: str, hub, names: list[str], password: str, repository: str, work: Path, path: str):
    """All students at once: the seconds of each stage, what all kernels together use, and what went wrong."""
    students = [Student(address, name, password) for name in names]
    seconds: dict[str, list[float]] = {"log in": [], "pull": [], "run": [], "all three": [], "pull again": []}
    failures = []

    async def timed(stage: str, job) -> None:
        began = time.monotonic()
        await job
        seconds[stage].append(time.monotonic() - began)

    async def first_lesson(student: Student) -> None:
        began = time.monotonic()
        await timed("log in", student.log_in())
        await timed("pull", student.pull(repository))
        neighbour = names[(names.index(student.name) + 1) % len(names)]
        await timed("run", student.run(path, neighbour))
        seconds["all three"].append(time.monotonic() - began)

    async def second_lesson(student: Student) -> None:
        await timed("pull again", student.pull(repository))
        if not await student.has_both(path):
            raise RuntimeError(f"{student.name}: the correction or the student's own cell is missing")

    for lesson in (first_lesson, second_lesson):
        ends = await asyncio.gather(*map(lesson, students), return_exceptions=True)
        failures += [f"{type(end).__name__}: {end}" for end in ends if end is not None]
        print(f"{lesson.__name__}: {sum(end is None for end in ends)} of {len(ends)}", file=sys.stderr)
        if lesson is first_lesson:
            use = use_of(hub)
            push_correction(work, path)
    if ACCOUNTS:
        await teacher_stays_outside(address, password, names[0])
    await asyncio.gather(*(student.http.aclose() for student in students))
    return seconds, use, failures


def percentile(values: list[float], share: float) -> float:
    """The smallest value that at least this share of the values does not exceed."""
    return sorted(values)[max(0, -(-len(values) * round(share * 100) // 100) - 1)]


def report(seconds: dict, use: dict, failures: list[str], count: int, chapter: str) -> None:
    gb = psutil.virtual_memory().total / 1e9
    print(f"students at once: {count}, chapter {chapter}, {os.cpu_count()} processors, {gb:.0f} GB of memory")
    print("\n| stage | median s | 95 % s | longest s |\n|---|---|---|---|")
    for stage, values in seconds.items():
        if values:
            print(f"| {stage} | {median(values):.1f} | {percentile(values, 0.95):.1f} | {max(values):.1f} |")
    print("\n| after the run | median MB | largest MB | median processor s |\n|---|---|---|---|")
    for kind, values in use.items():
        if values:
            sizes, busy = zip(*values, strict=True)
            print(f"| {kind} | {median(sizes):.0f} | {max(sizes):.0f} | {median(busy):.1f} |")
    print(f"\nfailures: {len(failures)}")
    for failure in failures:
        print(f"- {failure}")


def chapter_path(number: str) -> str:
    found = sorted(ROOT.glob(f"chapters/{number}_*.ipynb"))
    if len(found) != 1:
        sys.exit(
            f"--chapter {number}: {len(found)} notebooks of this number in chapters/. Give one such as 03."
        )
    return f"chapters/{found[0].name}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--students", type=int, default=3, help="how many at once")
    parser.add_argument("--chapter", default="03", help="the number of the chapter that they run")
    options = parser.parse_args()
    if not (BIN / "configurable-http-proxy").exists():
        sys.exit("The proxy is missing. Install it with: python3 course.py hub --install")
    path = chapter_path(options.chapter)
    if os.geteuid() == 0 and not ACCOUNTS:
        if closed := closed_folder():
            sys.exit(f"{closed} is closed to other accounts, and students need the Python in it. Open it.")
        enter_own_namespaces()
    names, password = [f"student{k:02}" for k in range(options.students)], secrets.token_hex(8)
    with tempfile.TemporaryDirectory(prefix="class-", ignore_cleanup_errors=True) as folder:
        with class_server(Path(folder), names, password) as (address, repository, hub):
            job = lecture(address, hub, names, password, repository, Path(folder) / "lecturer", path)
            seconds, use, failures = asyncio.run(job)
    report(seconds, use, failures, options.students, options.chapter)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
