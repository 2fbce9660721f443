package integration

import (
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/deploymentkeys/gateway/integration/gatewaytest"
)

// loud makes a config log all that it can, and count.
func loud(caddyfile string) string {
	caddyfile = strings.Replace(caddyfile, "{\n", "{\n\tdebug\n\tmetrics\n", 1)
	return strings.Replace(caddyfile, "deployment_token\n", "log\n\tdeployment_token\n", 1)
}

// askAdmin reads all that the admin endpoint shows, of Caddy and of the gateway.
func (c *canarySite) askAdmin(t *testing.T, keys canaryKeys) {
	t.Helper()
	eventually(t, "the audit log has the changes", func() bool {
		return strings.Contains(string(call(t, http.MethodGet, c.Admin("/audit"), nil).Want(http.StatusOK).Body), marker)
	})
	for _, path := range []string{
		"/config/", "/metrics", "/deployments", "/deployments/dep1", "/deployments/dep1/keys", "/deployments/dep1/keys/" + keys.k.ID, "/deployments/dep1/members",
		"/deployments/dep1/audit", "/audit", "/audit/export", "/signing_keys", "/deployments/-/ready", "/reverse_proxy/upstreams",
		"/debug/vars", "/debug/pprof/cmdline", "/debug/pprof/goroutine?debug=2", "/debug/pprof/heap?debug=1", "/debug/pprof/allocs?debug=1",
	} {
		c.leaks.keep(path, call(t, http.MethodGet, c.Admin(path), nil).Want(http.StatusOK))
	}
	c.leaks.keep("site-metrics", call(t, http.MethodGet, c.at("/site-metrics"), nil).Want(http.StatusOK))
}

// lookAtProcess reads what other users of the machine may see of the gateway: its arguments and, for its own user, its
// environment. It starts no other process.
func (c *canarySite) lookAtProcess(t *testing.T) {
	t.Helper()
	dir := fmt.Sprintf("/proc/%d", c.PID())
	if _, err := os.Stat(dir); err != nil {
		t.Logf("there is no /proc: %v", err)
		return
	}
	for _, name := range []string{"cmdline", "environ"} {
		c.leaks.place("process: "+name, readTestFile(t, filepath.Join(dir, name)))
	}
	if children := readTestFile(t, fmt.Sprintf("%s/task/%d/children", dir, c.PID())); children != "" {
		t.Errorf("the gateway has started %s", children)
	}
}

// breakConfig gives the gateway configurations that it refuses. A failed reload prints what Caddy made of one.
func (c *canarySite) breakConfig(t *testing.T) {
	t.Helper()
	good := readTestFile(t, c.Caddyfile())
	literal := c.leaks.secret("a master secret in a Caddyfile", newMasterSecret())
	// Caddy logs the routes at DEBUG before any handler can refuse them, so this one is looked for in the error alone.
	inConfig := randomText()
	for name, bad := range map[string]string{
		"no lifetime":          strings.Replace(good, "issuer ", "token_lifetime 0\n\t\tissuer ", 1),
		"a secret literally":   strings.Replace(good, "issuer ", "secret "+literal+"\n\t\tissuer ", 1),
		"a password literally": strings.Replace(good, "password {file."+c.file("airflow")+"}", "password "+inConfig, 1),
		"a bad URL of Redis":   strings.Replace(good, "issuer ", "redis redis://gateway:"+c.leaks.secret("a password in a URL", randomText())+"#/@127.0.0.1:6379\n\t\tissuer ", 1),
	} {
		err := c.TryReload(bad)
		if err == nil {
			t.Errorf("a reload with %s succeeded", name)
			continue
		}
		if strings.Contains(err.Error(), inConfig) {
			t.Errorf("the error of a reload with %s shows it: %v", name, err)
		}
		c.leaks.place("errors: of a reload with "+name, err.Error())
	}
}

// changeMaster gives the store another master secret, with the command for it.
func (c *canarySite) changeMaster(t *testing.T) {
	t.Helper()
	secret := c.leaks.secret("the master secret", newMasterSecret())
	c.write(t, "new", secret+"\n")
	if c.server == nil {
		c.leaks.secret("the master secret of before", strings.TrimSpace(readTestFile(t, dataFile(c.gateway, "secret"))))
		c.leaks.known["files: "+dataFile(c.gateway, "secret")] = "the master secret"
	}
	c.Stop()
	out, errs, code := c.changeSecret(c.file("new"))
	c.leaks.place("commands: change", out+errs)
	if code != 0 {
		t.Fatalf("exit %d: %s%s", code, out, errs)
	}
	if c.server != nil {
		// With the old one still configured, the gateway says so and ends.
		err := c.TryStart()
		if err == nil {
			t.Fatal("the gateway starts with the master secret of before")
		}
		c.leaks.place("errors: of a start with the master secret of before", err.Error())
		c.write(t, "master", secret)
	}
	c.Start()
}

