package gatewaytest

import (
	"os"
	"os/exec"
)

// OwnSession does nothing: Windows has no sessions of processes.
func OwnSession(*exec.Cmd) {}

// KillSession kills one process.
func KillSession(id int) {
	if process, err := os.FindProcess(id); err == nil {
		_ = process.Kill() // fails when it has ended
	}
}
