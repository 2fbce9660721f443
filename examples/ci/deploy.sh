#!/usr/bin/env bash
# Deploys an image to one Deployment, and tries it with a run of a DAG: the job of a CI system. It needs bash, curl, jq and
# skopeo. How it is used: docs/recipes/ci.md.
#
# From the environment:
#
#   DEPLOYMENT_KEY_ID, DEPLOYMENT_KEY_SECRET   the key, with the scopes deploy, airflow:read and airflow:write;
#                                              ASTRONOMER_KEY_ID and ASTRONOMER_KEY_SECRET are taken too
#   GATEWAY        where the gateway is: https://gateway.example.com
#   ORGANIZATION   the first part of the names of images: acme
#   DEPLOYMENT     the ID of the Deployment, the second part of them: etl
#   IMAGE          the image to deploy, as skopeo names it: oci:FOLDER:TAG, docker-archive:FILE, docker-daemon:NAME:TAG
#   DAG_ID         the DAG to run after the deploy
#
# These may be left out:
#
#   REGISTRY       the host of the registry. Default: the host of GATEWAY
#   HUB_URL        the deploy API. Default: GATEWAY/hub/v1
#   AIRFLOW_URL    the REST API of Airflow 3. Default: GATEWAY/DEPLOYMENT/api/v2
#   AUDIENCE       what the access token is for. Default: astronomer-ee
#   TAG            the tag of the image. Default: deploy- and the date and time
#   RUN_TIMEOUT    how many seconds the DAG run may take. Default: 1800
#   PATIENCE       how many seconds a call is repeated that gets no answer, or 429, 502, 503 or 504; and the trigger of
#                  a DAG that Airflow does not know yet. Default: 120
#   POLL_SECONDS   how many seconds to wait before the state of the run is asked again. Default: 5
#   TLS_VERIFY     false takes any certificate, and http. Default: true
#
# Exit codes:
#
#   0  the image is deployed, and the run has succeeded
#   1  something that this script does not know; what failed has said why
#   2  the environment is not complete, or a program is missing; nothing was done
#   3  the registry refused the login or the image
#   4  no access token
#   5  the deploy API refused, or has failed
#   6  Airflow, or the gateway before it, refused the trigger or the question for the state
#   7  the DAG run has failed
#   8  the DAG run has not ended in RUN_TIMEOUT
#
# The secret and the token are in no command line, where other users of the machine would see them, and in nothing that
# is printed: not even with bash -x, which the next line turns off.
{ set +x; } 2>/dev/null
set -euo pipefail
umask 077

key_id=${DEPLOYMENT_KEY_ID:-${ASTRONOMER_KEY_ID:-}}
key_secret=${DEPLOYMENT_KEY_SECRET:-${ASTRONOMER_KEY_SECRET:-}}
basic='' token='' renew=''
# The programs that this script starts have no use for it.
unset DEPLOYMENT_KEY_SECRET ASTRONOMER_KEY_SECRET

