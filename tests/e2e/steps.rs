//! What a new user does, in the order that a new user does it.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::Stdio;
use std::time::Duration;

use super::cluster::{Cluster, IMAGE, IMAGE_TWO};

pub type Step = fn(&mut Cluster);

pub const STEPS: &[(&str, Step)] = &[
    ("node", node),
    ("deployment", deployment),
    ("service", service),
    ("logs_and_exec", logs_and_exec),
    ("port_forward", port_forward),
    ("copy", copy),
    ("rollout_undo", rollout_undo),
    ("apply_twice", apply_twice),
    ("edit_describe_explain", edit_describe_explain),
    ("job", job),
    ("crash_loop", crash_loop),
    ("volumes", volumes),
    ("probes", probes),
    ("daemonset", daemonset),
    ("bad_input", bad_input),
    ("pull", super::registry::pull),
    ("manifest_folder", manifest_folder),
    ("every_kubectl", every_kubectl),
    ("delete", delete),
    ("kill_and_carry_on", kill_and_carry_on),
    ("installer", super::installer::install_upgrade_uninstall),
];

fn node(c: &mut Cluster) {
    let nodes = c.kubectl("get nodes");
    assert!(
        nodes.starts_with("NAME") && nodes.contains("walker") && nodes.contains("Ready") && nodes.contains("v1.36"),
        "{nodes}"
    );
    let wide = c.kubectl("get nodes -o wide");
    assert!(wide.contains("containerd://"), "{wide}");
    let version = c.kubectl("version");
    assert!(version.contains("v1.36.2+skiff"), "{version}");
    assert!(c.kubectl("get --raw /readyz").contains("ok"));
    assert!(c.kubectl("api-resources").contains("deployments"));
}

/// A web server that says which pod it is.
fn web(replicas: u32) -> String {
    format!(
        r#"
apiVersion: apps/v1
kind: Deployment
metadata: {{name: web}}
spec:
  replicas: {replicas}
  selector: {{matchLabels: {{app: web}}}}
  template:
    metadata: {{labels: {{app: web}}}}
    spec:
      terminationGracePeriodSeconds: 0
      containers:
      - name: web
        image: {IMAGE}
        command: [sh, -c, "hostname > /www/index.html; exec httpd -f -p 8080 -h /www"]
        ports: [{{containerPort: 8080}}]
"#
    )
}

fn deployment(c: &mut Cluster) {
    assert_eq!(
        c.kubectl(&format!("create deployment idle --image={IMAGE} --replicas=3 -- sleep 3600")),
        "deployment.apps/idle created"
    );
    assert!(c.kubectl("rollout status deployment/idle --timeout=60s").contains("successfully rolled out"));
    let shown = c.kubectl("get deployment idle");
    assert!(shown.contains("3/3"), "{shown}");
    assert_eq!(c.kubectl("scale deployment/idle --replicas=1"), "deployment.apps/idle scaled");
    c.wait("two pods to be told to go", |c| c.kubectl("get deployment idle").contains("1/1"));
    assert!(c.kubectl("wait --for=condition=Available deployment/idle --timeout=30s").contains("condition met"));
}

