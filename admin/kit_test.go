package admin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/deploymentkeys/gateway/keystore"
	"github.com/deploymentkeys/gateway/keystore/boltstore"
)

// A jsonObject is one as encoding/json decodes it.
type jsonObject = map[string]any

// master is the master secret of stores, and anna who calls APIs.
var (
	master = []byte(strings.Repeat("k", 32))
	anna   = keystore.Caller{Name: "anna", Address: "192.0.2.9"}
)

// newStore is an embedded store. A busy machine writes slowly.
func newStore(t testing.TB) keystore.Store {
	t.Helper()
	store, err := boltstore.Open(filepath.Join(t.TempDir(), "keys.db"), boltstore.Options{Timeout: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = store.Close() })
	return store
}

// newAPI is an API on an embedded store of its own.
func newAPI(t testing.TB, configure func(*API)) http.Handler {
	t.Helper()
	keys := keystore.New(newStore(t), master)
	api := &API{
		Keystore: func() (*keystore.Keystore, error) { return keys, nil },
		Caller:   func(*http.Request) keystore.Caller { return anna },
		Logger:   zap.NewNop(),
	}
	configure(api)
	return api.Handler()
}

func withKeystore(keys *keystore.Keystore) func(*API) {
	return func(a *API) {
		a.Keystore = func() (*keystore.Keystore, error) { return keys, nil }
		withTokens(&fakeTokens{err: keystore.ErrLimit})(a)
	}
}

// apiOn is an API on a keystore, for administrators, or for one subject.
func apiOn(t testing.TB, keys *keystore.Keystore, subject *Subject) http.Handler {
	t.Helper()
	return newAPI(t, func(a *API) {
		withKeystore(keys)(a)
		withTokens(new(fakeTokens))(a)
		if subject != nil {
			a.Subject = func(*http.Request) Subject { return *subject }
		}
	})
}

// errPanic is an answer that was none.
var errPanic = errors.New("the handler panicked")

// sendAPI makes a request, of which a panic of the handler is the error.
func sendAPI(api http.Handler, r *http.Request) (w *httptest.ResponseRecorder, err error) {
	defer func() {
		if fault := recover(); fault != nil {
			err = fmt.Errorf("%w: %v", errPanic, fault)
		}
	}()
	w = httptest.NewRecorder()
	api.ServeHTTP(w, r)
	return w, nil
}

// apiRequest is one with a body of a type; no type is no header.
func apiRequest(method, target, contentType, body string) *http.Request {
	var reader io.Reader
	if body != "" {
		reader = strings.NewReader(body)
	}
	r := httptest.NewRequest(method, target, reader)
	if contentType != "" {
		r.Header.Set("Content-Type", contentType)
	}
	return r
}

// callAPI sends a request, with a JSON body unless that is "".
func callAPI(t testing.TB, api http.Handler, method, path, body string) *httptest.ResponseRecorder {
	t.Helper()
	contentType := ""
	if body != "" {
		contentType = "application/json"
	}
	w, err := sendAPI(api, apiRequest(method, path, contentType, body))
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// answered calls the API, wants a status, and returns the JSON of the answer.
func answered(t *testing.T, api http.Handler, method, path, body string, status int) map[string]any {
	t.Helper()
	w := callAPI(t, api, method, path, body)
	if w.Code != status {
		t.Fatalf("%s %s %s: %d %s, want %d", method, path, body, w.Code, w.Body, status)
	}
	if status == http.StatusNoContent {
		return nil
	}
	var answer map[string]any
	if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil {
		t.Fatal(err)
	}
	return answer
}

func wantMembers(t *testing.T, what string, answer, want map[string]any) {
	t.Helper()
	for name, value := range want { // nil wants that it is not there
		if fmt.Sprint(answer[name]) != fmt.Sprint(value) {
			t.Errorf("%s: %s is %v, want %v", what, name, answer[name], value)
		}
	}
}

// A countedStore counts what is asked of a store.
type countedStore struct {
	keystore.Store
	read    atomic.Int64 // records, and members of indexes
	changes atomic.Int64 // that were made
}

func (s *countedStore) Get(ctx context.Context, names ...string) ([][]byte, error) {
	s.read.Add(int64(len(names)))
	return s.Store.Get(ctx, names...)
}

func (s *countedStore) Members(ctx context.Context, index, after string, limit int) ([]string, error) {
	members, err := s.Store.Members(ctx, index, after, limit)
	s.read.Add(int64(len(members)))
	return members, err
}

func (s *countedStore) Apply(ctx context.Context, change keystore.Change) error {
	err := s.Store.Apply(ctx, change)
	if err == nil {
		s.changes.Add(1)
	}
	return err
}
