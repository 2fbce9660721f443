package caddymodule

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/deploymentkeys/gateway/keystore"
	"github.com/deploymentkeys/gateway/token"
)

func BenchmarkTokenEndpointOnBolt(b *testing.B) {
	app := newTestApp(b, nil)
	h := &TokenHandler{app: app.App}
	body := app.asForm()
	b.ReportAllocs()
	for b.Loop() {
		r := httptest.NewRequest("POST", "/oauth/token", strings.NewReader(body))
		r.Header.Set("Content-Type", formType)
		if w := serve(b, h, r); w.Code != 200 {
			b.Fatal(w.Body)
		}
	}
}

// BenchmarkTokenSteps are the parts of a request for a token, in its order, and the whole: what is beside them in
// [BenchmarkTokenEndpointOnBolt] is the request itself, which is made anew each time. Of the signature the token package has
// benchmarks of its own.
func BenchmarkTokenSteps(b *testing.B) {
	app := newTestApp(b, nil)
	h := &TokenHandler{app: app.App}
	form := newTokenRequest(formType, app.asForm())
	asJSON := newTokenRequest(jsonType, app.asJSON(b))
	ctx := b.Context()
	req, refused := readClientRequest(form.w, form.again())
	if refused != nil {
		b.Fatal(refused)
	}
	key, deployment, cutoff := knownTo(b, app)
	claims := token.Claims{
		Issuer: app.issuer, Subject: key.ID, Audience: DefaultAudience, ID: token.NewID(), ClientID: key.ID, Scope: key.Scopes.String(),
		DeploymentID: key.DeploymentID, Permissions: []string{"deploymentId:" + key.DeploymentID},
		Epochs:   token.Epochs{Key: key.TokenEpoch, Deployment: deployment.TokenEpoch, All: cutoff.TokenEpoch},
		IssuedAt: app.key.CreatedAt, ExpiresAt: app.key.CreatedAt.Add(app.tokenLifetime),
	}
	answer := &tokenAnswer{AccessToken: app.token(b, app.key), TokenType: "Bearer", ExpiresIn: 86400, Scope: key.Scopes.String()}
	for _, step := range []struct {
		name string
		do   func() bool
	}{
		{"read/form", func() bool { _, refused := readClientRequest(form.w, form.again()); return refused == nil }},
		{"read/json", func() bool { _, refused := readClientRequest(asJSON.w, asJSON.again()); return refused == nil }},
		{"authenticate", func() bool { _, refused := h.authenticate(form.r, req, 0); return refused == nil }},
		{"issue", func() bool { _, _, err := app.issue(ctx, key, DefaultAudience, key.Scopes); return err == nil }},
		{"issue/claims", func() bool { text, err := claims.MarshalJSON(); return err == nil && len(text) > 0 }},
		{"issue/sign", func() bool { _, err := app.sign(ctx, claims); return err == nil }},
		{"write", func() bool { return writeJSON(form.w, http.StatusOK, answer) == nil }},
		{"whole/form", func() bool { return h.ServeHTTP(form.w, form.again(), passOn) == nil && form.w.status == http.StatusOK }},
		{"whole/json", func() bool {
			return h.ServeHTTP(asJSON.w, asJSON.again(), passOn) == nil && asJSON.w.status == http.StatusOK
		}},
	} {
		b.Run(step.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if !step.do() {
					b.Fatal("refused")
				}
			}
		})
	}
}

// BenchmarkTokenEndpointParallel is the whole on all cores at once (-cpu 1,2).
func BenchmarkTokenEndpointParallel(b *testing.B) {
	app := newTestApp(b, nil)
	h := &TokenHandler{app: app.App}
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		form := newTokenRequest(formType, app.asForm())
		for pb.Next() {
			if err := h.ServeHTTP(form.w, form.again(), passOn); err != nil || form.w.status != http.StatusOK {
				b.Error(err, form.w.status)
				return
			}
		}
	})
}

func (a *testApp) asForm() string {
	return url.Values{"grant_type": {"client_credentials"}, "client_id": {a.key.ID}, "client_secret": {a.secret}}.Encode()
}

func (a *testApp) asJSON(b *testing.B) string {
	body, err := json.Marshal(map[string]string{
		"grant_type": "client_credentials", "client_id": a.key.ID, "client_secret": a.secret, "audience": DefaultAudience,
	})
	if err != nil {
		b.Fatal(err)
	}
	return string(body)
}

// knownTo is what the view of an app has of its key.
func knownTo(b *testing.B, app *testApp) (*keystore.Key, *keystore.Deployment, *keystore.Cutoff) {
	n, err := app.node.Now()
	if err != nil {
		b.Fatal(err)
	}
	key, err := n.View.Key(b.Context(), app.key.ID, app.maxStaleness)
	if err != nil {
		b.Fatal(err)
	}
	deployment, err := n.View.Deployment(b.Context(), key.DeploymentID, app.maxStaleness)
	if err != nil {
		b.Fatal(err)
	}
	cutoff, err := n.View.Cutoff(b.Context(), app.maxStaleness)
	if err != nil {
		b.Fatal(err)
	}
	return key, deployment, cutoff
}

// A tokenRequest is sent again and again, to a writer that keeps the status alone.
type tokenRequest struct {
	r    *http.Request
	body *strings.Reader
	text string
	w    *statusWriter
}

func newTokenRequest(contentType, body string) *tokenRequest {
	reader := strings.NewReader(body)
	r := httptest.NewRequest(http.MethodPost, pathToken, reader)
	r.Header.Set("Content-Type", contentType)
	r = withReplacer(r)
	r.Body = io.NopCloser(reader)
	return &tokenRequest{r, reader, body, &statusWriter{header: make(http.Header)}}
}

func (t *tokenRequest) again() *http.Request {
	t.body.Reset(t.text)
	return t.r
}

type statusWriter struct {
	header http.Header
	status int
}

func (w *statusWriter) Header() http.Header         { return w.header }
func (w *statusWriter) WriteHeader(status int)      { w.status = status }
func (w *statusWriter) Write(p []byte) (int, error) { return len(p), nil }