fn service(c: &mut Cluster) {
    c.apply("apply -f -", &web(2));
    c.kubectl("rollout status deployment/web --timeout=60s");
    c.kubectl("expose deployment web --port=80 --target-port=8080");
    c.kubectl(&format!("run client --image={IMAGE} --restart=Never -- sleep 3600"));
    c.kubectl("wait --for=condition=Ready pod/client --timeout=60s");
    let ip = c.kubectl("get service web -o jsonpath={.spec.clusterIP}");
    c.wait("the service to answer", |c| c.exec("client", &format!("fetch {ip} || true")).starts_with("web-"));
    let by_name = c.exec("client", "fetch web");
    assert!(by_name.starts_with("web-"), "{by_name}");
    let seen: std::collections::BTreeSet<String> = (0..30).map(|_| c.exec("client", "fetch web")).collect();
    assert_eq!(seen.len(), 2, "traffic is spread over both pods: {seen:?}");
    let namespace = c.kubectl("get pod client -o jsonpath={.metadata.namespace}");
    let looked_up = c.exec("client", &format!("nslookup web.{namespace}.svc.cluster.local"));
    assert!(looked_up.contains(&ip), "{looked_up}");
    // A pod reaches itself through its own service, and the node port answers on the machine.
    c.kubectl("scale deployment/web --replicas=1");
    c.wait("one endpoint", |c| {
        c.kubectl("get endpointslices -o jsonpath={.items[*].endpoints[*].addresses[0]}").split(' ').count() == 1
    });
    let own =
        c.kubectl("get pods -l app=web --field-selector=status.phase=Running -o jsonpath={.items[0].metadata.name}");
    c.wait("the pod to reach itself", |c| c.exec(&own, "fetch web || true").starts_with("web-"));
    c.kubectl("patch service web --type=merge -p {\"spec\":{\"type\":\"NodePort\"}}");
    let port: u16 = c.kubectl("get service web -o jsonpath={.spec.ports[0].nodePort}").parse().unwrap();
    let node_ip = c.kubectl("get node walker -o jsonpath={.status.addresses[0].address}");
    c.wait("the node port", |_| get(&format!("{node_ip}:{port}")).is_some_and(|page| page.contains("web-")));
}

/// One HTTP GET of `/`.
fn get(address: &str) -> Option<String> {
    let address = address.parse().ok()?;
    let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(2)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(2))).ok()?;
    stream.write_all(b"GET / HTTP/1.0\r\n\r\n").ok()?;
    let mut page = String::new();
    stream.read_to_string(&mut page).ok()?;
    Some(page)
}

fn logs_and_exec(c: &mut Cluster) {
    c.apply(
        "apply -f -",
        &format!(
            "{{apiVersion: v1, kind: Pod, metadata: {{name: talker}}, spec: {{terminationGracePeriodSeconds: 0, containers: [{{name: main, image: '{IMAGE}',
              command: [sh, -c, 'echo first; echo second >&2; i=0; while true; do echo tick $i; i=$((i+1)); sleep 0.2; done']}}]}}}}"
        ),
    );
    c.kubectl("wait --for=condition=Ready pod/talker --timeout=60s");
    c.wait("the log", |c| c.kubectl("logs talker").contains("tick 1"));
    let log = c.kubectl("logs talker");
    // Output and errors come through a pipe each, in no order.
    assert!(log.contains("first\n") && log.contains("second\n") && log.contains("tick 0\n"), "{log}");
    assert_eq!(c.kubectl("logs talker --tail=1 --limit-bytes=5").len(), 4);
    assert!(c.kubectl("logs talker --timestamps --tail=1").contains('T'));

    let mut follow = c.command(&["logs", "-f", "talker"]).stdout(Stdio::piped()).spawn().unwrap();
    let lines: Vec<String> =
        BufReader::new(follow.stdout.take().unwrap()).lines().take(12).map(Result::unwrap).collect();
    follow.kill().unwrap();
    follow.wait().unwrap();
    assert!(lines.contains(&"tick 9".to_owned()), "{lines:?}");

    assert_eq!(c.exec("talker", "echo out; echo err >&2"), "out");
    let status = c.command(&["exec", "talker", "--", "sh", "-c", "exit 7"]).stderr(Stdio::null()).status().unwrap();
    assert_eq!(status.code(), Some(7));
    let mut cat =
        c.command(&["exec", "-i", "talker", "--", "cat"]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    cat.stdin.take().unwrap().write_all(b"through and back").unwrap();
    assert_eq!(cat.wait_with_output().unwrap().stdout, b"through and back");
    // A terminal, as `exec -it` has, with `script` from util-linux as the terminal.
    let interactive = c.command(&["exec", "-it", "talker", "--", "sh", "-c", "test -t 0 && echo is-a-terminal"]);
    let words: Vec<String> = std::iter::once(interactive.get_program())
        .chain(interactive.get_args())
        .map(|word| format!("'{}'", word.to_string_lossy()))
        .collect();
    let terminal = std::process::Command::new("script")
        .args(["-qec", &words.join(" "), "/dev/null"])
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert!(String::from_utf8_lossy(&terminal.stdout).contains("is-a-terminal"), "{terminal:?}");
}

