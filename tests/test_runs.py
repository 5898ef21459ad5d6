"""`python -m capkit run`: what is refused before anything runs, runs that stop and go on, their manifest."""

import json
import shlex
import shutil

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook

from capkit import course, datasets
from capkit.course import inspection, manifest, run
from capkit.course.execution import ChapterError, is_done, run_chapters
from capkit.course.products import notebook_path

TOUR, FIRST, SECOND = "00_start_here", "03_workload_analysis", "06_queueing"
SAVE = (
    "from capkit import course\n"
    "{inputs}"
    "course.save(run_dir, '{chapter}', 'x@1', {{'seed': seed}}, parameters=course.used_parameters(globals()),"
    " inputs=inputs)"
)


def write_notebook(folder, chapter, cells, inputs="inputs = []\n"):
    first = new_code_cell('run_dir = ""\nseed = 1  # seed', metadata={"tags": ["parameters"]})
    save = new_code_cell(SAVE.format(chapter=chapter, inputs=inputs))
    kernel = {"kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"}}
    notebook = new_notebook(cells=[first, *map(new_code_cell, cells), save], metadata=kernel)
    nbformat.write(notebook, folder / f"{chapter}.ipynb")


@pytest.fixture(scope="module")
def stopped(tmp_path_factory):
    """Two short notebooks; the second fails at seed 2. The run stopped there, was mended, went on."""
    folder, out = tmp_path_factory.mktemp("notebooks"), tmp_path_factory.mktemp("runs") / "run"
    write_notebook(folder, FIRST, [])
    write_notebook(
        folder, SECOND, ["1 / (seed - 2)"], f"inputs = [course.load(run_dir, '{FIRST}')]\n"
    )
    terms = {"notebooks": folder, "progress": False, "resume": True}
    with pytest.raises(ChapterError) as stop:
        run_chapters([FIRST, SECOND], {"seed": 2}, out, **terms)
    before = manifest.read(out)
    partial = out / f".{SECOND}.123"  # what a killed run was writing
    partial.mkdir()
    write_notebook(folder, SECOND, ["1 / seed"], f"inputs = [course.load(run_dir, '{FIRST}')]\n")
    seconds = run_chapters([FIRST, SECOND], {"seed": 2}, out, **terms)
    return folder, out, stop.value, before, seconds


def test_a_chapter_that_fails_stops_the_run_and_leaves_its_notebook(stopped):
    _, out, error, before, _ = stopped
    assert error.chapter == SECOND
    assert error.reason == "ZeroDivisionError: division by zero"
    assert error.notebook == out / f"{SECOND}.partial.ipynb"
    assert list(before["chapters"]) == [FIRST]
    assert before["finished"] is None


def test_a_run_goes_on_with_what_is_missing(stopped):
    _, out, _, before, seconds = stopped
    after = manifest.read(out)
    assert list(seconds) == [SECOND]
    assert after["chapters"][FIRST] == before["chapters"][FIRST]
    assert course.load(out, SECOND).data == {"seed": 2}
    assert not [p.name for p in out.iterdir() if p.name.startswith(".") or "partial" in p.name]


def test_the_manifest_says_with_what_the_run_was_made(stopped):
    _, out, *_ = stopped
    record = manifest.read(out)
    assert record["parameters"] == {"seed": 2}
    assert record["wanted"] == [FIRST, SECOND]
    assert record["versions"]["numpy"]
    assert record["data"]["catalogue.csv"]
    assert {"revision", "machine", "python", "started", "finished"} <= record.keys()
    entry = record["chapters"][SECOND]
    assert entry["product"] == course.load(out, SECOND).sha256
    assert 0.0 < entry["cell_seconds"] < entry["seconds"]


def test_the_manifest_has_the_checksums_of_the_tables_that_are_here(tmp_path, monkeypatch):
    assert manifest.provenance({})["data"] == datasets.checksums()
    monkeypatch.setattr(datasets, "data_dir", lambda: tmp_path)
    (tmp_path / "catalogue.csv").write_text("changed")
    assert manifest.provenance({})["data"] == {
        "catalogue.csv": manifest.sha256(tmp_path / "catalogue.csv")
    }


