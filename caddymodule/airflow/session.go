package airflow

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/deploymentkeys/gateway/access"
	"golang.org/x/sync/singleflight"
)

// session is a service account's login at one Airflow: the token, and a new one in time. It is
// safe for concurrent use.
type session struct {
	base     string // URL of Airflow
	username string
	password string
	client   *http.Client
	now      func() time.Time

	logins  singleflight.Group
	current atomic.Pointer[loginToken]  // nil: none, or none that Airflow takes
	failed  atomic.Pointer[failedLogin] // nil: not yet

	renewing atomic.Bool // while the current one still serves
}

// A loginToken is a token that Airflow has given.
type loginToken struct {
	token     string
	at        time.Time // when it was asked for
	renewAt   time.Time // from when on another one is asked for, while this one still serves
	expiresAt time.Time
}

// A failedLogin keeps requests from asking an Airflow again and again that gives no token.
type failedLogin struct {
	at  time.Time
	err error
}

const (
	loginTimeout  = 5 * time.Second // for a login, and for a request that waits for one
	loginInterval = time.Second     // how soon after a login that failed the next one is tried
	sinceLogin    = time.Second     // how old a token has to be that its refusal is worth another login
	mostLoginBody = 64 << 10        // of the answer, in bytes

	// How long a token is used that does not say how long it is valid, and the longest that is believed.
	defaultLoginLifetime = 5 * time.Minute
	maxLoginLifetime     = 7 * 24 * time.Hour
)

func newSession(base, username, password string) *session {
	return &session{
		base: base, username: username, password: password, now: time.Now,
		client: &http.Client{
			Timeout:   loginTimeout,
			Transport: &http.Transport{TLSHandshakeTimeout: loginTimeout}, // no proxy: a password goes to Airflow alone
			CheckRedirect: func(*http.Request, []*http.Request) error {
				return http.ErrUseLastResponse // nor does it go on to wherever an answer points
			},
		},
	}
}

// token is one that Airflow takes, as far as is known. Of callers that come together, one logs in for
// all.
func (s *session) token(ctx context.Context) (*loginToken, error) {
	current, now := s.current.Load(), s.now()
	if current != nil && now.Before(current.expiresAt) {
		if !now.Before(current.renewAt) && s.recentFailure() == nil {
			s.renew()
		}
		return current, nil
	}
	if err := s.recentFailure(); err != nil {
		return nil, err
	}
	return s.wait(ctx)
}

// renew logs in once more, and nobody waits for it. Of all the requests that come meanwhile, only the
// first one has anything to do with it.
func (s *session) renew() {
	if !s.renewing.CompareAndSwap(false, true) {
		return
	}
	go func() {
		defer s.renewing.Store(false)
		_, _, _ = s.logins.Do("", s.login) // a failure is kept in failed
	}()
}

// replace is another token than the one that Airflow has refused.
func (s *session) replace(ctx context.Context, refused *loginToken) (*loginToken, error) {
	if current := s.current.Load(); current != nil && current != refused {
		return current, nil // another request has replaced it
	}
	if s.now().Sub(refused.at) < sinceLogin {
		return nil, errors.New("a token that Airflow has just given is refused by it")
	}
	s.current.CompareAndSwap(refused, nil)
	return s.token(ctx)
}

func (s *session) recentFailure() error {
	if failed := s.failed.Load(); failed != nil && s.now().Sub(failed.at) < loginInterval {
		return failed.err
	}
	return nil
}

func (s *session) wait(ctx context.Context) (*loginToken, error) {
	timeout := time.NewTimer(loginTimeout)
	defer timeout.Stop()
	select {
	case result := <-s.logins.DoChan("", s.login):
		if result.Err != nil {
			return nil, result.Err
		}
		return result.Val.(*loginToken), nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	case <-timeout.C:
		return nil, fmt.Errorf("the login takes longer than %s", loginTimeout)
	}
}

// login asks Airflow for a token, for whoever waits for it: no request's end ends it.
func (s *session) login() (any, error) {
	at := s.now()
	raw, err := s.ask()
	if err != nil {
		err = fmt.Errorf("logging in at %s/auth/token: %w", s.base, err)
		s.failed.Store(&failedLogin{s.now(), err})
		return nil, err
	}
	// What the token says about times is of Airflow's clock: how long it lasts is the same on both.
	lifetime := lifetimeOf(raw)
	got := &loginToken{token: raw, at: at, renewAt: at.Add(lifetime * 8 / 10), expiresAt: at.Add(lifetime * 95 / 100)}
	s.current.Store(got)
	return got, nil
}

func (s *session) ask() (string, error) {
	body, err := json.Marshal(map[string]string{"username": s.username, "password": s.password})
	if err != nil {
		return "", err
	}
	response, err := s.client.Post(s.base+"/auth/token", "application/json", bytes.NewReader(body))
	if err != nil {
		return "", unanswered(err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusCreated && response.StatusCode != http.StatusOK {
		// What else it says, in its reason phrase too, is not repeated: what is badly set up may repeat
		// the password.
		status := strconv.Itoa(response.StatusCode) + " " + http.StatusText(response.StatusCode)
		return "", fmt.Errorf("the answer is %s", strings.TrimSpace(status))
	}
	answer, err := io.ReadAll(io.LimitReader(response.Body, mostLoginBody))
	if err != nil {
		return "", unanswered(err)
	}
	var given struct {
		AccessToken string `json:"access_token"`
	}
	if json.Unmarshal(answer, &given) != nil || !access.IsToken68(given.AccessToken) {
		return "", errors.New("the answer has no access_token")
	}
	return given.AccessToken, nil
}

// unanswered is why there is no answer, as far as it can be told. Errors of net/http about what it
// cannot read repeat it: the line that is not HTTP, or the Location that is no URL. In it could be the
// password.
func unanswered(err error) error {
	var connection *net.OpError
	var certificate *tls.CertificateVerificationError
	var timeout interface{ Timeout() bool }
	switch {
	case errors.As(err, &connection):
		return connection
	case errors.As(err, &certificate):
		return certificate
	case errors.As(err, &timeout) && timeout.Timeout():
		return fmt.Errorf("it takes longer than %s", loginTimeout)
	case errors.Is(err, http.ErrSchemeMismatch):
		return http.ErrSchemeMismatch
	}
	return errors.New("the answer cannot be read: look whether url is that of an Airflow")
}

// lifetimeOf is how long a token of Airflow is valid, by its claims. It is not verified: it comes from
// Airflow, and is of use to nobody else.
func lifetimeOf(raw string) time.Duration {
	var claims struct {
		ExpiresAt float64 `json:"exp"`
		IssuedAt  float64 `json:"iat"`
	}
	parts := strings.Split(raw, ".")
	if len(parts) != 3 {
		return defaultLoginLifetime
	}
	payload, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(parts[1], "="))
	if err != nil || json.Unmarshal(payload, &claims) != nil || claims.IssuedAt <= 0 || claims.ExpiresAt <= claims.IssuedAt {
		return defaultLoginLifetime
	}
	seconds := min(claims.ExpiresAt-claims.IssuedAt, maxLoginLifetime.Seconds())
	return time.Duration(seconds * float64(time.Second))
}
