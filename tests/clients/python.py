#!/usr/bin/env python3
"""PyPI's `kubernetes` client against a server of its own: `SKIFF_BINARY=… tests/clients/python.py`.

Each function is a situation and what the client must see. The server has no node: exec, logs and
port-forward are part of the walk (tests/e2e). Closes with "N passed", and "M failed" if any did.
"""

import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
import traceback

import yaml
from kubernetes import client, config, dynamic, utils, watch
from kubernetes.client.exceptions import ApiException
from kubernetes.leaderelection import electionconfig, leaderelection
from kubernetes.leaderelection.resourcelock.configmaplock import ConfigMapLock

PATIENCE_SECS = 60
NS = "default"


def config_map(name, **data):
    return client.V1ConfigMap(metadata=client.V1ObjectMeta(name=name, labels={"of": name}), data=data)


def deployment(name, replicas=1):
    labels = {"app": name}
    pod = client.V1PodTemplateSpec(
        metadata=client.V1ObjectMeta(labels=labels),
        spec=client.V1PodSpec(containers=[client.V1Container(name="c", image="nothing.invalid/c:1")]),
    )
    # Without a node no pod becomes ready: rolling on, older pods would stay, how many by the moment of each change.
    spec = client.V1DeploymentSpec(
        replicas=replicas,
        selector=client.V1LabelSelector(match_labels=labels),
        strategy=client.V1DeploymentStrategy(type="Recreate"),
        template=pod,
    )
    return client.V1Deployment(metadata=client.V1ObjectMeta(name=name), spec=spec)


def until(what, holds):
    """Waits for a state, for so long."""
    deadline = time.monotonic() + PATIENCE_SECS
    while not (found := holds()):
        assert time.monotonic() < deadline, f"{what}: not within {PATIENCE_SECS} s"
        time.sleep(0.05)
    return found


def refused(code, call):
    try:
        call()
    except ApiException as error:
        assert error.status == code, (error.status, error.body)
        return error
    raise AssertionError(f"was not refused with {code}")


def versions_and_groups_are_found():
    assert client.VersionApi().get_code().git_version.startswith("v1.36")
    groups = {group.name for group in client.ApisApi().get_api_versions().groups}
    assert {"apps", "batch", "rbac.authorization.k8s.io"} <= groups, groups


def objects_are_created_read_replaced_and_deleted():
    core = client.CoreV1Api()
    made = core.create_namespaced_config_map(NS, config_map("life", a="1"))
    refused(409, lambda: core.create_namespaced_config_map(NS, config_map("life")))
    made.data["b"] = "2"
    replaced = core.replace_namespaced_config_map("life", NS, made)
    assert replaced.data == {"a": "1", "b": "2"}
    refused(409, lambda: core.replace_namespaced_config_map("life", NS, made))
    core.delete_namespaced_config_map("life", NS)
    refused(404, lambda: core.read_namespaced_config_map("life", NS))
    bad = refused(422, lambda: core.create_namespaced_config_map(NS, config_map("Not a name")))
    assert "metadata.name" in bad.body


def lists_come_in_pages_and_by_label():
    core = client.CoreV1Api()
    for n in range(7):
        core.create_namespaced_config_map(NS, config_map(f"page-{n}"))
    names, token = [], None
    while True:
        page = core.list_namespaced_config_map(NS, limit=3, _continue=token, label_selector="of")
        assert len(page.items) <= 3
        names += [item.metadata.name for item in page.items]
        token = page.metadata._continue
        if not token:
            break
    assert names == sorted(names) and sum(name.startswith("page-") for name in names) == 7, names
    one = core.list_namespaced_config_map(NS, label_selector="of in (page-3)", field_selector="metadata.name=page-3")
    assert [item.metadata.name for item in one.items] == ["page-3"]
    core.delete_collection_namespaced_config_map(NS, label_selector="of")
    assert not core.list_namespaced_config_map(NS, label_selector="of").items


def a_watch_tells_every_change_in_order():
    core, seen, watching = client.CoreV1Api(), [], watch.Watch()
    start = core.list_namespaced_config_map(NS).metadata.resource_version

    def change():
        core.create_namespaced_config_map(NS, config_map("seen", n="0"))
        core.patch_namespaced_config_map("seen", NS, {"data": {"n": "1"}})
        core.delete_namespaced_config_map("seen", NS)

    threading.Thread(target=change, daemon=True).start()
    stream = watching.stream(
        core.list_namespaced_config_map, NS, resource_version=start, timeout_seconds=PATIENCE_SECS, label_selector="of=seen"
    )
    for event in stream:
        seen.append((event["type"], event["object"].data["n"]))
        if event["type"] == "DELETED":
            watching.stop()
    assert seen == [("ADDED", "0"), ("MODIFIED", "1"), ("DELETED", "1")], seen


