"""`ppl-models experiment` and `list`: experiments are files with a run."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from command_line import spoken


def test_experiments_are_files_with_a_run(
    fake_experiments: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(fake_experiments)
    assert "does it run?" in spoken(capsys, "list")
    assert "_helper" not in spoken(capsys, "list") and "folder" not in spoken(capsys, "list")
    page = spoken(capsys, "experiment", "asked", "--smoke").strip()
    assert page == "out/asked/asked.html" and Path(page).read_text() == "smoke=True"
    spoken(capsys, "experiment", "asked", status=2)
    assert Path(page).read_text() == "smoke=True"
    spoken(capsys, "experiment", "asked", "--overwrite")
    assert Path(page).read_text() == "smoke=False"
    spoken(capsys, "experiment", "asked", "--out", "missing/folder", status=2)
    spoken(capsys, "experiment", "failing", "--out", "elsewhere", status=2)
    assert not Path("elsewhere").exists() and not list(Path().glob(".*part"))
    assert sorted(p.name for p in Path("out").iterdir()) == ["asked"]


@pytest.fixture
def fake_experiments(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package of experiments instead of the real one."""
    package = tmp_path / "somewhere" / "experiments"
    package.joinpath("folder").mkdir(parents=True)
    run = "def run(folder, *, smoke=False):\n    page = folder / 'asked.html'\n"
    sources = {
        "__init__": "",
        "_helper": run,
        "notes": '"""No run."""',
        "folder/__init__": run,
        "asked": f'"""Asked: does it run?"""\n{run}    page.write_text(f"{{smoke=}}")\n'
        "    return page\n",
        "failing": f'{run}    page.write_text("half")\n    raise OSError("the disk is full")\n',
    }
    for name, source in sources.items():
        (package / f"{name}.py").write_text(source)
    for name in [n for n in sys.modules if n.partition(".")[0] == "experiments"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.syspath_prepend(package.parent)
    yield tmp_path
    for name in [n for n in sys.modules if n.partition(".")[0] == "experiments"]:
        del sys.modules[name]
