"""Which of several processes this one is, from the variables of what started it."""

import ipaddress
import re
import socket
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from proximax.errors import UsageError

Environment = Mapping[str, str]
LOOPBACK = "127.0.0.1"
COORDINATOR = "PROXIMAX_COORDINATOR"
ALONE = "PROXIMAX_SIZE=1"  # what makes a process train alone, whatever started it
PORTS = range(23000, 27096)  # of a job that names none: by its number, below what Linux gives to outgoing connections
NAMES = {  # of the launchers, as messages have them
    "own": "PROXIMAX_RANK",
    "kubernetes": "Kubernetes",
    "openmpi": "Open MPI",
    "slurm": "Slurm",
    "mpich": "MPICH",
}


@dataclass(frozen=True)
class Place:
    """One of ``size`` processes that train together.

    ``coordinator``: host:port where rank 0 listens and all others find it. ``local_rank``, ``local_size``: among the
    processes of this machine; ``local_size`` is 0 where the launcher does not say. ``bind``: the address on which rank
    0 listens, "" for the coordinator's.
    """

    rank: int
    size: int
    coordinator: str
    local_rank: int = 0
    local_size: int = 0
    launcher: str = "own"
    bind: str = ""

    @property
    def host(self) -> str:
        """The coordinator's host, without the brackets of an IPv6 address."""
        return self.coordinator.rpartition(":")[0].strip("[]")

    @property
    def port(self) -> int:
        """The coordinator's port."""
        return int(self.coordinator.rpartition(":")[2])


def find_place(environ: Environment, parent: int = 0) -> Place | None:
    """The place that the launcher's variables say; None where they do not say that there are several processes.

    ``parent``: the number of the parent process, which the processes of one ``mpirun`` of MPICH on one machine share.
    PROXIMAX_RANK, PROXIMAX_SIZE and PROXIMAX_COORDINATOR go before the launchers' own. Raises ``UsageError`` where
    variables contradict one another or do not say where rank 0 is.
    """
    if environ.get("PROXIMAX_SIZE") == "1":
        return None
    place = next((found for read in READERS if (found := read(environ, parent)) is not None), None)
    if place is None or place.size == 1:
        return None
    if not 0 <= place.rank < place.size:
        raise UsageError(f"{NAMES[place.launcher]}: this is rank {place.rank} of {place.size}: ranks are 0 to size - 1")
    place = replace(place, coordinator=environ.get(COORDINATOR) or place.coordinator)
    if not place.coordinator:
        raise UsageError(
            f"{NAMES[place.launcher]} does not say where rank 0 is: set {COORDINATOR}=ADDRESS:PORT for all processes, "
            "an address of the machine of rank 0 that the others reach"
        )
    if not re.fullmatch(r"(\[[0-9a-fA-F:.]+\]|[^:\[\]\s]+):\d{1,5}", place.coordinator):
        raise UsageError(
            f"{COORDINATOR}={place.coordinator}: write ADDRESS:PORT, as in 10.0.0.1:23456 or [fd00::1]:23456"
        )
    return replace(place, bind=environ.get("PROXIMAX_BIND", ""))


def _own(environ: Environment, _: int) -> Place | None:
    """PROXIMAX_RANK and PROXIMAX_SIZE; in a Kubernetes Indexed Job the rank is JOB_COMPLETION_INDEX.

    An Indexed Job without PROXIMAX_SIZE is many trainings, each alone.
    """
    rank, launcher = "PROXIMAX_RANK", "own"
    if rank not in environ and "JOB_COMPLETION_INDEX" in environ and "PROXIMAX_SIZE" in environ:
        rank, launcher = "JOB_COMPLETION_INDEX", "kubernetes"
    given = [name for name in (rank, "PROXIMAX_SIZE") if name in environ]
    if not given:
        return None
    if len(given) == 1:
        raise UsageError(f"{given[0]} is set: PROXIMAX_RANK and PROXIMAX_SIZE go together")
    return Place(
        rank=_number(environ, rank),
        size=_number(environ, "PROXIMAX_SIZE"),
        coordinator="",
        local_rank=_number(environ, "PROXIMAX_LOCAL_RANK", 0),
        local_size=_number(environ, "PROXIMAX_LOCAL_SIZE", 0),
        launcher=launcher,
    )


def _openmpi(environ: Environment, _: int) -> Place | None:
    """Open MPI 4 and 5: OMPI_COMM_WORLD_*. Rank 0 is expected on the machine of ``mpirun``."""
    if "OMPI_COMM_WORLD_RANK" not in environ or "OMPI_COMM_WORLD_SIZE" not in environ:
        return None
    place = Place(
        rank=_number(environ, "OMPI_COMM_WORLD_RANK"),
        size=_number(environ, "OMPI_COMM_WORLD_SIZE"),
        coordinator="",
        local_rank=_number(environ, "OMPI_COMM_WORLD_LOCAL_RANK", 0),
        local_size=_number(environ, "OMPI_COMM_WORLD_LOCAL_SIZE", 0),
        launcher="openmpi",
    )
    uri = environ.get("OMPI_MCA_orte_hnp_uri", "")  # 4: 19268.0;tcp://192.0.2.2:48767;tcp6://[fd00::2]:48279
    namespace = environ.get("PMIX_NAMESPACE", "")  # 5: prterun-HOST-4711@1
    job = uri.partition(";")[0] or namespace
    address = re.search(r"tcp://([^,:]+)", uri) or re.fullmatch(r"prterun-(.+)-\d+@\d+", namespace)
    return replace(place, coordinator=_at(place, address[1] if address else "", job))


