"""The variables of each launcher, as it sets them."""

import pytest
import yaml

from proximax.cli.commands import config_of, parse
from proximax.distributed import place as places
from proximax.distributed.place import Place, check_address, find_place, first_host, port_of
from proximax.errors import UsageError
from tests.support import ROOT

OPENMPI_4 = {  # mpirun of Open MPI 4.1.4, on two machines
    "OMPI_COMM_WORLD_RANK": "1",
    "OMPI_COMM_WORLD_SIZE": "2",
    "OMPI_COMM_WORLD_LOCAL_RANK": "0",
    "OMPI_COMM_WORLD_LOCAL_SIZE": "1",
    "OMPI_MCA_orte_hnp_uri": "1926889472.0;tcp://192.0.2.2,10.1.0.2:48767;tcp6://[fd00::2]:48279",
}
OPENMPI_5 = {
    "OMPI_COMM_WORLD_RANK": "3",
    "OMPI_COMM_WORLD_SIZE": "4",
    "OMPI_COMM_WORLD_LOCAL_RANK": "1",
    "OMPI_COMM_WORLD_LOCAL_SIZE": "2",
    "PMIX_NAMESPACE": "prterun-head-node-4711@1",
    "PMIX_RANK": "3",
}
MPICH = {"PMI_RANK": "1", "PMI_SIZE": "2", "MPI_LOCALRANKID": "1", "MPI_LOCALNRANKS": "2"}  # Hydra 4.0.2
SLURM = {
    "SLURM_JOB_ID": "42",
    "SLURM_STEP_ID": "0",
    "SLURM_PROCID": "6",
    "SLURM_NTASKS": "7",
    "SLURM_STEP_NUM_TASKS": "7",
    "SLURM_STEP_NODELIST": "node[007-010]",
    "SLURM_STEP_TASKS_PER_NODE": "2(x3),1",
    "SLURM_NODEID": "3",
    "SLURM_LOCALID": "0",
}


def test_alone_without_a_launcher():
    assert find_place({}) is None
    assert find_place({"JOB_COMPLETION_INDEX": "3"}) is None  # an Indexed Job of many trainings
    assert find_place({"SLURM_PROCID": "0", "SLURM_NTASKS": "4", "SLURM_JOB_ID": "1"}) is None  # a batch script
    assert find_place(SLURM | {"SLURM_STEP_NUM_TASKS": "1", "SLURM_PROCID": "0"}) is None
    assert find_place(OPENMPI_4 | {"PROXIMAX_SIZE": "1"}) is None


def test_open_mpi_4():
    port = port_of("1926889472.0")
    assert find_place(OPENMPI_4) == Place(1, 2, f"192.0.2.2:{port}", 0, 1, "openmpi")
    one_machine = OPENMPI_4 | {"OMPI_COMM_WORLD_LOCAL_SIZE": "2", "OMPI_COMM_WORLD_LOCAL_RANK": "1"}
    assert find_place(one_machine) == Place(1, 2, f"127.0.0.1:{port}", 1, 2, "openmpi")


def test_open_mpi_5():
    assert find_place(OPENMPI_5) == Place(3, 4, f"head-node:{port_of('prterun-head-node-4711@1')}", 1, 2, "openmpi")


def test_mpich():
    assert find_place(MPICH, parent=17) == Place(1, 2, f"127.0.0.1:{port_of('17')}", 1, 2, "mpich")
    with pytest.raises(UsageError, match="MPICH does not say where rank 0 is: set PROXIMAX_COORDINATOR"):
        find_place(MPICH | {"MPI_LOCALNRANKS": "1"}, parent=17)


def test_slurm():
    assert find_place(SLURM) == Place(6, 7, f"node007:{port_of('42.0')}", 0, 1, "slurm")
    second = find_place(SLURM | {"SLURM_PROCID": "3", "SLURM_NODEID": "1", "SLURM_LOCALID": "1"})
    assert (second.rank, second.local_rank, second.local_size) == (3, 1, 2)
    assert find_place(SLURM | {"PMI_RANK": "6", "PMI_SIZE": "7"}).launcher == "slurm"  # srun --mpi=pmi2
    assert find_place(SLURM | MPICH).launcher == "mpich"  # mpirun in a Slurm job


