"""The SLURM job that a process is part of, if it is."""

import os
import subprocess


def job() -> str | None:
    """The job's id as `scontrol` takes it, for a task of an array "<array>_<task>"; None outside SLURM."""
    if "SLURM_ARRAY_JOB_ID" in os.environ:
        return f"{os.environ['SLURM_ARRAY_JOB_ID']}_{os.environ['SLURM_ARRAY_TASK_ID']}"
    return os.environ.get("SLURM_JOB_ID")


def restarted() -> bool:
    """Whether SLURM has started this job before."""
    return job() is not None and os.environ.get("SLURM_RESTART_COUNT", "0") != "0"


def requeue() -> None:
    """Ask SLURM to start this job again, once it has ended.

    Raises:
        OSError: there is no `scontrol`, or it refuses.
    """
    command = ["scontrol", "requeue", str(job())]
    try:
        subprocess.run(command, capture_output=True, text=True, check=True)
    except subprocess.CalledProcessError as error:
        raise OSError(f"{' '.join(command)}: {error.stderr.strip() or f'status {error.returncode}'}") from None
