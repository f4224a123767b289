#!/usr/bin/env python3
"""Reads what OpenAPI does not say from a Kubernetes source tree into facts.txt and legacy.txt.

    tests/schemagen/facts.py KUBERNETES_TREE REFERENCE_DATA

For each type: JSON field names in the order Go encodes them, the Go type, whether an empty value is
left out, and the protobuf number. Only facts; neither comments nor code are taken over. facts.txt
has the types that are served or sent by clients, legacy.txt those that only old test data uses.

    TYPE
     FIELD GOTYPE NUMBER [omitempty] [omitzero]

NUMBER is `0` without a protobuf form, `2/5` for field 5 of the embedded message 2 (whose fields JSON shows as its own).
"""
import json, os, re, sys

tree, reference = sys.argv[1:3]
staging = os.path.join(tree, "staging/src")
ROOTS = ["k8s.io/api", "k8s.io/apimachinery/pkg/apis/meta/v1", "k8s.io/apimachinery/pkg/runtime",
         "k8s.io/apimachinery/pkg/version", "k8s.io/apimachinery/pkg/api/resource",
         "k8s.io/apimachinery/pkg/util/intstr", "k8s.io/apimachinery/pkg/types",
         "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1", "k8s.io/kube-aggregator/pkg/apis/apiregistration/v1"]
META = "apimachinery.pkg.apis.meta.v1."
SPECIAL = {
    META + "Time": "time", META + "MicroTime": "microtime", META + "Duration": "duration", META + "FieldsV1": "fields",
    "apimachinery.pkg.api.resource.Quantity": "quantity", "apimachinery.pkg.util.intstr.IntOrString": "intorstring",
    "apimachinery.pkg.runtime.RawExtension": "raw", "apiextensions-apiserver.pkg.apis.apiextensions.v1.JSON": "json",
    "apimachinery.pkg.runtime.Object": "raw",
    "apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaPropsOrBool": "schemaorbool",
    "apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaPropsOrArray": "schemaorarray",
    "apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaPropsOrStringArray": "schemaorstrings",
}
BASIC = {"string": "string", "bool": "bool", "int32": "int32", "int64": "int64", "int": "int64", "float64": "number",
         "byte": "byte", "uint8": "byte", "uint32": "int64", "interface{}": "json", "any": "json"}
EXTRA = [META + n for n in ("CreateOptions UpdateOptions PatchOptions DeleteOptions GetOptions ListOptions Table TableOptions "
         "PartialObjectMetadata PartialObjectMetadataList Status WatchEvent APIGroup APIGroupList APIResourceList "
         "APIVersions LabelSelector").split()]
EXTRA += ["api.core.v1." + n for n in ("PodLogOptions PodExecOptions PodAttachOptions PodPortForwardOptions PodProxyOptions "
          "NodeProxyOptions ServiceProxyOptions PodStatusResult SerializedReference RangeAllocation Binding").split()]
EXTRA += ["api.admission.v1.AdmissionReview", "api.apidiscovery.v2.APIGroupDiscoveryList",
          "api.apidiscovery.v2beta1.APIGroupDiscoveryList", "api.authentication.v1.TokenRequest", "api.policy.v1.Eviction",
          "api.imagepolicy.v1alpha1.ImageReview"]


def prefix(path):
    return path.removeprefix("k8s.io/").replace("/", ".")


types = {}  # name -> ("struct", [fields], imports, package) or ("alias", goexpr, imports, package)


def parse(path, package):
    text = open(path).read()
    text = re.sub(r"/\*.*?\*/", "", text, flags=re.S)
    imports = {}
    for block in re.findall(r"^import \((.*?)^\)", text, flags=re.S | re.M) + re.findall(r"^import (.*)$", text, flags=re.M):
        for alias, target in re.findall(r'^\s*(\w+)?\s*"([^"]+)"', block, flags=re.M):
            imports[alias or target.rsplit("/", 1)[-1]] = target
    pending = []
    lines = text.split("\n")
    i = 0
    while i < len(lines):
        line = lines[i]
        if re.match(r"\s*//", line):
            pending.append(line)
            i += 1
            continue
        m = re.match(r"type (\w+) struct \{", line)
        wrapped = any("protobuf.nullable=true" in c for c in pending)
        if m:
            name, fields = m[1], []
            i += 1
            while not lines[i].startswith("}"):
                f = re.match(r"\s+(\w+)\s+(\S.*?)\s+`(.*)`", lines[i])
                e = f or re.match(r"\s+(\*?[\w.]+)\s+`(.*)`", lines[i])
                if f:
                    fields.append((f[1], f[2].strip(), f[3]))
                elif e:
                    fields.append(("", e[1], e[2]))
                i += 1
            types[package + "." + name] = ("struct", fields, imports, package)
        elif re.match(r"type \w+ struct\{\}$", line):
            types[package + "." + line.split()[1]] = ("struct", [], imports, package)
        else:
            m = re.match(r"type (\w+) (=)?\s*(\S.*)$", line)
            if m and not m[3].startswith(("func", "interface {")):
                types[package + "." + m[1]] = ("wrapped" if wrapped else "alias", m[3].split("//")[0].strip(), imports, package)
        if line.strip():
            pending = []
        i += 1


