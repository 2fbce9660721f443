package cli

import (
	"errors"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"
)

const someKey = "06h02udt56lpaoe8nn3isick"

// asked plays a gateway that keeps what it was asked, and answers with a key.
func asked(t *testing.T, status int, answer string) (terminal, *string) {
	t.Helper()
	last := new(string)
	return against(t, func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		*last = r.Method + " " + r.URL.EscapedPath() + " " + string(body)
		answering(status, answer)(w, r)
	}), last
}

func TestKeyRequests(t *testing.T) {
	t.Parallel()
	const answer = `{"id":"` + someKey + `","deployment_id":"etl","name":"CI","secret":"dks_x"}`
	const keys = "/deployments/etl/keys"
	for command, want := range map[string]string{
		"create etl CI": `POST ` + keys + ` {"name":"CI"}`,
		"create etl CI --scope deploy --scope airflow:read,airflow:write": `POST ` + keys + ` {"name":"CI","scopes":["deploy","airflow:read","airflow:write"]}`,
		"create etl CI --expires 2030-12-31T00:00:00Z --description D":    `POST ` + keys + ` {"name":"CI","description":"D","expires_at":"2030-12-31T00:00:00Z"}`,
		"create etl CI --expires never --allowed-ip any":                  `POST ` + keys + ` {"name":"CI","allowed_ips":[]}`,
		"create etl CI --allowed-ip ::1 --allowed-ip 10.0.0.0/8":          `POST ` + keys + ` {"name":"CI","allowed_ips":["::1","10.0.0.0/8"]}`,

		"create etl -- --yes":                                        `POST ` + keys + ` {"name":"--yes"}`,
		"update etl " + someKey + " --expires never":                 `PATCH ` + keys + `/` + someKey + ` {"expires_at":""}`,
		"update etl " + someKey + " --allowed-ip any --name N":       `PATCH ` + keys + `/` + someKey + ` {"name":"N","allowed_ips":[]}`,
		"update etl " + someKey + " --description=":                  `PATCH ` + keys + `/` + someKey + ` {"description":""}`,
		"rotate etl " + someKey:                                      `POST ` + keys + `/` + someKey + `/rotate {}`,
		"rotate etl " + someKey + " --overlap 1d12h --revoke-tokens": `POST ` + keys + `/` + someKey + `/rotate {"overlap":"36h0m0s","revoke_tokens":true}`,
		"delete etl " + someKey + " --yes":                           `DELETE ` + keys + `/` + someKey + ` `,
		"revoke-tokens etl " + someKey + " -y":                       `POST ` + keys + `/` + someKey + `/revoke_tokens `,
		"end-previous-secret etl " + someKey:                         `DELETE ` + keys + `/` + someKey + `/previous_secret `,
	} {
		on, last := asked(t, http.StatusOK, answer)
		args := append([]string{"deployment-key"}, strings.Fields(command)...)
		if out, errs, code := on.run(t, args...); code != 0 || *last != want {
			t.Errorf("%s: exit %d, asks %s, want %s\n%s%s", command, code, *last, want, out, errs)
		}
	}
}

// What is wrong with a command is found before anything is sent.
func TestWrongKeyCommands(t *testing.T) {
	t.Parallel()
	on := against(t, func(_ http.ResponseWriter, r *http.Request) { t.Errorf("%s %s was sent", r.Method, r.URL) })
	for command, says := range map[string]string{
		"create":                                       "DEPLOYMENT is missing",
		"create etl":                                   "NAME is missing",
		"create Etl CI":                                "DEPLOYMENT: want the ID",
		"create etl CI more":                           "too many arguments",
		"create etl CI --scope admin":                  `unknown scope "admin"`,
		"create etl CI --scope=":                       "--scope is empty",
		"create etl CI --expires tomorrow":             "--expires: want a time",
		"create etl CI --expires 2030-12-31":           "--expires: want a time",
		"create etl CI --expires -1h":                  "--expires: want a time",
		"create etl CI --expires 0d":                   "--expires: want a time",
		"create etl CI --allowed-ip any,::1":           "any is all addresses",
		"create etl CI --allowed-ip=":                  "--allowed-ip is empty",
		"create etl CI --json --secret-only":           "two forms of the same output",
		"show etl dks_aaaaaaaaaaaaaaaaaaaa":            "KEY: want the ID of a key",
		"show etl ../../../etc":                        "KEY: want the ID of a key",
		"update etl " + someKey:                        "nothing to change",
		"rotate etl " + someKey + " --overlap soon":    "--overlap: want a duration",
		"rotate etl " + someKey + " --overlap -1h":     "--overlap: want a duration",
		"delete etl " + someKey:                        "give --yes",
		"revoke-tokens etl " + someKey:                 "give --yes",
		"delete etl " + someKey + " --force":           "unknown flag",
		"unknown":                                      "there is no such command",
		"rotate etl " + someKey + " --json=x":          "invalid argument",
		"end-previous-secret etl " + someKey + " more": "too many arguments",
	} {
		out, errs, code := on.run(t, append([]string{"deployment-key"}, strings.Fields(command)...)...)
		if code != 2 || out != "" || !strings.Contains(errs, says) || strings.Count(errs, "\n") != 1 || strings.Contains(errs, "dks_a") {
			t.Errorf("%s: exit %d, want 2 and one line with %q: %s%s", command, code, says, out, errs)
		}
	}
}