fn port_forward(c: &mut Cluster) {
    c.apply("apply -f -", &web(1));
    c.kubectl("rollout status deployment/web --timeout=60s");
    let mut forward =
        c.command(&["port-forward", "deployment/web", "18080:8080"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut said = String::new();
    BufReader::new(forward.stdout.as_mut().unwrap()).read_line(&mut said).unwrap();
    let pages: Vec<_> = (0..3).map(|_| get("127.0.0.1:18080")).collect();
    forward.kill().unwrap();
    forward.wait().unwrap();
    assert!(pages.iter().all(|page| page.as_ref().is_some_and(|page| page.contains("web-"))), "{said}{pages:?}");
}

fn copy(c: &mut Cluster) {
    c.kubectl(&format!("run box --image={IMAGE} --restart=Never -- sleep 3600"));
    c.kubectl("wait --for=condition=Ready pod/box --timeout=60s");
    let (there, back) = (c.scratch("there"), c.scratch("back"));
    let content: Vec<u8> = (0..300_000u32).map(|n| (n % 251) as u8).collect();
    std::fs::write(&there, &content).unwrap();
    c.kubectl(&format!("cp {} box:/tmp/file", there.display()));
    c.kubectl(&format!("cp box:/tmp/file {}", back.display()));
    assert!(std::fs::read(&back).unwrap() == content);
}

fn rollout_undo(c: &mut Cluster) {
    c.apply("apply -f -", &web(2));
    c.kubectl("rollout status deployment/web --timeout=60s");
    c.kubectl(&format!("set image deployment/web web={IMAGE_TWO}"));
    c.kubectl("rollout status deployment/web --timeout=60s");
    let image = |c: &Cluster| c.kubectl("get deployment web -o jsonpath={.spec.template.spec.containers[0].image}");
    assert_eq!(image(c), IMAGE_TWO);
    let history = c.kubectl("rollout history deployment/web");
    assert!(history.contains("1 ") && history.contains("2 "), "{history}");
    c.kubectl("rollout undo deployment/web");
    c.kubectl("rollout status deployment/web --timeout=60s");
    assert_eq!(image(c), IMAGE);
    assert!(c.kubectl("rollout restart deployment/web").contains("restarted"));
    c.kubectl("rollout status deployment/web --timeout=60s");
}

fn apply_twice(c: &mut Cluster) {
    assert_eq!(c.apply("apply -f -", &web(1)), "deployment.apps/web created");
    assert_eq!(c.apply("apply -f -", &web(1)), "deployment.apps/web unchanged");
    assert_eq!(c.apply("apply -f -", &web(2)), "deployment.apps/web configured");
    let config = "{apiVersion: v1, kind: ConfigMap, metadata: {name: settings}, data: {a: '1', b: '2'}}";
    c.apply("apply --server-side -f -", config);
    let revision = |c: &Cluster| c.kubectl("get configmap settings -o jsonpath={.metadata.resourceVersion}");
    let first = revision(c);
    c.apply("apply --server-side -f -", config);
    assert_eq!(revision(c), first, "an apply that changes nothing writes nothing");
    let other = c.kubectl_error("apply --server-side --field-manager=other -f -", Some(&config.replace("'1'", "'9'")));
    assert!(other.contains("conflict"), "{other}");
    c.apply("apply --server-side --force-conflicts --field-manager=other -f -", &config.replace("'1'", "'9'"));
    assert_eq!(c.kubectl("get configmap settings -o jsonpath={.data.a}"), "9");
    let diff = c.output("diff -f -", Some(&web(3)));
    assert_eq!(diff.status.code(), Some(1), "there is a difference");
    let diff = String::from_utf8_lossy(&diff.stdout);
    assert!(diff.contains("-  replicas: 2") && diff.contains("+  replicas: 3"), "{diff}");
    assert_eq!(c.apply("diff -f -", &web(2)), "");
}

fn edit_describe_explain(c: &mut Cluster) {
    c.kubectl("create configmap settings --from-literal=colour=red");
    let edited =
        c.command(&["edit", "configmap", "settings"]).env("KUBE_EDITOR", "sed -i s/red/blue/").output().unwrap();
    assert!(edited.status.success(), "{}", String::from_utf8_lossy(&edited.stderr));
    assert_eq!(c.kubectl("get configmap settings -o jsonpath={.data.colour}"), "blue");
    c.kubectl(&format!("run box --image={IMAGE} --restart=Never -- sleep 3600"));
    c.kubectl("wait --for=condition=Ready pod/box --timeout=60s");
    let told = c.kubectl("describe pod box");
    for expected in [
        "Status:           Running",
        "Successfully assigned",
        "Started",
        "QoS Class:                   BestEffort",
        "PodScheduled",
    ] {
        assert!(told.contains(expected), "describe lacks {expected:?}:\n{told}");
    }
    assert!(c.kubectl("explain pod.spec.containers").contains("imagePullPolicy"));
    assert!(c.kubectl("explain deployment --recursive").contains("maxSurge"));
    c.kubectl("label pod box tier=test");
    assert_eq!(c.kubectl("get pods -l tier=test -o name"), "pod/box");
    c.kubectl("annotate pod box note=here");
    assert!(c.kubectl("auth can-i create pods").contains("yes"));
    assert_eq!(c.kubectl("create token default").matches('.').count(), 2);
    assert!(c.kubectl("get all").contains("pod/box"));
    assert!(c.kubectl("get events").contains("Scheduled"));
}

fn job(c: &mut Cluster) {
    c.kubectl(&format!("create job count --image={IMAGE} -- echo done"));
    assert!(c.kubectl("wait --for=condition=complete job/count --timeout=60s").contains("condition met"));
    assert_eq!(c.kubectl("logs job/count"), "done");
    let shown = c.kubectl("get job count");
    assert!(shown.contains("1/1"), "{shown}");
}

fn crash_loop(c: &mut Cluster) {
    c.kubectl(&format!("run crash --image={IMAGE} --command -- sh -c exit${{IFS}}3"));
    c.wait("the back-off", |c| c.kubectl("get pod crash").contains("CrashLoopBackOff"));
    let state = c.kubectl("get pod crash -o jsonpath={.status.containerStatuses[0]}");
    assert!(state.contains("\"exitCode\":3") && state.contains("\"restartCount\":"), "{state}");
    assert!(c.kubectl("describe pod crash").contains("Back-off restarting failed container"));
    c.kubectl("run missing --image=127.0.0.1:1/nothing:here");
    c.wait("the failed pull", |c| {
        let shown = c.kubectl("get pod missing");
        shown.contains("ErrImagePull") || shown.contains("ImagePullBackOff")
    });
}

fn volumes(c: &mut Cluster) {
    c.kubectl("create configmap settings --from-literal=key=first");
    c.kubectl("create secret generic hidden --from-literal=word=swordfish");
    c.apply(
        "apply -f -",
        &format!(
            r#"
apiVersion: v1
kind: Pod
metadata: {{name: reader, labels: {{tier: back}}}}
spec:
  terminationGracePeriodSeconds: 0
  initContainers:
  - {{name: prepare, image: '{IMAGE}', command: [sh, -c, 'echo prepared > /scratch/made'], volumeMounts: [{{name: scratch, mountPath: /scratch}}]}}
  containers:
  - name: main
    image: {IMAGE}
    command: [sleep, "3600"]
    env:
    - {{name: FROM_MAP, valueFrom: {{configMapKeyRef: {{name: settings, key: key}}}}}}
    - {{name: FROM_SECRET, valueFrom: {{secretKeyRef: {{name: hidden, key: word}}}}}}
    - {{name: NODE, valueFrom: {{fieldRef: {{fieldPath: spec.nodeName}}}}}}
    - {{name: LIMIT, valueFrom: {{resourceFieldRef: {{resource: limits.memory, divisor: 1Mi}}}}}}
    - {{name: COMPOSED, value: "$(FROM_MAP)-$(NODE)"}}
    resources: {{limits: {{memory: 64Mi, cpu: 500m}}}}
    volumeMounts:
    - {{name: scratch, mountPath: /scratch}}
    - {{name: memory, mountPath: /memory}}
    - {{name: settings, mountPath: /settings}}
    - {{name: hidden, mountPath: /hidden, readOnly: true}}
    - {{name: about, mountPath: /about}}
  volumes:
  - {{name: scratch, emptyDir: {{}}}}
  - {{name: memory, emptyDir: {{medium: Memory, sizeLimit: 8Mi}}}}
  - {{name: settings, configMap: {{name: settings}}}}
  - {{name: hidden, secret: {{secretName: hidden, defaultMode: 0400}}}}
  - {{name: about, downwardAPI: {{items: [{{path: labels, fieldRef: {{fieldPath: metadata.labels}}}}]}}}}
"#
        ),
    );
    c.kubectl("wait --for=condition=Ready pod/reader --timeout=60s");
    assert_eq!(c.exec("reader", "cat /scratch/made /settings/key /hidden/word"), "prepared\nfirstswordfish");
    assert_eq!(
        c.exec("reader", "echo $FROM_MAP $FROM_SECRET $NODE $LIMIT $COMPOSED"),
        "first swordfish walker 64 first-walker"
    );
    assert_eq!(c.exec("reader", "cat /about/labels"), "tier=\"back\"");
    assert!(c.exec("reader", "mount | grep /memory").contains("tmpfs"));
    assert_eq!(c.exec("reader", "stat -Lc %a /hidden/word"), "400");
    let token = c.exec("reader", "cat /var/run/secrets/kubernetes.io/serviceaccount/token");
    assert_eq!(token.matches('.').count(), 2);
    assert_eq!(c.kubectl("get pod reader -o jsonpath={.status.qosClass}"), "Burstable");
    c.kubectl("patch configmap settings --type=merge -p {\"data\":{\"key\":\"second\"}}");
    c.wait("the changed file", |c| c.exec("reader", "cat /settings/key") == "second");
}

fn probes(c: &mut Cluster) {
    c.apply(
        "apply -f -",
        &format!(
            r#"
apiVersion: v1
kind: Pod
metadata: {{name: probed}}
spec:
  terminationGracePeriodSeconds: 0
  containers:
  - name: main
    image: {IMAGE}
    command: [sh, -c, 'touch /tmp/live; exec httpd -f -p 8080 -h /www']
    readinessProbe: {{httpGet: {{path: /ready, port: 8080}}, periodSeconds: 1}}
    livenessProbe: {{exec: {{command: [cat, /tmp/live]}}, periodSeconds: 1, failureThreshold: 1}}
    startupProbe: {{tcpSocket: {{port: 8080}}, periodSeconds: 1}}
"#
        ),
    );
    c.wait("the container to run", |c| c.kubectl("get pod probed").contains("Running"));
    assert!(c.kubectl("get pod probed").contains("0/1"));
    c.exec("probed", "touch /www/ready");
    c.kubectl("wait --for=condition=Ready pod/probed --timeout=30s");
    c.exec("probed", "rm /tmp/live");
    c.wait("the restart", |c| {
        c.kubectl("get pod probed -o jsonpath={.status.containerStatuses[0].restartCount}") == "1"
    });
    assert!(c.kubectl("describe pod probed").contains("Liveness probe failed"));
}

fn daemonset(c: &mut Cluster) {
    let manifest = format!(
        "{{apiVersion: apps/v1, kind: DaemonSet, metadata: {{name: everywhere}}, spec: {{selector: {{matchLabels: {{app: d}}}},
          template: {{metadata: {{labels: {{app: d}}}}, spec: {{terminationGracePeriodSeconds: 0, hostNetwork: true, containers: [{{name: d, image: '{IMAGE}', command: [sleep, '3600']}}]}}}}}}}}"
    );
    c.apply("apply -f -", &manifest);
    c.kubectl("rollout status daemonset/everywhere --timeout=60s");
    let pod_ip = c.kubectl("get pods -l app=d -o jsonpath={.items[0].status.podIP}");
    assert_eq!(pod_ip, c.kubectl("get node walker -o jsonpath={.status.addresses[0].address}"));
}

