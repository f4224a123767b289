#!/bin/sh
# train.sh BINARY: runs a server under what clients of a busy cluster ask, so that an instrumented build
# learns which of its code is hot. Needs curl with HTTP/2. Nothing is measured; all it makes is gone afterwards.
set -eu

binary=$1
dir=$(mktemp -d)
port=$((20000 + $$ % 10000))
url=https://127.0.0.1:$port
server=''
trap '[ -z "$server" ] || kill -9 "$server" 2>/dev/null; rm -rf "$dir"' EXIT
trap 'exit 1' INT TERM

"$binary" server --disable-agent --bind-address 127.0.0.1 --https-listen-port "$port" --data-dir "$dir/data" \
    --write-kubeconfig "$dir/kubeconfig" --config /dev/null >"$dir/log" 2>&1 &
server=$!

key() { sed -n "s/^ *$1: //p" "$dir/kubeconfig" | head -n 1 | base64 -d >"$dir/$1"; }
ask() { curl -s --max-time 20 --cacert "$dir/certificate-authority-data" --cert "$dir/client-certificate-data" --key "$dir/client-key-data" "$@"; }
tries=0
until [ -s "$dir/kubeconfig" ] && curl -sk --max-time 1 "$url/readyz" | grep -q '^ok'; do
    tries=$((tries + 1))
    if [ $tries -gt 300 ] || ! kill -0 $server; then cat "$dir/log"; exit 1; fi
    sleep 0.2
done
for name in certificate-authority-data client-certificate-data client-key-data; do key $name; done

pod='{"metadata":{"name":"NAME","labels":{"app":"web","tier":"front","shard":"NUMBER"},"annotations":{"example.com/owner":"team-a","example.com/note":"made to be many"}},
"spec":{"nodeSelector":{"disk":"none"},"terminationGracePeriodSeconds":5,"tolerations":[{"key":"dedicated","operator":"Equal","value":"web","effect":"NoSchedule"}],
"containers":[{"name":"main","image":"registry.example.com/web:1.2","command":["/bin/web","--listen=:8080"],"env":[{"name":"MODE","value":"production"},{"name":"POD","valueFrom":{"fieldRef":{"fieldPath":"metadata.name"}}},{"name":"TOKEN","valueFrom":{"secretKeyRef":{"name":"web","key":"token","optional":true}}}],
"ports":[{"name":"http","containerPort":8080},{"name":"metrics","containerPort":9090}],"resources":{"requests":{"cpu":"50m","memory":"64Mi"},"limits":{"cpu":"500m","memory":"128Mi"}},
"livenessProbe":{"httpGet":{"path":"/healthz","port":8080},"periodSeconds":10},"readinessProbe":{"httpGet":{"path":"/readyz","port":"http"},"initialDelaySeconds":2},
"securityContext":{"runAsNonRoot":true,"allowPrivilegeEscalation":false,"capabilities":{"drop":["ALL"]}},"volumeMounts":[{"name":"config","mountPath":"/etc/web"},{"name":"scratch","mountPath":"/tmp"}]},
{"name":"side","image":"registry.example.com/side:3","args":["--quiet"],"resources":{"requests":{"cpu":"10m"}}}],
"volumes":[{"name":"config","configMap":{"name":"web","optional":true}},{"name":"scratch","emptyDir":{}}]}}'
config='{"metadata":{"name":"NAME","labels":{"app":"web"}},"data":{"key":"value NUMBER","other":"some more text that says nothing"}}'
applied='{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"NAME","labels":{"app":"web"}},"data":{"applied":"NUMBER"}}'
deployment='{"metadata":{"name":"NAME"},"spec":{"replicas":3,"selector":{"matchLabels":{"app":"NAME"}},"template":{"metadata":{"labels":{"app":"NAME"}},"spec":{"containers":[{"name":"main","image":"registry.example.com/web:1.2"}]}}}}'
service='{"metadata":{"name":"NAME"},"spec":{"selector":{"app":"NAME"},"ports":[{"port":80,"targetPort":8080}]}}'
lease='{"metadata":{"name":"NAME"},"spec":{"holderIdentity":"somebody","leaseDurationSeconds":NUMBER0,"renewTime":"2026-01-01T00:00:00.000000Z"}}'
core=/api/v1/namespaces/default

