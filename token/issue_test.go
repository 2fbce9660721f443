package token_test

import (
	"errors"
	"reflect"
	"testing"
	"time"

	"github.com/deploymentkeys/gateway/token"
)

// An issued token is cached as it would be after its first verification.
func TestIssuedTokenIsCachedAsVerified(t *testing.T) {
	t.Parallel()
	for name, edit := range map[string]func(*token.Claims){
		"whole":          func(*token.Claims) {},
		"no scope":       func(c *token.Claims) { c.Scope = "" },
		"no permissions": func(c *token.Claims) { c.Permissions = []string{} },
		"no epochs":      func(c *token.Claims) { c.Epochs = token.Epochs{} },
		"escapes":        func(c *token.Claims) { c.Subject, c.ClientID = "a<\"\\\u2028é\x00", "a\n" },
		"fractions of a second, in another zone": func(c *token.Claims) {
			zone := time.FixedZone("", 3600)
			c.IssuedAt, c.ExpiresAt = start.In(zone), start.Add(time.Hour).In(zone)
		},
		"the second audience": func(c *token.Claims) { c.Audience = "other" },
	} {
		for _, alg := range algorithms {
			v, ring, claims := newVerifier(t, nil), ringOf(alg), sampleClaims()
			edit(&claims)
			raw := must(v.Issue(ring, claims))
			if !v.Remembers(raw) {
				t.Errorf("%s, %s: it is not cached", alg, name)
			}
			want := must(newVerifier(t, nil).Verify(ring, raw))
			if got := must(v.Verify(ring, raw)); !reflect.DeepEqual(got, want) {
				t.Errorf("%s, %s: cached as %+v, another node reads %+v", alg, name, got, want)
			}
		}
	}
}

func TestIssuedTokenKeepsItsPermissions(t *testing.T) {
	t.Parallel()
	v, ring, claims := newVerifier(t, nil), ringOf(token.EdDSA), sampleClaims()
	raw, want := must(v.Issue(ring, claims)), claims.Permissions[0]
	claims.Permissions[0] = "deploymentId:other"
	if got := must(v.Verify(ring, raw)); got.Permissions[0] != want {
		t.Errorf("it has the permission %s, signed was %s", got.Permissions[0], want)
	}
}

// A cached token skips the checks of issuer and audience, so one that fails them must not be cached.
func TestIssuedTokenIsRefusedAsAnyOther(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		edit func(*token.Claims)
		want error
	}{
		"another issuer":   {func(c *token.Claims) { c.Issuer = "https://other.example.com" }, token.ErrIssuer},
		"another audience": {func(c *token.Claims) { c.Audience = "evil" }, token.ErrAudience},
		"of the future":    {func(c *token.Claims) { c.IssuedAt = start.Add(2 * time.Minute) }, token.ErrNotYetValid},
		"expired":          {func(c *token.Claims) { c.IssuedAt, c.ExpiresAt = start.Add(-time.Hour), start.Add(-time.Minute) }, token.ErrExpired},
	} {
		v, ring, claims := newVerifier(t, nil), ringOf(token.ES256), sampleClaims()
		test.edit(&claims)
		raw := must(v.Issue(ring, claims))
		if _, err := v.Verify(ring, raw); !errors.Is(err, test.want) || v.Remembered() != 0 {
			t.Errorf("%s: got %v with %d cached tokens, want %v", name, err, v.Remembered(), test.want)
		}
	}

	v, ring, claims := newVerifier(t, nil), ringOf(token.ES256), sampleClaims()
	claims.Subject = ""
	if raw, err := v.Issue(ring, claims); !errors.Is(err, token.ErrClaims) || raw != "" || v.Remembered() != 0 {
		t.Errorf("without sub: got %q, %v", raw, err)
	}
}

func TestIssuedTokenExpires(t *testing.T) {
	t.Parallel()
	clock, ring, claims := new(fakeClock), ringOf(token.ES256), sampleClaims()
	v := newVerifier(t, func(o *token.Options) { o.Now = clock.Now })
	claims.ExpiresAt = claims.ExpiresAt.Add(999 * time.Millisecond) // the token says whole seconds
	raw := must(v.Issue(ring, claims))
	clock.Advance(claims.ExpiresAt.Truncate(time.Second).Sub(start))
	if _, err := v.Verify(ring, raw); !errors.Is(err, token.ErrExpired) || !token.Proven(err) {
		t.Errorf("at exp: got %v, want ErrExpired", err)
	}
}

func TestIssuedTokenUnderKeyThatIsGone(t *testing.T) {
	t.Parallel()
	v, ring := newVerifier(t, nil), ringOf(token.ES256)
	raw := must(v.Issue(ring, sampleClaims()))
	without := must(token.NewRing([]*token.SigningKey{keys()[token.EdDSA]}, keys()[token.EdDSA].ID()))
	if _, err := v.Verify(without, raw); !errors.Is(err, token.ErrUnknownKey) || token.Proven(err) {
		t.Errorf("got %v, want ErrUnknownKey, unproven", err)
	}
	if v.Remembers(raw) {
		t.Error("the token is cached although its key is gone")
	}
}

// A node without a cache, or after Close, issues tokens all the same.
func TestIssueWithoutCache(t *testing.T) {
	t.Parallel()
	ring := ringOf(token.ES256)
	without, closed := newVerifier(t, func(o *token.Options) { o.CacheSize = -1 }), newVerifier(t, nil)
	closed.Close()
	for _, v := range []*token.Verifier{without, closed} {
		if _, err := v.Verify(ring, must(v.Issue(ring, sampleClaims()))); err != nil {
			t.Error(err)
		}
	}
}
