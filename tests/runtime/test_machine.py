"""What a run was computed with."""

import json
import platform

import jax

from proximax.runtime.machine import library_version, machine_facts, processor_name


def test_facts_are_plain_values_of_this_machine_and_name_nobody():
    facts = machine_facts()
    assert json.loads(json.dumps(facts)) == facts
    assert (facts["python"], facts["jax"]) == (platform.python_version(), jax.__version__)
    assert facts["devices"] == [f"{len(jax.devices())} x {jax.devices()[0].device_kind}"]
    assert facts["cores"] >= 1
    assert platform.node() not in facts.values()


def test_the_processors_name_is_read_where_it_is_written(tmp_path):
    (tmp_path / "cpuinfo").write_text("processor : 0\nmodel name\t: Fast One @ 3 GHz\nmodel name : Other\n")
    assert processor_name(tmp_path / "cpuinfo") == "Fast One @ 3 GHz"
    assert processor_name(tmp_path / "missing") == platform.processor()


def test_a_library_that_is_not_installed_has_no_version():
    assert library_version("no-such-library-anywhere") == "none"
