package access

import (
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"

	"github.com/deploymentkeys/gateway/keystore"
)

func TestAttachReplacesEverySpellingOfTheIdentity(t *testing.T) {
	t.Parallel()
	r := httptest.NewRequest("GET", "/", nil)
	for _, name := range []string{
		"X-Deployment-Id", "X_Deployment_Id", "x-deployment-id", "X-Deployment_Id", "X-DEPLOYMENT-KEY-ID",
		"X-Deployment-User", "x_deployment_user", "X_DEPLOYMENT-Scopes",
		"X-Http-Method-Override", "X_HTTP_METHOD", "X-Original-Url", "X.Deployment.Id", "X-Deployment~User", "X^Original!Url",
	} {
		r.Header[name] = []string{"forged"}
	}
	r.Header["X-Deployment-Identity"] = []string{"somebody's own"}
	r.Header["Authorization"] = []string{"Bearer x"}
	r.Header["Connection"] = []string{"close, X-Deployment-Id", "x_deployment_key_id,X-Mine"}

	id := Identity{KeyID: "key1", DeploymentID: "dep1", Scopes: keystore.ScopeAirflowRead}
	id.SetHeaders(r, false)

	want := http.Header{
		"X-Deployment-Id":       {"dep1"},
		"X-Deployment-Key-Id":   {"key1"},
		"X-Deployment-Scopes":   {"airflow:read"},
		"X-Deployment-Identity": {"somebody's own"},
		"Connection":            {"close, X-Mine"},
	}
	if !maps.EqualFunc(r.Header, want, slices.Equal) {
		t.Errorf("the upstream gets\n%v, want\n%v", r.Header, want)
	}
}

// Gunicorn takes SCRIPT_NAME from a proxy on the same machine, and serves the path without it: with
// SCRIPT_NAME: /dep1/x the path /dep1/x/dep2/api, which is of dep1, is served as /dep2/api.
func TestAttachRemovesHeadersThatMoveThePath(t *testing.T) {
	t.Parallel()
	r := httptest.NewRequest("GET", "/dep1/x/dep2/api", nil)
	for _, name := range []string{"Script_name", "SCRIPT_NAME", "Script-Name", "X-Script-Name", "Path_info", "PATH-INFO"} {
		r.Header[name] = []string{"/dep1/x"}
	}
	r.Header["Priority"], r.Header["Sec-Fetch-Site"] = []string{"u=1"}, []string{"none"}
	id := Identity{KeyID: "key1", DeploymentID: "dep1", Scopes: keystore.AllScopes}
	id.SetHeaders(r, false)
	for name := range r.Header {
		switch name {
		case "Priority", "Sec-Fetch-Site", "X-Deployment-Id", "X-Deployment-Key-Id", "X-Deployment-Scopes":
		default:
			t.Errorf("the upstream gets %s", name)
		}
	}
	if len(r.Header) != 5 {
		t.Errorf("the upstream gets %v", r.Header)
	}
}

func TestAttachKeepsValuesApart(t *testing.T) {
	t.Parallel()
	r := httptest.NewRequest("GET", "/", nil)
	id := Identity{KeyID: "key1", DeploymentID: "dep1", Scopes: keystore.AllScopes}
	id.SetHeaders(r, true)
	r.Header.Add("X-Deployment-Id", "added")
	if got := r.Header.Get("X-Deployment-Key-Id"); got != "key1" {
		t.Errorf("adding to one header changed another to %q", got)
	}
}

func TestAttachLetsOnlyWebSocketsUpgrade(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		upgrade []string
		passes  bool
	}{
		{[]string{"websocket"}, true},
		{[]string{"WebSocket"}, true},
		{[]string{"h2c"}, false},
		{[]string{"websocket, h2c"}, false},
		{[]string{"websocket", "h2c"}, false},
		{[]string{"TLS/1.0"}, false},
	} {
		r := httptest.NewRequest("GET", "/", nil)
		r.Header["Upgrade"], r.Header["Http2-Settings"] = test.upgrade, []string{"AAMAAABk"}
		id := Identity{KeyID: "key1", DeploymentID: "dep1", Scopes: keystore.AllScopes}
		id.SetHeaders(r, false)
		if _, ok := r.Header["Upgrade"]; ok != test.passes || r.Header["Http2-Settings"] != nil {
			t.Errorf("Upgrade: %q passes: %v, want %v; HTTP2-Settings %q", test.upgrade, ok, test.passes, r.Header["Http2-Settings"])
		}
	}
}

func TestCheckTrailers(t *testing.T) {
	t.Parallel()
	for name, refused := range map[string]bool{
		"X-Deployment-Id": true, "x_deployment_user": true, "Authorization": true, "X-Checksum": false,
		"Script_name": true, "X-Original-Url": true,
	} {
		r := httptest.NewRequest("POST", "/", nil)
		r.Trailer = http.Header{name: nil}
		if got := checkTrailers(r) != nil; got != refused {
			t.Errorf("trailer %s refused: %v, want %v", name, got, refused)
		}
	}
}