// A new secret that could not be shown is lost, and whoever made it has to know of which key.
func TestSecretThatCannotBeWritten(t *testing.T) {
	t.Parallel()
	on, _ := asked(t, http.StatusCreated, `{"id":"`+someKey+`","deployment_id":"etl","secret":"dks_x"}`)
	on.out = brokenWriter{}
	for _, form := range [][]string{nil, {"--json"}, {"--secret-only"}} {
		for command, says := range map[string]string{
			"create etl CI":         "the key " + someKey + " was made, and its secret is lost",
			"rotate etl " + someKey: "the key " + someKey + " was rotated, and its new secret is lost",
		} {
			_, errs, code := on.run(t, append(append([]string{"deployment-key"}, strings.Fields(command)...), form...)...)
			if code != 1 || !strings.Contains(errs, says) || !strings.Contains(errs, "no room") || strings.Contains(errs, "dks_") {
				t.Errorf("%s %q: exit %d, want 1 and %q: %s", command, form, code, says, errs)
			}
		}
	}
	for _, answer := range []string{`{}`, `{"id":"` + someKey + `"}`, `{"secret":"dks_x"}`, `null`} {
		on, _ := asked(t, http.StatusCreated, answer)
		on.want(t, 2, "", "no key, or no secret", "deployment-key", "create", "etl", "CI", "--secret-only")
	}
}

type brokenWriter struct{}

func (brokenWriter) Write([]byte) (int, error) { return 0, errors.New("no room") }

func TestSecretOnly(t *testing.T) {
	t.Parallel()
	on, _ := asked(t, http.StatusCreated, `{"id":"`+someKey+`","deployment_id":"etl","secret":"dks_x"}`)
	out, errs, code := on.run(t, "deployment-key", "create", "etl", "CI", "--secret-only")
	if out != "dks_x\n" || code != 0 || !strings.Contains(errs, someKey) || strings.Contains(errs, "dks_x") {
		t.Errorf("exit %d: %q, %q", code, out, errs)
	}
}

func TestKeyTable(t *testing.T) {
	t.Parallel()
	now := time.Now()
	at := func(d time.Duration) string { return now.Add(d).UTC().Format(time.RFC3339) }
	on := against(t, answering(200, `{"keys":[
		{"id":"k1","name":"CI","scopes":["deploy","airflow:read"],"created_at":"`+at(-time.Hour)+`","created_by":"admin","last_used_at":"`+at(-time.Minute)+`"},
		{"id":"k2","name":"evil\u001b[2J\n\tname","scopes":["deploy"],"created_at":"`+at(-time.Hour)+`","created_by":"admin","expires_at":"`+at(-time.Minute)+`","previous_secret_expires_at":"`+at(time.Hour)+`"},
		{"id":"k3","name":"CD","scopes":["deploy"],"created_at":"`+at(-time.Hour)+`","created_by":"admin","previous_secret_expires_at":"`+at(time.Hour)+`"}]}`))
	out, errs, code := on.run(t, "deployment-key", "list", "etl")
	local := func(d time.Duration) string { return now.Add(d).Local().Format("2006-01-02 15:04") }
	want := [][]string{
		{"ID", "NAME", "SCOPES", "CREATED", "CREATED BY", "LAST USED", "EXPIRES", "STATUS"},
		{"k1", "CI", "deploy airflow:read", local(-time.Hour), "admin", local(-time.Minute), "never", "active"},
		{"k2", "evil\ufffd[2J\ufffd\ufffdname", "deploy", local(-time.Hour), "admin", "never", local(-time.Minute), "expired"},
		{"k3", "CD", "deploy", local(-time.Hour), "admin", "never", "never", "rotating: previous secret until " + local(time.Hour)},
	}
	var got [][]string
	for line := range strings.Lines(out) {
		got = append(got, strings.FieldsFunc(strings.ReplaceAll(line, "  ", "\t"), func(r rune) bool { return r == '\t' || r == '\n' }))
	}
	for _, line := range got {
		for i := range line {
			line[i] = strings.TrimSpace(line[i])
		}
	}
	if code != 0 || !slices.EqualFunc(got, want, slices.Equal[[]string]) {
		t.Errorf("exit %d: %q, want %q\n%s", code, got, want, errs)
	}
}

func TestDurations(t *testing.T) {
	t.Parallel()
	good := map[string]time.Duration{"0": 0, "90m": 90 * time.Minute, "30d": 30 * day, "1d12h": 36 * time.Hour, "720h": 30 * day, "0d": 0}
	for _, text := range slices.Sorted(maps.Keys(good)) {
		if got, err := parseDuration(text); err != nil || got != good[text] {
			t.Errorf("%q: %v, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "d", "1", "-1h", "1d-1h", "-1d", "1.5d", "9999999d", "999999d", "1h30d", "1d1d", "292y"} {
		if got, err := parseDuration(text); err == nil {
			t.Errorf("%q is %v", text, got)
		}
	}
}
