"""A real JupyterLab in a real Chromium: what the browser tests and benchmarks/slider_latency.py stand on."""

import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import nbformat
import psutil
from playwright.sync_api import ElementHandle, Error, Page, sync_playwright

REPOSITORY = Path(__file__).resolve().parent.parent
NO_NEWS = {"fetchNews": "false", "checkForUpdates": False}  # a pop-up would cover the page
HARMLESS = ("Could not restore the debugger state",)  # JupyterLab itself writes it when a kernel restarts
IDLE = "jupyterapp.shell.currentWidget?.context?.sessionContext?.session?.kernel?.status === 'idle'"
BUSY = "[...document.querySelectorAll('.jp-InputPrompt')].some(p => p.textContent.includes('*'))"
DONE = f"() => {IDLE} && !{BUSY}"


@dataclass(frozen=True)
class Lab:
    """A running server: its address, the folder of its notebooks, and its own (so trustless) data folder."""

    url: str
    folder: Path
    data: Path
    pid: int

    def kernel(self) -> psutil.Process:
        """The process of the kernel that was started last."""
        children = psutil.Process(self.pid).children(recursive=True)
        return max(
            (p for p in children if "ipykernel_launcher" in p.cmdline()), key=psutil.Process.create_time
        )


def chromium() -> str | None:
    """Where Chromium is, or None."""
    return next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


@contextmanager
def browser() -> Iterator:
    with sync_playwright() as playwright:
        chrome = playwright.chromium.launch(executable_path=chromium(), args=["--no-sandbox"])
        yield chrome
        chrome.close()


@contextmanager
def jupyter_lab(home: Path) -> Iterator[Lab]:
    """JupyterLab on a free port of this machine only; all that it writes stays in `home`."""
    folder, data, settings = home / "notebooks", home / "data", home / "settings"
    news = settings / "@jupyterlab/apputils-extension/notification.jupyterlab-settings"
    for needed in (folder, news.parent):
        needed.mkdir(parents=True)
    news.write_text(json.dumps(NO_NEWS))
    shutil.copy(REPOSITORY / "constraints.txt", home)  # chapter 00 looks for it, one folder up
    places = {
        "JUPYTER_DATA_DIR": data,
        "JUPYTER_CONFIG_DIR": home / "config",
        "JUPYTER_RUNTIME_DIR": home / "runtime",
        "JUPYTERLAB_SETTINGS_DIR": settings,
        "JUPYTERLAB_WORKSPACES_DIR": home / "workspaces",
        "IPYTHONDIR": home / "ipython",
        "PYTHONPATH": REPOSITORY,
    }
    environment = os.environ | {name: str(path) for name, path in places.items()}
    port = _free_port()
    with open(home / "lab.log", "w") as log:
        command = _command(folder, port)
        server = subprocess.Popen(command, env=environment, stdout=log, stderr=subprocess.STDOUT)
    try:
        yield Lab(f"http://127.0.0.1:{port}", folder, data, server.pid)
    finally:
        _end(server)


def _command(folder: Path, port: int) -> list[str]:
    options = {
        "IdentityProvider.token": "",
        "MappingKernelManager.cull_idle_timeout": 300,
        "ServerApp.disable_check_xsrf": True,
        "ServerApp.ip": "127.0.0.1",
        "ServerApp.port": port,
        "ServerApp.port_retries": 0,
        "ServerApp.root_dir": folder,
        "ServerApp.shutdown_no_activity_timeout": 300,  # should the process that started it be killed
    }
    switches = ["--no-browser", "--allow-root", "--expose-app-in-browser"]
    return [sys.executable, "-m", "jupyterlab", *switches, *(f"--{k}={v}" for k, v in options.items())]


def _free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def _end(server: subprocess.Popen) -> None:
    """Ask the server to stop, which ends its kernels; kill what is left after ten seconds."""
    family = psutil.Process(server.pid).children(recursive=True) if server.poll() is None else []
    server.terminate()
    try:
        server.wait(10)
    except subprocess.TimeoutExpired:
        server.kill()
    for process in psutil.wait_procs(family, timeout=3)[1]:
        process.kill()


def open_notebook(page: Page, lab: Lab, name: str, mode: str = "doc") -> None:
    """Open a notebook, by itself or as "lab" with all around it; wait for its cells and an idle kernel."""
    for _ in range(150):  # the server takes seconds to start
        try:
            page.goto(f"{lab.url}/{mode}/tree/{name}", wait_until="commit")
            break
        except Error:
            page.wait_for_timeout(200)
    page.wait_for_function(f"() => window.jupyterapp && {IDLE}", timeout=60_000)
    page.wait_for_selector(".jp-Notebook .jp-Cell")


def run_all(page: Page, restart: bool = False) -> None:
    """Run every cell, and wait until all have run and the kernel is idle."""
    if restart:
        page.evaluate("jupyterapp.shell.currentWidget.context.sessionContext.session.kernel.restart()")
        page.wait_for_function(f"() => {IDLE}")
    page.evaluate("jupyterapp.commands.execute('notebook:run-all-cells')")
    page.wait_for_function(DONE, timeout=120_000)
    page.wait_for_timeout(300)  # the last outputs are drawn


def failures(page: Page) -> list[str]:
    """The errors among the outputs of all cells, from the notebook's model, seen or not."""
    return page.evaluate(
        """() => jupyterapp.shell.currentWidget.content.widgets
            .flatMap((cell) => cell.model.outputs?.toJSON() ?? [])
            .filter((output) => output.output_type === 'error')
            .map((output) => `${output.ename}: ${output.evalue}`)"""
    )


def cells_with(page: Page, words: str) -> list[int]:
    """The numbers of the cells that have `words` in an output, seen or not."""
    return page.evaluate(
        """(words) => jupyterapp.shell.currentWidget.content.widgets.flatMap((cell, i) =>
            JSON.stringify(cell.model.outputs?.toJSON() ?? "").includes(words) ? [i] : [])""",
        words,
    )


def show_cell(page: Page, number: int) -> ElementHandle:
    """Scroll to a cell, for JupyterLab need not draw what is far away; gives its element."""
    page.evaluate(
        """async (i) => {
            const notebook = jupyterapp.shell.currentWidget.content;
            notebook.activeCellIndex = i;
            await notebook.scrollToItem(i, "start");
        }""",
        number,
    )
    return page.evaluate_handle(
        "i => jupyterapp.shell.currentWidget.content.widgets[i].node", number
    ).as_element()


def save(page: Page) -> None:
    page.evaluate("jupyterapp.commands.execute('docmanager:save')")


def stop_kernel(page: Page) -> None:
    page.evaluate("jupyterapp.shell.currentWidget.context.sessionContext.shutdown()")


def complaints(page: Page) -> list[str]:
    """A list that fills with the errors that the page writes to its console, but for the harmless ones."""
    found: list[str] = []
    page.on("pageerror", lambda error: found.append(str(error)))
    page.on(
        "console", lambda m: found.append(m.text) if m.type == "error" and not _harmless(m.text) else None
    )
    return found


def write_notebook(path: Path, *sources: str) -> None:
    """A notebook of code cells that nobody has run."""
    cells = [nbformat.v4.new_code_cell(source, id=f"cell-{i:03}") for i, source in enumerate(sources)]
    metadata = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    nbformat.write(nbformat.v4.new_notebook(cells=cells, metadata=metadata), path)


def _harmless(message: str) -> bool:
    return any(known in message for known in HARMLESS)
