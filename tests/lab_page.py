"""JupyterLab as its user meets it: `make lab` on a copy of the notebooks, and what hands do in the browser."""

import os
import re
import shutil
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import nbformat

from capkit.datasets import project_root

MENU_MS, RUN_MS, SAVE_EVERY_MS = 20_000, 240_000, 2_000
#: what can be seen of the notebook at this scroll position
IN_VIEW = """
() => ({
    figures: [...document.querySelectorAll('.jp-OutputArea img')].filter(e => e.naturalWidth).map(e => e.src),
    formulas: document.querySelectorAll('.jp-Notebook mjx-container').length,
    unreadable: document.querySelectorAll('.jp-Notebook mjx-merror').length,
})
"""


@contextmanager
def lab(folder, environment=None):
    """Start `make lab` without a screen in ``folder``; the address that it prints."""
    server = subprocess.Popen(
        [
            "make",
            "--no-print-directory",
            "lab",
            f"VENV={sys.prefix}",
            "DISPLAY=",
            "WAYLAND_DISPLAY=",
        ],
        cwd=folder,
        env={**os.environ, **(environment or {})},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    found = (re.search(r"http://127\.0\.0\.1:\S+token=\w+", line) for line in server.stdout)
    yield next(match[0] for match in found if match)
    subprocess.run(["pkill", "-g", str(server.pid)], check=False)
    server.wait(timeout=20)


def copy_course(folder):
    """Copy what `make lab` opens, so that nothing a test does is saved into the project."""
    for name in ("Makefile", "pyproject.toml", "requirements.lock"):
        shutil.copy2(project_root() / name, folder)
    shutil.copytree(project_root() / "notebooks", folder / "notebooks")
    settings = folder / "settings"
    return {
        f"JUPYTER_{kind}_DIR": str(settings / kind.lower()) for kind in ("CONFIG", "RUNTIME")
    } | {
        "JUPYTERLAB_SETTINGS_DIR": str(settings / "lab"),
        "JUPYTERLAB_WORKSPACES_DIR": str(settings / "workspaces"),
        "CAPKIT_RUNS": str(folder / "runs"),
    }


class Notebook:
    """One notebook open in JupyterLab."""

    def __init__(self, page, address, folder, path):
        self.page, self.file = page, Path(folder) / path
        base, token = re.match(r"(http://127\.0\.0\.1:\d+)/.*token=(\w+)", address).groups()
        page.set_default_timeout(MENU_MS)
        page.goto(f"{base}/lab/tree/{path}?token={token}&reset")
        page.locator(".jp-Notebook:visible").wait_for(timeout=60_000)
        # the indicator in the notebook says idle before there is a kernel
        page.locator("#jp-main-statusbar", has_text="| Idle").wait_for(timeout=60_000)

    def menu(self, name, entry):
        """Choose an entry of a menu."""
        self.page.locator(".lm-MenuBar-itemLabel", has_text=re.compile(f"^{name}$")).click()
        self.page.locator(".lm-Menu-itemLabel", has_text=re.compile(f"^{entry}$")).click()

    def saved(self):
        """Save by the menu and read what is on the disk."""
        self.menu("File", "Save Notebook")
        self.page.wait_for_timeout(500)
        return nbformat.read(self.file, as_version=4)

    def run_all(self):
        """Run all cells by the menu; the notebook when its last cell, or one with an error, has run."""
        self.menu("Edit", "Clear Outputs of All Cells")
        self.menu("Run", "Run All Cells")
        for _ in range(RUN_MS // SAVE_EVERY_MS):
            self.page.wait_for_timeout(SAVE_EVERY_MS)
            notebook = self.saved()
            code = [c for c in notebook.cells if c.cell_type == "code"]
            if code[-1].execution_count or errors(notebook):
                return notebook
        raise TimeoutError(f"{self.file.name} did not finish within {RUN_MS / 1000:.0f} s")

    def look(self):
        """Scroll from top to bottom: how many figures, whether formulas are drawn, whether one is not.

        JupyterLab does not pass on a figure's alternative text, so that it is looked for in the book.
        """
        panel = self.page.locator(".jp-WindowedPanel-outer:visible").first
        figures, formulas, unreadable, position = set(), 0, 0, 0
        while True:
            panel.evaluate("(e, y) => { e.scrollTop = y }", position)
            self.page.wait_for_timeout(300)
            seen = self.page.evaluate(IN_VIEW)
            figures.update(seen["figures"])
            formulas, unreadable = (
                max(formulas, seen["formulas"]),
                max(unreadable, seen["unreadable"]),
            )
            position += 500
            if position > panel.evaluate("e => e.scrollHeight"):
                return len(figures), formulas, unreadable

    def find(self, selector, text):
        """The first such element with ``text`` in it, looked for from top to bottom, in view.

        JupyterLab keeps only the cells near the view in the page.
        """
        panel = self.page.locator(".jp-WindowedPanel-outer:visible").first
        found = self.page.locator(selector, has_text=text).first
        position = 0
        while True:
            panel.evaluate("(e, y) => { e.scrollTop = y }", position)
            self.page.wait_for_timeout(200)
            if found.count():
                found.scroll_into_view_if_needed()
                return found
            position += 500
            if position > panel.evaluate("e => e.scrollHeight"):
                raise LookupError(f"no {selector} with {text!r} in {self.file.name}")

    def cell(self, text):
        """The code cell with ``text`` in it."""
        return self.find(".jp-CodeCell", text)

    def fill(self, text, source):
        """Replace the cell that has ``text`` in it, as a learner fills an exercise, and run it."""
        editor = self.cell(text).locator(".cm-content")
        editor.click()
        self.page.keyboard.press("ControlOrMeta+A")
        self.page.keyboard.insert_text(source)
        self.page.keyboard.press("Shift+Enter")

    def move_slider(self, label, steps):
        """Move the slider with this label by arrow keys (left where ``steps`` is negative)."""
        handle = self.find(".widget-slider", label).locator("[role=slider]")
        handle.focus()
        for _ in range(abs(steps)):
            handle.press("ArrowRight" if steps > 0 else "ArrowLeft")


def errors(notebook):
    """The errors in a notebook's outputs."""
    return [
        f"{o.ename}: {o.evalue}"
        for cell in notebook.cells
        for o in cell.get("outputs", [])
        if o.output_type == "error"
    ]
