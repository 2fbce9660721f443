package integration

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/deploymentkeys/gateway/integration/gatewaytest"
)

// scaled is how many of something a test takes: few as a rule, and as many as the product promises with the variable
// DEPLOYMENT_KEYS_LONG.
func scaled(few, many int) int {
	if os.Getenv("DEPLOYMENT_KEYS_LONG") != "" {
		return many
	}
	return few
}

// figure prints what was measured, so that it can be found in the output of all tests.
func figure(t *testing.T, name string, value any) {
	t.Helper()
	if d, ok := value.(time.Duration); ok {
		value = d.Round(10 * time.Microsecond)
	}
	t.Logf("figure: %s: %v", name, value)
}

// figures prints the middle and the end of many durations.
func figures(t *testing.T, name string, all []time.Duration) {
	t.Helper()
	for _, part := range []struct {
		name  string
		share float64
	}{{"p50", 0.5}, {"p99", 0.99}, {"max", 1}} {
		figure(t, name+" "+part.name, percentile(all, part.share))
	}
}

// percentile is the duration that a share of all does not exceed.
func percentile(all []time.Duration, share float64) time.Duration {
	if len(all) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(all))
	return sorted[max(0, int(math.Ceil(share*float64(len(sorted))))-1)]
}

// settle waits until a gateway has nothing more to do by itself: it enters changes into the audit log, and notes when keys
// were used, within a second.
func settle(t *testing.T, g *site) {
	t.Helper()
	calls := func() (sum float64) {
		for _, operation := range []string{"get", "apply"} {
			sum += g.metric(t, `caddy_deployment_keys_store_calls_total{operation="`+operation+`",outcome="ok"}`)
		}
		return sum
	}
	quiet := 1500 * time.Millisecond
	before, since := calls(), time.Now()
	eventually(t, "the gateway has nothing to do", func() bool {
		if now := calls(); now != before {
			before, since = now, time.Now()
		}
		return time.Since(since) > quiet
	})
}

// keepAlive is a client with connections of its own that it keeps, so that what is measured is the gateway.
func keepAlive(t *testing.T) *http.Client {
	t.Helper()
	c := &http.Client{Timeout: patience, Transport: &http.Transport{MaxIdleConnsPerHost: 64}}
	t.Cleanup(c.CloseIdleConnections)
	return c
}

// send is for goroutines, which must not end the test: it sends a request as call does, decodes an answer that is no
// refusal into a value unless that is nil, and returns the status.
func send(c *http.Client, method, target string, body, into any, options ...requestOption) (int, error) {
	reader, contentType, err := gatewaytest.Encode(body)
	if err != nil {
		return 0, err
	}
	request, err := http.NewRequest(method, target, reader)
	if err != nil {
		return 0, err
	}
	if contentType != "" {
		request.Header.Set("Content-Type", contentType)
	}
	for _, option := range options {
		option(request)
	}
	response, err := c.Do(request)
	if err != nil {
		return 0, err
	}
	defer response.Body.Close()
	content, err := io.ReadAll(response.Body)
	if err == nil && into != nil && response.StatusCode < http.StatusBadRequest {
		err = json.Unmarshal(content, into)
	}
	return response.StatusCode, err
}

// fetch sends a token to the Airflow route of a Deployment and returns the status.
func (s *site) fetch(c *http.Client, deployment, token string) (int, error) {
	return send(c, http.MethodGet, s.URL(s.port, "/"+deployment+"/api/v2/dags"), nil, nil, bearer(token))
}

// fetchToken exchanges a key for an access token.
func (s *site) fetchToken(c *http.Client, k key) (string, int, error) {
	var answer grant
	status, err := send(c, http.MethodPost, s.URL(s.port, "/oauth/token"), url.Values{
		"grant_type": {"client_credentials"}, "client_id": {k.ID}, "client_secret": {k.Secret},
	}, &answer)
	return answer.AccessToken, status, err
}

// fetchKey makes a key.
func (s *site) fetchKey(c *http.Client, deployment string) (key, int, error) {
	var made key
	status, err := send(c, http.MethodPost, s.Admin("/deployments/"+deployment+"/keys"), map[string]any{"name": "CI"}, &made)
	return made, status, err
}

// wanted is an error unless a status is the one that was wanted.
func wanted(want, status int, err error) error {
	if err == nil && status != want {
		err = fmt.Errorf("status %d, want %d", status, want)
	}
	return err
}

// newKeys makes many keys of a Deployment.
func (s *site) newKeys(t *testing.T, deployment string, n int) []key {
	t.Helper()
	c := keepAlive(t)
	keys := make([]key, n)
	inParallel(t, n, func(i int) (err error) {
		status := 0
		keys[i], status, err = s.fetchKey(c, deployment)
		return wanted(http.StatusCreated, status, err)
	})
	return keys
}