# many COUNT CLIENTS METHOD PATH TYPE BODY: as many requests at once, NAME and NUMBER in path and body replaced.
many() {
    number=0
    printf '%s' "$6" | tr -d '\n' | sed 's/"/\\"/g' >"$dir/body"
    body=$(cat "$dir/body") path=$4 count=$1 method=$3 type=$5 awk -v dir="$dir" -v url="$url" '
        function fill(text, number) { gsub(/NAME/, "x-" number, text); gsub(/NUMBER/, number, text); return text }
        BEGIN { for (number = 1; number <= ENVIRON["count"]; number++) {
            if (number > 1) print "next"
            printf "url = \"%s%s\"\nrequest = %s\noutput = /dev/null\nsilent\nmax-time = 60\n", url, fill(ENVIRON["path"], number), ENVIRON["method"]
            printf "cacert = %s/certificate-authority-data\ncert = %s/client-certificate-data\nkey = %s/client-key-data\n", dir, dir, dir
            if (ENVIRON["type"] ~ /^Accept/) printf "header = \"%s\"\n", ENVIRON["type"]
            else if (ENVIRON["body"] != "") printf "header = \"Content-Type: %s\"\ndata = \"%s\"\n", ENVIRON["type"], fill(ENVIRON["body"], number)
        } }' >"$dir/requests.$3.$2"
    curl --parallel --parallel-max "$2" --config "$dir/requests.$3.$2" 2>>"$dir/curl.log" || true
}

json=application/json
many 4000 32 POST $core/pods $json "$pod"
many 60 200 GET "$core/configmaps?watch=true&timeoutSeconds=15" '' '' &
watchers=$!
sleep 1
many 1500 32 POST $core/configmaps $json "$config"
many 1500 32 PUT $core/configmaps/NAME $json "$config"
many 500 16 PATCH $core/configmaps/NAME application/merge-patch+json '{"data":{"patched":"NUMBER"}}'
many 300 16 PATCH $core/pods/NAME application/strategic-merge-patch+json '{"metadata":{"labels":{"patched":"NUMBER"}}}'
many 400 16 PATCH "$core/configmaps/NAME?fieldManager=train&force=true" application/apply-patch+yaml "$applied"
many 6000 32 GET $core/configmaps/NAME '' ''
many 3000 32 GET $core/pods/NAME 'Accept: application/vnd.kubernetes.protobuf' ''
many 8 2 GET $core/pods 'Accept: application/json' ''
many 8 2 GET "$core/pods?limit=500" 'Accept: application/vnd.kubernetes.protobuf' ''
many 8 2 GET $core/pods 'Accept: application/json;as=Table;g=meta.k8s.io;v=v1' ''
many 20 4 GET "$core/pods?labelSelector=shard%3DNUMBER" '' ''
many 40 8 POST /apis/apps/v1/namespaces/default/deployments $json "$deployment"
many 40 8 POST $core/services $json "$service"
many 200 16 POST /apis/coordination.k8s.io/v1/namespaces/default/leases $json "$lease"
many 600 16 PUT '/apis/coordination.k8s.io/v1/namespaces/default/leases/x-1' $json '{"metadata":{"name":"x-1"},"spec":{"holderIdentity":"NUMBER"}}'
many 500 16 DELETE $core/configmaps/NAME '' ''
wait $watchers
pods=$(ask "$url$core/pods?limit=5000" | grep -o '"name": *"x-[0-9]*"' | wc -l)
[ "$pods" -gt 3900 ] || { echo "only $pods of 4000 pods were made" >&2; exit 1; }
ask -X DELETE "$url$core/pods" -o /dev/null || true

kill -TERM $server
tries=0
while kill -0 $server 2>/dev/null; do
    tries=$((tries + 1))
    [ $tries -lt 150 ] || exit 1
    sleep 0.2
done
server=''