# clean makes one line without secrets of a text that others have written. A CI system may read commands out of the lines
# of a log, so control characters go.
clean() {
	local text secret
	text=$(tr -s '[:cntrl:]' ' ' | cut -c 1-1000)
	for secret in "$key_secret" "$token" "$basic"; do
		[ -z "$secret" ] || text=${text//"$secret"/[redacted]}
	done
	printf '%s\n' "${text% }"
}

say() { printf 'deploy: %s\n' "$1" | clean; }

# fail CODE MESSAGE
fail() {
	printf 'deploy: %s\n' "$2" | clean >&2
	exit "$1"
}

for program in curl jq skopeo; do
	command -v "$program" >/dev/null || fail 2 "there is no $program: install it"
done
[ -n "$key_id" ] && [ -n "$key_secret" ] || fail 2 "DEPLOYMENT_KEY_ID or DEPLOYMENT_KEY_SECRET is not set: is the secret of the CI system there for this branch?"
for name in GATEWAY ORGANIZATION DEPLOYMENT IMAGE DAG_ID; do
	[ -n "${!name:-}" ] || fail 2 "$name is not set"
done
GATEWAY=${GATEWAY%/}
scheme=${GATEWAY%%://*}
host=${GATEWAY#*://}
REGISTRY=${REGISTRY:-${host%%/*}}
HUB_URL=${HUB_URL:-$GATEWAY/hub/v1}
AIRFLOW_URL=${AIRFLOW_URL:-$GATEWAY/$DEPLOYMENT/api/v2}
AIRFLOW_URL=${AIRFLOW_URL%/}
AUDIENCE=${AUDIENCE:-astronomer-ee}
TAG=${TAG:-deploy-$(date -u +%Y%m%d-%H%M%S)}
RUN_TIMEOUT=${RUN_TIMEOUT:-1800}
PATIENCE=${PATIENCE:-120}
POLL_SECONDS=${POLL_SECONDS:-5}
TLS_VERIFY=${TLS_VERIFY:-true}
for name in RUN_TIMEOUT PATIENCE POLL_SECONDS; do
	[[ ${!name} =~ ^[0-9]+$ ]] || fail 2 "$name is not a number of seconds"
done
[[ $TAG =~ ^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$ ]] || fail 2 "TAG is not a tag of an image"
case $IMAGE in
oci:* | oci-archive:* | docker-archive:* | docker-daemon:* | containers-storage:* | dir:*) ;;
*) fail 2 "IMAGE is not the name of a local image, such as oci:FOLDER:TAG or docker-archive:FILE" ;;
esac
tls=()
case $TLS_VERIFY in
true)
	for name in GATEWAY HUB_URL AIRFLOW_URL; do
		[[ ${!name} == https://* ]] || fail 2 "$name does not begin with https://; TLS_VERIFY=false takes it, and lets others read the key"
	done
	;;
false) tls=(--insecure) ;;
*) fail 2 "TLS_VERIFY is neither true nor false" ;;
esac
repository=$REGISTRY/$ORGANIZATION/$DEPLOYMENT

# What has secrets in it is here, for this user alone, and is removed at the end, however that comes.
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM

# call METHOD URL [BODY] makes a request with the header in the file authorization, if there is one. The answer is in the
# file answer, and its status in the variable status: 000 for none. Redirections are not followed: they would take the
# token elsewhere.
call() {
	local method=$1 url=$2 body=${3:-} end=$((SECONDS + PATIENCE)) options
	options=(--silent --show-error --connect-timeout 10 --max-time 60 --request "$method" "${tls[@]}")
	[ ! -e "$dir/authorization" ] || options+=(--header "@$dir/authorization")
	[ -z "$body" ] || options+=(--header "Content-Type: application/json" --data-binary @-)
	while true; do
		# A run, and an outage, may take longer than a token lives.
		[ -z "$renew" ] || [ "$SECONDS" -lt "$renew" ] || get_token
		: >"$dir/answer"
		# -q: a .curlrc could make curl print what it sends.
		status=$(curl -q "${options[@]}" --output "$dir/answer" --write-out '%{http_code}' "$url" 2>"$dir/error" <<<"$body") || status=000
		case $status in
		000 | 429 | 502 | 503 | 504) ;;
		*) return ;;
		esac
		[ "$SECONDS" -lt "$end" ] || return 0
		sleep "$POLL_SECONDS"
	done
}

# reason prints what the answer to the last call says about its failure: the gateway, the deploy API and Airflow each have
# a form of their own.
reason() {
	local advice=''
	if [ "$status" = 000 ]; then
		printf 'no answer: %s' "$(cat "$dir/error")"
		return
	fi
	case $(jq -r '.error? // empty' "$dir/answer" 2>/dev/null | head -n 1) in
	unauthorized | invalid_client | invalid_token) advice=": check the ID and secret of the key in the CI system, and whether the key is still there" ;;
	insufficient_scope) advice=": take a key of Deployment $DEPLOYMENT with the scopes deploy, airflow:read and airflow:write" ;;
	invalid_target) advice=": AUDIENCE has to be one of the gateway's" ;;
	temporarily_unavailable) advice=": run the job again later" ;;
	esac
	printf '%s, %s%s' "$status" "$(jq -er '
		def text: if type == "string" then . else tojson end;
		if .error_description? then "\(.error): \(.error_description)"
		elif .errors? then [.errors[] | .message? // . | text] | join("; ")
		elif .detail? then .detail | text
		else error("another form") end' "$dir/answer" 2>/dev/null || head -c 300 "$dir/answer")" "$advice"
}

# refused_by_registry CODE WHAT PATH: skopeo does not show what the gateway says, so the gateway is asked once more.
refused_by_registry() {
	local said
	said=$(tail -n 1 "$dir/skopeo")
	printf 'Authorization: Basic %s\n' "$basic" >"$dir/authorization"
	call GET "$scheme://$REGISTRY$3"
	case $status in
	2?? | 404) fail "$1" "$2: $said" ;; # it is something else
	*) fail "$1" "$2: $(reason) ($said)" ;;
	esac
}

# get_token gets an access token by the call of the documentation, as JSON, and lets each later call have it.
get_token() {
	local request
	renew=''
	rm -f "$dir/authorization"
	# By the environment of this one jq, because its command line could be read by others.
	request=$(KEY_ID=$key_id KEY_SECRET=$key_secret jq -nc --arg audience "$AUDIENCE" \
		'{client_id: env.KEY_ID, client_secret: env.KEY_SECRET, audience: $audience, grant_type: "client_credentials"}')
	call POST "$GATEWAY/oauth/token" "$request"
	[ "$status" = 200 ] || fail 4 "no access token: $(reason)"
	token=$(jq -er '.access_token | strings' "$dir/answer") || fail 4 "no access token: $GATEWAY/oauth/token answers without one"
	renew=$((SECONDS + $(jq -r '.expires_in? // 60 | floor' "$dir/answer") / 2))
	printf 'Authorization: Bearer %s\n' "$token" >"$dir/authorization"
}

# hub QUERY INPUT calls the deploy API. Errors may come with the status 200.
hub() {
	call POST "$HUB_URL" "$(jq -nc --arg query "$1" --argjson input "$2" '{query: $query, variables: {input: $input}}')"
	[ "$status" = 200 ] && jq -e '.data? and (.errors? | not)' "$dir/answer" >/dev/null || fail 5 "not deployed: $(reason)"
}

# 1. The image goes into the registry.
basic=$(printf '%s:%s' "$key_id" "$key_secret" | base64 | tr -d '\n')
printf '%s' "$key_secret" | skopeo login --authfile "$dir/auth.json" --tls-verify="$TLS_VERIFY" --username "$key_id" \
	--password-stdin "$REGISTRY" >"$dir/skopeo" 2>&1 || refused_by_registry 3 "no login to $REGISTRY" /v2/
skopeo copy --authfile "$dir/auth.json" --dest-tls-verify="$TLS_VERIFY" --retry-times 3 "$IMAGE" "docker://$repository:$TAG" \
	>"$dir/skopeo" 2>&1 || refused_by_registry 3 "$IMAGE was not pushed to $repository:$TAG" "/v2/$ORGANIZATION/$DEPLOYMENT/tags/list"
say "pushed $repository:$TAG"

# 2. The key for a token.
get_token

# 3. The deploy.
hub 'mutation imageCreate($input: ImageCreateInput!) { imageCreate(input: $input) { id tag deploymentId } }' \
	"$(jq -nc --arg deployment "$DEPLOYMENT" --arg tag "$TAG" '{deploymentId: $deployment, tag: $tag}')"
image=$(jq -er '.data.imageCreate.id | strings' "$dir/answer") || fail 5 "not deployed: imageCreate answers without an id"
hub 'mutation imageDeploy($input: ImageDeployInput!) { imageDeploy(input: $input) { id tag repository } }' \
	"$(jq -nc --arg id "$image" --arg tag "$TAG" --arg repository "$repository" '{id: $id, tag: $tag, repository: $repository}')"
say "deployed $repository:$TAG to $DEPLOYMENT as $image"

# 4. A run of the DAG. The ID is one that nobody else takes, so a trigger that is repeated because its answer was lost
# makes no second run: Airflow says then that it has one (409).
runs=$AIRFLOW_URL/dags/$(jq -nr --arg id "$DAG_ID" '$id | @uri')/dagRuns
run=deploy__${TAG}__$(date +%s)-$RANDOM
end=$((SECONDS + PATIENCE))
while true; do
	call POST "$runs" "$(jq -nc --arg run "$run" '{dag_run_id: $run, logical_date: null}')"
	# A DAG that is new with this image: Airflow takes a while to find it.
	[ "$status" = 404 ] && [ "$SECONDS" -lt "$end" ] || break
	sleep "$POLL_SECONDS"
done
case $status in
200 | 201 | 409) ;;
*) fail 6 "no run of the DAG $DAG_ID: $(reason)" ;;
esac
say "triggered the run $run of $DAG_ID"

end=$((SECONDS + RUN_TIMEOUT))
while true; do
	call GET "$runs/$run"
	[ "$status" = 200 ] || fail 6 "the state of the run $run is not known: $(reason)"
	state=$(jq -r '.state? // "unknown"' "$dir/answer")
	case $state in
	success) break ;;
	failed) fail 7 "the run $run of $DAG_ID has failed: see its log in Airflow" ;;
	esac
	[ "$SECONDS" -lt "$end" ] || fail 8 "the run $run of $DAG_ID is $state after $RUN_TIMEOUT seconds: is the DAG paused, is Airflow's scheduler busy?"
	sleep "$POLL_SECONDS"
done
say "the run $run of $DAG_ID has succeeded"
