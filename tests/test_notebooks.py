"""The notebooks as files: clean runs, honest parameters, small sizes."""

import ast
import re

import nbformat

from capkit.course import CHAPTERS, REGISTRY
from capkit.course.notebooks import clean, is_current, source_hash
from capkit.course.products import notebook_path

MACHINE_TRACE = re.compile(r"(/(home|root|tmp|work|Users|builds?)/\w|<[\w. ]+ object at 0x)")
KILOBYTE = 1024


def code_cells(notebook):
    return [c for c in notebook.cells if c.cell_type == "code"]


def outputs(notebook):
    return [o for c in code_cells(notebook) for o in c.outputs]


def prose(notebook):
    return "\n\n".join(c.source for c in notebook.cells if c.cell_type == "markdown")


def declared_parameters(notebook):
    cells = [c for c in notebook.cells if "parameters" in c.metadata.get("tags", [])]
    assert len(cells) == 1, "exactly one cell is tagged parameters"
    return {
        statement.targets[0].id: ast.literal_eval(statement.value)
        for statement in ast.parse(cells[0].source).body
    }


def test_is_valid_and_has_nothing_that_changes_from_run_to_run(notebook, chapter):
    nbformat.validate(notebook)
    before = nbformat.writes(notebook)
    assert nbformat.writes(clean(notebook, chapter)) == before


def test_outputs_belong_to_the_source(chapter):
    assert is_current(chapter), f"run: make notebooks NB={chapter[:2]}"


def test_ran_once_from_top_to_bottom(notebook):
    counts = [c.execution_count for c in code_cells(notebook)]
    assert counts == list(range(1, len(counts) + 1))


def test_stores_no_error_no_warning_no_machine_path(notebook):
    assert not [o for o in outputs(notebook) if o.output_type == "error"]
    assert not [o for o in outputs(notebook) if o.get("name") == "stderr"]
    texts = [o.get("text", "") for o in outputs(notebook)]
    texts += [
        str(v) for o in outputs(notebook) for k, v in o.get("data", {}).items() if "png" not in k
    ]
    for text in [*texts, *(c.source for c in notebook.cells)]:
        assert not MACHINE_TRACE.search(text), MACHINE_TRACE.search(text)


def test_parameters_are_the_registered_ones_with_their_defaults(notebook):
    for name, default in declared_parameters(notebook).items():
        assert name in REGISTRY
        assert default == REGISTRY[name].default
        assert type(default) is type(REGISTRY[name].default)


def test_every_registered_parameter_is_used_somewhere():
    used = {
        name
        for chapter in CHAPTERS
        for name in declared_parameters(nbformat.read(notebook_path(chapter), as_version=4))
    }
    assert used == set(REGISTRY)


def test_cells_are_short(notebook):
    assert max(len(c.source.splitlines()) for c in code_cells(notebook)) <= 20


def test_opens_and_closes_like_every_chapter(notebook, chapter):
    text = prose(notebook)
    assert text.startswith(f"# {chapter[:2]} ")
    for part in ("You will be able to", "Minutes", "中文提要", "What you can do now", "## Next"):
        assert part in text, part
    assert chapter[:2] in ("00", "01") or "## When this breaks" in text


def test_is_small(chapter):
    assert notebook_path(chapter).stat().st_size <= 400 * KILOBYTE


def test_all_together_are_small():
    assert sum(notebook_path(c).stat().st_size for c in CHAPTERS) <= 4 * KILOBYTE**2


def test_source_hash_ignores_outputs_and_sees_the_source(notebook):
    before = source_hash(notebook)
    code_cells(notebook)[0].outputs = []
    assert source_hash(notebook) == before
    code_cells(notebook)[0].source += "\n1"
    assert source_hash(notebook) != before
