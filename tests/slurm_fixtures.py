"""A SLURM of one node: this machine, with daemons of the tests' own."""

import os
import secrets
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "squeue", "scancel")
SECONDS = 60
"""How long the daemons may take to be ready."""
CONFIGURATION = """
ClusterName=tests
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller}
SlurmdPort={node}
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
CredType=cred/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerParameters=sched_interval=2
KillWait=5
ReturnToService=2
NodeName={host} NodeAddr=127.0.0.1 CPUs={cores}
PartitionName=tests Nodes=ALL Default=YES MaxTime=60 State=UP
"""


@pytest.fixture(scope="module")
def slurm() -> Iterator[Path]:
    """The folder of a running SLURM's logs, whose programs find it by SLURM_CONF; skips where it is not installed."""
    sbin = {"PATH": f"{os.environ['PATH']}{os.pathsep}/usr/sbin"}
    if missing := [name for name in PROGRAMS if shutil.which(name, path=sbin["PATH"]) is None]:
        pytest.skip(f"there is no {missing[0]}")
    if os.geteuid() != 0:
        pytest.skip("the daemons of SLURM need root")
    folder = Path(tempfile.mkdtemp(prefix="slurm-"))
    folder.chmod(0o755)  # munge trusts no socket that others cannot reach
    (folder / "state").mkdir()
    key = folder / "munge.key"
    key.write_bytes(secrets.token_bytes(1024))
    key.chmod(0o400)
    with socket.socket() as one, socket.socket() as other:
        for free in (one, other):
            free.bind(("127.0.0.1", 0))
        ports = {"controller": one.getsockname()[1], "node": other.getsockname()[1]}
    host, cores = socket.gethostname().partition(".")[0], os.cpu_count()
    configuration = folder / "slurm.conf"
    configuration.write_text(CONFIGURATION.format(folder=folder, host=host, cores=cores, **ports))
    munge = {f"--{name}={folder}/munge.{name.removesuffix('-file')}" for name in ("pid-file", "log-file", "seed-file")}
    commands = [
        ["munged", "--foreground", f"--socket={folder}/munge.socket", f"--key-file={key}", *munge],
        ["slurmctld", "-D", "-c"],
        ["slurmd", "-D"],
    ]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SLURM_CONF", str(configuration))
        daemons = []
        try:
            for command in commands:
                with (folder / f"{command[0]}.log").open("w") as log:
                    daemons.append(subprocess.Popen(command, stdout=log, stderr=log, env=os.environ | sbin))
                time.sleep(1)
            deadline = time.monotonic() + SECONDS
            while "idle" not in (said := _sinfo()) and time.monotonic() < deadline:
                time.sleep(0.5)
            if "idle" not in said:
                logs = "\n".join(path.read_text() for path in folder.glob("*.log"))
                pytest.fail(f"SLURM is not ready: {said}\n{logs}")
            yield folder
        finally:
            subprocess.run(["scancel", "--user=root"], capture_output=True)
            for daemon in reversed(daemons):
                daemon.terminate()
                daemon.wait()
            shutil.rmtree(folder)


def _sinfo() -> str:
    return subprocess.run(["sinfo", "--noheader", "--format=%T"], capture_output=True, text=True).stdout
