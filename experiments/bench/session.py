"""A peer in a process of its own, as its benchmark sees it."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import threading
import time
from typing import Any

PATIENCE = 300.0  # seconds for one answer


class NotMeasured(Exception):
    """Why a peer is not measured here."""


class Session:
    """A process that runs one peer; it waits without taking CPU time between requests."""

    def __init__(self, peer: str):
        self._errors = tempfile.TemporaryFile("w+")  # noqa: SIM115
        command = [sys.executable, "-m", f"{__package__}.worker", peer]
        began = time.perf_counter()
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._errors, text=True
        )
        self.about = self._read()
        self.about["ready_s"] = time.perf_counter() - began

    def ask(self, **request: Any) -> dict[str, Any]:
        """The answer to a request of `worker`."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(request) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            raise NotMeasured(self._last_words()) from None
        return self._read()

    def _read(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        watch = threading.Timer(PATIENCE, self._process.kill)
        watch.start()
        line = self._process.stdout.readline()
        late = not watch.is_alive()
        watch.cancel()
        if not line:
            raise NotMeasured(f"no answer in {PATIENCE:.0f} s" if late else self._last_words())
        return json.loads(line)

    def _last_words(self) -> str:
        self._process.wait()
        self._errors.seek(0)
        lines = [line.strip() for line in self._errors.read().splitlines() if line.strip()]
        return lines[-1][:200] if lines else f"it ended with exit code {self._process.returncode}"

    def close(self) -> None:
        self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout, self._errors):
            if stream is not None:
                stream.close()
