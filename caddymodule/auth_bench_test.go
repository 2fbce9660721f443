package caddymodule

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

// passOn is a handler that costs nothing.
var passOn = caddyhttp.HandlerFunc(func(http.ResponseWriter, *http.Request) error { return nil })

// BenchmarkAuth is a whole request with a remembered token, and what is known of its key.
func BenchmarkAuth(b *testing.B) {
	app := newTestApp(b, nil)
	benchmarkRequests(b, app, wholeAuth(b, newAuth(app, nil)))
}

// BenchmarkAuthParallel is the same on all cores at once (-cpu 1,2): what they have in common are the memory, the
// counters and the notes of use of one key.
func BenchmarkAuthParallel(b *testing.B) {
	app := newTestApp(b, nil)
	benchmarkInParallel(b, app, wholeAuth(b, newAuth(app, nil)))
}

// BenchmarkAuthTokens has that many distinct tokens of one key, far from one another. The last are as many as are
// remembered.
func BenchmarkAuthTokens(b *testing.B) {
	app := newTestApp(b, nil)
	var authorizations [][]string
	for _, tokens := range []int{1, 1_000, 100_000} {
		b.Run(fmt.Sprint(tokens), func(b *testing.B) {
			do := wholeAuth(b, newAuth(app, nil))
			for len(authorizations) < tokens {
				authorizations = append(authorizations, []string{"Bearer " + app.token(b, app.key)})
			}
			requests := benchmarkRequestsOf("")
			next := 0
			step := func(r *http.Request, repl *caddy.Replacer) {
				r.Header["Authorization"] = authorizations[next]
				next = (next + 48_271) % tokens // a prime, so that each has its turn
				do(r, repl)
			}
			for range tokens {
				step(requests[0].Request, requests[0].replacer) // so that it is remembered
			}
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				r := requests[i%len(requests)]
				step(r.Request, r.replacer)
			}
		})
	}
}

// wholeAuth is a request that the handler passes on.
func wholeAuth(b *testing.B, h *Auth) func(*http.Request, *caddy.Replacer) {
	w := httptest.NewRecorder()
	return func(r *http.Request, _ *caddy.Replacer) {
		if err := h.ServeHTTP(w, r, passOn); err != nil || w.Code != 200 {
			b.Fatal(err, w.Code)
		}
	}
}

// A preparedRequest is one as Caddy hands it to a handler, and its replacer.
type preparedRequest struct {
	*http.Request
	replacer *caddy.Replacer
}

// benchmarkRequestsOf are requests with the same token.
func benchmarkRequestsOf(raw string) []preparedRequest {
	requests := make([]preparedRequest, 512)
	for i := range requests {
		r := httptest.NewRequest("GET", "http://a.dep1.example.com/dep1/api/v2/dags", nil)
		for name, value := range map[string]string{
			"Accept": "*/*", "User-Agent": "curl/8", "Accept-Encoding": "gzip", "X-Forwarded-For": "192.0.2.1",
			"Authorization": "Bearer " + raw,
		} {
			r.Header.Set(name, value)
		}
		r = withReplacer(r)
		requests[i] = preparedRequest{r, r.Context().Value(caddy.ReplacerCtxKey).(*caddy.Replacer)}
	}
	return requests
}

// asTheyCame undoes what was done to requests.
func asTheyCame(requests []preparedRequest, authorization []string) {
	for _, r := range requests {
		for _, name := range []string{"X-Deployment-Id", "X-Deployment-Key-Id", "X-Deployment-Scopes"} {
			delete(r.Header, name)
		}
		r.Header["Authorization"] = authorization
	}
}

// benchmarkRequests does the same with requests that are as they came: what was done to them is
// undone while the clock stands.
func benchmarkRequests(b *testing.B, app *testApp, do func(*http.Request, *caddy.Replacer)) {
	requests := benchmarkRequestsOf(app.token(b, app.key))
	authorization := requests[0].Header["Authorization"]
	next := 0
	b.ReportAllocs()
	for b.Loop() {
		if next == len(requests) {
			b.StopTimer()
			asTheyCame(requests, authorization)
			next = 0
			b.StartTimer()
		}
		r := requests[next]
		next++
		do(r.Request, r.replacer)
	}
}

// benchmarkInParallel does the same on all cores, each with requests of its own. To undo what was done to them is in
// the time.
func benchmarkInParallel(b *testing.B, app *testApp, do func(*http.Request, *caddy.Replacer)) {
	raw := app.token(b, app.key)
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		requests := benchmarkRequestsOf(raw)
		authorization := requests[0].Header["Authorization"]
		for next := 0; pb.Next(); next++ {
			if next == len(requests) {
				asTheyCame(requests, authorization)
				next = 0
			}
			do(requests[next].Request, requests[next].replacer)
		}
	})
}