@pytest.mark.parametrize(
    ("nodes", "host"),
    [
        ("node001", "node001"),
        ("node001,other", "node001"),
        ("node[007-015],other", "node007"),
        ("node[001,007-015]", "node001"),
        ("rack[2-3]-node,x", "rack2-node"),
        ("n-1,n-2", "n-1"),
    ],
)
def test_the_first_host_of_slurms_list(nodes, host):
    assert first_host(nodes) == host


def test_an_indexed_job():
    job = {"JOB_COMPLETION_INDEX": "1", "PROXIMAX_SIZE": "3", "PROXIMAX_COORDINATOR": "ppo-0.ppo:23456"}
    assert find_place(job) == Place(1, 3, "ppo-0.ppo:23456", 0, 0, "kubernetes")


def test_the_variables_of_proximax_go_first():
    own = {"PROXIMAX_RANK": "0", "PROXIMAX_SIZE": "2", "PROXIMAX_COORDINATOR": "[fd00::1]:5000", "PROXIMAX_BIND": "::"}
    found = find_place(OPENMPI_4 | own)
    assert found == Place(0, 2, "[fd00::1]:5000", launcher="own", bind="::")
    assert (found.host, found.port) == ("fd00::1", 5000)
    address = {"PROXIMAX_COORDINATOR": "10.0.0.7:5000"}
    assert find_place(OPENMPI_4 | address) == Place(1, 2, "10.0.0.7:5000", 0, 1, "openmpi")


@pytest.mark.parametrize(
    ("environ", "message"),
    [
        ({"PROXIMAX_RANK": "0"}, "PROXIMAX_RANK is set: PROXIMAX_RANK and PROXIMAX_SIZE go together"),
        ({"PROXIMAX_SIZE": "2"}, "PROXIMAX_SIZE is set"),
        ({"PROXIMAX_RANK": "x", "PROXIMAX_SIZE": "2"}, "PROXIMAX_RANK=x: must be a number"),
        ({"PROXIMAX_RANK": "2", "PROXIMAX_SIZE": "2"}, "rank 2 of 2"),
        ({"PROXIMAX_RANK": "0", "PROXIMAX_SIZE": "2"}, "does not say where rank 0 is"),
        ({"PROXIMAX_RANK": "0", "PROXIMAX_SIZE": "2", "PROXIMAX_COORDINATOR": "head"}, "write ADDRESS:PORT"),
    ],
)
def test_what_contradicts_itself_is_refused(environ, message):
    with pytest.raises(UsageError, match=message):
        find_place(environ)


def test_jobs_have_ports_of_their_own():
    ports = {port_of(str(job)) for job in range(100)}
    assert len(ports) > 90
    assert 23000 <= min(ports) <= max(ports) < 27096


def test_a_name_that_means_this_machine_everywhere_is_refused(monkeypatch):
    monkeypatch.setattr(places, "resolved", lambda host: "127.0.1.1")
    with pytest.raises(UsageError, match=r"head, is 127\.0\.1\.1 on this machine, which no other machine reaches"):
        check_address(Place(0, 4, "head:23456", 0, 2))
    check_address(Place(0, 2, "head:23456", 0, 2))  # one machine


def test_the_manifest_of_the_guide_starts_as_many_processes_as_it_says_at_the_name_of_its_service():
    text = (ROOT / "docs" / "guides" / "many-machines.md").read_text()
    service, job = yaml.safe_load_all(text.partition("```yaml\n")[2].partition("```")[0])
    spec, pod = job["spec"], job["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    variables = {variable["name"]: variable["value"] for variable in container["env"]}
    place = find_place(variables | {"JOB_COMPLETION_INDEX": "1"})  # as Kubernetes sets it
    name = f"{job['metadata']['name']}-0.{service['metadata']['name']}"
    assert place == Place(1, 2, f"{name}:23456", launcher="kubernetes")
    assert spec["completions"] == spec["parallelism"] == place.size
    assert (pod["subdomain"], spec["completionMode"]) == (service["metadata"]["name"], "Indexed")
    assert service["spec"]["selector"] == {"job-name": job["metadata"]["name"]}
    command = parse(container["command"][1:])
    assert (command.resume, config_of(command).shards) == ("auto", place.size)
