"""The promises between files: protos, limits, ports, generated code, the project file, the Makefile."""

import re
import subprocess

import pytest

from tests.tidy import proto_rules, rules
from tests.tidy.tree import ROOT, files_of_kind, project, python_files, read

LIMITS = "engine/stageline_engine/limits.py"
PORTS = "engine/stageline_engine/ports"
CONFORMANCE = "engine/stageline_engine/testing/conformance"


def test_every_rpc_tells_its_errors() -> None:
    reasons = proto_rules.error_reasons(read("protos/stageline/v1/error.proto"))
    found = {
        name: findings
        for name in files_of_kind(".proto")
        if (findings := proto_rules.untold_errors(read(name), reasons))
    }
    assert reasons
    assert found == {}


def test_every_limit_is_told_to_those_it_binds() -> None:
    told = "".join(read(name) for name in files_of_kind(".proto", ".md"))
    assert [name for name in rules.constants(read(LIMITS)) if not re.search(rf"\b{name}\b", told)] == []


def test_every_limit_is_tested() -> None:
    tested = "".join(read(name) for name in python_files("tests"))
    assert [name for name in rules.constants(read(LIMITS)) if not re.search(rf"\b{name}\b", tested)] == []


def test_every_port_method_is_in_the_conformance_suite() -> None:
    ports = [*python_files(PORTS), *(name for name in files_of_kind("stageline_engine/ports.py"))]
    suite = "".join(read(name) for name in python_files(CONFORMANCE))
    methods = [method for port in ports for method in rules.protocol_methods(read(port))]
    assert [method for method in methods if not re.search(rf"\.{method}\(", suite)] == []


def test_dependency_floors_are_those_of_the_generated_code() -> None:
    grpc_stub = (ROOT / "protos/gen/stageline/v1/run_service_pb2_grpc.py").read_text()
    message = (ROOT / "protos/gen/stageline/v1/run_pb2.py").read_text()
    grpc_floor = re.search(r"GRPC_GENERATED_VERSION = '([\d.]+)'", grpc_stub)
    protobuf_floor = re.search(r"Protobuf Python Version: ([\d.]+)", message)
    assert grpc_floor is not None
    assert protobuf_floor is not None
    dependencies = project()["project"]["dependencies"]
    assert f"grpcio>={grpc_floor[1]},<2" in dependencies
    assert any(entry.startswith(f"protobuf>={protobuf_floor[1]},") for entry in dependencies)


def test_every_import_root_is_known_to_every_tool() -> None:
    tools = project()["tool"]
    roots = set(tools["hatch"]["build"]["dev-mode-dirs"])
    wheel = tools["hatch"]["build"]["targets"]["wheel"]["packages"]
    mypy_path = tools["mypy"]["mypy_path"].replace("$MYPY_CONFIG_FILE_DIR", "").split(":")
    assert {package.rpartition("/")[0] for package in wheel} == roots
    assert {path.removeprefix("/") for path in mypy_path} == roots | {""}
    assert set(tools["ruff"]["src"]) == roots | {"."}
    assert [package for package in wheel if not (ROOT / package / "py.typed").exists()] == [
        # The namespace package of the generated code; its py.typed lies beside the modules.
        "protos/gen/stageline"
    ]


def test_every_target_has_a_help_line() -> None:
    makefile = read("Makefile")
    phony = re.search(r"^\.PHONY: ((?:.*\\\n)*.*)$", makefile, re.MULTILINE)
    assert phony is not None
    targets = set(phony[1].replace("\\\n", " ").split())
    assert set(re.findall(r"^([a-z-]+):.*## \S", makefile, re.MULTILINE)) == targets


def test_ci_calls_the_targets_that_people_call() -> None:
    steps = re.findall(r"^step ([a-z-]+)(?: ARGS=.*)?$", read(".ci/run"), re.MULTILINE)
    assert steps == ["setup", "conformance", "test", "verify", "test-pg"]


@pytest.mark.parametrize("folder", ["worker_sdk/go/gen", "worker_sdk/typescript/gen"])
def test_the_code_for_go_and_node_is_of_these_protos(folder: str) -> None:
    of_protos = subprocess.run(["tools/hash_protos.sh"], cwd=ROOT, capture_output=True, text=True, check=True)
    assert read(f"{folder}/protos.sha256") == of_protos.stdout, "run make gen and commit the result"
