#!/usr/bin/env bash
# Checks what is in this folder with the tools that read it. What is not installed is skipped, by name; what fails makes
# it end with 1. Tools and how to get them (all optional):
#   systemd-analyze, systemd-sysusers   systemd
#   docker compose or docker-compose    Debian: docker-compose
#   kubernetes-validate                 pip install kubernetes-validate
#   CRDS=FOLDER                         copies of the definitions (CRDs) of KEDA and of the Prometheus operator, with
#                                       python3's yaml and jsonschema
#   promtool                            Debian: prometheus
#   redis-server, redis-cli             Debian: redis
#   (shellcheck)                        Debian: shellcheck
#   LODE=PROGRAM, setpriv, python3-seccomp: whether `lode doctor` finds all layers under seccomp.json; needs root
# VENV=FOLDER: a Python environment that has them.
set -uo pipefail
cd "$(dirname "$0")" || exit 1
[[ -z ${VENV:-} ]] || PATH="$VENV/bin:$PATH"
passed=0 failed=0 skipped=0
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

has() { command -v "$1" >/dev/null; }
skip() { skipped=$((skipped + 1)); echo "SKIPPED $1: $2 is not installed"; }
try() {
  local what=$1
  shift
  if "$@" >"$scratch/out" 2>&1; then
    passed=$((passed + 1)); echo "ok      $what"
  else
    failed=$((failed + 1)); echo "FAILED  $what"; sed 's/^/        /' "$scratch/out"
  fi
}

# `verify` wants the program to be there; it also tells about the machine's other units, with success.
units() {
  sed 's|/usr/local/bin/lode|/bin/true|' systemd/"$1" >"$scratch/$1"
  local said
  said=$(systemd-analyze verify --recursive-errors=no --man=no "$scratch/$1" 2>&1) || { echo "$said"; return 1; }
  [[ -z $said ]] || { echo "$said"; return 1; }
}
exposure() { systemd-analyze security --offline=true --no-pager --threshold=30 systemd/"$1"; }
if has systemd-analyze; then
  for unit in lode-api.service lode-worker.service; do
    try "$unit is a unit without unknown options" units "$unit"
    try "$unit has an exposure of at most 3.0" exposure "$unit"
  done
else
  skip "systemd units" systemd-analyze
fi
if has systemd-sysusers; then
  mkdir -p "$scratch/root/etc"
  try "lode.sysusers makes the user" systemd-sysusers --root="$scratch/root" "$PWD/systemd/lode.sysusers"
else
  skip lode.sysusers systemd-sysusers
fi

sed 's/=$/=x1/' compose.env.example >"$scratch/env"
if docker compose version >/dev/null 2>&1; then
  try "compose.yaml" docker compose --env-file "$scratch/env" config --quiet
elif has docker-compose; then
  try "compose.yaml" docker-compose --env-file "$scratch/env" config --quiet
else
  skip compose.yaml "docker compose"
fi

same_acl() { # the example's lines are users.acl's, but for the passwords
  diff <(sed 's/>[^ ]*/>/' redis/users.acl) <(sed -n 's/^    \(user .*\)/\1/p' kubernetes/redis.example.yaml | sed 's/>[^ ]*/>/')
}
try "redis.example.yaml has the users of users.acl" same_acl
kubernetes=(kubernetes/{namespace,secret.example,api,worker,network,redis.example,postgres.example}.yaml)
if has kubernetes-validate; then
  try "Kubernetes' own kinds" kubernetes-validate --strict --quiet "${kubernetes[@]}"
else
  skip "Kubernetes' own kinds" kubernetes-validate
fi
if [[ -n ${CRDS:-} ]]; then
  try "KEDA's and the Prometheus operator's kinds" \
    python3 kubernetes/check-crds.py "$CRDS" kubernetes/keda-*.yaml kubernetes/prometheus.yaml
else
  skip "KEDA's and the Prometheus operator's kinds" "a folder with their definitions (CRDS)"
fi


if has promtool; then
  try "alerts.yaml" promtool check rules prometheus/alerts.yaml
  try "alerts fire when they should" promtool test rules prometheus/alerts.test.yaml
else
  skip alerts.yaml promtool
fi
runbooks() { # each alert's anchor is a heading
  local missing=0 anchor
  while read -r anchor; do
    grep -qi "^#\+ $anchor\$" ../docs/operating.md || { echo "no heading for $anchor"; missing=1; }
  done < <(sed -n 's/.*runbook: docs\/operating.md#//p' prometheus/alerts.yaml | sort -u)
  return $missing
}
try "each alert has its runbook" runbooks

if has redis-server && has redis-cli; then
  try "users.acl refuses what its users do not need" redis/try-acl.sh
else
  skip users.acl redis-server
fi
configuration() { # a server starts with it, and is what it says
  sed 's|^aclfile.*||' redis/redis.conf >"$scratch/redis.conf"
  redis-server "$scratch/redis.conf" --port 0 --unixsocket "$scratch/sock" --dir "$scratch" --daemonize yes \
    --pidfile "$scratch/pid" >/dev/null || return 1
  local answer
  for _ in $(seq 50); do [[ -S $scratch/sock ]] && break; sleep 0.1; done
  answer=$(redis-cli -s "$scratch/sock" config get maxmemory-policy | tail -1)
  redis-cli -s "$scratch/sock" shutdown nosave
  [[ $answer == noeviction ]]
}
if has redis-server && has redis-cli; then try "redis.conf" configuration; fi

if [[ -n ${LODE:-} ]] && has setpriv && /usr/bin/python3 -c 'import sys; sys.path.append("/usr/lib/python3/dist-packages"); import seccomp' 2>/dev/null; then
  doctor() { # as a container would run it: not root, no capability, the profile
    chmod 755 "$scratch"
    install -m 755 "$LODE" seccomp-try.py seccomp.json "$scratch"
    (cd / && setpriv --reuid 10001 --regid 10001 --clear-groups --bounding-set -all --no-new-privs \
      /usr/bin/python3 "$scratch/seccomp-try.py" "$scratch/seccomp.json" "$scratch/$(basename "$LODE")" doctor) |
      tee /dev/stderr | grep -q '^lock-down *complete'
  }
  try "the children's lock-down is complete under seccomp.json" doctor
else
  skip "seccomp.json against a real child" "LODE=PROGRAM, setpriv or python3-seccomp"
fi

if has shellcheck; then
  try "scripts" shellcheck check.sh redis/try-acl.sh
else
  skip scripts shellcheck
fi
echo "$passed passed, $failed failed, $skipped skipped"
((failed == 0))
