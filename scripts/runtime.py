"""Fetch the runtime of the page "Try it" with npm, check its hashes, and store it as small as gzip can hold it."""

import hashlib
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

import zopfli.gzip

VENDOR = Path(__file__).parents[1] / "src" / "thaw" / "demo" / "vendor"


def checked(content: bytes, expected: str, name: str) -> bytes:
    """The content, if it has the hash that VERSION says."""
    if hashlib.sha256(content).hexdigest() != expected:
        sys.exit(f"{name} has another hash than {VENDOR / 'VERSION'} says; nothing was written.")
    return content


def main() -> None:
    """Write the files that VERSION names, below the archive, to the folder of VERSION."""
    package, *lines = (VENDOR / "VERSION").read_text().splitlines()
    (expected, archive), *files = [line.split() for line in lines]
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(["npm", "pack", "--silent", package.replace(" ", "@")], cwd=folder, check=True)
        path = Path(folder) / archive
        checked(path.read_bytes(), expected, archive)
        with tarfile.open(path) as tar:
            for expected, name in files:
                member = tar.extractfile(name)
                assert member is not None
                content = checked(member.read(), expected, name)
                (VENDOR / f"{Path(name).name}.gz").write_bytes(zopfli.gzip.compress(content, numiterations=5))
                print(f"{name} is in {VENDOR}")


main()
