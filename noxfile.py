"""The matrix: the behaviour suite and the types on each SDK generation. `nox` runs all of it, `nox -s "sdk(4.8.1)"` one.

Sessions for a Python that this machine does not have are skipped.
"""

from __future__ import annotations

import sys

import nox

nox.options.default_venv_backend = "venv"
nox.options.error_on_missing_interpreters = False

ABOVE_THE_ADAPTERS = [
    f"tests/behaviour/test_{name}.py"
    for name in (
        *("faults", "feed", "send_nowait", "skip", "stats", "subscribe"),
        *("sync_leaving", "sync_session", "sync_subscribe", "wrong_audio"),
    )
]
"""What no adapter has a part in runs where the dialects and their transports differ, and with the lowest anyio."""
WITH_ALL = ["4.8.1", "5.3.4", "6.1.1", "7.17.0"]
WITH_SYNC_SESSIONS = ["4.8.1", "5.3.4", "7.17.0"]
"""The kind of session `sync-session` runs once a dialect and transport; it is the async one in another thread."""
VERSIONS = ["3.11.0", "4.8.1", "5.0.0", "5.3.4", "6.0.1", "6.1.1", "7.0.0", "7.6.0", "7.17.0"]
TYPED = ["3.11.0", "4.8.1", "5.3.4", "6.1.1", "7.17.0"]
LEGACY = ["3.11.0", "4.8.1"]
"""Only these run `_adapters/legacy.py`, so what they cover counts beside what the README's test command covers."""
TOOLS = ["pytest>=8.4", "pytest-asyncio>=1.2", "pytest-timeout>=2.3", "pytest-xdist>=3.6"]
PYTEST = ["python", "-m", "pytest", "-q", "-n", "3", "-p", "no:cacheprovider", "--assert=plain"]
"""Three workers a session, because most tests wait, on SDK 3 and 4 half a second each for its listener."""
WITHOUT_SYNC_SESSIONS = ["-k", "not sync-session"]
SUITE = ["tests/behaviour", "tests/test_migration.py", "tests/test_moves.py"]


@nox.session
@nox.parametrize("version", VERSIONS, ids=VERSIONS)
def sdk(session: nox.Session, version: str) -> None:
    """Run the behaviour suite on one SDK, with the newest of everything else."""
    suite = [*SUITE, *([] if version in WITH_ALL else [f"--ignore={path}" for path in ABOVE_THE_ADAPTERS])]
    if version in WITH_SYNC_SESSIONS:
        session.env["SYNC_SESSIONS"] = "all"
    else:
        suite += WITHOUT_SYNC_SESSIONS
    if version in LEGACY:
        session.install(f"deepgram-sdk=={version}", ".", *TOOLS, "pytest-cov>=7.0")
        session.env["COVERAGE_FILE"] = f".nox/coverage/.coverage.{version}"
        suite += ["--cov", "--cov-report=", "--cov-fail-under=0"]
    else:
        session.install(f"deepgram-sdk=={version}", ".", *TOOLS)
    session.run(*PYTEST, *suite, *session.posargs)


@nox.session
@nox.parametrize("version", TYPED, ids=TYPED)
def types(session: nox.Session, version: str) -> None:
    """Check with one SDK what a stream can be made of."""
    session.install(f"deepgram-sdk=={version}", "anyio")
    targets = f"tests/typing/targets_{'legacy' if version in LEGACY else 'emitter'}.py"
    # The pyright beside nox, because its Node.js takes longer to install than all else here.
    pyright = [sys.executable, "-m", "pyright", "--pythonpath", f"{session.bin}/python"]
    session.run(*pyright, targets, external=True)


@nox.session(python="3.10")
def lowest(session: nox.Session) -> None:
    """Run it on the lowest versions that pyproject.toml declares, on the lowest Python."""
    session.install("deepgram-sdk==3.11.0", "anyio==4.6.0", ".", *TOOLS)
    session.run(*PYTEST, *SUITE, *WITHOUT_SYNC_SESSIONS, *session.posargs)


@nox.session(python="3.13")
def newest(session: nox.Session) -> None:
    """Run it on the newest of everything, on the newest Python.

    With the tests of the local server, which stands on `websockets` and asyncio as the sessions do. The unit tests
    and the examples stand on neither: the README's test command runs them, on one Python.
    """
    session.install("--upgrade", "--upgrade-strategy=eager", ".", *TOOLS, "hypothesis", "uvloop")
    session.run(*PYTEST, *SUITE, "tests/testing", *session.posargs)