fn bad_input(c: &mut Cluster) {
    let complaint = |c: &Cluster, manifest: &str| c.kubectl_error("create -f -", Some(manifest));
    let unknown = complaint(c, "{apiVersion: v1, kind: ConfigMap, metadata: {name: x}, dota: {a: b}}");
    assert!(unknown.contains("unknown field \"dota\""), "{unknown}");
    let typed = complaint(c, "{apiVersion: v1, kind: ConfigMap, metadata: {name: x}, data: {a: 1}}");
    assert!(typed.contains("cannot unmarshal number into Go struct field ConfigMap.data of type string"), "{typed}");
    let name = complaint(c, "{apiVersion: v1, kind: ConfigMap, metadata: {name: Not_Valid}}");
    assert!(name.contains("a lowercase RFC 1123 subdomain must consist of"), "{name}");
    let kind = complaint(c, "{apiVersion: v1, kind: Nothing, metadata: {name: x}}");
    assert!(kind.contains("no matches for kind \"Nothing\""), "{kind}");
    let image = complaint(c, "{apiVersion: v1, kind: Pod, metadata: {name: x}, spec: {containers: [{name: a}]}}");
    assert!(image.contains("spec.containers[0].image: Required value"), "{image}");
    c.kubectl("create configmap twice");
    let twice = c.kubectl_error("create configmap twice", None);
    assert!(twice.contains("configmaps \"twice\" already exists"), "{twice}");
    let missing = c.kubectl_error("get pod nobody", None);
    assert!(missing.contains("pods \"nobody\" not found"), "{missing}");
    let selector = c.kubectl_error("get pods -l a=b=c", None);
    assert!(selector.contains("unable to parse requirement") || selector.contains("found '='"), "{selector}");
    let big = format!(
        "{{apiVersion: v1, kind: ConfigMap, metadata: {{name: big}}, data: {{a: '{}'}}}}",
        "x".repeat(1_600_000)
    );
    let refused = complaint(c, &big);
    assert!(refused.contains("Too long") || refused.contains("too large"), "{refused}");
    let token = c.kubectl_error("get pods --token=not.a.token --kubeconfig=/dev/null", None);
    assert!(!token.is_empty());
    let immutable = {
        c.apply("apply -f -", &web(0));
        c.kubectl_error(
            "patch deployment web --type=merge -p {\"spec\":{\"selector\":{\"matchLabels\":{\"app\":\"other\"}}}}",
            None,
        )
    };
    assert!(immutable.contains("field is immutable") || immutable.contains("does not match template"), "{immutable}");
}

