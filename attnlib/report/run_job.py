"""Run one notebook with papermill and publish what it recorded.

    python -P attnlib/report/run_job.py 06-s0 --profile quick

Nothing half-made is ever visible: the notebook is executed and its records
are collected beside their targets, and both are renamed into place in the
end, the result file last. Never imports a backend; the kernel does.
"""

import argparse
import contextlib
import importlib.util
import json
import os
import platform
import signal
import sys
import time
import traceback
from pathlib import Path

os.environ.setdefault("PYDEVD_DISABLE_FILE_VALIDATION", "1")
# Papermill looks for a platform folder that Jupyter is about to rename.
os.environ.setdefault("JUPYTER_PLATFORM_DIRS", "1")

import filelock
import papermill
import zmq
from jupyter_client.kernelspec import KernelSpec, KernelSpecManager
from jupyter_client.manager import AsyncKernelManager
from nbclient.exceptions import CellTimeoutError, DeadKernelError
from papermill.clientwrap import PapermillNotebookClient
from papermill.engines import NBClientEngine, papermill_engines
from papermill.exceptions import PapermillExecutionError
from traitlets import default


def _load_jobs():
    """Load the module beside this one without importing attnlib."""
    if "attnlib.report.jobs" in sys.modules:
        return sys.modules["attnlib.report.jobs"]
    spec = importlib.util.spec_from_file_location(
        "_attnlib_jobs", Path(__file__).with_name("jobs.py")
    )
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


jobs = _load_jobs()

START_TIMEOUT_S = 120


class JobError(Exception):
    """A job failed. `kind` is what the report shows as the reason."""

    def __init__(self, kind, message, details=""):
        super().__init__(message)
        self.kind = kind
        self.details = details


class KernelStartError(Exception):
    """The kernel did not come up; nothing of the notebook has run."""


class _ThisPythonSpecs(KernelSpecManager):
    """Kernel python3 is this interpreter, whatever HOME has installed."""

    def get_kernel_spec(self, kernel_name):
        return KernelSpec(
            argv=[
                sys.executable,
                "-m",
                "ipykernel_launcher",
                "-f",
                "{connection_file}",
            ],
            display_name="Python 3",
            language="python",
            metadata={"supported_encryption": ["curve"]},
        )


class _KernelManager(AsyncKernelManager):
    @default("kernel_spec_manager")
    def _this_python(self):
        return _ThisPythonSpecs(parent=self)

    def __init__(self, **options):
        super().__init__(**options)
        # New kernels warn about plain sockets; older clients cannot encrypt.
        if self.has_trait("transport_encryption") and zmq.has("curve"):
            self.transport_encryption = "auto"


class _Client(PapermillNotebookClient):
    """Papermill's client with one deadline for the whole notebook."""

    def __init__(self, nb_man, deadline, **options):
        super().__init__(nb_man, **options)
        self.kernel_manager_class = _KernelManager
        self.timeout_func = lambda cell: max(deadline - time.monotonic(), 0.01)

    def start_new_kernel(self, **options):
        with _as_kernel_start_error():
            return super().start_new_kernel(**options)

    def start_new_kernel_client(self, **options):
        with _as_kernel_start_error():
            return super().start_new_kernel_client(**options)


@contextlib.contextmanager
def _as_kernel_start_error():
    try:
        yield
    except Exception as error:
        raise KernelStartError(str(error) or type(error).__name__) from error


class _Engine(NBClientEngine):
    @classmethod
    def execute_managed_notebook(
        cls, nb_man, kernel_name, environment, start_timeout=60, **options
    ):
        options.pop("input_path", None)
        return _Client(
            nb_man,
            kernel_name=kernel_name,
            startup_timeout=start_timeout,
            **options,
        ).execute(env=os.environ | environment)


papermill_engines.register("attnlib", _Engine)


def check_parameters(notebook, parameters):
    """Raise when a notebook lacks one of the parameters.

    Papermill itself only warns, and the run would ignore the value.

    Args:
        notebook: Path of the notebook.
        parameters: A dict, name to value.

    Raises:
        JobError: The notebook is missing, unreadable or lacks a parameter.
    """
    if not Path(notebook).is_file():
        raise JobError("no notebook", f"there is no notebook {notebook}")
    try:
        known = papermill.inspect_notebook(str(notebook))
    except Exception as error:
        raise JobError(
            "unreadable notebook", f"{notebook} is no notebook: {error}"
        ) from error
    unknown = sorted(set(parameters) - set(known))
    if unknown:
        raise JobError(
            "unknown parameter",
            f"{Path(notebook).name} has no parameter {', '.join(unknown)}; its "
            f"cell tagged `parameters` has {', '.join(known) or 'none'}",
        )


