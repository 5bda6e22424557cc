#!/usr/bin/env python3
"""Runs every test binary of the workspace, two at a time, and prints the output of each when it has ended.

`cargo test` runs one binary after the other, and much of the time is spent waiting: for servers to start, for a restarted one to
answer. So the tests of the package `riverbank`, most of which start all servers and the bank, run one after the other, and beside
them those of all other packages. What is run is what `cargo test --workspace --all-targets` runs.
At the end it prints what took how long, with its CPU time.
"""

import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path

BUILD = ["cargo", "test", "--workspace", "--all-targets", "--no-run", "--message-format=json-render-diagnostics"]
# The packages whose tests start all servers and the bank: never two of those at once.
STACKS = {"riverbank"}


@dataclass
class Binary:
    package: str
    # What it was built from.
    source: str
    path: Path
    folder: Path
    # None: it was not run.
    status: int | None = None
    seconds: float = 0.0
    cpu_seconds: float = 0.0

    def run(self, printing: threading.Lock) -> None:
        env = {**os.environ, "CARGO_MANIFEST_DIR": str(self.folder), "CARGO_PKG_NAME": self.package}
        started = time.monotonic()
        # A file: a pipe would be waited for as long as anything that the test has left behind has it.
        with tempfile.TemporaryFile() as output:
            # Whole stacks first: what they wait for has its bounds, and the others do with what is left.
            command = [self.path] if self.package in STACKS else ["nice", "-n", "10", self.path]
            process = subprocess.Popen(
                command, cwd=self.folder, env=env, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT
            )
            _, status, used = os.wait4(process.pid, 0)
            self.status = process.returncode = os.waitstatus_to_exitcode(status)
            self.seconds = time.monotonic() - started
            self.cpu_seconds = used.ru_utime + used.ru_stime
            output.seek(0)
            told = output.read()
        with printing:
            print(f"     Running {self.package}/{self.source}", flush=True)
            sys.stdout.buffer.write(told)
            sys.stdout.buffer.flush()
            print(f"     took {self.seconds:.0f} s: {self.package}/{self.source}", flush=True)


def built() -> list[Binary]:
    """Builds all tests, and returns what cargo would run."""
    build = subprocess.Popen(BUILD, stdout=subprocess.PIPE, text=True)
    binaries = []
    for line in build.stdout:
        message = json.loads(line)
        if message.get("executable") and message["profile"]["test"]:
            folder = Path(message["manifest_path"]).parent
            source = Path(message["target"]["src_path"]).relative_to(folder)
            binaries.append(Binary(folder.name, str(source), Path(message["executable"]), folder))
    if build.wait() != 0:
        sys.exit(build.returncode)
    return sorted(binaries, key=lambda binary: (binary.package, binary.source))


def main() -> None:
    os.chdir(Path(__file__).parent.parent)
    binaries = built()
    if not binaries:
        sys.exit("run-tests: cargo has built no test")
    started = time.monotonic()
    printing = threading.Lock()

    def run_all(lane: list[Binary]) -> None:
        for binary in lane:
            binary.run(printing)

    lanes = [[b for b in binaries if (b.package in STACKS) == is_stack] for is_stack in (True, False)]
    # Whoever interrupts this does not wait for them.
    threads = [threading.Thread(target=run_all, args=(lane,), daemon=True) for lane in lanes]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for b in sorted(binaries, key=lambda b: b.seconds, reverse=True):
        print(f"{b.seconds:7.1f} s {b.cpu_seconds:7.1f} s of CPU  {b.package}/{b.source}")
    print(f"run-tests: {len(binaries)} binaries in {time.monotonic() - started:.0f} s")
    failed = [b for b in binaries if b.status != 0]
    for b in failed:
        print(f"run-tests: FAILED with {b.status}: {b.package}/{b.source}")
    if failed:
        sys.exit(1)


if __name__ == "__main__":
    main()
