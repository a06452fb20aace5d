#!/usr/bin/env bash
# Tries out the admin API of a fresh server as its own description says it can be used: nothing is to be answered with
# a server's error, and everything as described. Needs LODE_BIN (target/release/lode by default) and Python 3.10.
#   EXAMPLES (30)  requests per operation and phase
#   SECONDS_MAX (75)  of each of the two runs
#   STORE  the URL of a database; SQLite if absent
#   SEED (1)  what the random requests come from
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
lode=${LODE_BIN:-$here/../../target/release/lode}
[[ -x $lode ]] || { echo "error: $lode is missing: run make build, or set LODE_BIN" >&2; exit 2; }

if [[ ! -x $here/.venv/bin/schemathesis ]] || ! cmp -s "$here/requirements.txt" "$here/.venv/installed"; then
  rm -rf "$here/.venv"
  python3 -m venv "$here/.venv"
  "$here/.venv/bin/pip" install --quiet --disable-pip-version-check -r "$here/requirements.txt"
  cp "$here/requirements.txt" "$here/.venv/installed"
fi

unset LODE_STORE LODE_LISTEN LODE_URL LODE_DATA LODE_SERVER LODE_ADMIN_TOKEN
data=$(mktemp -d)
server=
finish() {
  if [[ -n $server ]]; then kill "$server" 2>/dev/null || true; wait "$server" 2>/dev/null || true; fi
  rm -rf "$data"
}
trap finish EXIT

"$lode" serve --listen 127.0.0.1:0 --data "$data/lode" ${STORE:+--store "$STORE"} >"$data/out" 2>"$data/err" &
server=$!
url=
for _ in $(seq 600); do
  url=$(sed -n 's/.*listens on \(http[^ ]*[^/ ]\)\/\{0,1\}$/\1/p' "$data/out")
  [[ -n $url ]] && break
  kill -0 "$server" 2>/dev/null || break
  sleep 0.1
done
[[ -n $url ]] || { echo "error: the server does not start:" >&2; cat "$data/err" >&2; exit 1; }
token=$(cat "$data/lode/admin-token")
curl() { command curl --silent --show-error --fail -H "authorization: Bearer $token" "$@"; }

# The description is behind the token as well.
curl "$url/admin/openapi.json" >"$data/openapi.json"

status=0
run() {
  "$here/.venv/bin/schemathesis" --config-file "$1" run "$data/openapi.json" --url "$url" \
    --header "Authorization: Bearer $token" \
    --checks not_a_server_error,status_code_conformance,content_type_conformance,response_headers_conformance,response_schema_conformance \
    --max-examples "${EXAMPLES:-30}" --max-time "${SECONDS_MAX:-75}" --seed "${SEED:-1}" --workers 1 \
    --request-timeout 30 --generation-database none --continue-on-failure --no-color --warnings off "${@:2}" || status=1
  kill -0 "$server" 2>/dev/null || { echo "error: the server has ended" >&2; cat "$data/err" >&2; exit 1; }
}

echo "== an app that is there, a deployment in it =="
curl -H 'content-type: application/json' -d '{"name": "tried", "key": "kid_tried"}' "$url/admin/apps" >/dev/null
curl -H 'content-type: application/json' "$url/admin/apps/kid_tried/deployments" >/dev/null -d '{"files": [
  {"name": "endpoints/fine.js", "text": "function onRequest(request, response) { response.complete(200); }"}]}'
cp "$here/schemathesis.toml" "$data/there.toml"
printf '"path.app" = "kid_tried"\n"path.number" = 1\n' >>"$data/there.toml"
# Deleting the app would end this run early.
run "$data/there.toml" --exclude-method DELETE
echo "== whatever the description allows =="
run "$here/schemathesis.toml"

if grep -q 'ERROR' "$data/err"; then
  echo "error: the server has logged errors of its own:" >&2
  grep 'ERROR' "$data/err" | head -20 >&2
  status=1
fi
exit $status