def execute(source, target, parameters, timeout_s, environment, log=None):
    """Execute a notebook; one more try when the kernel does not start.

    Args:
        source: The notebook to run.
        target: Where the executed copy goes, complete or not.
        parameters: Papermill parameters; unknown names are an error.
        timeout_s: Longest time that all cells together may take.
        environment: Environment variables of the kernel besides our own.
        log: An open text file for what the notebook prints, or None.

    Raises:
        JobError: A cell failed, the time was up, or the kernel died.
    """
    check_parameters(source, parameters)
    for attempt in (1, 2):
        try:
            papermill.execute_notebook(
                str(source),
                str(target),
                parameters=parameters,
                engine_name="attnlib",
                kernel_name="python3",
                cwd=str(Path(source).parent),
                start_timeout=START_TIMEOUT_S,
                deadline=time.monotonic() + timeout_s,
                environment=environment,
                progress_bar=False,
                log_output=False,
                stdout_file=log,
                stderr_file=log,
            )
            return
        except KernelStartError as error:
            if attempt == 2:
                raise JobError(
                    "kernel did not start",
                    f"the kernel did not start, twice: {error}",
                ) from error
            print(f"the kernel did not start ({error}); once more", flush=True)
        except PapermillExecutionError as error:
            raise JobError(
                "cell failed",
                f"{error.ename}: {error.evalue}",
                "\n".join(error.traceback),
            ) from error
        except CellTimeoutError as error:
            raise JobError(
                "timeout",
                f"the notebook ran longer than {timeout_s} s, the limit of "
                "its profile",
                str(error),
            ) from error
        except DeadKernelError as error:
            raise JobError(
                "kernel died",
                "the kernel died while a cell ran; often the machine was out "
                "of memory",
            ) from error


def collect(path, run, required=True):
    """Return the records that a notebook wrote, with `run` added.

    Args:
        path: The file that `claims.record` wrote.
        run: A dict about this run.
        required: Whether the notebook has to record something.

    Returns:
        The result as a dict.

    Raises:
        JobError: Nothing was recorded, or the file is damaged.
    """
    result = {"schema": 1, "job": {"name": run.get("job")}, "records": []}
    if Path(path).is_file():
        result = jobs.read_result(path)
    if result is None:
        raise JobError(
            "damaged result", f"the notebook wrote no sound JSON to {path}"
        )
    if required and not result.get("records"):
        raise JobError(
            "recorded nothing",
            "the notebook finished but recorded no result; a notebook calls "
            "claims.record at least once",
        )
    return {**result, "run": run}


def _environment(result, cores):
    """Return the environment variables of the kernel."""
    cores = str(cores)
    path = [str(jobs.ROOT), os.environ.get("PYTHONPATH", "")]
    return {
        "ATTNLIB_HEADLESS": "1",
        "ATTNLIB_RESULT_FILE": str(result),
        "MPLBACKEND": "module://matplotlib_inline.backend_inline",
        "PYTHONPATH": os.pathsep.join(filter(None, path)),
        # Every library has a variable of its own; NPROC is XLA's.
        "OMP_NUM_THREADS": cores,
        "OPENBLAS_NUM_THREADS": cores,
        "MKL_NUM_THREADS": cores,
        "NPROC": cores,
        "TF_NUM_INTRAOP_THREADS": cores,
        "TF_NUM_INTEROP_THREADS": cores,
        "TF_CPP_MIN_LOG_LEVEL": os.environ.get("TF_CPP_MIN_LOG_LEVEL", "3"),
    }


def _sweep(files):
    """Remove what a killed run of this job left; its lock is ours."""
    for target in (files.result, files.executed):
        # Two dots: what a killed write of a temporary file left.
        for pattern in (f".{files.result.stem}.*", f"..{files.result.stem}.*"):
            for left in target.parent.glob(pattern):
                left.unlink(missing_ok=True)


