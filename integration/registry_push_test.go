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

// env is for registryclient.
func (l loginOf) env() []string {
	return []string{"REGISTRY_USER=" + l.user, "REGISTRY_PASSWORD=" + l.password}
}

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
	registryclient := built(t, registryClient)
	local := newOCIImage(t)
	logins := map[string]loginOf{
		"key":   {r.etl.ID, r.etl.Secret},
		"token": {"cli", r.token(t, r.etl)}, // as the Astro CLI does
	}
	for kind, login := range logins {
		t.Run(kind+" with skopeo", func(t *testing.T) {
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
			foreign := fmt.Sprintf("docker://%s/acme/billing:v1", r.host())
			wantRefusedRun(t, "403", env, "skopeo", "copy", "--dest-tls-verify=false", local, foreign)
			wantRefusedRun(t, "403", env, "skopeo", "inspect", "--tls-verify=false", foreign)
		})
		t.Run(kind+" with go-containerregistry", func(t *testing.T) {
			ref := r.host() + "/acme/etl:go-" + kind
			pushed := mustRun(t, login.env(), registryclient, "push", ref, "3000000")
			if pulled := mustRun(t, login.env(), registryclient, "pull", ref); pulled != pushed {
				t.Errorf("pushed %s, pulled %s", pushed, pulled)
			}
			if tags := mustRun(t, login.env(), registryclient, "tags", r.host()+"/acme/etl"); !strings.Contains(tags, "go-"+kind+"\n") {
				t.Errorf("the tags are %s", tags)
			}
			for _, refused := range []struct{ command, reason string }{
				{"push acme/billing:v2 1000", "403 Forbidden"},
				{"pull acme/billing:v1", "403 Forbidden"},
				{"tags acme/billing", "403 Forbidden"},
				{"push other/etl:v1 1000", "404 Not Found"},
				{"push acme/etl/deeper:v1 1000", "404 Not Found"},
			} {
				command, rest, _ := strings.Cut(refused.command, " ")
				args := append([]string{command}, strings.Fields(r.host()+"/"+rest)...)
				wantRefusedRun(t, refused.reason, login.env(), registryclient, args...)
			}
			wantRefusedRun(t, "404 Not Found", login.env(), registryclient, "names", r.host())
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
