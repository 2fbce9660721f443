//go:build linux

package timing

import (
	"bytes"
	cryptorand "crypto/rand"
	"encoding/base32"
	"encoding/binary"
	"math/rand/v2"
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/deploymentkeys/gateway/integration/gatewaytest"
	"github.com/deploymentkeys/gateway/keystore"
)

// credentials are a key ID and a secret, as a client sends them.
type credentials struct{ id, secret string }

// A class is credentials that are refused for the same reason. Those who try some out must not learn of which class they
// are. It has some for each of its keys.
type class struct {
	name  string
	tries [keysOfClass][triesOfKey]credentials
}

// The classes that others are compared with, and by.
const (
	reference = "wrong secret"             // every other class is compared with it
	twin      = "wrong secret, other keys" // the same again: what differs here is chance
	malformed = "malformed secret"         // refused by its checksum, before all else: it has to be told apart
)

const (
	// keysOfClass is how many keys each class has, which no other class uses: that one key is found a little faster than
	// another is no property of the class. The audit log tells 300 keys apart; all classes together stay below that.
	keysOfClass = 16

	// triesOfKey is how many pairs of credentials there are for each key. Where the secret is the key's, they are all the same.
	triesOfKey = 16
)

// newClasses makes the keys for all classes. The first one is the reference.
func newClasses(t *testing.T, s *site) []class {
	t.Helper()
	s.NewDeployment(t, "dep1")
	s.NewDeployment(t, "gone")
	living := func() []gatewaytest.Key { return s.keys(t, "dep1", nil) }
	own := func(k gatewaytest.Key) credentials { return credentials{k.ID, k.Secret} }
	wrong := func(k gatewaytest.Key) credentials { return credentials{k.ID, newSecret()} }
	others := living()
	return []class{
		newClass(reference, living(), wrong),
		newClass(twin, living(), wrong),
		newClass("secret of another key", living(), func(k gatewaytest.Key) credentials {
			return credentials{k.ID, others[rand.IntN(len(others))].Secret}
		}),
		newClass("key ID never made", madeUp(), wrong),
		newClass("deleted key, its secret", s.deleted(t, living()), own),
		newClass("deleted key, wrong secret", s.deleted(t, living()), wrong),
		newClass("key of a deleted Deployment", s.without(t, "gone", s.keys(t, "gone", nil)), own),
		newClass("expired key, wrong secret", s.expired(t), wrong),
		newClass("other addresses, wrong secret", s.keys(t, "dep1", map[string]any{"allowed_ips": []string{"192.0.2.0/24"}}), wrong),
		newClass("two secrets, neither", s.rotated(t, living(), "1h"), wrong),
		newClass("secret of before a rotation", s.rotated(t, living(), "0s"), own),
		newClass(malformed, living(), func(k gatewaytest.Key) credentials { return credentials{k.ID, spoilt(newSecret())} }),
	}
}

// newClass is a class of what try says for each of the keys.
func newClass(name string, keys []gatewaytest.Key, try func(gatewaytest.Key) credentials) class {
	c := class{name: name}
	for i, k := range keys {
		for j := range c.tries[i] {
			c.tries[i][j] = try(k)
		}
	}
	return c
}

// keys makes the keys of a class, with these fields.
func (s *site) keys(t *testing.T, deployment string, fields map[string]any) []gatewaytest.Key {
	t.Helper()
	body := map[string]any{"name": "CI"}
	for name, value := range fields {
		body[name] = value
	}
	made := make([]gatewaytest.Key, keysOfClass)
	for i := range made {
		gatewaytest.Call(t, http.MethodPost, s.Admin("/deployments/"+deployment+"/keys"), body).Want(http.StatusCreated).JSON(&made[i])
	}
	return made
}

// deleted deletes keys.
func (s *site) deleted(t *testing.T, keys []gatewaytest.Key) []gatewaytest.Key {
	t.Helper()
	for _, k := range keys {
		s.DeleteKey(t, k)
	}
	return keys
}

// without deletes a Deployment, with these keys.
func (s *site) without(t *testing.T, deployment string, keys []gatewaytest.Key) []gatewaytest.Key {
	t.Helper()
	s.DeleteDeployment(t, deployment)
	return keys
}

// rotated gives keys other secrets; those that they had work for as long as overlap says.
func (s *site) rotated(t *testing.T, keys []gatewaytest.Key, overlap string) []gatewaytest.Key {
	t.Helper()
	for _, k := range keys {
		gatewaytest.Call(t, http.MethodPost, s.Admin("/deployments/"+k.DeploymentID+"/keys/"+k.ID+"/rotate"),
			map[string]string{"overlap": overlap}).Want(http.StatusOK)
	}
	return keys
}

// expired makes keys, and waits until they have expired.
func (s *site) expired(t *testing.T) []gatewaytest.Key {
	t.Helper()
	keys := s.keys(t, "dep1", map[string]any{"expires_at": time.Now().Add(5 * time.Second).UTC().Format(time.RFC3339)})
	for _, k := range keys {
		gatewaytest.Eventually(t, "a key to expire", func() bool {
			return bytes.Contains(s.AskToken(t, s.port, k).Body, []byte("expired"))
		})
	}
	return keys
}

// madeUp are keys that were never made. Their IDs have the right form and the time of now, and the code in them is made up.
func madeUp() []gatewaytest.Key {
	keys := make([]gatewaytest.Key, keysOfClass)
	for i := range keys {
		var raw [15]byte
		binary.BigEndian.PutUint64(raw[:8], uint64(time.Now().UnixMilli())<<16)
		cryptorand.Read(raw[6:])
		keys[i].ID = base32.NewEncoding("0123456789abcdefghijklmnopqrstuv").WithPadding(base32.NoPadding).EncodeToString(raw[:])
	}
	return keys
}

// newSecret is a secret of the right form, with the right checksum, of no key.
func newSecret() string { return keystore.NewSecret().Reveal() }

// spoilt is a secret with one character changed, so that its checksum is wrong.
func spoilt(secret string) string {
	at := len(keystore.SecretPrefix) + 10
	other := "a"
	if secret[at] == 'a' {
		other = "b"
	}
	return secret[:at] + other + secret[at+1:]
}

// form is the body of a token request.
func (c credentials) form() string {
	return url.Values{"grant_type": {"client_credentials"}, "client_id": {c.id}, "client_secret": {c.secret}}.Encode()
}