fn manifest_folder(c: &mut Cluster) {
    let folder = c.data_dir().join("server/manifests");
    std::fs::create_dir_all(folder.join("more")).unwrap();
    let good = folder.join("more/walk.yaml");
    std::fs::write(&good, "apiVersion: v1\nkind: Namespace\nmetadata: {name: from-folder}\n---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: dropped, namespace: from-folder}\ndata: {a: b}\n").unwrap();
    let bad = folder.join("broken.yaml");
    std::fs::write(&bad, "apiVersion: v1\nkind: [").unwrap();
    c.wait("the manifest to be applied", |c| c.try_kubectl("get configmap dropped -n from-folder").is_some());
    c.wait("the broken one to be reported", |c| c.kubectl("get addons -A -o wide").contains("broken"));
    std::fs::remove_file(&good).unwrap();
    std::fs::remove_file(&bad).unwrap();
    c.wait("its objects to go", |c| c.try_kubectl("get namespace from-folder").is_none());
}

fn every_kubectl(c: &mut Cluster) {
    c.kubectl(&format!("run box --image={IMAGE} --restart=Never -- sleep 3600"));
    c.kubectl("wait --for=condition=Ready pod/box --timeout=60s");
    let folder = std::path::Path::new("/usr/lib/google-cloud-sdk/bin");
    for minor in 27..=36 {
        let client = folder.join(format!("kubectl.1.{minor}"));
        if !client.exists() {
            continue;
        }
        let run = |args: &[&str]| {
            let stock = c.command(args);
            let output =
                std::process::Command::new(&client).args(stock.get_args()).env("HOME", c.scratch("")).output().unwrap();
            assert!(output.status.success(), "kubectl 1.{minor} {args:?}: {}", String::from_utf8_lossy(&output.stderr));
            String::from_utf8_lossy(&output.stdout).into_owned()
        };
        assert!(run(&["get", "pods"]).contains("box"));
        assert_eq!(run(&["exec", "box", "--", "echo", "hello"]), "hello\n");
        assert!(run(&["explain", "service.spec"]).contains("clusterIP"));
        assert!(run(&["describe", "pod", "box"]).contains("Running"));
    }
}

