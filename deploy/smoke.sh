#!/usr/bin/env bash
# Builds the image, runs it, and tries what an operator relies on: health, the user, a pipeline, an orderly stop, data that stays.
#   deploy/smoke.sh [options of docker build, such as --build-arg BASE=… or --network host]
# Needs a Docker engine. Removes the container and its volume again; the image sluice:smoke stays.
set -euo pipefail
cd "$(dirname "$0")/.."

name="sluice-smoke-$$"
fail() {
  echo "smoke: $1" >&2
  docker logs --tail 50 "$name" >&2 || true
  exit 1
}
trap 'docker rm --force --volumes "$name" >/dev/null 2>&1 || true' EXIT

wait_until_healthy() {
  for _ in $(seq 60); do
    case "$(docker inspect --format '{{.State.Health.Status}}' "$name")" in
      healthy) return ;;
      unhealthy) fail 'the health check fails' ;;
    esac
    sleep 1
  done
  fail 'it is not healthy after a minute'
}
sluice() { docker exec "$name" sluice "$@"; }

docker build --tag sluice:smoke "$@" .
docker run --detach --name "$name" sluice:smoke >/dev/null
wait_until_healthy
[ "$(docker exec "$name" id -u)" != 0 ] || fail 'it runs as root'

sluice repo create images
sluice pipeline create -f examples/edges/pipeline.json
docker exec --interactive "$name" sluice file put images@master:a.png <docs/images/a.png
sluice flush images@master
docker exec "$name" sluice file get edges@master:a.png | cmp - docs/images/a-edges.png || fail 'the edges are not as they should be'

docker stop --time 30 "$name" >/dev/null
code="$(docker inspect --format '{{.State.ExitCode}}' "$name")"
[ "$code" = 0 ] || fail "it ended with exit code $code"
docker start "$name" >/dev/null
wait_until_healthy
docker exec "$name" sluice file get edges@master:a.png | cmp - docs/images/a-edges.png || fail 'the data did not stay'
echo 'smoke: the image works'