@pytest.mark.parametrize(
    "change",
    [
        lambda out: (out / f"{SECOND}.html").unlink(),
        lambda out: shutil.rmtree(out / SECOND),
        lambda out: (out / SECOND / "product.json").write_text(
            (out / SECOND / "product.json").read_text().replace('"seed": 2', '"seed": 3')
        ),
        lambda out: (out / FIRST / "product.json").write_text(
            (out / FIRST / "product.json").read_text().replace('"seed": 2', '"seed": 3')
        ),
    ],
    ids=["page", "product", "product changed", "input changed"],
)
def test_a_chapter_is_done_only_with_its_product_and_its_inputs_whole(stopped, tmp_path, change):
    folder, out, *_ = stopped
    copy = tmp_path / "copy"
    shutil.copytree(out, copy)
    entry = manifest.read(copy)["chapters"][SECOND]
    terms = (SECOND, entry, folder / f"{SECOND}.ipynb", {"seed": 2})
    assert is_done(copy, *terms)
    change(copy)
    assert not is_done(copy, *terms)


def test_other_values_or_another_notebook_run_a_chapter_again(stopped, tmp_path):
    folder, out, *_ = stopped
    entry = manifest.read(out)["chapters"][SECOND]
    assert not is_done(out, SECOND, entry, folder / f"{SECOND}.ipynb", {"seed": 3})
    write_notebook(tmp_path, SECOND, ["seed"])
    assert not is_done(out, SECOND, entry, tmp_path / f"{SECOND}.ipynb", {"seed": 2})
    assert not is_done(out, SECOND, None, folder / f"{SECOND}.ipynb", {"seed": 2})


def test_a_file_whose_content_changed_is_another_value(tmp_path):
    prices = tmp_path / "prices.csv"
    prices.write_text("a")
    before = manifest.files({"prices": str(prices), "trace": "chat", "demand": ""})
    prices.write_text("b")
    assert list(before) == [str(prices)]
    assert manifest.files({"prices": str(prices)}) != before


def test_parameters_are_data_never_evaluated(tmp_path):
    write_notebook(tmp_path, FIRST, [])
    path = tmp_path / f"{FIRST}.ipynb"
    notebook = nbformat.read(path, as_version=4)
    notebook.cells[0].source = "seed = __import__('os').getpid()"
    nbformat.write(notebook, path)
    with pytest.raises(ValueError, match="default of seed is no plain value"):
        inspection.inspect([path])
    file = tmp_path / "params.yaml"
    file.write_text("trace: !!python/object/apply:os.getcwd []\n")
    with pytest.raises(ValueError, match="cannot be read as YAML"):
        run.read_parameters(file, [])


def test_a_pair_on_the_command_line_stands_above_the_file(tmp_path):
    file = tmp_path / "params.yaml"
    file.write_text("seed: 2\nzones: 3\n")
    assert run.read_parameters(file, [("seed", "5")]) == {"seed": "5", "zones": 3}
    file.write_text("- 1\n")
    with pytest.raises(ValueError, match=r"params\.yaml must hold one name: value a line"):
        run.read_parameters(file, [])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["-p", "sede", "3"], "did you mean seed?"),
        (["--params", "missing.yaml"], "missing.yaml"),
        (["--from", "42"], "no such chapter"),
        (["--from", "05", "--to", "03"], "--from 05 comes after --to 03: nothing to run"),
        (["--resume"], "--out must name its folder"),
    ],
)
def test_run_refuses_before_anything_runs(tmp_path, capsys, arguments, message):
    out = [] if arguments == ["--resume"] else ["--out", str(tmp_path / "run")]
    with pytest.raises(SystemExit):
        run.main([*arguments, *out])
    assert message in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def only(folder, out, *more):
    """The command that runs one short notebook of a folder."""
    ends = ["--from", "03", "--to", "03", "--trust"]
    return run.main(["--notebooks", str(folder), "--out", str(out), *ends, *more])


def refused(capsys, command):
    with pytest.raises(SystemExit):
        command()
    return capsys.readouterr().err.strip().splitlines()[-1]


@pytest.mark.parametrize("below", ["", "sub"])
def test_a_file_is_no_run_folder(tmp_path, capsys, below):
    write_notebook(tmp_path, FIRST, [])
    file = tmp_path / "taken"
    file.write_text("kept")
    error = refused(capsys, lambda: only(tmp_path, file / below))
    assert "--out must name a folder, and a file is in the way" in error
    assert file.read_text() == "kept"