def every_kind_of_patch_is_understood():
    core, apps = client.CoreV1Api(), client.AppsV1Api()
    core.create_namespaced_config_map(NS, config_map("patched", a="1"))
    # A list is a JSON patch, an object a strategic merge patch, as the client has it.
    steps = [{"op": "test", "path": "/data/a", "value": "1"}, {"op": "add", "path": "/data/b", "value": "2"}]
    assert core.patch_namespaced_config_map("patched", NS, steps).data == {"a": "1", "b": "2"}
    refused(422, lambda: core.patch_namespaced_config_map("patched", NS, steps[:1] + [{"op": "remove", "path": "/x/y"}]))
    apps.create_namespaced_deployment(NS, deployment("patched"))
    more = {"spec": {"template": {"spec": {"containers": [{"name": "d", "image": "nothing.invalid/d:1"}]}}}}
    both = apps.patch_namespaced_deployment("patched", NS, more).spec.template.spec.containers
    assert [one.name for one in both] == ["d", "c"], both
    merged = apps.patch_namespaced_deployment("patched", NS, more, _content_type="application/merge-patch+json")
    assert [one.name for one in merged.spec.template.spec.containers] == ["d"]
    assert apps.patch_namespaced_deployment_scale("patched", NS, {"spec": {"replicas": 2}}).spec.replicas == 2
    until("two pods", lambda: len(core.list_namespaced_pod(NS, label_selector="app=patched").items) == 2)
    apps.delete_namespaced_deployment("patched", NS, propagation_policy="Foreground")
    until("no deployment", lambda: not apps.list_namespaced_deployment(NS).items)
    assert not core.list_namespaced_pod(NS, label_selector="app=patched").items
    core.delete_namespaced_config_map("patched", NS)


def applied_fields_belong_to_their_manager():
    core = client.CoreV1Api()

    def apply(manager, force=None, **data):
        body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "applied"}, "data": data}
        return core.patch_namespaced_config_map(
            "applied", NS, body, field_manager=manager, force=force, _content_type="application/apply-patch+yaml"
        )

    apply("one", a="1", b="1")
    apply("two", c="2")
    conflict = refused(409, lambda: apply("two", a="2", c="2"))
    assert 'conflict with \\"one\\"' in conflict.body, conflict.body
    assert apply("two", force=True, a="2", c="2").data == {"a": "2", "b": "1", "c": "2"}
    assert apply("one").data == {"a": "2", "c": "2"}
    core.delete_namespaced_config_map("applied", NS)


def a_yaml_file_makes_what_is_in_it():
    text = """
apiVersion: v1
kind: Namespace
metadata: {name: from-yaml}
---
apiVersion: v1
kind: Service
metadata: {name: web, namespace: from-yaml}
spec: {selector: {app: web}, ports: [{port: 80}]}
"""
    utils.create_from_yaml(client.ApiClient(), yaml_objects=list(yaml.safe_load_all(text)))
    core = client.CoreV1Api()
    assert core.read_namespaced_service("web", "from-yaml").spec.cluster_ip
    core.delete_namespace("from-yaml")
    until("no namespace", lambda: "from-yaml" not in [one.metadata.name for one in core.list_namespace().items])


def the_dynamic_client_knows_a_new_kind_at_once():
    schema = {
        "type": "object",
        "properties": {
            "spec": {
                "type": "object",
                "required": ["size"],
                "properties": {"size": {"type": "integer", "minimum": 1}, "colour": {"type": "string", "default": "red"}},
            },
            "status": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
        },
    }
    version = client.V1CustomResourceDefinitionVersion(
        name="v1",
        served=True,
        storage=True,
        schema=client.V1CustomResourceValidation(open_apiv3_schema=schema),
        subresources=client.V1CustomResourceSubresources(status={}),
    )
    names = client.V1CustomResourceDefinitionNames(plural="shirts", singular="shirt", kind="Shirt", list_kind="ShirtList")
    spec = client.V1CustomResourceDefinitionSpec(group="clients.test", scope="Namespaced", names=names, versions=[version])
    extensions = client.ApiextensionsV1Api()
    definition = client.V1CustomResourceDefinition(metadata=client.V1ObjectMeta(name="shirts.clients.test"), spec=spec)
    extensions.create_custom_resource_definition(definition)

    def established():
        status = extensions.read_custom_resource_definition("shirts.clients.test").status
        return [one for one in status.conditions or [] if one.type == "Established" and one.status == "True"]

    until("the definition is established", established)
    shirts = dynamic.DynamicClient(client.ApiClient()).resources.get(api_version="clients.test/v1", kind="Shirt")
    body = {"apiVersion": "clients.test/v1", "kind": "Shirt", "metadata": {"name": "s"}, "spec": {"size": 3, "lost": 1}}
    made = shirts.create(body=body, namespace=NS)
    assert made.spec.to_dict() == {"size": 3, "colour": "red"}, made
    patched = shirts.patch(
        body={"spec": {"size": 4}}, name="s", namespace=NS, content_type="application/merge-patch+json"
    )
    assert patched.spec.size == 4 and patched.metadata.generation == 2
    applied = shirts.server_side_apply(
        body={"apiVersion": "clients.test/v1", "kind": "Shirt", "spec": {"colour": "blue"}},
        name="s",
        namespace=NS,
        field_manager="tailor",
        force_conflicts=True,
    )
    assert applied.spec.to_dict() == {"size": 4, "colour": "blue"}, applied
    by_name = client.CustomObjectsApi()
    status = by_name.patch_namespaced_custom_object_status(
        "clients.test", "v1", NS, "shirts", "s", {"status": {"worn": True}, "spec": {"size": 9}}
    )
    assert status["status"] == {"worn": True} and status["spec"]["size"] == 4, status
    body["metadata"]["name"], body["spec"] = "bad", {"size": 0}
    bad = refused(422, lambda: by_name.create_namespaced_custom_object("clients.test", "v1", NS, "shirts", body))
    assert "should be greater than or equal to 1" in bad.body, bad.body
    extensions.delete_custom_resource_definition("shirts.clients.test")


    def left():
        return [one.metadata.name for one in extensions.list_custom_resource_definition().items]

    until("the definition is gone", lambda: "shirts.clients.test" not in left())


