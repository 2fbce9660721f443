package caddymodule

import (
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
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