for root in ROOTS:
    for folder, _, names in os.walk(os.path.join(staging, root)):
        if root != "k8s.io/api" and folder != os.path.join(staging, root):
            continue
        for name in sorted(names):
            if name.endswith(".go") and not name.endswith("_test.go") and not name.startswith("zz_") and "generated" not in name:
                parse(os.path.join(folder, name), prefix(os.path.relpath(folder, staging)))


def resolve(expr, imports, package):
    """The Go expression with every name resolved: (text, names of structs it refers to)."""
    if expr.startswith("*"):
        text, refs = resolve(expr[1:], imports, package)
        return "*" + text, refs
    if expr == "[]byte":
        return "bytes", []
    if expr.startswith("[]"):
        text, refs = resolve(expr[2:], imports, package)
        return "[]" + text, refs
    m = re.match(r"map\[([\w.]+)\](.*)", expr)
    if m:
        text, refs = resolve(m[2], imports, package)
        return "{}" + text, refs
    if expr in BASIC:
        return BASIC[expr], []
    pkg, _, name = expr.rpartition(".")
    full = (prefix(imports[pkg]) if pkg else package) + "." + name
    if full in SPECIAL:
        return SPECIAL[full], []
    if full not in types:
        raise KeyError(f"{full} (from {package})")
    kind, body, imps, pack = types[full]
    if kind == "struct":
        return full, [full]
    text, refs = resolve(body, imps, pack)
    short = ".".join(full.rsplit(".", 2)[-2:])
    if text == "string":
        text = "string:" + short
    if kind == "wrapped" or full == META + "Verbs":
        text = "wrapped" + text
    return text, refs


def flatten(name, outer="", numbered=True):
    kind, fields, imports, package = types[name]
    out = []
    for field, expr, tag in fields:
        js = re.search(r'json:"([^"]*)"', tag)
        pb = re.search(r'protobuf:"\w+,(\d+)', tag)
        parts = js[1].split(",") if js else [""]
        if parts[0] == "-" or (not js and field):
            continue
        if parts[0] == "":  # inline
            text, refs = resolve(expr, imports, package)
            out += flatten(refs[0], outer + pb[1] + "/" if pb else "", bool(pb))
            continue
        text, refs = resolve(expr, imports, package)
        flags = [f for f in parts[1:] if f in ("omitempty", "omitzero")]
        out.append((parts[0], text, (outer + pb[1]) if pb and numbered else "0", flags, refs))
    return out


def reach(roots):
    seen, todo = {}, list(roots)
    while todo:
        name = todo.pop()
        if name not in seen:
            seen[name] = flatten(name)
            todo += [r for f in seen[name] for r in f[4]]
    return seen


def write(path, found):
    with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), path), "w") as out:
        for name in sorted(found):
            out.write(name + "\n")
            for js, text, number, flags, _ in found[name]:
                out.write(" " + " ".join([js, text, number, *flags]) + "\n")


swagger = json.load(open(os.path.join(reference, "openapi/swagger.json")))["definitions"]
served = [n.removeprefix("io.k8s.") for n in swagger]
served = [n for n in served if types.get(n, ("",))[0] == "struct" and n not in SPECIAL]
facts = reach(served + EXTRA)
write("facts.txt", facts)

groups = {"core": "core", "internal.apiserver.k8s.io": "apiserverinternal"}
legacy = []
for file in sorted(os.listdir(os.path.join(reference, "roundtrip"))):
    if file.endswith(".json"):
        group, version, kind = re.match(r"(.*)\.(v\w+)\.(\w+)\.json", file).groups()
        group = groups.get(group, group.split(".")[0])
        name = f"api.{group}.{version}.{kind}"
        if name not in types:
            name = META + kind
        assert name in types, file
        legacy.append(name)
write("legacy.txt", {n: f for n, f in reach(legacy).items() if n not in facts})
