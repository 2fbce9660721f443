package integration

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/deploymentkeys/gateway/keystore/storetest"
)

// randomText is a secret that nobody else has.
func randomText() string {
	var random [24]byte
	rand.Read(random[:])
	return hex.EncodeToString(random[:])
}

// canarySite is a gateway that says all that it can, with each handler on its way to an Airflow of the test, and the
// console; what is secret comes from files.
type canarySite struct {
	consoleSite     // at a port of its own
	api         int // the port of all else
	leaks       *leaks
	airflow     *canaryAirflow
	traces      *traceReceiver
	server      *storetest.Redis // nil for the embedded store
	secrets     string           // the folder of the files
	settings    string           // lines of the block deployment_keys
	airflowPass string
}

// canaryStores are those of eachStore, with their secrets in files, and a Redis that asks for a password and writes all
// that it has to its disk, in a form that can be searched.
func newCanarySite(t *testing.T, onRedis bool) *canarySite {
	t.Helper()
	c := &canarySite{leaks: newLeaks(), secrets: t.TempDir(), api: freePort(t), airflowPass: randomText()}
	l := c.leaks
	c.airflow, c.traces = startCanaryAirflow(t, l), startTraceReceiver(t)
	c.write(t, "airflow", l.secret("the password for Airflow", c.airflowPass))
	c.write(t, "basic", l.secret("the Basic credential for Airflow 2", base64.StdEncoding.EncodeToString([]byte("gateway:"+randomText()))))
	l.secret("a user's password", password)
	if onRedis {
		// What is special in a URL has to be escaped there, and is written in two ways.
		redisPassword := l.secret("the password of Redis", randomText()+"/ä@%?")
		c.server = storetest.StartRedis(t, append(storetest.Durable, "aof-use-rdb-preamble no", "rdbcompression no",
			"slowlog-log-slower-than 0", "slowlog-max-len 100000", fmt.Sprintf("user gateway on %q ~* &* +@all", ">"+redisPassword))...)
		c.write(t, "redis", strings.Replace(c.server.URL(), "//", "//gateway:"+url.QueryEscape(redisPassword)+"@", 1))
		c.write(t, "master", l.secret("the master secret of before", newMasterSecret()))
		c.settings = fmt.Sprintf("redis {file.%s}\n\t\tsecret {file.%s}", c.file("redis"), c.file("master"))
	}
	port := freePort(t)
	g := newGateway(t, c.caddyfile(t, port), withEnv(
		"OTEL_EXPORTER_OTLP_ENDPOINT="+c.traces.URL, "OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf", "OTEL_BSP_SCHEDULE_DELAY=100", "GOTRACEBACK=all"))
	c.consoleSite = consoleSite{&site{g, port}}
	return c
}

func (c *canarySite) file(name string) string { return filepath.Join(c.secrets, name) }

func (c *canarySite) write(t *testing.T, name, content string) {
	t.Helper()
	writeTestFile(t, c.file(name), content)
}

// caddyfile has the console at one port, and all else at another.
func (c *canarySite) caddyfile(t *testing.T, console int) string {
	t.Helper()
	airflow := strings.TrimPrefix(c.airflow.URL, "http://")
	return fmt.Sprintf(`{
	debug
	metrics {
		per_host
	}
	log {
		format deployment_keys
	}
	deployment_keys {
		issuer http://127.0.0.1:%[1]d
		%[2]s
	}
}

http://:%[1]d {
	log
	tracing
	handle /site-metrics {
		metrics
	}
	handle /token {
		basic_auth {
			alice %[3]s
		}
		deployment_token
	}
	deployment_token
	handle /deploy/*/* {
		deployment_auth {path.1} {
			scope deploy
			basic
			pass_authorization
		}
		reverse_proxy %[4]s
	}
	handle /etl/api/* {
		deployment_auth etl
		deployment_airflow_login etl {
			url http://%[4]s/etl
			username gateway
			password {file.%[5]s/airflow}
		}
		reverse_proxy %[4]s
	}
	handle /dark/api/* {
		deployment_auth dark
		deployment_airflow_login dark {
			url http://%[4]s/dark
			username gateway
			password {file.%[5]s/airflow}
		}
		reverse_proxy %[4]s
	}
	handle /trust/api/* {
		deployment_auth trust
		deployment_airflow_token
		reverse_proxy %[4]s
	}
	handle /two/api/* {
		deployment_auth two
		reverse_proxy %[4]s {
			header_up Authorization "Basic {file.%[5]s/basic}"
			header_up -Cookie
			header_down -Set-Cookie
		}
	}
	@airflow path_regexp ^/[^/]+/api/
	handle @airflow {
		deployment_auth {path.0} {
			scope airflow:read GET HEAD
			scope airflow:write POST PUT PATCH DELETE
		}
		reverse_proxy %[4]s
	}
	handle {
		respond 404
	}
}

http://:%[6]d {
	log
	tracing
	basic_auth {
		root %[3]s
		admin %[3]s
		viewer %[3]s
	}
	deployment_console {
		administrator root
	}
}
`, c.api, c.settings, passwordHash(t), airflow, c.secrets, console)
}

