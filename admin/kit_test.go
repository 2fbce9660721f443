package admin

import (
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/zap"

	"github.com/deploymentkeys/gateway/keystore"
	"github.com/deploymentkeys/gateway/keystore/boltstore"
)

// A jsonObject is one as encoding/json decodes it.
type jsonObject = map[string]any

// newAPI is an API on an embedded store of its own.
func newAPI(t testing.TB, configure func(*API)) http.Handler {
	t.Helper()
	store, err := boltstore.Open(filepath.Join(t.TempDir(), "keys.db"), boltstore.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	keys := keystore.New(store, []byte(strings.Repeat("k", 32)))
	api := &API{
		Keystore: func() (*keystore.Keystore, error) { return keys, nil },
		Caller:   func(*http.Request) keystore.Caller { return keystore.Caller{Name: "anna", Address: "192.0.2.9"} },
		Logger:   zap.NewNop(),
	}
	configure(api)
	return api.Handler()
}

// callAPI sends a request, with a JSON body unless that is "".
func callAPI(t *testing.T, api http.Handler, method, path, body string) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	w := httptest.NewRecorder()
	api.ServeHTTP(w, r)
	return w
}
