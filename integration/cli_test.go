package integration

import (
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/deploymentkeys/gateway/keystore/storetest"
)

// The scripts of testdata/script run the commands of this tree's Caddy against gateways. Each is a list of commands of
// testscript, and of scriptCommands.

// runScripts runs scripts at the same time, with variables in their environment besides those of a gateway: SITE is the
// URL of its site, and ADMIN the host and port of its admin endpoint.
func runScripts(t *testing.T, g *site, variables map[string]string, names ...string) {
	t.Helper()
	var files []string
	for _, name := range names {
		files = append(files, filepath.Join("testdata", "script", name+".txtar"))
	}
	testscript.Run(t, testscript.Params{
		Files: files,
		Cmds:  scriptCommands,
		Setup: func(env *testscript.Env) error {
			for _, variable := range g.Environment() { // later ones count
				name, value, _ := strings.Cut(variable, "=")
				if strings.HasPrefix(name, "XDG_") || name == "CADDY_ADMIN" || name == "GORACE" {
					env.Setenv(name, value)
				}
			}
			env.Setenv("PATH", filepath.Dir(caddyBinary(t))+string(os.PathListSeparator)+os.Getenv("PATH"))
			env.Setenv("TZ", "Asia/Kathmandu") // which nobody takes for UTC: 5:45 ahead
			env.Setenv("SITE", g.URL(g.port, ""))
			env.Setenv("ADMIN", strings.TrimPrefix(g.Admin(""), "http://"))
			for name, value := range variables {
				env.Setenv(name, value)
			}
			return nil
		},
		RequireUniqueNames: true,
	})
}

var scriptCommands = map[string]func(ts *testscript.TestScript, neg bool, args []string){
	// exits CODE PROGRAM ARGUMENT... is exec with the exit code that is wanted.
	"exits": func(ts *testscript.TestScript, neg bool, args []string) {
		if neg || len(args) < 2 {
			ts.Fatalf("usage: exits code program argument...")
		}
		want, err := strconv.Atoi(args[0])
		ts.Check(err)
		code := 0
		err = ts.Exec(args[1], args[2:]...)
		var ended *exec.ExitError
		if errors.As(err, &ended) {
			code = ended.ExitCode()
		} else if err != nil {
			ts.Fatalf("%v", err)
		}
		if code != want {
			ts.Fatalf("exit %d, want %d", code, want)
		}
	},
	// until PATTERN PROGRAM ARGUMENT... is exec, again and again until its standard output has a match.
	"until": func(ts *testscript.TestScript, neg bool, args []string) {
		if neg || len(args) < 2 {
			ts.Fatalf("usage: until pattern program argument...")
		}
		pattern, err := regexp.Compile("(?m)" + args[0])
		ts.Check(err)
		deadline := time.Now().Add(patience)
		for {
			err := ts.Exec(args[1], args[2:]...)
			switch {
			case err == nil && pattern.MatchString(ts.ReadFile("stdout")):
				return
			case time.Now().After(deadline):
				ts.Fatalf("waited %s in vain for %q: %v", patience, args[0], err)
			}
		}
	},
	// keep NAME [FIELD] sets a variable to what the last command wrote to standard output, or to a field of that.
	"keep": func(ts *testscript.TestScript, neg bool, args []string) {
		if neg || len(args) < 1 || len(args) > 2 {
			ts.Fatalf("usage: keep variable [field]")
		}
		value := strings.TrimSpace(ts.ReadFile("stdout"))
		if len(args) == 2 {
			var object map[string]any
			ts.Check(json.Unmarshal([]byte(value), &object))
			value = fmt.Sprint(object[args[1]])
		}
		if value == "" {
			ts.Fatalf("there is nothing to keep")
		}
		ts.Setenv(args[0], value)
	},
	// token WANT ID SECRET asks for a token, and wants the status. The answer is standard output.
	"token": func(ts *testscript.TestScript, neg bool, args []string) {
		if neg || len(args) != 3 {
			ts.Fatalf("usage: token status id secret")
		}
		ts.Check(ts.Exec("curl", "-s", "-o", ts.MkAbs("token.json"), "-w", "%{http_code}", ts.Getenv("SITE")+"/oauth/token",
			"-d", "grant_type=client_credentials", "-d", "client_id="+args[1], "-d", "client_secret="+args[2]))
		if status := ts.ReadFile("stdout"); status != args[0] {
			ts.Fatalf("status %s, want %s: %s", status, args[0], ts.ReadFile("token.json"))
		}
		ts.Check(ts.Exec("cat", "token.json"))
	},
	// get WANT DEPLOYMENT TOKEN calls the Airflow route of a Deployment, and wants the status.
	"get": func(ts *testscript.TestScript, neg bool, args []string) {
		if neg || len(args) != 3 {
			ts.Fatalf("usage: get status deployment token")
		}
		ts.Check(ts.Exec("curl", "-s", "-o", os.DevNull, "-w", "%{http_code}", ts.Getenv("SITE")+"/"+args[1]+"/api/v2/dags",
			"-H", "Authorization: Bearer "+args[2]))
		if status := ts.ReadFile("stdout"); status != args[0] {
			ts.Fatalf("status %s, want %s", status, args[0])
		}
	},
}

func TestCommandLine(t *testing.T) {
	eachStore(t, func(t *testing.T, s store) {
		runScripts(t, startSite(t, s), nil, "deployment", "key", "members", "secret_lost", "completion", "many", "audit")
	})
}

