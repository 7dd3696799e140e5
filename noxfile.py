"""The matrix: the behaviour suite on each SDK generation. `nox` runs all of it, `nox -s "sdk(4.8.1)"` one.

Sessions for a Python that this machine does not have are skipped.
"""

from __future__ import annotations

import nox

nox.options.default_venv_backend = "venv"
nox.options.error_on_missing_interpreters = False

FAULTS = "tests/behaviour/test_faults.py"
"""The one file that takes a minute: it runs where the dialects and their transports differ, and with the lowest anyio."""
WITH_FAULTS = ["4.8.1", "5.3.4", "6.1.1", "7.17.0"]
VERSIONS = ["3.11.0", "4.8.1", "5.0.0", "5.3.4", "6.0.1", "6.1.1", "7.0.0", "7.6.0", "7.17.0"]
TOOLS = ["pytest>=8.4", "pytest-asyncio>=1.2", "pytest-timeout>=2.3"]
SUITE = ["tests/behaviour", "tests/test_migration.py", "-q", "-p", "no:cacheprovider", "--assert=plain"]


@nox.session
@nox.parametrize("version", VERSIONS, ids=VERSIONS)
def sdk(session: nox.Session, version: str) -> None:
    """Run the behaviour suite on one SDK, with the newest of everything else."""
    session.install(f"deepgram-sdk=={version}", ".", *TOOLS)
    without = () if version in WITH_FAULTS else (f"--ignore={FAULTS}",)
    session.run("python", "-m", "pytest", *SUITE, *without, *session.posargs)


@nox.session(python="3.10")
def lowest(session: nox.Session) -> None:
    """Run it on the lowest versions that pyproject.toml declares, on the lowest Python."""
    session.install("deepgram-sdk==3.11.0", "anyio==4.6.0", ".", *TOOLS)
    session.run("python", "-m", "pytest", *SUITE, *session.posargs)


@nox.session(python="3.13")
def newest(session: nox.Session) -> None:
    """Run everything on the newest of everything, on the newest Python."""
    session.install("--upgrade", "--upgrade-strategy=eager", ".[dev]", "uvloop")
    session.run("python", "-m", "pytest", "-q", "-p", "no:cacheprovider", *session.posargs)