def _keep_failure(job, files, partial, error, started):
    """Keep the failed copy and what the report says about it."""
    files.failed.parent.mkdir(parents=True, exist_ok=True)
    if partial.exists():
        os.replace(partial, files.failed)
    else:
        files.failed.unlink(missing_ok=True)
    with jobs.paths.atomic_write(files.failure) as file:
        json.dump(
            {
                "job": job.name,
                "notebook": job.notebook,
                "kind": error.kind,
                "message": str(error),
                "details": error.details,
                "seconds": round(time.time() - started, 1),
                "finished": time.time(),
                "backend": jobs.backend(),
            },
            file,
            indent=1,
        )


def run(job, reports=None, cores=None, force_since=None):
    """Run a job unless it is done already.

    Args:
        job: A `profiles.Job`.
        reports: The folder of all profiles; None for `paths.reports_dir()`.
        cores: Threads for the kernel's libraries; None for all cores.
        force_since: Run again unless the result is newer than this time.

    Raises:
        JobError: The job failed. The failed copy is kept and the report
            shows it.
    """
    files = jobs.Files(job, reports)
    for path in (files.result, files.executed, files.log, files.lock):
        path.parent.mkdir(parents=True, exist_ok=True)
    with _locked(files.lock, job.name):
        # Another run, perhaps the orphan of a killed one, may have finished
        # this very job while we waited.
        why = jobs.why_run(job, reports, force_since)
        if why is None:
            os.utime(files.result)  # newer than the workflow's marker
            print(f"{job.name}: done already", flush=True)
            return
        print(f"{job.name}: running ({why})", flush=True)
        _sweep(files)
        _run_locked(job, files, cores or os.cpu_count() or 1)


def _run_locked(job, files, cores):
    started = time.time()
    partial = files.executed.with_name(f".{job.name}.{os.getpid()}.ipynb")
    records = files.result.with_name(f".{job.name}.{os.getpid()}.part")
    # The print is taken before the run: what is edited meanwhile counts as
    # changed.
    fingerprint = jobs.fingerprint(job, reports=files.folder.parent)
    environment = _environment(records, cores)
    try:
        with open(files.log, "w", encoding="utf-8") as log:
            execute(
                files.source,
                partial,
                job.parameters,
                job.timeout_s,
                environment,
                log,
            )
        result = collect(
            records,
            {
                "job": job.name,
                "parameters": job.parameters,
                "fingerprint": fingerprint,
                "started": started,
                "finished": time.time(),
                "seconds": round(time.time() - started, 1),
                "cores": cores,
                "python": platform.python_version(),
                "backend": jobs.backend(),
            },
            # Models of the smoke profile are too small to decide anything.
            required=job.profile != "smoke"
            and job.notebook not in jobs.profiles.READERS,
        )
        os.replace(partial, files.executed)
        with jobs.paths.atomic_write(files.result) as file:
            json.dump(result, file, indent=1)
            file.write("\n")
    except JobError as error:
        _keep_failure(job, files, partial, error, started)
        raise
    except Exception as error:
        message = f"{type(error).__name__}: {error}"
        failed = JobError("runner failed", message, traceback.format_exc())
        _keep_failure(job, files, partial, failed, started)
        raise failed from error
    finally:
        records.unlink(missing_ok=True)
        partial.unlink(missing_ok=True)
    for path in (files.failed, files.failure):
        path.unlink(missing_ok=True)
    print(f"{job.name}: done in {time.time() - started:.0f} s", flush=True)


@contextlib.contextmanager
def _locked(path, name):
    """Hold a job's lock; the system frees it when its holder dies."""
    lock = filelock.FileLock(str(path))
    try:
        lock.acquire(timeout=0)
    except filelock.Timeout:
        print(
            f"{name}: another run is at this job already; waiting for it",
            flush=True,
        )
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _stop(signum, frame):
    # An exception, so that papermill shuts its kernel down on the way out.
    raise SystemExit(128 + signum)


def main(argv=None):
    """Run the job that the command line names; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("job", help="a job's name, for example 06-s0")
    parser.add_argument("--profile", default="quick")
    parser.add_argument("--cores", type=int, default=None)
    parser.add_argument("--force-since", type=float, default=None)
    arguments = parser.parse_args(argv)
    signal.signal(signal.SIGTERM, _stop)
    try:
        run(
            jobs.find(arguments.job, arguments.profile),
            cores=arguments.cores,
            force_since=arguments.force_since,
        )
    except JobError as error:
        print(
            f"{arguments.job}: FAILED ({error.kind}): {error}",
            file=sys.stderr,
        )
        return 1
    except (ValueError, OSError) as error:
        print(f"{arguments.job}: error: {error}", file=sys.stderr)
        return 1
    except Exception:
        traceback.print_exc()
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