func TestCommandLineHelp(t *testing.T) {
	t.Parallel()
	runScripts(t, newSite(t, embedded(t)), nil, "help", "nobody_there")
}

func TestCommandLineOnASocket(t *testing.T) {
	t.Parallel()
	socket := "unix/" + filepath.Join(shortDir(t), "admin.sock")
	g := newSite(t, embedded(t))
	// The admin endpoint that the environment names is left alone, and it has nobody.
	g.startOnSocket(t, socket+"|0600")
	runScripts(t, g, map[string]string{"SOCKET": socket, "CADDYFILE": g.Caddyfile()}, "socket")
}

// A remote admin endpoint, which wants a certificate of each caller and has a certificate of Caddy's own CA.
func TestCommandLineOverTLS(t *testing.T) {
	t.Parallel()
	g := startSite(t, embedded(t))
	client, stranger := storetest.NewCertificates(t), storetest.NewCertificates(t)
	port := freePort(t)
	var config map[string]any
	call(t, http.MethodGet, g.Admin("/config/"), nil).Want(http.StatusOK).JSON(&config)
	config["admin"] = map[string]any{
		"identity": map[string]any{"identifiers": []string{"127.0.0.1"}, "issuers": []any{map[string]any{"module": "internal"}}},
		"remote": map[string]any{
			"listen": fmt.Sprintf("127.0.0.1:%d", port),
			"access_control": []any{map[string]any{
				"public_keys": []string{certificateDER(t, client.Cert)},
				"permissions": []any{map[string]any{"paths": []string{"/deployments"}, "methods": []string{"GET", "POST"}}},
			}},
		},
	}
	apps, ok := config["apps"].(map[string]any)
	if !ok {
		t.Fatalf("the configuration is %v", config)
	}
	apps["pki"] = map[string]any{"certificate_authorities": map[string]any{"local": map[string]any{"install_trust": false}}}
	call(t, http.MethodPost, g.Admin("/load"), config).Want(http.StatusOK)
	root := filepath.Join(g.DataDir(), "pki", "authorities", "local", "root.crt")
	remote := fmt.Sprintf("https://127.0.0.1:%d", port)
	eventually(t, "the remote admin endpoint serves", func() bool {
		_, err := g.Run("deployment", "list", "--address", remote, "--cert", client.Cert, "--key", client.Key, "--ca-cert", root)
		return err == nil
	})
	both := filepath.Join(t.TempDir(), "both.pem")
	writeTestFile(t, both, readTestFile(t, client.Cert)+readTestFile(t, client.Key))
	runScripts(t, g, map[string]string{
		"REMOTE": remote, "CERT": client.Cert, "KEY": client.Key, "BOTH": both, "CA": root,
		"STRANGER": stranger.Cert, "STRANGER_KEY": stranger.Key, "STRANGER_CA": stranger.CA,
	}, "remote")
}

// certificateDER is a certificate as Caddy's configuration has it.
func certificateDER(t *testing.T, path string) string {
	t.Helper()
	block, _ := pem.Decode([]byte(readTestFile(t, path)))
	if block == nil {
		t.Fatalf("%s has no certificate", path)
	}
	return base64.StdEncoding.EncodeToString(block.Bytes)
}

func readTestFile(t *testing.T, path string) string {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

// A secret that goes into a pipe that nobody reads is lost, and that is said.
func TestSecretIntoAClosedPipe(t *testing.T) {
	t.Parallel()
	g := startSite(t, embedded(t))
	g.newDeployment(t, "etl")
	reader, writer, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	reader.Close()
	defer writer.Close()
	cmd := exec.Command(caddyBinary(t), "deployment-key", "create", "etl", "CI", "--secret-only")
	cmd.Env, cmd.Stdout = g.Environment(), writer
	var errs strings.Builder
	cmd.Stderr = &errs
	err = cmd.Run()
	var made struct{ Keys []key }
	call(t, http.MethodGet, g.Admin("/deployments/etl/keys"), nil).Want(http.StatusOK).JSON(&made)
	if len(made.Keys) != 1 {
		t.Fatalf("%d keys, %v: %s", len(made.Keys), err, errs.String())
	}
	if cmd.ProcessState.ExitCode() != 1 || !strings.Contains(errs.String(), "the key "+made.Keys[0].ID+" was made, and its secret is lost") {
		t.Errorf("%v: %s", err, errs.String())
	}
}

// Every command of the group says in its help how it is called, an example of it, and its exit codes.
func TestCommandsHaveExamples(t *testing.T) {
	t.Parallel()
	g := newSite(t, embedded(t))
	commands := 0
	var walk func(path ...string)
	walk = func(path ...string) {
		out, errs, code := g.Command("", append(path, "--help")...)
		if code != 0 || errs != "" || !strings.Contains(out, "Exit codes:") {
			t.Errorf("%q: exit %d, no exit codes in the help: %s%s", path, code, out, errs)
		}
		_, list, group := strings.Cut(out, "Available Commands:\n")
		if !group {
			commands++
			if !strings.Contains(out, "\nExamples:\n  $ ") {
				t.Errorf("%q has no example:\n%s", path, out)
			}
			return
		}
		list, _, _ = strings.Cut(list, "\n\n")
		for line := range strings.Lines(list) {
			if fields := strings.Fields(line); len(fields) > 0 {
				walk(append(slices.Clone(path), fields[0])...)
			}
		}
	}
	walk("deployment")
	walk("deployment-key")
	if commands < 20 {
		t.Errorf("%d commands were found", commands)
	}
}
