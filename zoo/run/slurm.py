"""The job that a process is part of, if it is: SLURM's, or torchrun's."""

import os
import subprocess


def slurm_job() -> str | None:
    """The id as `scontrol` takes it, for a task of an array "<array>_<task>"; None outside SLURM."""
    if "SLURM_ARRAY_JOB_ID" in os.environ:
        return f"{os.environ['SLURM_ARRAY_JOB_ID']}_{os.environ['SLURM_ARRAY_TASK_ID']}"
    return os.environ.get("SLURM_JOB_ID")


def job() -> str | None:
    """The id of SLURM's job, else of torchrun's if it was given one (`--rdzv-id`); None outside both."""
    torchrun = os.environ.get("TORCHELASTIC_RUN_ID")
    return slurm_job() or (torchrun if torchrun != "none" else None)


def restarted() -> bool:
    """Whether SLURM has started this job before."""
    return slurm_job() is not None and os.environ.get("SLURM_RESTART_COUNT", "0") != "0"


def requeue() -> None:
    """Ask SLURM to start this job again, once it has ended.

    Raises:
        OSError: there is no `scontrol`, or it refuses.
    """
    command = ["scontrol", "requeue", str(slurm_job())]
    try:
        subprocess.run(command, capture_output=True, text=True, check=True)
    except subprocess.CalledProcessError as error:
        raise OSError(f"{' '.join(command)}: {error.stderr.strip() or f'status {error.returncode}'}") from None
