package integration

import (
	"net/http"
	"net/url"
	"path"
	"strings"
	"testing"

	"github.com/deploymentkeys/gateway/integration/gatewaytest"
)

// Which Deployment a request is for: what is decided on and what the upstream serves have to be the same.
var pathIncidents = []incident{
	{name: "Caddy PR 7941 encoded slash out of a public path", shared: encodedSlash},
	{name: "CVE-2026-27587 case of a path that is matched encoded", shared: encodedCase},
	{name: "GHSA-gx7w-56w6-g48x prefix that ends within a segment", shared: prefixOfSegment},
	{name: "GHSA-x5w9-xh9r-mvfc authorized object is not the one that is resolved", shared: resolvedObject},
	{name: "CVE-2026-33494 traversal past the rules of an access proxy", shared: accessProxyTraversal},
}

// /public/ is open to everybody. A matcher that read the path as it came took /public/..%2fadmin for a path below it, and
// the handler served /admin. Here the handler is an upstream, which gets nothing.
func encodedSlash(t *testing.T, g *incidentSite) {
	token := g.token(t, g.newKey(t, "dep1"))
	for _, target := range []string{
		"/public/..%2fprod/api/x", "/public/..%2Fprod/api/x", "/public/%2e%2e%2fprod/api/x", "/public/%2e%2e/prod/api/x",
		"/public/.%2e%2fprod/api/x", "/public/a/..%2f..%2fprod/api/x", "/public%2f..%2fprod/api/x", "/public/../prod/api/x",
		"/public/..%2fbasic/prod/x", "/%2e%2e%2fpublic/..%2fprod/api/x",
	} {
		anonymous := g.raw(t, "GET "+target+" HTTP/1.1\nHost: x\nConnection: close\n\n")
		wantRefusal(t, anonymous, http.StatusBadRequest, "invalid_request")
		g.wantNothingPassed(t, target+" without a token")
		ofAnother := g.raw(t, rawGet(target, token))
		wantRefusal(t, ofAnother, http.StatusBadRequest, "invalid_request")
		g.wantNothingPassed(t, target+" with a token of dep1")
	}
	// What is below it is served.
	g.raw(t, "GET /public/prod/api/x HTTP/1.1\nHost: x\nConnection: close\n\n").Want(http.StatusOK)
	if got := g.to.takeOne(t); got.Target != "/public/prod/api/x" {
		t.Errorf("the upstream got %s", got.Target)
	}
}

// Caddy compares paths without case, but did not where the pattern had a percent sign: /ADMIN%2Fpanel was not
// /admin%2Fpanel, and went to the route for everything else, which here is open. The gateway's own part is that its
// decision does not hang on case: PROD is no Deployment.
//
// That it can fail was seen with path_regexp, which compares case, in the place of the two paths.
func encodedCase(t *testing.T, g *incidentSite) {
	anonymous := func(target string) reply {
		return gatewaytest.Raw(t, g.escaped, "GET "+target+" HTTP/1.1\nHost: x\nConnection: close\n\n")
	}
	for _, target := range []string{
		"/caf%C3%A9/x", "/CAF%C3%A9/x", "/Caf%c3%a9/x", "/cAF%C3%a9/x",
		"/admin%2Fpanel", "/ADMIN%2Fpanel", "/admin%2fPANEL", "/Admin%2FPanel",
	} {
		anonymous(target).Want(http.StatusUnauthorized, http.StatusBadRequest)
		g.wantNothingPassed(t, target+" without a token")
	}
	anonymous("/else").Want(http.StatusOK)
	g.to.takeOne(t)

	token := g.token(t, g.newKey(t, "prod"))
	for _, deployment := range []string{"PROD", "Prod", "pro%64", "%70rod"} {
		answer := g.raw(t, rawGet("/"+deployment+"/api/x", token))
		if answer.Want(http.StatusOK, http.StatusForbidden).Status == http.StatusOK {
			// Encoded letters are the same letters to everybody.
			if got := g.to.takeOne(t); got.Header.Get("X-Deployment-Id") != "prod" || !strings.Contains(deployment, "%") {
				t.Errorf("the upstream got %s for %q", got.Target, got.Header.Get("X-Deployment-Id"))
			}
		}
		g.wantNothingPassed(t, deployment)
	}
}

