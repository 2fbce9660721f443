package integration

import (
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
)

// loginOf is how a client of the registry logs in.
type loginOf struct{ user, password string }

// newOCIImage makes an image without layers in a folder, in the layout that skopeo reads, and returns skopeo's name of it.
func newOCIImage(t *testing.T) string {
	t.Helper()
	layout := filepath.Join(t.TempDir(), "layout")
	mustRun(t, nil, "umoci", "init", "--layout", layout)
	mustRun(t, nil, "umoci", "new", "--image", layout+":v1")
	return "oci:" + layout + ":v1"
}

func TestRegistryPushAndPull(t *testing.T) {
	t.Parallel()
	r := startRegistrySite(t, embedded(t))
	local := newOCIImage(t)
	logins := map[string]loginOf{
		"key":   {r.etl.ID, r.etl.Secret},
		"token": {"cli", r.token(t, r.etl)}, // as the Astro CLI does
	}
	for kind, login := range logins {
		t.Run(kind, func(t *testing.T) {
			auth := filepath.Join(t.TempDir(), "auth.json")
			skopeo := func(args ...string) string {
				t.Helper()
				return mustRun(t, []string{"REGISTRY_AUTH_FILE=" + auth}, "skopeo", args...)
			}
			skopeo("login", "--tls-verify=false", "--username", login.user, "--password", login.password, r.host())
			remote := fmt.Sprintf("docker://%s/acme/etl:%s", r.host(), kind)
			skopeo("copy", "--dest-tls-verify=false", local, remote)
			skopeo("copy", "--src-tls-verify=false", remote, "dir:"+t.TempDir())
			pushed := skopeo("inspect", "--tls-verify=false", "--format", "{{.Digest}}", remote)
			if want := skopeo("inspect", "--format", "{{.Digest}}", local); pushed != want {
				t.Errorf("the registry has the digest %s, want %s", pushed, want)
			}
			// Within the registry, from tag to tag: clients try a mount then.
			copied := remote + "-copy"
			skopeo("copy", "--src-tls-verify=false", "--dest-tls-verify=false", remote, copied)
			tags := skopeo("list-tags", "--tls-verify=false", fmt.Sprintf("docker://%s/acme/etl", r.host()))
			if !strings.Contains(tags, `"`+kind+`-copy"`) {
				t.Errorf("the tags are %s", tags)
			}

			env := []string{"REGISTRY_AUTH_FILE=" + auth}
			for repository, reason := range map[string]string{"acme/billing": "403", "other/etl": "404", "acme/etl/deeper": "404"} {
				foreign := fmt.Sprintf("docker://%s/%s", r.host(), repository)
				wantRefusedRun(t, reason, env, "skopeo", "copy", "--dest-tls-verify=false", local, foreign+":v1")
				wantRefusedRun(t, reason, env, "skopeo", "inspect", "--tls-verify=false", foreign+":v1")
				wantRefusedRun(t, reason, env, "skopeo", "list-tags", "--tls-verify=false", foreign)
			}
		})
	}
	r.wantForeignUntouched(t)
}

