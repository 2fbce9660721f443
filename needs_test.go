package gateway_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestInstallNeeds runs tools/install-needs on stand-ins for a machine: the programs in PATH are those of the case.
func TestInstallNeeds(t *testing.T) {
	const (
		ok        = "#!/bin/sh\n"
		root      = "#!/bin/sh\necho 0\n"
		user      = "#!/bin/sh\necho 1000\n"
		sudo      = "#!/bin/sh\necho sudo >>\"$CALLS\"\nexec \"$@\"\n"
		failing   = "#!/bin/sh\nexit 100\n"
		recording = "#!/bin/sh\necho \"apt-get $*\" >>\"$CALLS\"\n"
		// installing makes the one program that the cases leave out.
		installing = recording + "case $1 in install) echo '#!/bin/sh' >\"$BIN/redis-server\"; chmod +x \"$BIN/redis-server\";; esac\n"
	)
	const installed = "apt-get update\napt-get install --yes --no-install-recommends redis-server\n"
	all := map[string]string{"make": ok, "jq": ok, "curl": ok, "gcc": ok, "docker-registry": ok, "skopeo": ok, "umoci": ok, "chromium": ok, "python3": ok, "openssl": ok}

	tests := map[string]struct {
		arguments []string
		programs  map[string]string
		calls     string // what was run, a line each
		stderr    string // what the message of a failure has in it; empty if there is no failure
	}{
		"nothing is missing": {
			programs: map[string]string{"redis-server": ok, "apt-get": failing},
		},
		"root": {
			programs: map[string]string{"id": root, "apt-get": installing},
			calls:    installed,
		},
		"sudo": {
			programs: map[string]string{"id": user, "sudo": sudo, "apt-get": installing},
			calls:    "sudo\n" + strings.Replace(installed, "apt-get install", "sudo\napt-get install", 1),
		},
		"neither root nor sudo": {
			programs: map[string]string{"id": user, "apt-get": installing},
			stderr:   "As root: apt-get install redis-server\n",
		},
		"no apt-get": {
			programs: map[string]string{"id": root},
			stderr:   "there is no apt-get to install them: redis-server\n",
		},
		"no compiler": {
			programs: map[string]string{"redis-server": ok, "gcc": failing},
			stderr:   "there is no apt-get to install them: gcc libc6-dev\n",
		},
		"Airflow's, all there": {
			arguments: []string{"airflow"},
			programs:  map[string]string{"redis-server": ok, "python3": ok, "apt-get": failing},
		},
		"Airflow's, not there": {
			arguments: []string{"airflow"},
			programs:  map[string]string{"redis-server": ok, "python3": failing},
			stderr:    "there is no apt-get to install them: python3 python3-venv\n",
		},
		"apt-get fails": {
			programs: map[string]string{"id": root, "apt-get": failing},
			stderr:   "this failed: apt-get install redis-server\n",
		},
		"installed and still not found": {
			programs: map[string]string{"id": root, "apt-get": recording},
			calls:    installed,
			stderr:   "not to be found in PATH: redis-server\n",
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			bin := t.TempDir()
			calls := filepath.Join(t.TempDir(), "calls")
			for _, programs := range []map[string]string{all, test.programs} {
				for program, script := range programs {
					writeFile(t, filepath.Join(bin, program), script, 0o755)
				}
			}
			// What the script and the stand-ins themselves use.
			for _, program := range []string{"sh", "env", "chmod"} {
				path, err := exec.LookPath(program)
				if err != nil {
					t.Fatal(err)
				}
				if err := os.Symlink(path, filepath.Join(bin, program)); err != nil {
					t.Fatal(err)
				}
			}

			cmd := exec.CommandContext(t.Context(), "tools/install-needs", test.arguments...)
			cmd.Env = []string{"PATH=" + bin, "BIN=" + bin, "CALLS=" + calls}
			var stderr strings.Builder
			cmd.Stderr = &stderr
			err := cmd.Run()
			if failed := err != nil; failed != (test.stderr != "") || !strings.HasSuffix(stderr.String(), test.stderr) {
				t.Errorf("it ended with %v and said %q, want %q", err, stderr.String(), test.stderr)
			}
			got, err := os.ReadFile(calls)
			if err != nil && !os.IsNotExist(err) {
				t.Fatal(err)
			}
			if string(got) != test.calls {
				t.Errorf("it ran %q, want %q", got, test.calls)
			}
		})
	}
}
