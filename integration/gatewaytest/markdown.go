package gatewaytest

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// Block is one fenced block of a Markdown file.
type Block struct {
	Language string // "sh" for commands
	Text     string
}

// ReadBlocks reads the fenced blocks of a Markdown file, in order.
func ReadBlocks(t *testing.T, path string) []Block {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var blocks []Block
	for _, match := range regexp.MustCompile("(?ms)^```([a-z]*)\n(.*?)^```$").FindAllSubmatch(content, -1) {
		blocks = append(blocks, Block{string(match[1]), string(match[2])})
	}
	return blocks
}

// Shell says where commands run.
type Shell struct {
	Dir string
	Env []string
}

// RunBlocks runs the blocks of commands as a reader would, in order, in one shell, and holds what each prints against
// the block of json or text that follows it. There, … is anything. A command that fails ends the test, and what still
// runs when the last one has ended is killed. edit is what is run in the place of a block; nothing is not run.
func RunBlocks(t *testing.T, where Shell, blocks []Block, edit func(string) string) {
	t.Helper()
	var script strings.Builder
	script.WriteString("set -euo pipefail\n")
	var wants, commands []string
	for i, b := range blocks {
		if b.Language != "sh" {
			continue
		}
		command := edit(b.Text)
		if command == "" {
			continue
		}
		want := ""
		if i+1 < len(blocks) && slices.Contains([]string{"json", "text"}, blocks[i+1].Language) {
			want = blocks[i+1].Text
		}
		wants, commands = append(wants, want), append(commands, b.Text)
		fmt.Fprintf(&script, "%sprintf '\\036'\n", command)
	}
	shell := exec.CommandContext(t.Context(), "bash", "-c", script.String())
	shell.Dir, shell.Env = where.Dir, where.Env
	// What the commands leave running ends with the session.
	OwnSession(shell)
	shell.Cancel = func() error {
		KillSession(shell.Process.Pid)
		return nil
	}
	shell.WaitDelay = Patience // for one that has kept the pipes
	var stdout, stderr bytes.Buffer
	shell.Stdout, shell.Stderr = &stdout, &stderr
	err := shell.Run()
	if shell.Process != nil {
		KillSession(shell.Process.Pid)
	}
	if err != nil {
		t.Fatalf("the commands end with %v after\n%s\n%s", err, stdout.String(), stderr.String())
	}
	outputs := strings.Split(stdout.String(), "\x1e")
	for i, want := range wants {
		pattern := strings.ReplaceAll(regexp.QuoteMeta(strings.TrimSpace(want)), "…", ".*")
		if want != "" && !regexp.MustCompile("^"+pattern+"$").MatchString(strings.TrimSpace(outputs[i])) {
			t.Errorf("%s\nprints\n%s\nthe document shows\n%s", commands[i], outputs[i], want)
		}
	}
}