@pytest.mark.parametrize("own", [True, False])
def test_a_run_writes_over_no_notebook_that_is_not_a_run_s(tmp_path, capsys, own):
    source, out = tmp_path / "source", tmp_path / "source" if own else tmp_path / "other"
    for folder in {source, out}:
        folder.mkdir()
        write_notebook(folder, FIRST, [])
    before = (out / f"{FIRST}.ipynb").read_bytes()
    assert "the run would write over" in refused(capsys, lambda: only(source, out))
    assert (out / f"{FIRST}.ipynb").read_bytes() == before


def test_a_folder_that_holds_a_run_is_not_begun_again(stopped, capsys):
    folder, out, *_ = stopped
    assert "holds a run or a study: add --resume" in refused(capsys, lambda: only(folder, out))


def test_a_study_is_no_run_to_go_on_with(tmp_path, capsys):
    manifest.write(tmp_path, {"started": manifest.now(), "study": {}})
    error = refused(capsys, lambda: run.main(["--resume", "--out", str(tmp_path)]))
    assert "--out must name its folder" in error


def test_the_printed_command_goes_on_with_the_same_notebooks(tmp_path, capsys):
    folder, out = tmp_path / "my notebooks", tmp_path / "run"
    folder.mkdir()
    write_notebook(folder, FIRST, ["1 / 0"])
    assert only(folder, out) == 1
    command = shlex.split(capsys.readouterr().err.partition("to go on: ")[2])
    assert command[:4] == ["python", "-m", "capkit", "run"]
    error = refused(capsys, lambda: run.main(["--resume", "--out", str(out)]))
    assert f"the notebooks of this run are in {folder}: say --notebooks" in error
    write_notebook(folder, FIRST, [])
    assert run.main(command[4:]) == 0
    assert course.load(out, FIRST).data == {"seed": 1}


def test_a_kernel_that_dies_stops_the_run_like_a_cell_that_fails(tmp_path):
    write_notebook(tmp_path, FIRST, ["import os; os._exit(1)"])
    with pytest.raises(ChapterError, match="its kernel died") as stop:
        run_chapters([FIRST], {}, tmp_path / "run", notebooks=tmp_path, progress=False)
    assert stop.value.notebook.is_file()


def test_a_page_without_a_product_is_made_again_after_what_it_shows(tmp_path):
    write_notebook(tmp_path, FIRST, [])
    write_notebook(tmp_path, TOUR, [])
    tour = nbformat.read(tmp_path / f"{TOUR}.ipynb", as_version=4)
    tour.cells.pop()
    nbformat.write(tour, tmp_path / f"{TOUR}.ipynb")
    terms = {"notebooks": tmp_path, "progress": False, "resume": True}
    assert list(run_chapters([TOUR, FIRST], {}, tmp_path / "run", **terms)) == [FIRST, TOUR]
    assert run_chapters([TOUR, FIRST], {}, tmp_path / "run", **terms) == {}
    write_notebook(tmp_path, FIRST, ["2"])
    assert list(run_chapters([TOUR, FIRST], {}, tmp_path / "run", **terms)) == [FIRST, TOUR]


def test_notebooks_are_code_and_only_the_course_s_own_run_untold(tmp_path):
    chapter = "08_cost_optimization"
    shutil.copy(notebook_path(chapter), tmp_path)
    run.refuse_others([chapter], tmp_path)
    notebook = nbformat.read(notebook_path(chapter), as_version=4)
    notebook.cells[-1].source += "\n"
    nbformat.write(notebook, tmp_path / f"{chapter}.ipynb")
    with pytest.raises(ValueError, match=r"not the course's own .* say --trust"):
        run.refuse_others([chapter], tmp_path)
    with pytest.raises(ValueError, match="there is no notebook"):
        run.refuse_others([SECOND], tmp_path)


def test_help_params_lists_every_parameter_with_its_chapters(capsys):
    assert run.main(["--help-params"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert {line.split()[0] for line in lines} == set(course.REGISTRY) - {"run_dir"}
    (zones,) = (line for line in lines if line.startswith("zones "))
    assert zones.split()[:7] == ["zones", "int", "2", "01", "08", "09", "10"]
    assert "availability zones" in zones
    assert zones.endswith("[[1, inf)]")


def test_a_manifest_is_replaced_whole(tmp_path):
    manifest.write(tmp_path, {"a": 1})
    manifest.write(tmp_path, {"a": 2})
    assert manifest.read(tmp_path) == {"a": 2}
    assert json.loads((tmp_path / "manifest.json").read_text()) == {"a": 2}
    assert [p.name for p in tmp_path.iterdir()] == ["manifest.json"]
