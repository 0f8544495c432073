"""A person's morning: open JupyterLab, run a notebook, move a slider.

The browser is the system's own Chromium; where there is none the test skips.
"""

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
NOTEBOOK = "06_recurrent_glimpses.ipynb"
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]

pytestmark = pytest.mark.browser


def find_browser():
    found = [path for name in BROWSERS if (path := shutil.which(name))]
    if not found:
        pytest.skip(f"no browser here: none of {', '.join(BROWSERS)}")
    return found[0]


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture
def lab(tmp_path):
    """Start JupyterLab on a copy of the notebook; yield its address."""
    find_browser()
    shutil.copy(ROOT / "notebooks" / NOTEBOOK, tmp_path)
    port = free_port()
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "ATTNLIB_PROFILE": "smoke",
        "ATTNLIB_CACHE": str(tmp_path / "cache"),
        "ATTNLIB_REPORTS": str(tmp_path / "reports"),
        "JUPYTER_CONFIG_DIR": str(tmp_path / "config"),
        "JUPYTER_DATA_DIR": str(tmp_path / "jupyter"),
        "JUPYTER_RUNTIME_DIR": str(tmp_path / "runtime"),
        "JUPYTERLAB_WORKSPACES_DIR": str(tmp_path / "workspaces"),
    }
    command = [
        *(sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root"),
        f"--ServerApp.root_dir={tmp_path}",
        f"--ServerApp.port={port}",
        "--ServerApp.ip=127.0.0.1",
        "--IdentityProvider.token=",
        "--LabApp.expose_app_in_browser=True",
        "--LabApp.news_url=",
        "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
    ]
    with (tmp_path / "lab.log").open("wb") as log:
        server = subprocess.Popen(
            command, env=environment, stdout=log, stderr=log, cwd=tmp_path
        )
    address = f"http://127.0.0.1:{port}"
    try:
        wait_for_server(server, address, tmp_path / "lab.log")
        yield address
    finally:
        server.terminate()
        try:
            server.wait(30)
        except subprocess.TimeoutExpired:
            server.kill()


def wait_for_server(server, address, log, patience_s=120):
    deadline = time.monotonic() + patience_s
    while time.monotonic() < deadline and server.poll() is None:
        with contextlib.suppress(OSError):
            urllib.request.urlopen(f"{address}/api", timeout=5).close()
            return
        time.sleep(0.5)
    pytest.fail(f"JupyterLab did not start:\n{log.read_text()[-3000:]}")


@pytest.fixture
def page(lab):
    playwright = pytest.importorskip("playwright.sync_api")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(
            executable_path=find_browser(), args=FLAGS
        )
        page = browser.new_page(viewport={"width": 1400, "height": 1000})
        page.set_default_timeout(180_000)
        page.goto(f"{lab}/lab/tree/{NOTEBOOK}")
        yield page
        browser.close()


def run_all(page):
    """Run every cell and wait for the last one."""
    page.wait_for_selector(".jp-Notebook .jp-Cell")
    page.wait_for_function(
        "() => { const w = window.jupyterapp && "
        "window.jupyterapp.shell.currentWidget; return w && w.sessionContext"
        " && w.sessionContext.session && w.sessionContext.session.kernel &&"
        " w.sessionContext.session.kernel.status === 'idle' }"
    )
    page.evaluate(
        "() => window.jupyterapp.commands.execute('notebook:run-all-cells')"
    )


def error_output(page):
    """Return the text of the first traceback, None without any."""
    found = page.query_selector(
        "[data-mime-type='application/vnd.jupyter.stderr'] pre, "
        "[data-mime-type='application/vnd.jupyter.error'] pre"
    )
    text = found.inner_text() if found else ""
    return text if "Error" in text else None


def test_moving_the_glimpse_slider_changes_the_figure(page):
    run_all(page)
    box = page.locator(".widget-slider", has_text="glimpse").first
    box.wait_for(state="attached")
    assert error_output(page) is None
    box.scroll_into_view_if_needed()
    output = page.locator(".jp-OutputArea-output", has=box).first
    picture = output.locator("img").first
    picture.wait_for()
    before = picture.get_attribute("src")
    readout = box.locator(".widget-readout")
    shown = readout.inner_text()
    handle = box.locator(".noUi-handle")
    handle.focus()
    handle.press("ArrowRight")
    page.wait_for_function(
        "([box, shown]) => box.querySelector('.widget-readout').innerText"
        " !== shown",
        arg=[box.element_handle(), shown],
    )
    page.wait_for_function(
        "([area, before]) => area.querySelector('img').src !== before",
        arg=[output.element_handle(), before],
    )
    assert picture.evaluate("image => image.naturalWidth") > 100
