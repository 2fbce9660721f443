package airflow

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

// A cookie comes as a trailer, announced or not, in an answer that is sent at once, later, or not at all.
func TestAirflowsTrailersAreDropped(t *testing.T) {
	t.Parallel()
	for name, answer := range map[string]func(http.ResponseWriter){
		"announced": func(w http.ResponseWriter) { // as reverse_proxy does
			w.Header().Set("Trailer", "Set-Cookie, X-Other")
			w.WriteHeader(http.StatusOK)
			_, _ = io.WriteString(w, "x")
			_ = http.NewResponseController(w).Flush()
			w.Header().Set("Set-Cookie", "_token=x")
			w.Header().Set("X-Other", "x")
		},
		"not announced": func(w http.ResponseWriter) {
			_, _ = io.WriteString(w, "x")
			_ = http.NewResponseController(w).Flush()
			w.Header().Set(http.TrailerPrefix+"Set-Cookie", "_token=x")
			w.Header().Set(http.TrailerPrefix+"X-Other", "x")
		},
		"flushed first": func(w http.ResponseWriter) {
			w.Header().Set("Trailer", "Set-Cookie")
			w.Header().Set("Set-Cookie", "_token=x")
			_ = http.NewResponseController(w).Flush()
			_, _ = io.WriteString(w, "x")
			w.Header().Set("Set-Cookie", "_token=x")
		},
		"held back": func(w http.ResponseWriter) {
			w.Header().Set("Trailer", "Set-Cookie")
			w.WriteHeader(http.StatusForbidden)
			_, _ = io.WriteString(w, "x")
			_ = http.NewResponseController(w).Flush()
			w.Header().Set("Set-Cookie", "_token=x")
			w.Header().Set("X-Other", "x")
			w.Header().Set(http.TrailerPrefix+"Set-Cookie", "_token=x")
		},
		"held back, then too long": func(w http.ResponseWriter) {
			w.Header().Set("Trailer", "Set-Cookie")
			w.WriteHeader(http.StatusForbidden)
			_, _ = io.WriteString(w, strings.Repeat("x", 2*mostHeld))
			w.Header().Set("Set-Cookie", "_token=x")
		},
		"nothing is sent": func(w http.ResponseWriter) {
			w.Header().Set("Set-Cookie", "_token=x")
			w.Header().Set(http.TrailerPrefix+"Set-Cookie", "_token=x")
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				_, err := newAnswer(new(testGateway), w).passOn(caddyhttp.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) error {
					w.Header().Set("X-Kept", "x")
					answer(w)
					return nil
				}), r)
				if err != nil {
					t.Error(err)
				}
			}))
			t.Cleanup(server.Close)
			response, err := server.Client().Get(server.URL)
			if err != nil {
				t.Fatal(err)
			}
			defer response.Body.Close()
			if _, err := io.Copy(io.Discard, response.Body); err != nil {
				t.Fatal(err)
			}
			if response.Header.Get("X-Kept") == "" {
				t.Error("the header is lost")
			}
			for _, name := range []string{"Set-Cookie", "X-Other"} {
				if response.Header.Get(name) != "" || len(response.Trailer) > 0 {
					t.Errorf("the client gets %v and the trailers %v", response.Header, response.Trailer)
				}
			}
		})
	}
}

// A 401 that never ends is read to some length, and is what any 401 is.
func TestAirflowsRefusalWithoutAnEnd(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(error) error{
		"an error":               func(err error) error { return err },
		"reverse_proxy's panic":  func(error) error { panic(http.ErrAbortHandler) },
		"an answer all the same": func(error) error { return nil },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w, written := httptest.NewRecorder(), 0
			refused, err := newAnswer(new(testGateway), w).passOn(caddyhttp.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) error {
				w.Header().Set("X-Refused", "yes")
				w.WriteHeader(http.StatusUnauthorized)
				for {
					n, err := io.WriteString(w, strings.Repeat("x", 32<<10))
					if written += n; err != nil {
						return end(err)
					}
					if written > 2*mostDropped {
						t.Errorf("%d bytes are read", written)
						return nil
					}
				}
			}), httptest.NewRequest(http.MethodGet, "/", nil))
			if !refused || err != nil || w.Body.Len() > 0 || len(w.Header()) > 0 {
				t.Errorf("refused %t, %v; the client gets %v and %d bytes", refused, err, w.Header(), w.Body.Len())
			}
		})
	}
	// What else goes wrong meanwhile is not kept from whoever has to hear of it.
	defer func() {
		if p := recover(); p != "another" {
			t.Errorf("the panic is %v", p)
		}
	}()
	_, _ = newAnswer(new(testGateway), httptest.NewRecorder()).passOn(caddyhttp.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) error {
		w.WriteHeader(http.StatusUnauthorized)
		_, _ = w.Write(make([]byte, mostDropped+1))
		panic("another")
	}), httptest.NewRequest(http.MethodGet, "/", nil))
}

// A refusal that is compressed in a way that is not known would be taken for the client's.
func TestAirflowIsAskedForWhatCanBeRead(t *testing.T) {
	t.Parallel()
	for sent, want := range map[string]string{
		"gzip": "gzip", "gzip, deflate, br, zstd": "gzip", "br;q=1.0, GZIP ; q=0.5": "gzip", "br,gzip;q=0.001": "gzip",
		"br": "identity", "identity": "identity", "*": "identity", "": "identity", "zstd, gzip;q=0": "identity", "gzip; q=0.00": "identity",
	} {
		header := http.Header{"Accept-Encoding": {sent}}
		if readableOnly(header); strings.Join(header["Accept-Encoding"], "|") != want {
			t.Errorf("%q: Airflow is asked for %q, want %q", sent, header["Accept-Encoding"], want)
		}
	}
	header := http.Header{"Accept-Encoding": {"br", "gzip"}}
	if readableOnly(header); strings.Join(header["Accept-Encoding"], "|") != "gzip" {
		t.Errorf("of two lines %q is left", header["Accept-Encoding"])
	}
	header = http.Header{}
	if readableOnly(header); len(header) > 0 {
		t.Error("what is not asked for is asked for")
	}

	f := newFakeAirflow()
	h := newTestLogin(f)
	wantStatus(t, ask(t, h, f, http.MethodGet, "/etl/api/v2/dags", ""), http.StatusOK)
	f.revokeAll()
	h.session.now = func() time.Time { return time.Now().Add(2 * sinceLogin) }
	r, w := ofDep1(http.MethodGet, "/etl/api/v2/dags", nil), httptest.NewRecorder()
	r.Header.Set("Accept-Encoding", "br")
	if err := h.ServeHTTP(w, r, f); err != nil {
		t.Fatal(err)
	}
	if got := r.Header.Get("Accept-Encoding"); w.Code != http.StatusOK || f.logins != 2 || got != "identity" {
		t.Errorf("status %d after %d logins; Airflow was asked for %q", w.Code, f.logins, got)
	}
}