def one_of_two_candidates_leads_and_the_other_follows_it():
    led = []

    def candidate(name):
        lock = ConfigMapLock("lead", NS, name)
        return electionconfig.Config(
            lock, lease_duration=4, renew_deadline=3, retry_period=2, onstarted_leading=lambda: led.append(name), onstopped_leading=None
        )

    for name in ["a", "b"]:
        run = leaderelection.LeaderElection(candidate(name)).run
        threading.Thread(target=run, daemon=True).start()
        until("somebody leads", lambda: led)
    time.sleep(5)
    assert led == ["a"], led


def a_token_of_a_service_account_may_what_its_role_says():
    core, rbac = client.CoreV1Api(), client.RbacAuthorizationV1Api()
    core.create_namespaced_service_account(NS, client.V1ServiceAccount(metadata=client.V1ObjectMeta(name="reader")))
    rule = client.V1PolicyRule(api_groups=[""], resources=["configmaps"], verbs=["list"])
    rbac.create_namespaced_role(NS, client.V1Role(metadata=client.V1ObjectMeta(name="reader"), rules=[rule]))
    binding = client.V1RoleBinding(
        metadata=client.V1ObjectMeta(name="reader"),
        role_ref=client.V1RoleRef(api_group="rbac.authorization.k8s.io", kind="Role", name="reader"),
        subjects=[client.RbacV1Subject(kind="ServiceAccount", name="reader", namespace=NS)],
    )
    rbac.create_namespaced_role_binding(NS, binding)
    request = client.AuthenticationV1TokenRequest(spec=client.V1TokenRequestSpec(audiences=[], expiration_seconds=600))
    token = core.create_namespaced_service_account_token("reader", NS, request).status.token
    admin = client.Configuration.get_default_copy()
    own = client.Configuration()
    own.host, own.ssl_ca_cert = admin.host, admin.ssl_ca_cert
    own.api_key = {"authorization": f"Bearer {token}"}
    reader = client.CoreV1Api(client.ApiClient(own))
    reader.list_namespaced_config_map(NS)
    refused(403, lambda: reader.list_namespaced_secret(NS))
    own.api_key = {"authorization": "Bearer nonsense"}
    refused(401, lambda: reader.list_namespaced_config_map(NS))


TESTS = [
    versions_and_groups_are_found,
    objects_are_created_read_replaced_and_deleted,
    lists_come_in_pages_and_by_label,
    a_watch_tells_every_change_in_order,
    every_kind_of_patch_is_understood,
    applied_fields_belong_to_their_manager,
    a_yaml_file_makes_what_is_in_it,
    the_dynamic_client_knows_a_new_kind_at_once,
    one_of_two_candidates_leads_and_the_other_follows_it,
    a_token_of_a_service_account_may_what_its_role_says,
]


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def main():
    with tempfile.TemporaryDirectory() as folder:
        command = [os.environ["SKIFF_BINARY"], "server", "--data-dir", folder, "--disable-agent", "--disable", "dns"]
        command += ["--bind-address", "127.0.0.1", "--https-listen-port", str(free_port()), "--node-name", "clients"]
        log = open(os.path.join(folder, "log"), "w+")
        server = subprocess.Popen(command, stdout=log, stderr=log)
        try:
            kubeconfig = os.path.join(folder, "skiff.yaml")
            until("a kubeconfig", lambda: os.path.exists(kubeconfig) or server.poll() is not None)
            assert server.poll() is None, open(log.name).read()
            config.load_kube_config(kubeconfig)
            failed = 0
            for test in TESTS:
                try:
                    test()
                    print(f"ok      {test.__name__}")
                except Exception:
                    failed += 1
                    traceback.print_exc()
                    print(f"FAILED  {test.__name__}")
            print(f"{len(TESTS) - failed} passed" + (f", {failed} failed" if failed else ""))
            return failed
        finally:
            server.terminate()
            server.wait(30)


if __name__ == "__main__":
    sys.exit(1 if main() else 0)
