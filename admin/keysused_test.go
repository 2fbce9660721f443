package admin

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/deploymentkeys/gateway/keystore"
)

// usesFail is a store that, while fail is set, cannot be asked when keys were used. It counts reads.
type usesFail struct {
	keystore.Store
	fail  atomic.Bool
	reads atomic.Int64
}

var errUses = errors.New("the test says so")

func (s *usesFail) Get(ctx context.Context, names ...string) ([][]byte, error) {
	if strings.HasPrefix(names[0], "used/") {
		s.reads.Add(1)
		if s.fail.Load() {
			return nil, fmt.Errorf("%w: %w", keystore.ErrUnavailable, errUses)
		}
	}
	return s.Store.Get(ctx, names...)
}

func TestKeysShowWhenTheyWereUsed(t *testing.T) {
	t.Parallel()
	watched := &usesFail{Store: newStore(t)}
	keys := keystore.New(watched, master)
	api := newAPI(t, withKeystore(keys))
	type object = map[string]any
	never := object{
		"last_used_at": nil, "last_token_at": nil, "last_token_address": nil, "last_request_at": nil, "last_request_address": nil,
		"previous_secret_last_used_at": nil,
	}
	answered(t, api, "POST", "/deployments", `{"id":"dep1","name":"a"}`, 201)
	made := answered(t, api, "POST", "/deployments/dep1/keys", `{"name":"k"}`, 201)
	wantMembers(t, "created", made, never)
	id := fmt.Sprint(made["id"])
	own := "/deployments/dep1/keys/" + id
	wantMembers(t, "never used", answered(t, api, "GET", own, "", 200), never)

	record := func(use keystore.KeyUse) {
		t.Helper()
		use.ID = id
		if _, err := keys.RecordKeyUses(t.Context(), []keystore.KeyUse{use}); err != nil {
			t.Fatal(err)
		}
	}
	noon := time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)
	record(keystore.KeyUse{TokenAt: noon, TokenAddress: netip.MustParseAddr("192.0.2.1")})
	token := object{"last_used_at": "2026-01-02T12:00:00Z", "last_token_at": "2026-01-02T12:00:00Z", "last_token_address": "192.0.2.1", "last_request_at": nil}
	wantMembers(t, "a token", answered(t, api, "GET", own, "", 200), token)
	record(keystore.KeyUse{RequestAt: noon.Add(time.Minute)}) // from no address
	used := object{
		"last_used_at": "2026-01-02T12:01:00Z", "last_token_at": "2026-01-02T12:00:00Z", "last_token_address": "192.0.2.1",
		"last_request_at": "2026-01-02T12:01:00Z", "last_request_address": nil,
	}
	wantMembers(t, "a request", answered(t, api, "GET", own, "", 200), used)
	wantMembers(t, "changed", answered(t, api, "PATCH", own, `{"name":"l"}`, 200), used)

	wantMembers(t, "rotated", answered(t, api, "POST", own+"/rotate", `{"overlap":"1h"}`, 200), used)
	rotated, err := keys.Key(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	record(keystore.KeyUse{PreviousSecretAt: noon.Add(time.Hour), PreviousSecretHash: rotated.PreviousSecretHash})
	wantMembers(t, "the previous secret", answered(t, api, "GET", own, "", 200), object{"previous_secret_last_used_at": "2026-01-02T13:00:00Z"})
	wantMembers(t, "rotated again", answered(t, api, "POST", own+"/rotate", `{"overlap":"1h"}`, 200), object{"previous_secret_last_used_at": nil})

	// A list reads them all at once.
	answered(t, api, "POST", "/deployments/dep1/keys", `{"name":"other"}`, 201)
	before := watched.reads.Load()
	list, _ := answered(t, api, "GET", "/deployments/dep1/keys", "", 200)["keys"].([]any)
	if reads := watched.reads.Load() - before; len(list) != 2 || reads != 1 {
		t.Fatalf("%d keys with %d reads", len(list), reads)
	}
	wantMembers(t, "listed", list[0].(object), used)
	wantMembers(t, "listed", list[1].(object), never)

	// What was done is answered, whether or not it can be said when the key was used.
	watched.fail.Store(true)
	answered(t, api, "GET", own, "", 503)
	answered(t, api, "GET", "/deployments/dep1/keys", "", 503)
	wantMembers(t, "changed", answered(t, api, "PATCH", own, `{"name":"m"}`, 200), never)
	if secret := answered(t, api, "POST", own+"/rotate", `{}`, 200)["secret"]; secret == nil {
		t.Error("the secret is lost")
	}
}

// A record of use that was altered is no reason not to show the key.
func TestKeyWithAlteredUseIsShown(t *testing.T) {
	t.Parallel()
	store := newStore(t)
	keys := keystore.New(store, master)
	core, logged := observer.New(zap.ErrorLevel)
	api := newAPI(t, func(api *API) {
		withKeystore(keys)(api)
		api.Logger = zap.New(core)
	})
	answered(t, api, "POST", "/deployments", `{"id":"dep1","name":"a"}`, 201)
	id := fmt.Sprint(answered(t, api, "POST", "/deployments/dep1/keys", `{"name":"k"}`, 201)["id"])
	err := store.Apply(t.Context(), keystore.Change{Steps: []keystore.Step{{Kind: keystore.PutRecord, Name: "used/" + id, Value: []byte("something")}}})
	if err != nil {
		t.Fatal(err)
	}
	wantMembers(t, "altered", answered(t, api, "GET", "/deployments/dep1/keys/"+id, "", 200), map[string]any{"id": id, "last_used_at": nil})
	if entries := logged.FilterField(zap.String("record", "used/"+id)).Len(); entries != 1 {
		t.Errorf("logged %d times", entries)
	}
}