// tokens exchanges many keys for tokens.
func (s *site) tokens(t *testing.T, keys []key) []string {
	t.Helper()
	c := keepAlive(t)
	tokens := make([]string, len(keys))
	inParallel(t, len(keys), func(i int) (err error) {
		status := 0
		tokens[i], status, err = s.fetchToken(c, keys[i])
		return wanted(http.StatusOK, status, err)
	})
	return tokens
}

// useAll calls the gateway once with each token and holds that it accepts them.
func (s *site) useAll(t *testing.T, keys []key, tokens []string) {
	t.Helper()
	c := keepAlive(t)
	inParallel(t, len(keys), func(i int) error {
		status, err := s.fetch(c, keys[i].DeploymentID, tokens[i])
		return wanted(http.StatusOK, status, err)
	})
}

// inParallel calls a function with 0 to n-1 from a few goroutines, and ends the test with the first error.
func inParallel(t *testing.T, n int, call func(i int) error) {
	t.Helper()
	const workers = 4
	errs := make([]error, workers)
	var done sync.WaitGroup
	for w := range workers {
		done.Go(func() {
			for i := w; i < n && errs[w] == nil; i += workers {
				errs[w] = call(i)
			}
		})
	}
	done.Wait()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}

// metric reads a metric without labels, or with labels as they are written, of a gateway.
func (g *site) metric(t *testing.T, name string) float64 {
	t.Helper()
	answer := call(t, http.MethodGet, g.Admin("/metrics"), nil).Want(http.StatusOK)
	for line := range strings.Lines(string(answer.Body)) {
		if text, ok := strings.CutPrefix(line, name+" "); ok {
			value, err := strconv.ParseFloat(strings.TrimSpace(text), 64)
			if err != nil {
				t.Fatal(err)
			}
			return value
		}
	}
	t.Fatalf("no metric %s", name)
	return 0
}

// profileTotal is how many goroutines a gateway has.
func (g *site) profileTotal(t *testing.T) int {
	t.Helper()
	answer := call(t, http.MethodGet, g.Admin("/debug/pprof/goroutine?debug=1"), nil).Want(http.StatusOK)
	line, _ := bufio.NewReader(strings.NewReader(string(answer.Body))).ReadString('\n')
	total, err := strconv.Atoi(strings.TrimSpace(strings.TrimPrefix(line, "goroutine profile: total ")))
	if err != nil {
		t.Fatalf("the profile begins with %q", line)
	}
	return total
}

// sighting is the answer to one request of a watch.
type sighting struct {
	sent   time.Time
	took   time.Duration
	status int
	err    error
}

// watch sends a token to a gateway again and again, and keeps each answer.
type watch struct {
	end  context.CancelFunc
	done sync.WaitGroup
	mu   sync.Mutex
	all  []sighting
}

// watchPause is between two requests of a watch.
const watchPause = 5 * time.Millisecond

func startWatch(t *testing.T, g *site, deployment, token string) *watch {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	w := &watch{end: cancel}
	c := keepAlive(t)
	w.done.Go(func() {
		tick := time.NewTicker(watchPause)
		defer tick.Stop()
		for ctx.Err() == nil {
			one := sighting{sent: time.Now()}
			one.status, one.err = g.fetch(c, deployment, token)
			one.took = time.Since(one.sent)
			w.mu.Lock()
			w.all = append(w.all, one)
			w.mu.Unlock()
			select {
			case <-tick.C:
			case <-ctx.Done():
			}
		}
	})
	t.Cleanup(func() { w.stop() })
	return w
}

// stop ends the watch and returns all that it saw.
func (w *watch) stop() []sighting {
	w.end()
	w.done.Wait()
	return w.all
}

// since is the first answer with a status to a request that was sent after a moment.
func (w *watch) since(moment time.Time, status int) (sighting, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, one := range w.all {
		if one.status == status && one.sent.After(moment) {
			return one, true
		}
	}
	return sighting{}, false
}

// wantOnly holds that a watch saw no other answers than these.
func (w *watch) wantOnly(t *testing.T, what string, statuses ...int) {
	t.Helper()
	all := w.stop()
	wrong := make(map[string]int)
	for _, one := range all {
		if one.err != nil || !slices.Contains(statuses, one.status) {
			wrong[fmt.Sprintf("status %d: %v", one.status, one.err)]++
		}
	}
	for how, times := range wrong {
		t.Errorf("%s: %d of %d requests: %s", what, times, len(all), how)
	}
	if len(all) == 0 {
		t.Errorf("%s: no request was made", what)
	}
}

// wantNoneAcceptedAfter holds that no request that was sent after a moment was accepted.
func (w *watch) wantNoneAcceptedAfter(t *testing.T, what string, moment time.Time) {
	t.Helper()
	for _, one := range w.stop() {
		if one.status == http.StatusOK && one.sent.After(moment) {
			t.Errorf("%s: accepted %s later", what, one.sent.Sub(moment))
			return
		}
	}
}
