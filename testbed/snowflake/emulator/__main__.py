"""Runs the emulator: `python -m emulator --port 20000 --folder DIR`."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from pathlib import Path
from types import FrameType

from emulator.auth import make_key_pair
from emulator.server import Emulator, serve


def main() -> None:
    arguments = argparse.ArgumentParser(prog="emulator", description=__doc__)
    arguments.add_argument("--port", type=int, required=True)
    arguments.add_argument("--folder", type=Path, required=True, help="for the key pair: rsa_key.p8 and rsa_key.pub")
    arguments.add_argument("--account", default="RIVERBANK-TEST")
    arguments.add_argument("--user", default="RIVERBANK")
    arguments.add_argument("--s3-endpoint", help="where s3:// is, in place of AWS")
    given = arguments.parse_args()
    emulator = Emulator(given.s3_endpoint)
    emulator.users.add(given.account, given.user, make_key_pair(given.folder))
    server = serve(emulator, given.port)

    def end(_signal: int, _frame: FrameType | None) -> None:
        # Nothing is kept: threads that still load need not come to an end.
        sys.stderr.flush()
        os._exit(0)

    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGINT, end)
    server.serve_forever()


if __name__ == "__main__":
    main()