fn delete(c: &mut Cluster) {
    c.apply("apply -f -", &web(2));
    c.kubectl("rollout status deployment/web --timeout=60s");
    assert_eq!(c.kubectl("delete deployment web"), "deployment.apps \"web\" deleted");
    c.wait("its pods to go", |c| c.kubectl("get pods -o name").is_empty());
    c.kubectl("create namespace short-lived");
    c.kubectl("create configmap inside -n short-lived");
    c.kubectl("delete namespace short-lived --timeout=60s");
    assert!(c.try_kubectl("get namespace short-lived").is_none());
}

fn kill_and_carry_on(c: &mut Cluster) {
    c.apply("apply -f -", &web(2));
    c.kubectl("rollout status deployment/web --timeout=60s");
    let containers =
        |c: &Cluster| c.kubectl("get pods -l app=web -o jsonpath={.items[*].status.containerStatuses[*].containerID}");
    let before = containers(c);
    c.kubectl("create configmap acknowledged");
    c.kill();
    let running = c.ctr(&["tasks", "list", "-q"]);
    for container in before.split(' ') {
        let id = container.trim_start_matches("containerd://");
        assert!(running.contains(id), "containers outlive skiff: {id} is not among\n{running}");
    }
    c.launch();
    c.wait("the server to come back", |c| c.try_kubectl("get configmap acknowledged").is_some());
    c.wait("the node to be Ready", |c| c.kubectl("get nodes").contains(" Ready"));
    assert_eq!(containers(c), before, "the same containers carry on");
    assert_eq!(
        c.kubectl("get pods -l app=web -o jsonpath={.items[*].status.containerStatuses[*].restartCount}"),
        "0 0"
    );
    c.kubectl("scale deployment/web --replicas=3");
    c.kubectl("rollout status deployment/web --timeout=60s");
}