// crash ends the gateway by a signal that has it print what each goroutine does, while it has requests with secrets in
// them in hand.
func (c *canarySite) crash(t *testing.T, keys canaryKeys) {
	t.Helper()
	answered := make(chan struct{})
	go func() {
		defer close(answered)
		_, _ = try(t, http.MethodGet, c.at("/dep1/api/held"), nil, bearer(keys.token)) // it gets no answer
	}()
	<-c.airflow.held
	body := "grant_type=client_credentials&client_id=" + keys.k.ID + "&client_secret=" + keys.k.Secret
	defer gatewaytest.Send(t, c.api, fmt.Sprintf("POST /oauth/token HTTP/1.1\nHost: x\nContent-Type: application/x-www-form-urlencoded\nContent-Length: %d\n\n%s",
		len(body)+1, body))()
	eventually(t, "a handler waits for the rest of a request", func() bool {
		goroutines := call(t, http.MethodGet, c.Admin("/debug/pprof/goroutine?debug=2"), nil).Want(http.StatusOK)
		return strings.Contains(string(c.leaks.keep("goroutines", goroutines).Body), "access.readBody")
	})
	process, err := os.FindProcess(c.PID())
	if err != nil {
		t.Fatal(err)
	}
	if err := process.Signal(syscall.SIGABRT); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the gateway has ended by SIGABRT", func() bool { return process.Signal(syscall.Signal(0)) != nil })
	c.Kill()
	<-answered
	for _, part := range []string{"SIGABRT", "access.readBody", "reverseproxy"} {
		if !strings.Contains(c.Logs(), part) {
			t.Errorf("the crash prints no %s", part)
		}
	}
	c.Start()
}

// lookAtRedis reads what Redis has written to its disk, each thing that is in it, and each command that it was sent.
func (c *canarySite) lookAtRedis(t *testing.T) {
	t.Helper()
	client, l, ctx := c.server.Client(), c.leaks, t.Context()
	commands, err := client.SlowLogGet(ctx, -1).Result()
	if err != nil || len(commands) == 0 {
		t.Fatalf("%d commands: %v", len(commands), err)
	}
	for _, command := range commands {
		l.place("Redis: commands", strings.Join(command.Args, " "))
	}
	for keys := client.Scan(ctx, 0, "*", 1000).Iterator(); keys.Next(ctx); {
		dumped, err := client.Dump(ctx, keys.Val()).Result()
		if err != nil {
			t.Fatal(err)
		}
		l.place("Redis: records", keys.Val()+" "+dumped)
	}
	if err := client.Save(ctx).Err(); err != nil {
		t.Fatal(err)
	}
	dir, err := client.ConfigGet(ctx, "dir").Result()
	if err != nil {
		t.Fatal(err)
	}
	names := l.readFolder(t, "Redis", dir["dir"])
	l.known["Redis: "+filepath.Join(dir["dir"], "redis.conf")] = "the password of Redis"
	for _, want := range []string{"dump.rdb", ".incr.aof"} {
		if !slices.ContainsFunc(names, func(name string) bool { return strings.HasSuffix(name, want) }) {
			t.Errorf("there is no %s in %v: the test looks at the wrong thing", want, names)
		}
	}
}

// redisBytes is all that Redis would write to its disk, not compressed.
func redisBytes(t *testing.T, s store) string {
	t.Helper()
	client := s.redis.Client()
	if err := client.ConfigSet(t.Context(), "rdbcompression", "no").Err(); err != nil {
		t.Fatal(err)
	}
	if err := client.Save(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	dir, err := client.ConfigGet(t.Context(), "dir").Result()
	if err != nil {
		t.Fatal(err)
	}
	return readTestFile(t, filepath.Join(dir["dir"], "dump.rdb"))
}

// readFiles adds all files that the gateway has left behind, but for the one that holds the master secret where that is
// not known to.
func readFiles(t *testing.T, g *gateway, l *leaks) {
	t.Helper()
	names := l.readFolder(t, "files", g.Dir())
	if secret := "files: " + dataFile(g, "secret"); l.known[secret] == "" {
		delete(l.places, secret)
	}
	autosaves := 0
	for _, name := range names {
		if filepath.Base(name) == "autosave.json" {
			autosaves++
		}
	}
	if autosaves != 1 {
		t.Errorf("there are %d autosave.json, want 1: the test looks at the wrong thing", autosaves)
	}
}

// readFolder adds all files below a folder, and returns their paths.
func (l *leaks) readFolder(t *testing.T, kind, dir string) (paths []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		paths = append(paths, path)
		l.place(kind+": "+path, readTestFile(t, path))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return paths
}

// wantMarker holds that each kind of place has what it should have: what is no secret went everywhere.
func (c *canarySite) wantMarker(t *testing.T, keys canaryKeys) {
	t.Helper()
	wants := map[string][]string{
		"logs": {
			`"level":"debug"`, "/dep1/api/" + marker, `"logger":"events"`, "deployment_key_rotated", "deployment_token_refused", "upstream roundtrip",
			"http.log.access", "dks_[redacted]", "eyJ[redacted]",
		},
		"traces":                                     {"/dep1/api/" + marker},
		"answer: /config/":                           {"deployment_auth", "deployment_airflow_login"},
		"answer: /metrics":                           {"caddy_", "deployment_keys_"},
		"answer: site-metrics":                       {"deployment_keys_"},
		"answer: /audit":                             {marker, keys.deleted.ID},
		"answer: /audit/export":                      {marker, keys.deleted.ID},
		"answer: /deployments/dep1/keys":             {marker},
		"answer: /debug/vars":                        {"memstats"},
		"process: environ":                           {"GOTRACEBACK"},
		"process: cmdline":                           {"--config"},
		"commands: audit export":                     {marker, keys.deleted.ID},
		"commands: adapted config":                   {"deployment_airflow_login"},
		"answer: console /api/deployments/dep1/keys": {marker},
	}
	if c.server != nil {
		wants["Redis: commands"] = []string{"eval", "deployment_keys"}
		wants["Redis: records"] = []string{marker, keys.k.ID}
	} else {
		wants["files: "+dataFile(c.gateway, "keys.db")] = []string{marker, keys.k.ID}
	}
	for place, parts := range wants {
		for _, part := range parts {
			if !strings.Contains(string(c.leaks.places[place]), part) {
				t.Errorf("%s does not have %s: the test looks at the wrong thing", place, part)
			}
		}
	}
}
