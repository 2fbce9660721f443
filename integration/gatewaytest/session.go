package gatewaytest

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// KillSession kills the processes of a session: what the process of that ID, which was started with Setsid, has started,
// also where that is in a process group of its own. Where there is no /proc, it kills the process group.
func KillSession(id int) {
	_ = syscall.Kill(-id, syscall.SIGKILL) // fails when nothing is left
	files, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, file := range files {
		stat, err := os.ReadFile(file)
		if err != nil {
			continue // it has ended
		}
		// After the name, which may have anything in it: state, parent, process group, session.
		text := string(stat)
		fields := strings.Fields(text[strings.LastIndexByte(text, ')')+1:])
		if len(fields) < 4 || fields[3] != strconv.Itoa(id) {
			continue
		}
		if pid, err := strconv.Atoi(filepath.Base(filepath.Dir(file))); err == nil {
			_ = syscall.Kill(pid, syscall.SIGKILL) // fails when it has ended
		}
	}
}