// A rule for /d/prod was taken to be for /d/prod2 as well. Here the Deployments are prod and prod2.
func prefixOfSegment(t *testing.T, g *incidentSite) {
	tokens := map[string]string{"prod": g.token(t, g.newKey(t, "prod")), "prod2": g.token(t, g.newKey(t, "prod2"))}
	for of, token := range tokens {
		for _, asked := range []string{"prod", "prod2", "pro", "prod22", "prod-2", "prod.", "prod;2", "prod%20", "prod%3f", "prod%23", "prod,prod2", "prod+prod2", "prod|prod2"} {
			for _, route := range []string{"", basicRoute} {
				target := route + "/" + asked + "/api/x"
				answer := g.raw(t, rawGet(target, token))
				if asked != of {
					wantRefusal(t, answer, http.StatusForbidden, "insufficient_scope")
					g.wantNothingPassed(t, target+" with a token of "+of)
					continue
				}
				answer.Want(http.StatusOK)
				if got := g.to.takeOne(t); got.Target != target || got.Header.Get("X-Deployment-Id") != of {
					t.Errorf("the upstream got %s for %q, want %s for %s", got.Target, got.Header.Get("X-Deployment-Id"), target, of)
				}
			}
		}
	}
}

// The object that was authorized was read from the request in one way, and the one that was acted on in another. Whatever
// of a request reaches the upstream here, every reading of it that a server is known to have leads to the Deployment of
// X-Deployment-Id, with the method that was decided on.
func resolvedObject(t *testing.T, g *incidentSite) {
	reader := g.newKey(t, "dep1", "airflow:read")
	overrides := []string{
		"X-Original-URL: /dep2/api/x", "X-Rewrite-URL: /dep2/api/x", "X_Original_Url: /dep2/api/x",
		"X-HTTP-Method-Override: DELETE", "X-HTTP-Method: DELETE", "x_method_override: DELETE",
	}
	for of, token := range map[string]string{
		"dep1": g.token(t, reader), "dep2": g.token(t, g.newKey(t, "dep2")),
	} {
		passed := 0
		for _, test := range paths {
			g.raw(t, rawGet(test.target, token, overrides...))
			for _, got := range g.to.take() {
				passed++
				for _, reading := range readings(got.Target) {
					if reading != of || got.Header.Get("X-Deployment-Id") != of || got.Method != http.MethodGet {
						t.Errorf("%s with a token of %s: the upstream got %s %s for %q, which can be read as of %q",
							test.target, of, got.Method, got.Target, got.Header.Get("X-Deployment-Id"), reading)
					}
				}
				for name := range got.Header {
					switch strings.ReplaceAll(strings.ToLower(name), "_", "-") {
					case "x-original-url", "x-rewrite-url", "x-http-method-override", "x-http-method", "x-method-override":
						t.Errorf("the upstream got %s", name)
					}
				}
			}
		}
		if passed < 2 {
			t.Errorf("%d requests passed with a token of %s: the test sees nothing", passed, of)
		}
	}
}

// readings are the Deployments, which is the first part of the path, that servers could find in a request target. It
// knows nothing of how the gateway reads one: it decodes up to three times, and each time takes a backslash for a slash
// or not, cuts segments at a semicolon or not, and resolves dots and empty segments or not.
func readings(target string) (all []string) {
	target, _, _ = strings.Cut(target, "?")
	for range 4 {
		for _, slashed := range []string{target, strings.ReplaceAll(target, `\`, "/")} {
			segments := strings.Split(slashed, "/")
			for i, segment := range segments {
				segments[i], _, _ = strings.Cut(segment, ";")
			}
			for _, text := range []string{slashed, strings.Join(segments, "/")} {
				first, _, _ := strings.Cut(strings.TrimPrefix(path.Clean("/"+text), "/"), "/")
				raw, _, _ := strings.Cut(strings.TrimPrefix(text, "/"), "/")
				all = append(all, first, raw)
			}
		}
		decoded, err := url.PathUnescape(target)
		if err != nil {
			break
		}
		target = decoded
	}
	return all
}

// An access proxy held the path as it came against its rules, and the server behind it resolved /public/../admin.
func accessProxyTraversal(t *testing.T, g *incidentSite) {
	reader := g.token(t, g.newKey(t, "dep1", "airflow:read"))
	for _, target := range []string{
		"/public/../prod/api/x", "/public/./../prod/api/x", "/public/a/../../prod/api/x", "/public/..//prod/api/x",
		"/dep1/../prod/api/x", "/dep1/api/../../prod/api/x", "/dep1/./../prod/api/x", "/dep1//../../prod/api/x", "/dep1/..;/prod/api/x",
		`/dep1/..\prod/api/x`, "/dep1/%2e%2e/prod/api/x", "/dep1/%252e%252e/prod/api/x", "/dep1/..%5cprod/api/x",
		// To a route that needs other scopes, within the Deployment.
		"/dep1/../basic/dep1/x", "/basic/dep1/../../dep1/api/x",
		"http://127.0.0.1/dep1/../prod/api/x",
	} {
		wantRefusal(t, g.raw(t, rawGet(target, reader)), http.StatusBadRequest, "invalid_request")
		g.wantNothingPassed(t, target)
	}
}