// at is the URL of a path on the site that is not the console.
func (c *canarySite) at(path string) string { return c.URL(c.api, path) }

// canaryAirflow is an Airflow, and any other upstream. What it gives out is secret, and so is what it gets from the
// gateway.
type canaryAirflow struct {
	*httptest.Server
	mu    sync.Mutex
	got   map[string]bool // values of Authorization
	login int             // how often the gateway has logged in
	held  chan struct{}   // gets something when a request is being held
	until chan struct{}   // closed when it is to be answered
}

// airflowJWT has the form of a token that Airflow signs.
func airflowJWT() string {
	part := func(text string) string { return base64.RawURLEncoding.EncodeToString([]byte(text)) }
	return part(`{"alg":"HS512","typ":"JWT"}`) + "." + part(`{"sub":"gateway","jti":"`+randomText()+`"}`) + "." + part(randomText())
}

func startCanaryAirflow(t *testing.T, l *leaks) *canaryAirflow {
	t.Helper()
	a := &canaryAirflow{got: make(map[string]bool), held: make(chan struct{}, 1), until: make(chan struct{})}
	token, cookie := l.secret("a token of Airflow", airflowJWT()), l.secret("a cookie of Airflow", randomText())
	mux := http.NewServeMux()
	mux.HandleFunc("POST /etl/auth/token", func(w http.ResponseWriter, r *http.Request) {
		a.mu.Lock()
		defer a.mu.Unlock()
		a.login++
		w.WriteHeader(http.StatusCreated)
		_ = json.NewEncoder(w).Encode(map[string]string{"access_token": token})
	})
	// One that is badly set up, and says what it was sent.
	mux.HandleFunc("POST /dark/auth/token", func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		w.Header().Set("Location", "http://127.0.0.1/?"+string(bytes.ReplaceAll(body, []byte("\n"), nil)))
		w.WriteHeader(http.StatusUnauthorized)
		_, _ = w.Write(body)
	})
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		a.mu.Lock()
		a.got[r.Header.Get("Authorization")] = true
		a.mu.Unlock()
		if !strings.HasPrefix(r.URL.Path, "/dep") { // to clients of which it would be a secret of their own
			http.SetCookie(w, &http.Cookie{Name: "session", Value: cookie})
		}
		switch {
		case strings.HasSuffix(r.URL.Path, "/refused"):
			w.WriteHeader(http.StatusUnauthorized)
			_, _ = io.WriteString(w, r.Header.Get("Authorization"))
		case strings.HasSuffix(r.URL.Path, "/held"):
			a.held <- struct{}{}
			<-a.until
		}
	})
	a.Server = httptest.NewServer(mux)
	t.Cleanup(a.Close)
	t.Cleanup(func() { close(a.until) })
	return a
}

// credentials are what it was called with.
func (a *canaryAirflow) credentials() (values []string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for value := range a.got {
		if _, credential, ok := strings.Cut(value, " "); ok {
			values = append(values, credential)
		}
	}
	return values
}

// traceReceiver takes traces, as OpenTelemetry sends them over HTTP, and keeps their bytes.
type traceReceiver struct {
	*httptest.Server
	mu    sync.Mutex
	bytes []byte
}

func startTraceReceiver(t *testing.T) *traceReceiver {
	t.Helper()
	receiver := new(traceReceiver)
	receiver.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil || r.URL.Path != "/v1/traces" || r.Header.Get("Content-Encoding") != "" {
			http.Error(w, "want traces that are not compressed", http.StatusBadRequest)
			return
		}
		receiver.mu.Lock()
		defer receiver.mu.Unlock()
		receiver.bytes = append(receiver.bytes, body...)
		w.Header().Set("Content-Type", "application/x-protobuf")
	}))
	t.Cleanup(receiver.Close)
	return receiver
}

func (receiver *traceReceiver) has(text string) bool { return strings.Contains(receiver.all(), text) }

func (receiver *traceReceiver) all() string {
	receiver.mu.Lock()
	defer receiver.mu.Unlock()
	return string(receiver.bytes)
}
