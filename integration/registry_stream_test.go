package integration

import (
	"crypto/sha256"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"
)

const (
	// layerSize is that of a large layer in bytes: 1 GB.
	layerSize = 1 << 30

	// mostGrowth is how much the gateway may grow while a large layer goes through it, in MB: buffers, and what the
	// race detector keeps beside them. It is a sixteenth of the layer.
	mostGrowth = 64
)

func TestRegistryStreamsALargeLayer(t *testing.T) {
	t.Parallel()
	r := startRegistrySite(t, embedded(t))
	// All code has run once, and all buffers were there.
	r.pullLayer(t, r.pushLayer(t, 32<<20))
	before := peakMemory(t, r.PID())

	begun := time.Now()
	pushed := r.pushLayer(t, layerSize)
	pushTime, afterPush := time.Since(begun), peakMemory(t, r.PID())
	begun = time.Now()
	pulled := r.pullLayer(t, pushed)
	pullTime, afterPull := time.Since(begun), peakMemory(t, r.PID())

	if pushed != pulled {
		t.Errorf("pushed %s, pulled %s", pushed, pulled)
	}
	figure(t, "gateway's most memory before a layer of 1024 MB, MB", before)
	figure(t, "gateway's most memory after its push, MB", afterPush)
	figure(t, "gateway's most memory after its pull, MB", afterPull)
	figure(t, "push of a layer of 1024 MB", pushTime)
	figure(t, "pull of a layer of 1024 MB", pullTime)
	if growth := afterPull - before; growth > mostGrowth {
		t.Errorf("the gateway grew by %d MB, want at most %d MB", growth, mostGrowth)
	}
}

// pushLayer sends a layer that does not compress, without its length before it, as clients do that compress on the way.
// It returns the digest.
func (r *registrySite) pushLayer(t *testing.T, size int64) string {
	t.Helper()
	login := basic(r.etl.ID, r.etl.Secret)
	begun := call(t, http.MethodPost, r.through("/v2/acme/etl/blobs/uploads/"), nil, login).Want(http.StatusAccepted)
	hash := sha256.New()
	content := io.TeeReader(io.LimitReader(rand.NewChaCha8([32]byte{}), size), hash)
	sent := r.stream(t, http.MethodPatch, begun.Header.Get("Location"), content, io.Discard)
	digest := fmt.Sprintf("sha256:%x", hash.Sum(nil))
	call(t, http.MethodPut, r.through(sent.Get("Location"))+"&digest="+digest, nil, login).Want(http.StatusCreated)
	return digest
}

// pullLayer reads a layer to its end and returns the digest of what came.
func (r *registrySite) pullLayer(t *testing.T, digest string) string {
	t.Helper()
	hash := sha256.New()
	r.stream(t, http.MethodGet, "/v2/acme/etl/blobs/"+digest, nil, hash)
	return fmt.Sprintf("sha256:%x", hash.Sum(nil))
}

// stream sends a request that may take as long as the test, and returns the header of the answer.
func (r *registrySite) stream(t *testing.T, method, path string, from io.Reader, to io.Writer) http.Header {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, r.through(path), from)
	if err != nil {
		t.Fatal(err)
	}
	request.SetBasicAuth(r.etl.ID, r.etl.Secret)
	request.Header.Set("Content-Type", "application/octet-stream")
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if _, err := io.Copy(to, response.Body); err != nil || response.StatusCode >= http.StatusMultipleChoices {
		t.Fatalf("%s %s: status %d, error %v", method, path, response.StatusCode, err)
	}
	return response.Header
}

// peakMemory is the most memory that a process has had until now, in MB.
func peakMemory(t *testing.T, pid int) int {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(status)) {
		if fields := strings.Fields(line); len(fields) == 3 && fields[0] == "VmHWM:" {
			kilobytes, err := strconv.Atoi(fields[1])
			if err != nil {
				t.Fatal(err)
			}
			return kilobytes / 1024
		}
	}
	t.Fatal("no VmHWM")
	return 0
}

// A push is many requests, each with the key's secret. The first one asks the store; the others are decided from memory.
func TestRegistrySecretIsCheckedFromMemory(t *testing.T) {
	eachStore(t, func(t *testing.T, s store) {
		r := startRegistrySite(t, s)
		login := basic(r.etl.ID, r.etl.Secret)
		push := func(number int) {
			t.Helper()
			blob := fmt.Sprint("blob ", number)
			begun := call(t, http.MethodPost, r.through("/v2/acme/etl/blobs/uploads/"), nil, login).Want(http.StatusAccepted)
			call(t, http.MethodPut, r.through(begun.Header.Get("Location"))+"&digest="+digestOf(blob), blob, login).Want(http.StatusCreated)
			call(t, http.MethodHead, r.through("/v2/acme/etl/blobs/"+digestOf(blob)), nil, login).Want(http.StatusOK)
			call(t, http.MethodGet, r.through("/v2/acme/etl/blobs/"+digestOf(blob)), nil, login).Want(http.StatusOK)
		}
		push(0)
		settle(t, r.site) // what was done until now is noted, which asks the store too
		const (
			blobs, requests = 50, 4 * 50
			storeReads      = `caddy_deployment_keys_store_calls_total{operation="get",outcome="ok"}`
			memoryHits      = `caddy_deployment_keys_view_lookups_total{result="hit"}`
			authPassed      = `caddy_deployment_keys_requests_total{handler="auth",outcome="passed"}`
		)
		asked := r.metric(t, storeReads)
		hits := r.metric(t, memoryHits)
		passed := r.metric(t, authPassed)
		for number := range blobs {
			push(1 + number)
		}
		asked = r.metric(t, storeReads) - asked
		hits = r.metric(t, memoryHits) - hits
		passed = r.metric(t, authPassed) - passed
		figure(t, "registry requests with the key's secret", passed)
		figure(t, "reads of the store for them", asked)
		if passed != requests || hits < requests || asked != 0 {
			t.Errorf("of %d requests %v passed, %v were decided from memory, and the store was read %v times", requests, passed, hits, asked)
		}

		// The memory is no reason to let a key live that was deleted, also in the middle of a push.
		begun := call(t, http.MethodPost, r.through("/v2/acme/etl/blobs/uploads/"), nil, login).Want(http.StatusAccepted)
		r.deleteKey(t, r.etl)
		call(t, http.MethodPatch, r.through(begun.Header.Get("Location")), "x", login).Want(http.StatusUnauthorized)
		call(t, http.MethodHead, r.through("/v2/acme/etl/manifests/v1"), nil, login).Want(http.StatusUnauthorized)
	})
}
