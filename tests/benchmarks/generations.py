"""The generations of the SDK: an environment of its own for each version, made once and kept."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import venv
from pathlib import Path

from .report import Row, of_json

_PROJECT = Path(__file__).parents[2]
_CACHE = _PROJECT / ".benchmarks"


def run_on(version: str, arguments: list[str]) -> list[Row]:
    """Run the benchmarks with these arguments on a version of the SDK."""
    with tempfile.TemporaryDirectory() as directory:
        out = Path(directory) / "rows.json"
        command = [_python(version), "-m", __package__ or "", *arguments, "--json", str(out)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, cwd=_PROJECT)  # noqa: S603  (this package)
        return of_json(out.read_text(encoding="utf-8"))


def _python(version: str) -> str:
    """Return the Python of the environment, which is made where there is none; the project is installed editable."""
    where = _CACHE / f"{version}-py{sys.version_info.major}.{sys.version_info.minor}"
    python = where / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
    is_complete = where / "complete"
    if not is_complete.exists():
        print(f"  deepgram-sdk {version}: installing into {where}", file=sys.stderr)
        venv.create(where, clear=True, with_pip=True)
        install = [str(python), "-m", "pip", "install", "-q", f"deepgram-sdk=={version}", "-e", str(_PROJECT)]
        subprocess.run(install, check=True)  # noqa: S603  (pip)
        is_complete.touch()
    return str(python)