func TestRegistryLogin(t *testing.T) {
	t.Parallel()
	r := startRegistrySite(t, embedded(t))
	reader := r.newKey(t, "etl", "airflow:read")
	dead := r.newKey(t, "etl")
	deadToken := r.token(t, dead)
	r.deleteKey(t, dead)
	for name, test := range map[string]struct {
		login  loginOf
		status int
	}{
		"key":                    {loginOf{r.etl.ID, r.etl.Secret}, 200},
		"token, any user":        {loginOf{"cli", r.token(t, r.etl)}, 200},
		"token, no user":         {loginOf{"", r.token(t, r.etl)}, 200},
		"wrong secret":           {loginOf{r.etl.ID, r.billing.Secret}, 401},
		"secret as the user":     {loginOf{r.etl.Secret, r.etl.ID}, 401},
		"no password":            {loginOf{r.etl.ID, ""}, 401},
		"deleted key":            {loginOf{dead.ID, dead.Secret}, 401},
		"token of a deleted key": {loginOf{"cli", deadToken}, 401},
		"without the scope":      {loginOf{reader.ID, reader.Secret}, 403},
	} {
		t.Run(name, func(t *testing.T) {
			answer := call(t, http.MethodGet, r.through("/v2/"), nil, basic(test.login.user, test.login.password)).Want(test.status)
			version := answer.Header.Get("Docker-Distribution-Api-Version")
			if (version != "") != (test.status == http.StatusOK) {
				t.Errorf("status %d with the registry's version %q", test.status, version)
			}
			challenge := answer.Header.Get("WWW-Authenticate")
			if test.status == http.StatusUnauthorized && !strings.HasPrefix(challenge, "Basic ") {
				t.Errorf("the challenge is %q: a client of registries asks a Bearer's realm for a token", challenge)
			}
			env := []string{"REGISTRY_AUTH_FILE=" + filepath.Join(t.TempDir(), "auth.json")}
			login := []string{"login", "--tls-verify=false", "--username", test.login.user, "--password", test.login.password, r.host()}
			if test.login.user == "" || test.login.password == "" {
				return // skopeo would ask for them
			}
			if test.status == http.StatusOK {
				mustRun(t, env, "skopeo", login...)
			} else {
				wantRefusedRun(t, map[int]string{401: "invalid username/password", 403: "403 (Forbidden)"}[test.status], env, "skopeo", login...)
			}
		})
	}
	answer := call(t, http.MethodGet, r.through("/v2/"), nil).Want(http.StatusUnauthorized)
	if got := answer.Header.Values("WWW-Authenticate"); len(got) != 1 || !strings.HasPrefix(got[0], "Basic ") {
		t.Errorf("the challenges without credentials are %q, want one of Basic", got)
	}
}

// Whatever a client or a proxy before it says of hosts: a Location is on the host that the client talks to.
func TestRegistryLocationsStayOnTheHost(t *testing.T) {
	t.Parallel()
	r := startRegistrySite(t, embedded(t))
	for name, lie := range map[string]requestOption{
		"nothing":           header("Accept", "*/*"),
		"X-Forwarded-Host":  header("X-Forwarded-Host", "evil.example.com"),
		"X-Forwarded-Proto": header("X-Forwarded-Proto", "gopher"),
		"X-Forwarded-Port":  header("X-Forwarded-Port", "1"),
		"Forwarded":         header("Forwarded", "host=evil.example.com;proto=https"),
		"Host":              header("Host", "evil.example.com"),
	} {
		t.Run(name, func(t *testing.T) {
			login := basic(r.etl.ID, r.etl.Secret)
			ours := func(answer reply) string {
				t.Helper()
				location := answer.Header.Get("Location")
				if !strings.HasPrefix(location, "/v2/acme/etl/") {
					t.Fatalf("the Location is %q", location)
				}
				return r.through(location)
			}
			begun := call(t, http.MethodPost, r.through("/v2/acme/etl/blobs/uploads/"), nil, login, lie).Want(http.StatusAccepted)
			grown := call(t, http.MethodPatch, ours(begun), "one", login, lie, header("Content-Type", "application/octet-stream")).
				Want(http.StatusAccepted)
			asked := call(t, http.MethodGet, ours(grown), nil, login, lie).Want(http.StatusNoContent)
			// Chunks, each with its place.
			grown = call(t, http.MethodPatch, ours(asked), "two", login, lie, header("Content-Range", "3-5")).Want(http.StatusAccepted)
			stored := call(t, http.MethodPut, ours(grown)+"&digest="+digestOf("onetwo"), nil, login, lie).Want(http.StatusCreated)
			if body := call(t, http.MethodGet, ours(stored), nil, login, lie).Want(http.StatusOK).Body; string(body) != "onetwo" {
				t.Errorf("the blob is %q", body)
			}
			ours(call(t, http.MethodPut, r.through("/v2/acme/etl/manifests/"+strings.ToLower(name)), r.ownImage.manifest,
				login, lie, header("Content-Type", manifestType)).Want(http.StatusCreated))
		})
	}
}