def _slurm(environ: Environment, _: int) -> Place | None:
    """A step of Slurm's ``srun``; a batch script itself is not a step. Rank 0 is on the first of its machines."""
    if "SLURM_STEP_NODELIST" not in environ or "SLURM_PROCID" not in environ:
        return None
    size = "SLURM_STEP_NUM_TASKS" if "SLURM_STEP_NUM_TASKS" in environ else "SLURM_NTASKS"
    place = Place(
        rank=_number(environ, "SLURM_PROCID"),
        size=_number(environ, size, 1),
        coordinator="",
        local_rank=_number(environ, "SLURM_LOCALID", 0),
        local_size=_local_tasks(environ),
        launcher="slurm",
    )
    job = f"{environ.get('SLURM_JOB_ID', '')}.{environ.get('SLURM_STEP_ID', '')}"
    return replace(place, coordinator=_at(place, first_host(environ["SLURM_STEP_NODELIST"]), job))


def _mpich(environ: Environment, parent: int) -> Place | None:
    """MPICH and Intel MPI: PMI_RANK and PMI_SIZE. They name no address, which one machine does not need."""
    if "PMI_RANK" not in environ or "PMI_SIZE" not in environ:
        return None
    steps = environ.get("SLURM_PROCID"), environ.get("SLURM_STEP_NUM_TASKS")
    if steps == (environ["PMI_RANK"], environ["PMI_SIZE"]):  # srun --mpi=pmi2: Slurm knows the machines, too
        return None
    place = Place(
        rank=_number(environ, "PMI_RANK"),
        size=_number(environ, "PMI_SIZE"),
        coordinator="",
        local_rank=_number(environ, "MPI_LOCALRANKID", 0),
        local_size=_number(environ, "MPI_LOCALNRANKS", 0),
        launcher="mpich",
    )
    return replace(place, coordinator=_at(place, "", str(parent)))


# In this order: mpirun inside a Slurm job leaves Slurm's variables, which are then of mpirun's own helpers.
READERS: tuple[Callable[[Environment, int], Place | None], ...] = (_own, _openmpi, _mpich, _slurm)


def _number(environ: Environment, name: str, default: int | None = None) -> int:
    text = environ.get(name, None if default is None else str(default))
    if text is None or not re.fullmatch(r"\d{1,9}", text):
        raise UsageError(f"{name}={text}: must be a number")
    return int(text)


def _at(place: Place, host: str, job: str) -> str:
    """The coordinator's address: loopback where all processes are on one machine, "" where the host is not known."""
    host = LOOPBACK if place.local_size == place.size else host
    host = f"[{host}]" if ":" in host else host
    return f"{host}:{port_of(job)}" if host else ""


def port_of(job: str) -> int:
    """The same port for all processes of a job, and hardly ever that of another job."""
    return PORTS[zlib.crc32(job.encode()) % len(PORTS)]


def first_host(nodes: str) -> str:
    """The first host of Slurm's list: ``node[007-015,020],other`` -> ``node007``."""
    match = re.match(r"([^,\[]*)(?:\[([^\],-]+)[^\]]*\]([^,\[]*))?", nodes)
    return "".join(part or "" for part in match.groups()) if match else ""


def _local_tasks(environ: Environment) -> int:
    """The tasks on this machine by SLURM_STEP_TASKS_PER_NODE, ``2(x3),1``: as many as SLURM_NODEID counts from 0."""
    node = _number(environ, "SLURM_NODEID", 0)
    for tasks, _, count in re.findall(r"(\d+)(\(x(\d+)\))?", environ.get("SLURM_STEP_TASKS_PER_NODE", "")):
        node -= int(count or 1)
        if node < 0:
            return int(tasks)
    return 0


def check_address(place: Place) -> None:
    """Refuse a coordinator whose name means another machine on each machine: 127.0.1.1 and its like.

    A name that cannot be resolved yet is not refused: it may be that of a pod that is being started.
    """
    try:
        address = resolved(place.host)
    except OSError:
        return
    if ipaddress.ip_address(address).is_loopback and 0 < place.local_size < place.size:
        raise UsageError(
            f"the address of rank 0, {place.host}, is {address} on this machine, which no other machine reaches: set "
            f"{COORDINATOR}=ADDRESS:PORT for all processes, an address of a network that all machines share"
        )


def resolved(host: str) -> str:
    """The numeric address of a host, IPv4 where it has one. Raises ``OSError`` where it has none."""
    found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    addresses = [str(address[0]) for *_, address in sorted(found, key=lambda item: item[0] != socket.AF_INET)]
    return addresses[0].partition("%")[0]
